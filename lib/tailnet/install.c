/* install - Tailscale's programs below a prefix */
#include "install.h"
#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "contents.h"
#include "file.h"
#include "json.h"
#include "proc.h"
#include "release.h"
#include "sign.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RECEIPT_MAX = 1 << 16, VERSIONS = 64 };
#define STAGE ".stage."

static void receipt_name(char dst[static 40], const char *version)
{
	str_fmt(dst, 40, "%.31s.json", version);
}

/* Others have to get at the programs, so 0755 whatever the umask is; file_dir looks whether it is ours. */
static int make_folders(const char *path, struct why *why)
{
	char part[4096];
	str_copy(part, sizeof part, path);
	for (char *p = part + 1; ; p++) {
		char was = *p;
		if (was && was != '/')
			continue;
		*p = 0;
		int err = mkdir(part, 0755) < 0 ? errno : 0;
		if (!err)
			chmod(part, 0755);
		else if (err != EEXIST && access(part, F_OK) < 0)
			return errno = err, why_errno(why, "make the directory %s:", part);
		if (!(*p = was))
			return 0;
	}
}

static int is_receipted(const struct install *in, const char *version)
{
	char name[40];
	receipt_name(name, version);
	return faccessat(in->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int sweep(const char *name, void *ctx)
{
	const struct install *in = ctx;
	struct why why;
	if (str_starts(name, STAGE) || str_starts(name, ".current.") || (str_starts(name, ".") && strstr(name, ".json.tmp.")) ||
		(release_is_version(name) && !is_receipted(in, name) && !str_eq(name, in->current)))
		file_remove_tree(in->dir, name, &why);
	return 0;
}

static int find_path(struct install *in, const char *prefix, struct why *why)
{
	const char *home = getenv("HOME");
	int rc;
	if (prefix)
		rc = str_fmt(in->path, sizeof in->path, "%s/lib/moorbox", prefix);
	else if (geteuid() == 0)
		rc = str_copy(in->path, sizeof in->path, "/usr/local/lib/moorbox");
	else if (home && *home == '/')
		rc = str_fmt(in->path, sizeof in->path, "%s/.local/lib/moorbox", home);
	else
		return why_set(why, R_NO_HOME, "HOME is not set"), why_hint(why, "say where to install: --prefix DIR");
	return rc < 0 ? why_set(why, R_SYSTEM, "the prefix is too long") : 0;
}

static void read_current(struct install *in)
{
	char target[64];
	ssize_t n = readlinkat(in->dir, "current", target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	str_copy(in->current, sizeof in->current, release_is_version(target) ? target : "");
}

int install_open(struct install *in, const char *prefix, int change, long long deadline, struct why *why)
{
	memset(in, 0, sizeof *in);
	in->dir = in->lock = -1;
	if (find_path(in, prefix, why) < 0)
		return -1;
	if (!change) {
		in->dir = open(in->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (in->dir < 0) {
			int err = errno;
			why_errno(why, "%s:", in->path);
			errno = err;
			return -1;
		}
		read_current(in);
		return 0;
	}
	if (make_folders(in->path, why) < 0 || (in->dir = file_dir(in->path, why)) < 0 ||
		(in->lock = file_lock(in->dir, ".lock", deadline, why)) < 0) {
		install_close(in);
		return -1;
	}
	read_current(in);
	file_each(in->dir, sweep, in);
	return 0;
}

void install_close(struct install *in)
{
	if (in->lock >= 0)
		close(in->lock);
	if (in->dir >= 0)
		close(in->dir);
	in->dir = in->lock = -1;
}

/* ---- receipts ---- */

static const struct { const char *key; size_t at, size; } texts[] = {
#define TEXT(key, field) {key, offsetof(struct receipt, field), sizeof ((struct receipt *)0)->field}
	TEXT("version", version), TEXT("arch", arch), TEXT("file", file), TEXT("from", source), TEXT("chain", chain),
	TEXT("signer", signer), TEXT("root", root), TEXT("sha256", sha256), TEXT("tailscaled", tailscaled),
	TEXT("tailscale", tailscale), TEXT("before", before),
};
enum { TEXTS = sizeof texts / sizeof *texts };

int install_receipt(const struct install *in, const char *version, struct receipt *r)
{
	struct buf b = {0};
	struct json doc;
	struct why why;
	char name[40], stamp[32] = "";
	memset(r, 0, sizeof *r);
	receipt_name(name, version);
	int rc = !release_is_version(version) ? -1 : file_read(in->dir, name, &b, RECEIPT_MAX, &why);
	if (!rc && (rc = json_parse(&doc, buf_cstr(&b), b.len, &why)) == 0) {
		for (int i = 0; i < TEXTS; i++)
			json_text(&doc, 0, texts[i].key, (char *)r + texts[i].at, texts[i].size);
		json_num(&doc, json_get(&doc, 0, "size"), &r->size);
		json_num(&doc, json_get(&doc, 0, "built"), &r->built);
		json_text(&doc, 0, "installed", stamp, sizeof stamp);
		clock_parse(stamp, &r->when);
		json_free(&doc);
	}
	buf_free(&b);
	return !rc && str_eq(r->version, version);
}

static int save(const struct install *in, const struct receipt *r, struct why *why)
{
	struct buf b = {0};
	char name[40], stamp[32];
	json_w_obj(&b, NULL);
	for (int i = 0; i < TEXTS; i++)
		json_w_str(&b, texts[i].key, (const char *)r + texts[i].at);
	json_w_num(&b, "size", r->size);
	json_w_num(&b, "built", r->built);
	clock_stamp(stamp, r->when);
	json_w_str(&b, "installed", stamp);
	json_w_end(&b, '}');
	buf_ch(&b, '\n');
	receipt_name(name, r->version);
	int rc = file_write(in->dir, name, b.p, b.len, 0644, why);
	buf_free(&b);
	return rc;
}

/* A program, to be read; a plain file. A descriptor, or -1 with errno. */
static int open_program(int dir, const char *name)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

/* Its hash in hex. 0, or -1 with errno. */
static int hash(int fd, char hex[static 65])
{
	enum { PIECE = 1 << 17 };
	unsigned char sum[DIGEST_MAX], *piece = xalloc(PIECE);
	struct digest d;
	ssize_t n;
	digest_start(&d, DIGEST_SHA256);
	while ((n = read(fd, piece, PIECE)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			digest_add(&d, piece, n);
	int err = errno;
	digest_end(&d, sum);
	free(piece);
	sign_hex(hex, sum, 32);
	errno = err;
	return n < 0 ? -1 : 0;
}

static int has_hash(int dir, const char *name, const char *hex)
{
	char is[65];
	int fd = open_program(dir, name), rc = fd < 0 ? -1 : hash(fd, is);
	if (fd >= 0)
		close(fd);
	return rc == 0 && str_eq(is, hex);
}

int install_intact(const struct install *in, const struct receipt *r)
{
	int dir = openat(in->dir, r->version, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return 0;
	int good = has_hash(dir, "tailscaled", r->tailscaled) && (!*r->tailscale || has_hash(dir, "tailscale", r->tailscale)) &&
		faccessat(dir, "tailscaled", X_OK, 0) == 0;
	close(dir);
	return good;
}

/* ---- in, and current ---- */

int install_stage(const struct install *in, char name[static 32], struct why *why)
{
	str_fmt(name, 32, STAGE "%d", (int)getpid());
	int fd = mkdirat(in->dir, name, 0700) < 0 ? -1 : openat(in->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? why_errno(why, "write to %s:", in->path) : fd;
}

void install_unstage(const struct install *in, const char *name)
{
	struct why why;
	file_remove_tree(in->dir, name, &why);
}

/* One of a stage's programs: its hash, and then it is on the disk, where it was sent when it was written. */
struct program { int dir; const char *name; char *hex; int error; };

static void *settle(void *program)
{
	struct program *p = program;
	*p->hex = 0;
	int fd = open_program(p->dir, p->name);
	if (fd < 0 || hash(fd, p->hex) < 0 || fsync(fd) < 0)
		p->error = errno;
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* Both at once. 0, or -1 with errno. */
static int settle_both(int dir, struct receipt *r)
{
	struct program daemon = {dir, "tailscaled", r->tailscaled, 0}, command = {dir, "tailscale", r->tailscale, 0};
	pthread_t thread;
	int runs = proc_thread(&thread, settle, &command) == 0;
	settle(&daemon);
	if (runs)
		pthread_join(thread, NULL);
	else
		settle(&command);
	errno = daemon.error ? daemon.error : command.error == ENOENT ? 0 : command.error;
	return errno ? -1 : 0;
}

static int finish_stage(struct install *in, const char *stage, struct receipt *r, struct why *why)
{
	int dir = openat(in->dir, stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int bad = dir < 0 || settle_both(dir, r) < 0 || fchmod(dir, 0755) < 0 || fsync(dir) < 0;
	int err = errno;
	if (dir >= 0)
		close(dir);
	errno = err;
	return bad ? why_errno(why, "write to %s:", in->path) : 0;
}

int install_commit(struct install *in, const char *stage, struct receipt *r, struct why *why)
{
	char name[40], old[40];
	if (finish_stage(in, stage, r, why) < 0)
		return -1;
	/* Other bytes under the same version: their receipt goes first, so that it never stands beside what it does not describe. */
	receipt_name(name, r->version);
	if (unlinkat(in->dir, name, 0) < 0 && errno != ENOENT)
		return why_errno(why, "write %s/%s:", in->path, name);
	if (renameat(in->dir, stage, in->dir, r->version) < 0) {
		if (errno != EEXIST && errno != ENOTEMPTY)
			return why_errno(why, "write %s/%s:", in->path, r->version);
		if (file_swap(in->dir, stage, r->version) < 0) {
			str_fmt(old, sizeof old, STAGE "old.%d", (int)getpid());
			if (str_eq(r->version, in->current) || renameat(in->dir, r->version, in->dir, old) < 0 ||
				renameat(in->dir, stage, in->dir, r->version) < 0)
				return why_errno(why, "replace %s/%s:", in->path, r->version);
			install_unstage(in, old);
		}
		install_unstage(in, stage);
	}
	r->when = time(NULL);
	return save(in, r, why);
}

int install_switch(struct install *in, struct receipt *r, struct why *why)
{
	char tmp[40];
	if (str_eq(in->current, r->version))
		return 0;
	if (*in->current && !str_eq(r->before, in->current)) {
		str_copy(r->before, sizeof r->before, in->current);
		if (save(in, r, why) < 0)
			return -1;
	}
	str_fmt(tmp, sizeof tmp, ".current.%d", (int)getpid());
	if (symlinkat(r->version, in->dir, tmp) < 0 || renameat(in->dir, tmp, in->dir, "current") < 0) {
		why_errno(why, "write %s/current:", in->path);
		unlinkat(in->dir, tmp, 0);
		return -1;
	}
	fsync(in->dir);
	str_copy(in->current, sizeof in->current, r->version);
	return 0;
}

/* ---- who uses it ---- */

struct users { struct stat program; char *names; int size, count; };

/* The workspace that a tailscaled is of: --statedir=STATE/NAME/node. */
static void name_user(int pid, char *dst, int size)
{
	char path[64];
	struct buf b = {0};
	struct why why;
	str_fmt(dst, size, "pid %d", pid);
	str_fmt(path, sizeof path, "/proc/%d/cmdline", pid);
	if (file_read(AT_FDCWD, path, &b, 1 << 16, &why) == 0)
		for (const char *p = b.p; p < b.p + b.len; p += strlen(p) + 1) {
			char *copy = str_starts(p, "--statedir=") ? xstrdup(p + 11) : NULL;
			char *end = copy ? strrchr(copy, '/') : NULL, *start;
			if (end && str_eq(end, "/node") && (*end = 0, start = strrchr(copy, '/')))
				str_escape(dst, size, start + 1, strlen(start + 1));
			free(copy);
		}
	buf_free(&b);
}

static int look_at(const char *pid, void *ctx)
{
	struct users *u = ctx;
	struct stat st;
	char path[64], name[80];
	long long n;
	if (str_num(pid, 1, 1 << 30, &n) < 0)
		return 0;
	str_fmt(path, sizeof path, "/proc/%s/exe", pid);
	if (stat(path, &st) < 0 || st.st_dev != u->program.st_dev || st.st_ino != u->program.st_ino)
		return 0;
	name_user((int)n, name, sizeof name);
	size_t len = strlen(u->names);
	str_fmt(u->names + len, u->size - len, "%s%s", u->count++ ? ", " : "", name);
	return 0;
}

int install_users(const struct install *in, const char *version, char *names, int size)
{
	struct users u = {.names = names, .size = size};
	char path[64];
	*names = 0;
	str_fmt(path, sizeof path, "%s/tailscaled", version);
	if (fstatat(in->dir, path, &u.program, 0) < 0)
		return 0;
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || faccessat(proc, "self/exe", F_OK, 0) < 0)
		u.count = -1;
	else
		file_each(proc, look_at, &u);
	if (proc >= 0)
		close(proc);
	return u.count;
}

/* ---- all of them ---- */

struct versions { int count; char v[VERSIONS][32]; };

static int collect(const char *name, void *ctx)
{
	struct versions *all = ctx;
	if (release_is_version(name) && all->count < VERSIONS)
		str_copy(all->v[all->count++], 32, name);
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	return release_compare(b, a);
}

static void versions_of(const struct install *in, struct versions *all)
{
	all->count = 0;
	file_each_dir(in->dir, collect, all);
	qsort(all->v, all->count, sizeof *all->v, newest_first);
}

void install_each(const struct install *in, void (*fn)(const struct receipt *, void *), void *ctx)
{
	struct versions all;
	struct receipt r;
	versions_of(in, &all);
	for (int i = 0; i < all.count; i++)
		if (install_receipt(in, all.v[i], &r))
			fn(&r, ctx);
}

int install_remove(const struct install *in, const char *version, struct why *why)
{
	char name[40];
	receipt_name(name, version);
	/* First, so that what is half removed is not taken for whole. */
	if (unlinkat(in->dir, name, 0) < 0 && errno != ENOENT)
		return why_errno(why, "remove %s/%s:", in->path, name);
	fsync(in->dir);
	return file_remove_tree(in->dir, version, why);
}

void install_prune(const struct install *in, void (*kept)(const char *version, const char *users))
{
	struct versions all;
	struct receipt now;
	struct why why;
	char users[300];
	versions_of(in, &all);
	if (!install_receipt(in, in->current, &now))
		return;
	for (int i = 0; i < all.count; i++) {
		int is_kept = str_eq(all.v[i], in->current) || str_eq(all.v[i], now.before);
		int n = str_eq(all.v[i], in->current) ? 0 : install_users(in, all.v[i], users, sizeof users);
		if (n > 0)
			kept(all.v[i], users);
		if (!is_kept && n == 0)
			install_remove(in, all.v[i], &why);
	}
}

static int forget_receipt(const char *name, void *ctx)
{
	const struct install *in = ctx;
	if (str_ends(name, ".json"))
		unlinkat(in->dir, name, 0);
	return 0;
}

int install_remove_all(struct install *in, struct why *why)
{
	struct versions all;
	if (unlinkat(in->dir, "current", 0) < 0 && errno != ENOENT)
		return why_errno(why, "remove %s/current:", in->path);
	*in->current = 0;
	versions_of(in, &all);
	for (int i = 0; i < all.count; i++)
		if (install_remove(in, all.v[i], why) < 0)
			return -1;
	file_each(in->dir, forget_receipt, in);
	unlinkat(in->dir, ".lock", 0);
	rmdir(in->path);		/* unless somebody else has something there */
	return 0;
}

/* ---- a folder ---- */

struct pick { const char *version, *arch; char best[32]; char name[128]; };

static int consider(const char *name, void *ctx)
{
	struct pick *p = ctx;
	char stem[128], version[32] = "", arch[16] = "";
	size_t n = strlen(name);
	int is_bundle = str_ends(name, ".moor");
	if ((!is_bundle && !str_ends(name, ".tgz")) || n >= sizeof stem - 8)
		return 0;
	str_copy_slice(stem, sizeof stem, (struct slice){name, n - (is_bundle ? 5 : 4)});
	if (is_bundle)
		str_fmt(stem + n - 5, sizeof stem - n, "_%s", p->arch);
	if (contents_name(stem, version, arch) < 0 || !str_eq(arch, p->arch) || (p->version && !str_eq(version, p->version)))
		return 0;
	if (!*p->best || release_compare(version, p->best) > 0) {
		str_copy(p->best, sizeof p->best, version);
		str_copy(p->name, sizeof p->name, name);
	}
	return 0;
}

int install_pick(const char *folder, const char *version, const char *arch, char *path, int size, struct why *why)
{
	struct pick p = {.version = version, .arch = arch};
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return why_errno(why, "%s:", folder);
	file_each(dir, consider, &p);
	close(dir);
	if (!*p.best)
		return why_set(why, R_NO_RELEASE, "%s has no release%s%s for %s", folder, version ? " " : "", version ? version : "", arch);
	return str_fmt(path, size, "%s/%s", folder, p.name) < 0 ? why_set(why, R_SYSTEM, "%s: the path is too long", folder) : 0;
}
