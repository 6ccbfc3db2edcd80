/* json - JSON from outside, read within bounds; JSON of ours, written; one key set, the rest kept verbatim
 *
 * Reading is strict (RFC 8259, UTF-8 checked, nothing after the document). A document borrows its text.
 * A value is an index into it: 0 is the whole, -1 is absent, and every call takes -1 and answers absent.
 * Of a key given twice the last one counts, as in Go. null counts as absent, but for json_find.
 */
#ifndef JSON_H
#define JSON_H
#include "err.h"
#include "str.h"
#include <stddef.h>

enum { JSON_DEPTH = 64, JSON_TOKENS = 1 << 20, JSON_BYTES = 32 << 20 };
enum json_kind { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_NUM, JSON_STR, JSON_ARR, JSON_OBJ };

struct json {
	const char *text;	/* borrowed: must outlive the document, need not be NUL-ended */
	size_t len;
	int count;
	struct json_tok *tok;
	int *next;		/* of each token: the first one that is not inside it */
};

/* Too deep, too many tokens or bytes: [too-big]; not JSON: [api-error], with the place. 0, or -1 with nothing to free. */
int  json_parse(struct json *, const char *text, size_t len, struct why *);
void json_free(struct json *);

enum json_kind json_kind(const struct json *, int v);
int json_is_null(const struct json *, int v);			/* null or absent */
int json_get(const struct json *, int obj, const char *key);	/* -1 when absent or null, or obj is no object */
int json_find(const struct json *, int obj, const char *key);	/* the same, but null is a value */
int json_at(const struct json *, const char *path);		/* "Self.CapMap", "Addrs.0"; keys with dots need json_get */
int json_count(const struct json *, int v);			/* members or elements; 0 for anything else */

/* for (struct json_iter i = json_each(&doc, v); json_next(&i); )  in the order of the text */
struct json_iter {
	int key, value;		/* key is -1 in arrays */
	const struct json *doc;
	int at, end, is_obj;
};
struct json_iter json_each(const struct json *, int v);
int json_next(struct json_iter *);

/* A string, unescaped, into dst: its length; -1 (dst "") when it is no string, does not fit or has a NUL in it. */
int   json_str(const struct json *, int v, char *dst, size_t size);
int   json_text(const struct json *, int obj, const char *key, char *dst, size_t size);	/* the same of a key */
int   json_is_true(const struct json *, int obj, const char *key);	/* is it there, and true? */
/* The text of a value that stands alone ({NULL}: none), into dst: "" when it is no string; one that is too long is cut. */
void  json_alone(struct slice value, char *dst, size_t size);
/* The same in memory to be freed, or NULL. len may be NULL; with it, NULs are let through. */
char *json_dup(const struct json *, int v, size_t *len);
int   json_str_eq(const struct json *, int v, const char *);
int   json_num(const struct json *, int v, long long *out);	/* whole numbers within 64 bits; 0, or -1 */
int   json_dbl(const struct json *, int v, double *out);
int   json_bool(const struct json *, int v);			/* 1, 0; -1 when it is no boolean */
struct slice json_raw(const struct json *, int v);		/* verbatim, strings with their quotes; p is NULL when absent */

/* Writing. Commas come by themselves; key is NULL in arrays and at the top. Check buf.over once at the end. */
struct buf;
void json_w_obj(struct buf *, const char *key);
void json_w_arr(struct buf *, const char *key);
void json_w_end(struct buf *, char bracket);			/* '}' or ']' */
void json_w_str(struct buf *, const char *key, const char *);	/* NULL writes null */
void json_w_num(struct buf *, const char *key, long long);
void json_w_bool(struct buf *, const char *key, int);
void json_w_raw(struct buf *, const char *key, const char *, size_t len);

/* Appends doc to dst with the value at path ("AutoUpdate.Check") set to raw; objects on the way are made,
 * everything else stays byte for byte. raw NULL takes the key out. 0; -1 when something on the way is no object. */
int json_set(struct buf *dst, const struct json *, const char *path, const char *raw);
/* The same for keys with dots in them; NULL-ended. */
int json_set_keys(struct buf *dst, const struct json *, const char *const *keys, const char *raw);

/* Only some top-level keys of a long line, without tokenising the rest. Absent and null: value.p is NULL.
 * The values are not validated: json_parse each one that is used. 0, or -1 when the line is no object. */
struct json_want { const char *key; struct slice value; };
int json_top(const char *line, size_t len, struct json_want *, int n);

/* Elements of one list of a document that need not fit in memory: of the top-level member `key` (array or
 * object), or of the document itself when key is NULL. fn gets each element, at most max bytes, still to be
 * json_parsed; name is the member's key (raw) or empty. Non-zero from fn ends it: json_scan_feed answers that. */
struct json_scan {
	const char *key;
	size_t max;		/* of one element; 0: 1 MiB */
	int (*fn)(void *ctx, struct slice name, const char *text, size_t len);
	void *ctx;
	long long found;	/* elements so far */
	int seen;		/* the list was there at all (null is not) */
	struct json_scan_state *s;
};
int  json_scan_feed(struct json_scan *, const char *, size_t, struct why *);	/* 0; fn's answer; -1 */
int  json_scan_end(struct json_scan *, struct why *);	/* -1 when the document was cut short; frees */
void json_scan_free(struct json_scan *);		/* for giving up half-way; harmless after json_scan_end */

#endif
