/* join - bring a tailscaled onto its tailnet, or find out why not
 *
 * The order is that of `tailscale up` over LocalAPI: watch the bus, start with all preferences, login once when there is no
 * node key, then listen. tailscaled retries for ever and is silent about much, so the control server is asked by ourselves as well.
 */
#ifndef JOIN_H
#define JOIN_H
#include "daemon.h"
#include "localapi.h"

struct join {
	struct daemon *daemon;
	const char *control;		/* URL, as we reach it */
	struct prefs prefs;		/* with control as tailscaled does */
	const char *key;		/* NULL: none; never sent to a node that is logged in */
	int interactive;		/* without a key: ask for a URL to log in at */
	int resume;			/* a login or an approval is under way already: only listen */
	void (*tell)(const char *text, void *ctx);	/* a line for the user: the URL, what is being waited for */
	/* Once, as soon as control has given the node its id and name, which is before Running for a new one: *st is filled in.
	 * What it has to do for the record is done while tailscaled looks for its relay. -1 ends the joining. */
	int (*registered)(void *ctx, struct why *);
	void *ctx;
};

enum { JOIN_LONGER_MS = 200 };	/* no progress for so long: ask the control server ourselves */

/* *st: what the caller has just been told. 0: Running, and *st is of that moment or of registered's. -1: the reason. [approval], [login],
 * [lock-unsigned]: the daemon waits and may stay; after any other it is useless. A refusal by the control server is final at once;
 * what may pass is tried until the deadline and then named. */
int join_run(const struct join *, struct node_status *st, long long deadline, struct why *);

/* What our own request to CONTROL/key says, by the same proxy and CA as tailscaled's: 0 fine; -1 [control-dns], [control-refused],
 * [control-tls], [control-proxy], [control-error], [control-silent], [clock]. */
int join_ask_control(const char *control, long long deadline, struct why *);

#endif
