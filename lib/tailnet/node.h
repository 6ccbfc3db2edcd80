/* node - which tailscaled a ts-* applet means
 *
 * --socket PATH; or -w NAME, -w @system; else $MOORBOX_WORKSPACE, with the same values; else the only one among
 * the workspaces whose daemon runs and the system's own tailscaled. None: [no-node]. More: [which-node].
 *
 * The system's socket is $TS_SOCKET, as containerboot has it, else /var/run/tailscale/tailscaled.sock. A
 * workspace that was brought up with that TS_SOCKET is the workspace, and not counted twice.
 */
#ifndef NODE_H
#define NODE_H
#include "localapi.h"
#include "workspace.h"

struct node {
	char name[WS_LABEL];		/* the workspace's, "@system", or "" for --socket */
	struct localapi api;		/* good until node_close; of a workspace it reaches its own daemon only */
	int is_ws;
	struct ws_root root;		/* open when is_ws */
	struct ws ws;			/* its records; not locked */
};

/* name and socket are the values of -w and --socket, or NULL. 0; -1 with [no-node], [which-node], [not-up]
 * with the ws-up to type, [no-workspace] with names that are near, [elsewhere], [bad-name]. */
int  node_find(struct node *, const char *name, const char *socket, struct why *);

/* The same where the name is applet's operand, as the hint of [which-node] says then. */
int  node_find_operand(struct node *, const char *name, const char *applet, struct why *);
void node_close(struct node *);

/* The directory of the records of forwards through it (forwards.h): a descriptor, the caller's; or -1. All that are no
 * workspaces have one together. */
int  node_forwards(const struct node *, int create, struct why *);

/* 0 when it is Running; else why not: [login], [approval], [lock-unsigned], [not-up], [no-path]. name may be NULL. */
int node_running(const char *name, const struct node_status *, struct why *);

#endif
