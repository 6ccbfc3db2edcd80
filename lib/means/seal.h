/* seal - a file's bytes in memory of our own: what was checked is what is used
 *
 * A file can be changed, and its name pointed elsewhere, between the look and the use; bytes here cannot. They are
 * not trusted until one of the seal_trust_ calls has found that they are those which were signed or pinned; from
 * then on the memory is read-only. unpack.h takes nothing else, so bytes that nobody vouches for are never parsed.
 *
 * The file's size in memory is the price (a release is 30 MB); it works in a cgroup of 64 MB.
 */
#ifndef SEAL_H
#define SEAL_H
#include "err.h"
#include "sign.h"
#include <stddef.h>

struct seal;
enum { SEAL_MAX = 128 << 20 };		/* no release is larger */

/* seal_read: size bytes at off; size -1: the whole of a regular file; name is for messages. seal_open: of a path; errno is
 * kept (ENOENT); a fifo is not waited for. NULL with why ([too-big], [not-ours]...). */
struct seal *seal_read(int fd, long long off, long long size, size_t max, const char *name, struct why *);
struct seal *seal_open(int dir, const char *path, size_t max, struct why *);

/* Bytes as they come from the network, at most max. 0; -1 when there are more, or no memory. Not after it is trusted. */
struct seal *seal_new(size_t max);
int  seal_add(struct seal *, const void *, size_t);
void seal_cut(struct seal *);		/* empties: for starting again */
/* From now on SHA-256 and BLAKE2s are made of what is added, by a thread beside the caller (all signals blocked in it), so
 * that there is no second pass. It is there only where there is much, and gone when a digest was asked for, at seal_cut and
 * at seal_free: before the caller forks, one of these. Where max bytes of address space or a thread are refused, seal_add
 * hashes. A digest that was asked for is made from the beginning if more is added. */
void seal_hash_along(struct seal *);
void seal_free(struct seal *);		/* takes NULL */

const unsigned char *seal_bytes(const struct seal *);	/* never NULL */
size_t seal_size(const struct seal *);			/* in bytes */
const unsigned char *seal_digest(struct seal *, enum digest_kind);	/* computed once */
const char *seal_sha256(struct seal *);		/* in hex; lives as long as the seal */

/* 1: it is so, and from now on the bytes are trusted; 0: it is not so, and nothing has changed. */
int  seal_trust_digest(struct seal *, enum digest_kind, const unsigned char *want);
int  seal_trust_distsign(struct seal *, const unsigned char key[static 32], const unsigned char sig[static 64]);	/* BLAKE2s, length */
int  seal_trust_minisign(struct seal *, const unsigned char key[static 32], const unsigned char sig[static 64]);	/* BLAKE2b */
int  seal_trusted(const struct seal *);

#endif
