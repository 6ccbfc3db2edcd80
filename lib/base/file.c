/* file - files that are never half written, directories that are provably ours */
#include "file.h"
#include "alloc.h"
#include "clock.h"
#include "str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a directory must be before anything is trusted to it. */
static int check_dir(int fd, const char *name, struct why *why)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return why_errno(why, "%s:", name);
	if (!S_ISDIR(st.st_mode))
		return why_set(why, R_NOT_OURS, "%s: not a directory", name);
	if (st.st_uid != geteuid())
		return why_set(why, R_NOT_OURS, "%s: owned by uid %u, not by us (%u)", name,
			(unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 022)
		return why_set(why, R_NOT_OURS, "%s: others can write to it (mode %04o)", name, (unsigned)st.st_mode & 07777);
	return 0;
}

int file_dir(const char *path, struct why *why)
{
	char part[4096];
	if (str_copy(part, sizeof part, path) < 0 || !*path)
		return why_set(why, R_SYSTEM, "%s: not a usable path", path);
	for (char *p = part + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			int err = mkdir(part, 0700) < 0 ? errno : 0;
			if (err && err != EEXIST && access(part, F_OK) < 0) {
				errno = err;
				return why_errno(why, "make the directory %s:", part);
			}
			*p = '/';
		}
	if (mkdir(part, 0700) < 0 && errno != EEXIST)
		return why_errno(why, "make the directory %s:", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return why_set(why, R_NOT_OURS, "%s: not a real directory", path);
	if (fd < 0)
		return why_errno(why, "open %s:", path);
	if (check_dir(fd, path, why) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int file_dir_at(int dir, const char *name, int create, struct why *why)
{
	if (create && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return why_errno(why, "make the directory %s:", name);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return why_set(why, R_NO_WORKSPACE, "%s: no such workspace", name);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return why_set(why, R_NOT_OURS, "%s: not a real directory", name);
	if (fd < 0)
		return why_errno(why, "open %s:", name);
	if (check_dir(fd, name, why) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int file_read(int dir, const char *name, struct buf *b, size_t max, struct why *why)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (dir == AT_FDCWD ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return why_errno(why, "read %s:", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		errno = EINVAL;
		return why_set(why, R_NOT_OURS, "read %s: not a regular file", name);
	}
	char chunk[16384];
	size_t used = 0;	/* of chunk, for wiping: it may hold a secret */
	ssize_t n;
	b->max = max;
	while ((n = read(fd, chunk, sizeof chunk)) != 0) {
		if (n > 0 && (size_t)n > used)
			used = n;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			why_errno(why, "read %s:", name);
			break;
		}
		if (buf_add(b, chunk, n) < 0) {
			explicit_bzero(chunk, used);
			close(fd);
			errno = EFBIG;
			return why_set(why, R_TOO_BIG, "read %s: larger than %zu bytes", name, max);
		}
		if (st.st_size > 0 && n < (ssize_t)sizeof chunk && b->len >= (size_t)st.st_size)
			break;		/* saves asking for the end; what says 0 (in /proc) is read until then */
	}
	int err = errno;
	explicit_bzero(chunk, used);
	close(fd);
	errno = err;
	return n < 0 ? -1 : 0;
}

int file_full_write(int fd, const void *p, size_t n)
{
	for (const char *c = p; n; ) {
		ssize_t w = write(fd, c, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN) {
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};
			poll(&pfd, 1, -1);
			continue;
		}
		if (w < 0)
			return -1;
		c += w;
		n -= w;
	}
	return 0;
}

int file_swap(int dir, const char *a, const char *b)
{
	enum { EXCHANGE = 2 };		/* RENAME_EXCHANGE, which older musl has no name for */
	return (int)syscall(SYS_renameat2, dir, a, dir, b, EXCHANGE);
}

enum sync { NEVER, SOON, NOW };

/* A file that a rename replaces is sent to the disk by ext4 before the call returns, one that changes places is not: that
 * is most of what a small record costs. Nobody is to see it in between, so the old one goes under the other name. */
static int replace(int dir, const char *tmp, const char *name, enum sync sync)
{
	if (sync != NEVER || file_swap(dir, tmp, name) < 0)
		return renameat(dir, tmp, dir, name);
	unlinkat(dir, tmp, 0);
	return 0;
}

static int write_beside(int dir, const char *name, const void *p, size_t n, int mode, enum sync sync, struct why *why)
{
	char tmp[300];
	if (str_fmt(tmp, sizeof tmp, ".%s.tmp.%d", name, (int)getpid()) < 0)
		return why_set(why, R_SYSTEM, "write %s: the name is too long", name);
	unlinkat(dir, tmp, 0);
	int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return why_errno(why, "write %s:", name);
	int bad = fchmod(fd, mode) < 0 || file_full_write(fd, p, n) < 0 || (sync == NOW && fsync(fd) < 0);
	int err = errno;
	if (sync == SOON)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);	/* on its way; nobody waits */
	if (close(fd) < 0 && !bad) {
		bad = 1;
		err = errno;
	}
	if (!bad && replace(dir, tmp, name, sync) < 0) {
		bad = 1;
		err = errno;
	}
	if (bad) {
		unlinkat(dir, tmp, 0);
		errno = err;
		return why_errno(why, "write %s:", name);
	}
	if (sync == NOW)
		fsync(dir);
	return 0;
}

int file_write(int dir, const char *name, const void *p, size_t n, int mode, struct why *why)
{
	return write_beside(dir, name, p, n, mode, NOW, why);
}

int file_is_other(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

int file_in_path(const char *name, const char *more, char *path, size_t size)
{
	const char *dirs = getenv("PATH");
	char *list = xfmt("%s:%s", dirs ? dirs : "", more), *save = NULL;
	int found = 0;
	for (char *d = strtok_r(list, ":", &save); d && !found; d = strtok_r(NULL, ":", &save)) {
		struct stat st;
		found = *d == '/' && str_fmt(path, size, "%s/%s", d, name) > 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode)
			&& access(path, X_OK) == 0;
	}
	free(list);
	return found ? 0 : -1;
}

int file_write_path(const char *path, const void *p, size_t n, int mode, struct why *why)
{
	int is_out = str_eq(path, "-");
	if (is_out || file_is_other(path)) {
		int is_open = str_starts(path, "/dev/") || str_starts(path, "/proc/");	/* somebody else's descriptor may stand in it */
		int to = is_out ? 1 : open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | (is_open ? O_APPEND : O_TRUNC));
		int rc = to < 0 || file_full_write(to, p, n) < 0 ? why_errno(why, "write %s:", path) : 0;
		if (!is_out && to >= 0)
			close(to);
		return rc;
	}
	const char *slash = strrchr(path, '/');
	char *folder = slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = dir < 0 ? why_errno(why, "%s:", folder) : file_write(dir, slash ? slash + 1 : path, p, n, mode, why);
	if (dir >= 0)
		close(dir);
	free(folder);
	return rc;
}

int file_write_fast(int dir, const char *name, const void *p, size_t n, int mode, struct why *why)
{
	return write_beside(dir, name, p, n, mode, NEVER, why);
}

int file_write_soon(int dir, const char *name, const void *p, size_t n, int mode, struct why *why)
{
	return write_beside(dir, name, p, n, mode, SOON, why);
}

struct leftover { int dir; char prefix[300]; };

static int sweep(const char *name, void *ctx)
{
	const struct leftover *l = ctx;
	if (str_starts(name, l->prefix))
		unlinkat(l->dir, name, 0);
	return 0;
}

void file_sweep(int dir, const char *name)
{
	struct leftover l = {.dir = dir};
	if (str_fmt(l.prefix, sizeof l.prefix, ".%s.tmp.", name) > 0)
		file_each(dir, sweep, &l);
}

int file_lock(int dir, const char *name, long long deadline, struct why *why)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return why_errno(why, "lock %s:", name);
	/* flock cannot wait until a time: look again after 1, 2, 4 ... 50 ms */
	for (int wait = 1; flock(fd, LOCK_EX | LOCK_NB) < 0; wait = wait < 25 ? wait * 2 : 50) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			why_errno(why, "lock %s:", name);
			close(fd);
			return -1;
		}
		if (clock_passed(deadline)) {
			close(fd);
			return why_set(why, R_BUSY, "another moorbox is working on it");
		}
		poll(NULL, 0, clock_left(deadline) < wait ? (int)clock_left(deadline) : wait);
	}
	return fd;
}

int file_remove_tree(int dir, const char *name, struct why *why)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return why_errno(why, "remove %s:", name);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0;	/* somebody else removes it too */
	if (fd < 0)
		return why_errno(why, "remove %s:", name);
	/* the stream reads a descriptor of its own, so that fd stays good for the calls below */
	DIR *d = fdopendir(dup(fd));
	int rc = 0;
	for (struct dirent *e; d && !rc && (e = readdir(d)); )
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			rc = file_remove_tree(fd, e->d_name, why);
	if (d)
		closedir(d);
	close(fd);
	if (!rc && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return why_errno(why, "remove %s:", name);
	return rc;
}

static int is_dir(int dir, const struct dirent *e)
{
	struct stat st;
	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static long each(int dir, int dirs_only, int (*fn)(const char *name, void *), void *ctx)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	long n = 0;
	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d)); ) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (dirs_only && !is_dir(dir, e))
			continue;
		n++;
		if (fn(e->d_name, ctx))
			break;
	}
	closedir(d);
	return n;
}

long file_each(int dir, int (*fn)(const char *name, void *), void *ctx)
{
	return each(dir, 0, fn, ctx);
}

long file_each_dir(int dir, int (*fn)(const char *name, void *), void *ctx)
{
	return each(dir, 1, fn, ctx);
}

void file_fds_open(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
			_exit(EXIT_NO);
}
