/* unpack - the files of a trusted archive */
#include "unpack.h"
#include "alloc.h"
#include "file.h"
#include "str.h"
#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { WINDOW = 256 << 10 };
static const long long total_max = (long long)UNPACK_TOTAL_MB << 20, each_max = (long long)UNPACK_EACH_MB << 20;

/* Where the bytes of the tar come from: one block (plain, or inflated whole), zlib, or libarchive's filters. */
struct unpack {
	const unsigned char *in;	/* what is compressed, or the tar itself */
	size_t in_len;
	enum { PLAIN, GZIP, FILTERED } form;
	z_stream z;
	int z_open, z_ended;
	unsigned char *window;
	struct archive *ar;
	unsigned char *whole;		/* mapped, when it was inflated in one go */
	size_t whole_room;
	int given;			/* the one block was handed out */

	const unsigned char *block;	/* what has not been used of the block at hand */
	size_t left;
	long long entry_left, total;
	int pad, entries;
};

/* ---- how much memory there is: the machine's, and what our cgroups leave us ---- */

static long long number_in(const char *path, const char *key)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	const char *p = strstr(text, key);
	long long v;
	return p && sscanf(p + strlen(key), "%lld", &v) == 1 ? v : -1;
}

static long long room_of(const char *folder, const char *limit, const char *usage)
{
	char path[1200];
	str_fmt(path, sizeof path, "/sys/fs/cgroup%s/%s", folder, limit);
	long long max = number_in(path, "");
	str_fmt(path, sizeof path, "/sys/fs/cgroup%s/%s", folder, usage);
	long long used = max < 0 ? -1 : number_in(path, "");
	return max < 0 || used < 0 ? total_max * 4 : max - used;
}

/* Every level counts, of version 2 as of version 1; above ours they may not be visible. */
static long long cgroup_room(void)
{
	char line[1024];
	long long room = total_max * 4;
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		char *own = strrchr(line, ':');
		int is_v1 = strstr(line, ":memory:") != NULL;
		if (!own++ || (!is_v1 && !str_starts(line, "0::")))
			continue;
		for (char *end = own + strlen(own); ; ) {
			char folder[1100];
			str_fmt(folder, sizeof folder, "%s%s", is_v1 ? "/memory" : "", own);
			long long r = is_v1 ? room_of(folder, "memory.limit_in_bytes", "memory.usage_in_bytes") :
				room_of(folder, "memory.max", "memory.current");
			room = r < room ? r : room;
			if (end == own)
				break;
			while (end > own && *--end != '/')
				;
			*end = 0;
		}
	}
	if (f)
		fclose(f);
	return room;
}

static int is_room_for(long long bytes)
{
	long long kb = number_in("/proc/meminfo", "MemAvailable:");
	return kb >= 0 && kb * 1024 / 2 > bytes && cgroup_room() * 3 / 4 > bytes;
}

/* ---- inflating ---- */

/* A whole .gz at once: twice as fast as in pieces, and as large as what is in it. 1 done, 0 not here, -1 bad. */
static int inflate_whole(struct unpack *u, struct why *why)
{
	const unsigned char *end = u->in + u->in_len;
	if (u->in_len < 18)
		return 0;
	size_t size = end[-4] | end[-3] << 8 | end[-2] << 16 | (size_t)end[-1] << 24, used = 0, got = 0;
	if (!size || size > (unsigned long long)total_max || size / 1032 > u->in_len || !is_room_for(size))
		return 0;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return 0;
	u->whole = p;
	u->whole_room = size;
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	if (!d)
		return 0;
	madvise(p, size, MADV_HUGEPAGE);
	enum libdeflate_result rc = libdeflate_gzip_decompress_ex(d, u->in, u->in_len, p, size, &used, &got);
	libdeflate_free_decompressor(d);
	if (rc != LIBDEFLATE_SUCCESS || used != u->in_len || got != size)
		return why_set(why, R_BAD_ARCHIVE, "the compressed data is damaged, cut short, or goes on behind its end");
	u->form = PLAIN;
	u->in = p;
	u->in_len = size;
	return 1;
}

static int inflate_more(struct unpack *u, struct why *why)
{
	if (u->z_ended)
		return 0;
	u->z.next_out = u->window;
	u->z.avail_out = WINDOW;
	int rc = inflate(&u->z, Z_NO_FLUSH);
	u->block = u->window;
	u->left = WINDOW - u->z.avail_out;
	if (rc == Z_STREAM_END) {
		u->z_ended = 1;
		if (u->z.avail_in)
			return why_set(why, R_BAD_ARCHIVE, "more data behind the end of the compressed data");
		return u->left > 0;
	}
	if (rc == Z_OK && u->left)
		return 1;
	return why_set(why, R_BAD_ARCHIVE, rc == Z_OK || rc == Z_BUF_ERROR ? "the compressed data is cut short" :
		"the compressed data is damaged");
}

static int filter_more(struct unpack *u, struct why *why)
{
	const void *p;
	la_int64_t off;
	int rc = archive_read_data_block(u->ar, &p, &u->left, &off);
	u->block = p;
	if (rc == ARCHIVE_OK)
		return 1;
	u->left = 0;
	if (rc != ARCHIVE_EOF)
		return why_set(why, R_BAD_ARCHIVE, "the compressed data is damaged or cut short");
	return archive_filter_bytes(u->ar, -1) == (la_int64_t)u->in_len ? 0 :
		why_set(why, R_BAD_ARCHIVE, "more data behind the end of the compressed data");
}

/* The next block into u->block: 1, 0 at the end, -1. */
static int more(struct unpack *u, struct why *why)
{
	int rc;
	do {
		if (u->form == GZIP) {
			rc = inflate_more(u, why);
		} else if (u->form == FILTERED) {
			rc = filter_more(u, why);
		} else {
			rc = !u->given && u->in_len;
			u->block = u->in;
			u->left = rc ? u->in_len : 0;
			u->given = 1;
		}
	} while (rc > 0 && !u->left);
	if (rc > 0 && (u->total += u->left) > total_max)
		return why_set(why, R_TOO_BIG, "the archive unpacks to more than %d MiB", UNPACK_TOTAL_MB);
	return rc;
}

/* ---- what it is ---- */

/* A .deb is an ar of debian-binary, control.tar.*, data.tar.*: u->in becomes the last. */
static int enter_deb(struct unpack *u, struct why *why)
{
	const unsigned char *p = u->in + 8, *end = u->in + u->in_len;
	for (int i = 0; end - p >= 60; i++) {
		char digits[11] = "";
		long long size;
		memcpy(digits, p + 48, 10);
		digits[strcspn(digits, " ")] = 0;
		if (memcmp(p + 58, "`\n", 2) || str_num(digits, 0, SEAL_MAX, &size) < 0 || size > end - p - 60)
			break;
		if (!i && memcmp(p, "debian-binary", 13))
			break;
		if (!memcmp(p, "data.tar", 8)) {
			u->in = p + 60;
			u->in_len = size;
			return 0;
		}
		p += 60 + size + (size & 1 && size < end - p - 60);
	}
	return why_set(why, R_BAD_ARCHIVE, "not a Debian package");
}

static int open_filters(struct unpack *u, struct why *why)
{
	struct archive_entry *entry;
	u->form = FILTERED;
	u->ar = archive_read_new();
	if (!u->ar)
		return why_set(why, R_RESOURCES, "no memory left");
	archive_read_support_filter_xz(u->ar);
	archive_read_support_filter_zstd(u->ar);
	archive_read_support_format_raw(u->ar);
	if (archive_read_open_memory(u->ar, u->in, u->in_len) != ARCHIVE_OK || archive_read_next_header(u->ar, &entry) != ARCHIVE_OK)
		return why_set(why, R_BAD_ARCHIVE, "the compressed data is damaged");
	return 0;
}

static int open_gzip(struct unpack *u, int is_all, struct why *why)
{
	int rc = is_all ? inflate_whole(u, why) : 0;
	if (rc)
		return rc < 0 ? -1 : 0;
	u->form = GZIP;
	u->window = xalloc(WINDOW);
	u->z.next_in = (unsigned char *)u->in;
	u->z.avail_in = u->in_len;
	if (inflateInit2(&u->z, 15 + 16) != Z_OK)
		return why_set(why, R_RESOURCES, "no memory left");
	u->z_open = 1;
	return 0;
}

static int starts(const struct unpack *u, const char *magic, size_t n)
{
	return u->in_len >= n && !memcmp(u->in, magic, n);
}

static int open_source(struct unpack **out, const struct seal *s, int is_text, int is_all, struct why *why)
{
	*out = NULL;
	if (!seal_trusted(s))
		return why_set(why, R_SYSTEM, "bytes that nobody vouches for are not unpacked");
	struct unpack *u = xalloc(sizeof *u);
	u->in = seal_bytes(s);
	u->in_len = seal_size(s);
	int rc = 0;
	if (!is_text && starts(u, "!<arch>\n", 8))
		rc = enter_deb(u, why);
	if (!rc && starts(u, "\x1f\x8b", 2))
		rc = open_gzip(u, is_all, why);
	else if (!rc && (starts(u, "\xfd" "7zXZ\0", 6) || starts(u, "\x28\xb5\x2f\xfd", 4)))
		rc = open_filters(u, why);
	if (rc < 0)
		unpack_close(u);
	else
		*out = u;
	return rc;
}

int unpack_open(struct unpack **out, const struct seal *s, struct why *why)
{
	return open_source(out, s, 0, 1, why);
}

int unpack_open_start(struct unpack **out, const struct seal *s, struct why *why)
{
	return open_source(out, s, 0, 0, why);
}

void unpack_close(struct unpack *u)
{
	if (!u)
		return;
	if (u->z_open)
		inflateEnd(&u->z);
	if (u->ar)
		archive_read_free(u->ar);
	if (u->whole)
		munmap(u->whole, u->whole_room);
	free(u->window);
	free(u);
}

/* ---- the tar ---- */

static int cut_short(struct why *why)
{
	return why_set(why, R_BAD_ARCHIVE, "the archive is cut short");
}

/* Exactly n bytes to dst (NULL: passed over). 1; 0 when there was nothing at all; -1. */
static int take(struct unpack *u, void *dst, long long n, struct why *why)
{
	for (long long done = 0; done < n; ) {
		int rc = u->left ? 1 : more(u, why);
		if (rc <= 0)
			return rc < 0 || !done ? rc : cut_short(why);
		size_t piece = (long long)u->left < n - done ? u->left : (size_t)(n - done);
		if (dst)
			memcpy((char *)dst + done, u->block, piece);
		u->block += piece;
		u->left -= piece;
		done += piece;
	}
	return 1;
}

static int only_zeros(struct unpack *u, struct why *why)
{
	unsigned char block[USTAR_BLOCK];
	struct ustar e;
	struct why other;
	int rc, n = 0;
	for (; (rc = take(u, block, sizeof block, why)) > 0; n++)
		if (ustar_read(block, &e, &other) != USTAR_END)
			return why_set(why, R_BAD_ARCHIVE, "more behind the end of the archive");
	return rc < 0 ? -1 : n ? 0 : cut_short(why);
}

int unpack_next(struct unpack *u, struct ustar *e, struct why *why)
{
	unsigned char block[USTAR_BLOCK];
	int rc = u->entry_left + u->pad ? take(u, NULL, u->entry_left + u->pad, why) : 1;
	u->entry_left = u->pad = 0;
	if (rc > 0)
		rc = take(u, block, sizeof block, why);
	if (rc <= 0)
		return rc < 0 ? -1 : cut_short(why);
	rc = ustar_read(block, e, why);
	if (rc == USTAR_END)
		return only_zeros(u, why);
	if (rc < 0)
		return -1;
	if (++u->entries > UNPACK_ENTRIES)
		return why_set(why, R_TOO_BIG, "more than %d files in the archive", UNPACK_ENTRIES);
	if (e->size > each_max)
		return why_set(why, R_TOO_BIG, "a file in it is larger than %d MiB", UNPACK_EACH_MB);
	u->entry_left = e->size;
	u->pad = -e->size & (USTAR_BLOCK - 1);
	return 1;
}

long unpack_data(struct unpack *u, const void **piece, struct why *why)
{
	if (!u->entry_left)
		return 0;
	int rc = u->left ? 1 : more(u, why);
	if (rc <= 0)
		return rc < 0 ? -1 : cut_short(why);
	size_t n = (long long)u->left < u->entry_left ? u->left : (size_t)u->entry_left;
	*piece = u->block;
	u->block += n;
	u->left -= n;
	u->entry_left -= n;
	return n;
}

static int copy_to(struct unpack *u, int fd, const char *name, int (*tap)(void *, const void *, size_t, struct why *),
	void *ctx, struct why *why)
{
	const void *p;
	long n;
	while ((n = unpack_data(u, &p, why)) > 0) {
		if (tap && tap(ctx, p, n, why))
			return -1;
		if (file_full_write(fd, p, n) < 0)
			return why_errno(why, "write %s:", name);
	}
	return n;
}

int unpack_to(struct unpack *u, int dir, const char *name, int mode, int (*tap)(void *, const void *, size_t, struct why *),
	void *ctx, struct why *why)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return why_errno(why, "write %s:", name);
	int rc = copy_to(u, fd, name, tap, ctx, why);
	if (!rc && fchmod(fd, mode) < 0)
		rc = why_errno(why, "write %s:", name);
	if (!rc)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);	/* on its way; nobody waits */
	if (close(fd) < 0 && !rc)
		rc = why_errno(why, "write %s:", name);
	if (rc)
		unlinkat(dir, name, 0);
	return rc;
}

int unpack_text(const struct seal *s, struct buf *b, size_t max, struct why *why)
{
	struct unpack *u;
	int rc = open_source(&u, s, 1, 1, why);
	b->max = max;
	while (!rc && (rc = more(u, why)) > 0) {
		rc = buf_add(b, u->block, u->left);
		u->left = 0;
		if (rc < 0)
			why_set(why, R_TOO_BIG, "the text is larger than %zu bytes", max);
	}
	unpack_close(u);
	return rc;
}

char *unpack_own(const unsigned char *gz, size_t n, size_t *len)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	size_t size = n < 18 ? 0 : gz[n - 4] | gz[n - 3] << 8 | gz[n - 2] << 16;	/* RFC 1952: ISIZE */
	char *text = xalloc(size + 1);
	if (!d || libdeflate_gzip_decompress(d, gz, n, text, size, len) != LIBDEFLATE_SUCCESS)
		abort();
	libdeflate_free_decompressor(d);
	return text;
}
