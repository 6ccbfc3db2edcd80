/* carry - connections into the tailnet from within a relay's loop: nothing waits, and a slow one stalls no other
 *
 * What lookup.h found for a host is good for 2 s; later it is looked for again while the dial is under way already, and the
 * connection is handed out when both have answered the same. Any number of dials share one look. After a dial that failed there
 * is another look, too.
 *
 * A tailscaled that is gone or starts anew is waited for, 10 s: nothing was sent yet, so nothing is lost. The workspace's
 * record is read again to find it (contact.h).
 */
#ifndef CARRY_H
#define CARRY_H
#include "dial.h"
#include "node.h"
#include "relay.h"

struct carry;

/* Name and socket are the values of -w and --socket, as in node.h. The relay is asked to reset what ends because
 * tailscaled has died, and has to outlive it. */
struct carry *carry_new(struct relay *, const char *name, const char *socket, struct why *);
void carry_free(struct carry *);		/* what is under way ends without a word */
const struct node *carry_node(const struct carry *);
const char *carry_suffix(const struct carry *);	/* the tailnet's, of the last look; "" before the first */

/* Is the name the tailnet's DNS settings' to answer? 2 it is; 1 it may be, with a search domain; 0. They are read when the
 * carry is made, and again every 10 s at most. */
int carry_is_theirs(struct carry *, const char *host);

/* Begins one; done is called in a later turn, once: with a stream that is the callee's and the bytes that came with it
 * (flags are relay_add's), or with fd -1 and why. */
struct carry_dial;
typedef void carry_done(void *ctx, int fd, const struct dial_answer *early, int flags, const struct why *);
struct carry_dial *carry_dial(struct carry *, const char *host, int port, carry_done *, void *ctx);
void carry_cancel(struct carry_dial *);		/* done is not called; NULL is fine */

#endif
