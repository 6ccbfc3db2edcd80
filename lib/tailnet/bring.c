/* bring - a workspace brought onto the tailnet */
#include "bring.h"
#include "api_device.h"
#include "api_key.h"
#include "clock.h"
#include "clone.h"
#include "file.h"
#include "http.h"
#include "inbound.h"
#include "isolate.h"
#include "join.h"
#include "key.h"
#include "leave.h"
#include "name.h"
#include "probe.h"
#include "reach.h"
#include "secret.h"
#include "str.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { UNDO_MS = 5000 };

static void __attribute__((format(printf, 3, 4))) note(const struct bring *b, enum bring_note kind, const char *fmt, ...)
{
	char text[1400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	b->note(kind, text);
}

static void tell_login(const char *text, void *b)
{
	note(b, BRING_TELL, "%s", text);
}

/* ---- undone ---- */

static int tidy(struct bring *b, int forget, struct why *why)
{
	struct leave l = {.forget = forget, .force = 1, .refused = b->refused};
	long long patient = clock_ms() + UNDO_MS;
	return leave_run(&b->root, &b->ws, &l, patient, why);
}

/* No answer of the control server can be on its way that would make a node of the attempt. */
static int is_unheard(const struct why *why)
{
	return why->reason == R_CONTROL_DNS || why->reason == R_CONTROL_REFUSED || why->reason == R_CONTROL_PROXY;
}

/* After a failure: the daemon that we started is ended, and nothing of the attempt stays behind. */
static void undo(struct bring *b, int was_kept, const struct why *why)
{
	struct why ignored;
	if (b->found_up)
		return;
	b->refused = !clock_passed(b->deadline) || (is_unheard(why) && !clock_cancelled());
	clock_uncancel();
	if (was_kept && b->spec.keep) {
		struct leave stop = {0};
		leave_run(&b->root, &b->ws, &stop, clock_ms() + UNDO_MS, &ignored);
	} else {
		if (b->cloned)
			file_remove_tree(b->ws.dir, "src", &ignored);
		tidy(b, 1, &ignored);
	}
}

/* A daemon that waits for somebody is left to wait, unless a signal asked for its end. */
static int waits(const struct why *why)
{
	return (why->reason == R_APPROVAL || why->reason == R_LOGIN || why->reason == R_LOCK_UNSIGNED) && !clock_cancelled();
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

static void tell_open(struct bring *b)
{
	const struct ws *ws = &b->ws;
	struct open_ports p = {0};
	const char *where = ws->spec.netns;
	inbound_listeners(*where ? ws->run.daemon.pid : 0, add_listener, &p);
	note(b, BRING_TELL, "-i all: every TCP and UDP port of %s's loopback is open to the tailnet; listening now: %s",
		*where ? where : "this machine", p.n ? p.text : "none");
}

/* ---- up ---- */

static int check_name(struct bring *b, struct why *why)
{
	return name_check(&b->root, &b->ws, &b->daemon.api, &b->st, b->deadline, why);
}

static int await_name(struct bring *b, struct why *why)
{
	return name_await(&b->ws, &b->daemon.api, &b->st, b->deadline, why);
}

static int note_node(struct bring *b, struct why *why)
{
	struct ws *ws = &b->ws;
	str_copy(ws->run.node_id, sizeof ws->run.node_id, b->st.id);
	str_copy(ws->run.dns_name, sizeof ws->run.dns_name, b->st.dns_name);
	str_copy(ws->run.ip, sizeof ws->run.ip, *b->st.ip4 ? b->st.ip4 : b->st.ip6);
	return ws_save_run(ws, why);
}

/* The node has its id and name: the lease is written at once, so that a kill leaves a trace of it. */
static int registered(void *ctx, struct why *why)
{
	struct bring *b = ctx;
	b->noted = 1;
	if (b->rejoins && await_name(b, why) < 0)
		return -1;
	return note_node(b, why) < 0 || check_name(b, why) < 0 ? -1 : lease_add(&b->root, &b->ws, &b->lease, why);
}

static int open_inbound(struct bring *b, struct why *why)
{
	struct ws *ws = &b->ws;
	const struct localapi *api = &b->daemon.api;
	if (ws->spec.inbound == WS_IN_NONE)
		return 0;
	if (ws->spec.inbound == WS_IN_PORTS && !ws->run.pasta.pid && !probe_proxy(ws->spec.control)) {
		int seen[WS_DERPS], n = 0, rc = inbound_check_derp(api, &ws->spec, seen, &n, b->deadline, why);
		struct why ignored;
		if (n > 0)
			ws_derp_remember(&b->root, ws->spec.control, seen, n, &ignored);
		if (rc < 0)
			return -1;
	}
	return inbound_open(api, &ws->spec, b->needs, b->nneeds, b->deadline, why);
}

/* Tailscale SSH is the policy's to give: without its leave tailscaled refuses every change of its preferences. */
static int check_ssh(struct bring *b, struct why *why)
{
	if (!b->st.can_ssh && localapi_status(&b->daemon.api, &b->st, b->deadline, why) < 0)
		return -1;
	const char *tag = *b->st.tags ? b->st.tags : "TAG";
	if (!b->st.can_ssh) {
		why_set(why, R_SSH_DENIED, "the tailnet's policy has no Tailscale SSH for this node");
		return why_hint(why, "ts-acl --ssh %.*s WHO prints what to add to the policy", (int)strcspn(tag, ","), tag);
	}
	if (strstr(b->st.health, "Tailscale SSH enabled, but"))
		note(b, BRING_TELL, "--ssh: the policy lets nobody in yet; ts-acl --ssh %.*s WHO prints what to add to it", (int)strcspn(tag, ","), tag);
	return 0;
}

static int wait_ready(struct bring *b, struct why *why)
{
	for (int i = 0; i < b->nready; i++) {
		char copy[300], *host;
		int port;
		str_copy(copy, sizeof copy, b->ready[i]);
		str_host_port(copy, &host, &port);
		note(b, BRING_STEP, "waiting for %s", b->ready[i]);
		if (reach_wait(&b->daemon.api, host, port, b->deadline, why) < 0)
			return -1;
	}
	return 0;
}

/* From Running to up. The shields are lowered last. */
static int finish(struct bring *b, struct why *why)
{
	struct ws *ws = &b->ws;
	if ((!b->noted && registered(b, why) < 0) || (ws->spec.ssh && check_ssh(b, why) < 0) || open_inbound(b, why) < 0)
		return -1;
	ws->run.phase = WS_UP;
	if (ws_save_run(ws, why) < 0 || lease_settle(&b->lease, why) < 0 || wait_ready(b, why) < 0)
		return -1;
	if (ws->spec.inbound == WS_IN_ALL && !ws->spec.isolate)
		tell_open(b);
	return 0;
}

static int join(struct bring *b, const char *key, int resume, struct why *why)
{
	struct ws *ws = &b->ws;
	const char *tags[WS_TAGS + 1] = {0};
	char control[sizeof ws->spec.control];
	/* a minted key carries them already, and headscale refuses to hear them again */
	for (int i = 0; i < ws->spec.ntags && !b->mint.mints; i++)
		tags[i] = ws->spec.tags[i];
	struct join j = {
		.daemon = &b->daemon, .control = ws->spec.control, .key = key, .interactive = b->login, .resume = resume, .tell = tell_login,
		.registered = registered, .ctx = b,
		.prefs = {
			.control = daemon_control(ws, control, sizeof control), .hostname = ws->spec.hostname, .tags = tags, .shields_up = 1,
			.ssh = ws->spec.ssh, .accept_routes = ws->spec.accept_routes,
		},
	};
	if (!b->found_up) {
		ws->run.phase = WS_JOINING;
		if (ws_save_run(ws, why) < 0)
			return -1;
	}
	note(b, BRING_STEP, "joining %s as %s", ws->spec.control, ws->spec.hostname);
	return join_run(&j, &b->st, b->deadline, why);
}

/* A node of ours that died is removed by the API before its name is asked for again. */
static int free_name(struct bring *b, struct why *why)
{
	char id[64];
	struct api api;
	if (!b->api_src || api_who_take(&b->who, b->api_src, b->set, &b->credential, b->mint.src, &b->mint.given, why) < 0)
		return b->api_src ? -1 : 0;
	if (lease_find(&b->root, b->spec.control, b->spec.hostname, id, why) != 1)
		return 0;
	if (api_open(&api, &b->who, b->spec.control, b->deadline, why) < 0)
		return -1;
	note(b, BRING_STEP, "removing the dead node %s", id);
	int rc = api_delete_ours(&api, id, b->spec.hostname, b->deadline, why);
	api_close(&api);
	return rc < 0 ? -1 : lease_drop(&b->root, b->spec.control, id, why);
}

/* What was minted lives just long enough to be used. */
static int get_key(struct bring *b, struct secret *key, struct why *why)
{
	enum { LIFE_S = 600 };
	char text[51] = "moorbox ";
	const char *tags[WS_TAGS + 1] = {0};
	for (int i = 0; i < b->ws.spec.ntags; i++)
		tags[i] = b->ws.spec.tags[i];
	str_copy(text + 8, sizeof text - 8, b->ws.name);
	struct api_mint want = {
		.tags = tags, .ephemeral = !b->ws.spec.keep, .preauthorized = 1, .expiry_s = LIFE_S, .description = text,
	};
	if (b->mint.mints)
		note(b, BRING_STEP, "minting a key by %.*s", (int)strcspn(b->mint.src, ":"), b->mint.src);
	return mint_key(&b->mint, &want, b->ws.spec.control, key, b->deadline, why);
}

/* The relay's ports are known only now, and what tailscaled may reach is fixed when it starts. One whose state is on disk is
 * the same node after a new start, and needs no key for it. */
static int join_again(struct bring *b, struct why *why)
{
	struct ws *ws = &b->ws;
	struct leave stop = {0};
	note(b, BRING_STEP, "%s; starting tailscaled anew with it", why->msg);
	if (lease_settle(&b->lease, why) < 0 || leave_run(&b->root, ws, &stop, clock_ms() + UNDO_MS, why) < 0)
		return -1;
	ws->spec.nderp = ws_derp_recall(&b->root, ws->spec.control, ws->spec.derp, WS_DERPS);
	b->nneeds = inbound_needs(&ws->spec, probe_proxy(ws->spec.control), b->needs, BRING_NEEDS);
	b->noted = 0;
	if (ws_save_spec(ws, why) < 0
		|| daemon_start(&b->root, ws, b->has_target ? &b->target : NULL, b->needs, b->nneeds, &b->daemon, &b->st, b->deadline, why) < 0)
		return -1;
	return join(b, NULL, 0, why) < 0 ? -1 : finish(b, why);
}

/* The control server only says that it does not take the key; with access the API knows why, and since when. */
static void explain_key(struct bring *b, const struct secret *key, struct why *why)
{
	struct key shape;
	struct api api;
	struct api_key info;
	struct why ignored, state;
	long long deadline = clock_ms() + UNDO_MS;
	if (!b->who.src || key_shape(key->p, key->len, &shape, &ignored) < 0 || !*shape.id || shape.headscale
		|| api_open(&api, &b->who, b->spec.control, deadline, &ignored) < 0)
		return;
	if (api_key_get(&api, shape.id, &info, deadline, &ignored) == 0 && api_key_usable(&info, &state) < 0)
		*why = state;
	api_close(&api);
}

static int fresh(struct bring *b, struct why *why)
{
	struct ws *ws = &b->ws;
	struct secret key = {0};
	int was_kept = ws->has_spec && ws->spec.keep && b->spec.keep;
	char proxy[300];
	b->rejoins = was_kept && !str_eq(ws->spec.hostname, b->spec.hostname);
	ws->spec = b->spec;
	if (ws->spec.inbound == WS_IN_PORTS && !ws->spec.nderp)
		ws->spec.nderp = ws_derp_recall(&b->root, ws->spec.control, ws->spec.derp, WS_DERPS);
	b->nneeds = inbound_needs(&ws->spec, probe_proxy(ws->spec.control), b->needs, BRING_NEEDS);
	if (probe_proxy(ws->spec.control))
		note(b, BRING_STEP, "the control server is reached through the proxy %s",
			http_redact_url(proxy, sizeof proxy, probe_proxy(ws->spec.control)));
	/* a kept node that is logged in needs no key; then a missing one is no error */
	int asked = !b->login || b->key_src;
	int key_rc = asked ? mint_take(&b->mint, b->set, b->key_src, ws->spec.control, why) : 0;
	int late = was_kept && b->mint.mints;	/* minted only when it is needed */
	if (!key_rc && asked && !late)
		key_rc = get_key(b, &key, why);
	if (key_rc < 0 && !(was_kept && why->reason == R_NO_KEY)) {
		mint_free(&b->mint);
		undo(b, was_kept, why);
		return -1;
	}
	int rc = daemon_check_shared(&b->root, ws, why);
	if (!rc)
		rc = free_name(b, why);
	if (!rc)
		rc = ws_save_spec(ws, why);
	if (!rc)
		rc = daemon_start(&b->root, ws, b->has_target ? &b->target : NULL, b->needs, b->nneeds, &b->daemon, &b->st, b->deadline, why);
	if (!rc) {
		note(b, BRING_STEP, "tailscaled %s runs, pid %d%s", ws->run.version, ws->run.daemon.pid, ws->run.confined ? ", confined" : "");
		rc = join(b, key.p, 0, why);
		if (rc < 0 && late && why->reason == R_NO_KEY && get_key(b, &key, why) == 0)
			rc = join(b, key.p, 0, why);
	}
	if (rc < 0 && why->reason == R_KEY_REFUSED)
		explain_key(b, &key, why);
	secret_free(&key);
	if (!rc)
		rc = finish(b, why);
	if (rc < 0 && why->reason == R_DERP_PORT && ws->spec.keep && !(b->told & TOLD_DERP))
		rc = join_again(b, why);
	if (rc < 0 && !waits(why)) {
		mint_undo(&b->mint, clock_ms() + UNDO_MS);
		undo(b, was_kept, why);
	}
	mint_free(&b->mint);
	return rc;
}

/* Live, without a new start: the host name, and whether routes are used. */
static int change(struct bring *b, struct why *why)
{
	const struct localapi *api = &b->daemon.api;
	struct ws_spec *s = &b->ws.spec;
	char patch[256], old[sizeof b->st.dns_name];
	int renamed = !str_eq(s->hostname, b->spec.hostname);
	if (!renamed && s->accept_routes == b->spec.accept_routes)
		return 0;
	str_fmt(patch, sizeof patch, "{\"Hostname\":\"%s\",\"HostnameSet\":true,\"RouteAll\":%s,\"RouteAllSet\":true}",
		b->spec.hostname, b->spec.accept_routes ? "true" : "false");
	if (localapi_patch(api, patch, b->deadline, why) < 0)
		return -1;
	struct ws_spec was = *s;
	str_copy(s->hostname, sizeof s->hostname, b->spec.hostname);
	s->accept_routes = b->spec.accept_routes;
	str_copy(old, sizeof old, b->st.dns_name);
	if (renamed && await_name(b, why) < 0)
		return -1;
	if (renamed && !str_eq(b->st.dns_name, old) && check_name(b, why) < 0) {
		struct why ignored;
		*s = was;
		str_fmt(patch, sizeof patch, "{\"Hostname\":\"%s\",\"HostnameSet\":true}", was.hostname);
		localapi_patch(api, patch, b->deadline, &ignored);
		return -1;
	}
	if (ws_save_spec(&b->ws, why) < 0 || note_node(b, why) < 0 || lease_add(&b->root, &b->ws, &b->lease, why) < 0)
		return -1;
	return lease_settle(&b->lease, why);
}

/* Killed a moment ago: it does not answer any more, and is about to be gone. */
static int is_ending(const struct bring *b, const struct why *why)
{
	struct pollfd p = {.fd = b->daemon.pidfd, .events = POLLIN};
	return (why->reason == R_LOST || why->reason == R_NOT_UP) && poll(&p, 1, 1000) > 0;
}

/* Between somebody's login and what comes of it there is a moment with neither a URL nor a state of its own. */
static int settle(struct bring *b, struct why *why)
{
	enum { SETTLE_MS = 1500, LOOK_MS = 20 };
	long long until = clock_ms() + SETTLE_MS;
	while (b->ws.run.phase == WS_JOINING && b->st.state == NODE_NEEDS_LOGIN && !*b->st.auth_url && !clock_passed(until)
		&& !clock_passed(b->deadline)) {
		poll(NULL, 0, LOOK_MS);
		if (localapi_status(&b->daemon.api, &b->st, b->deadline, why) < 0)
			return -1;
	}
	return 0;
}

/* One that runs: up already, or waiting, or left half-way by a ws-up that was killed. 1 when it has to be started anew. */
static int resume(struct bring *b, struct why *why)
{
	struct ws *ws = &b->ws;
	if (!*ws->run.inbound)
		return 1;	/* its record was lost: how it was started is not known */
	if (daemon_find(&b->root, ws, &b->daemon, why) < 0)
		return why->reason == R_NOT_UP ? 1 : -1;
	if (ws->run.pasta.pid && ws_is_orphan(ws)) {
		note(b, BRING_STEP, "pasta, its way out, is gone: another one is started");
		if (daemon_mend(ws, &b->daemon, b->deadline, why) < 0)
			return -1;
	}
	if (localapi_status(&b->daemon.api, &b->st, clock_left(b->deadline) > 3000 ? clock_ms() + 3000 : b->deadline, why) < 0)
		return b->restart || ws->run.phase != WS_UP || is_ending(b, why) ? 1 : -1;
	const char *option = spec_differs(&b->spec, &ws->spec);
	if (ws_is_orphan(ws)) {
		note(b, BRING_STEP, "its network namespace is gone");
		return 1;
	}
	if (b->restart && option)
		return 1;
	if (option && ws->run.phase == WS_UP) {
		why_set(why, R_DIFFERS, "up already, with another %s", option);
		return why_hint(why, "to apply it, down and up again: ws-up --restart ... %s", ws->name);
	}
	if (settle(b, why) < 0)
		return -1;
	b->found_up = ws->run.phase == WS_UP;
	b->nneeds = inbound_needs(&ws->spec, probe_proxy(ws->spec.control), b->needs, BRING_NEEDS);
	int has_key = b->key_src || *b->set->key_src;	/* one that came after --login was tried */
	int can_wait = b->st.state == NODE_NEEDS_APPROVAL || b->st.state == NODE_STARTING || (*b->st.auth_url && (b->login || !has_key));
	if (option || (b->st.state != NODE_RUNNING && !can_wait))
		return 1;	/* logged out, expired, stopped, or killed before it had joined */
	int rc = b->st.state == NODE_RUNNING && !b->st.locked_out ? 0 : join(b, NULL, 1, why);
	if (b->found_up)
		return rc < 0 || change(b, why) < 0 ? -1 : wait_ready(b, why);
	if (!rc)
		rc = finish(b, why);
	if (rc < 0 && !waits(why))
		undo(b, 1, why);
	return rc;
}

/* Before anything is started. git has its own patience: its time does not count. */
static int get_src(struct bring *b, struct why *why)
{
	const char *srcs[4] = {0};
	long long began = clock_ms();
	int n = 0;
	if (b->key_src)
		srcs[n++] = b->key_src;
	if (b->api_src)
		srcs[n++] = b->api_src;
	if (*b->set->key_src)
		srcs[n++] = b->set->key_src;
	ws_restore_src(&b->root, &b->ws);
	if (!b->clone)
		return 0;
	b->cloned = clone_get(&b->ws, b->clone, b->depth, srcs, why);
	if (!b->cloned)
		note(b, BRING_TELL, "src is there already: not cloned");
	if (!clock_cancelled())
		b->deadline += clock_ms() - began;
	return b->cloned;
}

/* Whose network namespace; our own is none. */
static int find_target(struct bring *b, const char *name, struct why *why)
{
	int rc = target_open(b->spec.netns, name, &b->target, b->deadline, why);
	if (rc == 1 && !(b->told & TOLD_NETNS))
		return why_set(why, R_NO_NETNS, "%s: is in this machine's own network namespace now", b->spec.netns);
	if (rc == 1)
		*b->spec.netns = 0;
	b->has_target = rc == 0;
	return rc < 0 ? -1 : 0;
}

/* Before a daemon is started, and before one that runs is ended for it. */
static int prepare_target(struct bring *b, const char *name, struct why *why)
{
	if (b->spec.isolate)
		return isolate_check(b->spec.control, probe_proxy(b->spec.control), why);
	if (!*b->spec.netns)
		return 0;
	if (!b->has_target && find_target(b, name, why) < 0)
		return -1;
	return target_check_reach(&b->target, b->spec.control, probe_proxy(b->spec.control), why);
}

/* A directory that was made for this call alone goes with it. Returns -1. */
static int give_up(struct bring *b, int alive)
{
	struct why ignored;
	if (!alive && !b->ws.has_spec)
		ws_forget(&b->root, &b->ws, &ignored);
	return -1;
}

int bring_up(struct bring *b, const char *name, struct why *why)
{
	if (*b->spec.netns && find_target(b, name, why) < 0)
		return -1;
	if (spec_has_netns(&b->spec) && !(b->told & TOLD_INBOUND))
		b->spec.inbound = WS_IN_ALL;	/* that is the point of it */
	if (ws_root_open(&b->root, why) < 0)
		return -1;
	if (ws_open(&b->root, name, WS_CREATE | WS_LOCK, b->deadline, &b->ws, why) < 0)
		return -1;
	int alive = ws_alive(&b->ws);
	if (alive < 0)
		return why_set(why, R_ELSEWHERE, "belongs to another machine (%s) that shares this directory", b->ws.run.machine);
	if (b->ws.has_spec && (alive || b->ws.spec.keep))
		spec_inherit(&b->spec, &b->ws.spec, b->told);
	if (spec_check(&b->spec, why) < 0 || get_src(b, why) < 0)
		return give_up(b, alive);
	int rc = alive ? resume(b, why) : 1;
	if (rc == 1) {
		b->found_up = 0;
		if (prepare_target(b, name, why) < 0)
			return give_up(b, alive);
		/* a node left behind there shows as [name-held], if it does */
		if (alive && tidy(b, !b->ws.spec.keep || !b->spec.keep, why) < 0 && why->reason != R_LEFT_BEHIND)
			return -1;
		if (alive) {	/* taking it down may have deleted its directory */
			ws_close(&b->ws);
			if (ws_open(&b->root, name, WS_CREATE | WS_LOCK, b->deadline, &b->ws, why) < 0)
				return -1;
			ws_restore_src(&b->root, &b->ws);
		}
		rc = fresh(b, why);
	}
	return rc;
}
