/* clone - a repository in a workspace's src/
 *
 * git is the machine's own, with its credentials and configuration; what may hold a key of ours is not in its
 * environment. A clone that did not come to its end leaves nothing.
 */
#ifndef CLONE_H
#define CLONE_H
#include "workspace.h"

/* Clones url into NAME/src. depth 0: all of it. key_srcs: the -k, --api and the like that were given (NULL-ended), whose
 * variables git does not get. 1 cloned; 0 there is a src already; -1 with [no-git], [clone-failed]. */
int clone_get(const struct ws *, const char *url, int depth, const char *const *key_srcs, struct why *);

#endif
