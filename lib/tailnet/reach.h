/* reach - does a TCP connection through the tailnet come about; and if not, why not
 *
 * "Up" means that a connection to the real port succeeded: not that tailscaled runs, nor that the node answers pings.
 * The reason for a "no":
 *	[unknown-name]	nobody of that short name, 5 s after the first look: a name mistyped should not cost the whole deadline
 *	[not-visible]	nobody there till the end, though asked by a whole name or an address of the tailnet: so is waited for
 *			a node that has yet to join, or that the policy hides
 *	[approval] [login] [not-up]	this node is not ready itself
 *	[refused]	the node answers and nothing listens there
 *	[filtered]	the node answers a disco ping, the connection is dropped: policy, shields, or a port that -i left out
 *	[peer-offline]	no ping either, and control says offline      [no-path] no ping either, though control says online
 */
#ifndef REACH_H
#define REACH_H
#include "dial.h"
#include "localapi.h"
#include "peers.h"

/* One connection to a host that peers.h found: as localapi_dial, but an answer that does not come is named as above,
 * for which it keeps a part of the time (at most 2 s) back. */
int reach_dial(const struct localapi *, const struct host *, int port, struct dial_answer *early, int *half_close,
	long long deadline, struct why *);

/* Tries until it succeeds or the deadline passes: every 25 ms for 2 s, then less and less often, up to 1 s, with jitter. A try
 * is given 1.5 s at first, later up to 5 s, so that one SYN that is dropped does not eat up the deadline. 0, or -1. */
int reach_wait(const struct localapi *, const char *name, int port, long long deadline, struct why *);

/* Does the node answer a disco ping? 1, 0 not in time; -1 with *why. */
int reach_ping(const struct localapi *, const char *ip, long long deadline, struct why *);

#endif
