/* contact - a node's tailscaled, also after it has started anew
 *
 * For who talks to it for hours: a workspace's record is read again when nobody answers at its socket any more.
 */
#ifndef CONTACT_H
#define CONTACT_H
#include "node.h"

struct contact {
	struct node node;
	/* private */
	char name[WS_LABEL];
	int stat_fd;
	pid_t pid;
};

int  contact_open(struct contact *, const char *name, const char *socket, struct why *);	/* the values of -w and --socket, as in node.h */
void contact_close(struct contact *);
/* A connection to it, at once: a full queue is [deadline]. A descriptor, or -1. */
int  contact_reach(struct contact *, struct why *);
/* Does the process that was reached last live, and is it not about to end? */
int  contact_is_alive(const struct contact *);
int  contact_may_return(const struct why *);	/* is it a failure that a tailscaled has which starts anew? */

#endif
