/* ts-serve - publish a local port, directory or text on the tailnet; take it back; list
 *
 * usage: ts-serve [OPTION]... TARGET
 * usage: ts-serve [OPTION]... TARGET -- CMD [ARG]...
 * usage: ts-serve [-0jl] [-w WORKSPACE]
 * usage: ts-serve --off [-f] [-w WORKSPACE] [PORT|PATH]
 * usage: ts-serve --all-off [-f] [-w WORKSPACE]
 * usage: ts-serve --make-operator [USER]
 *
 * -0, --null  end each record with NUL, not newline
 * -f, --force  overwrite, or take off, what somebody else has published
 * -j, --json  print JSON lines
 * -l, --list  list what is published (so does no TARGET)
 * -q, --quiet  print nothing but errors
 * -t, --timeout DUR  deadline, waiting for a certificate included (default 90)
 * -v, --verbose  say each step
 * -w, --workspace WORKSPACE  on which node: a workspace, or @system (the system's own tailscaled)
 * --socket PATH  on which node: the tailscaled behind this socket
 * --port N  port on the tailnet (default 443 for HTTPS, 80 for HTTP)
 * --path /X  publish below this path, beside others (default /)
 * --http  plain HTTP on the tailnet, on purpose: no certificate, so no name in public certificate logs
 * --tcp PORT  publish a TCP server at this port; TARGET is its local port (default: the same)
 * --tls-tcp PORT  the same inside TLS, with the node's certificate
 * --strict  a step down is a failure
 * --local-ok  published on this machine only is good enough
 * --off  take off what is at PORT or PATH, or the only one of ours
 * --all-off  take off all that is ours; with -f, all
 * --make-operator  as root: let USER (default: who called sudo) change the system's tailscaled
 *
 * TARGET is the port of a server on 127.0.0.1, a URL of one, a file or directory (with a slash in it, or there), text:...
 * or unix:/PATH.
 *
 * It is published by HTTPS on the node's name; where that cannot be, by plain HTTP on the tailnet; where that cannot be,
 * it stays on this machine. Each step down is said, with its reason and what to type. What was published is read back and
 * fetched once, through the node's own address, before its URL is printed. One record: url, kind, target. Kinds: https, http,
 * tcp, tls-tcp, local.
 *
 * It stays until it is taken off, or the node goes. With CMD it is there while CMD runs, and gone when ts-serve ends, however
 * it ends; CMD finds the URL in MOORBOX_URL.
 *
 * What somebody else has published is never overwritten without -f. The list has one record each: url, kind, target, ours
 * (yes, no), port, path, scope (tailnet, internet, session).
 *
 * exit: 0 done; or CMD's own status
 *   1  not published, or on this machine only
 *   2  usage
 *   3  the same call may work later
 *   125  with CMD: not published, so CMD did not run
 * env:
 *   MOORBOX_WORKSPACE  which node, without -w
 *   TS_SOCKET  the socket of @system
 *   SSL_CERT_FILE  CA that the node's certificate is verified with
 *   SUDO_USER  who is made operator
 * example: ts-serve 3000
 * example: ts-serve --path /docs ./public
 * example: ts-serve --tcp 5432 -- postgres -D data
 * see: ts-info ws-up ts-nc
 */
#include "alloc.h"
#include "clock.h"
#include "err.h"
#include "node.h"
#include "opt.h"
#include "opts/ts-serve.h"
#include "proc.h"
#include "publish.h"
#include "rec.h"
#include "serve.h"
#include "str.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

extern char **environ;

enum { WAIT_MS = 90000, KEEP_MS = 10000, FETCH_MS = 8000, ASK_MS = 1500, TELL_FIRST_MS = 1500, TELL_MS = 15000 };
enum verb { PUBLISH, LIST, OFF, ALL_OFF, MAKE_OPERATOR };

struct pub {
	const char *which, *socket, *typed;
	enum verb verb;
	int force, strict, local_ok, plain, port;
	const char *path;
	char **cmd;
	long long deadline;
	struct rec out;

	struct node node;
	struct node_status st;
	struct serve serve;
	struct mapping map;		/* what is wanted; kind, port and host as of the step that is tried */
	int has_hold;
	struct serve_hold hold;
	int listens;
};

/* ---- what is asked ---- */

static void read_target(struct pub *u, const char *typed)
{
	struct why why = {0};
	u->typed = typed;
	if (publish_read(typed, u->path, &u->map, &why) == 0)
		return;
	if (why.reason == R_USAGE)
		opt_usage("%s", why.msg);
	die_why(&why);
}

static void options(struct pub *u, char **argv)
{
	long long wait_ms = WAIT_MS;
	int list = 0, tcp = 0;
	struct opt o = opt_start(argv, opts);
	u->path = "/";
	u->verb = PUBLISH;
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case '0': u->out.mode = REC_NUL; break;
		case 'f': u->force = 1; break;
		case 'j': u->out.mode = REC_JSON; break;
		case 'l': list = 1; break;
		case 'q': u->out.mode = REC_NONE; break;
		case 't': wait_ms = opt_dur(&o); break;
		case 'w': u->which = o.val; break;
		case OPT_SOCKET: u->socket = o.val; break;
		case OPT_PORT: u->port = opt_num(&o, 1, 65535); break;
		case OPT_PATH: u->path = o.val; break;
		case OPT_HTTP: u->plain = 1; break;
		case OPT_TCP: tcp = opt_num(&o, 1, 65535); u->map.kind = MAP_TCP; break;
		case OPT_TLS_TCP: tcp = opt_num(&o, 1, 65535); u->map.kind = MAP_TLS_TCP; break;
		case OPT_STRICT: u->strict = 1; break;
		case OPT_LOCAL_OK: u->local_ok = 1; break;
		case OPT_OFF: u->verb = OFF; break;
		case OPT_ALL_OFF: u->verb = ALL_OFF; break;
		case OPT_MAKE_OPERATOR: u->verb = MAKE_OPERATOR; break;
		}
	opt_want(&o, 0, 1);
	u->deadline = clock_ms() + wait_ms;
	u->cmd = o.cmd;
	u->typed = o.operands[0];
	if (o.cmd && !*o.cmd)
		opt_usage("a command is missing after --");
	if (u->verb == PUBLISH && (list || (!o.count && !tcp)))
		u->verb = LIST;
	if (u->verb == LIST && o.count)
		opt_usage("-l takes no operand");
	if (list && u->verb != LIST)
		opt_usage("-l lists, and does nothing else");
	if (u->verb == ALL_OFF && o.count)
		opt_usage("--all-off takes no operand");
	if (u->verb != PUBLISH && (u->cmd || tcp || u->port || u->plain))
		opt_usage("that goes with a TARGET to publish only");
	if (tcp && (u->port || u->plain || !str_eq(u->path, "/")))
		opt_usage("--tcp and --tls-tcp go without --port, --path and --http");
	if (u->verb == OFF && u->typed && !publish_is_port(u->typed) && *u->typed != '/')
		opt_usage("--off %s: neither a port nor a path", u->typed);
	if (u->verb != PUBLISH)
		return;
	char digits[16];
	str_fmt(digits, sizeof digits, "%d", tcp);
	u->map.port = tcp;
	read_target(u, o.count ? o.operands[0] : xstrdup(digits));
}

/* ---- who may ---- */

/* The name of the user who types, under sudo too. */
static const char *user_name(void)
{
	const char *sudo = getenv("SUDO_USER");
	if (!geteuid() && sudo && *sudo && !str_eq(sudo, "root"))
		return sudo;
	struct passwd *p = getpwuid(geteuid());
	return p ? p->pw_name : "$(id -un)";
}

static int not_operator(const struct pub *u, struct why *why)
{
	const char *name = user_name();
	why_set(why, R_API_DENIED, "this tailscaled takes orders from root and its operator, and %s is neither",
		*name == '$' ? "this user" : name);
	if (u->socket)
		return why_hint(why, "sudo tailscale --socket=%s set --operator=%s", u->socket, name);
	return why_hint(why, "sudo tailscale set --operator=%s (or: sudo ts-serve --make-operator %s)", name, name);
}

static int make_operator(struct pub *u)
{
	struct why why = {0};
	char patch[128];
	const char *name = u->typed ? u->typed : user_name();
	if (geteuid()) {
		why_set(&why, R_API_DENIED, "only root can make an operator");
		why_hint(&why, "sudo ts-serve --make-operator %s", name);
		return warn_why(&why);
	}
	if (!u->typed && (str_eq(name, "root") || *name == '$'))
		opt_usage("--make-operator: who? name the user");
	if (strlen(name) > 64 || strpbrk(name, "\"\\ \t\n") || !getpwnam(name))
		opt_usage("%s: there is no such user", name);
	if (node_find(&u->node, u->which ? u->which : u->socket ? NULL : "@system", u->socket, &why) < 0)
		return warn_why(&why);
	str_fmt(patch, sizeof patch, "{\"OperatorUser\":\"%s\",\"OperatorUserSet\":true}", name);
	if (localapi_patch(&u->node.api, patch, u->deadline, &why) < 0)
		return warn_why(&why);
	say("%s may change this tailscaled now", name);
	return EXIT_DONE;
}

/* ---- list, and take off ---- */

struct list { struct mapping *p; int n, room; };

static int keep(const struct mapping *m, void *ctx)
{
	struct list *l = ctx;
	if (l->n == l->room)
		l->p = xrealloc(l->p, (l->room = l->room ? l->room * 2 : 8) * sizeof *l->p);
	l->p[l->n++] = *m;
	return 0;
}

static void show(struct pub *u, struct mapping *m)
{
	char url[MAP_HOST + MAP_PATH + 32];
	if (!*m->host)
		str_copy(m->host, sizeof m->host, u->st.dns_name);
	rec_begin(&u->out);
	rec_str(&u->out, "url", mapping_url(m, url, sizeof url));
	rec_str(&u->out, "kind", mapping_kind(m->kind));
	rec_str(&u->out, "target", *m->target ? m->target : NULL);
	if (u->verb == LIST) {
		rec_bool(&u->out, "ours", m->is_ours);
		rec_num(&u->out, "port", m->port);
		rec_str(&u->out, "path", *m->path ? m->path : NULL);
		rec_str(&u->out, "scope", m->is_funnel ? "internet" : m->is_foreground ? "session" : "tailnet");
	}
	rec_end(&u->out);
}

static int find_node(struct pub *u, struct why *why)
{
	if (node_find(&u->node, u->which, u->socket, why) < 0 || localapi_status(&u->node.api, &u->st, u->deadline, why) < 0)
		return -1;
	if (node_running(u->node.name, &u->st, why) < 0)
		return -1;
	serve_open(&u->serve, &u->node, &u->st, why);
	if (why->reason)
		say("what is ours here cannot be remembered: %s", why->msg);
	return 0;
}

static void load(struct pub *u, struct list *l)
{
	struct why why = {0};
	if (find_node(u, &why) < 0 || serve_each(&u->serve, keep, l, u->deadline, &why) < 0)
		die_why(&why);
}

static int by_port(const void *a, const void *b)
{
	const struct mapping *m = a, *n = b;
	return m->port != n->port ? m->port - n->port : strcmp(m->path, n->path);
}

static int list(struct pub *u)
{
	struct list l = {0};
	load(u, &l);
	if (l.n)
		qsort(l.p, l.n, sizeof *l.p, by_port);
	u->out.table = 1;
	for (int i = 0; i < l.n; i++)
		show(u, &l.p[i]);
	rec_finish(&u->out);
	return EXIT_DONE;
}

static int target_port(const struct mapping *m)
{
	const char *colon = strrchr(m->target, ':');
	long long n;
	return colon && str_num(colon + 1, 1, 65535, &n) == 0 ? (int)n : 0;
}

/* Which are meant: all of ours (all of all, with -f); what is at a port of the tailnet, else leads to that local port; at a path;
 * the only one of ours. */
static int choose(const struct pub *u, struct list *l)
{
	long long port = 0;
	int n = 0, by_port = 0;
	if (u->typed)
		str_num(u->typed, 1, 65535, &port);
	for (int i = 0; i < l->n; i++)
		by_port |= l->p[i].port == port;
	for (int i = 0; i < l->n; i++) {
		const struct mapping *m = &l->p[i];
		int meant = port && by_port ? m->port == port : port ? m->is_ours && target_port(m) == port
			: u->typed ? str_eq(m->path, u->typed) || (str_starts(m->path, u->typed) && str_eq(m->path + strlen(u->typed), "/"))
			: m->is_ours || (u->verb == ALL_OFF && u->force && !m->is_foreground);
		if (meant)
			l->p[n++] = *m;
	}
	return n;
}

static int off(struct pub *u)
{
	struct list l = {0};
	struct why why = {0};
	load(u, &l);
	int all = l.n, n = choose(u, &l);
	if (u->verb == OFF && !u->typed && n > 1) {
		why_set(&why, R_USAGE, "%d of ours are published: which one?", n);
		why_hint(&why, "ts-serve --off PORT, or ts-serve --all-off");
		die_why(&why);
	}
	if (!n) {
		say("nothing to take off%s", all && !u->typed ? ": nothing of it is ours" : "");
		return EXIT_DONE;
	}
	for (int i = 0; i < n; i++) {
		char url[MAP_HOST + MAP_PATH + 32];
		if (l.p[i].is_foreground || (!l.p[i].is_ours && !u->force)) {
			int is_session = l.p[i].is_foreground;
			why_set(&why, R_PORT_TAKEN, "%s is not ours%s", mapping_url(&l.p[i], url, sizeof url),
				is_session ? ": a session, which only its own end takes off" : "");
			if (!is_session)
				why_hint(&why, "to take it off all the same, add -f");
			die_why(&why);
		}
		verbose("taking off %s", mapping_url(&l.p[i], url, sizeof url));
	}
	if (serve_withdraw(&u->serve, l.p, n, u->force, u->deadline, &why) < 0)
		die_why(&why);
	return EXIT_DONE;
}

/* ---- the certificate ---- */

struct waiting { int stop; const char *name; };

static void *tell(void *arg)
{
	const struct waiting *w = arg;
	struct pollfd p = {.fd = w->stop, .events = POLLIN};
	long long began = clock_ms();
	for (int ms = TELL_FIRST_MS; poll(&p, 1, ms) == 0; ms = TELL_MS)
		say("waiting for the certificate of %s (%lld s; the first one takes up to a minute)", w->name, (clock_ms() - began) / 1000);
	return NULL;
}

/* LocalAPI answers when it is there, so somebody else has to say that we wait. */
static int get_certificate(struct pub *u, long long deadline, struct why *why)
{
	struct waiting w = {eventfd(0, EFD_CLOEXEC), u->st.dns_name};
	pthread_t thread;
	int runs = w.stop >= 0 && proc_thread(&thread, tell, &w) == 0;
	int rc = localapi_cert(&u->node.api, u->st.dns_name, deadline, why);
	if (runs) {
		(void)!write(w.stop, &(unsigned long long){1}, 8);
		pthread_join(thread, NULL);
	}
	if (w.stop >= 0)
		close(w.stop);
	return rc;
}

static int https_off(struct why *why)
{
	why_set(why, R_HTTPS_OFF, "the tailnet gives this node no certificate");
	return why_hint(why, "enable HTTPS Certificates at https://login.tailscale.com/admin/dns");
}

/* ---- the ladder ---- */

static void tell_lost(const struct why *why)
{
	warn_why(why);
}

static void release(struct pub *u)
{
	struct why why = {0};
	if (u->has_hold && serve_release(&u->serve, u->map.port, &u->hold, &why) < 0)
		warn_why(&why);
	u->has_hold = 0;
}

/* Publishes it in this form and asks for it; one that does not answer is taken back. */
static int attempt(struct pub *u, enum map_kind kind, int port, struct why *why)
{
	struct mapping *m = &u->map;
	char url[MAP_HOST + MAP_PATH + 32];
	int status;
	m->kind = kind;
	m->port = port;
	str_copy(m->host, sizeof m->host, *u->st.dns_name ? u->st.dns_name : u->st.ip4);
	if (u->cmd && !u->has_hold && serve_hold(&u->serve, port, &u->hold, tell_lost, u->deadline, why) < 0)
		return -1;
	u->has_hold = u->cmd != NULL;
	verbose("publishing %s as %s", m->target, mapping_url(m, url, sizeof url));
	int rc = serve_publish(&u->serve, m, u->cmd ? u->hold.session : NULL, u->force, u->deadline, why);
	long long until = clock_ms() + FETCH_MS;
	if (!rc) {
		rc = serve_fetch(&u->serve, m, &status, until, why);
		if (rc > 0)
			say("%s: read back, but not asked for: tailscaled %s does not let a node ask itself", url, u->st.version);
		else if (!rc)
			verbose("%s answers %d", url, status);
		if (!rc && status == 403 && *m->target == '/') {
			why_set(why, R_NO_PERMISSION, "%s: tailscaled may not read it", m->target);
			rc = -1;
		}
		struct why ignored;
		if (rc < 0 && !u->cmd)
			serve_withdraw(&u->serve, m, 1, 1, clock_ms() + FETCH_MS, &ignored);
	}
	if (rc < 0)
		release(u);
	if (!rc && status == 502 && u->listens != 0 && !u->cmd) {
		warn("%s: answers 502: the server behind it does not speak HTTP, or ended the connection", url);
		if (u->strict)
			return why_set(why, R_REFUSED, "%s: answers 502", url);
	}
	return rc < 0 ? -1 : 0;
}

/* The next step of the ladder is of use when this one failed only because of certificates. */
static int is_about_https(enum reason r)
{
	return r == R_HTTPS_OFF || r == R_NO_CERT || r == R_RATE_LIMITED || r == R_CERT_UNTRUSTED || r == R_CLOCK;
}

static int https(struct pub *u, enum map_kind kind, int port, struct why *why)
{
	long long left = clock_left(u->deadline), keep_ms = left / 3 < KEEP_MS ? left / 3 : KEEP_MS;
	if (!u->st.can_https || !*u->st.dns_name)
		return https_off(why);
	if (get_certificate(u, u->deadline - keep_ms, why) < 0)
		return why->reason == R_HTTPS_OFF ? https_off(why) : -1;
	return attempt(u, kind, port, why);
}

/* One that says why, and goes on below it. */
static void step_down(struct pub *u, const char *what, struct why *why)
{
	char msg[sizeof why->msg];
	str_copy(msg, sizeof msg, why->msg);
	str_fmt(why->msg, sizeof why->msg, "%s: %s", what, msg);
	if (u->strict) {
		why->status = EXIT_NO;
		return;
	}
	warn_why(why);
}

static int climb(struct pub *u, struct why *why)
{
	struct mapping *m = &u->map;
	if (m->kind == MAP_TCP)
		return attempt(u, MAP_TCP, m->port, why);
	if (m->kind == MAP_TLS_TCP)
		return https(u, MAP_TLS_TCP, m->port, why);
	if (!u->plain) {
		if (https(u, MAP_HTTPS, u->port ? u->port : 443, why) == 0)
			return 0;
		if (!is_about_https(why->reason))
			return -1;
		step_down(u, "no HTTPS", why);
		if (u->strict)
			return -1;
	}
	if (!*u->st.dns_name)
		return why_set(why, R_UNKNOWN_NAME, "the tailnet gives this node no name to serve HTTP on");
	return attempt(u, MAP_HTTP, u->port ? u->port : 80, why);
}

/* Directories and unix sockets: tailscaled wants more than an operator for them. */
static int name_denied(const struct pub *u, struct why *why)
{
	if (!strstr(why->msg, "must be root"))
		return not_operator(u, why);
	if (*u->map.target != '/' && !str_starts(u->map.target, "unix:")) {
		why_set(why, R_API_DENIED, "a directory or unix socket is published, so tailscaled lets only root change anything, "
			"or an operator who may run sudo tailscale");
		return why_hint(why, "sudo ts-serve %s", u->typed);
	}
	why_set(why, R_API_DENIED, "%.200s: tailscaled serves files and unix sockets only for root, or an operator who may run "
		"sudo tailscale", u->map.target);
	if (u->node.is_ws)
		return why_hint(why, "serve it from a port: python3 -m http.server --bind 127.0.0.1 8000, and ts-serve 8000");
	return why_hint(why, "sudo ts-serve %s", u->typed);
}

static int publish(struct pub *u, struct why *why)
{
	if (find_node(u, why) < 0)
		return -1;
	if (localapi_patch(&u->node.api, "{}", u->deadline, why) < 0)
		return why->reason == R_API_DENIED ? not_operator(u, why) : -1;
	if (serve_check(&u->serve, &u->map, &u->listens, u->deadline, why) < 0)
		return -1;
	if (!u->listens && !u->cmd) {
		if (u->strict)
			return why_set(why, R_REFUSED, "%s: nothing listens there", u->typed);
		warn("%s: nothing listens there yet; whoever %s until something does", u->typed,
			mapping_is_web(u->map.kind) ? "asks gets 502" : "connects is cut off");
	}
	int rc = climb(u, why);
	return rc < 0 && why->reason == R_API_DENIED ? name_denied(u, why) : rc;
}

/* ---- what comes of it ---- */

/* Not on the tailnet, for a reason that lies in the node and not in what was typed. */
static int is_local_then(enum reason r)
{
	switch (r) {
	case R_NO_NODE: case R_NOT_UP: case R_LOGIN: case R_APPROVAL: case R_LOCK_UNSIGNED: case R_NO_PATH: case R_API_DENIED:
	case R_INBOUND_CLOSED: case R_HTTPS_OFF: case R_NO_CERT: case R_RATE_LIMITED: case R_CERT_UNTRUSTED: case R_CLOCK: case R_UNKNOWN_NAME:
	case R_TAILSCALED_HUNG: case R_LOST: case R_DEADLINE: case R_SOCKET_DENIED:
		return 1;
	default:
		return 0;
	}
}

static int fail(struct pub *u, struct why *why)
{
	if (u->out.mode == REC_JSON) {
		rec_begin(&u->out);
		rec_str(&u->out, "target", u->map.target);
		rec_str(&u->out, "reason", reason_word(why->reason));
		rec_str(&u->out, "error", why->msg);
		rec_end(&u->out);
	}
	int status = warn_why(why);
	return u->cmd ? EXIT_CMD : status;
}

static void print(struct pub *u, const char *url, const char *kind)
{
	rec_begin(&u->out);
	rec_str(&u->out, "url", url);
	rec_str(&u->out, "kind", kind);
	rec_str(&u->out, "target", u->map.target);
	rec_end(&u->out);
	fflush(stdout);
}

static int run_command(struct pub *u, const char *url)
{
	struct why why = {0};
	struct proc_cmd cmd = {.argv = u->cmd, .watch = -1};
	setenv("MOORBOX_URL", url, 1);
	if (u->node.is_ws)
		setenv("MOORBOX_WORKSPACE", u->node.name, 1);
	cmd.env = environ;
	int status = proc_run(&cmd, &why);
	release(u);
	return status < 0 ? warn_why(&why) : status;
}

static int only_here(struct pub *u, struct why *why)
{
	const char *url = u->map.target;
	int has_server = str_starts(url, "http") || !mapping_is_web(u->map.kind);
	if (u->strict || (!u->local_ok && why->reason == R_INBOUND_CLOSED))
		return fail(u, why);
	step_down(u, "not on the tailnet", why);
	if (!u->local_ok || !has_server) {
		why_set(why, R_NOT_PUBLISHED, has_server ? "%s is on this machine only" : "%s is not published", url);
		return fail(u, why);
	}
	if (u->cmd) {
		if (u->out.mode == REC_JSON)
			print(u, url, "local");
		return run_command(u, url);
	}
	print(u, url, "local");
	return EXIT_DONE;
}

/* A17: a header that tailscaled sets is one that others can set too, where they reach the port by another way. */
static void warn_gullible(struct pub *u)
{
	const struct ws_spec *spec = u->node.is_ws ? &u->node.ws.spec : NULL;
	int port = target_port(&u->map), raw = !u->st.tun && (!spec || spec->inbound == WS_IN_ALL);
	if (u->listens != 1 || u->cmd || !port || !str_starts(u->map.target, "http://127.0.0.1:"))
		return;
	for (int i = 0; spec && spec->inbound == WS_IN_PORTS && i < spec->nports; i++)
		raw |= spec->ports[i] == port;
	if (!serve_is_gullible(port, "/", clock_ms() + ASK_MS))
		return;
	warn("%d: the app seems to believe Tailscale-User-Login from whoever connects to it: every program here%s can pose as any user",
		port, raw ? ", and every node of the tailnet by asking that port itself," : "");
}

int ts_serve_main(char **argv)
{
	static struct pub u;
	struct why why = {0};
	char url[MAP_HOST + MAP_PATH + 32];
	options(&u, argv);
	signal(SIGPIPE, SIG_IGN);
	switch (u.verb) {
	case LIST: return list(&u);
	case OFF: case ALL_OFF: return off(&u);
	case MAKE_OPERATOR: return make_operator(&u);
	default: break;
	}
	if (publish(&u, &why) < 0)
		return is_local_then(why.reason) ? only_here(&u, &why) : fail(&u, &why);
	warn_gullible(&u);
	mapping_url(&u.map, url, sizeof url);
	if (!u.cmd) {
		print(&u, url, mapping_kind(u.map.kind));
		return EXIT_DONE;
	}
	if (u.out.mode == REC_JSON)
		print(&u, url, mapping_kind(u.map.kind));
	else
		say("%s", url);
	return run_command(&u, url);
}
