/* serve - publish on a node: what may be published there, the writes, what is ours, sessions, the proof
 *
 * Every write goes by ETag: who came between is never overwritten, it is tried again a bounded number of times. What is ours
 * is remembered beside the workspace's records (NAME/serve.json; of other nodes STATE/.serve/NODE-ID.json), written before
 * the mapping and dropped after it: a kill at any point leaves a mapping that is ours, or none.
 *
 * In a workspace with -i PORTS a mapping on a port that tailscaled needs itself takes the place of its shadow (inbound.h),
 * and taking it off brings the shadow back. Where somebody listens behind it, the shields are up in between.
 * After a kill there they stay up, and the next publish or withdraw sets all right: shadows first, then the shields.
 */
#ifndef SERVE_H
#define SERVE_H
#include "mapping.h"
#include "node.h"

struct serve {
	const struct node *node;
	const struct node_status *st;
	int dir;			/* of the record, or -1: nothing can be remembered */
	char file[96];
};

/* Where the record is. Always usable afterwards; *why tells (0 returned all the same) when nothing can be remembered. */
void serve_open(struct serve *, const struct node *, const struct node_status *, struct why *);
void serve_close(struct serve *);

/* fn for each mapping of the node but shadows, is_ours filled in. */
int serve_each(const struct serve *, int (*fn)(const struct mapping *, void *), void *ctx, long long deadline, struct why *);

/* Can this node publish that? Shields and -i PORTS: [inbound-closed]; a directory that the daemon may not read: [confined];
 * a server that listens, but not on 127.0.0.1: [not-on-loopback]; each with what to type. 0: yes; *listens is 0 when
 * nobody listens there yet, 1, or -1 when that cannot be told. */
int serve_check(const struct serve *, const struct mapping *, int *listens, long long deadline, struct why *);

/* Publishes it and reads it back. Something that is not ours is there: [port-taken], unless force. Of another kind on the same
 * port: only if all of it is ours, or force. session: see below; NULL: it stays. */
int serve_publish(const struct serve *, const struct mapping *, const char *session, int force, long long deadline, struct why *);

/* Takes off those given; not ours: [port-taken], unless force. Gone already is fine. */
int serve_withdraw(const struct serve *, const struct mapping *, int n, int force, long long deadline, struct why *);

/* A session: what is published in it is gone when it ends. A child of ours holds it, which ends when we do, by SIGKILL as well,
 * and then brings back the shadow of port. In that child tell is called when the session is lost, or the shadow. serve_release
 * ends it and waits until all of that is done. */
struct serve_hold { char session[80]; int pid, pipe; };
int serve_hold(const struct serve *, int port, struct serve_hold *, void (*tell)(const struct why *), long long deadline,
	struct why *);
int serve_release(const struct serve *, int port, struct serve_hold *, struct why *);

/* Asks the node's own address for it, through the tailnet's own way in; TLS is verified for the name. *status: of the answer;
 * 0 for the TCP kinds, where a connection is all. 0: it answers; 1: this tailscaled is too old to let a node ask itself;
 * -1: [cert-untrusted], or why no answer came. */
int serve_fetch(const struct serve *, const struct mapping *, int *status, long long deadline, struct why *);

/* Would the server at 127.0.0.1:port take anybody's word for who the visitor is? It is asked as nobody and as a user that
 * does not exist. 1: it looks so; 0. */
int serve_is_gullible(int port, const char *path, long long deadline);

#endif
