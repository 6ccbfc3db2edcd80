/* json - JSON from outside, read within bounds; JSON of ours, written; one key set, the rest kept verbatim */
#include "json.h"
#include "alloc.h"
#include "buf.h"
#include "rec.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Without parent links jsmn needs time quadratic in the number of members. JSMN_STRICT is left out: it refuses
 * a document that is just `null`, which tailscaled does answer; check_doc is stricter in everything else. */
#define JSMN_STATIC
#define JSMN_PARENT_LINKS
#include "jsmn.h"

struct json_tok { jsmntok_t t; };

/* What jsmn lets pass ({"a" "b"}, 01, trailing bytes, bad UTF-8) is found before jsmn sees the text. */
struct check {
	const char *text, *p, *end;
	int tokens;
	const char *wrong;
};

static int is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct check *c)
{
	while (c->p < c->end && is_space((unsigned char)*c->p))
		c->p++;
}

static int hex4(const char *p, const char *end)
{
	int v = 0;
	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int ch = (unsigned char)p[i];
		int d = ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* Length of the well-formed UTF-8 sequence at p, or 0. */
static int utf8_len(const char *text, const char *end)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = (size_t)(end - text);
	int n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	if (!n || left < (size_t)n)
		return 0;
	for (int i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)
	    || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static int fail(struct check *c, const char *wrong)
{
	c->wrong = wrong;
	return -1;
}

static int check_str(struct check *c)
{
	c->p++;
	while (c->p < c->end) {
		unsigned char ch = (unsigned char)*c->p;
		if (ch == '"') {
			c->p++;
			return 0;
		}
		if (ch < 0x20)
			return fail(c, "control byte in a string");
		if (ch == '\\') {
			if (++c->p == c->end)
				break;
			if (*c->p == 'u') {
				if (hex4(c->p + 1, c->end) < 0)
					return fail(c, "bad escape");
				c->p += 5;
				continue;
			}
			if (!*c->p || !strchr("\"\\/bfnrt", *c->p))
				return fail(c, "bad escape");
			c->p++;
			continue;
		}
		int n = utf8_len(c->p, c->end);
		if (!n)
			return fail(c, "not UTF-8");
		c->p += n;
	}
	return fail(c, "cut short");
}

static int digits(struct check *c)
{
	const char *start = c->p;
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > start;
}

static int check_num(struct check *c)
{
	if (*c->p == '-')
		c->p++;
	const char *start = c->p;
	if (!digits(c) || (*start == '0' && c->p - start > 1))
		return fail(c, "bad number");
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (!digits(c))
			return fail(c, "bad number");
	}
	if (c->p < c->end && (*c->p | 32) == 'e') {
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (!digits(c))
			return fail(c, "bad number");
	}
	return 0;
}

static int check_word(struct check *c, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n))
		return fail(c, "unexpected text");
	c->p += n;
	return 0;
}

static int check_scalar(struct check *c)
{
	switch (*c->p) {
	case '"': return check_str(c);
	case 't': return check_word(c, "true");
	case 'f': return check_word(c, "false");
	case 'n': return check_word(c, "null");
	}
	if (*c->p == '-' || (*c->p >= '0' && *c->p <= '9'))
		return check_num(c);
	return fail(c, "unexpected text");
}

static int check_key(struct check *c)
{
	if (c->p == c->end || *c->p != '"')
		return fail(c, c->p == c->end ? "cut short" : "a key was expected");
	c->tokens++;
	if (check_str(c))
		return -1;
	skip_space(c);
	if (c->p == c->end || *c->p != ':')
		return fail(c, c->p == c->end ? "cut short" : "':' was expected");
	c->p++;
	skip_space(c);
	return 0;
}

static int check_doc(struct check *c)
{
	char stack[JSON_DEPTH];
	int depth = 0;
	skip_space(c);
	for (;;) {
		if (c->p == c->end)
			return fail(c, "cut short");
		if (++c->tokens > JSON_TOKENS)
			return fail(c, "");
		if (*c->p == '{' || *c->p == '[') {
			if (depth == JSON_DEPTH)
				return fail(c, "");
			char close = *c->p++ == '{' ? '}' : ']';
			stack[depth++] = close;
			skip_space(c);
			if (c->p < c->end && *c->p == close)
				goto closed;
			if (close == '}' && check_key(c))
				return -1;
			continue;
		}
		if (check_scalar(c))
			return -1;
		for (;;) {
			skip_space(c);
			if (!depth)
				return c->p == c->end ? 0 : fail(c, "text after the end");
			if (c->p == c->end)
				return fail(c, "cut short");
			if (*c->p == ',') {
				c->p++;
				skip_space(c);
				if (stack[depth - 1] == '}' && check_key(c))
					return -1;
				break;
			}
			if (*c->p != stack[depth - 1])
				return fail(c, "',' or a closing bracket was expected");
closed:
			c->p++;
			depth--;
		}
	}
}

/* The tokens of small documents are taken from here when they can be: ws-ls reads thousands, and musl gives each back to the kernel. */
static _Thread_local struct json_tok *spare;
static const int spare_tokens = 128;

static struct json_tok *take_tokens(int n)
{
	struct json_tok *tok = n <= spare_tokens ? spare : NULL;
	if (tok)
		spare = NULL;
	return tok ? tok : xalloc((size_t)(n < spare_tokens ? spare_tokens : n) * (sizeof *tok + sizeof(int)));
}

int json_parse(struct json *doc, const char *text, size_t len, struct why *why)
{
	*doc = (struct json){ .text = text, .len = len };
	if (len > JSON_BYTES)
		return why_set(why, R_TOO_BIG, "JSON of %zu bytes: more than %d", len, JSON_BYTES);
	struct check c = { .text = text, .p = text, .end = text + len };
	if (check_doc(&c)) {
		if (!*c.wrong)
			return why_set(why, R_TOO_BIG, "JSON is nested deeper than %d or has more than %d values",
			               JSON_DEPTH, JSON_TOKENS);
		return why_set(why, R_API_ERROR, "not JSON: %s at byte %zu", c.wrong, (size_t)(c.p - text));
	}
	doc->tok = take_tokens(c.tokens);
	doc->next = (int *)(doc->tok + c.tokens);
	jsmn_parser parser;
	jsmn_init(&parser);
	doc->count = jsmn_parse(&parser, text, len, &doc->tok->t, (unsigned)c.tokens);
	if (doc->count != c.tokens) {
		json_free(doc);
		return why_set(why, R_API_ERROR, "not JSON");
	}
	for (int i = doc->count - 1; i >= 0; i--) {
		int at = i + 1;
		for (int n = doc->tok[i].t.size; n > 0; n--)
			at = doc->next[at];
		doc->next[i] = at;
	}
	return 0;
}

void json_free(struct json *doc)
{
	if (doc->tok && !spare && doc->count <= spare_tokens)
		spare = doc->tok;
	else
		free(doc->tok);
	*doc = (struct json){0};
}

enum json_kind json_kind(const struct json *doc, int v)
{
	if (v < 0 || v >= doc->count)
		return JSON_NONE;
	switch (doc->tok[v].t.type) {
	case JSMN_OBJECT: return JSON_OBJ;
	case JSMN_ARRAY: return JSON_ARR;
	case JSMN_STRING: return JSON_STR;
	default: break;
	}
	switch (doc->text[doc->tok[v].t.start]) {
	case 'n': return JSON_NULL;
	case 't': case 'f': return JSON_BOOL;
	}
	return JSON_NUM;
}

int json_is_null(const struct json *doc, int v)
{
	return json_kind(doc, v) <= JSON_NULL;
}

struct json_iter json_each(const struct json *doc, int v)
{
	enum json_kind kind = json_kind(doc, v);
	struct json_iter i = { .key = -1, .value = -1, .doc = doc, .is_obj = kind == JSON_OBJ };
	if (kind == JSON_OBJ || kind == JSON_ARR) {
		i.at = v + 1;
		i.end = doc->next[v];
	}
	return i;
}

int json_next(struct json_iter *i)
{
	if (i->at >= i->end)
		return 0;
	if (i->is_obj)
		i->key = i->at++;
	i->value = i->at;
	i->at = i->doc->next[i->at];
	return 1;
}

int json_count(const struct json *doc, int v)
{
	enum json_kind kind = json_kind(doc, v);
	return kind == JSON_OBJ || kind == JSON_ARR ? doc->tok[v].t.size : 0;
}

int json_find(const struct json *doc, int obj, const char *key)
{
	int found = -1;
	size_t len = strlen(key);
	if (json_kind(doc, obj) != JSON_OBJ)
		return -1;
	for (struct json_iter i = json_each(doc, obj); json_next(&i); ) {
		const char *p = doc->text + doc->tok[i.key].t.start;
		size_t n = (size_t)(doc->tok[i.key].t.end - doc->tok[i.key].t.start);
		/* escapes only make it longer */
		if (n == len ? !memcmp(p, key, n) : n > len && (*p == *key || *p == '\\') && json_str_eq(doc, i.key, key))
			found = i.value;
	}
	return found;
}

int json_get(const struct json *doc, int obj, const char *key)
{
	int v = json_find(doc, obj, key);
	return json_is_null(doc, v) ? -1 : v;
}

static int element(const struct json *doc, int v, const char *number)
{
	long long n;
	if (str_num(number, 0, JSON_TOKENS, &n))
		return -1;
	for (struct json_iter i = json_each(doc, v); json_next(&i); )
		if (!n--)
			return json_is_null(doc, i.value) ? -1 : i.value;
	return -1;
}

int json_at(const struct json *doc, const char *path)
{
	int v = 0;
	while (v >= 0 && *path) {
		char key[256];
		size_t n = strcspn(path, ".");
		if (str_copy_slice(key, sizeof key, (struct slice){ path, n }) < 0)
			return -1;
		v = json_kind(doc, v) == JSON_ARR ? element(doc, v, key) : json_get(doc, v, key);
		path += n + (path[n] == '.');
	}
	return json_is_null(doc, v) ? -1 : v;
}

struct slice json_raw(const struct json *doc, int v)
{
	if (json_kind(doc, v) == JSON_NONE)
		return (struct slice){0};
	int quote = doc->tok[v].t.type == JSMN_STRING;
	return (struct slice){ doc->text + doc->tok[v].t.start - quote,
	                       (size_t)(doc->tok[v].t.end - doc->tok[v].t.start + 2 * quote) };
}

static size_t put_utf8(char *dst, unsigned c)
{
	if (c < 0x80) {
		dst[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		dst[0] = (char)(0xc0 | c >> 6);
		dst[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		dst[0] = (char)(0xe0 | c >> 12);
		dst[1] = (char)(0x80 | (c >> 6 & 63));
		dst[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	dst[0] = (char)(0xf0 | c >> 18);
	dst[1] = (char)(0x80 | (c >> 12 & 63));
	dst[2] = (char)(0x80 | (c >> 6 & 63));
	dst[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* The next piece of a checked string: *p moves on, out has room for 4 bytes. */
static size_t next_piece(const char **p, const char *end, char *out)
{
	const char *s = *p;
	if (*s != '\\') {
		out[0] = *s;
		*p = s + 1;
		return 1;
	}
	if (s[1] != 'u') {
		static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
		const char *at = strchr(from, s[1]);
		out[0] = at ? to[at - from] : s[1];
		*p = s + 2;
		return 1;
	}
	unsigned c = (unsigned)hex4(s + 2, end);
	*p = s + 6;
	if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
		unsigned low = (unsigned)hex4(*p + 2, end);
		if (low >= 0xdc00 && low < 0xe000) {
			*p += 6;
			return put_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
		}
	}
	if (c >= 0xd800 && c < 0xe000)
		c = 0xfffd;
	return put_utf8(out, c);
}

static int unescape(const struct json *doc, int v, char *dst, size_t size, int with_nul, size_t *len)
{
	const char *p = doc->text + doc->tok[v].t.start, *end = doc->text + doc->tok[v].t.end;
	size_t n = 0;
	while (p < end) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));
		size_t plain = (size_t)((slash ? slash : end) - p);
		if (plain) {
			if (n + plain >= size)
				return -1;
			memcpy(dst + n, p, plain);
			n += plain;
			p += plain;
			continue;
		}
		char piece[4];
		size_t m = next_piece(&p, end, piece);
		if (n + m >= size || (!piece[0] && !with_nul))
			return -1;
		memcpy(dst + n, piece, m);
		n += m;
	}
	dst[n] = 0;
	*len = n;
	return 0;
}

int json_str(const struct json *doc, int v, char *dst, size_t size)
{
	size_t len;
	if (size)
		dst[0] = 0;
	if (!size || json_kind(doc, v) != JSON_STR)
		return -1;
	if (unescape(doc, v, dst, size, 0, &len)) {
		dst[0] = 0;
		return -1;
	}
	return (int)len;
}

int json_text(const struct json *doc, int obj, const char *key, char *dst, size_t size)
{
	return json_str(doc, json_get(doc, obj, key), dst, size);
}

int json_is_true(const struct json *doc, int obj, const char *key)
{
	return json_bool(doc, json_get(doc, obj, key)) == 1;
}

char *json_dup(const struct json *doc, int v, size_t *len)
{
	size_t n;
	if (json_kind(doc, v) != JSON_STR)
		return NULL;
	size_t size = (size_t)(doc->tok[v].t.end - doc->tok[v].t.start) + 1;
	char *dst = xalloc(size);	/* an escape is never shorter than what it stands for */
	if (unescape(doc, v, dst, size, len != NULL, &n)) {
		free(dst);
		return NULL;
	}
	if (len)
		*len = n;
	return dst;
}

void json_alone(struct slice value, char *dst, size_t size)
{
	struct json j;
	struct why ignored;
	*dst = 0;
	if (!value.p || json_parse(&j, value.p, value.len, &ignored) < 0)
		return;
	/* too long for us is cut rather than lost */
	char *whole = json_dup(&j, 0, NULL);
	if (whole)
		str_copy(dst, size, whole);
	free(whole);
	json_free(&j);
}

int json_str_eq(const struct json *doc, int v, const char *text)
{
	if (json_kind(doc, v) != JSON_STR)
		return 0;
	const char *p = doc->text + doc->tok[v].t.start, *end = doc->text + doc->tok[v].t.end;
	if (p < end && *p != '\\' && *p != *text)
		return 0;		/* most keys differ in their first letter */
	while (p < end) {
		char piece[4];
		size_t n = next_piece(&p, end, piece);
		if (!piece[0] || strncmp(text, piece, n))
			return 0;
		text += n;
	}
	return !*text;
}

int json_num(const struct json *doc, int v, long long *out)
{
	char text[32];
	if (json_kind(doc, v) != JSON_NUM || str_copy_slice(text, sizeof text, json_raw(doc, v)) < 0)
		return -1;
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (*end || errno)
		return -1;
	*out = n;
	return 0;
}

int json_dbl(const struct json *doc, int v, double *out)
{
	char text[64];
	if (json_kind(doc, v) != JSON_NUM || str_copy_slice(text, sizeof text, json_raw(doc, v)) < 0)
		return -1;
	*out = strtod(text, NULL);
	return 0;
}

int json_bool(const struct json *doc, int v)
{
	if (json_kind(doc, v) != JSON_BOOL)
		return -1;
	return doc->text[doc->tok[v].t.start] == 't';
}

/* A value that is complete never ends in one of these, so the last byte says whether a comma is due. */
static void begin(struct buf *b, const char *key)
{
	if (b->len && !strchr("{[:,\n", b->p[b->len - 1]))
		buf_ch(b, ',');
	if (key) {
		rec_json_str(b, key, strlen(key));
		buf_ch(b, ':');
	}
}

void json_w_obj(struct buf *b, const char *key)
{
	begin(b, key);
	buf_ch(b, '{');
}

void json_w_arr(struct buf *b, const char *key)
{
	begin(b, key);
	buf_ch(b, '[');
}

void json_w_end(struct buf *b, char bracket)
{
	buf_ch(b, bracket);
}

void json_w_str(struct buf *b, const char *key, const char *s)
{
	begin(b, key);
	if (s)
		rec_json_str(b, s, strlen(s));
	else
		buf_str(b, "null");
}

void json_w_num(struct buf *b, const char *key, long long n)
{
	begin(b, key);
	buf_fmt(b, "%lld", n);
}

void json_w_bool(struct buf *b, const char *key, int yes)
{
	begin(b, key);
	buf_str(b, yes ? "true" : "false");
}

void json_w_raw(struct buf *b, const char *key, const char *raw, size_t len)
{
	begin(b, key);
	buf_add(b, raw, len);
}

static void nested(struct buf *dst, const char *const *keys, const char *raw)
{
	int depth = 0;
	for (; *keys; keys++, depth++) {
		rec_json_str(dst, *keys, strlen(*keys));
		buf_ch(dst, ':');
		if (keys[1])
			buf_ch(dst, '{');
	}
	buf_str(dst, raw);
	while (--depth > 0)
		buf_ch(dst, '}');
}

static int add_text(struct buf *dst, const char *from, const char *to)
{
	return buf_add(dst, from, (size_t)(to - from));
}

static void without(struct buf *dst, const struct json *doc, int obj, const char *key)
{
	int first = 1;
	buf_ch(dst, '{');
	for (struct json_iter i = json_each(doc, obj); json_next(&i); ) {
		if (json_str_eq(doc, i.key, key))
			continue;
		struct slice k = json_raw(doc, i.key), v = json_raw(doc, i.value);
		if (!first)
			buf_ch(dst, ',');
		first = 0;
		add_text(dst, k.p, v.p + v.len);
	}
	buf_ch(dst, '}');
}

int json_set_keys(struct buf *dst, const struct json *doc, const char *const *keys, const char *raw)
{
	const char *text = doc->text, *end = doc->text + doc->len;
	int obj = 0;
	for (;; keys++) {
		if (json_kind(doc, obj) != JSON_OBJ || !*keys)
			return -1;
		int v = json_find(doc, obj, *keys);
		struct slice whole = json_raw(doc, obj), old = json_raw(doc, v);
		if (v < 0 && !raw)
			return add_text(dst, text, end);
		if (v < 0) {
			const char *open = whole.p + 1;
			add_text(dst, text, open);
			nested(dst, keys, raw);
			if (json_count(doc, obj))
				buf_ch(dst, ',');
			return add_text(dst, open, end);
		}
		if (keys[1] && json_kind(doc, v) == JSON_NULL) {
			if (!raw)
				return add_text(dst, text, end);
			add_text(dst, text, old.p);
			buf_ch(dst, '{');
			nested(dst, keys + 1, raw);
			buf_ch(dst, '}');
			return add_text(dst, old.p + old.len, end);
		}
		if (keys[1]) {
			obj = v;
			continue;
		}
		if (raw) {
			add_text(dst, text, old.p);
			buf_str(dst, raw);
			return add_text(dst, old.p + old.len, end);
		}
		add_text(dst, text, whole.p);
		without(dst, doc, obj, *keys);
		return add_text(dst, whole.p + whole.len, end);
	}
}

int json_set(struct buf *dst, const struct json *doc, const char *path, const char *raw)
{
	char copy[512];
	const char *keys[JSON_DEPTH + 1];
	int n = 0;
	if (str_copy(copy, sizeof copy, path) < 0)
		return -1;
	for (char *p = copy; p && n < JSON_DEPTH; n++) {
		keys[n] = p;
		p = strchr(p, '.');
		if (p)
			*p++ = 0;
	}
	keys[n] = NULL;
	return json_set_keys(dst, doc, keys, raw);
}

/* The byte after the string that begins at p, or NULL. */
static const char *skip_str(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		const char *quote = memchr(p, '"', (size_t)(end - p));
		if (!quote)
			return NULL;
		int slashes = 0;
		while (quote - slashes > p && quote[-slashes - 1] == '\\')
			slashes++;
		if (!(slashes & 1))
			return quote + 1;
		p = quote;
	}
	return NULL;
}

static int is_end(char c)
{
	return c == ',' || c == ':' || c == '}' || c == ']' || c == '{' || c == '[' || c == '"' || is_space((unsigned char)c);
}

/* The byte after the value that begins at p, or NULL. Brackets are counted, not matched by kind. */
static const char *skip_value(const char *p, const char *end)
{
	int depth = 0;
	while (p < end) {
		switch (*p) {
		case '"':
			p = skip_str(p, end);
			if (!p)
				return NULL;
			break;
		case '{': case '[':
			if (++depth > JSON_DEPTH)
				return NULL;
			p++;
			break;
		case '}': case ']':
			if (!depth--)
				return NULL;
			p++;
			break;
		case ',': case ':': case ' ': case '\t': case '\r': case '\n':
			if (!depth)
				return NULL;
			p++;
			continue;
		default:
			while (p < end && !is_end(*p))
				p++;
		}
		if (!depth)
			return p;
	}
	return NULL;
}

int json_top(const char *line, size_t len, struct json_want *want, int n)
{
	struct check c = { .p = line, .end = line + len };
	for (int i = 0; i < n; i++)
		want[i].value = (struct slice){0};
	skip_space(&c);
	if (c.p == c.end || *c.p++ != '{')
		return -1;
	skip_space(&c);
	if (c.p < c.end && *c.p == '}')
		return 0;
	for (;;) {
		skip_space(&c);
		if (c.p == c.end || *c.p != '"')
			return -1;
		struct slice key = { c.p + 1, 0 };
		if (!(c.p = skip_str(c.p, c.end)))
			return -1;
		key.len = (size_t)(c.p - key.p - 1);
		skip_space(&c);
		if (c.p == c.end || *c.p++ != ':')
			return -1;
		skip_space(&c);
		struct slice value = { c.p, 0 };
		if (!(c.p = skip_value(c.p, c.end)))
			return -1;
		value.len = (size_t)(c.p - value.p);
		for (int i = 0; i < n; i++)
			if (slice_eq(key, want[i].key))
				want[i].value = slice_eq(value, "null") ? (struct slice){0} : value;
		skip_space(&c);
		if (c.p == c.end || (*c.p != ',' && *c.p != '}'))
			return -1;
		if (*c.p++ == '}')
			return 0;
	}
}

enum place { BEFORE, FIRST, KEY, IN_KEY, COLON, VALUE, IN_STR, IN_SCALAR, IN_NEST, AFTER, DONE };

/* Level 0 is the document, level 1 the list that is walked; deeper values are only counted through. */
struct json_scan_state {
	struct { enum place place; int is_obj; } at[2];
	int level, depth, in_str, escaped;
	unsigned long long kinds;	/* one bit a depth: the bracket that must close it */
	int matched;
	struct buf key, text;
};

static int scan_wrong(struct why *why)
{
	return why_set(why, R_API_ERROR, "the list is not JSON");
}

static int scan_value_end(struct json_scan *j)
{
	struct json_scan_state *s = j->s;
	s->at[s->level].place = AFTER;
	if (s->level != 1)
		return 0;
	j->found++;
	int stop = j->fn(j->ctx, (struct slice){ buf_cstr(&s->key), s->key.len }, buf_cstr(&s->text), s->text.len);
	buf_clear(&s->text);
	return stop;
}

/* A container that is the document, or the wanted member, is gone into; -1: it is not. */
static int scan_enter(struct json_scan *j, char c)
{
	struct json_scan_state *s = j->s;
	if (c != '{' && c != '[')
		return -1;
	if (s->at[0].place == BEFORE && j->key) {
		if (c != '{')
			return -1;
		s->at[0].place = FIRST;
		s->at[0].is_obj = 1;
		return 0;
	}
	if (s->level || (j->key && !s->matched))
		return -1;
	j->seen = 1;
	s->at[0].place = AFTER;
	s->level = 1;
	s->at[1].place = FIRST;
	s->at[1].is_obj = c == '{';
	return 0;
}

static int scan_value_start(struct json_scan *j, char c, struct why *why)
{
	struct json_scan_state *s = j->s;
	enum place *place = &s->at[s->level].place;
	if (!scan_enter(j, c))
		return 0;
	if (*place == BEFORE || (!s->level && s->matched && c != 'n'))
		return scan_wrong(why);
	if (c == '{' || c == '[') {
		*place = IN_NEST;
		s->depth = 1;
		s->kinds = c == '{';
	} else if (c == '"') {
		*place = IN_STR;
	} else if (c && strchr("-0123456789tfn", c)) {
		*place = IN_SCALAR;
	} else {
		return scan_wrong(why);
	}
	if (s->level == 1)
		buf_ch(&s->text, c);
	return 0;
}

static int scan_nest(struct json_scan *j, char c, struct why *why)
{
	struct json_scan_state *s = j->s;
	if (s->in_str) {
		if (s->escaped)
			s->escaped = 0;
		else if (c == '\\')
			s->escaped = 1;
		else if (c == '"')
			s->in_str = 0;
		return 0;
	}
	switch (c) {
	case '"': s->in_str = 1; break;
	case '{': case '[':
		if (s->depth == JSON_DEPTH)
			return why_set(why, R_TOO_BIG, "JSON is nested deeper than %d", JSON_DEPTH);
		s->depth++;
		s->kinds = s->kinds << 1 | (c == '{');
		break;
	case '}': case ']':
		if ((s->kinds & 1) != (c == '}'))
			return scan_wrong(why);
		s->kinds >>= 1;
		if (!--s->depth)
			return scan_value_end(j);
		break;
	}
	return 0;
}

static int scan_close(struct json_scan *j, char c, struct why *why)
{
	struct json_scan_state *s = j->s;
	if ((c == '}') != s->at[s->level].is_obj)
		return scan_wrong(why);
	if (s->level == 1) {
		s->level = 0;
		s->matched = 0;
		s->at[0].place = j->key ? AFTER : DONE;
	} else {
		s->at[0].place = DONE;
	}
	return 0;
}

static int scan_key_byte(struct json_scan *j, char c)
{
	struct json_scan_state *s = j->s;
	if (!s->escaped && c == '"') {
		s->at[s->level].place = COLON;
		if (!s->level && j->key)
			s->matched = !s->key.over && str_eq(buf_cstr(&s->key), j->key);
		return 0;
	}
	s->escaped = !s->escaped && c == '\\';
	if (s->key.over)
		return s->level;	/* a long name is only fatal where it is handed out */
	buf_ch(&s->key, c);
	return 0;
}

static int scan_byte(struct json_scan *j, char c, struct why *why)
{
	struct json_scan_state *s = j->s;
	enum place *place = &s->at[s->level].place;
	switch (*place) {
	case IN_KEY:
		if (scan_key_byte(j, c))
			return why_set(why, R_TOO_BIG, "a name in the list is too long");
		return 0;
	case IN_STR:
		if (s->level == 1)
			buf_ch(&s->text, c);
		if (!s->escaped && c == '"')
			return scan_value_end(j);
		s->escaped = !s->escaped && c == '\\';
		return 0;
	case IN_NEST:
		if (s->level == 1)
			buf_ch(&s->text, c);
		return scan_nest(j, c, why);
	case IN_SCALAR:
		if (!is_space((unsigned char)c) && c != ',' && c != '}' && c != ']') {
			if (s->level == 1)
				buf_ch(&s->text, c);
			return 0;
		}
		int stop = scan_value_end(j);
		if (stop)
			return stop;
		place = &s->at[s->level].place;
		break;
	default:
		break;
	}
	if (is_space((unsigned char)c))
		return 0;
	switch (*place) {
	case FIRST:
		if (c == '}' || c == ']')
			return scan_close(j, c, why);
		*place = s->at[s->level].is_obj ? KEY : VALUE;
		return scan_byte(j, c, why);
	case KEY:
		if (c != '"')
			return scan_wrong(why);
		buf_clear(&s->key);
		*place = IN_KEY;
		return 0;
	case COLON:
		if (c != ':')
			return scan_wrong(why);
		*place = VALUE;
		return 0;
	case BEFORE: case VALUE:
		return scan_value_start(j, c, why);
	case AFTER:
		if (c == ',') {
			*place = s->at[s->level].is_obj ? KEY : VALUE;
			return 0;
		}
		if (c == '}' || c == ']')
			return scan_close(j, c, why);
		return scan_wrong(why);
	default:
		return scan_wrong(why);
	}
}

/* Most bytes are the inside of strings and of values nobody asked for: taken in one go. */
static size_t scan_run(struct json_scan_state *s, const char *p, size_t len)
{
	enum place place = s->at[s->level].place;
	int inside = place == IN_STR || (place == IN_NEST && s->in_str);
	if ((place != IN_NEST && !inside) || s->escaped)
		return 0;
	size_t n = 0;
	if (inside)
		while (n < len && p[n] != '"' && p[n] != '\\')
			n++;
	else
		while (n < len && p[n] != '"' && (p[n] | 32) != '{' && (p[n] | 32) != '}')
			n++;
	if (s->level == 1 && n)
		buf_add(&s->text, p, n);
	return n;
}

int json_scan_feed(struct json_scan *j, const char *p, size_t len, struct why *why)
{
	if (!j->s) {
		j->s = xalloc(sizeof *j->s);
		j->s->text.max = j->max ? j->max : 1 << 20;
		j->s->key.max = 1024;
	}
	while (len) {
		size_t n = scan_run(j->s, p, len);
		if (!n) {
			int stop = scan_byte(j, *p, why);
			if (stop)
				return stop;
			n = 1;
		}
		if (j->s->text.over)
			return why_set(why, R_TOO_BIG, "an element of the list is larger than %zu bytes", j->s->text.max);
		p += n;
		len -= n;
	}
	return 0;
}

int json_scan_end(struct json_scan *j, struct why *why)
{
	int whole = j->s && j->s->at[0].place == DONE && !j->s->level;
	json_scan_free(j);
	return whole ? 0 : why_set(why, R_API_ERROR, "the list is cut short");
}

void json_scan_free(struct json_scan *j)
{
	if (!j->s)
		return;
	buf_free(&j->s->key);
	buf_free(&j->s->text);
	free(j->s);
	j->s = NULL;
}
