/* relay - joins pairs of descriptors both ways */
#include "relay.h"
#include "alloc.h"
#include "clock.h"
#include "left.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	ROUNDS = 8,		/* chunks of one direction before the others have their turn */
	SPLICE = 256 << 10,
	BULK_RUN = 2, BULK_NOT = -32,	/* many small packets fill a pipe's slots with next to nothing: not for a while */
	BULK = 16 << 10,	/* from this size on splicing costs less than copying: about half */
	HELD_MAX = 2 << 20, SMALL = 16 << 10,	/* once so much waits in all, less is taken at once */
	PIPE_PIECE = 4096,	/* so much can be written to a pipe that poll calls writable, and never blocks */
	LINGER_MS = 10000,	/* for a client to read what was sent to it, after the far side has gone */
	LOOK_MS = 1, LOOK_MAX_MS = 2000,	/* is a client that has ended one way still there? At once, then less and less often */
	TICK_MS = 10,
	EVENTS = 64,
};

/* One direction. */
struct flow {
	int from, to;
	char *wait;		/* bytes read and not yet written; NULL when there are none */
	size_t at, len;
	int ended;		/* from has no more */
	int broken;		/* errno: to takes no more */
	int read_error;
	int bulk;		/* large pieces in a row; from BULK_RUN on it is spliced, not copied */
	int from_sock, to_sock;	/* others are not switched to non-blocking: they are shared with our caller's shell */
	size_t piece;		/* most that is written at once; 0: no limit */
	long long count;
};

static char chunk[RELAY_CHUNK];

static int is_sock(int fd)
{
	struct stat st;
	return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

static size_t held;		/* by all that waits */

static int is_unix(int fd)
{
	int domain = 0;
	socklen_t len = sizeof domain;
	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX;
}

static void flow_drop(struct flow *f)
{
	if (f->wait)
		held -= f->len;
	free(f->wait);
	f->wait = NULL;
	f->at = f->len = 0;
}


static void flow_keep(struct flow *f, const char *p, size_t len)
{
	f->wait = xalloc(len);
	memcpy(f->wait, p, len);
	f->at = 0;
	f->len = len;
	held += len;
}

/* What a slow reader keeps waiting is what was taken last. */
static size_t most(size_t size)
{
	return held < HELD_MAX || size < SMALL ? size : SMALL;
}

/* Writes what it can; how much, or -1 when to is broken. */
static ssize_t flow_write(struct flow *f, const char *p, size_t len)
{
	size_t done = 0;
	while (done < len) {
		size_t want = f->piece && len - done > f->piece ? f->piece : len - done;
		ssize_t n = f->to_sock ? send(f->to, p + done, want, MSG_NOSIGNAL | MSG_DONTWAIT) : write(f->to, p + done, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			f->broken = errno;
			return -1;
		}
		done += (size_t)n;
		f->count += n;
		if (f->piece)
			break;		/* poll has to be asked again before each piece */
	}
	return (ssize_t)done;
}

/* What could not be written comes out of the pipe again, so that one serves all and is empty between steps. */
static void flow_unsplice(struct flow *f, int pipe, size_t len)
{
	f->wait = xalloc(len);
	f->at = f->len = 0;
	while (f->len < len) {
		ssize_t n = read(pipe, f->wait + f->len, len - f->len);
		if (n > 0)
			f->len += (size_t)n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	held += f->len;
}

/* As flow_step; -1: it has to be copied. */
static int flow_splice(struct flow *f)
{
	static int through[2] = { -1, -1 }, is_refused;
	enum { HOW = SPLICE_F_MOVE | SPLICE_F_NONBLOCK };
	if (f->bulk < BULK_RUN || is_refused || !f->from_sock || !f->to_sock || f->broken)
		return -1;
	if (through[0] < 0) {
		if (pipe2(through, O_CLOEXEC | O_NONBLOCK))
			return -1;
		fcntl(through[1], F_SETPIPE_SZ, SPLICE);	/* in pages: small pieces fill more of them than they are long */
	}
	ssize_t n = splice(f->from, NULL, through[1], NULL, most(SPLICE), HOW);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && (errno == EINVAL || errno == ENOSYS || errno == EPERM)) {
		is_refused = 1;
		return -1;
	}
	if (n <= 0) {
		f->ended = 1;
		f->read_error = n < 0 ? errno : 0;
		return 0;
	}
	if (n < BULK)
		f->bulk = BULK_NOT;
	size_t left = (size_t)n;
	while (left) {
		ssize_t put = splice(through[0], NULL, f->to, NULL, left, HOW);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			int error = put < 0 ? errno : EAGAIN;
			flow_unsplice(f, through[0], left);
			is_refused |= error == EINVAL || error == ENOSYS;
			if (error != EAGAIN && !is_refused) {
				f->broken = error;
				flow_drop(f);
			}
			return 0;
		}
		left -= (size_t)put;
		f->count += put;
	}
	return 1;
}

/* 1: something was moved and there may be more; 0: it has to wait, or is over. */
static int flow_step(struct flow *f)
{
	if (f->wait) {
		ssize_t n = flow_write(f, f->wait + f->at, f->len - f->at);
		if (n < 0) {
			flow_drop(f);
			return 0;
		}
		f->at += (size_t)n;
		if (f->at < f->len)
			return 0;
		flow_drop(f);
		if (!f->from_sock)
			return 0;	/* reading may block before poll was asked */
	}
	if (f->ended)
		return 0;
	int spliced = flow_splice(f);
	if (spliced >= 0)
		return spliced;
	ssize_t n = f->from_sock ? recv(f->from, chunk, most(sizeof chunk), MSG_DONTWAIT) : read(f->from, chunk, sizeof chunk);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		f->ended = 1;
		f->read_error = n < 0 ? errno : 0;
		return 0;
	}
	if (f->broken)
		return f->from_sock;	/* thrown away: nobody takes it */
	if (n < BULK)
		f->bulk = f->bulk < 0 ? f->bulk : 0;
	else if (f->bulk < BULK_RUN && f->bulk != INT_MIN)
		f->bulk++;
	ssize_t put = flow_write(f, chunk, (size_t)n);
	if (put < 0)
		return 0;
	if (put < n) {
		flow_keep(f, chunk + put, (size_t)(n - put));
		return 0;
	}
	return f->from_sock;		/* others may block on a second read */
}

static void flow_pump(struct flow *f)
{
	for (int i = 0; i < ROUNDS && flow_step(f); i++)
		;
}

static int flow_over(const struct flow *f)
{
	return !f->wait && (f->ended || f->broken);
}

/* A pipe opened anew is a description of our own, which can be non-blocking without the shell's becoming so. */
static int own_pipe(int fd)
{
	struct stat st;
	char path[64];
	if (fstat(fd, &st) || !S_ISFIFO(st.st_mode))
		return -1;
	str_fmt(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

static int needs_pieces(int fd)
{
	struct stat st;
	return !fstat(fd, &st) && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode));
}

static int pair_result(const struct flow *up, const struct flow *down, struct relay_count *count, struct why *why)
{
	int error = down->read_error ? down->read_error : up->broken;
	*count = (struct relay_count){ .up = up->count, .down = down->count, .near_gone = down->broken != 0 };
	if (down->broken && down->broken != EPIPE && down->broken != ECONNRESET && down->broken != EBADF) {
		errno = down->broken;
		return why_set(why, R_OUTPUT, "%s", strerror(down->broken));
	}
	/* EPIPE alone: the other side closed while we were still sending, which is an end like any other. */
	if (down->broken || !error || error == EPIPE)
		return 0;
	count->error = error;
	return why_set(why, R_LOST, "the connection broke: %s", strerror(error));
}

int relay_pair(int in, int out, int stream, const char *early, size_t early_len, int flags, struct relay_count *count,
               struct why *why)
{
	int own = own_pipe(out), half_done = 0;
	struct flow up = { .from = in, .to = stream, .to_sock = 1, .from_sock = is_sock(in) };
	struct flow down = { .from = stream, .to = own >= 0 ? own : out, .from_sock = 1, .to_sock = is_sock(out),
	                     .piece = own < 0 && needs_pieces(out) ? PIPE_PIECE : 0 };
	up.ended = fcntl(in, F_GETFL) < 0;
	if (fcntl(out, F_GETFL) < 0)
		down.broken = EBADF;
	if (early_len && !down.broken)
		flow_keep(&down, early, early_len);
	while (!flow_over(&down)) {
		if (flow_over(&up) && !half_done) {
			half_done = 1;
			if (flags & RELAY_CLOSE)
				break;
			if (!(flags & RELAY_NO_HALF))
				shutdown(stream, SHUT_WR);
		}
		int reading = !up.wait && !up.ended && !up.broken;
		short events = (short)((down.wait || down.ended ? 0 : POLLIN) | (up.wait ? POLLOUT : 0));
		struct pollfd p[3] = {
			{ .fd = reading ? in : -1, .events = POLLIN },
			{ .fd = down.to, .events = down.wait ? POLLOUT : 0 },
			{ .fd = events ? stream : -1, .events = events },	/* it would go on telling that it hung up */
		};
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents || (up.wait && p[2].revents))
			flow_step(&up);
		if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL) && !(p[1].revents & POLLOUT))
			down.broken = EPIPE;
		else if (down.wait ? p[1].revents : p[2].revents & (POLLIN | POLLHUP | POLLERR))
			flow_pump(&down);
		if (down.broken)
			flow_drop(&down);
	}
	int rc = pair_result(&up, &down, count, why);
	flow_drop(&up);
	flow_drop(&down);
	if (own >= 0)
		close(own);
	return rc;
}

struct pair;
struct side { struct pair *pair; int fd; unsigned mask; };

struct pair {
	struct side near, far;
	struct flow up, down;
	int flags, up_told, down_told, dead;
	long long linger;	/* until when the near side may read; 0: not there yet */
	long long look;		/* when to look whether the client is still there; 0: it has not ended */
	int look_ms;
	void *tag;
	struct pair *next, *prev;
};

struct relay {
	int epoll, live, waiting;	/* of the live ones, those that time will end */
	struct pair *pairs, *dead;
	struct relay_watch tick;	/* ticks while some are waiting */
	int ticking;
	struct epoll_event *now;	/* of this turn, not yet looked at */
	int left;
	int (*alive)(void *);
	void *alive_ctx;
};

/* Pointers of both kinds are even. */
enum { IS_WATCH = 1 };

int relay_watch(struct relay *r, struct relay_watch *w, unsigned mask)
{
	struct epoll_event e = { .events = mask, .data.u64 = (uintptr_t)w | IS_WATCH };
	if (mask == w->mask)
		return 0;
	int op = !mask ? EPOLL_CTL_DEL : w->mask ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	w->mask = mask;
	for (int i = 0; i < r->left && !mask; i++)
		if (r->now[i].data.u64 == e.data.u64)
			r->now[i].data.u64 = 0;
	if (!epoll_ctl(r->epoll, op, w->fd, &e))
		return 0;
	w->mask = 0;
	return -1;
}

void relay_ask_alive(struct relay *r, int (*alive)(void *), void *ctx)
{
	r->alive = alive;
	r->alive_ctx = ctx;
}

/* A timer in the loop itself, so that relay_fd tells of what time has done, too. */
static void ticked(void *ctx, unsigned events)
{
	struct relay *r = ctx;
	unsigned long long n;
	(void)events;
	(void)!read(r->tick.fd, &n, sizeof n);
}

static void tick(struct relay *r)
{
	int wanted = r->waiting > 0;
	if (wanted == r->ticking)
		return;
	struct timespec every = { .tv_nsec = wanted * TICK_MS * 1000000L };
	struct timespec first = { .tv_nsec = wanted * LOOK_MS * 1000000L };
	struct itimerspec t = { .it_interval = every, .it_value = first };
	timerfd_settime(r->tick.fd, 0, &t, NULL);
	r->ticking = wanted;
}

struct relay *relay_new(struct why *why)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0) {
		why_errno(why, "epoll:");
		return NULL;
	}
	struct relay *r = xalloc(sizeof *r);
	r->epoll = fd;
	r->tick = (struct relay_watch){ .ready = ticked, .ctx = r };
	r->tick.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r->tick.fd < 0 || relay_watch(r, &r->tick, EPOLLIN)) {
		why_errno(why, "timerfd:");
		if (r->tick.fd >= 0)
			close(r->tick.fd);
		close(fd);
		free(r);
		return NULL;
	}
	return r;
}

int relay_fd(const struct relay *r)
{
	return r->epoll;
}

int relay_live(const struct relay *r)
{
	return r->live;
}

/* A side that wants nothing is taken out: epoll would go on telling that it hung up. */
static int watch(struct relay *r, struct side *s, unsigned mask)
{
	if (mask == s->mask)
		return 0;
	struct epoll_event e = { .events = mask, .data.ptr = s };
	int op = !mask ? EPOLL_CTL_DEL : s->mask ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	s->mask = mask;
	return epoll_ctl(r->epoll, op, s->fd, &e);
}

static void pair_close(struct relay *r, struct pair *p)
{
	if (p->dead)
		return;
	p->dead = 1;
	r->live--;
	r->waiting -= p->linger || p->look;
	close(p->near.fd);
	close(p->far.fd);
	flow_drop(&p->up);
	flow_drop(&p->down);
	if (p->prev)
		p->prev->next = p->next;
	else
		r->pairs = p->next;
	if (p->next)
		p->next->prev = p->prev;
	/* Events of this turn may still point to it. */
	p->next = r->dead;
	r->dead = p;
}

/* With a reset: the client must not take it for an end. */
static void pair_reset(struct relay *r, struct pair *p)
{
	setsockopt(p->near.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	pair_close(r, p);
}

/* From now on time may end it. */
static void pair_waits(struct relay *r, struct pair *p)
{
	r->waiting += !p->linger && !p->look;
}

/* Nobody will take what may still come: the far side is let go, which is how it hears of it. */
static void look_after(struct relay *r, struct pair *p)
{
	if (!p->look || !clock_passed(p->look))
		return;
	if (left_for_good(p->near.fd) == 1) {
		p->down.broken = p->down.broken ? p->down.broken : EPIPE;
		pair_close(r, p);
		return;
	}
	p->look_ms = p->look_ms < LOOK_MAX_MS ? 2 * p->look_ms : LOOK_MAX_MS;
	p->look = clock_ms() + p->look_ms;
}

/* What follows from the state of both ways. */
static void pair_settle(struct relay *r, struct pair *p)
{
	struct flow *up = &p->up, *down = &p->down;
	int no_half = p->flags & RELAY_NO_HALF;
	if (flow_over(up) && !p->up_told) {
		p->up_told = 1;
		if (p->flags & RELAY_CLOSE && up->ended) {
			pair_close(r, p);
			return;
		}
		if (!no_half)
			shutdown(p->far.fd, SHUT_WR);
	}
	if (flow_over(down) && !p->down_told) {
		p->down_told = 1;
		if (no_half && !down->broken && r->alive && !r->alive(r->alive_ctx)) {
			p->down.read_error = p->down.read_error ? p->down.read_error : ECONNRESET;
			pair_reset(r, p);
			return;
		}
		shutdown(p->near.fd, SHUT_WR);
		if (no_half && !down->broken) {
			flow_drop(up);
			up->broken = up->broken ? up->broken : EPIPE;
		}
	}
	if (p->down_told && (up->ended ? !up->wait : down->broken && up->broken)) {
		pair_close(r, p);
		return;
	}
	/* Closing now would reset the connection under what the client has not read yet. */
	if (p->down_told && up->broken && !p->linger) {
		pair_waits(r, p);
		p->linger = clock_ms() + LINGER_MS;
	}
	if (flow_over(up) && up->ended && !p->look) {
		pair_waits(r, p);
		p->look_ms = LOOK_MS;
		p->look = clock_ms();
		look_after(r, p);
		if (p->dead)
			return;
	}
	unsigned near = 0, far = 0;
	if (!up->ended && !up->wait)
		near |= EPOLLIN;
	if (down->wait)
		near |= EPOLLOUT;
	if (!down->ended && !down->wait && !down->broken)
		far |= EPOLLIN;
	if (up->wait)
		far |= EPOLLOUT;
	if (watch(r, &p->near, near) || watch(r, &p->far, far))
		pair_close(r, p);
}

int relay_add(struct relay *r, int near, int far, const struct relay_early *early, int flags, void *tag, struct why *why)
{
	struct pair *p = xalloc(sizeof *p);
	p->near = (struct side){ .pair = p, .fd = near };
	p->far = (struct side){ .pair = p, .fd = far };
	p->up = (struct flow){ .from = near, .to = far, .from_sock = 1, .to_sock = 1 };
	p->down = (struct flow){ .from = far, .to = near, .from_sock = 1, .to_sock = 1 };
	p->flags = flags;
	p->tag = tag;
	if (!is_unix(near) && !is_unix(far))
		p->up.bulk = p->down.bulk = INT_MIN;	/* between two of TCP copying is faster */
	if (early && early->near_len)
		flow_keep(&p->down, early->to_near, early->near_len);
	if (early && early->far_len)
		flow_keep(&p->up, early->to_far, early->far_len);
	unsigned near_mask = (p->up.wait ? 0 : EPOLLIN) | (p->down.wait ? EPOLLOUT : 0);
	unsigned far_mask = (p->down.wait ? 0 : EPOLLIN) | (p->up.wait ? EPOLLOUT : 0);
	if (watch(r, &p->near, near_mask) || watch(r, &p->far, far_mask)) {
		why_errno(why, "epoll:");
		close(near);
		close(far);
		flow_drop(&p->down);
		flow_drop(&p->up);
		free(p);
		return -1;
	}
	p->next = r->pairs;
	if (p->next)
		p->next->prev = p;
	r->pairs = p;
	r->live++;
	return 0;
}

static void side_ready(struct relay *r, struct side *s, unsigned events)
{
	struct pair *p = s->pair;
	if (p->dead)
		return;
	int is_near = s == &p->near;
	struct flow *from = is_near ? &p->up : &p->down, *to = is_near ? &p->down : &p->up;
	if (to->wait && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		flow_pump(to);
	if (!from->wait && !from->ended && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		flow_pump(from);
	/* A unix client that closed both ways, or a reset: nobody reads there any more. */
	if (is_near && events & EPOLLERR && !to->broken)
		to->broken = EPIPE;
	if (to->broken)
		flow_drop(to);
	pair_settle(r, p);
}

static void end_waiting(struct relay *r)
{
	struct pair *next;
	for (struct pair *p = r->pairs; p; p = next) {
		next = p->next;
		if (p->linger && clock_passed(p->linger))
			pair_close(r, p);
		else
			look_after(r, p);
	}
}

void relay_turn(struct relay *r, int wait_ms, void (*done)(void *ctx, void *tag, const struct relay_count *), void *ctx)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(r->epoll, events, EVENTS, wait_ms);
	for (int i = 0; i < n; i++) {
		struct epoll_event e = events[i];
		r->now = events + i + 1;
		r->left = n - i - 1;
		struct relay_watch *w = (struct relay_watch *)(uintptr_t)(e.data.u64 & ~(uint64_t)IS_WATCH);
		if (e.data.u64 & IS_WATCH)
			w->ready(w->ctx, e.events);
		else if (e.data.u64)
			side_ready(r, e.data.ptr, e.events);
	}
	r->left = 0;
	if (r->waiting)
		end_waiting(r);
	tick(r);
	while (r->dead) {
		struct pair *p = r->dead;
		r->dead = p->next;
		int error = p->down.read_error ? p->down.read_error : p->up.broken == EPIPE ? 0 : p->up.broken;
		struct relay_count count = { .up = p->up.count, .down = p->down.count, .error = error,
		                             .near_gone = p->down.broken != 0 };
		if (done)
			done(ctx, p->tag, &count);
		free(p);
	}
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	while (r->pairs)
		pair_reset(r, r->pairs);
	while (r->dead) {
		struct pair *p = r->dead;
		r->dead = p->next;
		free(p);
	}
	close(r->tick.fd);
	close(r->epoll);
	free(r);
}
