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

int release_is_version(const char *);			/* "1.102.5": three numbers of at most nine digits, no zeros in front */
int release_parts(const char *version, int *major, int *minor);	/* 0, or -1 (both are 0 then) */

/* Below, at or above 0, as Tailscale compares versions (util/cmpver): runs of digits as numbers, the rest as text. */
int release_compare(const char *, const char *);

/* What moorbox installed under this prefix: the version that the link lib/moorbox/current points to. 0; -1: nothing. */
int release_installed(const char *prefix, char version[static 32]);

/* 0; -1 with [downgrade] when version is older than before (NULL, "": nothing to compare with); what: "which is installed". */
int release_check_downgrade(const char *version, const char *before, const char *what, struct why *);

#endif
