/* netns - a network namespace that is not ours, which a child joins before it executes anything
 *
 *	netns_of_pid(pid, &ns, &why);		opens all it needs; says what is not allowed
 *	p.enter = ...; netns_enter(&ns)		the child joins, before it is confined
 *	netns_close(&ns);
 *
 * The child gets a mount namespace of its own as well, in which resolv and hosts are seen at /etc/resolv.conf and
 * /etc/hosts: the names in the namespace are not this machine's. Joining takes CAP_SYS_ADMIN (root), or a user
 * namespace that belongs to us, as that of a rootless container does; it is joined first.
 */
#ifndef NETNS_H
#define NETNS_H
#include "buf.h"
#include "err.h"

struct netns {
	int net, user;			/* descriptors; -1: none, and none needed */
	unsigned long long inode;
	char resolv[640], hosts[640];	/* files of ours to be seen in the place of those of /etc; "" for as they are */
};

/* Of a process, or behind a path (/run/netns/NAME). 1: it is our own, nothing is open; 0; -1 with [no-netns] or
 * [netns-denied]. */
int  netns_of_pid(int pid, struct netns *, struct why *);
int  netns_of_path(const char *path, struct netns *, struct why *);
void netns_close(struct netns *);

/* A file of /etc as a process sees it. Links in it are followed below its own root only: a container decides about
 * them. 0; -1: none such, or none to be had safely. */
int netns_etc(int pid, const char *name, struct buf *);

/* In the child, async-signal-safe. 0, or what netns_failed explains. */
int netns_enter(const struct netns *);
int netns_enter_cmd(void *netns);		/* the same, for struct proc_cmd */
int netns_is_failure(int code);		/* was it netns_enter's? */
int netns_failed(int code, struct why *);	/* returns -1 */

unsigned long long netns_inode(const char *path);	/* 0: nothing there */

/* A fresh one, with nothing in it but its loopback, in a user namespace of its own that belongs to uid and gid: ours or, as
 * root, anybody's. They are the same numbers in it. It lasts as long as a descriptor or a process of it. [netns-denied]. */
int netns_make(int uid, int gid, struct netns *, struct why *);
/* The user namespace that it belongs to, which is opened if it is not: for who has to act in it. 0, or -1. */
int netns_owner(struct netns *, struct why *);

/* A socket in it that becomes readable when a route comes; -1. The caller's to close. */
int netns_watch(const struct netns *, struct why *);
int netns_has_route(int watch);			/* reads what it tells: has a default route come? */

#endif
