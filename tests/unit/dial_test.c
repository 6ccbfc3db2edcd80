/* dial_test - lib/means/dial: who listens, long paths, both families, and a tailscaled of our own that answers dials */
#include "clock.h"
#include "dial.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	fflush(stdout);
	failed += !is_good;
}

static void test_unix(const char *dir)
{
	char path[512], deep[512];
	struct why why;
	struct stat st;
	str_fmt(path, sizeof path, "%s/s", dir);
	ok(dial_unix(AT_FDCWD, path, NULL, clock_ms() + 500, &why) == -1 && errno == ENOENT && why.reason == R_NOT_UP,
	   "no socket");
	int l = dial_listen_unix(AT_FDCWD, path, &why);
	ok(l >= 0 && !stat(path, &st) && (st.st_mode & 0777) == 0600, "A15: a socket of mode 0600");
	int fd = dial_unix(AT_FDCWD, path, NULL, clock_ms() + 500, &why);
	ok(fd >= 0 && fcntl(fd, F_GETFL) & O_NONBLOCK && fcntl(fd, F_GETFD) & FD_CLOEXEC,
	   "it is dialled, non-blocking, close-on-exec");
	pid_t pid;
	uid_t uid;
	ok(!dial_peer(fd, &pid, &uid) && pid == getpid() && uid == geteuid(), "who listens");
	close(fd);
	ok(dial_listen_unix(AT_FDCWD, path, &why) == -1 && why.reason == R_BUSY, "a live socket is not taken");
	close(l);
	ok(dial_unix(AT_FDCWD, path, NULL, clock_ms() + 500, &why) == -1 && errno == ECONNREFUSED && why.reason == R_NOT_UP,
	   "F11: a dead socket");
	l = dial_listen_unix(AT_FDCWD, path, &why);
	ok(l >= 0, "a dead socket is replaced");
	struct dial_who other = { .pid = 1 };
	ok(dial_unix(AT_FDCWD, path, &other, clock_ms() + 500, &why) == -1 && why.reason == R_SOCKET_FOREIGN,
	   "A14: another process");
	close(l);
	unlink(path);

	str_fmt(deep, sizeof deep, "%s/%0150d", dir, 0);
	mkdir(deep, 0700);
	str_fmt(path, sizeof path, "%s/s", deep);
	l = dial_listen_unix(AT_FDCWD, path, &why);
	fd = l < 0 ? -1 : dial_unix(AT_FDCWD, path, NULL, clock_ms() + 500, &why);
	ok(fd >= 0, "F5: a path longer than a sockaddr holds");
	close(fd);
	int d = open(deep, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = dial_unix(d, "s", NULL, clock_ms() + 500, &why);
	ok(fd >= 0, "a name below a directory");
	close(fd), close(d), close(l);
	unlink(path);
	rmdir(deep);
	str_fmt(path, sizeof path, "%s/f", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ok(dial_listen_unix(AT_FDCWD, path, &why) == -1 && why.reason == R_NOT_OURS,
	   "A9: a file in the way is left alone");
	unlink(path);
	if (geteuid())
		return;
	str_fmt(path, sizeof path, "%s/foreign", dir);
	chmod(dir, 0777);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (setuid(65534) || dial_listen_unix(AT_FDCWD, path, &why) < 0)
			_exit(1);
		pause();
	}
	for (int i = 0; i < 200 && stat(path, &st); i++)
		usleep(10000);
	usleep(20000);
	ok(dial_unix(AT_FDCWD, path, NULL, clock_ms() + 500, &why) == -1 && why.reason == R_SOCKET_FOREIGN,
	   "A14: another user");
	fd = dial_unix(AT_FDCWD, path, &(struct dial_who){ .uid = 65534 }, clock_ms() + 500, &why);
	ok(fd >= 0, "unless that user was named");
	close(fd);
	kill(pid, 15);
	waitpid(pid, NULL, 0);
	unlink(path);
}

static void test_tcp(void)
{
	struct why why;
	int l = dial_listen_tcp(NULL, 0, &why), port = dial_port(l);
	ok(l >= 0 && port > 0, "a listener on loopback");
	int fd = dial_tcp("127.0.0.1", port, clock_ms() + 1000, &why);
	ok(fd >= 0, "by address");
	close(fd);
	fd = dial_tcp("localhost", port, clock_ms() + 3000, &why);
	ok(fd >= 0, "F9: by name, in whichever family it listens");
	close(fd);
	close(l);
	ok(dial_tcp("127.0.0.1", port, clock_ms() + 1000, &why) == -1 && why.reason == R_REFUSED && errno == ECONNREFUSED,
	   "refused");
	ok(dial_tcp("", 1, clock_ms() + 100, &why) == -1 && why.reason == R_UNKNOWN_NAME, "an empty name");
	l = dial_listen_tcp("::1", 0, &why);
	if (l >= 0) {
		fd = dial_tcp("[::1]", dial_port(l), clock_ms() + 1000, &why);
		ok(fd >= 0, "[v6]");
		close(fd), close(l);
	}
	long long from = clock_ms();
	int rc = dial_tcp("no-such-host.invalid", 1, from + 400, &why);
	ok(rc == -1 && (why.reason == R_UNKNOWN_NAME || why.reason == R_DEADLINE) && clock_ms() - from < 900,
	   "F9: a lookup ends with its deadline");
}

struct fake { int fd; const char *text; int bytewise, keep; };

static void *answer(void *arg)
{
	struct fake *f = arg;
	char head[2048];
	size_t len = 0;
	while (len < sizeof head - 1) {
		ssize_t n = read(f->fd, head + len, sizeof head - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		head[len] = 0;
		if (strstr(head, "\r\n\r\n"))
			break;
	}
	if (!strstr(head, "\r\nConnection: upgrade\r\n") || !strstr(head, "\r\nDial-Host: web\r\n")
	    || !strstr(head, "\r\nDial-Port: 80\r\n"))
		f->text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
	for (const char *p = f->text; *p; ) {
		size_t n = f->bytewise ? 1 : strlen(p);
		if (send(f->fd, p, n, MSG_NOSIGNAL) < 0)
			break;
		if (f->bytewise)
			usleep(200);
		p += n;
	}
	if (!f->keep)
		close(f->fd);
	return NULL;
}

static struct dial_answer got;
static struct why why_got;

static int ask(const char *text, int bytewise, int keep)
{
	int fd[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		exit(1);
	struct fake f = { fd[1], text, bytewise, keep };
	pthread_t t;
	pthread_create(&t, NULL, answer, &f);
	int rc = dial_tailnet(fd[0], "web", 80, clock_ms() + 300, &got, &why_got);
	pthread_join(t, NULL);
	close(fd[0]);
	if (keep)
		close(fd[1]);
	return rc;
}

static void test_tailnet(void)
{
	static const char up[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: ts-dial\r\nConnection: upgrade\r\n\r\nSSH-2.0-x\r\n";
	for (int bytewise = 0; bytewise < 2; bytewise++)
		ok(!ask(up, bytewise, 1) && got.status == 101 && !got.self && got.early_len <= 11
		   && !memcmp(got.early, "SSH-2.0-x\r\n", got.early_len) && (bytewise || got.early_len == 11),
		   bytewise ? "A20: byte by byte" : "a stream, and the bytes behind the head");
	ok(!ask("HTTP/1.1 200 OK\r\ndial-self: true\r\nDial-Addr: 100.64.0.3:22\r\nContent-Length: 0\r\n\r\n", 0, 1)
	   && got.self && str_eq(got.addr, "100.64.0.3:22"), "TUN: dial it ourselves");
	static const struct { const char *text; enum reason reason; } cases[] = {
		{ "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 66\r\n\r\n"
		  "dial failure: connect tcp 100.64.0.3:3998: connection was refused\n", R_REFUSED },
		{ "HTTP/1.1 502 Bad Gateway\r\n\r\ndial failure: lookup web: no such host\n", R_UNKNOWN_NAME },
		{ "HTTP/1.1 502 Bad Gateway\r\n\r\nresolve failure: x\n", R_UNKNOWN_NAME },
		{ "HTTP/1.1 502 Bad Gateway\r\n\r\ndial failure: connect tcp 1.2.3.4:5: operation timed out\n", R_FILTERED },
		{ "HTTP/1.1 502 Bad Gateway\r\n\r\ndial failure: connect tcp 1.2.3.4:5: no route to host\n", R_NO_PATH },
		{ "HTTP/1.1 502 Bad Gateway\r\n\r\n\x1b[31m\n", R_DIAL_FAILED },
		{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied", R_API_DENIED },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", R_API_ERROR },
		{ "SSH-2.0-OpenSSH\r\n", R_API_ERROR }, { "HTTP/1.1 1x1 no\r\n\r\n", R_API_ERROR },
		{ "HTTP/1.1 101 a\r\nno colon\r\n\r\n", R_API_ERROR },
		{ "HTTP/1.1 101 Swi", R_LOST }, { "", R_LOST },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc = ask(cases[i].text, 0, 0);
		if (rc != -1 || why_got.reason != cases[i].reason || strchr(why_got.msg, 27))
			printf("# %s\n", why_got.msg);
		ok(rc == -1 && why_got.reason == cases[i].reason && !strchr(why_got.msg, 27), reason_word(cases[i].reason));
	}
	ok(ask("HTTP/1.1 101 Sw", 0, 1) == -1 && why_got.reason == R_DEADLINE,
	   "a head that never ends has a deadline");
	static char big[20000];
	memset(big, 'x', sizeof big - 1);
	memcpy(big, "HTTP/1.1 101 ", 13);
	ok(ask(big, 0, 0) == -1 && why_got.reason == R_API_ERROR, "A20: an oversize head");
	ok(dial_tailnet(0, "a b\r\nX: y", 80, 0, &got, &why_got) == -1 && why_got.reason == R_UNKNOWN_NAME,
	   "a name that would be a header");
}

int main(void)
{
	char dir[] = "/tmp/dial_test.XXXXXX";
	if (!mkdtemp(dir))
		return 1;
	alarm(60);
	test_unix(dir);
	test_tcp();
	test_tailnet();
	printf("1..%d\n", count);
	rmdir(dir);
	return failed != 0;
}
