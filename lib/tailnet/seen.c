/* seen - the date of the newest index that was accepted of an apt repository */
#include "seen.h"
#include "buf.h"
#include "file.h"
#include "http.h"
#include "json.h"
#include "str.h"
#include <string.h>

enum { FILE_MAX = 1 << 20 };
static const char name[] = "apt-seen.json";

struct line { char url[600], suite[80]; long long date; };

static int read_line(const char *text, size_t len, struct line *l)
{
	struct json doc;
	struct why why;
	if (json_parse(&doc, text, len, &why) < 0)
		return -1;
	int rc = json_text(&doc, 0, "url", l->url, sizeof l->url) < 0 ||
		json_text(&doc, 0, "suite", l->suite, sizeof l->suite) < 0 || json_num(&doc, json_get(&doc, 0, "date"), &l->date) < 0;
	json_free(&doc);
	return rc ? -1 : 0;
}

/* One way of writing it, and no password. */
static void plain(char dst[static 600], const char *url)
{
	http_redact_url(dst, 600, url);
	for (size_t n = strlen(dst); n && dst[n - 1] == '/'; n--)
		dst[n - 1] = 0;
}

/* The date of url and suite; the lines of the others, at most so many, into rest. */
static long long look(int dir, const char *url, const char *suite, struct buf *rest)
{
	struct buf b = {0};
	struct why why;
	struct line l;
	char wanted[600];
	long long date = 0;
	int count = 0;
	plain(wanted, url);
	if (file_read(dir, name, &b, FILE_MAX, &why) == 0)
		for (const char *p = buf_cstr(&b), *end = p + b.len; p < end; ) {
			const char *nl = memchr(p, '\n', end - p);
			size_t len = (nl ? nl : end) - p;
			if (read_line(p, len, &l) == 0) {
				if (str_eq(l.url, wanted) && str_eq(l.suite, suite))
					date = l.date > date ? l.date : date;
				else if (rest && ++count < SEEN_MAX)
					buf_fmt(rest, "%.*s\n", (int)len, p);
			}
			p += len + 1;
		}
	buf_free(&b);
	return date;
}

long long seen_date(int dir, const char *url, const char *suite)
{
	return look(dir, url, suite, NULL);
}

int seen_keep(int dir, const char *url, const char *suite, long long date, struct why *why)
{
	struct buf rest = {0}, b = {0};
	char shown[600];
	long long before = look(dir, url, suite, &rest);
	int rc = 0;
	if (date > before) {
		plain(shown, url);
		json_w_obj(&b, NULL);
		json_w_str(&b, "url", shown);
		json_w_str(&b, "suite", suite);
		json_w_num(&b, "date", date);
		json_w_end(&b, '}');
		buf_ch(&b, '\n');
		buf_add(&b, buf_cstr(&rest), rest.len);
		rc = file_write(dir, name, b.p, b.len, 0644, why);
	}
	buf_free(&b);
	buf_free(&rest);
	return rc;
}
