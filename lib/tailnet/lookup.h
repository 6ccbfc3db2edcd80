/* lookup - what a host name leads to in the tailnet, from within a relay's loop: nothing waits
 *
 * A name is looked for in the netmap and in the tailnet's DNS settings, and nowhere else (peers.h, resolve.h). One look is for all
 * names that somebody waits for. An address that the DNS settings gave holds 10 s.
 */
#ifndef LOOKUP_H
#define LOOKUP_H
#include "contact.h"
#include "relay.h"

struct resolving;

/* A name, and what the last look said of it. */
struct lookup_host {
	char name[256];
	char dial[48];			/* what tailscaled is told to dial */
	int known, is_self, online, is_routed;
	long long looked;		/* when that look began; 0: none yet */
	struct why why;			/* when it is not known */
	struct resolving *resolving;	/* not NULL: a name server of the DNS settings is being asked */
	/* private */
	char address[48];		/* what the DNS settings give for it, or "" */
	long long resolved;
	int users;
	struct lookup_host *next;
};

struct lookup;

/* told: a look that began then is over for this name; it is of no use (why), or the host says. It may begin another look and take
 * or release hosts. wake: lookup_check is to be called every now and then while a look is on, or in the very next turn.
 * The settings are read at once. Both relay and contact must outlive it. */
typedef void lookup_told(void *ctx, struct lookup_host *, long long began, const struct why *);
struct lookup *lookup_new(struct relay *, struct contact *, lookup_told *told, void (*wake)(void *ctx, int at_once), void *ctx);
void lookup_free(struct lookup *);		/* NULL is fine */

struct lookup_host *lookup_take(struct lookup *, const char *name);	/* one more user of it; cut at 255 bytes */
void lookup_release(struct lookup_host *);
void lookup_start(struct lookup *);		/* a look for all that have users; one at a time */
void lookup_check(struct lookup *);
int  lookup_is_on(const struct lookup *);
void lookup_keep(struct lookup *);		/* what holds of the DNS settings now is used, what may hold soon is asked for */

/* Is the name the tailnet's DNS settings' to answer? 2 it is; 1 it may be, with a search domain; 0. */
int lookup_is_theirs(struct lookup *, const char *host);
const char *lookup_suffix(const struct lookup *);	/* the tailnet's, of the last look; "" before the first */

#endif
