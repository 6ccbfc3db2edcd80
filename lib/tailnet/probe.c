/* probe - can this box reach what Tailscale needs; and if not, what blocks it, and where */
#include "probe.h"
#include "alloc.h"
#include "clock.h"
#include "connect.h"
#include "dial.h"
#include "http.h"
#include "json.h"
#include "proc.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	BODY_MAX = 256 << 10,
	BODY_MS = 2500,		/* kept back for asking a proxy once more */
	STUN_TRIES = 3, STUN_HOSTS = 4, STUN_LEN = 40,
	MAP_MAX = 40,
	GRACE_MS = 200,		/* what has its own deadline says what was wrong; only what hangs is killed */
};

static int set(struct probed *r, enum reason reason, const char *where, const char *fmt, ...) PRINTF(4, 5);
static int set(struct probed *r, enum reason reason, const char *where, const char *fmt, ...)
{
	va_list ap;
	r->reason = reason;
	str_copy(r->where, sizeof r->where, where);
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof r->text, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- where a URL leads ---- */

static const char *host_of(const char *url)
{
	const char *host = strstr(url, "://");
	return host ? host + 3 : url;
}

/* Host and port of an http or https URL. */
static int cut_url(const char *url, char *host, size_t size, int *port)
{
	const char *p = host_of(url);
	size_t n = strcspn(p, "/?#");
	char text[300], *name;
	int has_port = n && p[0] == '[' ? p[n - 1] != ']' : memchr(p, ':', n) != NULL;
	const char *add = has_port ? "" : str_starts(url, "http:") ? ":80" : ":443";
	if (str_fmt(text, sizeof text, "%.*s%s", (int)n, p, add) < 0 || str_host_port(text, &name, port))
		return -1;
	return str_copy(host, size, name) < 0 ? -1 : 0;
}

const char *probe_proxy(const char *url)
{
	const char *host = host_of(url);
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	struct slice name = { host, n };
	int is_v4 = str_starts(host, "127.") && strspn(host, "0123456789.") == n;
	return is_v4 || slice_eq(name, "localhost") || slice_eq(name, "[::1]") ? NULL : http_proxy(url);
}

static char *name_proxy(char *dst, size_t size, const char *url)
{
	char safe[300];
	const char *proxy = probe_proxy(url);
	http_redact_url(safe, sizeof safe, proxy ? proxy : "");
	return str_escape(dst, size, safe, strlen(safe));
}

/* Is it known that a public CA signs for this host? */
static int is_public(const char *url)
{
	static const char ours[] = ".tailscale.com";
	const char *host = host_of(url);
	size_t n = strcspn(host, ":/?#"), tail = sizeof ours - 1;
	return n > tail && !memcmp(host + n - tail, ours, tail);
}

/* ---- what an answer, or none, means ---- */

static void denial(const struct http_res *res, char *dst, size_t size)
{
	static const char *const telling[] = { "x-deny-reason", "x-proxy-error", "x-squid-error" };
	char value[140];
	*dst = 0;
	for (size_t i = 0; i < sizeof telling / sizeof *telling && !*dst; i++) {
		const char *v = http_header(res, telling[i]);
		if (v)
			str_fmt(dst, size, "%s: %s", telling[i], str_escape(value, sizeof value, v, strlen(v)));
	}
}

static int says_method(const char *text)
{
	return strstr(text, "method-policy") || strstr(text, "method_policy") || strstr(text, "method policy");
}

/* The proxy refused: why, in its own words. */
static int refused(const char *url, int status, const char *denied, const char *body, struct probed *r)
{
	char proxy[300];
	enum reason reason = status == 407 || status == 401 ? R_PROXY_AUTH :
		status == 405 || status == 501 || says_method(denied) || says_method(body) ? R_METHOD_DENIED : R_PROXY_DENIED;
	if (reason == R_PROXY_AUTH) {
		denied = "a user and password, or others, are wanted";
		body = "";
	}
	name_proxy(proxy, sizeof proxy, url);
	return set(r, reason, "proxy", "%s%sanswers %d%s%s%s%s", proxy, *proxy ? " " : "", status, *denied ? ", " : "",
	           denied, *body ? ": " : "", body);
}

/* libcurl has thrown away what the proxy wrote: ask it once more. */
static int refused_tunnel(const char *url, const struct http_res *res, struct probed *r, long long deadline)
{
	struct connect_answer a = {0};
	struct why why;
	char denied[200], host[256];
	const char *proxy = probe_proxy(url);
	int port, status = res->connect_status;
	denial(res, denied, sizeof denied);
	if (res->fault != HTTP_PROXY_AUTH && proxy && !cut_url(url, host, sizeof host, &port)
	    && !connect_ask(proxy, host, port, deadline, &a, &why) && a.status == status)
		return refused(url, status, *a.denied ? a.denied : denied, a.text, r);
	return refused(url, status, denied, "", r);
}

static int tls_failed(const char *url, const struct http_res *res, const struct why *why, struct probed *r)
{
	if (why->reason == R_BAD_CA)
		return set(r, R_BAD_CA, "tls", "%s", why->msg);
	if (!*res->issuer)
		return set(r, R_TLS_ERROR, "tls", "%s", why->msg);
	if (strstr(why->msg, "another name"))
		return set(r, R_TLS_ERROR, "tls", "the certificate is for another name; its issuer is %s", res->issuer);
	if (is_public(url) || res->via_proxy)
		return set(r, R_TLS_INTERCEPTED, "tls", "TLS is opened on the way, by %s, which is not trusted here", res->issuer);
	return set(r, R_TLS_UNTRUSTED, "tls", "the certificate is signed by %s, which is not trusted here", res->issuer);
}

static int late(const char *url, const struct http_res *res, struct probed *r)
{
	if (res->via_proxy && (res->at < HTTP_AT_TLS || (!res->connect_status && str_starts(url, "https:"))))
		return set(r, R_PROXY_DOWN, "proxy", "the proxy does not answer");
	if (res->at == HTTP_AT_NAME)
		return set(r, R_NO_DNS, "dns", "DNS does not answer");
	if (res->at == HTTP_AT_CONNECT)
		return set(r, R_UNREACHABLE, "tcp", "no answer: what is sent is dropped");
	return set(r, R_DEADLINE, res->at == HTTP_AT_TLS ? "tls" : "http", "connected, but no answer in time");
}

/* No answer came. */
static int judge_fault(const char *url, const struct http_res *res, const struct why *why, struct probed *r,
                       long long deadline)
{
	int in_tunnel = !res->via_proxy || res->connect_status / 100 == 2;
	const char *where = in_tunnel ? "http" : "proxy";
	switch (res->fault) {
	case HTTP_DNS:
		return set(r, R_NO_DNS, "dns", "the name cannot be resolved");
	case HTTP_REFUSED:
		return set(r, R_REFUSED, "tcp", "connection refused");
	case HTTP_UNREACHABLE:
		if (res->connect_status)
			return set(r, R_PROXY_FAILED, "proxy", "the proxy cannot reach it: %d", res->connect_status);
		return set(r, R_UNREACHABLE, "tcp", "cannot be reached");
	case HTTP_PROXY_REFUSED: case HTTP_PROXY_AUTH:
		if (res->connect_status)
			return refused_tunnel(url, res, r, deadline);
		return set(r, R_PROXY_FAILED, "proxy", "%s", why->msg);
	case HTTP_PROXY_DEAD:
		return set(r, R_PROXY_DOWN, "proxy", "the proxy cannot be reached");
	case HTTP_PROXY_TLS:
		return set(r, R_TLS_ERROR, "proxy", "%s", why->msg);
	case HTTP_TLS_TIME:
		return set(r, R_CLOCK, "tls", "by this machine's clock the certificate is expired or not valid yet");
	case HTTP_TLS:
		return tls_failed(url, res, why, r);
	case HTTP_TIMEOUT:
		return late(url, res, r);
	case HTTP_CUT:
		return set(r, in_tunnel ? R_LOST : R_PROXY_FAILED, where, "the connection was cut");
	default:
		if (res->via_proxy && res->at < HTTP_AT_ANSWER)		/* inside there is no HTTP before TLS */
			return set(r, R_PROXY_FAILED, "proxy", "the answer is not HTTP");
		return set(r, R_HTTP_STATUS, where, "the answer is not HTTP");
	}
}

static char *page_text(const struct http_res *res, char *dst, size_t size)
{
	return connect_page_text(dst, size, buf_cstr(&res->body), res->body.len);
}

static int is_page(const struct http_res *res)
{
	const char *type = http_header(res, "Content-Type");
	const char *p = buf_cstr(&res->body);
	p += strspn(p, " \t\r\n");
	return *p == '<' || (type && str_starts(type, "text/html"));
}

/* An answer that a proxy may have made up: inside TLS that it opens, or to plain http. */
static int judge_denied(const char *url, const struct http_res *res, struct probed *r)
{
	char denied[200], text[CONNECT_TEXT + 1];
	int by_proxy = (res->via_proxy && !res->connect_status) || *res->anchor;
	int is_denial = res->status == 403 || res->status == 405 || res->status == 407;
	denial(res, denied, sizeof denied);
	if (!(*denied && res->status >= 400) && !(by_proxy && is_denial) && res->status != 451)
		return 0;
	return refused(url, res->status, denied, page_text(res, text, sizeof text), r);
}

static int judge_control(const struct http_res *res, struct probed *r)
{
	const struct buf *b = &res->body;
	char text[120];
	if (res->status / 100 == 2 && b->len && memmem(b->p, b->len, "ublicKey", 8))
		return 0;
	if (is_page(res) && res->status != 404 && res->status < 500)
		return set(r, R_CAPTIVE, "http", "a page answers instead (%d): %s", res->status,
		           page_text(res, text, sizeof text));
	return set(r, R_CONTROL_ERROR, "http", "answers %d to /key%s", res->status,
	           res->status < 500 ? ", as no control server does" : "");
}

/* The answer to an Upgrade that was not followed. */
static int judge_upgrade(const struct http_res *res, struct probed *r)
{
	char text[120];
	int status = res->status;
	page_text(res, text, sizeof text);
	if (status == 101)
		return 0;
	if (status == 405 || status == 501)
		return set(r, R_METHOD_DENIED, "http", "answers %d: %s", status, text);
	if (status == 404 || status >= 500)
		return set(r, R_HTTP_STATUS, "http", "answers %d: %s", status, text);
	return set(r, R_UPGRADE_STRIPPED, "upgrade", "answers %d instead of 101: %s", status, text);
}

static int judge(const struct probe *p, const char *url, const struct http_res *res, struct probed *r)
{
	if (res->status != 101 && judge_denied(url, res, r))
		return -1;
	switch (p->kind) {
	case PROBE_CONTROL:
		return judge_control(res, r);
	case PROBE_UPGRADE: case PROBE_RELAY: case PROBE_RELAY_WS:
		return judge_upgrade(res, r);
	case PROBE_FILES:
		if (res->status / 100 == 2 || res->status / 100 == 3 || res->status == 404)
			return 0;
		return set(r, R_HTTP_STATUS, "http", "answers %d", res->status);
	default:
		return res->status < 500 ? 0 : set(r, R_HTTP_STATUS, "http", "answers %d", res->status);
	}
}

/* ---- asking ---- */

/* What the real clients send. The handshake is none that a server would follow: it answers 101 and ends it. */
static const char *const control_upgrade[] = {
	"Upgrade: tailscale-control-protocol", "Connection: upgrade", "X-Tailscale-Handshake: AGoBAGA=", NULL,
};
static const char *const derp_upgrade[] = { "Upgrade: DERP", "Connection: Upgrade", NULL };
static const char *const derp_websocket[] = {
	"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
	"Sec-WebSocket-Key: bW9vcmJveCBwcm9iZSAuLg==", "Sec-WebSocket-Protocol: derp", NULL,
};

static void fill(const struct probe *p, char *url, size_t size, struct http_req *q)
{
	const char *path = "";
	*q = (struct http_req){ .url = url, .max = BODY_MAX, .flags = HTTP_FRESH };
	switch (p->kind) {
	case PROBE_CONTROL: path = "/key?v=106"; break;
	case PROBE_MAP: path = "/derpmap/default"; break;
	case PROBE_UPGRADE:
		path = "/ts2021";
		q->method = "POST";
		q->headers = control_upgrade;
		break;
	case PROBE_RELAY:
		path = "/derp";
		q->headers = derp_upgrade;
		break;
	case PROBE_RELAY_WS:
		path = "/derp";
		q->headers = derp_websocket;
		break;
	default: break;
	}
	q->flags |= q->headers ? HTTP_UPGRADE : 0;
	q->flags |= p->any_cert ? HTTP_ANY_CERT : 0;
	str_fmt(url, size, "%s%s", p->url, path);
	if (!probe_proxy(url))
		q->flags |= HTTP_NO_PROXY;
}

static void pack_map(const struct http_res *res, struct probed *r)
{
	struct relay_site s[MAP_MAX];
	size_t at = 0;
	int n = res->status == 200 ? probe_read_map(buf_cstr(&res->body), res->body.len, s, MAP_MAX) : -1;
	if (n < 0)
		set(r, R_HTTP_STATUS, "http", "it tells no relay map to those who have not joined");
	for (int i = 0; i < n; i++) {
		int len = str_fmt(r->more + at, sizeof r->more - at, "%s %s %d %d %d\n", s[i].host,
		                  *s[i].ip ? s[i].ip : "-", s[i].port, s[i].stun_port, s[i].any_cert);
		if (len < 0) {
			r->more[at] = 0;
			break;
		}
		at += (size_t)len;
	}
}

static void ask(const struct probe *p, struct probed *r, long long deadline)
{
	char url[640];
	struct http_req q;
	struct http_res res;
	struct why why;
	fill(p, url, sizeof url, &q);
	q.deadline = deadline - (deadline - clock_ms() > 2 * BODY_MS ? BODY_MS : 0);
	int rc = http_do(&q, &res, &why);
	if (!rc && !http_date(&res, &r->theirs))
		r->ours = time(NULL);
	if (rc)
		judge_fault(url, &res, &why, r, deadline);
	else if (p->kind == PROBE_MAP)
		pack_map(&res, r);
	else if (!judge(p, url, &res, r) && *res.anchor)
		set(r, R_NONE, "", "%s %s, which this machine trusts", is_public(url) ? "TLS is opened on the way, by" :
		    "the certificate rests on a CA of its own,", res.anchor);
	http_res_free(&res);
}

static void ask_tunnel(const char *url, const char *proxy, const char *host, int port, struct probed *r, long long deadline)
{
	struct connect_answer a;
	struct why why;
	if (connect_ask(proxy, host, port, deadline, &a, &why))
		set(r, why.reason, "proxy", "%s", why.msg);
	else if (a.status >= 502 && a.status <= 504)
		set(r, R_PROXY_FAILED, "proxy", "the proxy cannot reach it: %d%s%s", a.status, *a.denied ? ", " : "", a.denied);
	else if (a.status / 100 != 2)
		refused(url, a.status, a.denied, a.text, r);
}

static void ask_tcp(const struct probe *p, struct probed *r, long long deadline)
{
	char host[256], url[620];
	struct why why;
	int port;
	str_fmt(url, sizeof url, "https://%s", p->url);
	const char *proxy = probe_proxy(url);
	if (cut_url(url, host, sizeof host, &port)) {
		set(r, R_USAGE, "", "not HOST:PORT");
		return;
	}
	if (proxy) {
		ask_tunnel(url, proxy, host, port, r, deadline);
		return;
	}
	int fd = dial_tcp(host, port, deadline, &why);
	if (fd >= 0) {
		close(fd);
		return;
	}
	int is_name = why.reason == R_UNKNOWN_NAME || strstr(why.msg, "DNS");
	set(r, is_name ? R_NO_DNS : why.reason == R_REFUSED ? R_REFUSED : R_UNREACHABLE, is_name ? "dns" : "tcp", "%s", why.msg);
}

/* ---- STUN ---- */

static unsigned crc32_of(const unsigned char *p, size_t len)
{
	unsigned crc = ~0u;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* A binding request as Tailscale's servers want it: SOFTWARE "tailnode", FINGERPRINT. */
static void stun_request(unsigned char b[static STUN_LEN])
{
	static const unsigned char head[] = { 0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42 };
	static const unsigned char software[] = { 0x80, 0x22, 0, 8, 't', 'a', 'i', 'l', 'n', 'o', 'd', 'e' };
	static const unsigned char finger[] = { 0x80, 0x28, 0, 4 };
	memcpy(b, head, 8);
	if (getrandom(b + 8, 12, GRND_NONBLOCK) != 12)
		memset(b + 8, (int)(clock_us() & 0xff), 12);
	memcpy(b + 20, software, 12);
	memcpy(b + 32, finger, 4);
	unsigned crc = crc32_of(b, 32) ^ 0x5354554e;
	for (int i = 0; i < 4; i++)
		b[36 + i] = (unsigned char)(crc >> (24 - 8 * i));
}

/* A socket to host:port; behind a proxy only for an address, no name. */
static int stun_dial(char *host_port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV }, *ai = NULL;
	char *host, port_text[8], url[300];
	int port;
	str_fmt(url, sizeof url, "https://%s", host_port);
	hints.ai_flags |= probe_proxy(url) ? AI_NUMERICHOST : 0;
	if (str_host_port(host_port, &host, &port))
		return -1;
	str_fmt(port_text, sizeof port_text, "%d", port);
	if (getaddrinfo(host, port_text, &hints, &ai))
		return -1;
	int fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen)) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(ai);
	return fd;
}

static int stun_wait(struct pollfd *fds, int n, const unsigned char *request, long long until)
{
	while (!clock_passed(until)) {
		if (poll(fds, (nfds_t)n, clock_poll_ms(until)) <= 0)
			continue;
		for (int i = 0; i < n; i++) {
			unsigned char b[600];
			ssize_t got = fds[i].revents ? recv(fds[i].fd, b, sizeof b, 0) : -1;
			if (got >= 20 && b[0] == 1 && b[1] == 1 && !memcmp(b + 4, request + 4, 16))
				return 1;
		}
	}
	return 0;
}

static void ask_stun(const struct probe *p, struct probed *r, long long deadline)
{
	struct pollfd fds[STUN_HOSTS];
	unsigned char request[STUN_LEN];
	char list[600], *save = NULL;
	int n = 0, answered = 0;
	str_copy(list, sizeof list, p->url);
	for (char *one = strtok_r(list, " ", &save); one && n < STUN_HOSTS; one = strtok_r(NULL, " ", &save)) {
		fds[n] = (struct pollfd){ .fd = stun_dial(one), .events = POLLIN };
		n += fds[n].fd >= 0;
	}
	if (!n) {
		set(r, R_NO_UDP, "udp", "no STUN server's address is known here, or there is no route");
		return;
	}
	stun_request(request);
	for (int try = 0; try < STUN_TRIES && !answered && !clock_passed(deadline); try++) {
		long long until = clock_ms() + 200 * (try + 1);
		for (int i = 0; i < n; i++)
			send(fds[i].fd, request, sizeof request, MSG_NOSIGNAL);
		answered = stun_wait(fds, n, request, until < deadline ? until : deadline);
	}
	for (int i = 0; i < n; i++)
		close(fds[i].fd);
	if (!answered)
		set(r, R_NO_UDP, "udp", "no answer to STUN");
}

/* ---- this machine ---- */

static void ask_unix(struct probed *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* without a name the kernel chooses one, in no file system */
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa.sun_family) || listen(fd, 1))
		set(r, R_SOCKET_DENIED, "system", "unix sockets are forbidden here: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int can_net_admin(void)
{
	char line[256];
	unsigned long long caps = 0;
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	if (f)
		fclose(f);
	return caps >> 12 & 1;
}

static void ask_tun(struct probed *r)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		set(r, R_NO_TUN, "system", "/dev/net/tun: %s; ws-up does without", strerror(errno));
	else if (!can_net_admin())
		set(r, R_NO_TUN, "system", "no NET_ADMIN; ws-up does without");
	if (fd >= 0)
		close(fd);
}

/* ---- relays ---- */

/* The first relay of a region that is more than a STUN server. */
static int site_of(const struct json *j, int region, struct relay_site *s)
{
	for (struct json_iter i = json_each(j, json_get(j, region, "Nodes")); json_next(&i); ) {
		long long port = 0, stun = 0;
		*s = (struct relay_site){ .port = 443, .stun_port = 3478 };
		if (json_is_true(j, i.value, "STUNOnly")
		    || json_text(j, i.value, "HostName", s->host, sizeof s->host) <= 0
		    || s->host[strspn(s->host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")])
			continue;
		json_text(j, i.value, "IPv4", s->ip, sizeof s->ip);
		if (s->ip[strspn(s->ip, "0123456789.")])
			*s->ip = 0;	/* "none", or nonsense */
		if (!json_num(j, json_get(j, i.value, "DERPPort"), &port) && port > 0 && port < 65536)
			s->port = (int)port;
		if (!json_num(j, json_get(j, i.value, "STUNPort"), &stun) && stun && stun < 65536)
			s->stun_port = stun < 0 ? 0 : (int)stun;
		s->any_cert = json_is_true(j, i.value, "InsecureForTests")
			|| json_get(j, i.value, "CertName") >= 0;
		return 1;
	}
	return 0;
}

int probe_read_map(const char *text, size_t len, struct relay_site *s, int max)
{
	struct json j;
	struct why why;
	int n = 0;
	if (json_parse(&j, text, len, &why))
		return -1;
	int regions = json_get(&j, 0, "Regions");
	if (json_kind(&j, regions) != JSON_OBJ)
		n = -1;
	for (struct json_iter i = json_each(&j, regions); n >= 0 && n < max && json_next(&i); )
		n += site_of(&j, i.value, &s[n]);
	json_free(&j);
	return n;
}

int probe_relays(const struct probed *map, struct relay_site *s, int max)
{
	int n = 0;
	for (const char *p = map->more; n < max && *p; p += strcspn(p, "\n"), p += *p == '\n') {
		s[n] = (struct relay_site){0};
		if (sscanf(p, "%127s %47s %d %d %d", s[n].host, s[n].ip, &s[n].port, &s[n].stun_port, &s[n].any_cert) != 5)
			break;
		if (*s[n].ip == '-')
			*s[n].ip = 0;
		n++;
	}
	return n;
}

int probe_known_relays(struct relay_site *s, int max)
{
	static const struct relay_site known[] = {	/* in America, Europe and Asia */
		{ "derp1c.tailscale.com", "104.248.8.210", 443, 3478, 0 },
		{ "derp4c.tailscale.com", "134.122.77.138", 443, 3478, 0 },
		{ "derp3.tailscale.com", "68.183.179.66", 443, 3478, 0 },
	};
	int n = 0;
	for (; n < max && n < (int)(sizeof known / sizeof *known); n++)
		s[n] = known[n];
	return n;
}

/* ---- all of it ---- */

void probe_run(const struct probe *p, struct probed *r, long long deadline)
{
	long long began = clock_ms();
	*r = (struct probed){0};
	switch (p->kind) {
	case PROBE_STUN: ask_stun(p, r, deadline); break;
	case PROBE_TCP: ask_tcp(p, r, deadline); break;
	case PROBE_UNIX_SOCKETS: ask_unix(r); break;
	case PROBE_TUN: ask_tun(r); break;
	default: ask(p, r, deadline);
	}
	r->ms = (int)(clock_ms() - began);
}

struct all { const struct probe *p; long long deadline; };

_Static_assert(sizeof(struct probed) <= 4096, "proc_parallel keeps 4 KiB");

static int run_one(int i, void *ctx, int out)
{
	struct all *a = ctx;
	struct probed r;
	http_forget();
	probe_run(&a->p[i], &r, a->deadline);
	return write(out, &r, sizeof r) == sizeof r ? 0 : 1;
}

int probe_all(const struct probe *p, struct probed *r, int n, long long deadline, struct why *why)
{
	struct all a = { p, deadline };
	struct proc_result *got = xalloc((size_t)n * sizeof *got);
	int rc = proc_parallel(n, n, run_one, &a, got, deadline + GRACE_MS, why);
	for (int i = 0; i < n; i++) {
		r[i] = (struct probed){0};
		if (got[i].len == sizeof r[i])
			memcpy(&r[i], got[i].out, sizeof r[i]);
		else
			set(&r[i], R_DEADLINE, "", "no answer in time");
	}
	free(got);
	return rc && why->reason != R_DEADLINE ? -1 : 0;
}

int probe_derp_upgrade(const char *control, long long deadline)
{
	struct probe map = { .kind = PROBE_MAP }, relay[2] = {{ .kind = PROBE_RELAY }, { .kind = PROBE_RELAY_WS }};
	struct probed got[2];
	struct relay_site site;
	struct why why;
	if (!http_proxy("https://derp1c.tailscale.com"))
		return 0;
	str_copy(map.url, sizeof map.url, control);
	if (probe_all(&map, got, 1, deadline, &why) || got[0].reason || probe_relays(&got[0], &site, 1) < 1)
		probe_known_relays(&site, 1);
	for (int i = 0; i < 2; i++) {
		str_fmt(relay[i].url, sizeof relay[i].url, "https://%s:%d", site.host, site.port);
		relay[i].any_cert = site.any_cert;
	}
	if (!probe_proxy(relay[0].url) || probe_all(relay, got, 2, deadline, &why))
		return 0;
	enum reason r = got[0].reason;
	return (r == R_UPGRADE_STRIPPED || r == R_LOST || r == R_DEADLINE) && !got[1].reason;
}
