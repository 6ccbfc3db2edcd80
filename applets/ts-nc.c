/* ts-nc - join stdin and stdout to a host and port on the tailnet
 *
 * usage: ts-nc [-Nqv] [-w WORKSPACE] [-t DUR] HOST PORT
 * usage: ts-nc [-Nqv] [-w WORKSPACE] [-t DUR] HOST:PORT
 *
 * -N, --close           close the connection when stdin ends
 * -q, --quiet           no notes
 * -t, --timeout DUR     deadline of connecting (default 30; 8 for a node that is offline)
 * -v, --verbose         say each step
 * -w, --workspace WORKSPACE  through which node: a workspace, or @system (the system's own tailscaled)
 *     --socket PATH     through which node: the tailscaled behind this socket
 *
 * HOST is a short or whole name, an address of a node, an address behind a subnet router, or a name that the
 * tailnet's DNS settings give (split DNS, extra records, search domains; tailscaled 1.98 or newer). Only the
 * tailnet is asked for it: a name that it does not have is refused, and never reaches the system's DNS.
 * [V6]:PORT in brackets.
 *
 * The connection goes through tailscaled's socket: no root, no TUN, no proxy port that others could use.
 * tailscaled cannot close it one way only. After stdin has ended, ts-nc therefore goes on printing until the
 * other side closes, and the other side is not told of the end; with -N everything is closed instead, and an
 * answer on its way is lost. With a TUN node the connection is an ordinary one, and the end of stdin is
 * passed on.
 *
 * When the connection breaks, the status is 3 and the reason [lost]; when the other side closes it, 0.
 *
 * exit: 0 it was connected and then closed, 1 unknown or refused, 2 usage, 3 offline, filtered, lost, no path
 * env: MOORBOX_WORKSPACE  which node, without -w
 *      TS_SOCKET          the socket of @system
 * example: ssh -o ProxyCommand='ts-nc %h %p' user@build
 * example: printf 'GET / HTTP/1.0\r\n\r\n' | ts-nc web 80
 * see: ts-info ssh(1)
 */
#include "clock.h"
#include "dial.h"
#include "err.h"
#include "node.h"
#include "opt.h"
#include "peers.h"
#include "reach.h"
#include "relay.h"
#include "str.h"
#include "opts/ts-nc.h"
#include <signal.h>
#include <unistd.h>

enum { CONNECT_MS = 30000, OFFLINE_MS = 8000 };

/* HOST PORT, or HOST:PORT. */
static void read_operands(struct opt *o, char **host, int *port)
{
	long long n;
	opt_want(o, 1, 2);
	*host = o->operands[0];
	if (o->count == 2) {
		if (str_num(o->operands[1], 1, 65535, &n) < 0)
			opt_usage("%s: not a port (1 to 65535)", o->operands[1]);
		*port = n;
	} else if (str_host_port(*host, host, port) < 0) {
		opt_usage("%s: not HOST:PORT", *host);
	}
}

/* tailscaled passes no reset on: the end of a stream may be the other side's, or that of tailscaled itself. */
static int still_there(const struct localapi *api)
{
	struct node_status st;
	struct why why = {0};
	return localapi_status(api, &st, clock_ms() + 1000, &why) == 0 || why.reason == R_TAILSCALED_HUNG;
}

static void join(const struct node *node, int fd, int flags, const struct dial_answer *early, const char *what)
{
	struct relay_count count = {0};
	struct why why = {0};
	signal(SIGPIPE, SIG_IGN);
	int rc = relay_pair(0, 1, fd, early->early, early->early_len, flags, &count, &why);
	verbose("%s: %lld bytes there, %lld back", what, count.up, count.down);
	if (rc < 0)
		die(why.reason, "%s: %s", why.reason == R_OUTPUT ? "stdout" : what, why.msg);
	if (count.near_gone)
		_exit(EXIT_NO);		/* whoever closes a pipe knows it */
	if (!(flags & RELAY_CLOSE) && flags & RELAY_NO_HALF && !still_there(&node->api))
		die(R_LOST, "%s: tailscaled went away", what);
}

int ts_nc_main(char **argv)
{
	const char *which = NULL, *socket = NULL;
	char *host, what[300];
	int port, half_close, flags = 0;
	long long wait_ms = 0, began = clock_ms();
	struct why why = {0};
	struct node node;
	struct node_status st;
	struct host h;
	struct dial_answer early;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'N': flags = RELAY_CLOSE; break;
		case 't': wait_ms = opt_dur(&o); break;
		case 'w': which = o.val; break;
		case OPT_SOCKET: socket = o.val; break;
		}
	read_operands(&o, &host, &port);

	if (node_find(&node, which, socket, &why) < 0)
		die_why(&why);
	if (peers_find(&node.api, host, &h, &st, began + (wait_ms ? wait_ms : CONNECT_MS), &why) < 0) {
		if (*st.version && st.state != NODE_RUNNING && st.state != NODE_STARTING)
			node_running(node.name, &st, &why);	/* the same, with the command to type */
		die_why(&why);
	}
	str_fmt(what, sizeof what, "%.255s:%d", host, port);
	verbose("%s is %s, %s", host, h.dial, h.peer.online || h.is_self ? "online" : "offline");
	if (!wait_ms)
		wait_ms = h.peer.online || h.is_self ? CONNECT_MS : OFFLINE_MS;
	int fd = reach_dial(&node.api, &h, port, &early, &half_close, began + wait_ms, &why);
	if (fd < 0)
		die_why(&why);
	verbose("%s: connected", what);
	join(&node, fd, flags | (half_close ? 0 : RELAY_NO_HALF), &early, what);
	return EXIT_DONE;
}
