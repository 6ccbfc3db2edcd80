/* file - files that are never half written, directories that are provably ours
 *
 * Everything is opened O_CLOEXEC and, below a directory of ours, O_NOFOLLOW relative to its descriptor.
 */
#ifndef FILE_H
#define FILE_H
#include "buf.h"
#include "err.h"

/* A directory of ours: every missing part is made 0700; the last one must be a real directory, owned by us,
 * not writable by others, else [not-ours]. Returns its descriptor, or -1. Symlinks above it are followed. */
int file_dir(const char *path, struct why *);
/* One part, the same checks; not there: [no-workspace]. */
int file_dir_at(int dir, const char *name, int create, struct why *);

/* Reads a regular file whole, at most max bytes ([too-big]). errno is kept (ENOENT). 0, or -1. */
int file_read(int dir, const char *name, struct buf *, size_t max, struct why *);

/* Writes name beside itself, fsyncs, renames over the old one, fsyncs the directory. 0, or -1 (the old one is whole). */
int file_write(int dir, const char *name, const void *, size_t, int mode, struct why *);
/* The same by its path, where a user said so; "-" is stdout. What is there and is no plain file (/dev/stdout, a pipe, a link to them)
 * is written into as it is, never replaced. */
int file_write_path(const char *path, const void *, size_t, int mode, struct why *);
int file_is_other(const char *path);		/* there is something, and it is no plain file */
/* The first plain file of that name that we may execute, in the absolute directories of $PATH, then in those of more ("/a:/b").
 * 0; -1 with path undefined when there is none. */
int file_in_path(const char *name, const char *more, char *path, size_t size);
/* Two names of one directory change places, at once. 0, or -1 with errno: EINVAL or ENOSYS where that cannot be had. */
int file_swap(int dir, const char *a, const char *b);
/* file_write without fsync: for what a reboot makes worthless. */
int file_write_fast(int dir, const char *name, const void *, size_t, int mode, struct why *);
/* The same, sent on its way to the disk without waiting: after a power cut it may be there or not, or be empty. */
int file_write_soon(int dir, const char *name, const void *, size_t, int mode, struct why *);

void file_sweep(int dir, const char *name);	/* what an interrupted file_write of name left; nobody else may be writing it */

/* flock on dir/name, made if need be. A descriptor to close; -1 with [busy] when the deadline passes. */
int file_lock(int dir, const char *name, long long deadline, struct why *);

int  file_remove_tree(int dir, const char *name, struct why *);	/* does not cross symlinks; missing is fine */
long file_each(int dir, int (*fn)(const char *name, void *), void *ctx);	/* names without . and ..; count, or -1 */
long file_each_dir(int dir, int (*fn)(const char *name, void *), void *ctx);	/* the directories among them; symlinks are none */
int  file_full_write(int fd, const void *, size_t);		/* all of it, or -1 with errno */
void file_fds_open(void);	/* makes sure that 0, 1 and 2 are open, so that no file of ours lands there */

#endif
