/* hujson - JSON with comments and trailing commas */
#include "hujson.h"
#include <string.h>

static int line_of(const char *text, size_t at)
{
	int line = 1;
	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

/* Line breaks stay, so that a place in the result is a place in the source. */
static void blank(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\n')
			p[i] = ' ';
}

static size_t string_end(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++)
		if (text[i] == '\\')
			i++;
	return i;
}

int hujson_plain(char *text, size_t len, struct why *why)
{
	char *comma = NULL, before = 0;	/* the last comma if nothing but blanks came since; what was before it */
	char last = 0;
	for (size_t i = 0; i < len; i++) {
		char c = text[i], next = i + 1 < len ? text[i + 1] : 0;
		if (c == '"') {
			size_t end = string_end(text, len, i);
			if (end >= len)
				return why_set(why, R_BAD_POLICY, "line %d: a text that never ends", line_of(text, i));
			i = end;
			comma = NULL;
			last = '"';
		} else if (c == '/' && (next == '/' || next == '*')) {
			const char *end = next == '/' ? memchr(text + i, '\n', len - i) : memmem(text + i + 2, len - i - 2, "*/", 2);
			if (!end && next == '*')
				return why_set(why, R_BAD_POLICY, "line %d: a comment that never ends", line_of(text, i));
			size_t stop = !end ? len : (size_t)(end - text) + (next == '*' ? 2 : 0);
			blank(text + i, stop - i);
			i = stop - 1;
		} else if (c == ',') {
			comma = text + i;
			before = last;
			last = c;
		} else if (c && !strchr(" \t\r\n", c)) {
			/* [,] and {,} stay, for the parser to refuse */
			if (comma && (c == ']' || c == '}') && before && !strchr("[{,:", before))
				*comma = ' ';
			comma = NULL;
			last = c;
		}
	}
	return 0;
}
