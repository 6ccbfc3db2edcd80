/* forwards - the ts-forward processes of a workspace, by the records that they leave: who they are, what they listen on
 *
 *	NAME/forwards/PID.json    mode 0600; gone when the process ends by itself. PID, start time, boot: proc_id.
 *	STATE/.forwards/PID.json  of the system's tailscaled and of --socket
 *
 * A proxy's record has its URL with the credential in it (`ts-forward --split`): ws-env takes it from here, by
 * forwards_each and the `proxy` of each. Records of the dead are skipped.
 */
#ifndef FORWARDS_H
#define FORWARDS_H
#include "proc.h"
#include "workspace.h"

enum { FORWARDS_MAX = 64 };

struct forward {
	char address[128];		/* 127.0.0.1, ::1, or unix */
	int port;			/* 0 with unix */
	char path[256];			/* of the socket, with unix */
	char host[256];			/* "" of a proxy */
	int to;
};

struct forwards {
	struct proc_id id;
	int background;
	char proxy[320];		/* http://USER:PASSWORD@127.0.0.1:PORT, or "" */
	struct forward f[FORWARDS_MAX];
	int n;
};

/* Where they are, below the root when ws is NULL. Made with create. A descriptor; -1 with errno ENOENT when there are none. */
int forwards_dir(const struct ws_root *, const struct ws *, int create, struct why *);
int forwards_save(int dir, const struct forwards *, struct why *);	/* takes away those of the dead, too */
void forwards_drop(int dir, int pid);

/* Those that are alive, in no order; non-zero from fn ends it. Their number, or what fn answered. */
int forwards_each(int dir, int (*fn)(const struct forwards *, void *), void *ctx);

/* "127.0.0.1:5432>db:5432", "unix:/path>db:5432", "127.0.0.1:3128>proxy"; joined by ',' for many. Returns dst. */
char *forwards_text(const struct forward *, char *dst, size_t size);
char *forwards_list(int dir, char *dst, size_t size);

/* Ends the processes that listen on port (0: all of them) by SIGTERM, and waits: how many; -1. */
int forwards_end(int dir, int port, long long deadline, struct why *);

#endif
