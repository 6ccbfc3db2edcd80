/* ts-info - say what this node is on the tailnet: name, addresses, HTTPS URL, peers
 *
 * usage: ts-info [-0ajqv] [-w WORKSPACE] [-t DUR] [HOST...]
 *
 * -0, --null            end each record with NUL, not newline
 * -a, --all             all nodes of the tailnet, this one first
 * -j, --json            print JSON lines
 * -q, --quiet           no notes
 * -t, --timeout DUR     deadline (default 10)
 * -v, --verbose         say each step
 * -w, --workspace WORKSPACE  which node: a workspace, or @system (the system's own tailscaled)
 *     --socket PATH     which node: the tailscaled behind this socket
 *
 * Without HOST and -a: one record about this node. On a terminal it is printed as a list. Its columns:
 *
 *   name      short name in the tailnet
 *   dns-name  whole name
 *   ip        IPv4 address
 *   ip6       IPv6 address
 *   url       https://..., when this node can have a certificate
 *   mode      userspace or tun
 *   version   of tailscaled
 *   state     Running, NeedsLogin, NeedsMachineAuth, Stopped, Starting, NoState
 *   tailnet   its name
 *   tags      joined by commas
 *   expires   when its node key expires; empty: never
 *   node      the workspace's name, or @system
 *   node-id   stable id
 *   health    what tailscaled complains of
 *
 * With -a, or for each HOST: one record a node. A HOST is a short or whole name, an address of a node, or one
 * behind a subnet router, which is then shown, or a name that the tailnet's DNS settings give. Only the tailnet
 * is asked, never the system's DNS. The columns:
 *
 *   name      short name; of a node shared in from another tailnet the whole name
 *   ip        IPv4 address
 *   state     online, offline
 *   os        its operating system
 *   path      self, direct, relay:CODE, or idle when there is no traffic
 *   tags      joined by commas
 *   dns-name  whole name
 *   ip6       IPv6 address
 *   routes    subnets behind it, joined by commas
 *   seen      when it was last online, of an offline one
 *
 * exit: 0 done and this node is Running, 1 a HOST is unknown or this node is not up, 2 usage, 3 not ready yet
 * env: MOORBOX_WORKSPACE  which node, without -w
 *      TS_SOCKET          the socket of @system
 * example: ts-info | cut -f5
 * example: ts-info -a | awk -F'\t' '$3 == "online" { print $1 }'
 * see: ws-ls ts-nc
 */
#include "alloc.h"
#include "clock.h"
#include "err.h"
#include "node.h"
#include "opt.h"
#include "peers.h"
#include "rec.h"
#include "str.h"
#include "opts/ts-info.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rec out;
static int as_list;		/* one field a line, for a person */

static void field(const char *name, const char *value)
{
	char shown[1200];
	if (!as_list)
		rec_str(&out, name, value && *value ? value : NULL);
	else if (value && *value)
		printf("%-9s %s\n", name, str_escape(shown, sizeof shown, value, strlen(value)));
}

static void show_self(const struct node *node, const struct node_status *st)
{
	char url[300] = "", expires[32] = "";
	struct peer self;
	peers_self(st, &self);
	if (st->can_https && *st->dns_name)
		str_fmt(url, sizeof url, "https://%s", st->dns_name);
	if (st->key_expiry)
		clock_stamp(expires, st->key_expiry);
	if (!as_list)
		rec_begin(&out);
	field("name", *self.name ? self.name : st->hostname);
	field("dns-name", st->dns_name);
	field("ip", st->ip4);
	field("ip6", st->ip6);
	field("url", url);
	field("mode", st->tun ? "tun" : "userspace");
	field("version", st->version);
	field("state", node_state_word(st->state));
	field("tailnet", st->tailnet);
	field("tags", st->tags);
	field("expires", expires);
	field("node", node->name);
	field("node-id", st->id);
	field("health", st->health);
	if (!as_list)
		rec_end(&out);
}

/* ---- peers: kept as their fields, one after the other, since a tailnet may have thousands ---- */

static const char *const columns[] = {
	"name", "ip", "state", "os", "path", "tags", "dns-name", "ip6", "routes", "seen",
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static char *pack(const struct peer *p, int is_self)
{
	char path[64] = "idle", seen[32] = "";
	if (is_self)
		str_copy(path, sizeof path, "self");
	else if (*p->addr)
		str_copy(path, sizeof path, "direct");
	else if (p->active && *p->relay)
		str_fmt(path, sizeof path, "relay:%s", p->relay);
	if (!p->online && p->last_seen)
		clock_stamp(seen, p->last_seen);
	const char *values[COLUMNS] = {
		*p->name ? p->name : p->hostname, p->ip4, p->online ? "online" : "offline", p->os, path, p->tags,
		p->dns_name, p->ip6, p->routes, seen,
	};
	size_t n = 0;
	for (int i = 0; i < COLUMNS; i++)
		n += strlen(values[i]) + 1;
	char *packed = xalloc(n), *at = packed;
	for (int i = 0; i < COLUMNS; i++)
		at = stpcpy(at, values[i]) + 1;
	return packed;
}

static void show(char *packed)
{
	rec_begin(&out);
	for (int i = 0; i < COLUMNS; i++) {
		rec_str(&out, columns[i], *packed ? packed : NULL);
		packed += strlen(packed) + 1;
	}
	rec_end(&out);
}

struct all { char **p; size_t n, room; };

static int keep(const struct peer *p, void *ctx)
{
	struct all *all = ctx;
	if (all->n == all->room)
		all->p = xrealloc(all->p, (all->room = all->room ? all->room * 2 : 16) * sizeof *all->p);
	all->p[all->n++] = pack(p, 0);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_all(const struct node *node, struct node_status *st, long long deadline)
{
	struct all all = {0};
	struct peer self;
	struct why why = {0};
	if (localapi_peers(&node->api, st, keep, &all, deadline, &why) < 0)
		die_why(&why);
	peers_self(st, &self);
	show(pack(&self, 1));
	if (all.n)
		qsort(all.p, all.n, sizeof *all.p, by_name);
	for (size_t i = 0; i < all.n; i++)
		show(all.p[i]);
}

static int show_hosts(const struct node *node, struct node_status *st, char **hosts, long long deadline)
{
	int status = EXIT_DONE;
	for (; *hosts; hosts++) {
		struct host h;
		struct why why = {0};
		if (peers_find(&node->api, *hosts, &h, st, deadline, &why) == 0)
			show(pack(&h.peer, h.is_self));
		else if (why.reason == R_UNKNOWN_NAME)
			status = warn_why(&why);
		else if (why.reason == R_NO_PATH && *h.peer.name)
			show(pack(&h.peer, 0));		/* a route that is not accepted: the router is there all the same */
		else
			die_why(&why);
	}
	return status;
}

int ts_info_main(char **argv)
{
	const char *which = NULL, *socket = NULL;
	long long wait_ms = 10000;
	int all = 0, status = EXIT_DONE;
	struct why why = {0};
	struct node node;
	struct node_status st;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case '0': out.mode = REC_NUL; break;
		case 'a': all = 1; break;
		case 'j': out.mode = REC_JSON; break;
		case 't': wait_ms = opt_dur(&o); break;
		case 'w': which = o.val; break;
		case OPT_SOCKET: socket = o.val; break;
		}
	opt_want(&o, 0, OPT_MANY);
	if (all && o.count)
		opt_usage("-a lists all nodes: it takes no HOST");

	long long deadline = clock_ms() + wait_ms;
	if (node_find(&node, which, socket, &why) < 0)
		die_why(&why);
	verbose("asking %s", *node.name ? node.name : socket);
	out.table = 1;
	if (o.count) {
		status = show_hosts(&node, &st, o.operands, deadline);
	} else if (all) {
		show_all(&node, &st, deadline);
	} else {
		if (localapi_status(&node.api, &st, deadline, &why) < 0)
			die_why(&why);
		as_list = out.mode == REC_LINE && isatty(1);
		show_self(&node, &st);
	}
	rec_finish(&out);
	if (!o.count && node_running(node.name, &st, &why) < 0)
		status = warn_why(&why);
	node_close(&node);
	return status;
}
