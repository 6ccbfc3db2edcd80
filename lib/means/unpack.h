/* unpack - the files of a trusted archive, one after the other
 *
 * Takes .tar, .tar.gz, .tar.xz, .tar.zst, and .deb (its data.tar). Only from a seal that is trusted (seal.h): anything
 * else is refused before its first byte is looked at. One strict reader of tar headers (ustar.h) for all of them;
 * the libraries only inflate. Nothing is written but what the caller asks for, under a name that the caller chooses.
 *
 * Everything is bounded: entries, bytes of all and of each, names. The end must be a clean one: two blocks of
 * zeros, nothing but zeros after them, nothing behind the compressed stream, its checksum right.
 */
#ifndef UNPACK_H
#define UNPACK_H
#include "buf.h"
#include "err.h"
#include "seal.h"
#include "ustar.h"

enum { UNPACK_ENTRIES = 1000, UNPACK_TOTAL_MB = 512, UNPACK_EACH_MB = 256 };

struct unpack;
int  unpack_open(struct unpack **, const struct seal *, struct why *);	/* 0; -1, [bad-archive]. The seal must outlive it. */
int  unpack_open_start(struct unpack **, const struct seal *, struct why *);	/* inflates no further than is read */
int  unpack_next(struct unpack *, struct ustar *, struct why *);	/* 1; 0 at a clean end; -1. What was left of one is passed over. */
long unpack_data(struct unpack *, const void **piece, struct why *);	/* bytes, valid until the next call; 0 at the entry's end; -1 */

/* Writes the entry's data to dir/name, which must not be there: 0600 while it grows, then mode. It is sent on
 * its way to the disk; whoever needs it to be there fsyncs it, after what else there is to do. tap, if any, is shown each piece
 * first and ends it with non-zero (and why set). 0; -1, and the file is gone again. */
int  unpack_to(struct unpack *, int dir, const char *name, int mode,
	int (*tap)(void *ctx, const void *, size_t, struct why *), void *ctx, struct why *);
void unpack_close(struct unpack *);	/* takes NULL */

/* A compressed text (Packages.gz, .xz, .zst) or a plain one, at most max bytes of it. 0, or -1. */
int  unpack_text(const struct seal *, struct buf *, size_t max, struct why *);

/* A gzipped text of our own, whole, NUL-ended, to be freed. A broken one ends the program: it is part of it. */
char *unpack_own(const unsigned char *gz, size_t n, size_t *len);

#endif
