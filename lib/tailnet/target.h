/* target - whose network namespace a workspace uses: --netns container:NAME, pid:N, PATH or here
 *
 * A container is known by its first process, found by docker's socket or podman. That process is the anchor: with its end
 * the namespace has no owner any more, even though tailscaled keeps it alive.
 */
#ifndef TARGET_H
#define TARGET_H
#include "netns.h"
#include "proc.h"
#include "workspace.h"

struct target {
	struct netns ns;
	struct proc_id anchor;		/* pid 0: a path, which is looked at itself */
	char told[WS_NETNS];
};

/* 1: it is our own network namespace, that is: no target; 0 found, target_close is due; -1 with [usage], [no-container],
 * [no-netns], [netns-denied] and the command to type. name: the workspace's, for that. */
int  target_open(const char *told, const char *name, struct target *, long long deadline, struct why *);
void target_close(struct target *);

int target_is_loopback(const char *url);	/* is its host this machine itself, by an address or as localhost? */

/* What tailscaled has to reach must not be on this machine's loopback, which is another one there, and no more must the
 * resolver of its name, with which tailscaled would wait for ever and say nothing: [loopback-in-netns]. proxy may be NULL. */
int target_check_reach(const struct target *, const char *control, const char *proxy, struct why *);

/* Puts the resolv.conf and hosts that hold there into NAME/, to be seen by the daemon. 0, or -1. */
int target_prepare(struct target *, const struct ws_root *, const struct ws *, struct why *);

#endif
