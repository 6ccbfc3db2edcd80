/* lookup - what a host name leads to in the tailnet */
#include "lookup.h"
#include "alloc.h"
#include "ask.h"
#include "clock.h"
#include "json.h"
#include "peers.h"
#include "resolve.h"
#include "str.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOOK_MS = 10000, SETTINGS_MS = 2000,
	PREFS_MAX = 1 << 20,
	HOSTS_MAX = 256,
	NAMES_MS = 10000,		/* so long a name of the DNS settings keeps its address, and they are not read again */
};

struct look {
	struct ask ask;			/* first */
	struct lookup *lookup;
	int is_prefs, routed;
	struct buf prefs;
	struct peer_scan *scan;
	struct node_status st;
	struct lookup_host **to;
	struct peers_search *search;
	int n, begun;
	long long began;
	struct why why;
};

/* A name of the DNS settings, on its way to an address; without a host: the settings themselves. */
struct resolving {
	struct ask ask;			/* first */
	struct lookup *lookup;
	struct lookup_host *to;
	struct resolve plan;
	int at;				/* twice the index into plan.ask, one more for IPv6 */
	struct buf body;
	struct resolving *next;
};

struct lookup {
	struct relay *relay;
	struct contact *contact;
	lookup_told *told;
	void (*wake)(void *ctx, int at_once);
	void *ctx;
	char suffix[256];
	struct buf dns;			/* the DNS settings */
	long long dns_at;
	struct resolving *resolving;
	struct lookup_host *hosts;
	int nhosts;
	struct look *look;
	int look_again;
};

/* ---- names of the tailnet's DNS settings ---- */

static void resolving_free(struct resolving *r)
{
	struct resolving **at = &r->lookup->resolving;
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
	struct lookup *l = r->lookup;
	struct lookup_host *to = r->to;
	resolving_free(r);
	if (ip) {
		str_copy(to->address, sizeof to->address, ip);
		to->resolved = clock_ms();
		lookup_start(l);
		return;
	}
	to->why = *why;
	to->looked = clock_ms();
	l->told(l->ctx, to, to->looked, NULL);
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
	if (ask_start(&r->ask, contact_reach(r->lookup->contact, &why), what, &why) < 0)
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
			buf_free(&r->lookup->dns);
			r->lookup->dns = r->body;
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
		resolved(r, NULL, why && contact_may_return(why) ? why : &no_answer);
	}
}

static int resolving_feed(struct ask *a, const char *p, size_t len, struct why *why)
{
	struct resolving *r = (struct resolving *)a;
	return buf_add(&r->body, p, len) < 0 ? why_set(why, R_TOO_BIG, "DNS settings: too long") : 0;
}

static struct resolving *resolving_new(struct lookup *l, struct lookup_host *to)
{
	struct resolving *r = xalloc(sizeof *r);
	*r = (struct resolving){
		.ask = ask_new(l->relay, resolving_feed, resolving_over), .lookup = l,
		.to = to, .body.max = PREFS_MAX, .next = l->resolving,
	};
	l->resolving = r;
	if (to) {
		to->resolving = r;
		to->users++;
	}
	return r;
}

void lookup_keep(struct lookup *l)
{
	struct why why = {0};
	if (clock_ms() - l->dns_at < NAMES_MS)
		return;
	l->dns_at = clock_ms();
	struct resolving *r = resolving_new(l, NULL);
	if (ask_start(&r->ask, contact_reach(l->contact, &why), "dns-config", &why) < 0)
		resolving_free(r);
}

/* The netmap does not know it: may the DNS settings? */
static void may_resolve(struct lookup *l, struct lookup_host *to)
{
	struct resolve plan;
	unsigned char ip[16];
	if (inet_pton(AF_INET, to->name, ip) != 1 && inet_pton(AF_INET6, to->name, ip) != 1
		&& resolve_plan(buf_cstr(&l->dns), l->dns.len, to->name, &plan) && !to->resolving)
		resolving_new(l, to)->plan = plan;
}

int lookup_is_theirs(struct lookup *l, const char *host)
{
	struct resolve plan;
	lookup_keep(l);
	int some = resolve_plan(buf_cstr(&l->dns), l->dns.len, host, &plan);
	return plan.is_theirs ? 2 : some;
}

/* ---- the look into the netmap ---- */

static void look_free(struct lookup *l)
{
	struct look *k = l->look;
	ask_end(&k->ask);
	if (k->scan)
		localapi_scan_free(k->scan);
	buf_free(&k->prefs);
	free(k->to);
	free(k->search);
	free(k);
	l->look = NULL;
}

static void look_over(struct lookup *l, const struct why *why)
{
	struct why kept;
	struct look *k = l->look;
	long long began = k->began;
	int n = k->n;
	struct lookup_host **to = k->to;
	if (why)
		kept = *why;
	k->to = NULL;
	look_free(l);
	for (int i = 0; i < n; i++)
		l->told(l->ctx, to[i], began, why ? &kept : NULL);
	for (int i = 0; i < n; i++) {
		to[i]->users--;
		if (to[i]->resolving && !to[i]->resolving->at && !ask_is_on(&to[i]->resolving->ask))
			resolve_begin(to[i]->resolving);
	}
	free(to);
	if (l->look_again)
		lookup_start(l);
}

static void took(struct look *k, int i, int accepts)
{
	struct lookup_host *to = k->to[i];
	struct peers_search *s = &k->search[i];
	memset(&to->why, 0, sizeof to->why);
	to->looked = k->began;
	to->known = 0;
	if ((k->st.state != NODE_RUNNING && k->st.state != NODE_STARTING) || k->st.locked_out) {
		node_running(NULL, &k->st, &to->why);
		return;
	}
	if (peers_end(s, &to->why) < 0) {
		if (to->why.reason == R_UNKNOWN_NAME && *to->address)
			peers_nowhere(to->name, to->address, &to->why);
		else if (to->why.reason == R_UNKNOWN_NAME)
			may_resolve(k->lookup, to);
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

static void begin_searches(struct look *k)
{
	struct peer self;
	struct why ignored;
	if (k->begun)
		return;
	k->begun = 1;
	peers_self(&k->st, &self);
	for (int i = 0; i < k->n; i++)
		if (peers_begin(&k->search[i], *k->to[i]->address ? k->to[i]->address : k->to[i]->name, k->st.suffix, &ignored) == 0)
			peers_look(&k->search[i], &self, 1);
}

static int look_at_peer(const struct peer *p, void *ctx)
{
	struct look *k = ctx;
	begin_searches(k);
	for (int i = 0; i < k->n; i++)
		if (!k->search[i].found || k->search[i].host.is_routed)
			peers_look(&k->search[i], p, 0);
	return 0;
}

static void look_done(struct lookup *l)
{
	struct look *k = l->look;
	struct why why = {0};
	struct json j;
	int accepts = 0;
	if (!k->is_prefs) {
		if (localapi_scan_end(k->scan, &why) < 0) {
			look_over(l, &why);
			return;
		}
		begin_searches(k);
		str_copy(l->suffix, sizeof l->suffix, k->st.suffix);
		for (int i = 0; i < k->n; i++)
			k->routed |= k->search[i].found && k->search[i].host.is_routed;
		if (k->routed) {
			k->is_prefs = 1;
			ask_end(&k->ask);	/* its descriptor first */
			if (ask_start(&k->ask, contact_reach(l->contact, &why), "prefs", &why) < 0)
				look_over(l, &why);
			return;
		}
	} else if (json_parse(&j, buf_cstr(&k->prefs), k->prefs.len, &why) == 0) {
		accepts = json_is_true(&j, 0, "RouteAll");
		json_free(&j);
	}
	for (int i = 0; i < k->n; i++)
		took(k, i, accepts);
	look_over(l, NULL);
}

static int look_feed(struct ask *a, const char *p, size_t len, struct why *why)
{
	struct look *k = (struct look *)a;
	if (k->is_prefs)
		return buf_add(&k->prefs, p, len) < 0 ? why_set(why, R_TOO_BIG, "prefs: too long") : 0;
	return localapi_scan_feed(k->scan, p, len, why);
}

static void look_answered(struct ask *a, const struct why *why)
{
	struct lookup *l = ((struct look *)a)->lookup;
	if (why) {
		struct why kept = *why;
		look_over(l, &kept);
	} else
		look_done(l);
}

void lookup_start(struct lookup *l)
{
	l->look_again = l->look != NULL;
	l->wake(l->ctx, 0);
	if (l->look)
		return;
	struct look *k = l->look = xalloc(sizeof *k);
	k->ask = ask_new(l->relay, look_feed, look_answered);
	k->lookup = l;
	k->began = clock_ms();
	k->prefs.max = PREFS_MAX;
	k->to = xalloc((size_t)l->nhosts * sizeof *k->to + 1);
	k->search = xalloc((size_t)l->nhosts * sizeof *k->search + 1);
	for (struct lookup_host *t = l->hosts; t; t = t->next)
		if (t->users) {
			t->users++;
			if (*t->address && k->began - t->resolved > NAMES_MS)
				*t->address = 0;
			k->to[k->n++] = t;
		}
	k->scan = localapi_scan_new(&k->st, look_at_peer, k);
	if (ask_start(&k->ask, contact_reach(l->contact, &k->why), "status", &k->why) < 0)
		l->wake(l->ctx, 1);	/* told in the next turn: whoever calls this may be walking through what waits */
}

/* ---- from outside ---- */

void lookup_check(struct lookup *l)
{
	if (l->look && !l->look->why.reason && clock_ms() - l->look->began > LOOK_MS)
		why_set(&l->look->why, R_TAILSCALED_HUNG, "status: tailscaled does not answer");
	if (l->look && l->look->why.reason) {
		struct why why = l->look->why;
		look_over(l, &why);
	}
	if (l->look_again && !l->look)
		lookup_start(l);
}

int lookup_is_on(const struct lookup *l)
{
	return l->look != NULL;
}

struct lookup_host *lookup_take(struct lookup *l, const char *name)
{
	struct lookup_host **at, *t, *oldest = NULL;
	for (at = &l->hosts; (t = *at); at = &t->next) {
		if (str_eq(t->name, name)) {
			t->users++;
			return t;
		}
		if (!t->users && (!oldest || t->looked < oldest->looked))
			oldest = t;
	}
	if (l->nhosts >= HOSTS_MAX && oldest) {
		for (at = &l->hosts; *at != oldest; at = &(*at)->next)
			;
		*at = oldest->next;
		free(oldest);
		l->nhosts--;
	}
	t = xalloc(sizeof *t);
	str_copy(t->name, sizeof t->name, name);
	t->users = 1;
	t->next = l->hosts;
	l->hosts = t;
	l->nhosts++;
	return t;
}

void lookup_release(struct lookup_host *t)
{
	t->users--;
}

const char *lookup_suffix(const struct lookup *l)
{
	return l->suffix;
}

struct lookup *lookup_new(struct relay *r, struct contact *contact, lookup_told *told, void (*wake)(void *, int), void *ctx)
{
	struct lookup *l = xalloc(sizeof *l);
	struct why ignored;
	*l = (struct lookup){.relay = r, .contact = contact, .told = told, .wake = wake, .ctx = ctx};
	if (localapi_get(&contact->node.api, "dns-config", &l->dns, clock_ms() + SETTINGS_MS, &ignored) < 0)
		buf_clear(&l->dns);
	l->dns_at = clock_ms();
	return l;
}

void lookup_free(struct lookup *l)
{
	if (!l)
		return;
	if (l->look)
		look_free(l);
	while (l->resolving)
		resolving_free(l->resolving);
	buf_free(&l->dns);
	for (struct lookup_host *t; (t = l->hosts); ) {
		l->hosts = t->next;
		free(t);
	}
	free(l);
}
