/* ts-forward - forward local ports to hosts on the tailnet
 *
 * usage: ts-forward [-bjqv] [-w WORKSPACE] [-t DUR] [[BIND:]LPORT:]HOST:PORT... [-- CMD [ARG]...]
 * usage: ts-forward [-bjqv] [-w WORKSPACE] [-t DUR] unix:PATH:HOST:PORT... [-- CMD [ARG]...]
 * usage: ts-forward --split [--auth SRC | --no-auth] [--url] [OPTION]... [[BIND:]PORT] [-- CMD [ARG]...]
 * usage: ts-forward --stop [-w WORKSPACE] [PORT]
 *
 * -b, --background      go to the background once it is ready
 * -j, --json            print the records as JSON lines
 * -q, --quiet           no notes
 * -t, --timeout DUR     deadline of getting ready (default 30)
 * -v, --verbose         say each connection
 * -w, --workspace WORKSPACE  through which node: a workspace, or @system (the system's own tailscaled)
 *     --socket PATH     through which node: the tailscaled behind this socket
 *     --split           one proxy for all: the tailnet's goes there, the rest to the proxy of the environment, or out
 *     --auth SRC        the proxy's USER:PASSWORD, from env:NAME, file:PATH, fd:N or - (default: random)
 *     --no-auth         a proxy without a credential: every user of this machine can use it
 *     --url             the proxy's record has a fifth field: its URL, with the credential
 *     --stop            end those of this workspace, or the one that listens on PORT
 *
 * Listens on 127.0.0.1:LPORT and joins each connection to HOST:PORT on the tailnet. LPORT 0, or HOST:PORT alone, takes
 * a free port; unix:PATH is a socket that only its owner can use (mode 0600). Once all of them accept connections a record
 * is printed for each: address, port, host, port there (of a unix socket: its path and an empty field).
 *
 * The connections go through tailscaled's own socket: no root, no TUN, no SOCKS port that others could use. HOST is
 * a short or whole name, an address of a node, an address behind a subnet router, or a name that the tailnet's DNS settings
 * give (split DNS, extra records, search domains; tailscaled 1.98 or newer). Only the tailnet is asked for it, and asked
 * again when that changes; a slip never reaches the system's DNS. For stdin and stdout instead of a port there is
 * ts-nc. To listen for others of the network, BIND has to be an address of this machine, written out.
 *
 * tailscaled can not close a connection one way only. When the client has ended its side, the connection stays open until
 * the other side closes it or the client is gone; the other side is not told. With a TUN node it is told.
 *
 * With -- CMD the forwards last as long as CMD runs. In its arguments {1}, {2}... become the ports (or paths), in
 * its environment they are MOORBOX_PORT_1, MOORBOX_PORT_2...; with --split it gets HTTPS_PROXY and HTTP_PROXY too.
 *
 * `ws-ls -l` lists the forwards of a workspace; ws-down and --stop end them.
 *
 * exit: 0 ended by a signal, stopped, or in the background; or CMD's own
 *   1  unknown name, port taken, the record cannot be written
 *   2  usage
 *   3  no tailscaled answers, not logged in
 *   125  with CMD: it could not be begun
 * env: MOORBOX_WORKSPACE  which node, without -w
 *      TS_SOCKET          the socket of @system
 *      HTTPS_PROXY HTTP_PROXY NO_PROXY  --split: where the rest goes
 * example: psql -h 127.0.0.1 -p "$(ts-forward -b db:5432 | cut -f2)"
 * example: ts-forward db:5432 -- psql -h 127.0.0.1 -p {1}
 * example: ts-forward unix:/tmp/db.sock:db:5432
 * see: ts-nc ws-ls ws-down
 */
#include "alloc.h"
#include "buf.h"
#include "carry.h"
#include "clock.h"
#include "dial.h"
#include "err.h"
#include "file.h"
#include "forwards.h"
#include "http.h"
#include "node.h"
#include "opt.h"
#include "pair.h"
#include "peers.h"
#include "proc.h"
#include "rec.h"
#include "relay.h"
#include "secret.h"
#include "split.h"
#include "str.h"
#include "opts/ts-forward.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { READY_MS = 30000, AT_ONCE = 2048, ACCEPTS = 64, PAUSE_MS = 100, SAME_MS = 10000, STOP_MS = 10000 };

struct port {
	struct forward f;
	int fd;
	struct relay_watch watch;
};

struct joining { int fd, is_live; const struct port *port; };

static struct port ports[FORWARDS_MAX];
static int nports, is_split, is_background, ending, dialling, paused, at_once = AT_ONCE, forwards_fd = -1;
static char cred[300];			/* of the proxy; "" for none */
static const char *which, *socket_path;
static struct node_status status;
static struct relay *relay;
static struct carry *carry;
static struct split *split;
static struct relay_watch signals, pause_over;
static sigset_t unheld;

/* ---- operands ---- */

static void warn_open(const struct forward *f, const char *operand)
{
	if (!pair_is_open(f))
		return;
	if (is_split && !*cred)
		opt_usage("%s: a proxy without a credential for the whole network is refused", operand);
	say("%s: others of the network can reach it, not only this machine", operand);
}

static void take_operands(const struct opt *o)
{
	struct why why = {0};
	nports = is_split ? 1 : o->count;
	for (int i = 0; i < nports; i++) {
		const char *operand = i < o->count ? o->operands[i] : "0";
		struct forward *f = &ports[i].f;
		if (!is_split && str_eq(operand, "-")) {
			hint("ts-nc HOST PORT");
			opt_usage("-: stdin and stdout are joined to a port by ts-nc");
		}
		if ((is_split ? pair_local(operand, f, &why) : pair_read(operand, f, &why)) < 0)
			opt_usage("%s", why.msg);
		warn_open(f, operand);
	}
}

/* ---- getting ready ---- */

/* Each name is known, before anything listens. */
static void check_names(const struct node *node, long long deadline)
{
	struct host h;
	struct why why = {0};
	for (int i = 0; i < nports; i++) {
		if (peers_find(&node->api, ports[i].f.host, &h, &status, deadline, &why) < 0) {
			if (*status.version && status.state != NODE_RUNNING && status.state != NODE_STARTING)
				node_running(node->name, &status, &why);
			die_why(&why);
		}
		if (!h.is_self && !h.peer.online)
			say("%s is offline now", ports[i].f.host);
		verbose("%s is %s", ports[i].f.host, h.dial);
	}
}

static void check_node(const struct node *node, long long deadline)
{
	struct why why = {0};
	if (localapi_status(&node->api, &status, deadline, &why) < 0)
		die_why(&why);
	if ((status.state != NODE_STARTING || status.locked_out) && node_running(node->name, &status, &why) < 0)
		die_why(&why);
}

static void listen_all(void)
{
	struct why why = {0};
	for (int i = 0; i < nports; i++) {
		struct port *p = &ports[i];
		if (*p->f.path)
			p->fd = dial_listen_unix(AT_FDCWD, p->f.path, &why);
		else
			p->fd = dial_listen_tcp(p->f.address, p->f.port, &why);
		if (p->fd < 0 && errno == EADDRINUSE) {
			why.status = EXIT_NO;
			why_set(&why, R_BUSY, "%s:%d: the port is taken", p->f.address, p->f.port);
			why.status = EXIT_NO;
			why_hint(&why, "port 0 takes a free one");
		}
		if (p->fd < 0) {
			for (int k = 0; k < i; k++)
				if (*ports[k].f.path)
					unlink(ports[k].f.path);
			die_why(&why);
		}
		if (!*p->f.path)
			p->f.port = dial_port(p->fd);
	}
}

static void close_listeners(void)
{
	for (int i = 0; i < nports; i++) {
		if (ports[i].fd >= 0)
			close(ports[i].fd);
		if (*ports[i].f.path)
			unlink(ports[i].f.path);
	}
}

static void proxy_url(char *dst, size_t size)
{
	const struct forward *f = &ports[0].f;
	const char *address = str_eq(f->address, "0.0.0.0") ? "127.0.0.1" : str_eq(f->address, "::") ? "::1" : f->address;
	int v6 = strchr(address, ':') != NULL;
	str_fmt(dst, size, "http://%s%s%s%s%s:%d", cred, *cred ? "@" : "", v6 ? "[" : "", address, v6 ? "]" : "", f->port);
}

static void random_cred(void)
{
	unsigned char bytes[24];
	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		die(R_SYSTEM, "random bytes:");
	size_t n = (size_t)str_copy(cred, sizeof cred, "moorbox:");
	for (size_t i = 0; i < sizeof bytes; i++)
		n += (size_t)str_fmt(cred + n, sizeof cred - n, "%02x", bytes[i]);
}

/* It becomes a part of a URL, so that only what needs no escaping there is taken. */
static void take_cred(const char *src)
{
	struct secret s = {0};
	struct why why = {0};
	if (secret_get(&s, src, &why) < 0)
		die_why(&why);
	const char *colon = strchr(s.p, ':');
	if (!colon || colon == s.p || !colon[1] || s.len > 250
		|| strspn(s.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:") != s.len || strchr(colon + 1, ':'))
		die(R_USAGE, "--auth: not USER:PASSWORD of letters, digits and -._~, 250 at most");
	str_copy(cred, sizeof cred, s.p);
}

/* 0, or -1: nobody can know where we listen. A stream that is not a file is written to line by line: an error may be old. */
static int print_ready(struct rec *out, int with_url)
{
	char url[400];
	for (int i = 0; i < nports; i++) {
		const struct forward *f = &ports[i].f;
		rec_begin(out);
		rec_str(out, "address", *f->path ? f->path : f->address);
		if (*f->path)
			rec_str(out, "port", NULL);
		else
			rec_num(out, "port", f->port);
		rec_str(out, "host", *f->host ? f->host : NULL);
		if (f->to)
			rec_num(out, "to", f->to);
		else
			rec_str(out, "to", NULL);
		if (with_url) {
			proxy_url(url, sizeof url);
			rec_str(out, "url", url);
		}
		rec_end(out);
	}
	return fflush(stdout) || ferror(stdout) ? -1 : 0;
}

/* ---- connections ---- */

/* A client that tries again and again is told of once in a while. */
static void say_failure(const struct why *why)
{
	static char last[sizeof why->msg];
	static long long said;
	if (is_background || (str_eq(last, why->msg) && clock_ms() - said < SAME_MS))
		return;
	str_copy(last, sizeof last, why->msg);
	said = clock_ms();
	warn_why(why);
}

static void pause_listening(int yes)
{
	if (paused == yes)
		return;
	paused = yes;
	for (int i = 0; i < nports; i++)
		relay_watch(relay, &ports[i].watch, yes ? 0 : EPOLLIN);
}

static int is_full(void)
{
	return dialling + relay_live(relay) + (split ? split_pending(split) : 0) >= at_once;
}

static void pause_for_a_while(void)
{
	struct itimerspec t = { .it_value.tv_nsec = PAUSE_MS * 1000000L };
	pause_listening(1);
	timerfd_settime(pause_over.fd, 0, &t, NULL);
}

static void pause_ended(void *ctx, unsigned events)
{
	unsigned long long n;
	(void)ctx;
	(void)events;
	(void)!read(pause_over.fd, &n, sizeof n);
	if (is_full())
		pause_for_a_while();
	else
		pause_listening(0);
}

static void reset(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(fd);
}

static void dialled(void *ctx, int fd, const struct dial_answer *early, int flags, const struct why *why)
{
	struct joining *j = ctx;
	struct why add = {0};
	dialling--;
	if (fd < 0) {
		reset(j->fd);		/* not an end: the client must not take it for an empty answer */
		say_failure(why);
	} else {
		struct relay_early first = { .to_near = early->early, .near_len = early->early_len };
		if (relay_add(relay, j->fd, fd, &first, flags, NULL, &add) < 0)
			say_failure(&add);
	}
	free(j);
}

static void take(struct port *p, int fd)
{
	if (!*p->f.path) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 60 }, sizeof(int));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){ 20 }, sizeof(int));
	}
	if (split) {
		split_take(split, fd);
		return;
	}
	struct joining *j = xalloc(sizeof *j);
	j->fd = fd;
	j->port = p;
	dialling++;
	carry_dial(carry, p->f.host, p->f.to, dialled, j);
}

static void accept_some(void *ctx, unsigned events)
{
	struct port *p = ctx;
	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		if (is_full()) {
			pause_for_a_while();
			return;
		}
		int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			take(p, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			pause_for_a_while();
			return;
		}
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void over(void *ctx, void *tag, const struct relay_count *c)
{
	(void)ctx;
	(void)tag;
	verbose("a connection is over: %lld bytes there, %lld back", c->up, c->down);
	if (paused && !is_full())
		pause_listening(0);
}

static void signalled(void *ctx, unsigned events)
{
	struct signalfd_siginfo info;
	(void)ctx;
	(void)events;
	if (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info)
		ending = 1;
}

/* ---- the loop ---- */

static void begin_loop(void)
{
	struct why why = {0};
	relay = relay_new(&why);
	carry = relay ? carry_new(relay, which, socket_path, &why) : NULL;
	if (!carry) {
		close_listeners();
		die_why(&why);
	}
	if (is_split)
		split = split_new(relay, carry, *cred ? cred : NULL, status.suffix);
	pause_over = (struct relay_watch){ .ready = pause_ended };
	pause_over.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (relay_watch(relay, &pause_over, EPOLLIN))
		die(R_SYSTEM, "epoll:");
	for (int i = 0; i < nports; i++) {
		ports[i].watch = (struct relay_watch){ .fd = ports[i].fd, .ready = accept_some, .ctx = &ports[i] };
		if (relay_watch(relay, &ports[i].watch, EPOLLIN))
			die(R_SYSTEM, "epoll:");
	}
}

static sigset_t signals_to_take(void)
{
	struct sigaction hup;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGQUIT);
	/* nohup: blocked, an ignored signal would come all the same */
	if (sigaction(SIGHUP, NULL, &hup) || hup.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	return set;
}

/* From when there is something to take down until the loop reads them; what was blocked before is kept. */
static void hold_signals(void)
{
	sigset_t set = signals_to_take();
	sigprocmask(SIG_BLOCK, &set, &unheld);
}

/* The first that came meanwhile, or 0. */
static int held_signal(void)
{
	sigset_t set = signals_to_take(), came;
	sigpending(&came);
	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(&set, sig) == 1 && sigismember(&came, sig) == 1)
			return sig;
	return 0;
}

static void take_signals(void)
{
	sigset_t set = signals_to_take();
	signals = (struct relay_watch){ .ready = signalled };
	signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals.fd < 0 || relay_watch(relay, &signals, EPOLLIN))
		die(R_SYSTEM, "signalfd:");
}

/* The streams that are left are reset: their clients must not take it for an end. */
static void end_loop(void)
{
	close_listeners();
	split_free(split);
	carry_free(carry);
	relay_free(relay);
	if (forwards_fd >= 0)
		forwards_drop(forwards_fd, getpid());
}

/* A thousand connections are two thousand descriptors; what CMD inherits stays within what select() can take. */
static void raise_limit(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= 2 * AT_ONCE + 64)
		return;
	r.rlim_cur = r.rlim_max < 2 * AT_ONCE + 64 ? r.rlim_max : 2 * AT_ONCE + 64;
	setrlimit(RLIMIT_NOFILE, &r);
}

/* Where the limit is low, who comes waits in the queue: one that was taken in and cannot be joined would be lost. */
static void heed_limit(void)
{
	struct rlimit r;
	int lowest = fcntl(relay_fd(relay), F_DUPFD_CLOEXEC, 0), spare = 8;
	if (lowest >= 0)
		close(lowest);
	if (lowest < 0 || getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur > 2 * AT_ONCE + 64)
		return;
	int room = ((int)r.rlim_cur - lowest - spare) / 2;
	at_once = room < 1 ? 1 : room < AT_ONCE ? room : AT_ONCE;
}

/* ---- the record ---- */

/* Without a place for it (a read-only state) a forward in the foreground works as well. */
static void save_record(int pid, struct why *why)
{
	struct forwards *all = xalloc(sizeof *all);
	int rc = forwards_fd < 0 ? -1 : proc_id_of(pid, &all->id, why);
	all->background = is_background;
	for (int i = 0; i < nports; i++)
		all->f[all->n++] = ports[i].f;
	if (is_split)
		proxy_url(all->proxy, sizeof all->proxy);
	if (rc == 0)
		rc = forwards_save(forwards_fd, all, why);
	memset(all, 0, sizeof *all);
	free(all);
	if (rc == 0)
		return;
	if (is_background) {
		close_listeners();
		die_why(why);
	}
	warn_why(why);
}

static int stop(const struct opt *o, long long deadline)
{
	struct node node;
	struct why why = {0};
	long long port = 0;
	if (o->count > 1 || (o->count && str_num(o->operands[0], 1, 65535, &port) < 0))
		opt_usage("--stop takes one port, or none");
	if (node_find(&node, which, socket_path, &why) < 0)
		die_why(&why);
	int dir = node_forwards(&node, 0, &why), n = 0;
	if (dir >= 0)
		n = forwards_end(dir, (int)port, deadline, &why);
	else if (errno != ENOENT)
		die_why(&why);
	if (n < 0)
		die_why(&why);
	if (!n)
		say("nothing to stop");
	return EXIT_DONE;
}

/* ---- its three ways ---- */

/* What was open in the shell that called us is not ours to hold: its locks, its pipes. */
static void drop_inherited(void)
{
	struct rlimit r;
	int end = getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur > 65536 ? 65536 : (int)r.rlim_cur;
	for (int fd = 3; fd < end; fd++) {
		int flags = fcntl(fd, F_GETFD);
		if (flags >= 0 && !(flags & FD_CLOEXEC))
			close(fd);
	}
}

static int serve(void)
{
	take_signals();
	while (!ending)
		relay_turn(relay, -1, over, NULL);
	end_loop();
	return EXIT_DONE;
}

/* The child waits until its record is there: nothing runs that could not be found. */
static int go_to_background(struct rec *out, int with_url, struct why *why)
{
	int gate[2];
	char go;
	if (pipe2(gate, O_CLOEXEC) < 0)
		die(R_SYSTEM, "pipe:");
	int pid = fork();
	if (pid < 0)
		die(R_RESOURCES, "fork:");
	if (!pid) {
		close(gate[1]);
		http_forget();
		setsid();
		signal(SIGHUP, SIG_IGN);
		if (read(gate[0], &go, 1) != 1)
			_exit(EXIT_NO);
		close(gate[0]);
		proc_detach_stdio();
		drop_inherited();
		if (!socket_path || *socket_path == '/')
			(void)!chdir("/");
		_exit(serve());
	}
	close(gate[0]);
	save_record(pid, why);
	if (write(gate[1], "", 1) != 1)
		die(R_SYSTEM, "the process in the background:");
	sigprocmask(SIG_SETMASK, &unheld, NULL);
	if (print_ready(out, with_url) == 0)
		return EXIT_DONE;
	kill(pid, SIGTERM);		/* our child, not yet waited for: it takes its own down */
	waitpid(pid, NULL, 0);
	return EXIT_NO;			/* main says why */
}

static int turn(void *ctx)
{
	(void)ctx;
	relay_turn(relay, 0, over, NULL);
	return 0;
}

/* {N} becomes the Nth port. */
static char *fill_in(const char *arg)
{
	struct buf b = {0};
	char name[300];
	for (const char *p = arg; *p; p++) {
		char *end;
		long n = *p == '{' ? strtol(p + 1, &end, 10) : 0;
		if (n < 1 || n > nports || *end != '}' || p[1] < '1' || p[1] > '9') {
			buf_ch(&b, *p);
			continue;
		}
		const struct forward *f = &ports[n - 1].f;
		str_fmt(name, sizeof name, "%d", f->port);
		buf_str(&b, *f->path ? f->path : name);
		p = end;
	}
	return xstrdup(buf_cstr(&b));
}

static int run_command(char **cmd)
{
	static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"};
	char name[32], value[400];
	struct why why = {0};
	int n = 0;
	while (cmd[n])
		n++;
	char **argv = xalloc((size_t)(n + 1) * sizeof *argv);
	for (int i = 0; i < n; i++)
		argv[i] = fill_in(cmd[i]);
	for (int i = 0; i < nports; i++) {
		str_fmt(name, sizeof name, "MOORBOX_PORT_%d", i + 1);
		str_fmt(value, sizeof value, "%d", ports[i].f.port);
		setenv(name, *ports[i].f.path ? ports[i].f.path : value, 1);
	}
	char **env = environ;
	char *was[4] = {0};
	if (is_split) {
		/* what we ask of the environment must go on being the old value */
		size_t count = 0, kept = 0;
		while (environ[count])
			count++;
		env = xalloc((count + 5) * sizeof *env);
		proxy_url(value, sizeof value);
		for (size_t i = 0; i < count; i++) {
			int is_one = 0;
			for (int k = 0; k < 4; k++)
				is_one |= str_starts(environ[i], names[k]) && environ[i][strlen(names[k])] == '=';
			if (!is_one)
				env[kept++] = environ[i];
		}
		for (int k = 0; k < 4; k++)
			env[kept++] = was[k] = xfmt("%s=%s", names[k], value);
	}
	const struct proc_cmd pc = { .argv = argv, .env = env, .watch = relay_fd(relay), .ready = turn };
	int sig = held_signal();
	if (!sig)
		sigprocmask(SIG_SETMASK, &unheld, NULL);
	int rc = sig ? 128 + sig : proc_run(&pc, &why);
	end_loop();
	return rc < 0 ? warn_why(&why) : rc;
}

int ts_forward_main(char **argv)
{
	struct rec out = {0};
	struct why why = {0};
	struct node node;
	const char *auth = NULL;
	int is_stop = 0, no_auth = 0, with_url = 0;
	long long wait_ms = 0, began = clock_ms();
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'b': is_background = 1; break;
		case 'j': out.mode = REC_JSON; break;
		case 't': wait_ms = opt_dur(&o); break;
		case 'w': which = o.val; break;
		case OPT_SOCKET: socket_path = o.val; break;
		case OPT_SPLIT: is_split = 1; break;
		case OPT_AUTH: auth = o.val; break;
		case OPT_NO_AUTH: no_auth = 1; break;
		case OPT_URL: with_url = 1; break;
		case OPT_STOP: is_stop = 1; break;
		}
	if (is_stop)
		return stop(&o, began + (wait_ms ? wait_ms : STOP_MS));
	if (o.cmd && !*o.cmd)
		opt_usage("a command is missing after --");
	if (is_background && o.cmd)
		opt_usage("-b and a command: one or the other");
	if (!is_split && (auth || no_auth || with_url))
		opt_usage("--auth, --no-auth and --url belong to --split");
	if (auth && no_auth)
		opt_usage("--auth or --no-auth, not both");
	opt_want(&o, is_split ? 0 : 1, is_split ? 1 : FORWARDS_MAX);
	if (is_split) {
		secret_no_core();
		if (auth)
			take_cred(auth);
		else if (!no_auth)
			random_cred();
	}
	take_operands(&o);
	long long deadline = began + (wait_ms ? wait_ms : READY_MS);
	if (node_find(&node, which, socket_path, &why) < 0)
		die_why(&why);
	if (!socket_path)
		which = node.name;
	if (is_split)
		check_node(&node, deadline);
	else
		check_names(&node, deadline);
	file_fds_open();
	signal(SIGPIPE, SIG_IGN);
	raise_limit();
	hold_signals();
	listen_all();
	if (is_split && split_check(ports[0].f.address, ports[0].f.port, &why) < 0)
		die_why(&why);
	begin_loop();
	heed_limit();
	forwards_fd = node_forwards(&node, 1, &why);
	if (is_background)
		return go_to_background(&out, with_url, &why);
	save_record(getpid(), &why);
	if (o.cmd)
		return run_command(o.cmd);
	if (print_ready(&out, with_url) < 0) {
		end_loop();
		return EXIT_NO;
	}
	return serve();
}
