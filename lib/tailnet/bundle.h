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

/* Writing, to a file of the caller's, who renames it when bundle_end was 0. The manifest is made of what was added, and
 * comes last. bundle_add: 0, or -1; then bundle_end fails as well. */
struct bundle_writer { int fd, failed, count; long long made; struct buf manifest; char version[32]; };
void bundle_begin(struct bundle_writer *, int fd, const char *version, long long now);
int  bundle_add(struct bundle_writer *, const char *name, const void *, size_t, struct why *);
int  bundle_end(struct bundle_writer *, struct why *);

#endif
