/* workspace - a name, a directory of its own, and at most one tailscaled
 *
 *	STATE/              $MOORBOX_STATE, else /var/lib/moorbox (root), else $XDG_STATE_HOME/moorbox (~/.local/state)
 *	  leases.jsonl      each node that was ours: lease.h
 *	  .certs/HOSTNAME   certificates that outlive an ephemeral node; .ssh/HOSTNAME the same of Tailscale SSH's host keys
 *	  .src/NAME           src of a workspace that was forgotten: it is never deleted, and comes back
 *	  NAME/lock         flock: held by whoever changes the workspace
 *	      /spec.json    what was asked; no secret
 *	      /run.json     what runs: pid, start time, boot id; absent when nothing does
 *	      /tailscaled.log
 *	      /node/        tailscaled's --statedir
 *	RUN/ID/NAME/sock    tailscaled's socket, RUN = $XDG_RUNTIME_DIR/moorbox or /run/moorbox, ID of the STATE; without RUN,
 *	                    or where the path would be over 107 bytes, NAME/sock
 *
 * Both records are replaced whole, so that a kill at any point leaves the old one or the new one.
 */
#ifndef WORKSPACE_H
#define WORKSPACE_H
#include "err.h"
#include "proc.h"

enum { WS_LABEL = 64, WS_PORTS = 64, WS_DERPS = 16, WS_TAGS = 16, WS_PATH = 600, WS_NETNS = 300 };
enum ws_inbound { WS_IN_NONE, WS_IN_PORTS, WS_IN_ALL };

struct ws_root {
	int fd;
	char path[WS_PATH];
};

struct ws_spec {
	char hostname[WS_LABEL];		/* as asked: prefix and name, or TS_HOSTNAME */
	char control[512];			/* URL */
	char tags[WS_TAGS][64];
	int ntags;
	int keep, tun, ssh, logs, any_name, accept_routes;
	enum ws_inbound inbound;
	int ports[WS_PORTS], nports;		/* sorted */
	int derp[WS_DERPS], nderp;		/* DERP ports told or remembered */
	char socks[64], http[64];		/* listen addresses of tailscaled's proxies, or "" */
	char node_dir[WS_PATH];			/* "" is NAME/node */
	char socket[WS_PATH];			/* "" is where workspace.h says */
	char serve_dirs[8][WS_PATH];
	int nserve_dirs;
	char netns[WS_NETNS];			/* container:NAME, pid:N or a path, as told; "" for here */
	int isolate;				/* a network namespace of its own */
};

/* How far the daemon was brought. After a kill -9 of ws-up the next call goes on from here. */
enum ws_phase { WS_SPAWNED, WS_JOINING, WS_UP };

struct ws_run {
	struct proc_id daemon;
	enum ws_phase phase;
	char machine[40];
	unsigned long long netns;
	struct proc_id anchor;			/* whose namespace it is; pid 0: nobody's */
	struct proc_id pasta;			/* the way out of a namespace that was made for it; pid 0: none was */
	int pasta_turn;				/* which address it gave: 0 or 1 */
	char tailscaled[WS_PATH], version[64];
	char node_id[64], dns_name[256], ip[48];
	char socket[WS_PATH];			/* where it was started with; "sock" is NAME/sock; "" unknown */
	char inbound[16];			/* landlock, pasta, open, closed */
	int confined;
	long long since;			/* seconds since 1970 */
};

struct ws {
	char name[WS_LABEL];
	int dir;				/* descriptor of NAME/ */
	int lock;				/* descriptor, or -1 */
	int has_spec, has_run;
	struct ws_spec spec;
	struct ws_run run;
};

/* Lower case, '_' to '-'; then it must be a DNS label that is not punycode: [bad-name]. */
int ws_clean_name(const char *text, char name[static WS_LABEL], struct why *);

int  ws_root_open(struct ws_root *, struct why *);	/* makes it; 0 or -1: [no-home], [not-ours], [no-permission] */
void ws_root_close(struct ws_root *);

/* Opens NAME (making it with create) and loads its records. With lock it is ours until ws_close or the deadline passes: [busy].
 * A record that cannot be read is [bad-state]. Not there: [no-workspace]. */
enum { WS_CREATE = 1, WS_LOCK = 2 };
int  ws_open(const struct ws_root *, const char *name, int flags, long long deadline, struct ws *, struct why *);
void ws_close(struct ws *);
int  ws_is_busy(const struct ws *);		/* opened without WS_LOCK: somebody else has the lock */
int  ws_reload(struct ws *, struct why *);		/* reads the records again */

int ws_save_spec(struct ws *, struct why *);		/* ws->spec to spec.json */
int ws_save_run(struct ws *, struct why *);		/* ws->run to run.json */
int ws_drop_run(struct ws *, struct why *);		/* its daemon has ended: ends its pasta too, and nothing runs any more */

/* Calls fn with each workspace's name, sorted. 0, or -1. */
int ws_each(const struct ws_root *, int (*fn)(const char *name, void *), void *ctx, struct why *);

/* Where the socket is, for tailscaled (path; relative to NAME/ when the last resort is used) and for us (dirfd and name).
 * Makes the directory. dirfd is AT_FDCWD for an absolute path. */
struct ws_socket { char path[WS_PATH]; int dirfd; char dir[WS_PATH]; };
int ws_socket(const struct ws_root *, const struct ws *, int create, struct ws_socket *, struct why *);

/* RUN/ID, where the sockets of this STATE are. 0, or -1 when there is no RUN. */
int ws_run_dir(const struct ws_root *, char path[static WS_PATH]);

/* The absolute path of its node directory. Made 0700; kept certificates for the host name come back into it. */
int ws_node_dir(const struct ws_root *, struct ws *, int create, char path[static WS_PATH], struct why *);

/* Is the daemon of the record alive? 1, 0; -1 when this is another machine's workspace. */
int ws_alive(const struct ws *);

/* Is the network namespace that its daemon was put into without its owner (container gone, path removed) or its way out? No call
 * to anybody. */
int ws_is_orphan(const struct ws *);

/* The daemon of a workspace whose run.json is broken or lost, found through its socket: sets ws->run.daemon if there is one;
 * the rest of ws->run stays empty. */
void ws_find_run(const struct ws_root *, struct ws *);

/* Deletes all of it: node directory, socket, records, NAME/ itself. Certificates, SSH host keys and src are moved to
 * STATE/.certs, .ssh and .src first. */
int ws_forget(const struct ws_root *, struct ws *, struct why *);

/* src as it was before ws_forget comes back into the workspace, unless that has one. */
void ws_restore_src(const struct ws_root *, const struct ws *);
/* Where ws_forget has put it: 1, or 0 when it had none. */
int  ws_kept_src(const struct ws_root *, const char *name, char path[static WS_PATH + 80]);

/* DERP ports seen at a control server, remembered in STATE/derp.json. */
int ws_derp_recall(const struct ws_root *, const char *control, int *ports, int max);
int ws_derp_remember(const struct ws_root *, const char *control, const int *ports, int n, struct why *);

#endif
