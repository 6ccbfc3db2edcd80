/* pin - which bytes somebody has looked at and settled on: a SHA-256, or a lock file of them
 *
 * A lock file is JSON lines, one a file, sorted by name, so that it can be committed and its changes read:
 *	{"file":"tailscale_1.102.5_amd64.tgz","version":"1.102.5","arch":"amd64","size":1,"sha256":"...","signer":"..."}
 * Unknown keys are left alone; "index-date" (unix time) is that of the apt index a .deb came from.
 */
#ifndef PIN_H
#define PIN_H
#include "err.h"

struct pin {
	char file[128], version[32], arch[16], sha256[65], signer[80];
	long long size, index_date;	/* 0: not said */
};
struct pins { struct pin *p; int count; };

int  pin_load(struct pins *, const char *path, struct why *);	/* 0; -1: [bad-lock]; a missing file is why_errno's, errno ENOENT */
void pin_free(struct pins *);
const struct pin *pin_find(const struct pins *, const char *file);	/* or NULL */

/* The same file with the same bytes: 0. -1: [pin-differs]; not in it: [downgrade] when it has a newer one for the same
 * machine, else [not-pinned]. [replay] when the index is older than the one that the lock was made from. */
int  pin_check(const struct pins *, const struct pin *have, struct why *);

void pin_put(struct pins *, const struct pin *);		/* adds it, or replaces the one of the same file */
int  pin_save(const struct pins *, const char *path, struct why *);	/* sorted, beside and renamed, 0644 */
int  pin_merge(const struct pins *, const char *path, struct why *);	/* puts them into the lock file, made if need be. 0, or -1 */

#endif
