/* peers - a host of the tailnet by what a user types */
#include "peers.h"
#include "json.h"
#include "node.h"
#include "resolve.h"
#include "str.h"
#include <arpa/inet.h>
#include <string.h>

static int read_ip(const char *text, unsigned char ip[static 16])
{
	return inet_pton(AF_INET, text, ip) == 1 ? 4 : inet_pton(AF_INET6, text, ip) == 1 ? 16 : 0;
}

static int same_bits(const unsigned char *a, const unsigned char *b, int bits)
{
	int whole = bits / 8, rest = bits % 8;
	return !memcmp(a, b, whole) && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

/* Names compare as DNS does: without case. */
static int same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		char x = *a >= 'A' && *a <= 'Z' ? *a + 32 : *a, y = *b >= 'A' && *b <= 'Z' ? *b + 32 : *b;
		if (x != y)
			return 0;
	}
	return *a == *b;
}

int peers_begin(struct peers_search *s, const char *name, const char *suffix, struct why *why)
{
	memset(s, 0, sizeof *s);
	s->suffix = suffix;
	s->prefix = -1;
	size_t n = strlen(name);
	int brackets = n > 2 && name[0] == '[' && name[n - 1] == ']';
	if (!n || str_copy_slice(s->name, sizeof s->name, (struct slice){name + brackets, n - 2 * brackets}) < 0)
		return why_set(why, R_UNKNOWN_NAME, "%.64s: not a host name", name);
	n = strlen(s->name);
	if (n > 1 && s->name[n - 1] == '.')
		s->name[n - 1] = 0;
	for (char *p = s->name; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p += 32;
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return why_set(why, R_UNKNOWN_NAME, "%.64s: not a host name", s->name);
	}
	s->ip_len = read_ip(s->name, s->ip);
	near_start(&s->near, s->name);
	return 0;
}

static int take(struct peers_search *s, const struct peer *p, int is_self)
{
	s->found = 1;
	s->host.peer = *p;
	s->host.is_self = is_self;
	s->host.is_routed = 0;
	if (s->ip_len)
		inet_ntop(s->ip_len == 4 ? AF_INET : AF_INET6, s->ip, s->host.dial, sizeof s->host.dial);
	else
		str_copy(s->host.dial, sizeof s->host.dial, *p->ip4 ? p->ip4 : p->ip6);
	return 1;
}

static int has_ip(const struct peers_search *s, const char *text)
{
	unsigned char ip[16];
	return *text && read_ip(text, ip) == s->ip_len && !memcmp(ip, s->ip, s->ip_len);
}

/* "10.0.0.0/8": the length of the prefix when the address is in it, else -1. */
static int route_bits(const struct peers_search *s, const char *route)
{
	unsigned char net[16];
	char text[64];
	long long bits;
	if (str_copy(text, sizeof text, route) < 0)
		return -1;
	char *slash = strchr(text, '/');
	if (!slash)
		return -1;
	*slash = 0;
	if (read_ip(text, net) != s->ip_len || str_num(slash + 1, 1, s->ip_len * 8, &bits) < 0)
		return -1;
	return same_bits(net, s->ip, bits) ? bits : -1;
}

static void look_routes(struct peers_search *s, const struct peer *p)
{
	char all[sizeof p->routes], *next = all;
	str_copy(all, sizeof all, p->routes);
	for (char *route; (route = strsep(&next, ",")); ) {
		int bits = route_bits(s, route);
		if (bits <= s->prefix)
			continue;
		take(s, p, 0);
		s->host.is_routed = 1;
		s->prefix = bits;
	}
}

int peers_look(struct peers_search *s, const struct peer *p, int is_self)
{
	if (s->ip_len) {
		if (has_ip(s, p->ip4) || has_ip(s, p->ip6))
			return take(s, p, is_self);
		if (!is_self)
			look_routes(s, p);
		return 0;
	}
	/* without MagicDNS names there is only what the machine calls itself */
	const char *name = *p->name ? p->name : p->hostname;
	if (same_name(s->name, name) || (*p->dns_name && same_name(s->name, p->dns_name)))
		return take(s, p, is_self);
	near_add(&s->near, name);
	if (strchr(s->name, '.'))
		near_add(&s->near, p->dns_name);
	return 0;
}

int peers_end(struct peers_search *s, struct why *why)
{
	char text[256];
	if (s->found && *s->host.dial)
		return 0;
	if (s->found)
		return why_set(why, R_NO_PATH, "%s: the node has no address yet", s->name);
	if (s->ip_len)
		why_set(why, R_UNKNOWN_NAME, "%s: neither a node's address nor behind a subnet router", s->name);
	else
		why_set(why, R_UNKNOWN_NAME, "%s: the tailnet%s%s shows no node of that name", s->name,
			*s->suffix ? " " : "", s->suffix);
	if (s->near.count)
		return why_hint(why, "did you mean %s?", near_text(&s->near, text, sizeof text));
	return why_hint(why, "ts-info -a lists the nodes");
}

/* Ranges that Tailscale gives nodes: 100.64.0.0/10 and fd7a:115c:a1e0::/48. */
int peers_is_ours(const char *name, const char *suffix)
{
	static const unsigned char v4[] = {100, 64}, v6[] = {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0};
	struct peers_search s;
	struct why ignored;
	if (peers_begin(&s, name, suffix, &ignored) < 0)
		return 0;
	if (s.ip_len)
		return s.ip_len == 4 ? same_bits(s.ip, v4, 10) : same_bits(s.ip, v6, 48);
	size_t n = strlen(s.name), m = strlen(suffix);
	return m && n > m + 1 && s.name[n - m - 1] == '.' && same_name(s.name + n - m, suffix);
}

void peers_self(const struct node_status *st, struct peer *self)
{
	memset(self, 0, sizeof *self);
	str_copy(self->id, sizeof self->id, st->id);
	str_copy(self->hostname, sizeof self->hostname, st->hostname);
	str_copy(self->dns_name, sizeof self->dns_name, st->dns_name);
	str_copy(self->name, sizeof self->name, st->dns_name);
	self->name[strcspn(self->name, ".")] = 0;
	str_copy(self->ip4, sizeof self->ip4, st->ip4);
	str_copy(self->ip6, sizeof self->ip6, st->ip6);
	str_copy(self->tags, sizeof self->tags, st->tags);
	str_copy(self->os, sizeof self->os, "linux");
	self->online = st->online;
}

/* ---- asking tailscaled ---- */

struct asking {
	struct peers_search search;
	const char *name;
	struct node_status *st;
	struct why why;
	int begun, failed;
};

/* The status comes before the first peer, so that the search begins with this node. 1: it is over. */
static int begin(struct asking *a)
{
	struct peer self;
	const struct node_status *st = a->st;
	if (a->begun)
		return a->failed || (a->search.found && !a->search.host.is_routed);
	a->begun = 1;
	a->failed = peers_begin(&a->search, a->name, st->suffix, &a->why) < 0;
	if (!a->failed && ((st->state != NODE_RUNNING && st->state != NODE_STARTING) || st->locked_out))
		a->failed = node_running(NULL, st, &a->why) < 0;
	if (a->failed)
		return 1;
	peers_self(st, &self);
	return peers_look(&a->search, &self, 1);
}

static int each(const struct peer *p, void *ctx)
{
	struct asking *a = ctx;
	return begin(a) || peers_look(&a->search, p, 0);
}

/* A route that this node does not take leads out of the tailnet, or nowhere. */
static int takes_routes(const struct localapi *api, const struct host *h, const char *name,
	long long deadline, struct why *why)
{
	struct buf b = {0};
	struct json j;
	int takes = 1;
	if (localapi_get(api, "prefs", &b, deadline, why) == 0 && json_parse(&j, buf_cstr(&b), b.len, why) == 0) {
		takes = json_is_true(&j, 0, "RouteAll");
		json_free(&j);
	}
	buf_free(&b);
	if (takes)
		return 0;
	why_set(why, R_NO_PATH, "%s: behind the subnet router %s, and this node does not accept routes",
		name, h->peer.name);
	why->status = EXIT_NO;
	return why_hint(why, "bring the workspace up with --accept-routes");
}

struct hiding { struct peers_search search; struct why *why; };

static int look_hidden(const struct peer *p, const char *sign, void *ctx)
{
	struct hiding *h = ctx;
	if (!peers_look(&h->search, p, 0))
		return 0;
	why_set(h->why, R_LOCK_UNSIGNED, "%s: tailnet lock is on, and nobody has signed that node's key", h->search.name);
	why_hint(h->why, "on a signing node: %s", sign);
	return 1;
}

/* Not in the netmap: perhaps because tailnet lock hides it. */
static void look_unsigned(const struct localapi *api, const char *name, const char *suffix, long long deadline, struct why *why)
{
	struct hiding h = {.why = why};
	struct why ignored;
	if (peers_begin(&h.search, name, suffix, &ignored) == 0)
		localapi_unsigned(api, suffix, look_hidden, &h, deadline, &ignored);
}

static int find(const struct localapi *api, const char *what, const char *shown, struct host *host, struct node_status *st,
	long long deadline, struct why *why)
{
	struct asking a = {.name = what, .st = st};
	memset(st, 0, sizeof *st);
	memset(host, 0, sizeof *host);
	if (localapi_peers(api, st, each, &a, deadline, why) < 0)
		return -1;
	begin(&a);		/* a tailnet without peers */
	if (a.failed || peers_end(&a.search, &a.why) < 0) {
		*why = a.why;
		return -1;
	}
	*host = a.search.host;
	return host->is_routed ? takes_routes(api, host, shown, deadline, why) : 0;
}

int peers_nowhere(const char *name, const char *ip, struct why *why)
{
	why_set(why, R_NO_PATH, "%s: is %s in the tailnet's DNS, which is neither a node's address nor behind a subnet router", name, ip);
	why->status = EXIT_NO;
	return -1;
}

int peers_find(const struct localapi *api, const char *name, struct host *host, struct node_status *st,
	long long deadline, struct why *why)
{
	char ip[48];
	unsigned char bytes[16];
	if (find(api, name, name, host, st, deadline, why) == 0)
		return 0;
	if (why->reason == R_UNKNOWN_NAME)
		look_unsigned(api, name, st->suffix, deadline, why);
	if (why->reason != R_UNKNOWN_NAME || read_ip(name, bytes))
		return -1;
	struct why unknown = *why;
	int rc = resolve_name(api, name, ip, deadline, why);
	if (rc == 1 && find(api, ip, name, host, st, deadline, why) == 0)
		return 0;
	if (rc == 1 && why->reason == R_UNKNOWN_NAME)
		peers_nowhere(name, ip, why);
	else if (!rc)
		*why = unknown;
	return -1;
}
