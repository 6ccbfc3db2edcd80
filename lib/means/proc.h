/* proc - processes that are provably the ones meant, and how they are started
 *
 * A pid alone names nobody: numbers are reused. A process is known by its pid, its start time and the boot it
 * belongs to. /proc is needed for that ([system] without it); a signal goes through a pidfd that was checked
 * after it was opened. Where the kernel has no pidfd, proc_end checks the start time just before each signal.
 * Deadlines are clock.h's. The caller has 0, 1 and 2 open (file_fds_open) and one thread.
 */
#ifndef PROC_H
#define PROC_H
#include "err.h"
#include <pthread.h>
#include <stddef.h>

struct proc_id {
	int pid;
	unsigned long long start;	/* ticks after boot, /proc/PID/stat */
	char boot[40];			/* the kernel's boot id, or "btime:N" where it has none */
};

int proc_id_of(int pid, struct proc_id *, struct why *);	/* 0, or -1; errno is ESRCH when there is none */
int proc_alive(const struct proc_id *);	/* 1 it runs, 0 not (a zombie, another boot), -1 no /proc to tell */
int proc_open(const struct proc_id *, struct why *);	/* pidfd; -1, errno ESRCH: gone, ENOSYS: none here */
int proc_signal_fd(int pidfd, int sig);		/* 0, or -1 with errno */

/* Sends sig (0: none) and waits for the end. 0: it has ended, or had; -1: [deadline], [no-permission]... */
int proc_end(const struct proc_id *, int sig, long long deadline, struct why *);

unsigned long long proc_netns(int pid);	/* inode of its network namespace (pid 0: ours); 0: cannot be told */

/* What tells machines apart that share a directory: /etc/machine-id; where there is none, as in most
 * containers, "host-" and a hash of the host name, which outlives a restart as a boot id would not. */
void proc_machine(char id[static 40]);

/* Starting one that will outlive us: proc_spawn, write the record, proc_release.
 *
 * Between the two the child waits at a gate: stdio in place, every other descriptor closed, signals reset,
 * enter() done. If we die before proc_release, even by SIGKILL, it ends without executing anything: nothing
 * runs that has no record. */
struct proc_spec {
	const char *file;		/* a path; it is executed as it is, PATH is not asked */
	char *const *argv, *const *env;	/* NULL-ended; env is all that it gets */
	int cwd;			/* directory, or -1: ours */
	int in, out, err;		/* descriptors, or -1: /dev/null */
	int session;			/* setsid */
	int (*enter)(void *ctx);	/* last step before the gate; async-signal-safe; 0, or negative */
	int (*failed)(int code, struct why *);	/* explains enter's answer; may be NULL (then it is -errno) */
	void *ctx;
	enum reason not_program;	/* the reason when file cannot be executed; R_NONE: [cannot-exec], [no-command] */
};

struct proc_spec proc_spec(const char *file, char *const *argv, char *const *env);	/* the rest: -1, 0, NULL */

enum proc_stage { PROC_FORK, PROC_STDIO, PROC_ENTER, PROC_GATE, PROC_EXEC, PROC_DONE };

struct proc_child {
	int pid;
	int pidfd;			/* the caller's to close; -1 where there are none */
	struct proc_id id;
	enum proc_stage stage;		/* how far it came */
	int code;			/* of the stage that failed: errno; of PROC_ENTER: what enter answered */
	/* private */
	int gate, status;
	const struct proc_spec *spec;	/* has to live until proc_release */
};

int proc_spawn(const struct proc_spec *, struct proc_child *, struct why *);	/* 0, or -1: nothing left */
int proc_release(struct proc_child *, struct why *);	/* 0: exec has succeeded; -1: nothing left */
void proc_abandon(struct proc_child *);		/* instead of proc_release: it ends, nothing was executed */

/* A command in the foreground, for as long as it runs. Same session, process group and terminal as ours, so
 * ^C and ^Z reach it by themselves; INT TERM HUP QUIT USR1 USR2 WINCH that somebody sent us are handed on.
 * All descriptors without CLOEXEC are passed on. Its status, 128+N when a signal ended it;
 * -1 when it did not run: [no-command] 127, [cannot-exec] 126, else status 125. */
struct proc_cmd {
	char *const *argv, *const *env;	/* PATH is env's */
	const char *cwd;		/* NULL: ours */
	int watch;			/* descriptor to poll meanwhile, or -1 */
	int (*ready)(void *ctx);	/* watch is readable or hung up: 0 go on, -1 no more, or a signal to send */
	void *ctx;
	int (*enter)(void *where);	/* in the child, before all else; 0, or what failed explains; may be NULL */
	int (*failed)(int code, struct why *);
	void *where;
};
int proc_run(const struct proc_cmd *, struct why *);

/* A thread that takes no signals: those are for the main thread. 0, or pthread_create's error. */
int proc_thread(pthread_t *, void *(*fn)(void *), void *ctx);

int proc_detach_stdio(void);	/* 0, 1 and 2 become /dev/null; 0, or -1 with errno */

/* fn(i) for i below n, each in a child of its own, at most max at once (flush stdio before). What fn returns
 * is its exit status; what it writes to out is kept, up to 4 KiB. At the deadline the rest is killed.
 * 0: all of them ended by themselves, whatever their status; -1: some did not (their status is -1). */
struct proc_result {
	int status;		/* 0..255, 128+N, or -1: killed at the deadline, or never started */
	size_t len;
	char out[4096 + 1];	/* NUL-ended */
};
int proc_parallel(int n, int max, int (*fn)(int i, void *ctx, int out), void *ctx,
	struct proc_result *, long long deadline, struct why *);

#endif
