/* pasta - a way out for a network namespace of our own: the program pasta, of passt (https://passt.top)
 *
 * It copies what the namespace sends into sockets of this machine, and needs no root: as root it is run by nobody. It
 * joins the namespace by descriptors, so neither its number nor a path of it has to be known.
 *
 *	pasta_owner(&uid, &gid);		netns_make(uid, gid, &ns, &why);
 *	pasta_spawn(...);			it waits at the gate (proc.h)
 *	... write the record ...
 *	pasta_release(...);			it runs, and the namespace has its routes
 *
 * In the namespace this machine's loopback is seen at PASTA_GATEWAY, and the first nameserver of its resolv.conf at PASTA_DNS.
 * Its addresses are of a network as small as can be, and not those of this machine, which could not be reached from there then.
 */
#ifndef PASTA_H
#define PASTA_H
#include "netns.h"
#include "proc.h"

#define PASTA_GATEWAY "10.213.97.1"
#define PASTA_DNS "10.213.97.3"
#define PASTA_BITS "29"

int pasta_find(char *path, int size, struct why *);	/* in PATH; 0, or -1 with [no-pasta] */
void pasta_owner(int *uid, int *gid);			/* who runs it, and so has to own the namespace */

struct pasta {
	struct proc_child child;	/* its pidfd is the caller's to close */
	/* private */
	struct proc_spec spec;
	char path[600], ports[512];
	char *argv[32];
	int watch, uid, gid;
};

/* turn: 0, or 1 to have another address. ports: TCP ports of this machine's loopback to be brought in, to the same numbers of the
 * namespace's; nothing else comes in.
 * err: descriptor for its messages. ns has its owner open. [no-pasta]; [netns-denied] when /dev/net/tun is not for it. */
int pasta_spawn(struct pasta *, const struct netns *ns, int turn, const int *ports, int n, int err, struct why *);

/* -1, nothing of it runs any more: [pasta-failed]: its words are in err. A few seconds are enough for it, whatever the deadline. */
int pasta_release(struct pasta *, long long deadline, struct why *);
void pasta_abandon(struct pasta *);		/* instead of that: nothing was executed */

#endif
