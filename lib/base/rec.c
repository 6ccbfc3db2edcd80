/* rec - records on stdout */
#include "rec.h"
#include "alloc.h"
#include "buf.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COLUMNS = 32 };

/* A table is held back until its widths are known. */
struct rec_table {
	char *name[COLUMNS];
	int width[COLUMNS], columns;
	char **cell;
	size_t cells;
};

static int wants_table(struct rec *r)
{
	if (!r->is_table)
		r->is_table = 1 + (r->table && r->mode == REC_LINE && isatty(1));
	return r->is_table == 2;
}

static int columns_of(const char *s)
{
	int n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static char *upper(const char *name)
{
	char *up = xstrdup(name);
	for (char *p = up; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p -= 32;
	return up;
}

static void cell(struct rec *r, const char *name, const char *text)
{
	if (!r->t)
		r->t = xalloc(sizeof *r->t);
	struct rec_table *t = r->t;
	int i = r->fields;
	if (i >= COLUMNS)
		return;
	if (i >= t->columns) {
		t->name[i] = upper(name);
		t->width[i] = columns_of(name);
		t->columns = i + 1;
	}
	if (columns_of(text) > t->width[i])
		t->width[i] = columns_of(text);
	t->cell = xrealloc(t->cell, (t->cells + 1) * sizeof *t->cell);
	t->cell[t->cells++] = xstrdup(text);
}

void rec_begin(struct rec *r)
{
	r->fields = 0;
	if (r->mode == REC_JSON)
		putchar('{');
}

static void field(struct rec *r, const char *name, const char *text, size_t len, const char *json)
{
	if (r->mode == REC_NONE)
		return;
	if (r->mode == REC_JSON) {
		struct buf b = {0};
		if (r->fields)
			buf_ch(&b, ',');
		rec_json_str(&b, name, strlen(name));
		buf_ch(&b, ':');
		if (json)
			buf_str(&b, json);
		else
			rec_json_str(&b, text, len);
		fwrite(buf_cstr(&b), 1, b.len, stdout);
		buf_free(&b);
	} else {
		char some[1024], *esc = len * 4 + 8 <= sizeof some ? some : xalloc(len * 4 + 8);
		str_escape(esc, len * 4 + 8, text, len);
		if (r->mode == REC_NUL)
			str_copy_slice(esc, len + 1, (struct slice){text, len});
		if (wants_table(r))
			cell(r, name, esc);
		else {
			if (r->fields)
				putchar('\t');
			fputs(esc, stdout);
		}
		if (esc != some)
			free(esc);
	}
	r->fields++;
}

void rec_str(struct rec *r, const char *name, const char *value)
{
	field(r, name, value ? value : "", value ? strlen(value) : 0, value ? NULL : "null");
}

void rec_num(struct rec *r, const char *name, long long value)
{
	char text[24];
	sprintf(text, "%lld", value);
	field(r, name, text, strlen(text), text);
}

void rec_bool(struct rec *r, const char *name, int value)
{
	const char *text = value ? "yes" : "no";
	field(r, name, text, strlen(text), value ? "true" : "false");
}

void rec_list(struct rec *r, const char *name, const char *const *values)
{
	struct buf text = {0}, json = {0};
	buf_ch(&json, '[');
	for (int i = 0; values && values[i]; i++) {
		if (i) {
			buf_ch(&text, ',');
			buf_ch(&json, ',');
		}
		buf_str(&text, values[i]);
		rec_json_str(&json, values[i], strlen(values[i]));
	}
	buf_ch(&json, ']');
	field(r, name, buf_cstr(&text), text.len, buf_cstr(&json));
	buf_free(&text);
	buf_free(&json);
}

void rec_end(struct rec *r)
{
	r->rows++;
	switch (r->mode) {
	case REC_JSON: puts("}"); break;
	case REC_NUL:  putchar(0); break;
	case REC_LINE:
		if (!wants_table(r))
			putchar('\n');
		break;
	case REC_NONE: break;
	}
}

void rec_finish(struct rec *r)
{
	struct rec_table *t = r->t;
	if (!t)
		return;
	for (size_t i = 0; i < t->cells + t->columns; i++) {
		int col = i % t->columns, last = col == t->columns - 1;
		const char *text = i < (size_t)t->columns ? t->name[col] : t->cell[i - t->columns];
		fputs(text, stdout);
		for (int pad = columns_of(text); !last && pad < t->width[col] + 2; pad++)
			putchar(' ');
		if (last)
			putchar('\n');
	}
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	for (int i = 0; i < t->columns; i++)
		free(t->name[i]);
	free(t->cell);
	free(t);
	r->t = NULL;
}

/* Length of the well-formed UTF-8 sequence at s, or 0. */
static size_t utf8(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)
		|| (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

void rec_json_str(struct buf *b, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	buf_ch(b, '"');
	for (size_t i = 0, n; i < len; i += n) {
		for (n = 0; i + n < len && s[i + n] >= 0x20 && s[i + n] < 0x7f && s[i + n] != '"' && s[i + n] != '\\'; n++)
			;
		if (n) {
			buf_add(b, s + i, n);
			continue;
		}
		n = utf8(s + i, len - i);
		if (!n) {
			buf_str(b, "\xef\xbf\xbd");
			n = 1;
		} else if (s[i] == '"' || s[i] == '\\') {
			buf_ch(b, '\\');
			buf_ch(b, s[i]);
		} else if (s[i] == '\n')
			buf_str(b, "\\n");
		else if (s[i] == '\t')
			buf_str(b, "\\t");
		else if (s[i] < 0x20 || s[i] == 0x7f || (n == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0))
			buf_fmt(b, "\\u%04x", n == 2 ? s[i + 1] : s[i]);
		else
			buf_add(b, s + i, n);
	}
	buf_ch(b, '"');
}
