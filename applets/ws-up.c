/* ws-up - bring a workspace onto the tailnet under its own hostname
 *
 * usage: ws-up [-jqv] [-k SRC] [-t DUR] [-i PORTS] [--ready HOST:PORT]... [OPTION]... NAME
 * usage: ws-up [OPTION]... NAME -- CMD [ARG]...
 *
 * -k, --key SRC  auth key to join with: env:NAME, file:PATH, fd:N or - (stdin); or what mints one: oauth:SRC, wif:SOURCE
 * -t, --timeout DUR  give up after DUR: 30, 15m, 1h (default 60 s; 10 min with --login)
 * -i, --inbound PORTS  what of this machine's loopback the tailnet may reach: none (default), all, or TCP ports such as
 *   22,3000-3010
 * --ready HOST:PORT  up means that this port of the tailnet answers as well; may be repeated
 * --keep  keep the node registered while it is stopped; its state stays on disk
 * --ephemeral  the opposite, and the default: the node goes when the workspace goes
 * --tag TAG  tag the node; may be repeated
 * --prefix TEXT  put TEXT before NAME to make the host name
 * --login-server URL  control server, if not Tailscale's own
 * --login  without a key: show a URL to log in at, and wait for it
 * --any-name  accept another host name (NAME-1) when NAME is taken
 * --restart  when it is up with other options: down, then up
 * --derp-port N  with -i PORTS: TCP port of a relay (DERP) that is not at 443; may be repeated
 * --accept-routes  use the subnet routes that other nodes offer
 * --serve-dir DIR  let the confined tailscaled read DIR, to serve it later; may be repeated
 * --socks ADDR:PORT  let tailscaled offer a SOCKS5 proxy there
 * --http ADDR:PORT  let tailscaled offer an HTTP proxy there
 * --tun  use a TUN device instead of userspace networking (needs root)
 * --netns WHERE  whose ports: container:NAME (docker, podman), pid:N or the path of a network namespace; or here, the default
 * --isolate  a network namespace of the workspace's own, with pasta as its way out: CMD and what ws-run starts are in it, so that
 *   each workspace can have a port 3000; with -i PORTS, those of this machine's loopback are brought in
 * --clone URL  clone a git repository into the workspace's src, where ws-run runs; one that is there is left as it is
 * --depth N  with --clone: only the last N commits
 * --ssh  turn Tailscale SSH on; needs -i all and goes without confinement
 * --logs  let tailscaled upload its log to Tailscale
 * --optional  with CMD: run it even if there is no key, or the config says enabled: false
 * --ca FILE  also trust the CA certificates in FILE (PEM): control's, or those of a proxy that opens TLS; tailscaled gets it too
 * --api SRC  API credential (env:NAME, file:PATH, fd:N, -, oauth:SRC, wif:SOURCE): removes a dead node of ours that
 *   still has the name, and tells why a key is refused
 * -j, --json  print a JSON line
 * -q, --quiet  print nothing but errors
 * -v, --verbose  say each step
 *
 * Starts a tailscaled of the workspace's own, joins, and prints one record: name, host name, DNS name, IP address, mode.
 * Up already: the same record, at once; options that are not given stay as they were. The node is ephemeral: ws-down, or its
 * end, removes it from the tailnet; --keep makes one that rejoins with the same identity and needs no key then.
 *
 * Without -i nothing comes in. -i PORTS opens just those TCP ports of 127.0.0.1, held to by Landlock, or else pasta; -i all opens
 * every TCP and UDP port of it, and says which are listening. tailscaled is confined: it writes below its own directory only.
 *
 * With --netns tailscaled, and CMD, join the network namespace of a running container or process from outside; nothing is needed in its
 * image. What listens there is open to the tailnet unless -i says otherwise. When the container was restarted, ws-up NAME again
 * puts the workspace into it again. This takes root, or a rootless container of one's own.
 *
 * With --isolate it is a fresh network namespace, made and left without root, so that ten workspaces can each have a port 3000 on one
 * machine. CMD, and what ws-run starts, is in it; all of what listens there on 127.0.0.1 is open to the tailnet unless -i none says
 * otherwise. With -i PORTS those TCP ports of this machine's loopback are brought into it. Its way out is the program pasta (of
 * passt), through which this machine's loopback is reached at 10.213.97.1 (MOORBOX_HOST in CMD's environment). When pasta was killed
 * the workspace is an orphan, and ws-up NAME again mends it. Where -i PORTS without --isolate cannot be held to by Landlock, it is
 * held to in this way, if pasta is here: but then CMD runs outside.
 *
 * With CMD the workspace is up while CMD runs, and taken down when it ends; one that was up before is left up. CMD finds its name
 * in MOORBOX_WORKSPACE; with --clone it runs in the repository.
 *
 * A job need not hold a long-lived key: with -k oauth:env:NAME an OAuth client's secret, with -k wif:github the job's own identity
 * (gitlab, buildkite, circleci, gcp, kubernetes, auto, or a token as wif:file:PATH; TS_CLIENT_ID names the federated identity)
 * mints a one-off key of ten minutes, with the --tag asked for or else the client's own.
 *
 * exit: 0 up; or CMD's own status
 *   1  not up: the reason is named, nothing of the attempt is left
 *   2  usage
 *   3  not yet: the same call may work later; a node that waits for a login, an approval or a signature stays and waits
 *   125  with CMD: not up, so CMD did not run
 * env:
 *   TS_AUTHKEY  auth key, or file:PATH (TS_AUTH_KEY and PERRY_TAILSCALE_AUTH_KEY too)
 *   TS_CLIENT_ID  OAuth or federated client that mints the key, with one of:
 *   TS_CLIENT_SECRET  its secret, or file:PATH
 *   TS_ID_TOKEN  an identity token, or file:PATH
 *   TS_AUDIENCE  audience of the identity token that this machine or job is asked for
 *   TS_LOGIN_SERVER  control server
 *   TS_HOSTNAME  the whole host name, instead of prefix and NAME
 *   TS_STATE_DIR  tailscaled's state directory
 *   TS_SOCKET  tailscaled's socket
 *   MOORBOX_TAILSCALED  the tailscaled to start
 *   MOORBOX_PASS_ENV  names of variables to hand on to tailscaled, comma between them
 *   MOORBOX_STATE  where workspaces are kept
 *   MOORBOX_CONFIG  config file
 *   MOORBOX_API  URL of the control server's API, if not the usual one
 * files:
 *   ~/.config/moorbox/config.json  {"tailscale": {"authKey", "clientId", "audience", "hostnamePrefix", "loginServer", "tags",
 *     "ephemeral", "enabled"}}
 * example: TS_AUTHKEY=tskey-auth-... ws-up -i 3000 myproject
 * example: ws-up --isolate web -- npm run dev
 * example: ws-up -k file:key ci-42 -- ./run-tests
 * example: TS_CLIENT_ID=... ws-up -k wif:github --tag tag:ci ci-42 -- ./run-tests
 * see: ws-down ws-ls ws-log ws-run ts-nc ts-info
 */
#include "api_device.h"
#include "api_key.h"
#include "api_open.h"
#include "clock.h"
#include "clone.h"
#include "daemon.h"
#include "err.h"
#include "file.h"
#include "http.h"
#include "inbound.h"
#include "isolate.h"
#include "join.h"
#include "key.h"
#include "lease.h"
#include "leave.h"
#include "mint.h"
#include "name.h"
#include "opts/ws-up.h"
#include "probe.h"
#include "proc.h"
#include "reach.h"
#include "rec.h"
#include "secret.h"
#include "settings.h"
#include "spec.h"
#include "target.h"
#include "str.h"
#include "workspace.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READY_MAX = 16, UNDO_MS = 5000, NEEDS_MAX = WS_DERPS + 4 };

extern char **environ;

struct up {
	struct settings set;
	struct ws_spec spec;		/* what is asked for now */
	const char *key_src, *api_src;
	const char *clone;		/* URL */
	int depth, cloned;
	struct secret credential;	/* what api_src gives */
	struct api_who who;		/* the same, taken by free_name */
	const char *ready[READY_MAX];
	int nready;
	int login, restart, optional;
	unsigned told;			/* which options of spec were given: TOLD_ */
	char **cmd;
	long long deadline;
	struct rec out;

	struct target target;		/* of spec.netns */
	int has_target;
	struct ws_root root;
	struct ws ws;
	struct daemon daemon;
	struct node_status st;
	struct mint mint;		/* where the key comes from */
	int needs[NEEDS_MAX], nneeds;
	struct lease_write lease;
	int noted;			/* what control gave us is recorded */
	int refused;			/* it did not end by a signal or the deadline */
	int found_up;			/* it was up before us */
	int rejoins;			/* a kept node, whose host name may have been another */
};

static void tell(const char *text, void *ctx)
{
	(void)ctx;
	say("%s", text);
}

/* ---- what is asked ---- */

static void fine(int rc, const struct why *why)
{
	if (rc < 0)
		opt_usage("%s", why->msg);
}

static void add_ready(struct up *u, const char *val)
{
	char copy[300], *host;
	int port;
	if (str_copy(copy, sizeof copy, val) < 0 || str_host_port(copy, &host, &port) < 0)
		opt_usage("--ready %s: not HOST:PORT", val);
	if (u->nready == READY_MAX)
		opt_usage("--ready: more than %d", READY_MAX);
	u->ready[u->nready++] = val;
}

/* Even where it is not needed: it was seen. */
static void refuse_literal(const char *src)
{
	struct secret unused;
	struct why why;
	if (src && !str_starts(src, "env:") && !str_starts(src, "file:") && secret_looks_literal(src) && secret_get(&unused, src, &why) < 0)
		die_why(&why);
}

static void options(struct up *u, char **argv, const char **name)
{
	struct why why;
	long long wait = 0;
	const char *inbound = NULL, *prefix = NULL, *server = NULL;
	struct opt o = opt_start(argv, opts);
	if (settings_load(&u->set, &why) < 0)
		die_why(&why);
	if (u->set.config_mode)
		warn("%s: others can read the secret in it (mode %04o); chmod 600 it", u->set.config, u->set.config_mode);
	u->spec.keep = u->set.ephemeral == 0;
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'k': u->key_src = o.val; break;
		case 't': wait = opt_dur(&o); break;
		case 'i': inbound = o.val; break;
		case 'j': u->out.mode = REC_JSON; break;
		case 'q': u->out.mode = REC_NONE; break;
		case 'v': break;
		case OPT_READY: add_ready(u, o.val); break;
		case OPT_KEEP: u->spec.keep = 1; u->told |= TOLD_KEEP; break;
		case OPT_EPHEMERAL: u->spec.keep = 0; u->told |= TOLD_KEEP; break;
		case OPT_TAG:
			if (!(u->told & TOLD_TAGS))
				u->set.ntags = 0;	/* options replace what the config says */
			u->told |= TOLD_TAGS;
			if (settings_tag(&u->set, o.val, &why) < 0)
				die_why(&why);
			break;
		case OPT_PREFIX: prefix = o.val; break;
		case OPT_LOGIN_SERVER: server = o.val; break;
		case OPT_LOGIN: u->login = 1; break;
		case OPT_ANY_NAME: u->spec.any_name = 1; u->told |= TOLD_ANY_NAME; break;
		case OPT_RESTART: u->restart = 1; break;
		case OPT_DERP_PORT:
			if (u->spec.nderp == WS_DERPS)
				opt_usage("--derp-port: more than %d", WS_DERPS);
			u->spec.derp[u->spec.nderp++] = opt_num(&o, 1, 65535);
			u->told |= TOLD_DERP;
			break;
		case OPT_ACCEPT_ROUTES: u->spec.accept_routes = 1; u->told |= TOLD_ROUTES; break;
		case OPT_SERVE_DIR: fine(spec_serve_dir(&u->spec, o.val, &why), &why); break;
		case OPT_SOCKS: fine(spec_address("--socks", o.val, u->spec.socks, sizeof u->spec.socks, &why), &why); u->told |= TOLD_SOCKS; break;
		case OPT_HTTP: fine(spec_address("--http", o.val, u->spec.http, sizeof u->spec.http, &why), &why); u->told |= TOLD_HTTP; break;
		case OPT_TUN: u->spec.tun = 1; u->told |= TOLD_TUN; break;
		case OPT_NETNS:
			if (str_copy(u->spec.netns, sizeof u->spec.netns, o.val) < 0)
				opt_usage("--netns: too long");
			u->told |= TOLD_NETNS;
			break;
		case OPT_ISOLATE: u->spec.isolate = 1; u->told |= TOLD_ISOLATE; break;
		case OPT_CLONE: u->clone = o.val; break;
		case OPT_DEPTH: u->depth = opt_num(&o, 1, 1000000000); break;
		case OPT_SSH: u->spec.ssh = 1; u->told |= TOLD_SSH; break;
		case OPT_LOGS: u->spec.logs = 1; u->told |= TOLD_LOGS; break;
		case OPT_OPTIONAL: u->optional = 1; break;
		case OPT_CA: setenv("TS_CA_FILE", o.val, 1); break;	/* it stands before all others */
		case OPT_API: u->api_src = o.val; break;
		}
	refuse_literal(u->key_src);
	refuse_literal(u->api_src);
	opt_want(&o, 1, 1);
	if (o.cmd && !*o.cmd)
		opt_usage("a command is missing after --");
	if (u->depth && !u->clone)
		opt_usage("--depth goes with --clone");
	if (u->clone && !*u->clone)
		opt_usage("--clone: no URL");
	if (u->optional && !o.cmd)
		opt_usage("--optional goes with a command after --");
	*name = o.operands[0];
	u->cmd = o.cmd;
	u->deadline = clock_ms() + (wait ? wait : u->login ? 600000 : 60000);
	if (inbound && inbound_parse(inbound, &u->spec, &why) < 0)
		opt_usage("%s", why.msg);
	if (inbound)
		u->told |= TOLD_INBOUND;
	if (server || *u->set.login_server)
		u->told |= TOLD_CONTROL;
	if (u->set.ntags)
		u->told |= TOLD_TAGS;
	if (prefix && str_copy(u->set.prefix, sizeof u->set.prefix, prefix) < 0)
		opt_usage("--prefix: too long");
	if (settings_control(server ? server : *u->set.login_server ? u->set.login_server : SETTINGS_CONTROL,
			u->spec.control, sizeof u->spec.control, &why) < 0)
		opt_usage("%s", why.msg);
	for (int i = 0; i < u->set.ntags; i++)
		str_copy(u->spec.tags[i], sizeof u->spec.tags[i], u->set.tags[i]);
	u->spec.ntags = u->set.ntags;
	str_copy(u->spec.node_dir, sizeof u->spec.node_dir, u->set.node_dir);
	str_copy(u->spec.socket, sizeof u->spec.socket, u->set.socket);
}

static void names(struct up *u, const char *name, char clean[static WS_LABEL])
{
	struct why why;
	if (ws_clean_name(name, clean, &why) < 0)
		die_why(&why);
	err_subject = clean;
	if (spec_hostname(&u->spec, u->set.hostname, u->set.prefix, clean, &why) < 0)
		die_why(&why);
}

/* ---- what is there ---- */

static int tidy(struct up *u, int forget, struct why *why)
{
	struct leave l = {.forget = forget, .force = 1, .refused = u->refused};
	long long patient = clock_ms() + UNDO_MS;
	return leave_run(&u->root, &u->ws, &l, patient, why);
}

/* No answer of the control server can be on its way that would make a node of the attempt. */
static int is_unheard(const struct why *why)
{
	return why->reason == R_CONTROL_DNS || why->reason == R_CONTROL_REFUSED || why->reason == R_CONTROL_PROXY;
}

/* After a failure: the daemon that we started is ended, and nothing of the attempt stays behind. */
static void undo(struct up *u, int was_kept, const struct why *why)
{
	struct why ignored;
	if (u->found_up)
		return;
	u->refused = !clock_passed(u->deadline) || (is_unheard(why) && !clock_cancelled());
	clock_uncancel();
	if (was_kept && u->spec.keep) {
		struct leave stop = {0};
		leave_run(&u->root, &u->ws, &stop, clock_ms() + UNDO_MS, &ignored);
	} else {
		if (u->cloned)
			file_remove_tree(u->ws.dir, "src", &ignored);
		tidy(u, 1, &ignored);
	}
}

/* A daemon that waits for somebody is left to wait, unless a signal asked for its end. */
static int waits(const struct why *why)
{
	return (why->reason == R_APPROVAL || why->reason == R_LOGIN || why->reason == R_LOCK_UNSIGNED) && !clock_cancelled();
}

/* ---- the record ---- */

static void print(struct up *u)
{
	struct rec *r = &u->out;
	rec_begin(r);
	rec_str(r, "name", u->ws.name);
	rec_str(r, "hostname", u->ws.spec.hostname);
	rec_str(r, "dns-name", *u->st.dns_name ? u->st.dns_name : NULL);
	rec_str(r, "ip", *u->st.ip4 ? u->st.ip4 : *u->st.ip6 ? u->st.ip6 : NULL);
	rec_str(r, "mode", u->st.tun ? "tun" : "userspace");
	if (r->mode == REC_JSON) {
		rec_str(r, "inbound", u->ws.run.inbound);
		rec_bool(r, "confined", u->ws.run.confined);
		rec_str(r, "socket", u->daemon.api.dir < 0 ? u->daemon.api.path : NULL);
		rec_str(r, "version", u->st.version);
	}
	rec_end(r);
	rec_finish(r);
	fflush(stdout);
}

/* With -j a failure is a record as well; its message goes to stderr all the same. */
static int fail(struct up *u, const char *name, struct why *why)
{
	if (u->out.mode == REC_JSON) {
		secret_blot(why->msg);
		rec_begin(&u->out);
		rec_str(&u->out, "name", name);
		rec_str(&u->out, "reason", reason_word(why->reason));
		rec_str(&u->out, "error", why->msg);
		rec_end(&u->out);
	}
	int status = warn_why(why);
	return u->cmd ? EXIT_CMD : status;
}

struct open_ports { char text[900]; int n; };

static void add_listener(const char *proto, int port, void *ctx)
{
	struct open_ports *p = ctx;
	size_t n = strlen(p->text);
	if (n < sizeof p->text - 16)
		snprintf(p->text + n, sizeof p->text - n, "%s%s/%d", n ? ", " : "", proto, port);
	p->n++;
}

static void warn_open(const struct ws *ws)
{
	struct open_ports p = {0};
	const char *where = ws->spec.netns;
	inbound_listeners(*where ? ws->run.daemon.pid : 0, add_listener, &p);
	say("-i all: every TCP and UDP port of %s's loopback is open to the tailnet; listening now: %s", *where ? where : "this machine",
		p.n ? p.text : "none");
}

/* ---- up ---- */

static int check_name(struct up *u, struct why *why)
{
	return name_check(&u->root, &u->ws, &u->daemon.api, &u->st, u->deadline, why);
}

static int await_name(struct up *u, struct why *why)
{
	return name_await(&u->ws, &u->daemon.api, &u->st, u->deadline, why);
}

static int note_node(struct up *u, struct why *why)
{
	struct ws *ws = &u->ws;
	str_copy(ws->run.node_id, sizeof ws->run.node_id, u->st.id);
	str_copy(ws->run.dns_name, sizeof ws->run.dns_name, u->st.dns_name);
	str_copy(ws->run.ip, sizeof ws->run.ip, *u->st.ip4 ? u->st.ip4 : u->st.ip6);
	return ws_save_run(ws, why);
}

/* The node has its id and name: the lease is written at once, so that a kill leaves a trace of it. */
static int registered(void *ctx, struct why *why)
{
	struct up *u = ctx;
	u->noted = 1;
	if (u->rejoins && await_name(u, why) < 0)
		return -1;
	return note_node(u, why) < 0 || check_name(u, why) < 0 ? -1 : lease_add(&u->root, &u->ws, &u->lease, why);
}

static int open_inbound(struct up *u, struct why *why)
{
	struct ws *ws = &u->ws;
	const struct localapi *api = &u->daemon.api;
	if (ws->spec.inbound == WS_IN_NONE)
		return 0;
	if (ws->spec.inbound == WS_IN_PORTS && !ws->run.pasta.pid && !probe_proxy(ws->spec.control)) {
		int seen[WS_DERPS], n = 0, rc = inbound_check_derp(api, &ws->spec, seen, &n, u->deadline, why);
		struct why ignored;
		if (n > 0)
			ws_derp_remember(&u->root, ws->spec.control, seen, n, &ignored);
		if (rc < 0)
			return -1;
	}
	return inbound_open(api, &ws->spec, u->needs, u->nneeds, u->deadline, why);
}

/* Tailscale SSH is the policy's to give: without its leave tailscaled refuses every change of its preferences. */
static int check_ssh(struct up *u, struct why *why)
{
	if (!u->st.can_ssh && localapi_status(&u->daemon.api, &u->st, u->deadline, why) < 0)
		return -1;
	const char *tag = *u->st.tags ? u->st.tags : "TAG";
	if (!u->st.can_ssh) {
		why_set(why, R_SSH_DENIED, "the tailnet's policy has no Tailscale SSH for this node");
		return why_hint(why, "ts-acl --ssh %.*s WHO prints what to add to the policy", (int)strcspn(tag, ","), tag);
	}
	if (strstr(u->st.health, "Tailscale SSH enabled, but"))
		say("--ssh: the policy lets nobody in yet; ts-acl --ssh %.*s WHO prints what to add to it", (int)strcspn(tag, ","), tag);
	return 0;
}

static int wait_ready(struct up *u, struct why *why)
{
	for (int i = 0; i < u->nready; i++) {
		char copy[300], *host;
		int port;
		str_copy(copy, sizeof copy, u->ready[i]);
		str_host_port(copy, &host, &port);
		verbose("waiting for %s", u->ready[i]);
		if (reach_wait(&u->daemon.api, host, port, u->deadline, why) < 0)
			return -1;
	}
	return 0;
}

/* From Running to up. The shields are lowered last. */
static int finish(struct up *u, struct why *why)
{
	struct ws *ws = &u->ws;
	if ((!u->noted && registered(u, why) < 0) || (ws->spec.ssh && check_ssh(u, why) < 0) || open_inbound(u, why) < 0)
		return -1;
	ws->run.phase = WS_UP;
	if (ws_save_run(ws, why) < 0 || lease_settle(&u->lease, why) < 0 || wait_ready(u, why) < 0)
		return -1;
	if (ws->spec.inbound == WS_IN_ALL && !ws->spec.isolate)
		warn_open(ws);
	return 0;
}

static int join(struct up *u, const char *key, int resume, struct why *why)
{
	struct ws *ws = &u->ws;
	const char *tags[WS_TAGS + 1] = {0};
	char control[sizeof ws->spec.control];
	/* a minted key carries them already, and headscale refuses to hear them again */
	for (int i = 0; i < ws->spec.ntags && !u->mint.mints; i++)
		tags[i] = ws->spec.tags[i];
	struct join j = {
		.daemon = &u->daemon, .control = ws->spec.control, .key = key, .interactive = u->login, .resume = resume, .tell = tell,
		.registered = registered, .ctx = u,
		.prefs = {
			.control = daemon_control(ws, control, sizeof control), .hostname = ws->spec.hostname, .tags = tags, .shields_up = 1,
			.ssh = ws->spec.ssh, .accept_routes = ws->spec.accept_routes,
		},
	};
	if (!u->found_up) {
		ws->run.phase = WS_JOINING;
		if (ws_save_run(ws, why) < 0)
			return -1;
	}
	verbose("joining %s as %s", ws->spec.control, ws->spec.hostname);
	return join_run(&j, &u->st, u->deadline, why);
}

/* A node of ours that died is removed by the API before its name is asked for again. */
static int free_name(struct up *u, struct why *why)
{
	char id[64];
	struct api api;
	if (!u->api_src || api_who_take(&u->who, u->api_src, &u->set, &u->credential, u->mint.src, &u->mint.given, why) < 0)
		return u->api_src ? -1 : 0;
	if (lease_find(&u->root, u->spec.control, u->spec.hostname, id, why) != 1)
		return 0;
	if (api_open(&api, &u->who, u->spec.control, u->deadline, why) < 0)
		return -1;
	verbose("removing the dead node %s", id);
	int rc = api_delete_ours(&api, id, u->spec.hostname, u->deadline, why);
	api_close(&api);
	return rc < 0 ? -1 : lease_drop(&u->root, u->spec.control, id, why);
}

/* What was minted lives just long enough to be used. */
static int get_key(struct up *u, struct secret *key, struct why *why)
{
	enum { LIFE_S = 600 };
	char note[51] = "moorbox ";
	const char *tags[WS_TAGS + 1] = {0};
	for (int i = 0; i < u->ws.spec.ntags; i++)
		tags[i] = u->ws.spec.tags[i];
	str_copy(note + 8, sizeof note - 8, u->ws.name);
	struct api_mint want = {
		.tags = tags, .ephemeral = !u->ws.spec.keep, .preauthorized = 1, .expiry_s = LIFE_S, .description = note,
	};
	if (u->mint.mints)
		verbose("minting a key by %.*s", (int)strcspn(u->mint.src, ":"), u->mint.src);
	return mint_key(&u->mint, &want, u->ws.spec.control, key, u->deadline, why);
}

/* The relay's ports are known only now, and what tailscaled may reach is fixed when it starts. One whose state is on disk is
 * the same node after a new start, and needs no key for it. */
static int join_again(struct up *u, struct why *why)
{
	struct ws *ws = &u->ws;
	struct leave stop = {0};
	verbose("%s; starting tailscaled anew with it", why->msg);
	if (lease_settle(&u->lease, why) < 0 || leave_run(&u->root, ws, &stop, clock_ms() + UNDO_MS, why) < 0)
		return -1;
	ws->spec.nderp = ws_derp_recall(&u->root, ws->spec.control, ws->spec.derp, WS_DERPS);
	u->nneeds = inbound_needs(&ws->spec, probe_proxy(ws->spec.control), u->needs, NEEDS_MAX);
	u->noted = 0;
	if (ws_save_spec(ws, why) < 0
		|| daemon_start(&u->root, ws, u->has_target ? &u->target : NULL, u->needs, u->nneeds, &u->daemon, &u->st, u->deadline, why) < 0)
		return -1;
	return join(u, NULL, 0, why) < 0 ? -1 : finish(u, why);
}

/* The control server only says that it does not take the key; with access the API knows why, and since when. */
static void explain_key(struct up *u, const struct secret *key, struct why *why)
{
	struct key shape;
	struct api api;
	struct api_key info;
	struct why ignored, state;
	long long deadline = clock_ms() + UNDO_MS;
	if (!u->who.src || key_shape(key->p, key->len, &shape, &ignored) < 0 || !*shape.id || shape.headscale
		|| api_open(&api, &u->who, u->spec.control, deadline, &ignored) < 0)
		return;
	if (api_key_get(&api, shape.id, &info, deadline, &ignored) == 0 && api_key_usable(&info, &state) < 0)
		*why = state;
	api_close(&api);
}

static int fresh(struct up *u, struct why *why)
{
	struct ws *ws = &u->ws;
	struct secret key = {0};
	int was_kept = ws->has_spec && ws->spec.keep && u->spec.keep;
	char proxy[300];
	u->rejoins = was_kept && !str_eq(ws->spec.hostname, u->spec.hostname);
	ws->spec = u->spec;
	if (ws->spec.inbound == WS_IN_PORTS && !ws->spec.nderp)
		ws->spec.nderp = ws_derp_recall(&u->root, ws->spec.control, ws->spec.derp, WS_DERPS);
	u->nneeds = inbound_needs(&ws->spec, probe_proxy(ws->spec.control), u->needs, NEEDS_MAX);
	if (probe_proxy(ws->spec.control))
		verbose("the control server is reached through the proxy %s",
			http_redact_url(proxy, sizeof proxy, probe_proxy(ws->spec.control)));
	/* a kept node that is logged in needs no key; then a missing one is no error */
	int asked = !u->login || u->key_src;
	int key_rc = asked ? mint_take(&u->mint, &u->set, u->key_src, ws->spec.control, why) : 0;
	int late = was_kept && u->mint.mints;	/* minted only when it is needed */
	if (!key_rc && asked && !late)
		key_rc = get_key(u, &key, why);
	if (key_rc < 0 && !(was_kept && why->reason == R_NO_KEY)) {
		mint_free(&u->mint);
		undo(u, was_kept, why);
		return -1;
	}
	int rc = daemon_check_shared(&u->root, ws, why);
	if (!rc)
		rc = free_name(u, why);
	if (!rc)
		rc = ws_save_spec(ws, why);
	if (!rc)
		rc = daemon_start(&u->root, ws, u->has_target ? &u->target : NULL, u->needs, u->nneeds, &u->daemon, &u->st, u->deadline, why);
	if (!rc) {
		verbose("tailscaled %s runs, pid %d%s", ws->run.version, ws->run.daemon.pid, ws->run.confined ? ", confined" : "");
		rc = join(u, key.p, 0, why);
		if (rc < 0 && late && why->reason == R_NO_KEY && get_key(u, &key, why) == 0)
			rc = join(u, key.p, 0, why);
	}
	if (rc < 0 && why->reason == R_KEY_REFUSED)
		explain_key(u, &key, why);
	secret_free(&key);
	if (!rc)
		rc = finish(u, why);
	if (rc < 0 && why->reason == R_DERP_PORT && ws->spec.keep && !(u->told & TOLD_DERP))
		rc = join_again(u, why);
	if (rc < 0 && !waits(why)) {
		mint_undo(&u->mint, clock_ms() + UNDO_MS);
		undo(u, was_kept, why);
	}
	mint_free(&u->mint);
	return rc;
}

/* Live, without a new start: the host name, and whether routes are used. */
static int change(struct up *u, struct why *why)
{
	const struct localapi *api = &u->daemon.api;
	struct ws_spec *s = &u->ws.spec;
	char patch[256], old[sizeof u->st.dns_name];
	int renamed = !str_eq(s->hostname, u->spec.hostname);
	if (!renamed && s->accept_routes == u->spec.accept_routes)
		return 0;
	str_fmt(patch, sizeof patch, "{\"Hostname\":\"%s\",\"HostnameSet\":true,\"RouteAll\":%s,\"RouteAllSet\":true}",
		u->spec.hostname, u->spec.accept_routes ? "true" : "false");
	if (localapi_patch(api, patch, u->deadline, why) < 0)
		return -1;
	struct ws_spec was = *s;
	str_copy(s->hostname, sizeof s->hostname, u->spec.hostname);
	s->accept_routes = u->spec.accept_routes;
	str_copy(old, sizeof old, u->st.dns_name);
	if (renamed && await_name(u, why) < 0)
		return -1;
	if (renamed && !str_eq(u->st.dns_name, old) && check_name(u, why) < 0) {
		struct why ignored;
		*s = was;
		str_fmt(patch, sizeof patch, "{\"Hostname\":\"%s\",\"HostnameSet\":true}", was.hostname);
		localapi_patch(api, patch, u->deadline, &ignored);
		return -1;
	}
	if (ws_save_spec(&u->ws, why) < 0 || note_node(u, why) < 0 || lease_add(&u->root, &u->ws, &u->lease, why) < 0)
		return -1;
	return lease_settle(&u->lease, why);
}

/* Killed a moment ago: it does not answer any more, and is about to be gone. */
static int is_ending(const struct up *u, const struct why *why)
{
	struct pollfd p = {.fd = u->daemon.pidfd, .events = POLLIN};
	return (why->reason == R_LOST || why->reason == R_NOT_UP) && poll(&p, 1, 1000) > 0;
}

/* Between somebody's login and what comes of it there is a moment with neither a URL nor a state of its own. */
static int settle(struct up *u, struct why *why)
{
	enum { SETTLE_MS = 1500, LOOK_MS = 20 };
	long long until = clock_ms() + SETTLE_MS;
	while (u->ws.run.phase == WS_JOINING && u->st.state == NODE_NEEDS_LOGIN && !*u->st.auth_url && !clock_passed(until)
		&& !clock_passed(u->deadline)) {
		poll(NULL, 0, LOOK_MS);
		if (localapi_status(&u->daemon.api, &u->st, u->deadline, why) < 0)
			return -1;
	}
	return 0;
}

/* One that runs: up already, or waiting, or left half-way by a ws-up that was killed. 1 when it has to be started anew. */
static int resume(struct up *u, struct why *why)
{
	struct ws *ws = &u->ws;
	if (!*ws->run.inbound)
		return 1;	/* its record was lost: how it was started is not known */
	if (daemon_find(&u->root, ws, &u->daemon, why) < 0)
		return why->reason == R_NOT_UP ? 1 : -1;
	if (ws->run.pasta.pid && ws_is_orphan(ws)) {
		verbose("pasta, its way out, is gone: another one is started");
		if (daemon_mend(ws, &u->daemon, u->deadline, why) < 0)
			return -1;
	}
	if (localapi_status(&u->daemon.api, &u->st, clock_left(u->deadline) > 3000 ? clock_ms() + 3000 : u->deadline, why) < 0)
		return u->restart || ws->run.phase != WS_UP || is_ending(u, why) ? 1 : -1;
	const char *option = spec_differs(&u->spec, &ws->spec);
	if (ws_is_orphan(ws)) {
		verbose("its network namespace is gone");
		return 1;
	}
	if (u->restart && option)
		return 1;
	if (option && ws->run.phase == WS_UP) {
		why_set(why, R_DIFFERS, "up already, with another %s", option);
		return why_hint(why, "to apply it, down and up again: ws-up --restart ... %s", ws->name);
	}
	if (settle(u, why) < 0)
		return -1;
	u->found_up = ws->run.phase == WS_UP;
	u->nneeds = inbound_needs(&ws->spec, probe_proxy(ws->spec.control), u->needs, NEEDS_MAX);
	int has_key = u->key_src || *u->set.key_src;	/* one that came after --login was tried */
	int can_wait = u->st.state == NODE_NEEDS_APPROVAL || u->st.state == NODE_STARTING || (*u->st.auth_url && (u->login || !has_key));
	if (option || (u->st.state != NODE_RUNNING && !can_wait))
		return 1;	/* logged out, expired, stopped, or killed before it had joined */
	int rc = u->st.state == NODE_RUNNING && !u->st.locked_out ? 0 : join(u, NULL, 1, why);
	if (u->found_up)
		return rc < 0 || change(u, why) < 0 ? -1 : wait_ready(u, why);
	if (!rc)
		rc = finish(u, why);
	if (rc < 0 && !waits(why))
		undo(u, 1, why);
	return rc;
}

/* Before anything is started. git has its own patience: its time does not count. */
static int get_src(struct up *u, struct why *why)
{
	const char *srcs[4] = {0};
	long long began = clock_ms();
	int n = 0;
	if (u->key_src)
		srcs[n++] = u->key_src;
	if (u->api_src)
		srcs[n++] = u->api_src;
	if (*u->set.key_src)
		srcs[n++] = u->set.key_src;
	ws_restore_src(&u->root, &u->ws);
	if (!u->clone)
		return 0;
	u->cloned = clone_get(&u->ws, u->clone, u->depth, srcs, why);
	if (!u->cloned)
		say("src is there already: not cloned");
	if (!clock_cancelled())
		u->deadline += clock_ms() - began;
	return u->cloned;
}

/* Whose network namespace; our own is none. */
static int find_target(struct up *u, const char *name, struct why *why)
{
	int rc = target_open(u->spec.netns, name, &u->target, u->deadline, why);
	if (rc == 1 && !(u->told & TOLD_NETNS))
		return why_set(why, R_NO_NETNS, "%s: is in this machine's own network namespace now", u->spec.netns);
	if (rc == 1)
		*u->spec.netns = 0;
	u->has_target = rc == 0;
	return rc < 0 ? -1 : 0;
}

/* Before a daemon is started, and before one that runs is ended for it. */
static int prepare_target(struct up *u, const char *name, struct why *why)
{
	if (u->spec.isolate)
		return isolate_check(u->spec.control, probe_proxy(u->spec.control), why);
	if (!*u->spec.netns)
		return 0;
	if (!u->has_target && find_target(u, name, why) < 0)
		return -1;
	return target_check_reach(&u->target, u->spec.control, probe_proxy(u->spec.control), why);
}

static int bring_up(struct up *u, const char *name, struct why *why)
{
	if (*u->spec.netns && find_target(u, name, why) < 0)
		return -1;
	if (spec_has_netns(&u->spec) && !(u->told & TOLD_INBOUND))
		u->spec.inbound = WS_IN_ALL;	/* that is the point of it */
	if (ws_root_open(&u->root, why) < 0)
		return -1;
	if (ws_open(&u->root, name, WS_CREATE | WS_LOCK, u->deadline, &u->ws, why) < 0)
		return -1;
	struct why ignored;
	int alive = ws_alive(&u->ws);
	if (alive < 0)
		return why_set(why, R_ELSEWHERE, "belongs to another machine (%s) that shares this directory", u->ws.run.machine);
	if (u->ws.has_spec && (alive || u->ws.spec.keep))
		spec_inherit(&u->spec, &u->ws.spec, u->told);
	if (spec_check(&u->spec, why) < 0) {
		if (!u->ws.has_spec)
			ws_forget(&u->root, &u->ws, &ignored);
		return -1;
	}
	if (get_src(u, why) < 0) {
		if (!alive && !u->ws.has_spec)
			ws_forget(&u->root, &u->ws, &ignored);
		return -1;
	}
	int rc = alive ? resume(u, why) : 1;
	if (rc == 1) {
		u->found_up = 0;
		if (prepare_target(u, name, why) < 0) {
			if (!alive && !u->ws.has_spec)
				ws_forget(&u->root, &u->ws, &ignored);
			return -1;
		}
		/* a node left behind there shows as [name-held], if it does */
		if (alive && tidy(u, !u->ws.spec.keep || !u->spec.keep, why) < 0 && why->reason != R_LEFT_BEHIND)
			return -1;
		if (alive) {	/* taking it down may have deleted its directory */
			ws_close(&u->ws);
			if (ws_open(&u->root, name, WS_CREATE | WS_LOCK, u->deadline, &u->ws, why) < 0)
				return -1;
			ws_restore_src(&u->root, &u->ws);
		}
		rc = fresh(u, why);
	}
	return rc;
}

/* ---- a command for as long as it lasts ---- */

static int end_command(void *ctx)
{
	(void)ctx;
	return SIGTERM;		/* the daemon is gone: somebody has taken the workspace down */
}

static int run_command(struct up *u, int joined)
{
	struct why why = {0};
	struct netns ns;
	settings_hide_keys();
	if (joined)
		setenv("MOORBOX_WORKSPACE", u->ws.name, 1);
	int apart = joined ? isolate_inside(&u->root, &u->ws, &ns, &why) : 1;
	if (apart < 0) {
		warn_why(&why);
		return EXIT_CMD;
	}
	if (!apart)
		isolate_setenv(&u->ws);
	char src[WS_PATH + 80];
	str_fmt(src, sizeof src, "%s/%s/src", u->root.path, u->ws.name);
	struct proc_cmd cmd = {
		.argv = u->cmd, .env = environ, .cwd = joined && u->clone ? src : NULL, .watch = joined ? u->daemon.pidfd : -1, .ready = end_command,
	};
	if (!apart)
		cmd.enter = netns_enter_cmd, cmd.failed = netns_failed, cmd.where = &ns;
	int status = proc_run(&cmd, &why);
	return status < 0 ? warn_why(&why) : status;
}

static void take_down(struct up *u, const char *name)
{
	struct why why = {0};
	struct leave l = {0};
	struct proc_id ours = u->ws.run.daemon;
	clock_uncancel();	/* another signal must not leave it half-way */
	long long deadline = clock_ms() + 10000;
	if (ws_open(&u->root, name, WS_LOCK, deadline, &u->ws, &why) < 0) {
		if (why.reason != R_NO_WORKSPACE)	/* somebody was quicker */
			warn_why(&why);
		return;
	}
	const struct proc_id *now = &u->ws.run.daemon;
	int same = now->pid == ours.pid && now->start == ours.start;	/* else it was taken down and brought up by somebody else */
	char src[WS_PATH + 80];
	if (u->ws.has_run && same && leave_run(&u->root, &u->ws, &l, deadline, &why) < 0)
		warn_why(&why);
	if (!u->spec.keep && ws_kept_src(&u->root, name, src))
		say("its src is kept in %s; ws-up %s brings it back", src, name);
	ws_close(&u->ws);
}

int ws_up_main(char **argv)
{
	static struct up u;
	struct why why = {0};
	const char *name;
	static char clean[WS_LABEL];	/* named in messages until the very end */
	secret_no_core();
	options(&u, argv, &name);
	names(&u, name, clean);
	signal(SIGPIPE, SIG_IGN);
	if (u.set.disabled) {
		if (u.optional)
			say("not joined: %s says enabled: false", u.set.config);
		else
			why_set(&why, R_DISABLED, "%s says enabled: false", u.set.config);
		return u.optional ? run_command(&u, 0) : fail(&u, clean, &why);
	}
	clock_cancel_on_signals();
	int rc = bring_up(&u, clean, &why), sig = clock_cancelled();
	if (rc < 0 && u.optional && why.reason == R_NO_KEY) {
		clock_default_signals();
		say("not joined: %s", why.msg);
		return run_command(&u, 0);
	}
	int joined = rc >= 0;
	if (sig && (!joined || u.cmd))
		rc = why_set(&why, R_INTERRUPTED, "ended by %s%s", sig == SIGINT ? "SIGINT" : sig == SIGHUP ? "SIGHUP" : "SIGTERM",
			u.found_up ? "" : "; nothing of it is left");
	if (rc >= 0 && !u.cmd) {
		print(&u);
		return EXIT_DONE;
	}
	ws_close(&u.ws);	/* the lock is not held while CMD runs */
	if (rc >= 0 && u.out.mode == REC_JSON)
		print(&u);
	int status = rc >= 0 ? run_command(&u, 1) : EXIT_CMD;
	if (u.cmd && joined && !u.found_up)
		take_down(&u, clean);
	return rc < 0 ? fail(&u, clean, &why) : status;
}
