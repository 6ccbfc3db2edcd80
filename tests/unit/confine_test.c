/* confine_test - a confined program really cannot, and what it needs it can */
#include "clock.h"
#include "confine.h"
#include "file.h"
#include "proc.h"
#include "str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#define ASAN __has_feature(address_sanitizer)
#else
#define ASAN 0
#endif
static const char *const asan_needs = ASAN ? "/proc" : "/nonexistent";

static int number, bad;
static char self[4096], dir[64];

static void ok(int good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++number, what);
	fflush(stdout);
	bad += !good;
}

static void skip(const char *what, const char *reason)
{
	printf("ok %d - %s # SKIP %s\n", ++number, what, reason);
}

/* ---- the probe: this program again, confined; its exit status is errno, 0 for "could" */

static int answer(long result)
{
	return result < 0 ? errno : 0;
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int try_bind(int type)
{
	struct sockaddr_in a = loopback(0);
	return answer(bind(socket(AF_INET, type, 0), (struct sockaddr *)&a, sizeof a));
}

static int try_abstract(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	str_copy(a.sun_path + 1, sizeof a.sun_path - 1, name);
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
	return answer(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, len));
}

static int try_exec(const char *file)
{
	char *argv[] = { (char *)file, (char *)"nop", NULL }, *env[] = { NULL };
	execve(file, argv, env);
	return errno;
}

static int probe(const char *verb, const char *arg)
{
	if (str_eq(verb, "write"))
		return answer(open(arg, O_WRONLY | O_CREAT | O_TRUNC, 0600));
	if (str_eq(verb, "read"))
		return answer(open(arg, O_RDONLY));
	if (str_eq(verb, "mkdir"))
		return answer(mkdir(arg, 0700));
	if (str_eq(verb, "exec"))
		return try_exec(arg);
	if (str_eq(verb, "tcp")) {
		struct sockaddr_in a = loopback(atoi(arg));
		return answer(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a));
	}
	if (str_eq(verb, "udp")) {
		struct sockaddr_in a = loopback(atoi(arg));
		return answer(sendto(socket(AF_INET, SOCK_DGRAM, 0), "", 1, 0, (struct sockaddr *)&a, sizeof a));
	}
	if (str_eq(verb, "abstract"))
		return try_abstract(arg);
	if (str_eq(verb, "kill"))
		return answer(kill(atoi(arg), 0));
	if (str_eq(verb, "nnp"))
		return prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 1 ? 0 : 99;
	if (str_eq(verb, "sync"))		/* no file of that number: only who does not look says that it is done */
		return answer(fsync(-1)) ? errno : answer(fdatasync(-1));
	if (str_eq(verb, "bind6")) {
		struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
		return answer(bind(socket(AF_INET6, SOCK_DGRAM, 0), (struct sockaddr *)&a, sizeof a));
	}
	if (str_eq(verb, "bind"))
		return try_bind(SOCK_DGRAM) ? errno : try_bind(SOCK_STREAM);
	if (str_eq(verb, "binds")) {	/* one while it is answered, one after a byte on stdin */
		char byte;
		if (try_bind(SOCK_DGRAM))
			return 98;
		if (write(1, "1", 1) != 1 || read(0, &byte, 1) != 1)
			return 97;
		return try_bind(SOCK_DGRAM);
	}
	return 0;
}

/* ---- the parent */

struct run { struct confined c; struct proc_child child; int listener; };

static int start(struct run *r, const struct confine_spec *spec, const char *verb, const char *arg,
	int in, int out, struct why *why)
{
	char *argv[] = { self, (char *)verb, (char *)arg, NULL };
	char *env[] = { (char *)"ASAN_OPTIONS=detect_leaks=0", NULL };
	struct proc_spec p = proc_spec(self, argv, env);
	r->listener = -1;
	if (confine_prepare(spec, &r->c, why) < 0)
		return -1;
	p.in = in;
	p.out = out;
	p.enter = confine_enter;
	p.failed = confine_failed;
	p.ctx = &r->c;
	if (proc_spawn(&p, &r->child, why) < 0)
		return -1;
	if (spec->bind_v4_notify && (r->listener = confine_take(&r->c, why)) < 0)
		return -1;
	return proc_release(&r->child, why);
}

static int finish(struct run *r)
{
	int st = -1;
	while (!waitpid(r->child.pid, &st, WNOHANG)) {
		struct pollfd p[2] = {
			{ .fd = r->listener, .events = POLLIN },
			{ .fd = r->child.pidfd, .events = POLLIN },
		};
		poll(p, 2, 20);
		if (r->listener >= 0 && confine_answer(r->listener) < 0) {
			close(r->listener);
			r->listener = -1;
		}
	}
	if (r->listener >= 0)
		close(r->listener);
	close(r->child.pidfd);
	confine_close(&r->c);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static int does(const struct confine_spec *spec, const char *verb, const char *arg)
{
	struct why why = {0};
	struct run r;
	if (start(&r, spec, verb, arg, -1, -1, &why) < 0) {
		printf("# %s: %s\n", verb, why.msg);
		return -1;
	}
	return finish(&r);
}

static const char *in_dir(const char *name)
{
	static char path[128];
	str_fmt(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void files(void)
{
	if (confine_abi() < 1) {
		skip("files", "no Landlock");
		return;
	}
	char own[128], link[128], words[48];
	str_fmt(own, sizeof own, "%s/own", dir);
	str_fmt(link, sizeof link, "%s/link", dir);
	const char *write_to[] = { own, NULL }, *read_from[] = { "/etc/passwd", asan_needs, link, NULL };
	struct confine_spec s = { .limit_files = 1, .write = write_to, .read = read_from, .exec = self };
	char name[128];
	struct why why = {0};
	struct confined c;
	ok(!confine_prepare(&s, &c, &why) && str_eq(confine_describe(&c, words), "files"), "described as files");
	confine_close(&c);
	str_fmt(name, sizeof name, "%s/own/new", dir);
	ok(does(&s, "write", name) == 0, "writes inside");
	ok(does(&s, "write", in_dir("outside")) == EACCES, "not outside");
	ok(does(&s, "write", "/etc/passwd") == EACCES, "not what may be read");
	ok(does(&s, "write", "/dev/null") == 0, "/dev/null always");
	str_fmt(name, sizeof name, "%s/own/sub", dir);
	ok(does(&s, "mkdir", name) == 0 && does(&s, "mkdir", in_dir("sub")) == EACCES,
		"directories inside, not outside");
	ok(does(&s, "read", "/etc/passwd") == 0, "reads what is listed");
	ok(does(&s, "read", "/etc/hostname") != 0 && (ASAN || does(&s, "read", "/proc/self/status") == EACCES),
		"and nothing else");
	ok(does(&s, "read", link) == 0 && does(&s, "read", in_dir("target")) == 0, "a symlink and its target");
	ok(does(&s, "exec", self) == 0, "executes itself");
	ok(does(&s, "exec", "/bin/true") == EACCES, "no other program");
	ok(does(&s, "nnp", "") == 0, "no new privileges");

	str_fmt(name, sizeof name, "%s/script", dir);
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	ok(file_full_write(fd, "#!/bin/sh\n", 10) == 0, "a script");
	close(fd);
	s.exec = name;
	ok(confine_prepare(&s, &c, &why) < 0 && why.reason == R_BAD_TAILSCALED, "is refused");
	s.exec = self;
	const char *missing[] = { "/nonexistent", NULL };
	s.write = missing;
	ok(confine_prepare(&s, &c, &why) < 0 && why.reason, "a directory to write must exist");
}

static int listen_tcp(int *port)
{
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 5) < 0
	 || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return -1;
	*port = ntohs(a.sin_port);
	return fd;
}

static void ports(void)
{
	struct why why = {0};
	struct confined c;
	int good, other, a = listen_tcp(&good), b = listen_tcp(&other);
	char good_text[8], other_text[8];
	str_fmt(good_text, sizeof good_text, "%d", good);
	str_fmt(other_text, sizeof other_text, "%d", other);
	struct confine_spec s = { .limit_connect = 1, .ports = { good, 443 }, .port_count = 2 };
	if (confine_abi() < 4) {
		ok(confine_prepare(&s, &c, &why) < 0 && (why.reason == R_NO_LANDLOCK || why.reason == R_CANNOT_NARROW),
			"ports cannot be had: said");
	} else {
		ok(does(&s, "tcp", good_text) == 0, "dials the port that is listed");
		ok(does(&s, "tcp", other_text) == EACCES, "no other");
		ok(does(&s, "read", "/etc/passwd") == 0, "files are as before");
		s.port_count = 0;
		ok(does(&s, "tcp", good_text) == EACCES, "an empty list allows none");
	}
	struct confine_spec u = { .limit_udp = 1, .udp_ports = { good }, .udp_port_count = 1 };
	if (confine_abi() < 10) {
		ok(confine_prepare(&u, &c, &why) < 0 && why.reason == R_CANNOT_NARROW, "UDP ports cannot be had: said");
	} else {
		ok(does(&u, "udp", good_text) == 0, "sends to the UDP port that is listed");
		ok(does(&u, "udp", other_text) == EACCES, "to no other");
	}
	close(a);
	close(b);
}

static void scoped(void)
{
	if (confine_abi() < 6) {
		skip("scoped", "Landlock before ABI 6");
		return;
	}
	char name[40], pid[16];
	str_fmt(name, sizeof name, "moorbox-test-%d", getpid());
	str_fmt(pid, sizeof pid, "%d", getpid());
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	str_copy(a.sun_path + 1, sizeof a.sun_path - 1, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 5) < 0)
		return;
	struct confine_spec none = {0}, s = { .scoped = 1 };
	ok(does(&none, "abstract", name) == 0 && does(&none, "kill", pid) == 0,
		"without: abstract sockets and signals");
	ok(does(&s, "abstract", name) == EPERM, "scoped: no abstract sockets of others");
	ok(does(&s, "kill", pid) == EPERM, "and no signals");
	ok(does(&none, "nnp", "") == 0, "no new privileges in any case");
	close(fd);
}

static void syncs(void)
{
	struct confine_spec none = {0}, s = { .no_sync = 1 }, both = { .no_sync = 1, .bind_v4_notify = 1 };
	ok(does(&none, "sync", "") == EBADF, "without: fsync looks at its file");
	if (prctl(PR_SET_SECCOMP, 2L, NULL, 0L, 0L) == 0 || errno != EFAULT) {	/* a filter at no address: EFAULT where one can be set */
		skip("no_sync", "no seccomp");
		return;
	}
	ok(does(&s, "sync", "") == 0, "no_sync: fsync and fdatasync are done at once");
	ok(does(&s, "bind", "") == 0 && does(&s, "write", in_dir("synced")) == 0, "every other call is as before");
	struct why why = {0};
	struct run r;
	if (start(&r, &both, "sync", "", -1, -1, &why) == 0)
		ok(finish(&r) == 0, "beside the rule for bind");
}

static void binds(void)
{
	struct why why = {0};
	struct confine_spec none = {0}, s = { .bind_v4_notify = 1 };
	struct run r;
	int in[2], out[2];
	char byte, words[48];
	ok(does(&none, "bind", "") == 0, "without the rule, bind works");
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return;
	if (start(&r, &s, "binds", "", in[0], out[1], &why) < 0) {
		ok(why.reason == R_CANNOT_NARROW, "refused here: said");
		printf("# %s\n", why.msg);
		return;
	}
	ok(str_eq(confine_describe(&r.c, words), "udp"), "described as udp");
	struct pollfd p = { .fd = r.listener, .events = POLLIN };
	ok(poll(&p, 1, 2000) == 1 && confine_answer(r.listener) == 1, "bind asks, and is answered");
	ok(read(out[0], &byte, 1) == 1, "it works");
	ok(confine_answer(r.listener) == 0, "nothing more to answer: does not block");
	close(r.listener);
	r.listener = -1;
	ok(write(in[1], "", 1) == 1 && finish(&r) == ENOSYS, "after the end of the permission: ENOSYS");
	ok(does(&s, "bind", "") == 0, "UDP and TCP while it is answered");

	if (start(&r, &s, "bind6", "", -1, -1, &why) == 0) {
		close(r.listener);
		r.listener = -1;
		ok(finish(&r) == 0, "IPv6 sockets are not asked about");
	}
	if (start(&r, &s, "bind", "", -1, -1, &why) == 0) {
		poll(&(struct pollfd){ .fd = r.listener, .events = POLLIN }, 1, 2000);
		kill(r.child.pid, SIGKILL);
		waitpid(r.child.pid, NULL, 0);
		ok(confine_answer(r.listener) == -1, "killed while it asks: nobody is left");
		close(r.listener);
		close(r.child.pidfd);
		confine_close(&r.c);
	}

	/* Two listeners on one task cannot be. */
	int pid = fork();
	if (!pid) {
		struct confined c;
		int first = confine_prepare(&s, &c, &why) == 0 && confine_enter(&c) == 0;
		int listener = first ? confine_take(&c, &why) : -1;
		int result = listener < 0;
		if (start(&r, &s, "nop", "", -1, -1, &why) < 0 && why.reason == R_CANNOT_NARROW)
			_exit(result);
		_exit(2);
	}
	int st;
	waitpid(pid, &st, 0);
	/* The first one's listener was closed in the child of proc_spawn only, so it is there: EBUSY. */
	ok(st == 0, "a second listener: cannot-narrow");
	close(in[0]);
	close(in[1]);
	close(out[0]);
	close(out[1]);
}

static void whole(void)
{
	char words[48];
	struct why why = {0};
	int port, fd = listen_tcp(&port);
	const char *own[] = { dir, NULL }, *others[] = { asan_needs, NULL };
	struct confine_spec s = { .limit_files = 1, .write = own, .read = others, .exec = self,
		.limit_connect = 1, .ports = { port }, .port_count = 1, .scoped = 1, .bind_v4_notify = 1 };
	struct confined c;
	if (confine_abi() < 6 || confine_prepare(&s, &c, &why) < 0) {
		skip("all together", "not on this kernel");
		return;
	}
	ok(str_eq(confine_describe(&c, words), "files,tcp,scoped,udp"), "all together");
	confine_close(&c);
	ok(does(&s, "bind", "") == 0 && does(&s, "exec", "/bin/true") == EACCES, "hold together");

	struct run r;
	long long best = 1 << 30;
	for (int i = 0; i < 20; i++) {
		long long t = clock_us();
		if (start(&r, &s, "nop", "", -1, -1, &why) < 0)
			break;
		t = clock_us() - t;
		best = t < best ? t : best;
		finish(&r);
	}
	printf("# prepare, spawn, take, release: %lld us at best; Landlock ABI %d\n", best, confine_abi());
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return probe(argv[1], argc > 2 ? argv[2] : "");
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	self[n > 0 ? n : 0] = 0;
	str_copy(dir, sizeof dir, "/tmp/confine_test.XXXXXX");
	if (!mkdtemp(dir) || mkdir(in_dir("own"), 0700) < 0)
		return 99;
	close(open(in_dir("target"), O_CREAT | O_WRONLY, 0600));
	if (symlink("target", in_dir("link")) < 0)
		return 99;
	files();
	ports();
	scoped();
	syncs();
	binds();
	whole();
	struct why why = {0};
	file_remove_tree(AT_FDCWD, dir, &why);
	printf("1..%d\n", number);
	return bad != 0;
}
