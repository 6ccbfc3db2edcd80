/* confine - narrow what a program can do, before it is executed
 *
 * Files, TCP ports, signals and abstract sockets by Landlock; inbound UDP by a seccomp rule on bind.
 * No root needed.
 *
 *	confine_prepare(&spec, &c, &why);	opens all it needs; says what this kernel cannot do
 *	p.enter = confine_enter; p.failed = confine_failed; p.ctx = &c;
 *	proc_spawn(&p, &child, &why);		the child confines itself, then waits at the gate
 *	listener = confine_take(&c, &why);	only with bind_v4_notify
 *	... write the record; proc_release(&child, &why) ...
 *	poll: listener readable or hung up and confine_answer(listener) < 0: close it
 *	close(listener);			once the program is up: it can bind no IPv4 socket any more
 *	confine_close(&c);
 *
 * Why this order has no race: the rule is in force before the gate, so the program's first bind comes after
 * proc_release, and the listener is in our hands by then. It travels over a socket pair, so neither ptrace
 * rights nor a dumpable process are needed. The child closes its own copy; when we are killed, the permission
 * ends with us (bind: ENOSYS).
 * Landlock matches ports, not addresses, and never anything that was opened before.
 */
#ifndef CONFINE_H
#define CONFINE_H
#include "err.h"

enum { CONFINE_PORTS = 64 };

struct confine_spec {
	/* Files. /dev/null may always be read and written; everything that is not listed is closed. */
	int limit_files;
	const char *const *write;	/* NULL-ended: directories with all below, or files; each must exist */
	const char *const *read;	/* the same; a missing one is skipped; a symlink stands for its target */
	const char *exec;		/* the only program, with its loader and libraries if it has any; a script is refused */

	int limit_connect;		/* TCP may be dialled to these ports only; [no-landlock] where that cannot be had */
	int ports[CONFINE_PORTS], port_count;
	int limit_udp;			/* UDP may be sent to these ports only; [cannot-narrow] before Linux 7.2 */
	int udp_ports[CONFINE_PORTS], udp_port_count;

	int scoped;			/* no signals to, no abstract sockets of, processes outside */
	int no_sync;	/* fsync and fdatasync say "done" at once, where seccomp can be had: for what a reboot makes worthless anyway */
	int bind_v4_notify;		/* bind() of IPv4 sockets only while somebody answers; [cannot-narrow] where refused */
};

struct confined {
	int files, tcp, udp_send, scoped, bind_v4;	/* what it ended up with */
	/* private */
	int no_sync, ruleset, ours, theirs;
};

int confine_abi(void);		/* Landlock's ABI; 0: none, or switched off; -1: forbidden here (errno) */
int confine_prepare(const struct confine_spec *, struct confined *, struct why *);	/* 0; -1: nothing open */

/* In the child, async-signal-safe; sets no_new_privs in any case. 0, or what confine_failed explains. */
int confine_enter(void *confined);
int confine_failed(int code, struct why *);	/* returns -1 */
int confine_take(struct confined *, struct why *);	/* the listener, the caller's to close; -1 */
int confine_answer(int listener);	/* lets waiting binds go on, does not block; how many, -1: nobody is left */
void confine_close(struct confined *);

/* "files,tcp,scoped,udp", as far as each holds; "no" for none. Returns dst. */
char *confine_describe(const struct confined *, char dst[static 48]);

#endif
