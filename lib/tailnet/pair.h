/* pair - what ts-forward is told: where to listen, and what of the tailnet that leads to */
#ifndef PAIR_H
#define PAIR_H
#include "forwards.h"

/* [[BIND:]LPORT:]HOST:PORT, or unix:PATH:HOST:PORT; HOST is a name, or an address that stands in brackets if there are colons in it.
 * It is read from its end. Without LPORT a free port of 127.0.0.1 is meant, 0; BIND is a number or localhost: a name could lead to an
 * address that nobody meant to open. A relative PATH is made absolute. 0; -1, [usage]. */
int pair_read(const char *text, struct forward *, struct why *);
/* [BIND:]LPORT alone, of a proxy. 0; -1, [usage]. */
int pair_local(const char *text, struct forward *, struct why *);
int pair_is_open(const struct forward *);	/* can others of the network reach it, not only this machine? */

#endif
