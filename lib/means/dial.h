/* dial - descriptors that lead somewhere: unix sockets, TCP, the tailnet through tailscaled; and listeners
 *
 * Every descriptor is close-on-exec and non-blocking. Deadlines are clock.h's. -1 with *why (and errno) when
 * it fails.
 */
#ifndef DIAL_H
#define DIAL_H
#include "err.h"
#include <stddef.h>
#include <sys/types.h>

/* Who must listen: root and ourselves always may. 0 in both: nobody else. */
struct dial_who {
	uid_t uid;		/* also this user (0: no other) */
	pid_t pid;		/* only this process (0: any) */
	int any_uid;		/* whoever it is: for sockets that are no daemon of ours */
};

/* A unix stream socket at name below the directory dir (AT_FDCWD for a path of any length). Who listens is
 * asked of the kernel: another user is [socket-foreign]. AF_UNIX forbidden: [socket-denied]. Nobody there:
 * [not-up], errno ENOENT or ECONNREFUSED. who may be NULL. */
int dial_unix(int dir, const char *name, const struct dial_who *, long long deadline, struct why *);
int dial_peer(int fd, pid_t *, uid_t *);	/* who is at the other end of a unix socket; 0, or -1 */

/* TCP by the system's own means (not the tailnet's): names are resolved, all addresses tried, both families.
 * [unknown-name], [refused], [no-path], [deadline], [dial-failed]. host may be [v6]. */
int dial_tcp(const char *host, int port, long long deadline, struct why *);

/* The same in a loop. dial_tcp_fd has to be watched for both directions and may change with every call. go_on: 1 *fd is
 * connected, 0 not yet (call it again when the descriptor tells something, and every second), -1. A name is resolved in
 * a thread that is left behind when dial_tcp_end comes first. */
struct dial_tcp;
struct dial_tcp *dial_tcp_begin(const char *host, int port, struct why *);	/* go_on is due at once */
int  dial_tcp_fd(const struct dial_tcp *);
int  dial_tcp_go_on(struct dial_tcp *, int *fd, struct why *);
void dial_tcp_end(struct dial_tcp *);

/* Listeners. host NULL: 127.0.0.1; port 0: any, read it with dial_port. A unix one has mode 0600; a dead
 * socket in its place is replaced, a live one is [busy]. */
int dial_listen_tcp(const char *host, int port, struct why *);
int dial_listen_unix(int dir, const char *name, struct why *);
int dial_port(int fd);				/* of a bound TCP socket, or -1 */

enum { DIAL_HEAD = 8192, DIAL_TEXT = 512 };

/* What tailscaled answered to a dial. */
struct dial_answer {
	int status;			/* 101: fd is the connection; 200: dial addr ourselves */
	int self;
	char addr[128];			/* of Dial-Addr */
	char text[DIAL_TEXT];		/* body of an error, as it came */
	long long length;		/* of the body; -1 when not said */
	char early[DIAL_HEAD];		/* bytes that came behind the head: the first of the stream */
	size_t early_len;
};

/* Asks the tailscaled behind fd (from dial_unix) for host:port in the tailnet. 0: status is 101 and fd is the
 * stream (no half-close), or self is set and the caller dials addr with dial_tcp. [refused], [unknown-name],
 * [filtered] (it timed out there), [no-path], [deadline] (no answer in our time), [api-denied], [lost],
 * [dial-failed]. */
int dial_tailnet(int fd, const char *host, int port, long long deadline, struct dial_answer *, struct why *);

/* The same in a loop: the question to a new descriptor, then what has come of the answer, into one that begins zeroed but
 * for length -1. 1: as 0 above; 0: more is to come; -1. */
int dial_ask(int fd, const char *host, int port, struct why *);
int dial_hear(int fd, struct dial_answer *, const char *what, struct why *);

/* The head of such an answer: its length with the blank line, 0 when more is needed, -1 when it is none. */
int dial_parse_head(const char *, size_t len, struct dial_answer *);

#endif
