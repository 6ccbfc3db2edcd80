/* reach - does a TCP connection through the tailnet come about; and if not, why not
 *
 * "Up" means that a connection to the real port succeeded: not that tailscaled runs, nor that the node
 * answers pings. The reason for a "no":
 *
 *	[unknown-name]  nobody of that short name, 5 s after the first look: a slip should not cost all the time
 *	[not-visible]   nobody there till the end, though asked by a whole name or an address of the tailnet: so is
 *	                waited for a node that has yet to join, or that the policy still hides
 *	[refused]       the node refuses it: nothing listens there, or it is not open
 *	[filtered]      the node answers a disco ping, but not on this port: policy, shields, or not among -i
 *	[peer-offline]  not even a ping is answered, and control says that it is offline
 *	[no-path]       not even a ping is answered, though control says that it is online
 *	[lock-unsigned] tailnet lock hides it, or locks this node out
 *	[approval] [login] [not-up]  this node itself is not ready
 */
#ifndef REACH_H
#define REACH_H
#include "dial.h"
#include "localapi.h"
#include "peers.h"

/* Where the peer's side closes first, tailscaled now and then picks a port that the peer still holds, and its SYNs are never
 * answered: without an answer a dial is made anew, with another port, after 2 s, and after 4 s more. */
enum { REACH_ANEW_MS = 2000, REACH_ANEW_TIMES = 2 };

/* One connection to a host that peers.h found: as localapi_dial, but made anew as above, and an answer that does not come is
 * named as above. For that a part of the time (a third, at most 2 s) is kept back. */
int reach_dial(const struct localapi *, const struct host *, int port,
	struct dial_answer *early, int *half_close, long long deadline, struct why *);

/* Tries until it succeeds or the deadline passes: every 25 ms for 2 s, then less and less often, down to once
 * a second, with jitter. A try is given 1.5 s at first, later up to 5 s, so that a SYN that is dropped does
 * not eat up the deadline. 0, or -1. */
int reach_wait(const struct localapi *, const char *name, int port, long long deadline, struct why *);

/* Does the node answer a disco ping? 1, 0 not in time; -1 with *why. */
int reach_ping(const struct localapi *, const char *ip, long long deadline, struct why *);

int reach_refused(const char *name, int port, struct why *);	/* -1, [refused]: the words for it */

#endif
