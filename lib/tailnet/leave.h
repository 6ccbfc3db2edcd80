/* leave - take a workspace off its tailnet
 *
 * An ephemeral node is logged out and, once that is answered, its daemon is ended at once and everything of it deleted.
 * A kept one is only stopped, unless forget says otherwise.
 */
#ifndef LEAVE_H
#define LEAVE_H
#include "api_open.h"
#include "workspace.h"

struct leave {
	int forget;			/* log a kept one out as well, and delete it */
	int force;			/* delete what is here even if the node could not be logged out */
	int refused;			/* control is known to have said no: no registration is under way */
	const struct api_who *who;	/* opens the API, if a node is to be deleted that cannot be logged out any more; may be NULL */
};

enum left {
	LEFT_DOWN,			/* a kept node, stopped; registered still */
	LEFT_GONE,			/* logged out (or deleted), nothing is left here */
	LEFT_LISTED,			/* the same, but a kept node stays listed at control until it is deleted there */
	LEFT_DEAD,			/* its daemon was dead already; what was here is deleted, the node may still be listed */
	LEFT_NOTHING,			/* there was nothing to do */
};

/* The API is asked last, and only if there is need: whatever it says, the daemon is ended.
 * The workspace is locked by the caller and stays so. >= 0: enum left. -1: [left-behind]: the daemon is ended and what is
 * here is kept (deleted with force, status 1); [elsewhere]; [no-permission]... */
int leave_run(const struct ws_root *, struct ws *, const struct leave *, long long deadline, struct why *);

#endif
