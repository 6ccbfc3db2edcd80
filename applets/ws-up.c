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
#include "bring.h"
#include "clock.h"
#include "err.h"
#include "inbound.h"
#include "isolate.h"
#include "leave.h"
#include "opts/ws-up.h"
#include "proc.h"
#include "rec.h"
#include "secret.h"
#include "str.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

struct up {
	struct settings set;
	struct bring b;
	int optional;
	char **cmd;
	struct rec out;
};

static void note(enum bring_note kind, const char *text)
{
	if (kind == BRING_TELL)
		say("%s", text);
	else
		verbose("%s", text);
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
	if (u->b.nready == BRING_READY)
		opt_usage("--ready: more than %d", BRING_READY);
	u->b.ready[u->b.nready++] = val;
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
	u->b.spec.keep = u->set.ephemeral == 0;
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'k': u->b.key_src = o.val; break;
		case 't': wait = opt_dur(&o); break;
		case 'i': inbound = o.val; break;
		case 'j': u->out.mode = REC_JSON; break;
		case 'q': u->out.mode = REC_NONE; break;
		case 'v': break;
		case OPT_READY: add_ready(u, o.val); break;
		case OPT_KEEP: u->b.spec.keep = 1; u->b.told |= TOLD_KEEP; break;
		case OPT_EPHEMERAL: u->b.spec.keep = 0; u->b.told |= TOLD_KEEP; break;
		case OPT_TAG:
			if (!(u->b.told & TOLD_TAGS))
				u->set.ntags = 0;	/* options replace what the config says */
			u->b.told |= TOLD_TAGS;
			if (settings_tag(&u->set, o.val, &why) < 0)
				die_why(&why);
			break;
		case OPT_PREFIX: prefix = o.val; break;
		case OPT_LOGIN_SERVER: server = o.val; break;
		case OPT_LOGIN: u->b.login = 1; break;
		case OPT_ANY_NAME: u->b.spec.any_name = 1; u->b.told |= TOLD_ANY_NAME; break;
		case OPT_RESTART: u->b.restart = 1; break;
		case OPT_DERP_PORT:
			if (u->b.spec.nderp == WS_DERPS)
				opt_usage("--derp-port: more than %d", WS_DERPS);
			u->b.spec.derp[u->b.spec.nderp++] = opt_num(&o, 1, 65535);
			u->b.told |= TOLD_DERP;
			break;
		case OPT_ACCEPT_ROUTES: u->b.spec.accept_routes = 1; u->b.told |= TOLD_ROUTES; break;
		case OPT_SERVE_DIR: fine(spec_serve_dir(&u->b.spec, o.val, &why), &why); break;
		case OPT_SOCKS: fine(spec_address("--socks", o.val, u->b.spec.socks, sizeof u->b.spec.socks, &why), &why); u->b.told |= TOLD_SOCKS; break;
		case OPT_HTTP: fine(spec_address("--http", o.val, u->b.spec.http, sizeof u->b.spec.http, &why), &why); u->b.told |= TOLD_HTTP; break;
		case OPT_TUN: u->b.spec.tun = 1; u->b.told |= TOLD_TUN; break;
		case OPT_NETNS:
			if (str_copy(u->b.spec.netns, sizeof u->b.spec.netns, o.val) < 0)
				opt_usage("--netns: too long");
			u->b.told |= TOLD_NETNS;
			break;
		case OPT_ISOLATE: u->b.spec.isolate = 1; u->b.told |= TOLD_ISOLATE; break;
		case OPT_CLONE: u->b.clone = o.val; break;
		case OPT_DEPTH: u->b.depth = opt_num(&o, 1, 1000000000); break;
		case OPT_SSH: u->b.spec.ssh = 1; u->b.told |= TOLD_SSH; break;
		case OPT_LOGS: u->b.spec.logs = 1; u->b.told |= TOLD_LOGS; break;
		case OPT_OPTIONAL: u->optional = 1; break;
		case OPT_CA: setenv("TS_CA_FILE", o.val, 1); break;	/* it stands before all others */
		case OPT_API: u->b.api_src = o.val; break;
		}
	refuse_literal(u->b.key_src);
	refuse_literal(u->b.api_src);
	opt_want(&o, 1, 1);
	if (o.cmd && !*o.cmd)
		opt_usage("a command is missing after --");
	if (u->b.depth && !u->b.clone)
		opt_usage("--depth goes with --clone");
	if (u->b.clone && !*u->b.clone)
		opt_usage("--clone: no URL");
	if (u->optional && !o.cmd)
		opt_usage("--optional goes with a command after --");
	*name = o.operands[0];
	u->cmd = o.cmd;
	u->b.deadline = clock_ms() + (wait ? wait : u->b.login ? 600000 : 60000);
	if (inbound && inbound_parse(inbound, &u->b.spec, &why) < 0)
		opt_usage("%s", why.msg);
	if (inbound)
		u->b.told |= TOLD_INBOUND;
	if (server || *u->set.login_server)
		u->b.told |= TOLD_CONTROL;
	if (u->set.ntags)
		u->b.told |= TOLD_TAGS;
	if (prefix && str_copy(u->set.prefix, sizeof u->set.prefix, prefix) < 0)
		opt_usage("--prefix: too long");
	if (settings_control(server ? server : *u->set.login_server ? u->set.login_server : SETTINGS_CONTROL,
			u->b.spec.control, sizeof u->b.spec.control, &why) < 0)
		opt_usage("%s", why.msg);
	for (int i = 0; i < u->set.ntags; i++)
		str_copy(u->b.spec.tags[i], sizeof u->b.spec.tags[i], u->set.tags[i]);
	u->b.spec.ntags = u->set.ntags;
	str_copy(u->b.spec.node_dir, sizeof u->b.spec.node_dir, u->set.node_dir);
	str_copy(u->b.spec.socket, sizeof u->b.spec.socket, u->set.socket);
}

static void names(struct up *u, const char *name, char clean[static WS_LABEL])
{
	struct why why;
	if (ws_clean_name(name, clean, &why) < 0)
		die_why(&why);
	err_subject = clean;
	if (spec_hostname(&u->b.spec, u->set.hostname, u->set.prefix, clean, &why) < 0)
		die_why(&why);
}

/* ---- the record ---- */

static void print(struct up *u)
{
	struct rec *r = &u->out;
	rec_begin(r);
	rec_str(r, "name", u->b.ws.name);
	rec_str(r, "hostname", u->b.ws.spec.hostname);
	rec_str(r, "dns-name", *u->b.st.dns_name ? u->b.st.dns_name : NULL);
	rec_str(r, "ip", *u->b.st.ip4 ? u->b.st.ip4 : *u->b.st.ip6 ? u->b.st.ip6 : NULL);
	rec_str(r, "mode", u->b.st.tun ? "tun" : "userspace");
	if (r->mode == REC_JSON) {
		rec_str(r, "inbound", u->b.ws.run.inbound);
		rec_bool(r, "confined", u->b.ws.run.confined);
		rec_str(r, "socket", u->b.daemon.api.dir < 0 ? u->b.daemon.api.path : NULL);
		rec_str(r, "version", u->b.st.version);
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
		setenv("MOORBOX_WORKSPACE", u->b.ws.name, 1);
	int apart = joined ? isolate_inside(&u->b.root, &u->b.ws, &ns, &why) : 1;
	if (apart < 0) {
		warn_why(&why);
		return EXIT_CMD;
	}
	if (!apart)
		isolate_setenv(&u->b.ws);
	char src[WS_PATH + 80];
	str_fmt(src, sizeof src, "%s/%s/src", u->b.root.path, u->b.ws.name);
	struct proc_cmd cmd = {
		.argv = u->cmd, .env = environ, .cwd = joined && u->b.clone ? src : NULL, .watch = joined ? u->b.daemon.pidfd : -1, .ready = end_command,
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
	struct proc_id ours = u->b.ws.run.daemon;
	clock_uncancel();	/* another signal must not leave it half-way */
	long long deadline = clock_ms() + 10000;
	if (ws_open(&u->b.root, name, WS_LOCK, deadline, &u->b.ws, &why) < 0) {
		if (why.reason != R_NO_WORKSPACE)	/* somebody was quicker */
			warn_why(&why);
		return;
	}
	const struct proc_id *now = &u->b.ws.run.daemon;
	int same = now->pid == ours.pid && now->start == ours.start;	/* else it was taken down and brought up by somebody else */
	char src[WS_PATH + 80];
	if (u->b.ws.has_run && same && leave_run(&u->b.root, &u->b.ws, &l, deadline, &why) < 0)
		warn_why(&why);
	if (!u->b.spec.keep && ws_kept_src(&u->b.root, name, src))
		say("its src is kept in %s; ws-up %s brings it back", src, name);
	ws_close(&u->b.ws);
}

int ws_up_main(char **argv)
{
	static struct up u;
	struct why why = {0};
	const char *name;
	static char clean[WS_LABEL];	/* named in messages until the very end */
	u.b.set = &u.set;
	u.b.note = note;
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
	int rc = bring_up(&u.b, clean, &why), sig = clock_cancelled();
	if (rc < 0 && u.optional && why.reason == R_NO_KEY) {
		clock_default_signals();
		say("not joined: %s", why.msg);
		return run_command(&u, 0);
	}
	int joined = rc >= 0;
	if (sig && (!joined || u.cmd))
		rc = why_set(&why, R_INTERRUPTED, "ended by %s%s", sig == SIGINT ? "SIGINT" : sig == SIGHUP ? "SIGHUP" : "SIGTERM",
			u.b.found_up ? "" : "; nothing of it is left");
	if (rc >= 0 && !u.cmd) {
		print(&u);
		return EXIT_DONE;
	}
	ws_close(&u.b.ws);	/* the lock is not held while CMD runs */
	if (rc >= 0 && u.out.mode == REC_JSON)
		print(&u);
	int status = rc >= 0 ? run_command(&u, 1) : EXIT_CMD;
	if (u.cmd && joined && !u.b.found_up)
		take_down(&u, clean);
	return rc < 0 ? fail(&u, clean, &why) : status;
}
