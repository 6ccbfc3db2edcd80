/* proc_test - processes: recognised, ended, started behind a gate, run in the foreground, in parallel */
#include "alloc.h"
#include "clock.h"
#include "proc.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int number, bad;

static void ok(int good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++number, what);
	fflush(stdout);
	bad += !good;
}

static char self[4096];
static char *none[] = { (char *)"ASAN_OPTIONS=detect_leaks=0", NULL };
static char *path_env[] = { (char *)"PATH=/usr/bin:/bin", NULL };

static int sleeper(void)
{
	int pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	return pid;
}

static void ids(void)
{
	struct why why = {0};
	struct proc_id id, other;
	int pid = sleeper();
	ok(!proc_id_of(pid, &id, &why) && id.pid == pid && id.start && id.boot[0], "a process has an id");
	ok(proc_alive(&id) == 1, "it is alive");
	other = id;
	other.start++;
	ok(!proc_alive(&other), "another start time is another process");
	ok(!proc_end(&other, SIGKILL, clock_ms() + 1000, &why) && proc_alive(&id) == 1, "which is not hit");
	ok(proc_open(&other, &why) < 0 && errno == ESRCH, "nor opened");
	other = id;
	other.boot[0] ^= 1;
	ok(!proc_alive(&other), "another boot is another process");
	int fd = proc_open(&id, &why);
	ok(fd >= 0 && !proc_signal_fd(fd, 0), "it can be opened");
	close(fd);
	ok(proc_end(&id, 0, clock_ms() + 30, &why) < 0 && why.reason == R_DEADLINE,
		"waiting for it has a deadline");
	kill(pid, SIGKILL);
	usleep(50000);
	ok(!proc_alive(&id), "a zombie is not alive");
	ok(!proc_end(&id, SIGKILL, clock_ms() + 1000, &why) && waitpid(pid, NULL, WNOHANG) < 0,
		"ending it is done, and it is reaped");
	ok(proc_id_of(pid, &id, &why) < 0 && errno == ESRCH, "no id of what is gone");

	pid = sleeper();
	proc_id_of(pid, &id, &why);
	long long t = clock_us();
	ok(!proc_end(&id, SIGTERM, clock_ms() + 2000, &why) && !proc_alive(&id), "a signal ends it");
	printf("# proc_end: %lld us\n", clock_us() - t);
	ok(proc_netns(0) && proc_netns(0) == proc_netns(getpid()), "network namespace");
	char a[40], b[40];
	proc_machine(a);
	proc_machine(b);
	ok(strlen(a) >= 20 && str_eq(a, b), "machine");
}

static int refuse(void *ctx)
{
	return *(int *)ctx;
}

static int explain(int code, struct why *why)
{
	return why_set(why, R_CANNOT_NARROW, "code %d", code);
}

static int status_of(int pid)
{
	int st = -1;
	waitpid(pid, &st, 0);
	return st;
}

static void spawn(void)
{
	struct why why = {0};
	struct proc_child c;
	int out[2], extra = open("/dev/null", O_RDONLY);
	if (pipe(out) < 0 || extra < 0)
		return;
	char *argv[] = { self, (char *)"fds", NULL };
	char *env[] = { (char *)"ONLY=this", NULL };
	struct proc_spec s = proc_spec(self, argv, env);
	s.out = out[1];
	s.session = 1;
	ok(!proc_spawn(&s, &c, &why) && c.stage == PROC_GATE && c.id.pid == c.pid, "spawn waits at the gate");
	close(out[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	char text[256] = "";
	usleep(20000);
	ok(read(out[0], text, sizeof text) < 0 && proc_alive(&c.id) == 1, "nothing runs yet");
	ok(!proc_release(&c, &why) && c.stage == PROC_DONE, "release");
	ok(status_of(c.pid) == 0, "it ends with 0");
	ssize_t n = read(out[0], text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	ok(str_eq(text, "fds 0 1 2 env ONLY=this session yes mask no"),
		"three descriptors, its own environment and session, no mask");
	printf("# %s\n", text);
	close(c.pidfd);
	close(out[0]);
	close(extra);

	ok(proc_spawn(&s, &c, &why) < 0 && c.stage == PROC_STDIO && c.code == EBADF,
		"a closed descriptor for stdout: said");
	s.out = -1;
	ok(!proc_spawn(&s, &c, &why), "spawn");
	int pid = c.pid;
	proc_abandon(&c);
	ok(kill(pid, 0) < 0 && errno == ESRCH, "abandoned: gone");

	ok(!proc_spawn(&s, &c, &why), "spawn");
	kill(c.pid, SIGKILL);
	ok(proc_release(&c, &why) < 0 && why.reason, "killed at the gate: said, and no SIGPIPE");

	int code = -EBUSY;
	s.enter = refuse;
	s.ctx = &code;
	ok(proc_spawn(&s, &c, &why) < 0 && c.stage == PROC_ENTER && c.code == -EBUSY && why.reason,
		"enter fails: its code comes back");
	s.failed = explain;
	ok(proc_spawn(&s, &c, &why) < 0 && why.reason == R_CANNOT_NARROW, "and is explained");

	char script[] = "/tmp/proc_test.XXXXXX";
	int fd = mkstemp(script);
	if (write(fd, "not a program", 13) != 13)
		return;
	close(fd);
	chmod(script, 0755);
	s = proc_spec(script, argv, none);
	s.not_program = R_BAD_TAILSCALED;
	ok(!proc_spawn(&s, &c, &why) && proc_release(&c, &why) < 0 && why.reason == R_BAD_TAILSCALED
		&& c.stage == PROC_EXEC && c.code == ENOEXEC,
		"not a program: bad-tailscaled");
	chmod(script, 0644);
	s.not_program = R_NONE;
	ok(!proc_spawn(&s, &c, &why) && proc_release(&c, &why) < 0 && why.reason == R_CANNOT_EXEC,
		"not executable: cannot-exec");
	unlink(script);
	ok(!proc_spawn(&s, &c, &why) && proc_release(&c, &why) < 0 && why.reason == R_NO_COMMAND,
		"no such file: no-command");

	/* kill -9 of the parent before release: the child ends, nothing was executed. */
	int report[2];
	if (pipe(report) < 0)
		return;
	s = proc_spec(self, argv, none);
	pid = fork();
	if (!pid) {
		if (!proc_spawn(&s, &c, &why) && write(report[1], &c.id, sizeof c.id) > 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	close(report[1]);
	status_of(pid);
	struct proc_id id;
	ok(read(report[0], &id, sizeof id) == sizeof id, "spawned by one that is killed");
	for (int i = 0; i < 100 && proc_alive(&id) == 1; i++)
		usleep(10000);
	ok(!proc_alive(&id), "ends by itself");
	close(report[0]);

	char *nop[] = { self, (char *)"nop", NULL };
	s = proc_spec(self, nop, none);
	long long sum = 0, least = 1 << 30;
	for (int i = 0; i < 50; i++) {
		long long t = clock_us();
		if (proc_spawn(&s, &c, &why) || proc_release(&c, &why))
			break;
		t = clock_us() - t;
		sum += t;
		least = t < least ? t : least;
		status_of(c.pid);
		close(c.pidfd);
	}
	printf("# spawn and release: %lld us, at best %lld\n", sum / 50, least);
}

static int run(const char *script)
{
	struct why why = {0};
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	struct proc_cmd cmd = { .argv = argv, .env = path_env, .watch = -1 };
	return proc_run(&cmd, &why);
}

static int signal_for_it(void *ctx)
{
	return *(int *)ctx;
}

static void later(int ms, int sig)
{
	int pid = getpid();
	if (fork())
		return;
	usleep(ms * 1000);
	kill(pid, sig);
	_exit(0);
}

static void foreground(void)
{
	struct why why = {0};
	ok(run("exit 7") == 7, "the command's status");
	ok(run("kill -9 $$") == 137, "128 + signal");
	char *argv[] = { (char *)"no-such-command", NULL };
	struct proc_cmd cmd = { .argv = argv, .env = path_env, .watch = -1 };
	ok(proc_run(&cmd, &why) < 0 && why.reason == R_NO_COMMAND && why.status == 127, "not found: 127");
	argv[0] = (char *)"/etc/passwd";
	ok(proc_run(&cmd, &why) < 0 && why.reason == R_CANNOT_EXEC && why.status == 126, "cannot execute: 126");
	char *no_path[] = { (char *)"PATH=/nonexistent", NULL };
	argv[0] = (char *)"sh";
	cmd.env = no_path;
	ok(proc_run(&cmd, &why) < 0 && why.status == 127, "PATH is the one that is given");
	cmd.env = path_env;
	cmd.cwd = "/nonexistent";
	ok(proc_run(&cmd, &why) < 0 && why.status == 125, "no such directory: 125");

	later(100, SIGTERM);
	ok(run("trap 'exit 9' TERM; while :; do sleep 0.02; done") == 9, "TERM is handed on");
	later(100, SIGINT);
	ok(run("exec sleep 5") == 128 + SIGINT, "INT that was sent to us alone is handed on");
	signal(SIGHUP, SIG_IGN);
	later(50, SIGHUP);
	ok(run("sleep 0.15; kill -HUP $$; exit 3") == 3, "what we ignore stays ignored");
	signal(SIGHUP, SIG_DFL);
	signal(SIGCHLD, SIG_IGN);
	ok(run("exit 4") == 4, "the status is there with SIGCHLD ignored");
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	ok(run("kill -PIPE $$; exit 0") == 128 + SIGPIPE, "our SIGPIPE is not the command's");
	signal(SIGPIPE, SIG_DFL);

	int ends[2], sig = SIGTERM;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	if (!fork()) {
		usleep(50000);
		_exit(0);	/* the last writer goes */
	}
	close(ends[1]);
	char *sleep_argv[] = { (char *)"sleep", (char *)"5", NULL };
	cmd = (struct proc_cmd){
		.argv = sleep_argv, .env = path_env,
		.watch = ends[0], .ready = signal_for_it, .ctx = &sig,
	};
	ok(proc_run(&cmd, &why) == 128 + SIGTERM, "a watched descriptor ends it");
	sig = -1;
	sleep_argv[1] = (char *)"0.1";
	ok(proc_run(&cmd, &why) == 0, "or is let go");
	close(ends[0]);

	/* Stopped and continued as a job is. */
	int pid = fork(), st;
	if (!pid) {
		setpgid(0, 0);
		_exit(run("sleep 0.3; exit 5"));
	}
	setpgid(pid, pid);
	usleep(100000);
	kill(-pid, SIGTSTP);
	ok(waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st), "stops with its group");
	kill(-pid, SIGCONT);
	ok(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 5, "and goes on");
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int item(int i, void *ctx, int out)
{
	(void)ctx;
	usleep(20000);
	if (i == 3)
		raise(SIGKILL);
	char text[9000];
	memset(text, 'x', sizeof text);
	if (write(out, text, i == 2 ? sizeof text : (size_t)i) < 0)
		return 99;
	return i;
}

static int slow(int i, void *ctx, int out)
{
	(void)ctx;
	if (i == 1)
		close(out);
	if (i < 2)
		sleep(5);
	return 0;
}

static void parallel(void)
{
	struct why why = {0};
	struct proc_result *r = xalloc(20 * sizeof *r);
	long long t = clock_ms();
	ok(!proc_parallel(20, 20, item, NULL, r, clock_ms() + 5000, &why), "20 in parallel");
	ok(clock_ms() - t < 300, "take about the time of one");
	ok(r[5].status == 5 && r[5].len == 5 && str_eq(r[5].out, "xxxxx") && r[3].status == 137
		&& r[19].status == 19,
		"each has its status and text");
	ok(r[2].len == 4096 && r[2].status == 2, "4 KiB are kept, more does not block");
	t = clock_ms();
	ok(!proc_parallel(6, 2, item, NULL, r, 0, &why) && clock_ms() - t >= 60,
		"at most two at once, no deadline");
	t = clock_ms();
	ok(proc_parallel(4, 2, slow, NULL, r, clock_ms() + 100, &why) < 0 && why.reason == R_DEADLINE,
		"the deadline ends them");
	ok(clock_ms() - t < 400 && r[0].status == -1 && r[1].status == -1 && r[3].status == -1,
		"at once, the ones that never started too");
	ok(waitpid(-1, NULL, WNOHANG) < 0, "no child is left");
	free(r);
}

static int probe_fds(void)
{
	printf("fds");
	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf(" %d", fd);
	extern char **environ;
	printf(" env");
	for (char **e = environ; *e; e++)
		printf(" %s", *e);
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	printf(" session %s mask %s",
		getsid(0) == getpid() ? "yes" : "no", sigismember(&mask, SIGTERM) ? "yes" : "no");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return str_eq(argv[1], "fds") ? probe_fds() : 0;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	self[n > 0 ? n : 0] = 0;
	ids();
	spawn();
	foreground();
	parallel();
	printf("1..%d\n", number);
	return bad != 0;
}
