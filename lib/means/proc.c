/* proc - processes that are provably the ones meant, and how they are started */
#include "proc.h"
#include "alloc.h"
#include "clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The same numbers on every architecture; older libc headers lack them. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

enum { GATE_FD = 3, STATUS_FD = 4 };

static void close_fd(int *fd)
{
	int kept = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = kept;
}

/* A small file of /proc or /etc, NUL-ended, without its last newline; the length, or -1. */
static int slurp(const char *path, char *dst, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t len = 0;
	ssize_t n;
	while (len < size - 1 && (n = read(fd, dst + len, size - 1 - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !len) {
			close_fd(&fd);
			return -1;
		}
		if (n < 0)
			break;
		len += n;
	}
	close_fd(&fd);
	dst[len] = 0;
	if (len && dst[len - 1] == '\n')
		dst[--len] = 0;
	return (int)len;
}

static int no_proc(void)
{
	static int is_there;
	struct stat st;
	return !is_there && !(is_there = stat("/proc/self", &st) == 0);
}

/* State letter and start time of a pid; 0, or -1 with errno. */
static int stat_of(int pid, char *state, unsigned long long *start)
{
	char path[40], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int len = slurp(path, text, sizeof text);
	if (len < 0 && errno != ENOENT && errno != ESRCH)
		return -1;	/* no descriptor left, say: that tells nothing about the process */
	if (len <= 0) {
		errno = no_proc() ? ENOENT : ESRCH;
		return -1;
	}
	char *p = strrchr(text, ')');	/* the name before it may hold anything */
	if (!p || p[1] != ' ' || !p[2]) {
		errno = EPROTO;
		return -1;
	}
	*state = p[2];
	p += 2;
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p) {
			errno = EPROTO;
			return -1;
		}
		p++;
	}
	*start = strtoull(p, NULL, 10);
	return 0;
}

static int boot_of(char boot[static 40])
{
	int len = slurp("/proc/sys/kernel/random/boot_id", boot, 40);
	if (len > 0)
		return 0;
	if (len < 0 && errno != ENOENT && errno != EACCES && errno != EPERM)
		return -1;	/* it has one: the other kind would never match it again */
	static char text[65536];	/* the line comes after one for each processor */
	if (slurp("/proc/stat", text, sizeof text) > 0) {
		const char *p = strstr(text, "\nbtime ");
		if (p) {
			snprintf(boot, 40, "btime:%llu", strtoull(p + 7, NULL, 10));
			return 0;
		}
	}
	return -1;
}

/* 1, 0; -1 when they are of two kinds, since one of them could not be read in full. */
static int same_boot(const char *a, const char *b)
{
	if (!strncmp(a, "btime:", 6) != !strncmp(b, "btime:", 6))
		return -1;
	if (!strncmp(a, "btime:", 6))	/* computed from a clock that is corrected */
		return llabs(atoll(a + 6) - atoll(b + 6)) <= 5;
	return !strcmp(a, b);
}

int proc_id_of(int pid, struct proc_id *id, struct why *why)
{
	char state;
	memset(id, 0, sizeof *id);
	id->pid = pid;
	if (stat_of(pid, &state, &id->start) < 0) {
		int err = errno;
		if (err == ESRCH)
			why_set(why, R_SYSTEM, "process %d: no such process", pid);
		else
			why_set(why, R_SYSTEM, "/proc: not mounted, or not readable: processes cannot be told apart without it");
		errno = err;
		return -1;
	}
	if (boot_of(id->boot) < 0)
		return why_set(why, R_SYSTEM, "/proc: has neither a boot id nor a boot time");
	return 0;
}

int proc_alive(const struct proc_id *id)
{
	char boot[40], state;
	unsigned long long start;
	if (id->pid <= 0)
		return 0;
	if (stat_of(id->pid, &state, &start) < 0)
		return errno == ESRCH ? 0 : -1;
	if (start != id->start || state == 'Z' || state == 'X')
		return 0;
	if (boot_of(boot) < 0)
		return -1;
	return same_boot(boot, id->boot);
}

static int gone(const struct proc_id *id, struct why *why)
{
	why_set(why, R_SYSTEM, "process %d: has ended", id->pid);
	errno = ESRCH;
	return -1;
}

static int unknown(struct why *why)
{
	why_set(why, R_SYSTEM, "/proc: not mounted: no signal is sent to a process that cannot be recognised");
	errno = ENOENT;
	return -1;
}

int proc_open(const struct proc_id *id, struct why *why)
{
	if (id->pid <= 0)
		return gone(id, why);
	int fd = (int)syscall(SYS_pidfd_open, id->pid, 0);
	if (fd < 0 && (errno == ESRCH || errno == EINVAL))
		return gone(id, why);
	if (fd < 0) {
		int err = errno == EPERM ? ENOSYS : errno;	/* EPERM: a sandbox's way of not having it */
		why_errno(why, "process %d", id->pid);
		errno = err;
		return -1;
	}
	/* Only now: what has the number after the open and the right start time had it before, too. */
	int alive = proc_alive(id);
	if (alive == 1)
		return fd;
	close(fd);
	if (!alive)
		return gone(id, why);
	return unknown(why);
}

int proc_signal_fd(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

static int too_late(const struct proc_id *id, struct why *why)
{
	return why_set(why, R_DEADLINE, "process %d: still runs", id->pid);
}

static int end_by_fd(const struct proc_id *id, int fd, int sig, long long deadline, struct why *why)
{
	if (sig && proc_signal_fd(fd, sig) < 0) {
		if (errno == ESRCH)
			return 0;
		return why_errno(why, "process %d", id->pid);
	}
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int n = poll(&p, 1, clock_poll_ms(deadline));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return why_errno(why, "process %d", id->pid);
		if (deadline && clock_passed(deadline))
			return too_late(id, why);
	}
}

static int end_by_number(const struct proc_id *id, int sig, long long deadline, struct why *why)
{
	for (int sent = 0; ; sent = 1) {
		int alive = proc_alive(id);
		if (!alive)
			return 0;
		if (alive < 0)
			return unknown(why);
		if (!sent && sig && kill(id->pid, sig) < 0 && errno != ESRCH)
			return why_errno(why, "process %d", id->pid);
		if (deadline && clock_passed(deadline))
			return too_late(id, why);
		struct timespec pause = { .tv_nsec = 5000000 };
		nanosleep(&pause, NULL);
	}
}

int proc_end(const struct proc_id *id, int sig, long long deadline, struct why *why)
{
	int result, fd = proc_open(id, why);
	if (fd >= 0)
		result = end_by_fd(id, fd, sig, deadline, why);
	else if (errno == ENOSYS)
		result = end_by_number(id, sig, deadline, why);
	else if (errno == ESRCH)
		result = 0;
	else
		result = -1;
	close_fd(&fd);
	if (!result && id->pid > 0)
		waitpid(id->pid, NULL, WNOHANG);	/* when it was our own child: no zombie; else nothing */
	return result;
}

unsigned long long proc_netns(int pid)
{
	char path[40];
	struct stat st;
	if (pid)
		snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
	else
		strcpy(path, "/proc/self/ns/net");
	return stat(path, &st) < 0 ? 0 : (unsigned long long)st.st_ino;
}

static void read_machine(char id[static 40])
{
	char text[80];
	const char *const files[] = { "/etc/machine-id", "/var/lib/dbus/machine-id" };
	for (int i = 0; i < 2; i++)
		if (slurp(files[i], text, sizeof text) == 32 && strspn(text, "0123456789abcdef") == 32) {
			memcpy(id, text, 33);
			return;
		}
	char host[256] = "";
	gethostname(host, sizeof host - 1);
	unsigned long long hash = 0xcbf29ce484222325;	/* FNV-1a: short and the same for ever */
	for (const char *p = host; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
	snprintf(id, 40, "host-%016llx", hash);
}

void proc_machine(char id[static 40])
{
	static char known[40];
	if (!*known)
		read_machine(known);
	memcpy(id, known, sizeof known);
}

/* ---- starting with a gate */

struct report { int stage, code; };

static void report(int fd, int stage, int code)
{
	struct report r = { stage, code };
	while (write(fd, &r, sizeof r) < 0 && errno == EINTR)
		;
}

static int read_report(int fd, struct report *r)
{
	ssize_t n;
	do
		n = read(fd, r, sizeof *r);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof *r;
}

/* write() to a pipe whose reader may have died, without the signal that would end us. */
static int write_quietly(int fd, const void *p, size_t len)
{
	sigset_t pipe_only, before, pending;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	sigprocmask(SIG_BLOCK, &pipe_only, &before);
	ssize_t n;
	do
		n = write(fd, p, len);
	while (n < 0 && errno == EINTR);
	int err = errno;
	if (n < 0 && err == EPIPE && !sigismember(&pending, SIGPIPE)) {
		struct timespec none = {0};
		sigtimedwait(&pipe_only, NULL, &none);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return n == (ssize_t)len ? 0 : -1;
}

static void default_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &sa, NULL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_from(int first)
{
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
	struct rlimit lim;
	int end = 65536;
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < 1 << 20)
		end = (int)lim.rlim_cur;
	for (int fd = first; fd < end; fd++)
		close(fd);
}

/* The three, in any order, even when they are each other's numbers; 0, or -1 with errno. */
static int place_stdio(const int from[3])
{
	int up[3];
	for (int i = 0; i < 3; i++) {
		up[i] = from[i] < 0 ? open("/dev/null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC)
			: fcntl(from[i], F_DUPFD_CLOEXEC, 3);
		if (up[i] >= 0 && up[i] < 3) {
			int low = up[i];
			up[i] = fcntl(low, F_DUPFD_CLOEXEC, 3);
			close(low);
		}
		if (up[i] < 0)
			return -1;
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(up[i], i) < 0)
			return -1;
		close(up[i]);
	}
	return 0;
}

static _Noreturn void spawned(const struct proc_spec *spec, int gate, int status)
{
	default_signals();
	if (spec->session)
		setsid();
	const int from[3] = { spec->in, spec->out, spec->err };
	if ((spec->cwd >= 0 && fchdir(spec->cwd) < 0) || place_stdio(from) < 0) {
		report(status, PROC_STDIO, errno);
		_exit(EXIT_CMD);
	}
	int code = spec->enter ? spec->enter(spec->ctx) : 0;
	if (code) {
		report(status, PROC_ENTER, code);
		_exit(EXIT_CMD);
	}
	/* Only after enter, whose descriptors are among those that go. Both first out of the way of 3 and 4. */
	gate = fcntl(gate, F_DUPFD_CLOEXEC, STATUS_FD + 1);
	status = fcntl(status, F_DUPFD_CLOEXEC, STATUS_FD + 1);
	if (dup3(gate, GATE_FD, O_CLOEXEC) < 0 || dup3(status, STATUS_FD, O_CLOEXEC) < 0)
		_exit(EXIT_CMD);
	close_from(STATUS_FD + 1);
	report(STATUS_FD, PROC_GATE, 0);
	char go;
	ssize_t n;
	do
		n = read(GATE_FD, &go, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(EXIT_CMD);
	report(STATUS_FD, PROC_DONE, 0);	/* tells a successful exec from a death at the gate: both close the pipe */
	execve(spec->file, spec->argv, spec->env);
	report(STATUS_FD, PROC_EXEC, errno);
	_exit(EXIT_CMD);
}

struct proc_spec proc_spec(const char *file, char *const *argv, char *const *env)
{
	return (struct proc_spec){
		.file = file, .argv = argv, .env = env,
		.cwd = -1, .in = -1, .out = -1, .err = -1,
	};
}

static void reap(int pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void proc_abandon(struct proc_child *child)
{
	close_fd(&child->gate);
	close_fd(&child->status);
	if (child->pid > 0) {
		/* it may be past the gate, if its report could not be read; not reaped yet, so the number is its own */
		kill(child->pid, SIGKILL);
		reap(child->pid);
	}
	close_fd(&child->pidfd);
	child->pid = 0;
}

static int exec_why(const struct proc_spec *spec, int err, struct why *why)
{
	enum reason reason = spec->not_program;
	if (!reason)
		reason = err == ENOENT ? R_NO_COMMAND : R_CANNOT_EXEC;
	switch (err) {
	case ENOENT:
		if (access(spec->file, F_OK) == 0)
			return why_set(why, reason, "%s: its loader is missing: it was made for another system", spec->file);
		return why_set(why, reason, "%s: no such file", spec->file);
	case ENOEXEC:
		return why_set(why, reason, "%s: not a program for this machine", spec->file);
	case EACCES:
		if (access(spec->file, X_OK) == 0)
			return why_set(why, reason, "%s: a script, or on a file system without programs", spec->file);
		return why_set(why, reason, "%s: not executable", spec->file);
	case ENOTDIR: case ELOOP: case EISDIR: case EINVAL: case ETXTBSY: case ELIBBAD: case EPERM:
		return why_set(why, reason, "%s: %s", spec->file, strerror(err));
	}
	errno = err;
	return why_errno(why, "execute %s", spec->file);
}

static int spawn_failed(struct proc_child *child, struct report r, struct why *why)
{
	const struct proc_spec *spec = child->spec;
	child->stage = r.stage;
	child->code = r.code;
	proc_abandon(child);
	if (r.stage == PROC_EXEC)
		return exec_why(spec, r.code, why);
	if (r.stage == PROC_ENTER && spec->failed)
		return spec->failed(r.code, why);
	errno = r.stage == PROC_ENTER ? -r.code : r.code;
	if (!errno)
		return why_set(why, R_SYSTEM, "%s: killed before it could start", spec->file);
	return why_errno(why, "start %s", spec->file);
}

int proc_spawn(const struct proc_spec *spec, struct proc_child *child, struct why *why)
{
	int gate[2] = { -1, -1 }, status[2] = { -1, -1 };
	*child = (struct proc_child){ .pidfd = -1, .gate = -1, .status = -1, .spec = spec };
	if (pipe2(gate, O_CLOEXEC) < 0 || pipe2(status, O_CLOEXEC) < 0) {
		why_errno(why, "pipe");
		close_fd(&gate[0]);
		close_fd(&gate[1]);
		return -1;
	}

	/* A handler of ours must not run in the child. */
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	int pid = fork();
	if (!pid) {
		close(gate[1]);
		close(status[0]);
		spawned(spec, gate[0], status[1]);
	}
	int err = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close_fd(&gate[0]);
	close_fd(&status[1]);
	child->gate = gate[1];
	child->status = status[0];
	if (pid < 0) {
		proc_abandon(child);
		errno = err;
		return why_errno(why, "fork");
	}

	child->pid = pid;
	child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct report r = { PROC_STDIO, 0 };
	if (!read_report(child->status, &r) || r.stage != PROC_GATE)
		return spawn_failed(child, r, why);
	child->stage = PROC_GATE;
	if (proc_id_of(pid, &child->id, why) < 0) {
		proc_abandon(child);
		return -1;
	}
	return 0;
}

int proc_release(struct proc_child *child, struct why *why)
{
	struct report r = { PROC_GATE, 0 };
	if (write_quietly(child->gate, "", 1) < 0 || !read_report(child->status, &r))
		return spawn_failed(child, r, why);
	close_fd(&child->gate);
	if (read_report(child->status, &r))
		return spawn_failed(child, r, why);
	close_fd(&child->status);
	child->stage = PROC_DONE;
	return 0;
}

/* ---- a command in the foreground */

static const char *env_get(char *const *env, const char *name)
{
	size_t len = strlen(name);
	for (; env && *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

/* As a shell would: what the kernel does not know is a shell script. Returns errno. */
static int exec_file(const char *file, char **argv_sh, char *const *argv, char *const *env)
{
	execve(file, argv, env);
	if (errno != ENOEXEC)
		return errno;
	argv_sh[0] = "/bin/sh";
	argv_sh[1] = (char *)file;
	execve("/bin/sh", argv_sh, env);
	return ENOEXEC;
}

static int exec_path(char **argv_sh, char *const *argv, char *const *env)
{
	const char *name = argv[0], *path = env_get(env, "PATH");
	if (!*name)
		return ENOENT;
	if (strchr(name, '/'))
		return exec_file(name, argv_sh, argv, env);
	if (!path)
		path = "/usr/local/bin:/usr/bin:/bin";
	int seen = ENOENT;
	for (const char *end; ; path = end + 1) {
		char file[4096];
		end = strchrnul(path, ':');
		int n = snprintf(file, sizeof file, "%.*s%s%s", (int)(end - path), path, end > path ? "/" : "", name);
		if (n > 0 && n < (int)sizeof file) {
			int err = exec_file(file, argv_sh, argv, env);
			if (err == EACCES)
				seen = EACCES;
			else if (err != ENOENT && err != ENOTDIR)
				return err;
		}
		if (!*end)
			return seen;
	}
}

static const int handed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };

/* What is ignored here (nohup, a job in the background) stays ignored, for the command as well. */
static sigset_t signals_to_take(void)
{
	sigset_t set;
	struct sigaction sa;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof handed_on / sizeof *handed_on; i++)
		if (sigaction(handed_on[i], NULL, &sa) == 0 && sa.sa_handler != SIG_IGN)
			sigaddset(&set, handed_on[i]);
	sigaddset(&set, SIGCHLD);
	return set;
}

/* 1: the command has ended, its wait status is there. */
static int take_signals(int sfd, int pid, int *status)
{
	struct signalfd_siginfo info;
	while (read(sfd, &info, sizeof info) == (ssize_t)sizeof info) {
		int sig = (int)info.ssi_signo;
		if (sig == SIGCHLD)
			continue;
		/* The terminal has sent it to the whole process group: it has got it. */
		if (info.ssi_code == SI_KERNEL && getpgid(pid) == getpgrp())
			continue;
		kill(pid, sig);		/* our child, not yet waited for: the number is its own */
	}
	return waitpid(pid, status, WNOHANG) == pid;
}

static int attend(const struct proc_cmd *cmd, int sfd, int pid)
{
	struct pollfd p[2] = {
		{ .fd = sfd, .events = POLLIN },
		{ .fd = cmd->ready ? cmd->watch : -1, .events = POLLIN },
	};
	int status;
	while (!take_signals(sfd, pid, &status)) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (!p[1].revents)
			continue;
		int sig = cmd->ready(cmd->ctx);
		if (sig)
			p[1].fd = -1;
		if (sig > 0)
			kill(pid, sig);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int not_run(struct why *why)
{
	why->status = EXIT_CMD;
	return -1;
}

static int run_why(const struct proc_cmd *cmd, struct report r, struct why *why)
{
	errno = r.code;
	if (r.stage == PROC_ENTER) {
		cmd->failed(r.code, why);
		return not_run(why);
	}
	if (r.stage == PROC_STDIO) {
		why_errno(why, "%s", cmd->cwd);
		return not_run(why);
	}
	if (r.code == ENOENT || r.code == ENOTDIR) {
		if (strchr(cmd->argv[0], '/') && access(cmd->argv[0], F_OK) == 0)
			return why_set(why, R_NO_COMMAND, "%s: its interpreter is missing", cmd->argv[0]);
		return why_set(why, R_NO_COMMAND, "%s: not found", cmd->argv[0]);
	}
	return why_set(why, R_CANNOT_EXEC, "%s: %s", cmd->argv[0], strerror(r.code));
}

int proc_run(const struct proc_cmd *cmd, struct why *why)
{
	int count = 0, exec_error[2];
	while (cmd->argv[count])
		count++;
	if (!count) {
		why_set(why, R_NO_COMMAND, "no command");
		return -1;
	}
	if (pipe2(exec_error, O_CLOEXEC) < 0) {
		why_errno(why, "pipe");
		return not_run(why);
	}
	char **argv_sh = xalloc((count + 2) * sizeof *argv_sh);
	memcpy(argv_sh + 2, cmd->argv + 1, count * sizeof *argv_sh);

	sigset_t taken = signals_to_take(), before;
	struct sigaction wait_for_it = { .sa_handler = SIG_DFL }, chld;
	sigprocmask(SIG_BLOCK, &taken, &before);
	sigaction(SIGCHLD, &wait_for_it, &chld);	/* ignored, it would reap by itself and lose the status */
	int result = -1, pid = -1, sfd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sfd >= 0)
		pid = fork();
	if (!pid) {
		struct sigaction sa = { .sa_handler = SIG_DFL };
		sigaction(SIGPIPE, &sa, NULL);	/* ours to ignore, not the command's */
		sigaction(SIGCHLD, &chld, NULL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		int entered = cmd->enter ? cmd->enter(cmd->where) : 0;
		if (entered)
			report(exec_error[1], PROC_ENTER, entered);
		else if (cmd->cwd && chdir(cmd->cwd) < 0)
			report(exec_error[1], PROC_STDIO, errno);
		else
			report(exec_error[1], PROC_EXEC, exec_path(argv_sh, cmd->argv, cmd->env));
		_exit(EXIT_CMD);
	}
	int err = errno;
	close(exec_error[1]);
	struct report r;
	if (pid < 0) {
		errno = err;
		why_errno(why, sfd < 0 ? "signalfd" : "fork");
		not_run(why);
	} else if (read_report(exec_error[0], &r)) {
		reap(pid);
		run_why(cmd, r, why);
	} else {
		result = attend(cmd, sfd, pid);
	}

	/* What came for the command after its end must not end us before we have cleaned up. */
	struct signalfd_siginfo info;
	while (sfd >= 0 && read(sfd, &info, sizeof info) > 0)
		;
	sigaction(SIGCHLD, &chld, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close_fd(&sfd);
	close(exec_error[0]);
	free(argv_sh);
	return result;
}

int proc_thread(pthread_t *thread, void *(*fn)(void *), void *ctx)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(thread, NULL, fn, ctx);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int proc_detach_stdio(void)
{
	const int null[3] = { -1, -1, -1 };
	return place_stdio(null);
}

/* ---- many at once */

struct task { int pid, out; };

static void task_start(int i, int (*fn)(int, void *, int), void *ctx,
	struct task *task, struct proc_result *result)
{
	int ends[2];
	*result = (struct proc_result){ .status = -1 };
	*task = (struct task){ .pid = -1, .out = -1 };
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	task->pid = fork();
	if (!task->pid) {
		close(ends[0]);
		_exit(fn(i, ctx, ends[1]) & 255);
	}
	close(ends[1]);
	task->out = ends[0];
	if (task->pid < 0)
		close_fd(&task->out);
}

static void task_read(struct task *task, struct proc_result *result)
{
	char more[4096];
	ssize_t n = read(task->out, more, sizeof more);
	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		close_fd(&task->out);
		return;
	}
	size_t room = sizeof result->out - 1 - result->len;
	size_t take = (size_t)n < room ? (size_t)n : room;	/* the rest is dropped: it must not block */
	memcpy(result->out + result->len, more, take);
	result->len += take;
}

/* 1: it has ended. */
static int task_wait(struct task *task, struct proc_result *result, int flags)
{
	int status, pid;
	do
		pid = waitpid(task->pid, &status, flags);
	while (pid < 0 && errno == EINTR);
	if (!pid)
		return 0;
	if (pid > 0 && flags)
		result->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	task->pid = -1;
	return 1;
}

int proc_parallel(int n, int max, int (*fn)(int i, void *ctx, int out), void *ctx,
	struct proc_result *results, long long deadline, struct why *why)
{
	struct task *tasks = xalloc((n + 1) * sizeof *tasks);
	struct pollfd *polls = xalloc((n + 1) * sizeof *polls);
	int started = 0, running = 0, unended = 0;
	while (running || started < n) {
		for (; started < n && (running < max || max < 1) && !(deadline && clock_passed(deadline)); started++) {
			task_start(started, fn, ctx, &tasks[started], &results[started]);
			if (tasks[started].pid < 0) {
				if (running)
					break;		/* no process left: again when one of ours has ended */
				unended++;
				continue;
			}
			running++;
		}
		if (deadline && clock_passed(deadline))
			break;
		int lingering = 0;	/* its pipe is closed, but it has not ended yet */
		for (int i = 0; i < started; i++) {
			polls[i] = (struct pollfd){ .fd = tasks[i].out, .events = POLLIN };
			lingering |= tasks[i].pid > 0 && tasks[i].out < 0;
		}
		int wait_ms = clock_poll_ms(deadline);
		if (lingering && (wait_ms < 0 || wait_ms > 1))
			wait_ms = 1;
		if (poll(polls, started, wait_ms) < 0)
			continue;
		for (int i = 0; i < started; i++) {
			if (tasks[i].out >= 0 && polls[i].revents)
				task_read(&tasks[i], &results[i]);
			if (tasks[i].pid > 0 && tasks[i].out < 0)
				running -= task_wait(&tasks[i], &results[i], WNOHANG);
		}
	}
	for (int i = 0; i < started; i++) {
		if (tasks[i].pid <= 0)
			continue;
		kill(tasks[i].pid, SIGKILL);	/* our child, not yet waited for */
		task_wait(&tasks[i], &results[i], 0);
		close_fd(&tasks[i].out);
		unended++;
	}
	for (int i = started; i < n; i++, unended++)
		results[i] = (struct proc_result){ .status = -1 };
	free(tasks);
	free(polls);
	if (unended)
		return why_set(why, deadline && clock_passed(deadline) ? R_DEADLINE : R_RESOURCES,
			"%d of %d did not end", unended, n);
	return 0;
}
