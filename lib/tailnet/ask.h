/* ask - one question to tailscaled from within a relay's loop: nothing waits
 *
 * HTTP/1.0, so that the answer ends with the connection. What comes is fed piece by piece; over is called in a later turn, once,
 * unless ask_start itself fails.
 */
#ifndef ASK_H
#define ASK_H
#include "buf.h"
#include "relay.h"

struct ask {
	struct relay *relay;
	int (*feed)(struct ask *, const char *, size_t, struct why *);	/* of the body; non-zero ends it with *why */
	void (*over)(struct ask *, const struct why *);		/* NULL: all of it was fed; ask_end is due */
	/* private */
	int fd, in_body;
	struct relay_watch watch;
	struct buf head;
};

/* One that asks nothing yet; both functions get it, as the first member of what it belongs to. */
struct ask ask_new(struct relay *, int (*feed)(struct ask *, const char *, size_t, struct why *),
	void (*over)(struct ask *, const struct why *));

/* fd: a connection to tailscaled, the ask's from now on, or -1 with *why. what: behind /localapi/v0/. 0; -1: nothing is under way:
 * [lost]... The ask must not move until ask_end; one that was under way is given up. */
int  ask_start(struct ask *, int fd, const char *what, struct why *);
void ask_end(struct ask *);
int  ask_is_on(const struct ask *);		/* is one under way? */

#endif
