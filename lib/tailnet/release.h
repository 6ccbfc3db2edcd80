/* release - the Tailscale programs on this machine: which tailscaled to start */
#ifndef RELEASE_H
#define RELEASE_H
#include "err.h"

enum { RELEASE_OLDEST_MINOR = 80 };	/* 1.80 is the oldest tailscaled that moorbox drives */

/* The tailscaled to start, as a real path without symlinks (Landlock wants that): $MOORBOX_TAILSCALED; what moorbox
 * installed (lib/moorbox/current beside our own bin, then /usr/local or ~/.local); PATH and the sbin directories.
 * It must be a program for this machine: [no-tailscaled], [bad-tailscaled]. */
int release_tailscaled(char *path, int size, struct why *);

/* 0 when "1.102.5-t..." is new enough; -1 with [tailscaled-old]. Text that is no version passes: a build of one's own. */
int release_check_version(const char *version, struct why *);

#endif
