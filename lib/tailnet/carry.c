/* carry - connections into the tailnet from within a relay's loop */
#include "carry.h"
#include "ask.h"
#include "clock.h"
#include "json.h"
#include "peers.h"
#include "resolve.h"
#include "reach.h"
#include "str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	FRESH_MS = 2000,		/* so long what the netmap said holds */
	ONLINE_MS = 30000, OFFLINE_MS = 8000,	/* for a connection to come about */
	/* Where the peer's side closes first, tailscaled now and then picks a port that the peer still holds, and its SYNs are
	 * never answered: without an answer it is asked anew, with another port. */
	ANEW_MS = 2000, ANEW_TIMES = 2,
	RESTART_MS = 10000,		/* for a tailscaled that went away to come back */
	AGAIN_MS = 200,
	LOOK_MS = 10000, SETTINGS_MS = 2000,
	TICK_MS = 50,
	PREFS_MAX = 1 << 20,
	HOSTS_MAX = 256,
	NAMES_MS = 10000,		/* so long a name of the DNS settings keeps its address, and they are not read again */
};

struct target {
	char name[256], dial[48], shown[256];
	char address[48];		/* what the DNS settings give for it, or "" */
	long long resolved;
	struct resolving *resolving;
	int known, is_self, online, is_routed, users;
	long long looked;
	struct why why;			/* when it is not known */
	struct target *next;
};

enum step { WAIT_LOOK, ASKED, SELF, AGAIN, OVER };

struct carry_dial {
	struct carry *c;
	struct target *to;
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

struct look {
	struct ask ask;			/* first */
	struct carry *c;
	int is_prefs, routed;
	struct buf prefs;
	struct peer_scan *scan;
	struct node_status st;
	struct target **to;
	struct peers_search *search;
	int n, begun;
	long long began;
	struct why why;
};

/* A name of the DNS settings, on its way to an address; without a target: the settings themselves. */
struct resolving {
	struct ask ask;			/* first */
	struct carry *c;
	struct target *to;
	struct resolve plan;
	int at;				/* twice the index into plan.ask, one more for IPv6 */
	struct buf body;
	struct resolving *next;
};

struct carry {
	struct relay *relay;
	struct node node;
	char name[WS_LABEL], socket[600];
	char suffix[256];
	struct buf dns;			/* the DNS settings */
	long long dns_at;
	struct resolving *resolving;
	struct target *targets;
	int ntargets;
	struct carry_dial *dials;
	struct look *look;
	int look_again;
	struct relay_watch tick;
	int ticking, stat_fd;
	pid_t pid;
};

static void dial_start(struct carry_dial *);
static void look_start(struct carry *);

/* ---- the daemon ---- */

/* All threads of a dying process are marked before its sockets are closed: whoever sees the end of a stream sees this. */
static int daemon_alive(void *ctx)
{
	enum { PF_EXITING = 4 };
	struct carry *c = ctx;
	char text[512];
	unsigned long flags = 0;
	char state = 0;
	if (c->stat_fd < 0)
		return 1;
	ssize_t n = pread(c->stat_fd, text, sizeof text - 1, 0);
	if (n <= 0)
		return 0;
	text[n] = 0;
	const char *p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %lu", &state, &flags) != 2)
		return 1;
	return state != 'Z' && state != 'X' && !(flags & PF_EXITING);
}

static void know_daemon(struct carry *c, int fd)
{
	char path[64];
	pid_t pid;
	uid_t uid;
	if (dial_peer(fd, &pid, &uid) || pid == c->pid)
		return;
	if (c->stat_fd >= 0)
		close(c->stat_fd);
	str_fmt(path, sizeof path, "/proc/%d/stat", (int)pid);
	c->stat_fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	c->pid = pid;
}

/* A socket to it at once; a full queue is [deadline]. When nobody is there, the record may tell of a new one. */
static int reach_daemon(struct carry *c, struct why *why)
{
	struct node other;
	struct why ignored;
	int fd = dial_unix(c->node.api.dir, c->node.api.path, &c->node.api.who, clock_ms(), why);
	if (fd < 0 && (why->reason == R_NOT_UP || why->reason == R_SOCKET_FOREIGN) && c->node.is_ws
		&& node_find(&other, c->name, NULL, &ignored) == 0) {
		node_close(&c->node);
		c->node = other;
		fd = dial_unix(c->node.api.dir, c->node.api.path, &c->node.api.who, clock_ms(), why);
	}
	if (fd >= 0)
		know_daemon(c, fd);
	return fd;
}

static int may_come_back(const struct why *why)
{
	switch (why->reason) {
	case R_NOT_UP: case R_LOST: case R_DEADLINE: case R_SOCKET_FOREIGN:
		return 1;
	default:
		return 0;
	}
}

/* ---- dials ---- */

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
	d->to->users--;
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
	look_start(d->c);
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
	d->fd = reach_daemon(d->c, &why);
	if (d->fd < 0 && may_come_back(&why)) {
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
	struct target *to = d->to;
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
		else if (may_come_back(w))
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

static void look_over(struct carry *, const struct why *);

static void check_look(struct carry *c, long long now)
{
	struct why why = {0};
	if (c->look && !c->look->why.reason && now - c->look->began > LOOK_MS)
		why_set(&c->look->why, R_TAILSCALED_HUNG, "status: tailscaled does not answer");
	if (c->look && c->look->why.reason) {
		why = c->look->why;
		look_over(c, &why);
	}
	if (c->look_again && !c->look)
		look_start(c);
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
		} else if (d->step == ASKED && !d->ready && d->anew < ANEW_TIMES && now - d->asked > ANEW_MS << d->anew) {
			let_go(d);
			d->anew++;
			dial_start(d);
		}
	}
	check_look(c, now);
	tell_failures(c);
	if (!c->dials && !c->look) {
		struct itimerspec off = {0};
		timerfd_settime(c->tick.fd, 0, &off, NULL);
		c->ticking = 0;
	}
}

/* ---- names of the tailnet's DNS settings ---- */

static void resolving_free(struct resolving *r)
{
	struct resolving **at = &r->c->resolving;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->to) {
		r->to->resolving = NULL;
		r->to->users--;
	}
	ask_end(&r->ask);
	buf_free(&r->body);
	free(r);
}

/* Without an address: why. */
static void resolved(struct resolving *r, const char *ip, const struct why *why)
{
	struct carry *c = r->c;
	struct target *to = r->to;
	struct carry_dial *next;
	resolving_free(r);
	if (ip) {
		str_copy(to->address, sizeof to->address, ip);
		to->resolved = clock_ms();
		look_start(c);
		return;
	}
	to->why = *why;
	to->looked = clock_ms();
	for (struct carry_dial *d = c->dials; d; d = next) {
		next = d->next;
		if (d->to == to)
			after_look(d, NULL);
	}
}

static void resolve_on(struct resolving *r)
{
	struct why why = {0};
	char what[400];
	if (r->at >= 2 * r->plan.n) {
		why_set(&why, R_UNKNOWN_NAME, "%s: no node has that name, nor does a name server of the tailnet's DNS settings know it", r->to->name);
		resolved(r, NULL, &why);
		return;
	}
	resolve_request(r->plan.ask[r->at / 2], r->at % 2, what);
	r->at++;
	buf_clear(&r->body);
	ask_end(&r->ask);
	if (ask_start(&r->ask, reach_daemon(r->c, &why), what, &why) < 0)
		resolved(r, NULL, &why);
}

/* Its first step; nobody is walking through the dials. */
static void resolve_begin(struct resolving *r)
{
	char ip[48];
	if (*r->plan.ip) {
		str_copy(ip, sizeof ip, r->plan.ip);
		resolved(r, ip, NULL);
	} else
		resolve_on(r);
}

static void resolving_over(struct ask *a, const struct why *why)
{
	struct resolving *r = (struct resolving *)a;
	struct why no_answer = {0};
	char ip[48];
	if (!r->to) {			/* an older tailscaled has none */
		if (!why) {
			buf_free(&r->c->dns);
			r->c->dns = r->body;
			r->body = (struct buf){0};
		}
		resolving_free(r);
		return;
	}
	int rc = why ? -1 : resolve_answer(buf_cstr(&r->body), r->body.len, ip);
	if (rc > 0)
		resolved(r, ip, NULL);
	else if (!rc)
		resolve_on(r);
	else {
		why_set(&no_answer, R_NO_RESOLVER, "%s: the name server that the tailnet's DNS settings give for it does not answer", r->to->name);
		resolved(r, NULL, why && may_come_back(why) ? why : &no_answer);
	}
}

static int resolving_feed(struct ask *a, const char *p, size_t len, struct why *why)
{
	struct resolving *r = (struct resolving *)a;
	return buf_add(&r->body, p, len) < 0 ? why_set(why, R_TOO_BIG, "DNS settings: too long") : 0;
}

static struct resolving *resolving_new(struct carry *c, struct target *to)
{
	struct resolving *r = xalloc(sizeof *r);
	*r = (struct resolving){
		.ask = ask_new(c->relay, resolving_feed, resolving_over), .c = c,
		.to = to, .body.max = PREFS_MAX, .next = c->resolving,
	};
	c->resolving = r;
	if (to) {
		to->resolving = r;
		to->users++;
	}
	return r;
}

/* What holds now is read, what may hold soon is asked for. */
static void keep_settings(struct carry *c)
{
	struct why why = {0};
	if (clock_ms() - c->dns_at < NAMES_MS)
		return;
	c->dns_at = clock_ms();
	struct resolving *r = resolving_new(c, NULL);
	if (ask_start(&r->ask, reach_daemon(c, &why), "dns-config", &why) < 0)
		resolving_free(r);
}

/* The netmap does not know it: 1 when the DNS settings may. */
static int may_resolve(struct carry *c, struct target *to)
{
	struct resolve plan;
	unsigned char ip[16];
	if (inet_pton(AF_INET, to->name, ip) == 1 || inet_pton(AF_INET6, to->name, ip) == 1
		|| !resolve_plan(buf_cstr(&c->dns), c->dns.len, to->name, &plan))
		return 0;
	if (!to->resolving)
		resolving_new(c, to)->plan = plan;
	return 1;
}

int carry_is_theirs(struct carry *c, const char *host)
{
	struct resolve plan;
	keep_settings(c);
	int some = resolve_plan(buf_cstr(&c->dns), c->dns.len, host, &plan);
	return plan.is_theirs ? 2 : some;
}

/* ---- the look into the netmap ---- */

static void look_free(struct carry *c)
{
	struct look *l = c->look;
	ask_end(&l->ask);
	if (l->scan)
		localapi_scan_free(l->scan);
	buf_free(&l->prefs);
	free(l->to);
	free(l->search);
	free(l);
	c->look = NULL;
}

static void look_over(struct carry *c, const struct why *why)
{
	struct why kept;
	struct look *l = c->look;
	long long began = l->began;
	int n = l->n;
	struct target **to = l->to;
	if (why)
		kept = *why;
	l->to = NULL;
	look_free(c);
	struct carry_dial *next;
	for (struct carry_dial *d = c->dials; d; d = next) {
		int told = 0;
		next = d->next;
		for (int i = 0; i < n; i++)
			told |= to[i] == d->to;
		if (told && (why || began >= d->began || d->step == WAIT_LOOK))
			after_look(d, why ? &kept : NULL);
	}
	for (int i = 0; i < n; i++) {
		to[i]->users--;
		if (to[i]->resolving && !to[i]->resolving->at && !ask_is_on(&to[i]->resolving->ask))
			resolve_begin(to[i]->resolving);
	}
	free(to);
	if (c->look_again)
		look_start(c);
}

static void took(struct look *l, int i, int accepts)
{
	struct target *to = l->to[i];
	struct peers_search *s = &l->search[i];
	memset(&to->why, 0, sizeof to->why);
	to->looked = l->began;
	to->known = 0;
	if ((l->st.state != NODE_RUNNING && l->st.state != NODE_STARTING) || l->st.locked_out) {
		node_running(NULL, &l->st, &to->why);
		return;
	}
	if (peers_end(s, &to->why) < 0) {
		if (to->why.reason == R_UNKNOWN_NAME && *to->address)
			peers_nowhere(to->name, to->address, &to->why);
		else if (to->why.reason == R_UNKNOWN_NAME)
			may_resolve(l->c, to);
		return;
	}
	if (s->host.is_routed && !accepts) {
		why_set(&to->why, R_NO_PATH, "%s: behind the subnet router %s, and this node does not accept routes",
			to->name, s->host.peer.name);
		to->why.status = EXIT_NO;
		return;
	}
	to->known = 1;
	to->is_self = s->host.is_self;
	to->is_routed = s->host.is_routed;
	to->online = s->host.peer.online;
	str_copy(to->dial, sizeof to->dial, s->host.dial);
}

static void begin_searches(struct look *l)
{
	struct peer self;
	struct why ignored;
	if (l->begun)
		return;
	l->begun = 1;
	peers_self(&l->st, &self);
	for (int i = 0; i < l->n; i++)
		if (peers_begin(&l->search[i], *l->to[i]->address ? l->to[i]->address : l->to[i]->name, l->st.suffix, &ignored) == 0)
			peers_look(&l->search[i], &self, 1);
}

static int look_at_peer(const struct peer *p, void *ctx)
{
	struct look *l = ctx;
	begin_searches(l);
	for (int i = 0; i < l->n; i++)
		if (!l->search[i].found || l->search[i].host.is_routed)
			peers_look(&l->search[i], p, 0);
	return 0;
}

static void look_done(struct carry *c)
{
	struct look *l = c->look;
	struct why why = {0};
	struct json j;
	int accepts = 0;
	if (!l->is_prefs) {
		if (localapi_scan_end(l->scan, &why) < 0) {
			look_over(c, &why);
			return;
		}
		begin_searches(l);
		str_copy(c->suffix, sizeof c->suffix, l->st.suffix);
		for (int i = 0; i < l->n; i++)
			l->routed |= l->search[i].found && l->search[i].host.is_routed;
		if (l->routed) {
			l->is_prefs = 1;
			ask_end(&l->ask);	/* its descriptor first */
			if (ask_start(&l->ask, reach_daemon(c, &why), "prefs", &why) < 0)
				look_over(c, &why);
			return;
		}
	} else if (json_parse(&j, buf_cstr(&l->prefs), l->prefs.len, &why) == 0) {
		accepts = json_bool(&j, json_get(&j, 0, "RouteAll")) == 1;
		json_free(&j);
	}
	for (int i = 0; i < l->n; i++)
		took(l, i, accepts);
	look_over(c, NULL);
}

static int look_feed(struct ask *a, const char *p, size_t len, struct why *why)
{
	struct look *l = (struct look *)a;
	if (l->is_prefs)
		return buf_add(&l->prefs, p, len) < 0 ? why_set(why, R_TOO_BIG, "prefs: too long") : 0;
	return localapi_scan_feed(l->scan, p, len, why);
}

static void look_answered(struct ask *a, const struct why *why)
{
	struct carry *c = ((struct look *)a)->c;
	if (why) {
		struct why kept = *why;
		look_over(c, &kept);
	} else
		look_done(c);
}

/* For all that somebody waits for; one at a time. */
static void look_start(struct carry *c)
{
	c->look_again = c->look != NULL;
	tick(c, 0);
	if (c->look)
		return;
	struct look *l = c->look = xalloc(sizeof *l);
	l->ask = ask_new(c->relay, look_feed, look_answered);
	l->c = c;
	l->began = clock_ms();
	l->prefs.max = PREFS_MAX;
	l->to = xalloc((size_t)c->ntargets * sizeof *l->to + 1);
	l->search = xalloc((size_t)c->ntargets * sizeof *l->search + 1);
	for (struct target *t = c->targets; t; t = t->next)
		if (t->users) {
			t->users++;
			if (*t->address && l->began - t->resolved > NAMES_MS)
				*t->address = 0;
			l->to[l->n++] = t;
		}
	l->scan = localapi_scan_new(&l->st, look_at_peer, l);
	if (ask_start(&l->ask, reach_daemon(c, &l->why), "status", &l->why) < 0)
		tick(c, 1);		/* told in the next turn: whoever calls this may be walking through the dials */
}

/* ---- from outside ---- */

static struct target *target(struct carry *c, const char *name)
{
	struct target **at, *t, *oldest = NULL;
	for (at = &c->targets; (t = *at); at = &t->next) {
		if (str_eq(t->name, name))
			return t;
		if (!t->users && (!oldest || t->looked < oldest->looked))
			oldest = t;
	}
	if (c->ntargets >= HOSTS_MAX && oldest) {
		for (at = &c->targets; *at != oldest; at = &(*at)->next)
			;
		*at = oldest->next;
		free(oldest);
		c->ntargets--;
	}
	t = xalloc(sizeof *t);
	str_copy(t->name, sizeof t->name, name);
	t->next = c->targets;
	c->targets = t;
	c->ntargets++;
	return t;
}

struct carry_dial *carry_dial(struct carry *c, const char *host, int port, carry_done *done, void *ctx)
{
	struct carry_dial *d = xalloc(sizeof *d);
	struct peers_search s;
	struct why why = {0};
	*d = (struct carry_dial){ .c = c, .port = port, .fd = -1, .done = done, .ctx = ctx, .began = clock_ms() };
	d->deadline = d->began + ONLINE_MS;
	d->watch.fd = -1;
	d->to = target(c, host);
	d->to->users++;
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
	keep_settings(c);
	keep_short(d);
	if (fresh && !known && !d->to->resolving && !may_come_back(&d->to->why)) {
		fail(d, &d->to->why);
		return d;
	}
	if (known)
		dial_start(d);
	else
		d->step = WAIT_LOOK;
	if (!fresh || !known)
		look_start(c);
	return d;
}

const struct node *carry_node(const struct carry *c)
{
	return &c->node;
}

const char *carry_suffix(const struct carry *c)
{
	return c->suffix;
}

struct carry *carry_new(struct relay *r, const char *name, const char *socket, struct why *why)
{
	struct carry *c = xalloc(sizeof *c);
	struct why ignored;
	c->relay = r;
	c->stat_fd = -1;
	if (node_find(&c->node, name, socket, why) < 0) {
		free(c);
		return NULL;
	}
	str_copy(c->name, sizeof c->name, c->node.name);
	if (localapi_get(&c->node.api, "dns-config", &c->dns, clock_ms() + SETTINGS_MS, &ignored) < 0)
		buf_clear(&c->dns);
	c->dns_at = clock_ms();
	c->tick = (struct relay_watch){ .ready = each_tick, .ctx = c };
	c->tick.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->tick.fd < 0 || relay_watch(r, &c->tick, EPOLLIN)) {
		why_errno(why, "timerfd:");
		carry_free(c);
		return NULL;
	}
	relay_ask_alive(r, daemon_alive, c);
	return c;
}

void carry_free(struct carry *c)
{
	if (!c)
		return;
	relay_ask_alive(c->relay, NULL, NULL);
	while (c->dials)
		dial_free(c->dials);
	if (c->look)
		look_free(c);
	while (c->resolving)
		resolving_free(c->resolving);
	buf_free(&c->dns);
	relay_watch(c->relay, &c->tick, 0);
	if (c->tick.fd >= 0)
		close(c->tick.fd);
	if (c->stat_fd >= 0)
		close(c->stat_fd);
	for (struct target *t; (t = c->targets); ) {
		c->targets = t->next;
		free(t);
	}
	node_close(&c->node);
	free(c);
}
