/* split - one proxy for a program that knows but one */
#include "split.h"
#include "alloc.h"
#include "clock.h"
#include "dial.h"
#include "http.h"
#include "peers.h"
#include "proxy.h"
#include "str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SAY_MS = 30000, DIAL_MS = 30000, TICK_MS = 500 };

enum step { HELLO, SOCKS_CRED, SOCKS_REQ, HTTP_REQ, DIAL, DIRECT, ASK_NEXT };

struct client {
	struct split *s;
	int fd, far;
	enum step step;
	int is_socks, maybe_ours;
	struct proxy_req req;
	struct relay_watch near_watch, far_watch;
	struct carry_dial *dial;
	struct dial_tcp *tcp;
	struct proxy_next *next_proxy;	/* the way is through it */
	long long deadline;
	size_t len, head;		/* of in: all, and that of the request */
	char *in;			/* PROXY_HEAD; later the next proxy's answer, too */
	struct client *next, *prev;
};

struct split {
	struct relay *relay;
	struct carry *carry;
	char *cred;
	char suffix[256];
	struct client *clients;
	int pending, ticking;
	struct relay_watch tick;
};

static void client_free(struct client *c)
{
	struct split *s = c->s;
	relay_watch(s->relay, &c->near_watch, 0);
	relay_watch(s->relay, &c->far_watch, 0);
	carry_cancel(c->dial);
	dial_tcp_end(c->tcp);
	if (c->fd >= 0)
		close(c->fd);
	if (c->far >= 0)
		close(c->far);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->pending--;
	memset(&c->req, 0, sizeof c->req);
	free(c->next_proxy);
	free(c->in);
	free(c);
}

/* ---- answers ---- */

static void say_and_close(struct client *c, const char *p, size_t len)
{
	static char rest[16384];
	send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(c->fd, SHUT_WR);
	/* what is left unread would reset the connection under the answer */
	while (recv(c->fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
		;
	client_free(c);
}

static int socks_code(const struct why *why)
{
	switch (why->reason) {
	case R_REFUSED:
		return 5;
	case R_UNKNOWN_NAME: case R_NO_RESOLVER: case R_NOT_VISIBLE: case R_PEER_OFFLINE: case R_FILTERED: case R_DEADLINE:
		return 4;
	case R_NO_PATH:
		return 3;
	case R_CONTROL_PROXY:
		return 2;
	default:
		return 1;
	}
}

static void refuse(struct client *c, int status, const struct why *why)
{
	static const struct { int status; const char *word; } words[] = {
		{400, "Bad Request"}, {407, "Proxy Authentication Required"}, {502, "Bad Gateway"}, {504, "Gateway Timeout"},
	};
	char head[1200], text[700], shown[600];
	const char *word = "Error";
	if (c->is_socks) {
		char reply[] = {5, (char)socks_code(why), 0, 1, 0, 0, 0, 0, 0, 0};
		say_and_close(c, reply, sizeof reply);
		return;
	}
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].status == status)
			word = words[i].word;
	str_escape(shown, sizeof shown, why->msg, strlen(why->msg));
	int n = str_fmt(text, sizeof text, "%s [%s]\n", shown, reason_word(why->reason));
	int len = str_fmt(head, sizeof head, "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain\r\nContent-Length: %d\r\n"
		"Connection: close\r\n\r\n%s", status, word,
		status == 407 ? "Proxy-Authenticate: Basic realm=\"moorbox\"\r\n" : "", n, text);
	say_and_close(c, head, len > 0 ? (size_t)len : 0);
}

static void refuse_why(struct client *c, const struct why *why)
{
	int late = why->reason == R_DEADLINE || why->reason == R_FILTERED || why->reason == R_TAILSCALED_HUNG;
	refuse(c, late ? 504 : 502, why);
}

static void bad_request(struct client *c)
{
	struct why why;
	why_set(&why, R_USAGE, "this is neither a request to a proxy nor SOCKS5");
	refuse(c, 400, &why);
}

/* ---- joined ---- */

/* What the client has sent beyond its request, or the rewritten head, goes before the rest. */
static void join(struct client *c, const char *from_far, size_t from_len, int flags)
{
	static const char http_ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	static const char socks_ok[] = {5, 0, 0, 1, 0, 0, 0, 0, 0, 0};
	struct buf near = {0}, far = {0};
	struct why why;
	int rc = 0;
	if (c->is_socks)
		buf_add(&near, socks_ok, sizeof socks_ok);
	else if (c->req.is_connect)
		buf_str(&near, http_ok);
	buf_add(&near, from_far, from_len);
	if (!c->req.is_connect)
		rc = proxy_rewrite(c->in, c->head, &c->req, c->next_proxy ? c->next_proxy->auth : NULL, &far);
	buf_add(&far, c->in + c->head, c->len - c->head);
	relay_watch(c->s->relay, &c->near_watch, 0);
	relay_watch(c->s->relay, &c->far_watch, 0);
	if (rc == 0) {
		struct relay_early early = { buf_cstr(&near), buf_cstr(&far), near.len, far.len };
		relay_add(c->s->relay, c->fd, c->far, &early, flags, NULL, &why);
		c->fd = c->far = -1;
	}
	buf_free(&near);
	buf_wipe(&far);
	client_free(c);
}

/* ---- the rest of the world ---- */

static void far_event(void *ctx, unsigned events);

static void watch_far(struct client *c, int fd, unsigned events)
{
	struct why why;
	c->far_watch = (struct relay_watch){ .fd = fd, .ready = far_event, .ctx = c };
	if (relay_watch(c->s->relay, &c->far_watch, events) == 0)
		return;
	why_errno(&why, "epoll:");
	refuse_why(c, &why);
}

static void ask_next(struct client *c)
{
	struct buf b = {0};
	struct why why;
	int v6 = strchr(c->req.host, ':') != NULL;
	const char *l = v6 ? "[" : "", *r = v6 ? "]" : "";
	buf_fmt(&b, "CONNECT %s%s%s:%d HTTP/1.1\r\nHost: %s%s%s:%d\r\n", l, c->req.host, r, c->req.port, l, c->req.host, r, c->req.port);
	if (*c->next_proxy->auth)
		buf_fmt(&b, "Proxy-Authorization: %s\r\n", c->next_proxy->auth);
	buf_str(&b, "\r\n");
	ssize_t n = send(c->far, b.p, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	int sent = n == (ssize_t)b.len;
	buf_wipe(&b);
	if (!sent) {
		why_set(&why, R_LOST, "the proxy %s:%d went away", c->next_proxy->host, c->next_proxy->port);
		refuse_why(c, &why);
		return;
	}
	c->step = ASK_NEXT;
	watch_far(c, c->far, EPOLLIN | EPOLLRDHUP);
}

static void next_refuses(struct client *c, int status)
{
	struct why why;
	if (status == 407)
		why_set(&why, R_CONTROL_PROXY, "%s:%d: the next proxy does not take the credential of HTTPS_PROXY", c->req.host, c->req.port);
	else
		why_set(&why, R_CONTROL_PROXY, "%s:%d: the next proxy answers %d", c->req.host, c->req.port, status);
	refuse_why(c, &why);
}

/* Byte by byte it would be slow; all at once it would have to be kept: peeked at, then taken. */
static void hear_next(struct client *c, unsigned events)
{
	static char text[PROXY_HEAD];
	struct why why;
	int status = 0;
	ssize_t n = recv(c->far, text, sizeof text, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	int used = n > 0 ? proxy_answer(text, (size_t)n, &status) : -1;
	if (!used && events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		used = -1;
	if (used < 0) {
		why_set(&why, R_LOST, "%s:%d: what the next proxy answers is not HTTP", c->req.host, c->req.port);
		refuse_why(c, &why);
		return;
	}
	if (!used) {
		/* level-triggered, a peeked byte would wake us for ever: take what there is, and look again when more comes */
		int lowat = (int)n + 1;
		setsockopt(c->far, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof lowat);
		return;
	}
	setsockopt(c->far, SOL_SOCKET, SO_RCVLOWAT, &(int){ 1 }, sizeof(int));
	if (recv(c->far, text, (size_t)used, MSG_DONTWAIT) != used || status / 100 == 1)
		next_refuses(c, status);
	else if (status / 100 == 2)
		join(c, NULL, 0, 0);
	else
		next_refuses(c, status);
}

static void tcp_ready(struct client *c)
{
	struct why why = {0};
	relay_watch(c->s->relay, &c->far_watch, 0);
	int rc = dial_tcp_go_on(c->tcp, &c->far, &why);
	if (!rc) {
		watch_far(c, dial_tcp_fd(c->tcp), EPOLLIN | EPOLLOUT);
		return;
	}
	dial_tcp_end(c->tcp);
	c->tcp = NULL;
	if (rc < 0)
		refuse_why(c, &why);
	else if (c->next_proxy && c->req.is_connect)
		ask_next(c);
	else
		join(c, NULL, 0, 0);
}

static void far_event(void *ctx, unsigned events)
{
	struct client *c = ctx;
	if (c->step == DIRECT)
		tcp_ready(c);
	else
		hear_next(c, events);
}

static void go_elsewhere(struct client *c)
{
	char url[320];
	struct why why = {0};
	int v6 = strchr(c->req.host, ':') != NULL;
	str_fmt(url, sizeof url, v6 ? "%s://[%s]:%d/" : "%s://%s:%d/", c->req.is_connect ? "https" : "http", c->req.host, c->req.port);
	const char *proxy = http_proxy(url), *host = c->req.host;
	int port = c->req.port;
	if (proxy) {
		c->next_proxy = xalloc(sizeof *c->next_proxy);
		if (proxy_next(proxy, c->next_proxy) < 0) {
			why_set(&why, R_BAD_CONFIG, "the next proxy is none that can be used here");
			refuse_why(c, &why);
			return;
		}
		host = c->next_proxy->host;
		port = c->next_proxy->port;
	}
	c->step = DIRECT;
	c->tcp = dial_tcp_begin(host, port, &why);
	if (c->tcp)
		tcp_ready(c);
	else
		refuse_why(c, &why);
}

/* ---- the tailnet ---- */

static void dialled(void *ctx, int fd, const struct dial_answer *early, int flags, const struct why *why)
{
	struct client *c = ctx;
	c->dial = NULL;
	if (fd >= 0) {
		c->far = fd;
		join(c, early->early, early->early_len, flags);
		return;
	}
	int not_there = why->reason == R_UNKNOWN_NAME || (why->reason == R_NO_PATH && why->status == EXIT_NO);
	if (*carry_suffix(c->s->carry))
		str_copy(c->s->suffix, sizeof c->s->suffix, carry_suffix(c->s->carry));
	if (c->maybe_ours && not_there)
		go_elsewhere(c);
	else
		refuse_why(c, why);
}

static int is_loopback(const char *host)
{
	unsigned char ip[16];
	if (inet_pton(AF_INET, host, ip) == 1)
		return ip[0] == 127 || !ip[0];
	if (inet_pton(AF_INET6, host, ip) == 1)
		return IN6_IS_ADDR_LOOPBACK((struct in6_addr *)ip) || IN6_IS_ADDR_V4MAPPED((struct in6_addr *)ip)
			|| IN6_IS_ADDR_UNSPECIFIED((struct in6_addr *)ip);
	return str_eq(host, "localhost") || str_ends(host, ".localhost");
}

static int may_be_ours(const char *host)
{
	unsigned char ip[16];
	return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1
		|| !strchr(host, '.') || str_ends(host, ".ts.net");
}

static void route(struct client *c)
{
	const char *host = c->req.host;
	int theirs = carry_is_theirs(c->s->carry, host);
	int ours = theirs == 2 || peers_is_ours(host, c->s->suffix);
	c->deadline = clock_ms() + DIAL_MS + 5000;
	c->maybe_ours = !ours && !is_loopback(host) && (theirs || may_be_ours(host));
	/* Bytes that come meanwhile stay in the socket. */
	relay_watch(c->s->relay, &c->near_watch, 0);
	if (!ours && !c->maybe_ours) {
		go_elsewhere(c);
		return;
	}
	c->step = DIAL;
	c->dial = carry_dial(c->s->carry, host, c->req.port, dialled, c);
}

/* ---- the client ---- */

static int is_allowed(const struct client *c)
{
	return !c->s->cred || proxy_same(c->s->cred, c->req.cred);
}

static void eat(struct client *c, int used)
{
	c->len -= (size_t)used;
	memmove(c->in, c->in + used, c->len);
}

/* One step with what is there: 1 go on, 0 more is needed or c is gone. */
static int hear_hello(struct client *c)
{
	int methods;
	if (!c->len)
		return 0;
	if (*c->in != 5) {
		c->step = HTTP_REQ;
		return 1;
	}
	c->is_socks = 1;
	int used = proxy_socks_hello((unsigned char *)c->in, c->len, &methods);
	if (used <= 0)
		return 0;
	int want = c->s->cred ? 2 : methods & 1 ? 0 : 2;
	if (!(methods & (want ? 2 : 1))) {
		say_and_close(c, "\5\377", 2);
		return 0;
	}
	char reply[2] = {5, (char)want};
	send(c->fd, reply, 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	eat(c, used);
	c->step = want ? SOCKS_CRED : SOCKS_REQ;
	return 1;
}

static int hear_cred(struct client *c)
{
	int used = proxy_socks_cred((unsigned char *)c->in, c->len, c->req.cred);
	if (!used)
		return 0;
	if (used < 0 || !is_allowed(c)) {
		say_and_close(c, "\1\1", 2);
		return 0;
	}
	send(c->fd, "\1\0", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	eat(c, used);
	c->step = SOCKS_REQ;
	return 1;
}

static void hear_socks(struct client *c)
{
	int reply, used = proxy_socks_request((unsigned char *)c->in, c->len, &c->req, &reply);
	if (used < 0) {
		char text[] = {5, (char)reply, 0, 1, 0, 0, 0, 0, 0, 0};
		say_and_close(c, text, sizeof text);
	} else if (used) {
		c->head = (size_t)used;
		route(c);
	}
}

static void hear_http(struct client *c)
{
	struct why why;
	int used = proxy_http(c->in, c->len, &c->req);
	if (used < 0) {
		bad_request(c);
		return;
	}
	if (!used)
		return;
	c->head = (size_t)used;
	if (is_allowed(c)) {
		memset(c->req.cred, 0, sizeof c->req.cred);
		route(c);
		return;
	}
	why_set(&why, R_NO_PERMISSION, "the proxy wants the credential that ts-forward made; see ws-env");
	refuse(c, 407, &why);
}

static void near_event(void *ctx, unsigned events)
{
	struct client *c = ctx;
	(void)events;
	ssize_t n = c->len < PROXY_HEAD ? recv(c->fd, c->in + c->len, PROXY_HEAD - c->len, MSG_DONTWAIT) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(c);
		return;
	}
	c->len += (size_t)n;
	if (c->step == HELLO && !hear_hello(c))
		return;
	if (c->step == SOCKS_CRED && !hear_cred(c))
		return;
	if (c->step == SOCKS_REQ)
		hear_socks(c);
	else if (c->step == HTTP_REQ)
		hear_http(c);
}

static void each_tick(void *ctx, unsigned events)
{
	struct split *s = ctx;
	unsigned long long n;
	struct client *next;
	struct why why;
	(void)events;
	(void)!read(s->tick.fd, &n, sizeof n);
	for (struct client *c = s->clients; c; c = next) {
		next = c->next;
		if (clock_passed(c->deadline)) {
			why_set(&why, R_DEADLINE, "%.255s: time ran out", *c->req.host ? c->req.host : "the request");
			refuse_why(c, &why);
		} else if (c->step == DIRECT) {
			tcp_ready(c);
		}
	}
	if (!s->clients) {
		struct itimerspec off = {0};
		timerfd_settime(s->tick.fd, 0, &off, NULL);
		s->ticking = 0;
	}
}

void split_take(struct split *s, int fd)
{
	struct client *c = xalloc(sizeof *c);
	*c = (struct client){ .s = s, .fd = fd, .far = -1, .next = s->clients, .deadline = clock_ms() + SAY_MS };
	c->in = xalloc(PROXY_HEAD);
	c->near_watch = (struct relay_watch){ .fd = fd, .ready = near_event, .ctx = c };
	c->far_watch.fd = -1;
	if (c->next)
		c->next->prev = c;
	s->clients = c;
	s->pending++;
	if (relay_watch(s->relay, &c->near_watch, EPOLLIN)) {
		client_free(c);
		return;
	}
	if (!s->ticking) {
		struct timespec every = { .tv_nsec = TICK_MS * 1000000L };
		struct itimerspec t = { every, every };
		timerfd_settime(s->tick.fd, 0, &t, NULL);
		s->ticking = 1;
	}
}

int split_pending(const struct split *s)
{
	return s->pending;
}

struct split *split_new(struct relay *r, struct carry *carry, const char *cred, const char *suffix)
{
	struct split *s = xalloc(sizeof *s);
	s->relay = r;
	s->carry = carry;
	s->cred = cred ? xstrdup(cred) : NULL;
	str_copy(s->suffix, sizeof s->suffix, suffix);
	s->tick = (struct relay_watch){ .ready = each_tick, .ctx = s };
	s->tick.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	relay_watch(r, &s->tick, EPOLLIN);
	return s;
}

void split_free(struct split *s)
{
	if (!s)
		return;
	while (s->clients)
		client_free(s->clients);
	relay_watch(s->relay, &s->tick, 0);
	if (s->tick.fd >= 0)
		close(s->tick.fd);
	free(s->cred);
	free(s);
}

int split_check(const char *address, int port, struct why *why)
{
	/* a name that no NO_PROXY holds */
	static const char *const urls[] = {"https://moorbox.invalid:443/", "http://moorbox.invalid:80/"};
	struct proxy_next next;
	char shown[200];
	for (int i = 0; i < 2; i++) {
		const char *proxy = http_proxy(urls[i]);
		if (!proxy)
			continue;
		const char *name = i ? "HTTP_PROXY" : "HTTPS_PROXY";
		if (proxy_next(proxy, &next) < 0)
			return why_set(why, R_BAD_CONFIG, "%s=%s: only proxies of the kind http://HOST:PORT can be asked", name,
				http_redact_url(shown, sizeof shown, proxy));
		if (next.port == port && (is_loopback(next.host) || str_eq(next.host, address)))
			return why_set(why, R_BAD_CONFIG, "%s is this proxy itself: it has to have the value from before ws-env", name);
	}
	return 0;
}
