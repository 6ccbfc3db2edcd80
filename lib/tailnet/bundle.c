/* bundle - tailscale_VERSION.moor */
#include "bundle.h"
#include "clock.h"
#include "contents.h"
#include "file.h"
#include "json.h"
#include "release.h"
#include "str.h"
#include "ustar.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SMALL_MAX = 1 << 16 };

static int not_bundle(struct why *why, const char *what)
{
	return why_set(why, R_BAD_ARCHIVE, "not a bundle: %s", what);
}

/* tailscale_V_A.tgz, .tgz.sig, and the three that have fixed names */
static int belongs(const char *name)
{
	char stem[100], version[32], arch[16];
	if (str_eq(name, "manifest.json") || str_eq(name, "distsign.pub") || str_eq(name, "distsign.pub.sig"))
		return 1;
	size_t n = strlen(name);
	int ends = str_ends(name, ".tgz.sig") ? 8 : str_ends(name, ".tgz") ? 4 : 0;
	return ends && str_copy_slice(stem, sizeof stem, (struct slice){name, n - ends}) >= 0 && contents_name(stem, version, arch) == 0;
}

int bundle_is(const unsigned char *start, size_t len)
{
	struct ustar u;
	struct why why;
	return len >= USTAR_BLOCK && ustar_read(start, &u, &why) == USTAR_ENTRY && u.type == '0' && belongs(u.name);
}

static int read_block(int fd, long long off, unsigned char b[static USTAR_BLOCK], struct why *why)
{
	size_t have = 0;
	while (have < USTAR_BLOCK) {
		ssize_t n = pread(fd, b + have, USTAR_BLOCK - have, off + have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_errno(why, "read the bundle:");
		if (!n)
			return not_bundle(why, "it is cut short");
		have += n;
	}
	return 0;
}

static int read_headers(struct bundle *b, long long size, struct why *why)
{
	unsigned char block[USTAR_BLOCK];
	struct ustar u;
	long long at = 0;
	for (;;) {
		if (read_block(b->fd, at, block, why) < 0)
			return -1;
		int rc = ustar_read(block, &u, why);
		at += USTAR_BLOCK;
		if (rc < 0)
			return -1;
		if (rc == USTAR_END)
			break;
		if (u.type != '0' || !belongs(u.name))
			return not_bundle(why, "it has what a bundle does not have");
		if (bundle_find(b, u.name))
			return not_bundle(why, "a file is in it twice");
		if (b->count == BUNDLE_ENTRIES || u.size > SEAL_MAX || u.size > size - at)
			return not_bundle(why, "it is cut short, or has too much in it");
		struct bundle_entry *e = &b->e[b->count++];
		str_copy(e->name, sizeof e->name, u.name);
		e->off = at;
		e->size = u.size;
		at += (u.size + USTAR_BLOCK - 1) / USTAR_BLOCK * USTAR_BLOCK;
	}
	for (; at < size; at += USTAR_BLOCK)
		if (size - at > 1 << 20 || read_block(b->fd, at, block, why) < 0 || ustar_read(block, &u, why) != USTAR_END)
			return not_bundle(why, "something behind its end");
	return 0;
}

/* {"version":..,"made":..,"files":[{"name","size","sha256"}]}: of every file but itself, and of no other. */
static int read_manifest(struct bundle *b, const char *text, size_t len, struct why *why)
{
	struct json doc;
	char name[100], sum[65], stamp[32] = "";
	long long size;
	int listed = 0, rc = 0;
	if (json_parse(&doc, text, len, why) < 0)
		return not_bundle(why, "its manifest is not JSON");
	if (json_text(&doc, 0, "version", b->version, sizeof b->version) < 0 || !release_is_version(b->version))
		rc = not_bundle(why, "its manifest has no version");
	json_text(&doc, 0, "made", stamp, sizeof stamp);
	if (clock_parse(stamp, &b->made) < 0)
		b->made = 0;
	for (struct json_iter i = json_each(&doc, json_get(&doc, 0, "files")); !rc && json_next(&i); listed++) {
		struct bundle_entry *e = NULL;
		if (json_text(&doc, i.value, "name", name, sizeof name) > 0)
			e = (struct bundle_entry *)bundle_find(b, name);
		if (!e || *e->sha256 || json_num(&doc, json_get(&doc, i.value, "size"), &size) < 0 || size != e->size ||
			json_text(&doc, i.value, "sha256", sum, sizeof sum) != 64)
			rc = not_bundle(why, "its manifest and its files differ");
		else
			str_copy(e->sha256, sizeof e->sha256, sum);
	}
	json_free(&doc);
	if (!rc && listed != b->count - 1)
		rc = not_bundle(why, "its manifest and its files differ");
	return rc;
}

int bundle_open(struct bundle *b, int fd, struct why *why)
{
	struct stat st;
	memset(b, 0, sizeof *b);
	b->fd = fd;
	if (fstat(fd, &st) < 0)
		return why_errno(why, "read the bundle:");
	if (!S_ISREG(st.st_mode))
		return not_bundle(why, "not a regular file");
	if (read_headers(b, st.st_size, why) < 0)
		return -1;
	const struct bundle_entry *m = bundle_find(b, "manifest.json");
	if (!m)
		return not_bundle(why, "it has no manifest.json");
	struct seal *s = bundle_read(b, m, SMALL_MAX, why);
	int rc = s ? read_manifest(b, (const char *)seal_bytes(s), seal_size(s), why) : -1;
	seal_free(s);
	return rc;
}

const struct bundle_entry *bundle_find(const struct bundle *b, const char *name)
{
	for (int i = 0; i < b->count; i++)
		if (str_eq(b->e[i].name, name))
			return &b->e[i];
	return NULL;
}

struct seal *bundle_read(const struct bundle *b, const struct bundle_entry *e, size_t max, struct why *why)
{
	struct seal *s = seal_read(b->fd, e->off, e->size, max, e->name, why);
	if (s && *e->sha256 && !str_eq(e->sha256, seal_sha256(s))) {
		why_set(why, R_BAD_ARCHIVE, "%s is damaged: the manifest has another SHA-256", e->name);
		seal_free(s);
		return NULL;
	}
	return s;
}

/* ---- writing ---- */

/* The file beside it, ours alone. What had the lock before may have renamed it since: then it is another file. */
static int open_beside(struct bundle_writer *w, long long deadline, struct why *why)
{
	struct stat here, there;
	for (;;) {
		int fd = file_lock(AT_FDCWD, w->tmp, deadline, why);
		if (fd < 0 && why->reason == R_BUSY)
			return why_set(why, R_BUSY, "%s: another moorbox is writing it", w->file);
		if (fd < 0)
			return why_errno(why, "write %s:", w->file);
		if (fstat(fd, &here) == 0 && lstat(w->tmp, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev)
			return fd;
		close(fd);
	}
}

int bundle_begin(struct bundle_writer *w, const char *file, const char *version, long long now, long long deadline, struct why *why)
{
	char stamp[32];
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	memset(w, 0, sizeof *w);
	w->fd = -1;
	w->file = file;
	struct stat st;
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		return why_set(why, R_NOT_OURS, "write %s: not a regular file", file);
	if (str_fmt(w->tmp, sizeof w->tmp, "%.*s.%s.part", (int)(name - file), file, name) < 0)
		return why_set(why, R_USAGE, "the name of the output is too long");
	w->fd = open_beside(w, deadline, why);
	if (w->fd < 0)
		return -1;
	if (ftruncate(w->fd, 0) < 0 || fchmod(w->fd, 0644) < 0)
		return why_errno(why, "write %s:", file);
	w->made = now;
	str_copy(w->version, sizeof w->version, version);
	clock_stamp(stamp, now);
	json_w_obj(&w->manifest, NULL);
	json_w_str(&w->manifest, "version", version);
	json_w_str(&w->manifest, "made", stamp);
	json_w_arr(&w->manifest, "files");
	return 0;
}

static int write_entry(struct bundle_writer *w, const char *name, const void *p, size_t n, struct why *why)
{
	unsigned char head[USTAR_BLOCK];
	static const unsigned char zero[USTAR_BLOCK];
	ustar_write(head, name, n, w->made, 0644);
	return file_full_write(w->fd, head, sizeof head) < 0 || file_full_write(w->fd, p, n) < 0 ||
		file_full_write(w->fd, zero, -n & (USTAR_BLOCK - 1)) < 0 ? why_errno(why, "write %s:", w->file) : 0;
}

int bundle_add(struct bundle_writer *w, const char *name, struct seal *s, struct why *why)
{
	if (!belongs(name) || ++w->count == BUNDLE_ENTRIES)
		return why_set(why, R_WRONG_FILE, "%s does not belong in a bundle", name);
	json_w_obj(&w->manifest, NULL);
	json_w_str(&w->manifest, "name", name);
	json_w_num(&w->manifest, "size", seal_size(s));
	json_w_str(&w->manifest, "sha256", seal_sha256(s));
	json_w_end(&w->manifest, '}');
	return write_entry(w, name, seal_bytes(s), seal_size(s), why);
}

long long bundle_end(struct bundle_writer *w, struct why *why)
{
	static const unsigned char zero[2 * USTAR_BLOCK];
	json_w_end(&w->manifest, ']');
	json_w_end(&w->manifest, '}');
	buf_ch(&w->manifest, '\n');
	if (write_entry(w, "manifest.json", w->manifest.p, w->manifest.len, why) < 0)
		return -1;
	if (file_full_write(w->fd, zero, sizeof zero) < 0 || fsync(w->fd) < 0 || rename(w->tmp, w->file) < 0)
		return why_errno(why, "write %s:", w->file);
	long long size = lseek(w->fd, 0, SEEK_END);
	buf_free(&w->manifest);
	close(w->fd);
	w->file = NULL;
	return size;
}

void bundle_drop(struct bundle_writer *w)
{
	if (!w->file || w->fd < 0)
		return;
	unlink(w->tmp);
	buf_free(&w->manifest);
	close(w->fd);
	w->file = NULL;
}
