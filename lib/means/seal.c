/* seal - a file's bytes in memory of our own */
#include "seal.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct seal {
	unsigned char *p;
	size_t len, room, max;
	int trusted;
	unsigned known;				/* which digests have been made */
	unsigned along;				/* and which are being made while bytes come */
	struct digest running[2];
	unsigned char digest[DIGEST_KINDS][DIGEST_MAX];
	char sha256[65];
};

struct seal *seal_new(size_t max)
{
	struct seal *s = xalloc(sizeof *s);
	s->max = max;
	return s;
}

static int grow(struct seal *s, size_t room)
{
	size_t page = sysconf(_SC_PAGESIZE);
	room = (room + page - 1) / page * page;
	void *p = s->p ? mremap(s->p, s->room, room, MREMAP_MAYMOVE) :
		mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	madvise(p, room, MADV_HUGEPAGE);	/* half the time of filling it is page faults */
	madvise(p, room, MADV_DONTDUMP);
	s->p = p;
	s->room = room;
	return 0;
}

static const enum digest_kind of_release[2] = {DIGEST_SHA256, DIGEST_BLAKE2S};

void seal_hash_along(struct seal *s)
{
	for (int i = 0; i < 2; i++) {
		digest_start(&s->running[i], of_release[i]);
		digest_add(&s->running[i], s->p, s->len);
		s->along |= 1u << of_release[i];
	}
}

static void stop_hashing(struct seal *s)
{
	unsigned char sum[DIGEST_MAX];
	for (int i = 0; i < 2; i++)
		if (s->along & 1u << of_release[i])
			digest_end(&s->running[i], sum);
	s->along = 0;
}

int seal_add(struct seal *s, const void *p, size_t n)
{
	if (s->trusted || n > s->max - s->len)
		return -1;
	if (n > s->room - s->len && grow(s, s->len + n > 2 * s->room ? s->len + n : 2 * s->room) < 0)
		return -1;
	if (!n)
		return 0;
	memcpy(s->p + s->len, p, n);
	for (int i = 0; i < 2; i++)
		if (s->along & 1u << of_release[i])
			digest_add(&s->running[i], s->p + s->len, n);
	s->len += n;
	s->known = 0;
	return 0;
}

void seal_cut(struct seal *s)
{
	if (s->trusted)
		return;
	int is_along = s->along != 0;
	stop_hashing(s);
	s->len = s->known = 0;
	if (is_along)
		seal_hash_along(s);
}

void seal_free(struct seal *s)
{
	if (s)
		stop_hashing(s);
	if (s && s->p)
		munmap(s->p, s->room);
	free(s);
}

static int fill(struct seal *s, int fd, long long off, const char *name, struct why *why)
{
	while (s->len < s->max) {
		ssize_t n = pread(fd, s->p + s->len, s->max - s->len, off + (long long)s->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_errno(why, "read %s:", name);
		if (!n)
			return why_set(why, R_BAD_ARCHIVE, "%s became shorter while it was read", name);
		s->len += n;
	}
	return 0;
}

struct seal *seal_read(int fd, long long off, long long size, size_t max, const char *name, struct why *why)
{
	struct stat st;
	if (fstat(fd, &st) < 0) {
		why_errno(why, "read %s:", name);
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		why_set(why, R_NOT_OURS, "%s: not a regular file", name);
		return NULL;
	}
	if (size < 0)
		size = st.st_size;
	if ((unsigned long long)size > max) {
		why_set(why, R_TOO_BIG, "%s: larger than %zu bytes", name, max);
		return NULL;
	}
	struct seal *s = seal_new(size);
	if (size && grow(s, size) < 0)
		why_errno(why, "memory for %s:", name);
	else if (fill(s, fd, off, name, why) == 0)
		return s;
	seal_free(s);
	return NULL;
}

struct seal *seal_open(int dir, const char *path, size_t max, struct why *why)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		why_errno(why, "read %s:", path);
		return NULL;
	}
	struct seal *s = seal_read(fd, 0, -1, max, path, why);
	close(fd);
	if (!s)
		errno = EIO;		/* it is there */
	return s;
}

const unsigned char *seal_bytes(const struct seal *s)
{
	return s->p ? s->p : (const unsigned char *)"";
}

size_t seal_size(const struct seal *s)
{
	return s->len;
}

const unsigned char *seal_digest(struct seal *s, enum digest_kind kind)
{
	if (s->along & 1u << kind) {
		digest_end(&s->running[kind != of_release[0]], s->digest[kind]);
		s->along &= ~(1u << kind);
	} else if (!(s->known & 1u << kind)) {
		digest_of(kind, s->p, s->len, s->digest[kind]);
	}
	s->known |= 1u << kind;
	return s->digest[kind];
}

const char *seal_sha256(struct seal *s)
{
	return sign_hex(s->sha256, seal_digest(s, DIGEST_SHA256), 32);
}

static int trust(struct seal *s, int is_so)
{
	if (is_so && !s->trusted) {
		s->trusted = 1;
		if (s->p)
			mprotect(s->p, s->room, PROT_READ);
	}
	return is_so;
}

int seal_trust_digest(struct seal *s, enum digest_kind kind, const unsigned char *want)
{
	return trust(s, sign_equal(seal_digest(s, kind), want, digest_size(kind)));
}

int seal_trust_distsign(struct seal *s, const unsigned char key[static 32], const unsigned char sig[static 64])
{
	unsigned char msg[40];
	memcpy(msg, seal_digest(s, DIGEST_BLAKE2S), 32);
	for (int i = 0; i < 8; i++)
		msg[32 + i] = (unsigned long long)s->len >> 8 * i;
	return trust(s, sign_ed25519(key, sig, msg, sizeof msg));
}

int seal_trust_minisign(struct seal *s, const unsigned char key[static 32], const unsigned char sig[static 64])
{
	return trust(s, sign_ed25519(key, sig, seal_digest(s, DIGEST_BLAKE2B), 64));
}

int seal_trusted(const struct seal *s)
{
	return s->trusted;
}
