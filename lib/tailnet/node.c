/* node - which tailscaled a ts-* applet means */
#include "node.h"
#include "clock.h"
#include "forwards.h"
#include "near.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM "@system"
#define SYSTEM_SOCKET "/var/run/tailscale/tailscaled.sock"

enum { SHOWN = 6 };

void node_close(struct node *node)
{
	if (!node->is_ws)
		return;
	ws_close(&node->ws);
	ws_root_close(&node->root);
	node->is_ws = 0;
}

static int by_path(struct node *node, const char *name, const char *path, struct why *why)
{
	str_copy(node->name, sizeof node->name, name);
	node->api.dir = AT_FDCWD;
	if (str_copy(node->api.path, sizeof node->api.path, path) < 0)
		return why_set(why, R_SYSTEM, "%.64s...: the path is too long", path);
	return 0;
}

static const char *system_socket(void)
{
	const char *told = getenv("TS_SOCKET");
	return told && *told ? told : SYSTEM_SOCKET;
}

/* Does somebody listen there who may? The daemon is found by connecting: a socket's file outlives it. */
static int system_alive(struct why *why)
{
	int fd = dial_unix(AT_FDCWD, system_socket(), NULL, clock_ms() + 1000, why);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* ---- one workspace by its name ---- */

static int look_near(const char *name, void *ctx)
{
	near_add(ctx, name);
	return 0;
}

static int no_workspace(const struct ws_root *root, const char *name, struct why *why)
{
	struct near near;
	struct why ignored;
	char text[256];
	near_start(&near, name);
	ws_each(root, look_near, &near, &ignored);
	why_set(why, R_NO_WORKSPACE, "%s: there is no such workspace", name);
	if (near.count)
		return why_hint(why, "did you mean %s?", near_text(&near, text, sizeof text));
	return why_hint(why, "ws-up %s", name);
}

static int by_workspace(struct node *node, const char *typed, struct why *why)
{
	char name[WS_LABEL];
	struct ws_socket s;
	if (ws_clean_name(typed, name, why) < 0 || ws_root_open(&node->root, why) < 0)
		return -1;
	if (ws_open(&node->root, name, 0, 0, &node->ws, why) < 0) {
		if (why->reason == R_NO_WORKSPACE)
			no_workspace(&node->root, name, why);
		ws_root_close(&node->root);
		return -1;
	}
	node->is_ws = 1;
	int alive = ws_alive(&node->ws), rc = 0;
	if (alive < 0) {
		rc = why_set(why, R_ELSEWHERE, "%s: this workspace runs on another machine", name);
	} else if (!alive) {
		why_set(why, R_NOT_UP, "%s: the workspace is not up", name);
		rc = why_hint(why, "ws-up %s", name);
	} else {
		rc = ws_socket(&node->root, &node->ws, 0, &s, why);
	}
	if (!rc)
		rc = by_path(node, name, s.path, why);
	if (rc < 0) {
		node_close(node);
		return -1;
	}
	node->api.dir = s.dirfd;
	node->api.who.pid = node->ws.run.daemon.pid;
	return 0;
}

/* ---- nobody said which ---- */

struct candidates {
	const struct ws_root *root;
	char name[SHOWN][WS_LABEL];
	int count;
	char down[WS_LABEL];		/* one that is not up, for the hint */
	int system_is_ws;		/* a workspace has the system's socket */
};

static int count_one(const char *name, void *ctx)
{
	struct candidates *c = ctx;
	struct ws ws;
	struct why ignored;
	if (ws_open(c->root, name, 0, 0, &ws, &ignored) < 0)
		return 0;
	if (ws_alive(&ws) == 1) {
		if (c->count < SHOWN)
			str_copy(c->name[c->count], WS_LABEL, name);
		c->count++;
		c->system_is_ws |= str_eq(ws.spec.socket, system_socket());
	} else if (!*c->down) {
		str_copy(c->down, sizeof c->down, name);
	}
	ws_close(&ws);
	return 0;
}

static int which(const struct candidates *c, const char *before, struct why *why)
{
	char names[SHOWN * WS_LABEL + 32], typed[SHOWN * (WS_LABEL + 20)];
	size_t n = 0, t = 0;
	int shown = c->count < SHOWN ? c->count : SHOWN;
	for (int i = 0; i < shown; i++) {
		n += str_fmt(names + n, sizeof names - n, "%s%s", i ? ", " : "", c->name[i]);
		t += str_fmt(typed + t, sizeof typed - t, "%s%s %s", !i ? "" : i == shown - 1 ? " or " : ", ", before, c->name[i]);
	}
	if (c->count > shown)
		str_fmt(names + n, sizeof names - n, " and %d more", c->count - shown);
	why_set(why, R_WHICH_NODE, "more than one node could be meant: %s", names);
	return why_hint(why, "say %s", typed);
}

static int only_one(struct node *node, const char *before, struct why *why)
{
	struct ws_root root;
	struct candidates c = {.root = &root};
	struct why system = {0}, root_why = {0};
	int has_root = ws_root_open(&root, &root_why) == 0;
	if (has_root) {
		ws_each(&root, count_one, &c, &root_why);
		ws_root_close(&root);
	}
	if (!c.system_is_ws && system_alive(&system)) {
		if (c.count < SHOWN)
			str_copy(c.name[c.count], WS_LABEL, SYSTEM);
		c.count++;
	}
	if (c.count > 1)
		return which(&c, before, why);
	if (c.count == 1 && str_eq(c.name[0], SYSTEM))
		return by_path(node, SYSTEM, system_socket(), why);
	if (c.count == 1)
		return by_workspace(node, c.name[0], why);
	if (system.reason && system.reason != R_NOT_UP) {
		*why = system;		/* there is one, which does not let us in */
		return -1;
	}
	if (!has_root && root_why.reason != R_NO_HOME) {
		*why = root_why;
		return -1;
	}
	why_set(why, R_NO_NODE, "no workspace is up, and no tailscaled of the system runs");
	return why_hint(why, "ws-up %s", *c.down ? c.down : "NAME");
}

static int find(struct node *node, const char *name, const char *before, struct why *why)
{
	memset(node, 0, sizeof *node);
	node->root.fd = node->ws.dir = node->ws.lock = -1;
	if (!name)
		name = getenv("MOORBOX_WORKSPACE");
	if (!name || !*name)
		return only_one(node, before, why);
	if (str_eq(name, SYSTEM))
		return by_path(node, SYSTEM, system_socket(), why);
	return by_workspace(node, name, why);
}

int node_find(struct node *node, const char *name, const char *socket, struct why *why)
{
	if (!socket)
		return find(node, name, "-w", why);
	memset(node, 0, sizeof *node);
	node->root.fd = node->ws.dir = node->ws.lock = -1;
	return by_path(node, "", socket, why);
}

int node_find_operand(struct node *node, const char *name, const char *applet, struct why *why)
{
	return find(node, name, applet, why);
}

int node_forwards(const struct node *node, int create, struct why *why)
{
	struct ws_root root = {.fd = -1};
	if (node->is_ws)
		return forwards_dir(&node->root, &node->ws, create, why);
	if (ws_root_open(&root, why) < 0)
		return -1;
	int fd = forwards_dir(&root, NULL, create, why);
	ws_root_close(&root);
	return fd;
}

/* ---- its state ---- */

static int needs_login(const struct node_status *st, const char *up, struct why *why)
{
	char day[16];
	if (st->has_key && st->key_expiry && st->key_expiry <= time(NULL)) {
		clock_date(day, st->key_expiry);
		why_set(why, R_LOGIN, "the node's own key expired on %s: it has to log in again", day);
	} else {
		why_set(why, R_LOGIN, "the node is not logged in");
	}
	return *st->auth_url ? why_hint(why, "open %s", st->auth_url) : why_hint(why, "%s", up);
}

int node_running(const char *name, const struct node_status *st, struct why *why)
{
	char up[WS_LABEL + 16];
	int is_ws = name && *name && *name != '@';
	str_fmt(up, sizeof up, is_ws ? "ws-up %s" : "sudo tailscale up", is_ws ? name : "");
	switch (st->state) {
	case NODE_RUNNING:
		if (!st->locked_out)
			return 0;
		why_set(why, R_LOCK_UNSIGNED, "tailnet lock is on, and nobody has signed the key of this node%s%s",
			*st->hostname ? " " : "", st->hostname);
		return why_hint(why, "on a signing node: %s", st->sign);
	case NODE_NEEDS_LOGIN:
		return needs_login(st, up, why);
	case NODE_NEEDS_APPROVAL:
		return why_set(why, R_APPROVAL, "an admin has to approve the node %s", *st->hostname ? st->hostname : "");
	case NODE_STOPPED:
		why_set(why, R_NOT_UP, "the node is stopped");
		return why_hint(why, "%s", up);
	case NODE_STARTING:
		return why_set(why, R_NO_PATH, "the node is starting: it has reached neither a relay nor a peer yet%s%s",
			*st->health ? ": " : "", st->health);
	default:
		why_set(why, R_NOT_UP, "the node has not heard from its control server yet%s%s",
			*st->health ? ": " : "", st->health);
		why->status = EXIT_RETRY;
		return -1;
	}
}
