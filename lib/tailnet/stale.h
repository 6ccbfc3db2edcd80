/* stale - what of ours is left over: nodes at a control server whose workspace is gone, and what a crash has left here
 *
 * Nothing is ours by its name: a node is by the lease that ws-up wrote (id and control server), a file by the directory it is in.
 * What cannot be told is kept. Sources: Tailscale's API documentation, "Devices".
 */
#ifndef STALE_H
#define STALE_H
#include "api_device.h"
#include "workspace.h"

enum stale_kind { STALE_NODE, STALE_LEASE, STALE_WORKSPACE, STALE_SOCKET, STALE_DIRECTORY, STALE_FILE };
enum stale_action { STALE_KEEP, STALE_DELETE, STALE_DROP, STALE_REMOVE };	/* the node there; the lease; what is here */

struct stale {
	enum stale_kind kind;
	enum stale_action action;
	const char *why;		/* one word, as ws-gc's help has them */
	char *id;			/* of the node; the path of what is here */
	char *name, *workspace, *control, *dns_name;	/* "" unknown */
	long long last_seen;		/* seconds since 1970; 0 unknown */
	int by_tag;			/* it has no lease of ours */
	int in_use;			/* not for showing: a node that its workspace has */
	int found, connected, external, other_name;	/* what the API says; private */
};

struct stale_list {
	struct stale *p;
	size_t n, room, leases;		/* the first are leases, sorted */
	long long date;			/* of the API's list */
};

/* Nodes without a lease: all that have the tag and were last seen so long ago. tag NULL: none. */
struct stale_tag { const char *tag; long long offline_s; };

const char *stale_kind_word(enum stale_kind);		/* "node"... */
const char *stale_action_word(enum stale_action);	/* "delete", "drop", "remove"; "" for keeping */

/* The leases whose workspace is gone, dead or has another node by now; all kept until stale_ask. 0, or -1. */
int stale_leases(const struct ws_root *, struct stale_list *, struct why *);

/* Looks them up among the devices of that control server. 0; -1: nothing may be deleted, and why: [list-doubtful] when the list is
 * empty or lacks a device that exists, [clock] when a time would count and two clocks differ, or what the API said. */
int stale_ask(struct stale_list *, struct api *, const char *control, const struct stale_tag *, long long deadline, struct why *);

/* What is left over on this machine: dead workspaces, sockets and directories of none, parts of files. 0, or -1. */
int stale_here(const struct ws_root *, struct stale_list *, struct why *);

/* Does what is to be done with one, looked at again: 1 done; 0 not any more, its why says it; -1. api may be NULL for what is here. */
int stale_apply(const struct ws_root *, const struct stale_list *, struct stale *, const struct api *, const struct stale_tag *,
	long long deadline, struct why *);

#endif
