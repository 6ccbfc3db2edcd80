/* daemon - a workspace's tailscaled */
#include "daemon.h"
#include "alloc.h"
#include "clock.h"
#include "confine.h"
#include "file.h"
#include "http.h"
#include "isolate.h"
#include "pasta.h"
#include "probe.h"
#include "release.h"
#include "secret.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ENVS = 64, LOG_MAX = 4 << 20, LOG_KEEP = 1 << 20, TERM_MS = 8000, PROBE_MS = 3000 };

/* ---- environment ---- */

struct env { char *v[ENVS + 1]; int n; };

static void env_add(struct env *e, const char *name, const char *value)
{
	if (value && e->n < ENVS)
		e->v[e->n++] = xfmt("%s=%s", name, value);
}

static void env_free(struct env *e)
{
	for (int i = 0; i < e->n; i++)
		free(e->v[i]);
}

static const char *first_of(const char *a, const char *b)
{
	const char *v = getenv(a);
	if (!v || !*v)
		v = getenv(b);
	return v && *v ? v : NULL;
}

static int is_secret_name(const char *name)
{
	static const char *const parts[] = {"AUTHKEY", "AUTH_KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "PRIVATE_KEY"};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (strstr(name, parts[i]))
			return 1;
	return 0;
}

/* MOORBOX_PASS_ENV=NAME,NAME: handed on as they are, but for secrets. */
static int env_pass(struct env *e, struct why *why)
{
	const char *told = getenv("MOORBOX_PASS_ENV");
	char *list = xstrdup(told ? told : ""), *save = NULL;
	int rc = 0;
	for (char *name = strtok_r(list, ", ", &save); name && !rc; name = strtok_r(NULL, ", ", &save)) {
		const char *value = getenv(name);
		if (is_secret_name(name) || (value && (strstr(value, "tskey-") || strstr(value, "hskey-")))) {
			why_set(why, R_USAGE, "MOORBOX_PASS_ENV: %s looks like a secret, and a child's environment can be read", name);
			rc = why_hint(why, "keys reach tailscaled over its socket: pass the key with -k");
		} else
			env_add(e, name, value);
	}
	free(list);
	return rc;
}

/* tailscaled waits for a network interface beside loopback before it asks its control server. Where there is none, as in sandboxes
 * whose proxy is on loopback, it would wait for ever. */
static int only_loopback(void)
{
	struct ifaddrs *all, *i;
	int only = 1;
	if (getifaddrs(&all) < 0)
		return 0;
	for (i = all; i; i = i->ifa_next)
		if (i->ifa_addr && (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6)
			&& i->ifa_flags & IFF_UP && !(i->ifa_flags & IFF_LOOPBACK))
			only = 0;
	freeifaddrs(all);
	return only;
}

/* Was it built with DERP over WebSocket? Go leaves the build's tags in a program; stock ones have not this one. */
static int has_websocket(const char *tailscaled)
{
	static const char tag[] = "ts_debug_websockets";
	struct stat st;
	int found = 0, fd = open(tailscaled, O_RDONLY | O_CLOEXEC);
	void *p = fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 ? MAP_FAILED : mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p != MAP_FAILED) {
		found = memmem(p, st.st_size, tag, sizeof tag - 1) != NULL;
		munmap(p, st.st_size);
	}
	if (fd >= 0)
		close(fd);
	return found;
}

/* Does it run in a namespace that was made for it? */
static int is_isolated(const struct ws *ws)
{
	return ws->run.pasta.pid > 0;
}

char *daemon_control(const struct ws *ws, char *dst, int size)
{
	if (is_isolated(ws))
		return isolate_url(ws->spec.control, dst, size);
	str_copy(dst, size, ws->spec.control);
	return dst;
}

static void env_add_proxy(struct env *e, const char *name, const char *url, const struct ws *ws)
{
	char there[1024];
	env_add(e, name, url && is_isolated(ws) ? isolate_url(url, there, sizeof there) : url);
}

/* This machine itself is never asked by a proxy, by whatever address it is reached. */
static void env_add_exceptions(struct env *e, const struct ws *ws)
{
	const char *told = first_of("NO_PROXY", "no_proxy");
	char *more = is_isolated(ws) ? xfmt("%s%s%s", told ? told : "", told ? "," : "", PASTA_GATEWAY) : NULL;
	env_add(e, "NO_PROXY", more ? more : told);
	free(more);
}

static int build_env(struct env *e, const struct ws *ws, const char *tailscaled, const char *node, struct why *why)
{
	const char *proxy = first_of("HTTPS_PROXY", "https_proxy"), *plain = first_of("HTTP_PROXY", "http_proxy");
	const char *all = first_of("ALL_PROXY", "all_proxy");
	struct why ignored;
	env_add(e, "HOME", node);
	env_add(e, "PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
	env_add(e, "TS_LOGS_DIR", node);
	env_add(e, "TS_DISABLE_TAILDROP", "1");
	/* a netmap of yesterday would make a node that was deleted meanwhile look up */
	env_add(e, "TS_USE_CACHED_NETMAP", "false");
	if (!ws->spec.logs)
		env_add(e, "TS_NO_LOGS_NO_SUPPORT", "true");
	if (!ws->spec.ssh)
		env_add(e, "TS_DISABLE_SSH_SERVER", "1");
	if (!*ws->spec.netns && !is_isolated(ws) && only_loopback())
		env_add(e, "TS_ASSUME_NETWORK_UP_FOR_TEST", "1");
	env_add_proxy(e, "HTTPS_PROXY", proxy ? proxy : all, ws);
	env_add_proxy(e, "HTTP_PROXY", plain ? plain : all, ws);
	env_add_exceptions(e, ws);
	if ((proxy || all) && has_websocket(tailscaled) && probe_derp_upgrade(ws->spec.control, clock_ms() + PROBE_MS))
		env_add(e, "TS_DEBUG_DERP_WS_CLIENT", "1");
	if (first_of("SSL_CERT_FILE", "CURL_CA_BUNDLE") || first_of("NIX_SSL_CERT_FILE", "TS_CA_FILE")
		|| first_of("REQUESTS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")) {
		const char *ca = http_ca_file(NULL, &ignored);
		char *path = ca ? realpath(ca, NULL) : NULL;	/* it works in a directory of its own */
		env_add(e, "SSL_CERT_FILE", path);
		free(path);
	}
	/* self-hosted runners end what a job left behind by these */
	env_add(e, "RUNNER_TRACKING_ID", getenv("RUNNER_TRACKING_ID"));
	env_add(e, "BUILD_ID", getenv("BUILD_ID"));
	return env_pass(e, why);
}

/* ---- what it may do ---- */

static const char *const readable[] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/localtime",
	"/etc/os-release", "/etc/passwd", "/etc/debian_version", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
};

struct limits {
	struct target *where;		/* NULL: our own network namespace */
	struct confine_spec spec;
	struct confined held;
	const char *write[4], *read[32];
};

static int name_choices(struct why *why)
{
	if (why->reason == R_NO_LANDLOCK || why->reason == R_CANNOT_NARROW)
		why_hint(why, "choose -i none (outbound only) or -i all (every port of this machine's loopback)");
	return -1;
}

static int prepare_limits(struct limits *l, const struct ws *ws, const char *tailscaled, const char *node, const char *sock_dir,
	const int *needs, int n, struct why *why)
{
	const struct ws_spec *s = &ws->spec;
	int nread = 0;
	struct why ignored;
	l->spec = (struct confine_spec){.write = l->write, .read = l->read, .exec = tailscaled};
	/* Tailscale SSH's sessions are children of tailscaled and would inherit all this; a TUN needs too much of /etc */
	l->spec.limit_files = !s->ssh && !s->tun;
	l->spec.scoped = !s->ssh;
	l->spec.no_sync = !s->ssh && !s->keep;	/* an ephemeral node's state is in memory */
	l->write[0] = node;
	l->write[1] = sock_dir;
	for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
		l->read[nread++] = readable[i];
	const char *ca = http_ca_file(NULL, &ignored);
	if (ca)
		l->read[nread++] = ca;
	if (l->where && *l->where->ns.resolv)
		l->read[nread++] = l->where->ns.resolv;
	if (l->where && *l->where->ns.hosts)
		l->read[nread++] = l->where->ns.hosts;
	for (int i = 0; i < s->nserve_dirs; i++)
		l->read[nread++] = s->serve_dirs[i];
	if (s->inbound == WS_IN_PORTS && !is_isolated(ws)) {
		l->spec.limit_connect = l->spec.bind_v4_notify = 1;
		for (int i = 0; i < n && l->spec.port_count < CONFINE_PORTS; i++)
			l->spec.ports[l->spec.port_count++] = needs[i];
		for (int i = 0; i < s->nports; i++) {
			if (l->spec.port_count == CONFINE_PORTS)
				return why_set(why, R_USAGE, "-i: at most %d ports with those that tailscaled needs itself", CONFINE_PORTS);
			l->spec.ports[l->spec.port_count++] = s->ports[i];
		}
	}
	return confine_prepare(&l->spec, &l->held, why) < 0 ? name_choices(why) : 0;
}

/* ---- its log ---- */

/* Ours and a plain file: a fifo would make us wait for ever, and what is linked elsewhere is not ours to cut. */
static int open_plain(const struct ws *ws, int flags, struct why *why)
{
	struct stat st;
	int fd = openat(ws->dir, "tailscaled.log", flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 && (errno == ELOOP || errno == ENXIO))
		return why_set(why, R_NOT_OURS, "%s/tailscaled.log: not a plain file", ws->name);
	if (fd < 0)
		return why_errno(why, "open %s/tailscaled.log:", ws->name);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink < 2)
		return fd;
	close(fd);
	return why_set(why, R_NOT_OURS, "%s/tailscaled.log: not a plain file", ws->name);
}

static int open_log(struct ws *ws, long long *start, struct why *why)
{
	daemon_cut_log(ws);
	int fd = open_plain(ws, O_WRONLY | O_CREAT | O_APPEND, why);
	if (fd < 0)
		return -1;
	*start = lseek(fd, 0, SEEK_END);
	return fd;
}

void daemon_cut_log(const struct ws *ws)
{
	struct stat st;
	struct why ignored;
	int fd = open_plain(ws, O_RDWR, &ignored);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > LOG_MAX) {
		/* in place: the daemon holds the file open for appending */
		char *keep = xalloc(LOG_KEEP);
		ssize_t n = pread(fd, keep, LOG_KEEP, st.st_size - LOG_KEEP);
		char *line = n > 0 ? memchr(keep, '\n', n) : NULL;
		if (ftruncate(fd, 0) == 0 && line)
			(void)!pwrite(fd, line + 1, n - (line + 1 - keep), 0);
		free(keep);
	}
	if (fd >= 0)
		close(fd);
}

/* "2026/11/25 09:00:00 text": the text. Lines that every start prints tell nothing. */
static const char *telling(const char *line)
{
	static const char *const noise[] = {
		"logtail started", "Program starting", "LogID:", "logpolicy:", "Start: id=", "dns: [", "wgengine.NewUserspaceEngine",
		"Bringing WireGuard", "Bringing router", "Clearing router", "Starting network monitor", "Engine created", "pm: ", "logID:",
		"magicsock: ", "[RATELIMIT]", "blockEngineUpdates", "health(", "dns: using", "dns: Set:", "dns: Resolver", "wgengine: ",
		"netmap diff", "flushing log", "monitor: ", "using fake", "Creating WireGuard", "control: RegisterReq", "control: control server key",
		"control: Generating", "got LocalBackend", "goroutine ", "\t",
		"Failed to send ",	/* pasta, where nobody listens to the system's log */
	};
	int y, n = 0;
	if (sscanf(line, "%d/%*d/%*d %*d:%*d:%*d %n", &y, &n) >= 1 && n > 0)
		line += n;
	for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
		if (str_starts(line, noise[i]))
			return NULL;
	return *line ? line : NULL;
}

char *daemon_last_words(const struct ws *ws, long long start, int lines, char *dst, size_t size)
{
	enum { TAIL = 65536 };
	struct stat st;
	char *text = xalloc(TAIL + 1);
	const char *kept[8];
	struct why ignored;
	int n = 0, fd = open_plain(ws, O_RDONLY, &ignored);
	*dst = 0;
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > start) {
		long long from = st.st_size - TAIL > start ? st.st_size - TAIL : start;
		ssize_t got = pread(fd, text, TAIL, from);
		text[got > 0 ? got : 0] = 0;
		secret_blot_shapes(text);
	}
	if (fd >= 0)
		close(fd);
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *t = telling(line);
		if (!t)
			continue;
		if (n == lines || n == 8) {
			memmove(kept, kept + 1, (n - 1) * sizeof *kept);
			n--;
		}
		kept[n++] = t;
	}
	size_t len = 0;
	for (int i = 0; i < n; i++) {
		int w = snprintf(dst + len, size - len, "%s%s", i ? " | " : "", kept[i]);
		if (w < 0 || (size_t)w >= size - len)
			break;
		len += w;
	}
	free(text);
	return dst;
}

/* ---- start ---- */

/* Lets tailscaled bind sockets while it starts; a thread, because we wait for its answer meanwhile. */
struct permit { pthread_t thread; int listener, stop[2], running; };	/* stop: a pipe, since a close cannot fail */

static void *permit_loop(void *arg)
{
	struct permit *p = arg;
	struct pollfd fds[] = {{.fd = p->listener, .events = POLLIN}, {.fd = p->stop[0], .events = POLLIN}};
	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		if (fds[1].revents || (fds[0].revents && confine_answer(p->listener) < 0))
			break;
	}
	return NULL;
}

static int permit_start(struct permit *p, struct confined *held, struct why *why)
{
	p->listener = confine_take(held, why);
	if (p->listener < 0)
		return -1;
	int piped = pipe2(p->stop, O_CLOEXEC) == 0;
	p->running = piped && proc_thread(&p->thread, permit_loop, p) == 0;
	if (!p->running) {
		if (piped) {
			close(p->stop[0]);
			close(p->stop[1]);
		}
		close(p->listener);
		p->listener = -1;
		return why_set(why, R_RESOURCES, "no thread can be had");
	}
	return 0;
}

static void permit_end(struct permit *p)
{
	if (p->running) {
		close(p->stop[1]);
		pthread_join(p->thread, NULL);
		close(p->stop[0]);
		close(p->listener);
		p->running = 0;
	}
}

/* Waits until the socket takes connections: told by inotify that it is there, and by the pidfd that it never will be.
 * The watch ends with what it tells: to close one that stands, the kernel takes milliseconds. */
static int wait_socket(const struct ws *ws, struct daemon *d, int watch, const char *dir, long long deadline, struct why *why)
{
	enum { LISTENS_US = 1000, BOUND_MS = 1000, UNTOLD_MS = 5 };
	int watched = 0;
	for (long long bound_at = 0;; ) {
		int fd = dial_unix(d->api.dir, d->api.path, &d->api.who, deadline, why);
		if (fd >= 0) {
			close(fd);
			return 0;
		}
		if (why->reason != R_NOT_UP)
			return -1;
		int limit = 1000;
		if (errno == ECONNREFUSED) {
			/* between bind and listen there is nothing to wait for but a moment */
			long long since = bound_at ? clock_us() - bound_at : 0;
			bound_at = bound_at ? bound_at : clock_us();
			if (since < LISTENS_US) {
				sched_yield();
				continue;
			}
			limit = since / 1000 < BOUND_MS ? 1 : limit;
		} else if (!watched && (watched = inotify_add_watch(watch, dir, IN_CREATE | IN_MOVED_TO | IN_ONESHOT)) > 0) {
			continue;	/* it may have come before it was watched for */
		} else if (watched < 0) {
			limit = UNTOLD_MS;
		}
		struct pollfd fds[] = {{.fd = watch, .events = POLLIN}, {.fd = d->pidfd, .events = POLLIN}};
		int left = clock_poll_ms(deadline), n = poll(fds, 2, left < 0 || left > limit ? limit : left);
		if (n < 0 && errno != EINTR)
			return why_errno(why, "wait for tailscaled:");
		if (n > 0 && fds[1].revents) {
			char words[360];
			daemon_last_words(ws, d->log_start, 3, words, sizeof words);
			return why_set(why, R_TAILSCALED_DIED, "%s ended at once%s%s", ws->run.tailscaled, *words ? ": " : " and said nothing", words);
		}
		char event[4096];
		while (n > 0 && fds[0].revents && read(watch, event, sizeof event) > 0)
			watched = 0;
		if (clock_passed(deadline))
			return why_set(why, R_TAILSCALED_HUNG, "tailscaled runs but opened no socket in time");
		daemon_cut_log(ws);
	}
}

static void fill_run(struct ws *ws, const struct proc_child *child, const char *tailscaled, const char *sock, const struct limits *l)
{
	struct ws_run *r = &ws->run;
	*r = (struct ws_run){.pasta = r->pasta};
	r->daemon = child->id;
	r->phase = WS_SPAWNED;
	proc_machine(r->machine);
	r->netns = l->where ? l->where->ns.inode : proc_netns(0);
	if (l->where)
		r->anchor = l->where->anchor;
	str_copy(r->tailscaled, sizeof r->tailscaled, tailscaled);
	str_copy(r->socket, sizeof r->socket, sock);
	str_copy(r->inbound, sizeof r->inbound,
		ws->spec.inbound == WS_IN_ALL ? "open" : ws->spec.inbound == WS_IN_NONE ? "closed" : is_isolated(ws) ? "pasta" : "landlock");
	r->confined = l->held.files;
	r->since = time(NULL);
}

static int enter(void *limits)
{
	struct limits *l = limits;
	int rc = l->where ? netns_enter(&l->where->ns) : 0;
	return rc ? rc : confine_enter(&l->held);
}

static int enter_failed(int code, struct why *why)
{
	return netns_is_failure(code) ? netns_failed(code, why) : confine_failed(code, why);
}

static int spawn(struct ws *ws, const char *tailscaled, const char *node, const char *sock, struct limits *l, struct permit *permit,
	struct proc_child *child, int log, struct why *why)
{
	const struct ws_spec *s = &ws->spec;
	struct env env = {0};
	char statedir[WS_PATH + 16], socket[WS_PATH + 16], tun[32], socks[96], http[112];
	char *argv[16];
	int n = 0;
	str_fmt(statedir, sizeof statedir, "--statedir=%s", node);
	str_fmt(socket, sizeof socket, "--socket=%s", sock);
	str_fmt(tun, sizeof tun, "--tun=%s", s->tun ? "tailscale0" : "userspace-networking");
	argv[n++] = "tailscaled";
	argv[n++] = statedir;
	argv[n++] = socket;
	argv[n++] = tun;
	argv[n++] = "--port=0";
	if (!s->keep)
		argv[n++] = "--state=mem:";
	if (!s->logs)
		argv[n++] = "--no-logs-no-support";
	if (*s->socks) {
		str_fmt(socks, sizeof socks, "--socks5-server=%s", s->socks);
		argv[n++] = socks;
	}
	if (*s->http) {
		str_fmt(http, sizeof http, "--outbound-http-proxy-listen=%s", s->http);
		argv[n++] = http;
	}
	argv[n] = NULL;
	if (build_env(&env, ws, tailscaled, node, why) < 0) {
		env_free(&env);
		return -1;
	}
	struct proc_spec p = proc_spec(tailscaled, argv, env.v);
	p.cwd = ws->dir;
	p.out = p.err = log;
	p.session = 1;
	p.enter = enter;
	p.failed = enter_failed;
	p.ctx = l;
	p.not_program = R_BAD_TAILSCALED;
	int rc = proc_spawn(&p, child, why);
	if (!rc && l->spec.bind_v4_notify && permit_start(permit, &l->held, why) < 0) {
		proc_abandon(child);
		rc = -1;
	}
	if (!rc) {
		fill_run(ws, child, tailscaled, sock, l);
		if (ws_save_run(ws, why) < 0) {
			permit_end(permit);
			proc_abandon(child);
			rc = -1;
		}
	}
	if (!rc && proc_release(child, why) < 0) {
		struct why ignored;
		permit_end(permit);
		ws_drop_run(ws, &ignored);
		rc = -1;
	}
	env_free(&env);
	return rc;
}

static int set_api(const struct ws_root *root, struct ws *ws, int create, struct daemon *d, struct ws_socket *s, struct why *why)
{
	if (ws_socket(root, ws, create, s, why) < 0)
		return -1;
	d->api.dir = s->dirfd;
	str_copy(d->api.path, sizeof d->api.path, s->path);
	return 0;
}

/* A path that the environment gives must be this workspace's alone. */
struct shared { const struct ws_root *root; const struct ws *ws; char other[WS_LABEL]; };

static int uses_same(const char *name, void *ctx)
{
	struct shared *s = ctx;
	struct ws other;
	struct why ignored;
	if (str_eq(name, s->ws->name) || ws_open(s->root, name, 0, 0, &other, &ignored) < 0)
		return 0;
	const struct ws_spec *a = &s->ws->spec, *b = &other.spec;
	int same = ws_alive(&other) == 1 && ((*a->node_dir && str_eq(a->node_dir, b->node_dir))
		|| (*a->socket && str_eq(a->socket, b->socket))
		|| (str_eq(a->hostname, b->hostname) && str_eq(a->control, b->control)));
	if (same)
		str_copy(s->other, sizeof s->other, name);
	ws_close(&other);
	return same;
}

int daemon_check_shared(const struct ws_root *root, const struct ws *ws, struct why *why)
{
	struct shared s = {.root = root, .ws = ws};
	if (!*ws->spec.node_dir && !*ws->spec.socket && str_eq(ws->name, ws->spec.hostname))
		return 0;
	ws_each(root, uses_same, &s, why);
	if (!*s.other)
		return 0;
	return why_set(why, R_ENV_SHARED, "workspace %s is up with the same host name, TS_STATE_DIR or TS_SOCKET", s.other);
}

/* What pasta itself said of its failure. */
static int add_words(const struct ws *ws, const struct daemon *d, struct why *why)
{
	char words[200], msg[200];
	if (why->reason == R_PASTA_FAILED && *daemon_last_words(ws, d->log_start, 2, words, sizeof words)) {
		str_copy(msg, sizeof msg, why->msg);
		why_set(why, R_PASTA_FAILED, "%s: %s", msg, words);
	}
	return -1;
}

static int start(const struct ws_root *root, struct ws *ws, struct target *where, const int *needs, int n, struct daemon *d,
	struct node_status *st, long long deadline, struct why *why)
{
	char tailscaled[WS_PATH], node[WS_PATH];
	struct ws_socket sock;
	struct limits l = {.where = where};
	struct permit permit = {.listener = -1};
	struct proc_child child = {.pidfd = -1};
	int watch = -1, rc = -1;
	*d = (struct daemon){.pidfd = -1};
	if (where && !is_isolated(ws) && target_prepare(where, root, ws, why) < 0)
		return -1;
	if (daemon_check_shared(root, ws, why) < 0 || release_tailscaled(tailscaled, sizeof tailscaled, why) < 0
		|| ws_node_dir(root, ws, 1, node, why) < 0 || set_api(root, ws, 1, d, &sock, why) < 0
		|| prepare_limits(&l, ws, tailscaled, node, sock.dir, needs, n, why) < 0)
		return -1;
	int log = open_log(ws, &d->log_start, why);
	if (log < 0)
		goto out;
	unlinkat(sock.dirfd, sock.path, 0);	/* a stale one would make us think that it is there */
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (spawn(ws, tailscaled, node, sock.path, &l, &permit, &child, log, why) < 0) {
		name_choices(why);	/* seccomp is refused in the child only */
		if (why->reason == R_NETNS_DENIED && !is_isolated(ws))
			why_hint(why, "sudo ws-up --netns %s %s", where->told, ws->name);
		goto out;
	}
	d->pidfd = child.pidfd;
	d->api.who.pid = child.pid;
	rc = wait_socket(ws, d, watch, sock.dir, deadline, why);
	if (!rc) {
		/* its answer means that all its sockets are bound */
		rc = localapi_status(&d->api, st, deadline, why);
		if (!rc) {
			str_copy(ws->run.version, sizeof ws->run.version, st->version);
			rc = release_check_version(st->version, why);
			if (!rc && strstr(st->health, "tate store failed")) {
				why_set(why, R_BAD_STATE, "tailscaled cannot read its state in %s", node);
				rc = why_hint(why, "ws-down --forget %s", ws->name);
			}
		}
	}
	permit_end(&permit);
	if (!rc && is_isolated(ws) && ws_is_orphan(ws))
		rc = why_set(why, R_PASTA_FAILED, "pasta ended");
	if (rc < 0) {
		struct why ignored;
		if (clock_cancelled())
			clock_uncancel();	/* its end is waited for all the same: until then its socket is live */
		daemon_end(ws, SIGKILL, clock_ms() + 2000, &ignored);
		close(d->pidfd);
		d->pidfd = -1;
	}
out:
	if (log >= 0)
		close(log);
	if (watch >= 0)
		close(watch);
	confine_close(&l.held);
	return rc;
}

/* In a namespace of its own, which lasts as long as itself. */
static int start_isolated(const struct ws_root *root, struct ws *ws, const int *needs, int n, struct daemon *d,
	struct node_status *st, long long deadline, struct why *why)
{
	struct target own;
	struct why ignored;
	*d = (struct daemon){.pidfd = -1};
	if (isolate_check(ws->spec.control, probe_proxy(ws->spec.control), why) < 0)
		return -1;
	int log = open_log(ws, &d->log_start, why);
	if (log < 0)
		return -1;
	int rc = isolate_start(&own, root, ws, log, deadline, why);
	close(log);
	if (rc < 0)
		return add_words(ws, d, why);
	rc = start(root, ws, &own, needs, n, d, st, deadline, why);
	target_close(&own);
	if (rc < 0 && is_isolated(ws)) {
		clock_uncancel();
		ws_drop_run(ws, &ignored);
	}
	return rc;
}

int daemon_start(const struct ws_root *root, struct ws *ws, struct target *where, const int *needs, int n, struct daemon *d,
	struct node_status *st, long long deadline, struct why *why)
{
	*d = (struct daemon){.pidfd = -1};
	if (is_isolated(ws) && ws_drop_run(ws, why) < 0)	/* its daemon died, or never came */
		return -1;
	if (ws->spec.isolate)
		return start_isolated(root, ws, needs, n, d, st, deadline, why);
	int rc = start(root, ws, where, needs, n, d, st, deadline, why);
	const struct ws_spec *s = &ws->spec;
	/* proxies of tailscaled's own would be in there, for nobody */
	if (!rc || where || s->inbound != WS_IN_PORTS || *s->socks || *s->http || (why->reason != R_NO_LANDLOCK && why->reason != R_CANNOT_NARROW))
		return rc;
	struct why other;
	rc = start_isolated(root, ws, needs, n, d, st, deadline, &other);
	if (rc < 0) {
		struct why cannot = *why;
		why_set(why, cannot.reason, "%s; nor is it possible with pasta: %s", cannot.msg, other.msg);
		name_choices(why);
	}
	return rc;
}

int daemon_mend(struct ws *ws, struct daemon *d, long long deadline, struct why *why)
{
	int log = open_log(ws, &d->log_start, why), rc = log < 0 ? -1 : isolate_mend(ws, log, deadline, why);
	if (log >= 0)
		close(log);
	return rc < 0 ? add_words(ws, d, why) : 0;
}

int daemon_find(const struct ws_root *root, struct ws *ws, struct daemon *d, struct why *why)
{
	struct ws_socket sock;
	*d = (struct daemon){.pidfd = -1};
	if (ws_alive(ws) != 1) {
		why_set(why, R_NOT_UP, "%s is not up", ws->name);
		return why_hint(why, "ws-up %s", ws->name);
	}
	if (set_api(root, ws, 0, d, &sock, why) < 0)
		return -1;
	d->api.who.pid = ws->run.daemon.pid;
	d->pidfd = proc_open(&ws->run.daemon, why);
	return 0;
}

int daemon_end(struct ws *ws, int sig, long long deadline, struct why *why)
{
	long long patient = clock_ms() + TERM_MS;
	if (ws_alive(ws) == 1) {
		if (sig == SIGTERM && (!deadline || patient < deadline) && proc_end(&ws->run.daemon, SIGTERM, patient, why) == 0)
			return ws_drop_run(ws, why);
		if (proc_end(&ws->run.daemon, sig == SIGTERM && deadline && deadline <= patient ? SIGTERM : SIGKILL, deadline, why) < 0) {
			/* SIGTERM ran into the deadline: it is ours, and must not stay behind */
			if (sig != SIGTERM || proc_end(&ws->run.daemon, SIGKILL, clock_ms() + 2000, why) < 0)
				return -1;
		}
	}
	return ws_drop_run(ws, why);
}
