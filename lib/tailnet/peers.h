/* peers - a host of the tailnet by what a user types: from the netmap and the tailnet's DNS settings, never from the system's DNS
 *
 * Short name, whole name with or without a dot at its end, in any case; this node itself too; an IPv4 or IPv6
 * address of a node; an address behind a subnet router (its approved routes, the longest prefix wins, never a
 * whole address family: an exit node is not a host's way); a name that the tailnet's DNS settings give (resolve.h), by the
 * address it has there. The netmap is read as a stream: a tailnet of
 * thousands costs no more memory than one of two.
 */
#ifndef PEERS_H
#define PEERS_H
#include "localapi.h"
#include "near.h"

struct host {
	char dial[48];			/* the address: IPv4 where there is one; as typed when an address was typed */
	int is_self, is_routed;		/* this node; an address behind peer */
	struct peer peer;		/* whose it is; of this node: names and addresses */
};

/* One call to tailscaled. st is filled in whenever it answered. Not Running (nor Starting): see node_running.
 * Nobody of that name: [unknown-name], near names in the hint; or [lock-unsigned], when tailnet lock hides it. A subnet
 * route that this node does not accept: [no-path], with host filled in. */
int peers_find(const struct localapi *, const char *name, struct host *, struct node_status *,
	long long deadline, struct why *);

/* The reason when a name of the DNS settings has an address that is nobody's: [no-path]. */
int peers_nowhere(const char *name, const char *ip, struct why *);

/* Was it a name that must be of this tailnet: its suffix is, or the address is one of Tailscale's ranges? */
int peers_is_ours(const char *name, const char *suffix);

void peers_self(const struct node_status *, struct peer *);	/* this node, as a peer */

/* The search itself, fed by hand: 1 from peers_look ends it. */
struct peers_search {
	char name[256];			/* lower case, no dot at its end, no brackets */
	unsigned char ip[16];
	int ip_len;			/* 4 or 16 when an address was typed */
	int prefix;			/* of the best route so far, or -1 */
	int found;
	const char *suffix;
	struct host host;
	struct near near;
};
int peers_begin(struct peers_search *, const char *name, const char *suffix, struct why *);	/* 0, or -1 */
int peers_look(struct peers_search *, const struct peer *, int is_self);
int peers_end(struct peers_search *, struct why *);	/* 0: host is filled in; -1 */

#endif
