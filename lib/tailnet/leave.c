/* leave - take a workspace off its tailnet */
#include "leave.h"
#include "api_device.h"
#include "clock.h"
#include "daemon.h"
#include "forwards.h"
#include "inbound.h"
#include "lease.h"
#include "str.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORWARDS_MS = 3000, ORPHAN_MS = 1500 };

/* A TUN node must take its routes and rules back: only SIGTERM lets it. */
static int last_signal(const struct ws *ws)
{
	return ws->spec.tun ? SIGTERM : SIGKILL;
}

static int left_behind(struct ws *ws, const struct why *cause, struct why *why)
{
	char msg[300];
	str_copy(msg, sizeof msg, cause->msg);
	why_set(why, R_LEFT_BEHIND, "ended here, but the node is still listed at %s: %s", ws->spec.control, msg);
	return why_hint(why, ws->spec.keep ? "ws-down --forget %s when the control server can be reached"
		: "an ephemeral node goes by itself; ws-down --api SRC %s deletes it now", ws->name);
}

/* Deletes what is here; the lease goes too when the node is gone for certain. */
static int forget(const struct ws_root *root, struct ws *ws, int gone, struct why *why)
{
	if (gone && lease_drop(root, ws->spec.control, ws->run.node_id, why) < 0)
		return -1;
	return ws_drop_run(ws, why) < 0 || ws_forget(root, ws, why) < 0 ? -1 : 0;
}

static int delete_by_api(const struct leave *l, struct ws *ws, long long deadline, struct why *why)
{
	struct api api;
	if (!l->who || !*ws->run.node_id || api_open(&api, l->who, ws->spec.control, deadline, why) < 0)
		return -1;
	int rc = api_delete_ours(&api, ws->run.node_id, ws->spec.hostname, deadline, why);
	api_close(&api);
	return rc < 0 ? -1 : 0;
}

/* ws-up was ended while control's answer to the registration was on its way: the node can be logged out only once it knows its key. */
static int is_under_way(const struct ws *ws, const struct leave *l, const struct node_status *st)
{
	return ws->run.phase == WS_JOINING && !l->refused && !st->has_key && !*st->auth_url && !strstr(st->health, "login error");
}

static int settled_status(const struct ws *ws, const struct leave *l, struct daemon *d, struct node_status *st, long long deadline,
	struct why *why)
{
	enum { SETTLE_MS = 1500, LOOK_MS = 10 };
	long long until = clock_ms() + SETTLE_MS;
	int rc;
	while (!(rc = localapi_status(&d->api, st, deadline, why)) && is_under_way(ws, l, st)
		&& !clock_passed(until) && !clock_passed(deadline))
		poll(NULL, 0, LOOK_MS);
	return rc;
}

/* Logs out the one that runs, ends it, deletes it. */
static int log_out(const struct ws_root *root, struct ws *ws, struct daemon *d, const struct leave *l, long long deadline,
	struct why *why)
{
	struct why cause = {0};
	struct node_status st;
	int registered = 1, listed = ws->spec.keep;
	/* where the owner of a network namespace is gone, its cables mostly are, too */
	long long soon = clock_ms() + ORPHAN_MS, patient = ws_is_orphan(ws) && (!deadline || soon < deadline) ? soon : deadline;
	/* a namespace of its own is there still, and only the way out of it is gone */
	if (ws->run.pasta.pid > 0 && ws_is_orphan(ws) && daemon_mend(ws, d, deadline, &cause) == 0)
		patient = deadline;
	cause = (struct why){0};
	if (settled_status(ws, l, d, &st, patient, &cause) == 0) {
		registered = st.has_key;
		if (*st.id)
			str_copy(ws->run.node_id, sizeof ws->run.node_id, st.id);
	}
	/* a node that was stopped tells its id only after a while; the lease knows it */
	struct why ignored;
	struct lease lease;
	if (!*ws->run.node_id && lease_of(root, ws->name, ws->spec.control, &lease, &ignored) == 1)
		str_copy(ws->run.node_id, sizeof ws->run.node_id, lease.id);
	if (cause.reason && !ws->spec.keep && ws->run.phase < WS_JOINING) {
		/* its ws-up was killed before it was told to join: there is no node, whatever ails it */
		cause.reason = R_NONE;
		registered = 0;
	}
	/* with this preference, and no leave for it in the policy, tailscaled refuses to change any, to log out as well */
	if (ws->spec.ssh && !cause.reason)
		localapi_patch(&d->api, "{\"RunSSH\":false,\"RunSSHSet\":true}", patient, &ignored);
	int out = cause.reason ? -1 : !registered ? 0 : localapi_logout(&d->api, patient, &cause);
	/* its lease goes before run.json, which alone remembers the id if we are killed here; that of a kept one goes with the node */
	if (!out && !(listed && registered))
		lease_drop(root, ws->spec.control, ws->run.node_id, &ignored);	/* a failure shows again below, when the daemon has ended */
	struct ws_run was = ws->run;
	if (daemon_end(ws, last_signal(ws), clock_ms() + 10000, why) < 0)
		return -1;
	str_copy(ws->run.node_id, sizeof ws->run.node_id, was.node_id);
	struct why api = {0};
	int deleted = (out < 0 || listed) && delete_by_api(l, ws, deadline, &api) == 0;
	if (api.reason)
		cause = api;		/* whoever gave a credential wants to know of it */
	if (out < 0 && !deleted) {
		if (l->force) {
			left_behind(ws, &cause, why);
			why->status = EXIT_NO;
			ws_forget(root, ws, &ignored);
			return -1;
		}
		/* what is known of the node is kept, without a process */
		ws->run = was;
		ws->run.daemon.pid = 0;
		ws_save_run(ws, &ignored);
		return left_behind(ws, &cause, why);
	}
	int stays = listed && registered && !deleted;
	if (forget(root, ws, !stays, why) < 0)
		return -1;
	return stays && api.reason ? left_behind(ws, &cause, why) : stays ? LEFT_LISTED : LEFT_GONE;
}

static int has_state(const struct ws_root *root, struct ws *ws)
{
	char node[WS_PATH];
	struct why ignored;
	if (ws_node_dir(root, ws, 0, node, &ignored) < 0)
		return 0;
	char path[WS_PATH + 32];
	str_fmt(path, sizeof path, "%s/tailscaled.state", node);
	return access(path, F_OK) == 0;
}

/* A kept node that is stopped can log out only by itself: started for just that, with no inbound and no proxies. */
static int wake_and_log_out(const struct ws_root *root, struct ws *ws, const struct leave *l, long long deadline, struct why *why)
{
	struct daemon d;
	struct node_status st;
	if (!has_state(root, ws))
		return forget(root, ws, 1, why) < 0 ? -1 : LEFT_GONE;
	char node_id[sizeof ws->run.node_id];
	str_copy(node_id, sizeof node_id, ws->run.node_id);
	ws->spec.inbound = WS_IN_NONE;
	*ws->spec.socks = *ws->spec.http = *ws->spec.netns = 0;	/* that namespace may be gone; anywhere will do */
	if (daemon_start(root, ws, NULL, NULL, 0, &d, &st, deadline, why) < 0) {
		if (!l->force && why->reason != R_BAD_STATE)
			return -1;
		return forget(root, ws, 0, why) < 0 ? -1 : LEFT_DEAD;
	}
	str_copy(ws->run.node_id, sizeof ws->run.node_id, node_id);
	int rc = log_out(root, ws, &d, l, deadline, why);
	close(d.pidfd);
	return rc;
}

static int stop(struct ws *ws, struct daemon *d, long long deadline, struct why *why)
{
	struct why ignored;
	char node_id[sizeof ws->run.node_id];
	str_copy(node_id, sizeof node_id, ws->run.node_id);
	/* so that at its next start nothing comes in before it is narrowed again */
	if (ws->spec.inbound != WS_IN_NONE)
		inbound_close(&d->api, deadline, &ignored);
	return daemon_end(ws, last_signal(ws), clock_ms() + 10000, why) < 0 ? -1 : LEFT_DOWN;
}

/* Its ts-forward processes have nothing to go through any more. One whose CMD will not end is not waited for. */
static void end_forwards(const struct ws_root *root, const struct ws *ws)
{
	struct why ignored;
	int dir = forwards_dir(root, ws, 0, &ignored);
	if (dir < 0)
		return;
	forwards_end(dir, 0, clock_ms() + FORWARDS_MS, &ignored);
	close(dir);
}

int leave_run(const struct ws_root *root, struct ws *ws, const struct leave *l, long long deadline, struct why *why)
{
	struct daemon d;
	struct stat st;
	int alive = ws_alive(ws), keep = ws->spec.keep && !l->forget;
	if (alive < 0)
		return why_set(why, R_ELSEWHERE, "%s belongs to another machine that shares this directory", ws->name);
	end_forwards(root, ws);
	if (alive && daemon_find(root, ws, &d, why) < 0) {
		if (why->reason != R_NOT_UP)
			return -1;
		alive = 0;	/* it ended since we looked */
	}
	if (alive) {
		int rc = keep ? stop(ws, &d, deadline, why) : log_out(root, ws, &d, l, deadline, why);
		if (d.pidfd >= 0)
			close(d.pidfd);
		return rc;
	}
	if (keep) {
		int ran = ws->has_run;
		return ran && ws_drop_run(ws, why) < 0 ? -1 : ran ? LEFT_DOWN : LEFT_NOTHING;
	}
	if (ws->spec.keep)
		return wake_and_log_out(root, ws, l, deadline, why);
	int was_node = ws->has_run && *ws->run.node_id, deleted = 0;
	if (was_node && l->who) {
		if (delete_by_api(l, ws, deadline, why) < 0)
			return -1;
		deleted = 1;
	}
	int anything = ws->has_spec || ws->has_run || fstatat(ws->dir, "node", &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (forget(root, ws, deleted, why) < 0)
		return -1;
	return !anything ? LEFT_NOTHING : was_node && !deleted ? LEFT_DEAD : LEFT_GONE;
}
