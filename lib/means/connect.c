/* connect - what a proxy says when it is asked for a tunnel */
#include "connect.h"
#include "clock.h"
#include "dial.h"
#include "str.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 };	/* for a body after its head */

static int is_tag(const char *p, const char *end, const char *name)
{
	size_t n = strlen(name);
	return (size_t)(end - p) > n && !strncasecmp(p + 1, name, n);
}

/* Behind the tag at p, or behind the whole element when nobody reads what is in it. */
static const char *skip_tag(const char *p, const char *end)
{
	const char *close = is_tag(p, end, "style") ? "</style" : is_tag(p, end, "script") ? "</script" :
		is_tag(p, end, "!--") ? "-->" : NULL;
	if (close)
		for (const char *q = p; q + strlen(close) <= end; q++)
			if (!strncasecmp(q, close, strlen(close))) {
				p = q;
				break;
			}
	const char *gt = memchr(p, '>', (size_t)(end - p));
	return gt ? gt + 1 : end;
}

char *connect_page_text(char *dst, size_t size, const char *page, size_t len)
{
	const char *p = page, *end = page + len;
	size_t n = 0;
	int gap = 0;
	while (p < end && n + 2 < size) {
		if (*p == '<') {
			p = skip_tag(p, end);
			gap = 1;
		} else if (*p <= ' ' || *p > '~') {
			gap = 1;
			p++;
		} else {
			if (gap && n)
				dst[n++] = ' ';
			gap = 0;
			dst[n++] = *p++;
		}
	}
	dst[n] = 0;
	return dst;
}

/* A header that says why, kept as "name: value"; how long the body is. */
static void take_line(const char *line, size_t len, struct connect_answer *a, long long *length)
{
	static const char *const telling[] = { "x-deny-reason:", "x-proxy-error:", "x-squid-error:" };
	char value[32];
	for (size_t i = 0; i < sizeof telling / sizeof *telling; i++)
		if (len > strlen(telling[i]) && !strncasecmp(line, telling[i], strlen(telling[i])) && !*a->denied)
			str_escape(a->denied, sizeof a->denied, line, len);
	if (len <= 15 || strncasecmp(line, "content-length:", 15))
		return;
	const char *p = line + 15;
	while (p < line + len && (*p == ' ' || *p == '\t'))
		p++;
	if (str_copy_slice(value, sizeof value, (struct slice){ p, (size_t)(line + len - p) }) < 0
	    || str_num(value, 0, 1LL << 40, length))
		*length = -1;
}

/* "HTTP/1.1 403 Forbidden": 403; 0 when it is no such line. */
static int status_line(const char *p, size_t len)
{
	if (len < 12 || memcmp(p, "HTTP/1.", 7) || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return 0;
	int n = 0;
	for (int i = 9; i < 12; i++)
		n = p[i] < '0' || p[i] > '9' ? -1000 : n * 10 + p[i] - '0';
	return n >= 100 && n < 600 && (len == 12 || p[12] == ' ') ? n : 0;
}

int connect_parse(const char *p, size_t len, int is_end, struct connect_answer *a)
{
	static const char start[] = "HTTP/1.";
	long long length = -1;
	size_t at = 0, known = len < sizeof start - 1 ? len : sizeof start - 1;
	*a = (struct connect_answer){0};
	if (memcmp(p, start, known))
		return -1;
	for (int lines = 0;; lines++) {
		const char *nl = memchr(p + at, '\n', len - at);
		if (!nl)
			break;
		size_t n = (size_t)(nl - (p + at)), end = at + n + 1;
		n -= n && p[at + n - 1] == '\r';
		if (!lines && !(a->status = status_line(p, n)))
			return -1;
		if (lines && !n) {	/* the head is whole */
			size_t body = len - end;
			connect_page_text(a->text, sizeof a->text, p + end, body);
			if (a->status / 100 == 2 || is_end || len >= CONNECT_MAX)
				return 1;
			return length >= 0 && (long long)body >= length;
		}
		if (lines)
			take_line(p + at, n, a, &length);
		at = end;
	}
	if (!is_end && len < CONNECT_MAX)
		return 0;
	/* A refusal whose head does not end is one all the same. */
	return a->status >= 300 ? 1 : -1;
}

static int hex(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* "user:p%40ss" as Basic has it; dst holds 4 bytes for 3, and a NUL. */
static void basic(char *dst, const char *user, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0;
	int have = 0, n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)user[i];
		if (c == '%' && i + 2 < len && hex(user[i + 1]) >= 0 && hex(user[i + 2]) >= 0) {
			c = hex(user[i + 1]) << 4 | hex(user[i + 2]);
			i += 2;
		}
		bits = bits << 8 | (unsigned)c;
		n++;
		for (have += 8; have >= 6; *dst++ = digits[bits >> have & 63])
			have -= 6;
	}
	if (have)
		*dst++ = digits[bits << (6 - have) & 63];
	for (; n % 3; n++)
		*dst++ = '=';
	*dst = 0;
}

struct proxy { char host[256]; int port; char user[600]; };

static int cut_proxy(const char *url, struct proxy *p, struct why *why)
{
	const char *host = strstr(url, "://");
	if (host && strncasecmp(url, "http://", 7))
		return why_set(why, R_USAGE, "only http: proxies can be asked");
	host = host ? host + 3 : url;
	size_t n = strcspn(host, "/?#"), at = n;
	while (at && host[at - 1] != '@')
		at--;
	if (n == at)
		return why_set(why, R_USAGE, "the proxy has no host");
	if (at > sizeof p->user * 3 / 4 - 4)
		return why_set(why, R_USAGE, "the proxy's user and password are longer than %zu bytes", sizeof p->user * 3 / 4);
	p->user[0] = 0;
	if (at)
		basic(p->user, host, at - 1);
	char text[280], *name;
	int has_port = host[n - 1] != ']' && memchr(host + at, ':', n - at) != NULL;
	if (str_fmt(text, sizeof text, "%.*s%s", (int)(n - at), host + at, has_port ? "" : ":1080") < 0
	    || str_host_port(text, &name, &p->port) || str_copy(p->host, sizeof p->host, name) < 0)
		return why_set(why, R_USAGE, "the proxy is no HOST:PORT");
	return 0;
}

static int ask(int fd, const struct proxy *p, const char *host, int port, long long deadline)
{
	char text[1400], auth[640] = "";
	const char *open = strchr(host, ':') && *host != '[' ? "[" : "", *close = *open ? "]" : "";
	if (*p->user)
		str_fmt(auth, sizeof auth, "Proxy-Authorization: Basic %s\r\n", p->user);
	int len = str_fmt(text, sizeof text, "CONNECT %s%.255s%s:%d HTTP/1.1\r\nHost: %s%.255s%s:%d\r\n%s\r\n",
	                  open, host, close, port, open, host, close, port, auth);
	ssize_t n = -1;
	struct pollfd w = { .fd = fd, .events = POLLOUT };
	if (len > 0 && poll(&w, 1, clock_poll_ms(deadline)) > 0)
		n = send(fd, text, (size_t)len, MSG_NOSIGNAL);	/* it fits the buffer of a new connection */
	explicit_bzero(text, sizeof text);
	explicit_bzero(auth, sizeof auth);
	return n == len ? 0 : -1;
}

static int hear(int fd, long long deadline, struct connect_answer *a)
{
	char text[CONNECT_MAX + 1];
	size_t len = 0;
	int rc = 0, is_end = 0;
	long long until = 0;	/* once it has begun to refuse */
	while (!rc && !is_end) {
		struct pollfd r = { .fd = fd, .events = POLLIN };
		if (a->status >= 300 && !until)
			until = clock_ms() + PATIENCE_MS;
		int ready = poll(&r, 1, clock_poll_ms(until && (!deadline || until < deadline) ? until : deadline));
		if (ready < 0 && errno == EINTR && !clock_passed(deadline))
			continue;
		ssize_t n = ready > 0 ? recv(fd, text + len, CONNECT_MAX - len, 0) : 0;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		len += n > 0 ? (size_t)n : 0;
		is_end = n <= 0;
		rc = connect_parse(text, len, is_end, a);
	}
	return rc > 0 ? 0 : -1;
}

int connect_ask(const char *url, const char *host, int port, long long deadline, struct connect_answer *a,
                struct why *why)
{
	struct proxy p;
	struct why failed;
	*a = (struct connect_answer){0};
	if (cut_proxy(url, &p, why))
		return -1;
	int fd = dial_tcp(p.host, p.port, deadline, &failed);
	if (fd < 0) {
		explicit_bzero(&p, sizeof p);
		return why_set(why, R_PROXY_DOWN, "the proxy cannot be reached: %s", failed.msg);
	}
	int rc = ask(fd, &p, host, port, deadline);
	if (!rc)
		rc = hear(fd, deadline, a);
	close(fd);
	explicit_bzero(&p, sizeof p);
	if (rc && clock_passed(deadline))
		why_set(why, R_PROXY_DOWN, "the proxy does not answer");
	else if (rc)
		why_set(why, R_PROXY_FAILED, "the proxy does not answer as a proxy");
	return rc;
}
