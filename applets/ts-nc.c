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
 * HOST is a short or whole name, an address of a node, or an address behind a subnet router. Only the tailnet
 * is asked for it: a name that it does not have is refused, and never reaches the system's DNS. [V6]:PORT in
 * brackets.
 *
 * The connection goes through tailscaled's socket: no root, no TUN, no proxy port that others could use.
 * tailscaled can not close it one way only. After stdin has ended, ts-nc therefore goes on printing until the
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
#include "file.h"
#include "node.h"
#include "opt.h"
#include "peers.h"
#include "reach.h"
#include "str.h"
#include "opts/ts-nc.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
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

/* ---- both ways at once: a thread each, so that one that is held up does not hold up the other ---- */

enum { CHUNK = 256 << 10 };

struct stream { int fd, half_close, close_at_eof; };

static int send_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			p += n, len -= n;
	}
	return 0;
}

static _Atomic int undelivered;		/* what was read from stdin did not get through */

static void *stdin_to(void *arg)
{
	static char chunk[CHUNK];
	const struct stream *s = arg;
	for (ssize_t n; (n = read(0, chunk, sizeof chunk)); )
		if (n < 0 ? errno != EINTR : send_all(s->fd, chunk, n) < 0) {
			undelivered = n > 0;
			break;
		}
	if (s->half_close)
		shutdown(s->fd, SHUT_WR);
	else if (s->close_at_eof)
		shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

static void out(const char *p, size_t len)
{
	if (file_full_write(1, p, len) == 0)
		return;
	if (errno == EPIPE)
		_exit(EXIT_NO);		/* whoever closes a pipe knows it */
	die(R_OUTPUT, "write:");
}

/* Until the other side closes, or the reader of our stdout has gone. -1: it broke, see errno. */
static int to_stdout(int fd)
{
	static char chunk[CHUNK];
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = 1}};
	for (;;) {
		ssize_t n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
		if (n > 0)
			out(chunk, n);
		else if (n == 0)
			return errno = 0;
		else if (errno != EAGAIN && errno != EINTR)
			return -1;
		else if (poll(p, 2, -1) > 0 && p[1].revents & (POLLERR | POLLNVAL))
			_exit(EXIT_NO);
	}
}

static int join(const struct node *node, struct stream *s, const struct dial_answer *early, const char *what)
{
	pthread_t thread;
	struct why why;
	signal(SIGPIPE, SIG_IGN);
	fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) & ~O_NONBLOCK);
	out(early->early, early->early_len);
	if ((errno = pthread_create(&thread, NULL, stdin_to, s)))
		die(R_RESOURCES, "a thread:");
	/* a unix socket says ECONNRESET when it was closed before it had read all that we sent */
	int broke = to_stdout(s->fd) < 0 && errno != ECONNRESET;
	if (broke)
		die(R_LOST, "%s:", what);
	if (!s->close_at_eof && (undelivered || errno == ECONNRESET))
		die(R_LOST, "%s: closed while data was on its way there", what);
	/* tailscaled passes on no reset; but when it has gone itself, that was no orderly end */
	const struct localapi *api = &node->api;
	if (!s->half_close && dial_unix(api->dir, api->path, &api->who, clock_ms() + 1000, &why) < 0)
		die(R_LOST, "%s: tailscaled went away", what);
	return EXIT_DONE;
}

int ts_nc_main(char **argv)
{
	const char *which = NULL, *socket = NULL;
	char *host, what[300];
	int port;
	long long wait_ms = 0, began = clock_ms();
	struct stream s = {0};
	struct why why = {0};
	struct node node;
	struct node_status st;
	struct host h;
	struct dial_answer early;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'N': s.close_at_eof = 1; break;
		case 't': wait_ms = opt_dur(&o); break;
		case 'w': which = o.val; break;
		case OPT_SOCKET: socket = o.val; break;
		}
	read_operands(&o, &host, &port);

	if (node_find(&node, which, socket, &why) < 0)
		die_why(&why);
	if (peers_find(&node.api, host, &h, &st, began + (wait_ms ? wait_ms : CONNECT_MS), &why) < 0) {
		if (st.state != NODE_RUNNING && st.state != NODE_STARTING && why.reason != R_UNKNOWN_NAME)
			node_running(node.name, &st, &why);
		die_why(&why);
	}
	str_fmt(what, sizeof what, "%.255s:%d", host, port);
	verbose("%s is %s, %s", host, h.dial, h.peer.online || h.is_self ? "online" : "offline");
	if (!wait_ms)
		wait_ms = h.peer.online || h.is_self ? CONNECT_MS : OFFLINE_MS;
	s.fd = reach_dial(&node.api, &h, port, &early, &s.half_close, began + wait_ms, &why);
	if (s.fd < 0)
		die_why(&why);
	verbose("%s: connected", what);
	return join(&node, &s, &early, what);
}
