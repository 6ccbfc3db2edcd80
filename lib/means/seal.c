/* seal - a file's bytes in memory of our own */
#include "seal.h"
#include "alloc.h"
#include "proc.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* STEP: what the thread is told of at once; PIECE: stays in a processor's cache from the first digest to the second. */
enum { STEP = 1 << 18, PIECE = 1 << 15 };
enum { NO_THREAD, THREAD, NEVER };

struct seal {
	unsigned char *p;
	size_t len, room, max;
	int trusted;
	unsigned known;				/* which digests have been made */
	unsigned along;				/* and which are being made while bytes come */
	struct digest running[2];
	size_t hashed;				/* so far by those; it and they are the thread's while there is one */
	int thread_state;
	pthread_t thread;
	pthread_mutex_t lock;			/* of the three below */
	pthread_cond_t more;
	size_t told;				/* bytes that the thread may read */
	int ends, dropped;			/* no more comes; what is left is not wanted */
	unsigned char digest[DIGEST_KINDS][DIGEST_MAX];
	char sha256[65];
};

struct seal *seal_new(size_t max)
{
	struct seal *s = xalloc(sizeof *s);
	s->max = max;
	return s;
}

static int grow(struct seal *s, size_t room, int flags)
{
	size_t page = sysconf(_SC_PAGESIZE);
	room = (room + page - 1) / page * page;
	void *p = s->p ? mremap(s->p, s->room, room, MREMAP_MAYMOVE) :
		mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	madvise(p, room, MADV_HUGEPAGE);	/* half the time of filling it is page faults */
	madvise(p, room, MADV_DONTDUMP);
	s->p = p;
	s->room = room;
	return 0;
}

/* ---- hashing along ---- */

static const enum digest_kind of_release[2] = {DIGEST_SHA256, DIGEST_BLAKE2S};

static void hash_up_to(struct seal *s, size_t to)
{
	while (s->hashed < to) {
		size_t n = to - s->hashed < PIECE ? to - s->hashed : PIECE;
		for (int i = 0; i < 2; i++)
			if (s->along & 1u << of_release[i])
				digest_add(&s->running[i], s->p + s->hashed, n);
		s->hashed += n;
	}
}

static void *hash_loop(void *arg)
{
	struct seal *s = arg;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->told == s->hashed && !s->ends)
			pthread_cond_wait(&s->more, &s->lock);
		if (s->dropped || s->told == s->hashed)
			break;
		size_t to = s->told - s->hashed < STEP ? s->told : s->hashed + STEP;
		pthread_mutex_unlock(&s->lock);
		hash_up_to(s, to);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* The thread reads while bytes are added, so they cannot move any more. */
static int start_thread(struct seal *s)
{
	if (s->room < s->max && grow(s, s->max, 0) < 0)
		return -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	s->told = s->len;
	s->ends = s->dropped = 0;
	return proc_thread(&s->thread, hash_loop, s) ? -1 : 0;
}

static void tell_thread(struct seal *s, int ends, int dropped)
{
	pthread_mutex_lock(&s->lock);
	s->told = s->len;
	s->ends = ends;
	s->dropped = dropped;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

static void end_thread(struct seal *s, int dropped)
{
	if (s->thread_state != THREAD)
		return;
	tell_thread(s, 1, dropped);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	s->thread_state = NEVER;		/* whoever asks for a digest may fork next */
}

static void hash_on(struct seal *s)
{
	if (s->thread_state == THREAD) {
		if (s->len - s->told >= STEP)
			tell_thread(s, 0, 0);
	} else if (s->thread_state == NEVER) {
		hash_up_to(s, s->len);
	} else if (s->len - s->hashed >= STEP) {
		s->thread_state = start_thread(s) < 0 ? NEVER : THREAD;
	}
}

static void start_hashing(struct seal *s)
{
	for (int i = 0; i < 2; i++) {
		digest_start(&s->running[i], of_release[i]);
		s->along |= 1u << of_release[i];
	}
	s->hashed = 0;
	s->thread_state = NO_THREAD;
}

void seal_hash_along(struct seal *s)
{
	if (s->along)
		return;
	if (!s->p)
		grow(s, s->max, MAP_NORESERVE);		/* refused: start_thread is, too */
	start_hashing(s);
	hash_on(s);
}

static void stop_hashing(struct seal *s)
{
	unsigned char sum[DIGEST_MAX];
	end_thread(s, 1);
	for (int i = 0; i < 2; i++)
		if (s->along & 1u << of_release[i])
			digest_end(&s->running[i], sum);
	s->along = 0;
}

int seal_add(struct seal *s, const void *p, size_t n)
{
	if (s->trusted || n > s->max - s->len)
		return -1;
	if (n > s->room - s->len && grow(s, s->len + n > 2 * s->room ? s->len + n : 2 * s->room, 0) < 0)
		return -1;
	if (!n)
		return 0;
	memcpy(s->p + s->len, p, n);
	s->len += n;
	s->known = 0;
	if (s->along)
		hash_on(s);
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
		start_hashing(s);
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
	if (size && grow(s, size, 0) < 0)
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
		end_thread(s, 0);
		hash_up_to(s, s->len);
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
