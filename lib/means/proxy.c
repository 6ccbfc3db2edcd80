/* proxy - what clients say to a proxy, and what is said to the next one */
#include "proxy.h"
#include "str.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- pieces ---- */

static int is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) && !memchr("!#$%&'*+-.^_`|~", s.p[i], 15))
			return 0;
	return s.len > 0;
}

static int is_plain(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return 0;
	return 1;
}

static int same_word(struct slice s, const char *word)
{
	return s.len == strlen(word) && !strncasecmp(s.p, word, s.len);
}

/* The text up to mark, which is taken off as well; without one, all of it. */
static struct slice cut(struct slice *s, char mark)
{
	const char *at = s->len ? memchr(s->p, mark, s->len) : NULL;
	struct slice front = { s->p, at ? (size_t)(at - s->p) : s->len };
	size_t used = front.len + (at != NULL);
	s->p += used;
	s->len -= used;
	return front;
}

static int sextet(int c)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(set, c) : NULL;
	return at ? (int)(at - set) : -1;
}

static int from_base64(struct slice s, char *dst, size_t size)
{
	unsigned bits = 0, n = 0;
	size_t len = 0;
	while (s.len && s.p[s.len - 1] == '=')
		s.len--;
	for (size_t i = 0; i < s.len; i++) {
		int v = sextet((unsigned char)s.p[i]);
		if (v < 0)
			return -1;
		bits = bits << 6 | (unsigned)v;
		n += 6;
		if (n < 8)
			continue;
		n -= 8;
		char c = (char)(bits >> n);
		if (!c || len + 1 >= size)
			return -1;
		dst[len++] = c;
	}
	dst[len] = 0;
	return 0;
}

static int to_base64(const char *p, size_t len, char *dst, size_t size)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t at = 0;
	if (size < (len + 2) / 3 * 4 + 1)
		return -1;
	for (size_t i = 0; i < len; i += 3) {
		unsigned v = (unsigned)(unsigned char)p[i] << 16;
		v |= i + 1 < len ? (unsigned)(unsigned char)p[i + 1] << 8 : 0;
		v |= i + 2 < len ? (unsigned char)p[i + 2] : 0;
		dst[at++] = set[v >> 18];
		dst[at++] = set[v >> 12 & 63];
		dst[at++] = i + 1 < len ? set[v >> 6 & 63] : '=';
		dst[at++] = i + 2 < len ? set[v & 63] : '=';
	}
	dst[at] = 0;
	return 0;
}

/* A host's name or address, made plain. */
static int take_host(struct slice s, char dst[static 256])
{
	unsigned char ip[16];
	int v6 = s.len > 2 && s.p[0] == '[' && s.p[s.len - 1] == ']';
	if (v6)
		s = (struct slice){ s.p + 1, s.len - 2 };
	if (!s.len || str_copy_slice(dst, 256, s) < 0 || strlen(dst) != s.len)
		return -1;
	for (char *p = dst; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p += 32;
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p) && !(v6 && *p == ':'))
			return -1;
	}
	if (v6)
		return inet_pton(AF_INET6, dst, ip) == 1 ? 0 : -1;
	size_t n = strlen(dst);
	if (n > 1 && dst[n - 1] == '.')
		dst[n - 1] = 0;
	return *dst == '.' || *dst == '-' || strstr(dst, "..") ? -1 : 0;
}

/* HOST:PORT, HOST, [V6]:PORT; port 0 means that it has to be given. */
static int authority(struct slice s, int port, char host[static 256], int *out)
{
	char digits[8];
	long long n = port;
	size_t len = s.len;
	if (len && *s.p == '[') {
		const char *end = memchr(s.p, ']', len);
		len = end ? (size_t)(end + 1 - s.p) : 0;
	} else if (len) {
		const char *colon = memchr(s.p, ':', len);
		len = colon ? (size_t)(colon - s.p) : len;
	}
	if (take_host((struct slice){ s.p, len }, host) < 0)
		return -1;
	if (len < s.len) {
		if (s.p[len] != ':' || str_copy_slice(digits, sizeof digits, (struct slice){ s.p + len + 1, s.len - len - 1 }) < 0)
			return -1;
		if (strspn(digits, "0123456789") != strlen(digits) || str_num(digits, 1, 65535, &n) < 0)
			return -1;
	}
	*out = (int)n;
	return n ? 0 : -1;
}

/* ---- HTTP ---- */

/* 0: its blank line has not come; -1: too long or not a head at all. */
static int head_length(const char *p, size_t len)
{
	size_t most = len < PROXY_HEAD ? len : PROXY_HEAD;
	const char *end = most >= 4 ? memmem(p, most, "\r\n\r\n", 4) : NULL;
	if (end)
		return (int)(end + 4 - p);
	return len >= PROXY_HEAD ? -1 : 0;
}

/* The next line of a head, without its CR LF; 0 at the blank one; -1 when it is malformed. */
static int next_line(struct slice *head, struct slice *line)
{
	const char *eol = memmem(head->p, head->len, "\r\n", 2);
	if (!eol)
		return -1;
	*line = (struct slice){ head->p, (size_t)(eol - head->p) };
	head->p += line->len + 2;
	head->len -= line->len + 2;
	return !is_plain(*line) ? -1 : line->len > 0;
}

static int request_line(struct slice line, struct slice *method, struct slice *target)
{
	*method = cut(&line, ' ');
	*target = cut(&line, ' ');
	return is_token(*method) && target->len && (slice_eq(line, "HTTP/1.1") || slice_eq(line, "HTTP/1.0")) ? 0 : -1;
}

/* http://HOST[:PORT]/PATH: path is what the origin is asked for. */
static int whole_uri(struct slice uri, struct proxy_req *r, struct slice *path, struct slice *where)
{
	if (uri.len < 8 || strncasecmp(uri.p, "http://", 7))
		return -1;
	uri.p += 7;
	uri.len -= 7;
	size_t n = 0;
	while (n < uri.len && !memchr("/?#", uri.p[n], 3))
		n++;
	*where = (struct slice){ uri.p, n };
	*path = (struct slice){ uri.p + n, uri.len - n };
	return memchr(path->p, '#', path->len) ? -1 : authority(*where, 80, r->host, &r->port);
}

static int header(struct slice line, struct slice *name, struct slice *value)
{
	*value = line;
	*name = cut(value, ':');
	if (name->len == line.len || !is_token(*name))
		return -1;
	*value = slice_trim(*value);
	return 0;
}

static int take_cred(struct slice value, struct proxy_req *r)
{
	struct slice scheme = cut(&value, ' ');
	if (!same_word(scheme, "Basic"))
		return 0;
	return from_base64(slice_trim(value), r->cred, sizeof r->cred);
}

int proxy_http(const char *p, size_t len, struct proxy_req *r)
{
	struct slice line, method, target, path, where, name, value;
	int used = head_length(p, len), lengths = 0, coded = 0, rc;
	memset(r, 0, sizeof *r);
	/* Something that is no request need not be waited for. */
	if (len && !isalpha((unsigned char)*p))
		return -1;
	if (used <= 0)
		return used;
	struct slice head = { p, (size_t)used };
	if (next_line(&head, &line) != 1 || request_line(line, &method, &target) < 0)
		return -1;
	r->is_connect = slice_eq(method, "CONNECT");
	if (r->is_connect ? authority(target, 0, r->host, &r->port) : whole_uri(target, r, &path, &where))
		return -1;
	while ((rc = next_line(&head, &line)) == 1) {
		if (header(line, &name, &value) < 0)
			return -1;
		lengths += same_word(name, "Content-Length");
		coded += same_word(name, "Transfer-Encoding");
		if (same_word(name, "Proxy-Authorization") && (*r->cred || take_cred(value, r) < 0))
			return -1;
	}
	return rc < 0 || head.len || lengths > 1 || coded > 1 || (lengths && coded) ? -1 : used;
}

static int is_for_us(struct slice name)
{
	static const char *const words[] = {
		"Proxy-Authorization", "Proxy-Connection", "Connection", "Keep-Alive", "Host", "TE",
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (same_word(name, words[i]))
			return 1;
	return 0;
}

int proxy_rewrite(const char *p, size_t len, const struct proxy_req *r, const char *auth, struct buf *out)
{
	struct slice head = { p, len }, line, method, target, path, where, name, value;
	struct proxy_req ignored;
	int upgrade = 0;
	if (r->is_connect || next_line(&head, &line) != 1 || request_line(line, &method, &target) < 0
		|| whole_uri(target, &ignored, &path, &where) < 0)
		return -1;
	const char *slash = path.len && *path.p == '/' ? "" : "/";
	buf_fmt(out, "%.*s ", (int)method.len, method.p);
	if (auth)
		buf_fmt(out, "http://%.*s", (int)where.len, where.p);
	buf_fmt(out, "%s%.*s HTTP/1.1\r\nHost: %.*s\r\n", slash, (int)path.len, path.p, (int)where.len, where.p);
	while (next_line(&head, &line) == 1 && header(line, &name, &value) == 0) {
		upgrade |= same_word(name, "Upgrade");
		if (!is_for_us(name))
			buf_fmt(out, "%.*s: %.*s\r\n", (int)name.len, name.p, (int)value.len, value.p);
	}
	if (auth && *auth)
		buf_fmt(out, "Proxy-Authorization: %s\r\n", auth);
	buf_fmt(out, "Connection: %s\r\n\r\n", upgrade ? "Upgrade" : "close");
	return out->over ? -1 : 0;
}

int proxy_answer(const char *p, size_t len, int *status)
{
	int used = head_length(p, len);
	if (len >= 7 && memcmp(p, "HTTP/1.", 7))
		return -1;
	if (used <= 0)
		return used;
	if (used < 16 || (p[7] != '0' && p[7] != '1') || p[8] != ' ' || memchr(p, 0, (size_t)used))
		return -1;
	*status = 0;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		*status = *status * 10 + (p[i] - '0');
	}
	return (p[12] == ' ' || p[12] == '\r') && *status >= 100 ? used : -1;
}

/* ---- SOCKS5 (RFC 1928, 1929) ---- */

int proxy_socks_hello(const unsigned char *p, size_t len, int *methods)
{
	*methods = 0;
	if (len && p[0] != 5)
		return -1;
	if (len < 2 || len < 2 + (size_t)p[1])
		return 0;
	for (int i = 0; i < p[1]; i++)
		*methods |= p[2 + i] == 0 ? 1 : p[2 + i] == 2 ? 2 : 0;
	return 2 + p[1];
}

int proxy_socks_cred(const unsigned char *p, size_t len, char cred[static PROXY_CRED])
{
	*cred = 0;
	if (len && p[0] != 1)
		return -1;
	if (len < 2 || len < 3 + (size_t)p[1])
		return 0;
	size_t user = p[1], password = p[2 + user], all = 3 + user + password;
	if (len < all)
		return 0;
	if (memchr(p + 2, 0, user) || memchr(p + 3 + user, 0, password))
		return -1;
	str_fmt(cred, PROXY_CRED, "%.*s:%.*s", (int)user, (const char *)p + 2, (int)password, (const char *)p + 3 + user);
	return (int)all;
}

int proxy_socks_request(const unsigned char *p, size_t len, struct proxy_req *r, int *reply)
{
	char cred[PROXY_CRED];
	str_copy(cred, sizeof cred, r->cred);
	memset(r, 0, sizeof *r);
	str_copy(r->cred, sizeof r->cred, cred);
	r->is_connect = 1;
	*reply = 1;
	if (len && p[0] != 5)
		return -1;
	if (len < 5)
		return 0;
	size_t size = p[3] == 1 ? 4 : p[3] == 4 ? 16 : p[3] == 3 ? 1 + (size_t)p[4] : 0;
	if (!size) {
		*reply = 8;
		return -1;
	}
	if (len < 4 + size + 2)
		return 0;
	if (p[1] != 1) {
		*reply = 7;
		return -1;
	}
	r->port = p[4 + size] << 8 | p[5 + size];
	if (p[3] != 3)
		inet_ntop(p[3] == 1 ? AF_INET : AF_INET6, p + 4, r->host, sizeof r->host);
	else {
		/* Some write an IPv6 address as a name. */
		struct slice name = { (const char *)p + 5, p[4] };
		char text[258];
		int v6 = memchr(name.p, ':', name.len) != NULL;
		if (memchr(name.p, 0, name.len) || str_fmt(text, sizeof text, v6 ? "[%.*s]" : "%.*s", (int)name.len, name.p) < 0)
			return -1;
		if (take_host((struct slice){ text, strlen(text) }, r->host) < 0)
			return -1;
	}
	return r->port ? (int)(4 + size + 2) : -1;
}

/* ---- the next proxy ---- */

static int unescape(struct slice s, char *dst, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (c == '%' && i + 2 < s.len && isxdigit((unsigned char)s.p[i + 1]) && isxdigit((unsigned char)s.p[i + 2])) {
			const char *hex = "0123456789abcdef";
			c = (char)((strchr(hex, tolower(s.p[i + 1])) - hex) << 4 | (strchr(hex, tolower(s.p[i + 2])) - hex));
			i += 2;
		}
		if (!c || n + 1 >= size)
			return -1;
		dst[n++] = c;
	}
	dst[n] = 0;
	return 0;
}

int proxy_next(const char *url, struct proxy_next *next)
{
	char cred[600];
	struct slice s = { url, strlen(url) };
	memset(next, 0, sizeof *next);
	if (str_starts(url, "http://"))
		s = (struct slice){ url + 7, s.len - 7 };
	else if (strstr(url, "://"))
		return -1;
	size_t n = 0;
	while (n < s.len && !memchr("/?#", s.p[n], 3))
		n++;
	s.len = n;
	const char *at = s.len ? memrchr(s.p, '@', s.len) : NULL;
	if (at) {
		struct slice who = { s.p, (size_t)(at - s.p) };
		if (unescape(who, cred, sizeof cred) < 0)
			return -1;
		if (!memchr(who.p, ':', who.len) && str_fmt(cred + strlen(cred), sizeof cred - strlen(cred), ":") < 0)
			return -1;
		str_copy(next->auth, sizeof next->auth, "Basic ");
		if (to_base64(cred, strlen(cred), next->auth + 6, sizeof next->auth - 6) < 0)
			return -1;
		s = (struct slice){ at + 1, s.len - who.len - 1 };
	}
	/* libcurl's own default; other programs take 80, so that people always write it */
	return authority(s, 1080, next->host, &next->port);
}

int proxy_same(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned char differ = n != m;
	for (size_t i = 0; i < m; i++)
		differ |= (unsigned char)(a[n ? i % n : 0] ^ b[i]);
	return !differ;
}
