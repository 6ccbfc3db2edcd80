/* bring - a workspace brought onto the tailnet: from what is there to Running, open and ready
 *
 * One that is up already is found so, and changed where that can be; one that waits, or that a killed call has left half-way, is
 * resumed; else a tailscaled is started, joins, and its ports are opened last. After a failure nothing of the attempt is left,
 * except a node that waits for somebody's login, approval or signature: ending that would spend a one-off key.
 */
#ifndef BRING_H
#define BRING_H
#include "api_open.h"
#include "daemon.h"
#include "lease.h"
#include "mint.h"
#include "settings.h"
#include "spec.h"
#include "target.h"
#include "workspace.h"

enum { BRING_READY = 16, BRING_NEEDS = WS_DERPS + 4 };
enum bring_note { BRING_STEP, BRING_TELL };	/* for who wants each step; for everybody */

struct bring {
	/* what is asked for */
	const struct settings *set;
	struct ws_spec spec;
	unsigned told;			/* which options of spec were given: TOLD_; the others are as they were */
	const char *key_src, *api_src;	/* SRC, or NULL */
	const char *clone;		/* URL, or NULL */
	int depth;			/* of the clone; 0: all of it */
	const char *ready[BRING_READY];	/* HOST:PORT, checked */
	int nready;
	int login, restart;
	long long deadline;		/* git's time is added to it */
	void (*note)(enum bring_note, const char *text);

	/* what has come of it */
	struct ws_root root;
	struct ws ws;			/* open and locked until ws_close, also after a failure that came so far */
	struct daemon daemon;
	struct node_status st;
	int found_up;			/* it was up before us */

	/* private */
	struct target target;		/* of spec.netns */
	int has_target;
	struct secret credential;	/* what api_src gives */
	struct api_who who;		/* the same, taken by free_name */
	struct mint mint;		/* where the key comes from */
	int needs[BRING_NEEDS], nneeds;
	struct lease_write lease;
	int cloned;
	int noted;			/* what control gave us is recorded */
	int refused;			/* it did not end by a signal or the deadline */
	int rejoins;			/* a kept node, whose host name may have been another */
};

/* 0: up; -1 with the reason of the module it came from: [no-key], [key-refused], [differs], [name-taken], [elsewhere]...; after
 * [approval], [login] and [lock-unsigned] the node is left to wait. */
int bring_up(struct bring *, const char *name, struct why *);

#endif
