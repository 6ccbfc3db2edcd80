/* lease - the nodes that are ours, in STATE/leases.jsonl, for cleaning up after crashes
 *
 * A line a node: {"id","control","name","workspace","dnsName","since"}. A node is its id and its control server, since each server
 * has ids of its own. Added by one append, blanked where it stands: a kill leaves a lease, or a line that is none.
 */
#ifndef LEASE_H
#define LEASE_H
#include "workspace.h"
#include <pthread.h>

/* add: the line is there for every other process when it returns. That of a kept node outlives a power cut as well: a thread sees to
 * it, which settle waits for; an ephemeral node does not outlive it itself. -1 of add: nothing to settle. */
struct lease_write { pthread_t thread; int fd, dir, running, error; };
int lease_add(const struct ws_root *, const struct ws *, struct lease_write *, struct why *);
int lease_settle(struct lease_write *, struct why *);
/* A node is its id and its control server: each server has ids of its own. control "": not known; then nothing is dropped
 * if two servers have such an id. */
int lease_drop(const struct ws_root *, const char *control, const char *node_id, struct why *);
/* Each line that can be read, in their order. A positive answer of fn's ends it. 0, or -1. */
struct lease { char id[64], control[512], name[WS_LABEL], workspace[WS_LABEL], dns_name[256]; };
int lease_each(const struct ws_root *, int (*fn)(const struct lease *, void *), void *ctx, struct why *);
/* The lease on a host name at a control server, the last one: node id into id; 1, 0 none, -1. */
int lease_find(const struct ws_root *, const char *control, const char *hostname, char id[static 64], struct why *);
/* The same by the workspace's name; of this control server, or of any when it is "". */
int lease_of(const struct ws_root *, const char *workspace, const char *control, struct lease *, struct why *);

#endif
