/* relay_test - lib/means/relay: bit-exact both ways, back-pressure, half-close, ends of every kind */
#include "clock.h"
#include "relay.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	fflush(stdout);
	failed += !is_good;
}

/* Numbers in order, so that a byte lost, doubled or moved is seen. */
struct job { int fd; size_t bytes; int shut, slow, good; size_t got; };

static void *feed(void *arg)
{
	struct job *j = arg;
	static __thread unsigned words[16384];
	unsigned n = 0;
	for (size_t left = j->bytes; left; ) {
		for (size_t i = 0; i < 16384; i++)
			words[i] = n++;
		size_t len = left < sizeof words ? left : sizeof words;
		for (size_t at = 0; at < len; ) {
			size_t piece = j->slow && len - at > 1 ? 1 + at % 7 : len - at;
			ssize_t w = write(j->fd, (char *)words + at, piece < len - at ? piece : len - at);
			if (w < 0)
				return NULL;
			at += (size_t)w;
		}
		left -= len;
	}
	if (j->shut && shutdown(j->fd, SHUT_WR))
		close(j->fd);
	return NULL;
}

static void *drain(void *arg)
{
	struct job *j = arg;
	static __thread char text[70000];
	unsigned word = 0, have = 0, next = 0;
	j->good = 1;
	for (;;) {
		ssize_t n = read(j->fd, text, j->slow ? 1000 : sizeof text);
		if (n <= 0)
			break;
		if (j->slow)
			usleep(100);
		j->got += (size_t)n;
		for (ssize_t i = 0; i < n; ) {
			if (!have && n - i >= 4) {
				memcpy(&word, text + i, 4);
				i += 4;
			} else {
				memcpy((char *)&word + have, text + i++, 1);
				if (++have < 4)
					continue;
				have = 0;
			}
			if (word != next++)
				j->good = 0;
		}
		if (j->bytes && j->got == j->bytes)
			break;
	}
	return NULL;
}

static void pair(int fd[2], int is_tcp)
{
	if (!is_tcp) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
			exit(1);
		return;
	}
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (struct sockaddr *)&sa, sizeof sa) || listen(l, 1) || getsockname(l, (struct sockaddr *)&sa, &len))
		exit(1);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd[0], (struct sockaddr *)&sa, sizeof sa))
		exit(1);
	fd[1] = accept(l, NULL, NULL);
	close(l);
}

static struct relay_count last;
static int overs;

static void over(void *ctx, void *tag, const struct relay_count *c)
{
	(void)ctx;
	(void)tag;
	last = *c;
	overs++;
}

static void run(struct relay *r, int until_ms)
{
	long long deadline = clock_ms() + until_ms;
	while (relay_live(r) && !clock_passed(deadline))
		relay_turn(r, 20, over, NULL);
}

static void test_bulk(int is_tcp, size_t bytes, int slow)
{
	int near[2], far[2];
	struct why why;
	char name[96];
	pair(near, is_tcp);
	pair(far, is_tcp);
	struct relay *r = relay_new(&why);
	pthread_t t[4];
	struct job up = { .fd = near[0], .bytes = bytes, .shut = 1, .slow = slow };
	struct job down = { .fd = far[0], .bytes = bytes, .shut = 1 };
	struct job at_far = { .fd = far[0], .slow = slow }, at_near = { .fd = near[0], .slow = slow };
	long long from = clock_us();
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	relay_add(r, near[1], far[1], NULL, 0, NULL, &why);
	pthread_create(&t[0], NULL, feed, &up);
	pthread_create(&t[1], NULL, feed, &down);
	pthread_create(&t[2], NULL, drain, &at_far);
	pthread_create(&t[3], NULL, drain, &at_near);
	run(r, 60000);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	getrusage(RUSAGE_SELF, &after);
	long long us = clock_us() - from;
	printf("# %zu bytes each way: %lld ms, %lld MB/s together\n", bytes, us / 1000, 2 * (long long)bytes / (us + 1));
	str_fmt(name, sizeof name, "L5: %zu bytes each way over %s%s", bytes, is_tcp ? "TCP" : "unix",
	        slow ? ", small writes, slow reader" : "");
	ok(at_far.good && at_near.good && at_far.got == bytes && at_near.got == bytes && !relay_live(r)
	   && last.up == (long long)bytes && last.down == (long long)bytes && !last.error, name);
	relay_free(r);
	close(near[0]);
	close(far[0]);
}

static int text_of(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;
	while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = 0;
	return (int)len;
}

static void test_ends(void)
{
	int near[2], far[2];
	char text[64];
	struct why why;
	struct relay *r = relay_new(&why);

	pair(near, 1), pair(far, 0);
	relay_add(r, near[1], far[1], &(struct relay_early){ .to_near = "early ", .near_len = 6 }, RELAY_NO_HALF, NULL, &why);
	if (write(near[0], "question", 8) != 8)
		exit(1);
	shutdown(near[0], SHUT_WR);
	run(r, 60);
	ssize_t n = recv(far[0], text, sizeof text, MSG_DONTWAIT);
	int still_open = n == 8 && recv(far[0], text, sizeof text, MSG_DONTWAIT) < 0 && errno == EAGAIN;
	if (write(far[0], "answer", 6) != 6)
		exit(1);
	close(far[0]);
	run(r, 1000);
	ok(still_open && text_of(near[0], text, sizeof text) == 12 && str_eq(text, "early answer") && !relay_live(r),
	   "without half-close the far side stays open until it ends");
	close(near[0]);

	pair(near, 1), pair(far, 0);
	relay_add(r, near[1], far[1], NULL, RELAY_NO_HALF | RELAY_CLOSE, NULL, &why);
	if (write(near[0], "question", 8) != 8)
		exit(1);
	shutdown(near[0], SHUT_WR);
	run(r, 1000);
	ok(text_of(far[0], text, sizeof text) == 8 && !relay_live(r), "RELAY_CLOSE ends it with the near side");
	close(near[0]), close(far[0]);

	pair(near, 1), pair(far, 0);
	relay_add(r, near[1], far[1], NULL, RELAY_NO_HALF, NULL, &why);
	close(far[0]);
	run(r, 50);
	int lingers = relay_live(r) == 1 && text_of(near[0], text, sizeof text) == 0;
	close(near[0]);
	run(r, 1000);
	ok(lingers && !relay_live(r), "the far side ends: the client is told, and has time to read");

	pair(near, 1), pair(far, 1);
	relay_add(r, near[1], far[1], NULL, 0, NULL, &why);
	setsockopt(far[0], SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(far[0]);
	run(r, 200);
	if (write(near[0], "x", 1) != 1)
		exit(1);
	close(near[0]);
	run(r, 1000);
	ok(!relay_live(r) && last.error, "F14: a reset is an end, with its errno");

	pair(near, 1), pair(far, 0);
	relay_add(r, near[1], far[1], NULL, RELAY_NO_HALF, NULL, &why);
	setsockopt(near[0], SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(near[0]);
	run(r, 1000);
	ok(!relay_live(r) && last.near_gone, "the client resets: over at once");
	close(far[0]);
	relay_free(r);
}

static long rss_kib(void)
{
	long pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f && fscanf(f, "%ld %ld", &ignored, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * 4;
}

static void test_many(void)
{
	enum { N = 256 };
	static int near[N][2], far[N][2];
	struct why why;
	char text[8];
	struct rlimit limit = { 4096, 4096 };
	setrlimit(RLIMIT_NOFILE, &limit);
	struct relay *r = relay_new(&why);
	long before = rss_kib();
	for (int i = 0; i < N; i++) {
		pair(near[i], 0), pair(far[i], 0);
		relay_add(r, near[i][1], far[i][1], NULL, 0, NULL, &why);
		if (write(near[i][0], "hello", 5) != 5)
			exit(1);
	}
	for (int i = 0; i < 20; i++)
		relay_turn(r, 0, over, NULL);
	int good = 0;
	for (int i = 0; i < N; i++)
		good += recv(far[i][0], text, sizeof text, MSG_DONTWAIT) == 5;
	printf("# %d pairs: %ld KiB more\n", N, rss_kib() - before);
	ok(good == N && rss_kib() - before < 2048, "L5: 256 pairs, little memory");
	overs = 0;
	for (int i = 0; i < N; i++)
		close(near[i][0]), close(far[i][0]);
	run(r, 2000);
	ok(overs == N && !relay_live(r), "and all of them end");
	int lowest = open("/dev/null", O_RDONLY);
	ok(lowest < 20, "no descriptor is left");
	close(lowest);
	relay_free(r);
}

struct closing { pthread_t *t; int fd; };

static void *close_it(void *arg)
{
	struct closing *c = arg;
	for (int i = 0; i < 3; i++)
		pthread_join(c->t[i], NULL);
	close(c->fd);
	return NULL;
}

/* relay_pair with pipes on the near side, as in a shell. */
static void test_pair(size_t bytes)
{
	int in[2], out[2], stream[2];
	struct relay_count c;
	struct why why;
	pthread_t t[4];
	if (pipe(in) || pipe(out))
		exit(1);
	pair(stream, 0);
	struct job up = { .fd = in[1], .bytes = bytes, .shut = 1 }, down = { .fd = stream[0], .bytes = bytes };
	struct job at_far = { .fd = stream[0], .bytes = bytes }, at_near = { .fd = out[0], .bytes = bytes };
	pthread_create(&t[0], NULL, feed, &up);
	pthread_create(&t[1], NULL, feed, &down);
	pthread_create(&t[3], NULL, drain, &at_near);
	pthread_create(&t[2], NULL, drain, &at_far);
	/* The peer closes when it has all and has sent all. */
	pthread_t closer;
	struct closing closing = { t, stream[0] };
	pthread_create(&closer, NULL, close_it, &closing);
	long long from = clock_us();
	int rc = relay_pair(in[0], out[1], stream[1], NULL, 0, RELAY_NO_HALF, &c, &why);
	long long us = clock_us() - from;
	close(out[1]);
	pthread_join(closer, NULL);
	pthread_join(t[3], NULL);
	printf("# pipes: %lld MB/s together\n", 2 * (long long)bytes / (us + 1));
	ok(!rc && at_far.good && at_near.good && c.up == (long long)bytes && c.down == (long long)bytes,
	   "pipes to a stream, both ways");
	int flags = fcntl(out[0], F_GETFL) | fcntl(in[0], F_GETFL);
	ok(!(flags & O_NONBLOCK), "the pipes keep their mode");
	close(in[0]), close(out[0]), close(stream[1]);
}

static void test_pair_ends(void)
{
	int in[2], out[2], stream[2];
	struct relay_count c;
	struct why why;
	char text[64];

	if (pipe(in) || pipe(out))
		exit(1);
	pair(stream, 0);
	if (write(in[1], "hi", 2) != 2)
		exit(1);
	close(in[1]);
	ok(!relay_pair(in[0], out[1], stream[1], NULL, 0, RELAY_NO_HALF | RELAY_CLOSE, &c, &why) && c.up == 2,
	   "-N ends with stdin");
	if (write(stream[0], "late", 4) != 4)
		exit(1);
	close(out[0]);
	int null = open("/dev/null", O_RDONLY);
	ok(!relay_pair(null, out[1], stream[1], NULL, 0, RELAY_NO_HALF, &c, &why) && c.near_gone,
	   "a closed stdout is an end");
	close(in[0]), close(out[1]), close(stream[0]), close(stream[1]);

	pair(stream, 0);
	int file = open("/proc/self/exe", O_RDONLY);
	if (pipe(out) || fcntl(out[1], F_SETPIPE_SZ, 1 << 20) < 0)
		exit(1);
	shutdown(stream[0], SHUT_WR);
	ok(!relay_pair(file, out[1], stream[1], "first", 5, RELAY_NO_HALF, &c, &why) && c.down == 5,
	   "early bytes, a file as stdin, an ended stream");
	close(out[1]);
	ok(text_of(out[0], text, sizeof text) == 5 && str_eq(text, "first"), "they came out");
	close(file), close(stream[0]), close(stream[1]), close(out[0]);

	pair(stream, 1);
	setsockopt(stream[0], SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(stream[0]);
	int full = open("/dev/full", O_WRONLY);
	ok(relay_pair(null, full, stream[1], NULL, 0, 0, &c, &why) == -1 && why.reason == R_LOST
	   && c.error == ECONNRESET, "a reset is [lost]");
	close(stream[1]);
	pair(stream, 1);
	if (write(stream[0], "x", 1) != 1)
		exit(1);
	ok(relay_pair(null, full, stream[1], NULL, 0, 0, &c, &why) == -1 && why.reason == R_OUTPUT,
	   "a full disk is [output]");
	close(stream[0]), close(stream[1]);
	pair(stream, 0);
	close(stream[0]);
	ok(!relay_pair(-1, -1, stream[1], NULL, 0, 0, &c, &why), "stdin and stdout closed");
	close(stream[1]), close(full), close(null);
}

int main(int argc, char **argv)
{
	size_t big = argc > 1 ? (size_t)atol(argv[1]) << 20 : 16 << 20;
	signal(SIGPIPE, SIG_IGN);
	alarm(argc > 1 ? 600 : 120);
	test_many();
	test_bulk(0, big, 0);
	test_bulk(1, big, 0);
	test_bulk(1, 300000, 1);
	test_ends();
	test_pair(big);
	test_pair_ends();
	printf("1..%d\n", count);
	return failed != 0;
}
