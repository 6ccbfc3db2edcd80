/* ask - one question to tailscaled from within a relay's loop */
#include "ask.h"
#include "str.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	HEAD_MAX = 8192, PIECE = 16384,
	READS = 8,			/* before the others in the loop have their turn */
};

struct ask ask_new(struct relay *relay, int (*feed)(struct ask *, const char *, size_t, struct why *),
	void (*over)(struct ask *, const struct why *))
{
	return (struct ask){.relay = relay, .feed = feed, .over = over, .fd = -1, .watch.fd = -1};
}

int ask_is_on(const struct ask *a)
{
	return a->fd >= 0;
}

void ask_end(struct ask *a)
{
	relay_watch(a->relay, &a->watch, 0);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	buf_free(&a->head);
}

static int take(struct ask *a, const char *p, size_t len, struct why *why)
{
	if (!a->in_body) {
		if (buf_add(&a->head, p, len) < 0)
			return why_set(why, R_API_ERROR, "what answers is not tailscaled");
		const char *end = memmem(a->head.p, a->head.len, "\r\n\r\n", 4);
		if (!end)
			return 0;
		if (a->head.len < 13 || memcmp(a->head.p, "HTTP/1.", 7) || memcmp(a->head.p + 8, " 200", 4)) {
			int denied = a->head.len > 13 && !memcmp(a->head.p + 8, " 403", 4);
			return why_set(why, denied ? R_API_DENIED : R_API_ERROR, "tailscaled %s", denied ? "refuses" : "answers with an error");
		}
		a->in_body = 1;
		size_t head = (size_t)(end + 4 - a->head.p);
		len = a->head.len - head;
		p = a->head.p + head;
	}
	return len ? a->feed(a, p, len, why) : 0;
}

static void readable(void *ctx, unsigned events)
{
	static char text[PIECE];
	struct ask *a = ctx;
	struct why why = {0};
	(void)events;
	for (int i = 0; i < READS; i++) {
		ssize_t n = recv(a->fd, text, sizeof text, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0 || (!n && !a->in_body)) {
			why_set(&why, R_LOST, "tailscaled ended the connection");
			a->over(a, &why);
			return;
		}
		if (!n) {
			a->over(a, NULL);
			return;
		}
		if (take(a, text, (size_t)n, &why)) {
			a->over(a, &why);
			return;
		}
	}
}

int ask_start(struct ask *a, int fd, const char *what, struct why *why)
{
	char head[500];
	ask_end(a);
	a->head = (struct buf){.max = HEAD_MAX + PIECE};
	a->in_body = 0;
	a->fd = fd;
	if (fd < 0)
		return -1;
	int n = str_fmt(head, sizeof head, "GET /localapi/v0/%s HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n", what);
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		return why_set(why, R_LOST, "tailscaled went away");
	a->watch = (struct relay_watch){.fd = fd, .ready = readable, .ctx = a};
	if (relay_watch(a->relay, &a->watch, EPOLLIN))
		return why_errno(why, "epoll:");
	return 0;
}
