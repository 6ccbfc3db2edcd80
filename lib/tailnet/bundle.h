/* bundle - tailscale_VERSION.moor: a release for several machines, with all that is needed to verify it
 *
 * A plain tar, so that tar lists it: manifest.json, distsign.pub, distsign.pub.sig, and for each machine
 * tailscale_VERSION_ARCH.tgz and its .sig. Flat, regular files only, each once; whatever else it has makes it no
 * bundle. Nothing in it is trusted for being in it: the manifest only finds damage early.
 */
#ifndef BUNDLE_H
#define BUNDLE_H
#include "buf.h"
#include "err.h"
#include "seal.h"

enum { BUNDLE_ENTRIES = 64 };

struct bundle_entry { char name[100]; long long off, size; char sha256[65]; /* the manifest's; "" */ };
struct bundle {
	int fd;				/* the caller's */
	int count;
	struct bundle_entry e[BUNDLE_ENTRIES];
	char version[32];		/* the manifest's */
	long long made;
};

/* Reads the headers and the manifest. The descriptor must stay open. 0; -1: [bad-archive], [wrong-file]. */
int  bundle_open(struct bundle *, int fd, struct why *);
const struct bundle_entry *bundle_find(const struct bundle *, const char *name);	/* or NULL */
struct seal *bundle_read(const struct bundle *, const struct bundle_entry *, size_t max, struct why *);	/* not trusted yet; NULL with why */
int  bundle_is(const unsigned char *start, size_t len);		/* may the file be one? (a tar's first 512 bytes) */

/* Writing, beside the file and renamed over it at the end. The file beside it is locked, so that only one writes: [busy] at
 * the deadline; what a killed one left is used again. The manifest is made of what was added, and comes last. Whatever
 * fails, bundle_drop is due, and the old file is as it was. 0, or -1. */
struct bundle_writer { int fd, count; long long made; struct buf manifest; char version[32]; const char *file; char tmp[4400]; };
int  bundle_begin(struct bundle_writer *, const char *file, const char *version, long long now, long long deadline, struct why *);
int  bundle_add(struct bundle_writer *, const char *name, struct seal *, struct why *);	/* trusted or not; its SHA-256 is asked for */
long long bundle_end(struct bundle_writer *, struct why *);	/* fsynced and renamed: its size; or -1 */
void bundle_drop(struct bundle_writer *);	/* harmless after bundle_end, and before bundle_begin on zeros */

#endif
