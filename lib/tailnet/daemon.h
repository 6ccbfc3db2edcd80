/* daemon - a workspace's tailscaled: started confined and detached, found again, ended
 *
 * Nothing runs without a record: run.json is written while the child waits at a gate (proc.h). The daemon gets a clean
 * environment, no descriptors of ours, and may write below its own directories only.
 */
#ifndef DAEMON_H
#define DAEMON_H
#include "localapi.h"
#include "target.h"
#include "workspace.h"

struct daemon {
	struct localapi api;
	int pidfd;			/* readable when it has ended; -1 */
	long long log_start;		/* offset in tailscaled.log where this run begins */
};

/* Starts it and waits until its socket takes connections. where: whose network namespace it joins; NULL: ours, or one of its own
 * when that was asked for or -i PORT cannot be held to without.
 * needs: TCP ports that it must reach (inbound_needs), for -i PORT.
 * Fills in ws->run, which is saved before it runs (but for its version); *st is its first answer. -1: nothing of it is left
 * running: [no-tailscaled], [bad-tailscaled], [tailscaled-died] with its last words, [tailscaled-hung],
 * [socket-denied], [cannot-narrow], [no-landlock], [env-shared], [netns-denied], [no-pasta], [pasta-failed], [loopback-in-netns]. */
int daemon_start(const struct ws_root *, struct ws *, struct target *where, const int *needs, int n, struct daemon *,
	struct node_status *st, long long deadline, struct why *);

/* [env-shared] when another live workspace has the same host name, state directory or socket. */
int daemon_check_shared(const struct ws_root *, const struct ws *, struct why *);

/* The one that runs already. -1 with [not-up]. */
int daemon_find(const struct ws_root *, struct ws *, struct daemon *, struct why *);

/* Ends it: SIGKILL when nothing is left to lose (logged out), SIGTERM otherwise, SIGKILL after 8 s of that. Drops run.json. */
int daemon_end(struct ws *, int sig, long long deadline, struct why *);

/* Its last words: up to lines of its log since log_start that tell something, newest last, without time stamps. Returns dst. */
char *daemon_last_words(const struct ws *, long long log_start, int lines, char *dst, size_t size);
void daemon_cut_log(const struct ws *);		/* above 4 MiB: keeps the last MiB */

/* The way out of its namespace is gone while it lives on: another one. Its log has the words of one that fails. */
int daemon_mend(struct ws *, struct daemon *, long long deadline, struct why *);

/* The control server's URL as tailscaled has to be told it. Returns dst. */
char *daemon_control(const struct ws *, char *dst, int size);

#endif
