/* seal_test - lib/means/seal: digests made while bytes come, in a thread and without one */
#include "seal.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif
enum { BIG = 3 << 20, MAX = 16 << 20, CANNOT = 77 };

static int count, failed;
static unsigned char data[BIG];

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static int threads_now(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/task");
	for (struct dirent *e; d && (e = readdir(d)); )
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* One that was joined may be listed a moment longer. */
static int threads(int want)
{
	for (int i = 0; threads_now() != want && i < 500; i++)
		usleep(10000);
	return threads_now() == want;
}

static int add(struct seal *s, size_t from, size_t to, size_t piece)
{
	for (size_t n; from < to; from += n) {
		n = to - from < piece ? to - from : piece;
		if (seal_add(s, data + from, n) < 0)
			return -1;
	}
	return 0;
}

static int is_digest(struct seal *s, enum digest_kind kind, size_t len)
{
	unsigned char want[DIGEST_MAX];
	int n = digest_of(kind, data, len, want);
	return seal_size(s) == len && !memcmp(seal_bytes(s), data, len) && !memcmp(seal_digest(s, kind), want, n);
}

static struct seal *along(size_t to, size_t piece)
{
	struct seal *s = seal_new(MAX);
	seal_hash_along(s);
	if (add(s, 0, to, piece) < 0)
		abort();
	return s;
}

static void test_orders(void)
{
	static const size_t sizes[] = {0, 1, 65, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, (1 << 19) + 64, BIG};
	static const size_t pieces[] = {16384, 16401, 1 << 18, BIG};
	int good[2] = {1, 1};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
			for (int order = 0; order < 2; order++) {
				struct seal *s = along(sizes[i], pieces[k]);
				good[order] &= is_digest(s, order ? DIGEST_BLAKE2S : DIGEST_SHA256, sizes[i]) &&
					is_digest(s, order ? DIGEST_SHA256 : DIGEST_BLAKE2S, sizes[i]) &&
					is_digest(s, DIGEST_BLAKE2B, sizes[i]);
				seal_free(s);
			}
	ok(good[0], "SHA-256, then BLAKE2s, of all sizes and pieces");
	ok(good[1], "BLAKE2s, then SHA-256");
}

static void test_thread(void)
{
	int alone = threads_now();
	struct seal *s = along(16384, 16384);
	ok(threads(alone), "no thread for a small file");
	add(s, 16384, BIG, 16384);
	ok(threads(alone + 1), "one for a large file");
	seal_digest(s, DIGEST_SHA256);
	ok(threads(alone), "it is gone when a digest was asked for");
	ok(is_digest(s, DIGEST_BLAKE2S, BIG), "and the other is right");
	seal_free(s);

	s = along(BIG, 16384);
	seal_free(s);
	ok(threads(alone), "and when the seal is freed");

	s = along(BIG, 16384);
	seal_cut(s);
	ok(threads(alone) && !seal_size(s), "and when it is cut");
	add(s, 0, BIG - 5, 16384);
	ok(threads(alone + 1) && is_digest(s, DIGEST_BLAKE2S, BIG - 5) && is_digest(s, DIGEST_SHA256, BIG - 5), "cut, and again along");
	seal_free(s);
}

static void test_late(void)
{
	struct seal *s = along(1 << 20, 16384);
	ok(is_digest(s, DIGEST_SHA256, 1 << 20) && !add(s, 1 << 20, BIG, 16384) && is_digest(s, DIGEST_SHA256, BIG) &&
		is_digest(s, DIGEST_BLAKE2S, BIG), "bytes added after a digest");
	ok(!add(s, 0, 1, 1) && seal_size(s) == BIG + 1 && !seal_trust_digest(s, DIGEST_SHA256, data), "and after both");
	seal_free(s);

	s = seal_new(MAX);
	add(s, 0, 1 << 20, 16384);
	seal_hash_along(s);
	ok(!add(s, 1 << 20, BIG, 16384) && is_digest(s, DIGEST_SHA256, BIG) && is_digest(s, DIGEST_BLAKE2S, BIG), "along from the middle on");
	seal_free(s);

	s = along(BIG, 16384);
	unsigned char sum[DIGEST_MAX];
	digest_of(DIGEST_BLAKE2S, data, BIG, sum);
	ok(seal_trust_digest(s, DIGEST_BLAKE2S, sum) && seal_trusted(s) && seal_add(s, data, 1) < 0, "trusted: no more is added");
	ok(is_digest(s, DIGEST_SHA256, BIG), "and the other digest is right");
	seal_free(s);

	s = seal_new(BIG);
	seal_hash_along(s);
	ok(!add(s, 0, BIG, 16384) && seal_add(s, data, 1) < 0 && is_digest(s, DIGEST_SHA256, BIG), "not more than it may hold");
	seal_free(s);
}

/* 0: the digests are right, and there was no thread. In a child, since a limit cannot be taken back; as nobody where threads are
 * counted, since root's are not. */
static int limited(int resource, rlim_t to, int is_nobody)
{
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		struct rlimit r = {to, to};
		if (is_nobody && !geteuid() && setuid(65534) < 0)
			_exit(CANNOT);
		if (setrlimit(resource, &r) < 0)
			_exit(2);
		int alone = threads_now();
		struct seal *s = seal_new(SEAL_MAX);
		seal_hash_along(s);
		int rc = add(s, 0, BIG, 16384) < 0 || threads_now() != alone;
		rc |= !is_digest(s, DIGEST_SHA256, BIG) || !is_digest(s, DIGEST_BLAKE2S, BIG);
		seal_free(s);
		_exit(rc);
	}
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_fallback(void)
{
	if (IS_SANITIZED)
		printf("ok %d - no address space for all of it # SKIP the sanitizer takes it all\n", ++count);
	else
		ok(!limited(RLIMIT_AS, 64 << 20, 0), "no address space for all of it: without a thread");
	int rc = limited(RLIMIT_NPROC, 0, 1);
	if (rc == CANNOT)
		printf("ok %d - no thread can be had # SKIP there is no other user here\n", ++count);
	else
		ok(!rc, "no thread can be had: without one");
}

static volatile sig_atomic_t caught;
static void catch(int signo) { (void)signo; caught++; }

static void test_signals(void)
{
	sigset_t usr, old;
	signal(SIGUSR1, catch);
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	struct seal *s = along(1 << 20, 16384);
	sigprocmask(SIG_BLOCK, &usr, &old);
	kill(getpid(), SIGUSR1);
	add(s, 1 << 20, BIG, 16384);
	seal_digest(s, DIGEST_SHA256);
	int was = caught;
	sigprocmask(SIG_SETMASK, &old, NULL);
	ok(!was && caught == 1, "signals are not the thread's");
	seal_free(s);
}

int main(void)
{
	for (size_t i = 0; i < BIG; i++)
		data[i] = (unsigned char)(i * 2654435761u >> 13);
	test_orders();
	test_thread();
	test_late();
	test_fallback();
	test_signals();
	printf("1..%d\n", count);
	return failed != 0;
}
