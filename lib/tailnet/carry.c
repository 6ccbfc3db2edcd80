/* carry - connections into the tailnet from within a relay's loop */
#include "carry.h"
#include "alloc.h"
#include "clock.h"
#include "lookup.h"
#include "peers.h"
#include "reach.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	FRESH_MS = 2000,		/* so long what the netmap said holds */
	ONLINE_MS = 30000, OFFLINE_MS = 8000,	/* for a connection to come about */
	RESTART_MS = 10000,		/* for a tailscaled that went away to come back */
	AGAIN_MS = 200,
	TICK_MS = 50,
};

enum step { WAIT_LOOK, ASKED, SELF, AGAIN, OVER };

struct carry_dial {
	struct carry *c;
	struct lookup_host *to;
	int port, fd, ready, redialled, anew;
	enum step step;
	char dialled[48];
	struct dial_answer *answer;
	struct dial_tcp *tcp;
	struct relay_watch watch;
	long long began, deadline, again, asked;
	struct why why;
	carry_done *done;
	void *ctx;
	struct carry_dial *next, *prev;
};

struct carry {
	struct relay *relay;
	struct contact contact;
	struct lookup *lookup;
	struct carry_dial *dials;
	struct relay_watch tick;
	int ticking;
};

static void dial_start(struct carry_dial *);

static void tick(struct carry *c, int at_once)
{
	struct itimerspec t = {
		.it_interval.tv_nsec = TICK_MS * 1000000L,
		.it_value.tv_nsec = at_once ? 1 : TICK_MS * 1000000L,
	};
	if (c->ticking && !at_once)
		return;
	c->ticking = 1;
	timerfd_settime(c->tick.fd, 0, &t, NULL);
}

static void let_go(struct carry_dial *d)
{
	relay_watch(d->c->relay, &d->watch, 0);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	dial_tcp_end(d->tcp);
	d->tcp = NULL;
	free(d->answer);
	d->answer = NULL;
	d->ready = 0;
}

static void dial_free(struct carry_dial *d)
{
	let_go(d);
	lookup_release(d->to);
	if (d->prev)
		d->prev->next = d->next;
	else
		d->c->dials = d->next;
	if (d->next)
		d->next->prev = d->prev;
	free(d);
}

void carry_cancel(struct carry_dial *d)
{
	if (d)
		dial_free(d);
}

static void hand_out(struct carry_dial *d)
{
	static const struct dial_answer nothing;
	int fd = d->fd, is_self = d->step == SELF;
	carry_done *done = d->done;
	void *ctx = d->ctx;
	struct dial_answer *answer = d->answer;
	relay_watch(d->c->relay, &d->watch, 0);
	d->fd = -1;
	d->answer = NULL;
	dial_free(d);
	done(ctx, fd, is_self ? &nothing : answer, is_self ? 0 : RELAY_NO_HALF, NULL);
	free(answer);
}

/* Told in the next turn: the caller of carry_dial is not done with it yet. */
static void fail(struct carry_dial *d, const struct why *why)
{
	let_go(d);
	d->why = *why;
	d->step = OVER;
	tick(d->c, 1);
}

static void try_again(struct carry_dial *d, const struct why *why, int ms)
{
	let_go(d);
	d->why = *why;
	d->step = AGAIN;
	d->again = clock_ms() + ms;
	if (d->again - d->began > RESTART_MS)
		fail(d, why);
}

static int is_fresh(const struct carry_dial *d)
{
	return d->to->looked && d->to->looked + FRESH_MS >= d->began;
}

static void wait_for_look(struct carry_dial *d)
{
	d->step = WAIT_LOOK;
	lookup_start(d->c->lookup);
}

/* The netmap may tell another address now. */
static void dial_failed(struct carry_dial *d, const struct why *why)
{
	if (why->reason == R_LOST) {
		try_again(d, why, AGAIN_MS);
		return;
	}
	let_go(d);
	d->why = *why;
	if (why->reason == R_REFUSED)
		reach_refused(d->to->name, d->port, &d->why);
	if (d->to->looked >= d->began)
		fail(d, &d->why);
	else
		wait_for_look(d);
}

static void watch_tcp(struct carry_dial *d)
{
	d->watch.fd = dial_tcp_fd(d->tcp);
	d->watch.mask = 0;
	if (relay_watch(d->c->relay, &d->watch, EPOLLIN | EPOLLOUT))
		relay_watch(d->c->relay, &d->watch, 0);
}

static void tcp_ready(struct carry_dial *d)
{
	struct why why = {0};
	relay_watch(d->c->relay, &d->watch, 0);
	int rc = dial_tcp_go_on(d->tcp, &d->fd, &why);
	if (rc < 0) {
		dial_failed(d, &why);
		return;
	}
	if (!rc) {
		watch_tcp(d);
		return;
	}
	d->ready = 1;
	if (is_fresh(d) || d->to->looked >= d->began)
		hand_out(d);
}

/* With a TUN the connection is the system's to make. */
static void dial_self(struct carry_dial *d)
{
	char *host;
	int port;
	struct why why = {0};
	relay_watch(d->c->relay, &d->watch, 0);
	close(d->fd);
	d->fd = -1;
	if (str_host_port(d->answer->addr, &host, &port) < 0) {
		why_set(&why, R_API_ERROR, "dial: tailscaled gives an address that is none");
		fail(d, &why);
		return;
	}
	d->tcp = dial_tcp_begin(host, port, &why);
	if (!d->tcp) {
		fail(d, &why);
		return;
	}
	d->step = SELF;
	tcp_ready(d);
}

static void dial_event(void *ctx, unsigned events)
{
	struct carry_dial *d = ctx;
	struct why why = {0};
	char what[272];
	(void)events;
	if (d->step == SELF) {
		tcp_ready(d);
		return;
	}
	str_fmt(what, sizeof what, "%s:%d", d->to->name, d->port);
	int rc = dial_hear(d->fd, d->answer, what, &why);
	if (rc < 0)
		dial_failed(d, &why);
	else if (rc && d->answer->self)
		dial_self(d);
	else if (rc) {
		relay_watch(d->c->relay, &d->watch, 0);
		d->ready = 1;
		if (is_fresh(d) || d->to->looked >= d->began)
			hand_out(d);
	}
}

static void dial_start(struct carry_dial *d)
{
	struct why why = {0};
	d->fd = contact_reach(&d->c->contact, &why);
	if (d->fd < 0 && contact_may_return(&why)) {
		try_again(d, &why, AGAIN_MS);
		return;
	}
	if (d->fd < 0 || dial_ask(d->fd, d->to->dial, d->port, &why) < 0) {
		if (d->fd >= 0 && why.reason == R_LOST)
			try_again(d, &why, AGAIN_MS);
		else
			fail(d, &why);
		return;
	}
	str_copy(d->dialled, sizeof d->dialled, d->to->dial);
	d->step = ASKED;
	d->asked = clock_ms();
	d->answer = xalloc(sizeof *d->answer);
	d->answer->length = -1;
	d->watch = (struct relay_watch){ .fd = d->fd, .ready = dial_event, .ctx = d };
	if (relay_watch(d->c->relay, &d->watch, EPOLLIN)) {
		why_errno(&why, "epoll:");
		fail(d, &why);
	}
}

static void keep_short(struct carry_dial *d)
{
	if (d->to->known && !d->to->online && !d->to->is_self && d->deadline > d->began + OFFLINE_MS)
		d->deadline = d->began + OFFLINE_MS;
}

/* A look is over: of no use (why), or told about d->to. */
static void after_look(struct carry_dial *d, const struct why *why)
{
	struct lookup_host *to = d->to;
	if (!why && to->resolving)
		return;
	if (d->step == OVER || (why && d->step != WAIT_LOOK && !d->ready))
		return;
	if (why && d->ready) {
		hand_out(d);		/* it does lead to where the name led before */
		return;
	}
	if (why || !to->known) {
		const struct why *w = why ? why : &to->why;
		if (d->why.reason && why)
			fail(d, &d->why);
		else if (contact_may_return(w))
			try_again(d, w, AGAIN_MS);
		else
			fail(d, w);
		return;
	}
	keep_short(d);
	int moved = *d->dialled && !str_eq(d->dialled, to->dial);
	if (moved && !d->redialled) {
		let_go(d);
		d->redialled = 1;
		d->why.reason = R_NONE;
		dial_start(d);
	} else if (d->ready) {
		hand_out(d);
	} else if (d->step == WAIT_LOOK && d->why.reason) {
		fail(d, &d->why);
	} else if (d->step == WAIT_LOOK) {
		dial_start(d);
	}
}

static void looked(void *ctx, struct lookup_host *to, long long began, const struct why *why)
{
	struct carry *c = ctx;
	struct carry_dial *next;
	for (struct carry_dial *d = c->dials; d; d = next) {
		next = d->next;
		if (d->to == to && (why || began >= d->began || d->step == WAIT_LOOK))
			after_look(d, why);
	}
}

/* No answer came. What else is known of the node tells why. */
static void too_late(struct carry_dial *d)
{
	struct why why;
	const char *name = d->to->name;
	if (d->step == AGAIN)
		why = d->why;
	else if (d->to->resolving)
		why_set(&why, R_NO_RESOLVER, "%s:%d: no name server of the tailnet's DNS settings answers", name, d->port);
	else if (d->step == WAIT_LOOK)
		why_set(&why, R_TAILSCALED_HUNG, "%s:%d: tailscaled does not answer", name, d->port);
	else if (d->to->known && !d->to->online && !d->to->is_self)
		why_set(&why, R_PEER_OFFLINE, "%s:%d: the node is offline", name, d->port);
	else
		why_set(&why, R_FILTERED, "%s:%d: no answer: the policy or its inbound setting drops it, or there is no way", name, d->port);
	fail(d, &why);
}

static void tell_failures(struct carry *c)
{
	struct carry_dial *d;
	do {
		for (d = c->dials; d && d->step != OVER; d = d->next)
			;
		if (d) {
			struct why why = d->why;
			carry_done *done = d->done;
			void *to = d->ctx;
			dial_free(d);
			done(to, -1, NULL, 0, &why);
		}
	} while (d);		/* done may have ended others: begin anew */
}

static void each_tick(void *ctx, unsigned events)
{
	struct carry *c = ctx;
	unsigned long long n;
	(void)events;
	(void)!read(c->tick.fd, &n, sizeof n);
	long long now = clock_ms();
	struct carry_dial *next;
	for (struct carry_dial *d = c->dials; d; d = next) {
		next = d->next;
		if (d->step == OVER)
			continue;
		if (now >= d->deadline)
			too_late(d);
		else if (d->step == AGAIN && now >= d->again) {
			d->why.reason = R_NONE;
			*d->dialled = 0;
			wait_for_look(d);
		} else if (d->step == SELF && !d->ready) {
			tcp_ready(d);		/* may end d, and only d */
		} else if (d->step == ASKED && !d->ready && d->anew < REACH_ANEW_TIMES && now - d->asked > REACH_ANEW_MS << d->anew) {
			let_go(d);
			d->anew++;
			dial_start(d);
		}
	}
	lookup_check(c->lookup);
	tell_failures(c);
	if (!c->dials && !lookup_is_on(c->lookup)) {
		struct itimerspec off = {0};
		timerfd_settime(c->tick.fd, 0, &off, NULL);
		c->ticking = 0;
	}
}

/* ---- from outside ---- */

struct carry_dial *carry_dial(struct carry *c, const char *host, int port, carry_done *done, void *ctx)
{
	struct carry_dial *d = xalloc(sizeof *d);
	struct peers_search s;
	struct why why = {0};
	*d = (struct carry_dial){ .c = c, .port = port, .fd = -1, .done = done, .ctx = ctx, .began = clock_ms() };
	d->deadline = d->began + ONLINE_MS;
	d->watch.fd = -1;
	d->to = lookup_take(c->lookup, host);
	d->next = c->dials;
	if (d->next)
		d->next->prev = d;
	c->dials = d;
	tick(c, 0);
	if (strlen(host) >= sizeof d->to->name || peers_begin(&s, host, "", &why) < 0) {
		if (!why.reason)
			why_set(&why, R_UNKNOWN_NAME, "%.64s: not a host name", host);
		fail(d, &why);
		return d;
	}
	int fresh = is_fresh(d), known = d->to->known;
	lookup_keep(c->lookup);
	keep_short(d);
	if (fresh && !known && !d->to->resolving && !contact_may_return(&d->to->why)) {
		fail(d, &d->to->why);
		return d;
	}
	if (known)
		dial_start(d);
	else
		d->step = WAIT_LOOK;
	if (!fresh || !known)
		lookup_start(c->lookup);
	return d;
}

const struct node *carry_node(const struct carry *c)
{
	return &c->contact.node;
}

const char *carry_suffix(const struct carry *c)
{
	return lookup_suffix(c->lookup);
}

int carry_is_theirs(struct carry *c, const char *host)
{
	return lookup_is_theirs(c->lookup, host);
}

static int is_alive(void *ctx)
{
	const struct carry *c = ctx;
	return contact_is_alive(&c->contact);
}

static void wake(void *ctx, int at_once)
{
	tick(ctx, at_once);
}

struct carry *carry_new(struct relay *r, const char *name, const char *socket, struct why *why)
{
	struct carry *c = xalloc(sizeof *c);
	c->relay = r;
	if (contact_open(&c->contact, name, socket, why) < 0) {
		free(c);
		return NULL;
	}
	c->lookup = lookup_new(r, &c->contact, looked, wake, c);
	c->tick = (struct relay_watch){ .ready = each_tick, .ctx = c };
	c->tick.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->tick.fd < 0 || relay_watch(r, &c->tick, EPOLLIN)) {
		why_errno(why, "timerfd:");
		carry_free(c);
		return NULL;
	}
	relay_ask_alive(r, is_alive, c);
	return c;
}

void carry_free(struct carry *c)
{
	if (!c)
		return;
	relay_ask_alive(c->relay, NULL, NULL);
	while (c->dials)
		dial_free(c->dials);
	lookup_free(c->lookup);
	relay_watch(c->relay, &c->tick, 0);
	if (c->tick.fd >= 0)
		close(c->tick.fd);
	contact_close(&c->contact);
	free(c);
}
