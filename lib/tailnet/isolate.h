/* isolate - a network namespace of the workspace's own, with pasta as its way out: ws-up --isolate
 *
 * So each workspace has a loopback of its own. tailscaled joins it as it joins somebody else's, and keeps it: without pasta the
 * workspace is cut off and nothing else. The same holds a workspace to -i PORT where the kernel cannot: then only those
 * ports are brought in, and nothing of it is seen by anybody but tailscaled.
 */
#ifndef ISOLATE_H
#define ISOLATE_H
#include "buf.h"
#include "target.h"
#include "workspace.h"

/* What tailscaled has to reach, as it is to be told there: this machine's loopback is at the gateway's address. Returns dst. */
char *isolate_url(const char *url, char *dst, int size);

/* Can it be at all? [no-pasta]. TLS to an address of loopback is for that address, and cannot go by another: [loopback-in-netns].
 * proxy may be NULL. */
int isolate_check(const char *control, const char *proxy, struct why *);

/* Makes the namespace and starts pasta. ws->run is what is known of it, and
 * saved, so that pasta has a record. t is for daemon_start; target_close is due. log: descriptor for pasta's words.
 * [no-pasta], [netns-denied], [pasta-failed]: then nothing of it runs and there is no run.json. */
int isolate_start(struct target *t, const struct ws_root *, struct ws *, int log, long long deadline, struct why *);

/* Another pasta for a namespace whose own is gone while its daemon lives on: it keeps its node, its address and its name. */
int isolate_mend(struct ws *, int log, long long deadline, struct why *);

/* The namespace that a workspace that runs has to itself (--isolate) or is in (--netns), for a command to join: 0, and
 * netns_close is due; 1: it is in ours; -1 with [netns-denied] and the command to type. */
int isolate_inside(const struct ws_root *, const struct ws *, struct netns *, struct why *);

/* For a command that joins it: proxies on this machine's loopback as they are to be told there, and MOORBOX_HOST, the address
 * of that loopback. */
void isolate_setenv(const struct ws *);

/* resolv.conf as it holds there: a resolver on loopback is asked through pasta. How many there were. */
int isolate_resolvers(const char *text, struct buf *);

#endif
