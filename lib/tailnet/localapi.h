/* localapi - tailscaled's own interface: HTTP on its unix socket, /localapi/v0/...
 *
 * Source: tailscale/tailscale, ipn/localapi/localapi.go, ipn/backend.go, ipn/prefs.go, ipn/ipnstate/ipnstate.go.
 * Every call has a deadline (clock.h). Nobody there is [not-up]; no answer in time [tailscaled-hung]; the answer "no"
 * [api-denied] (403) or [api-error] with tailscaled's text; an answer cut off [lost].
 */
#ifndef LOCALAPI_H
#define LOCALAPI_H
#include "buf.h"
#include "dial.h"
#include "err.h"

struct localapi {
	char path[600];			/* socket; a name below dir unless dir is AT_FDCWD */
	int dir;
	struct dial_who who;
};

/* ipn.State: the number on the bus, the word in a status. */
enum node_state {
	NODE_NO_STATE, NODE_OTHER_USER, NODE_NEEDS_LOGIN, NODE_NEEDS_APPROVAL, NODE_STOPPED, NODE_STARTING, NODE_RUNNING, NODE_UNKNOWN,
};

struct node_status {
	enum node_state state;
	char version[64];
	int tun, has_key, online, has_netmap;
	char auth_url[512];
	char ip4[48], ip6[48];
	char id[64], hostname[256];
	char dns_name[256];		/* no dot at its end */
	char tailnet[256], suffix[256];	/* names of it; "" before the first netmap */
	int magicdns;
	int can_https;			/* capability and certificate domain both there */
	int can_ssh;
	int locked_out;			/* tailnet lock is on, and nobody has signed this node's key */
	char sign[176];			/* then: the command that signs it, for a signing node; else "" */
	char tags[512];			/* joined by ',' */
	long long key_expiry;		/* seconds since 1970; 0: never */
	char health[1024];		/* texts joined by "; " */
};

struct peer {
	char id[64], hostname[256];
	char dns_name[256];		/* no dot at its end */
	char name[256];			/* its first label when it is of this tailnet, else the whole */
	char ip4[48], ip6[48];
	char os[64], relay[32], addr[64];	/* addr: "" unless direct */
	char tags[512];
	int online, active, exit_node, shared_in;
	long long last_seen;		/* 0: not said */
	char routes[1024];		/* prefixes beyond its own addresses, joined by ',' */
};

/* peers 0: only this node (small). One call; each peer goes to fn as it is read, so memory stays small. */
int localapi_status(const struct localapi *, struct node_status *, long long deadline, struct why *);
int localapi_peers(const struct localapi *, struct node_status *, int (*fn)(const struct peer *, void *), void *ctx,
	long long deadline, struct why *);
/* The same from the bytes of a status, as they come. feed: 0; what fn answered, if not 0; -1. Afterwards end, unless that
 * ended it, and free in any case. */
struct peer_scan;
struct peer_scan *localapi_scan_new(struct node_status *, int (*fn)(const struct peer *, void *), void *ctx);
int  localapi_scan_feed(struct peer_scan *, const char *, size_t, struct why *);
int  localapi_scan_end(struct peer_scan *, struct why *);
void localapi_scan_free(struct peer_scan *);
/* Many at once, each until the deadline; answered[i] tells whether st[i] is filled in, why[i] else. `ws-ls` may have 200. */
void localapi_status_many(const struct localapi *const *, struct node_status *const *st, struct why *const *why,
	int *answered, int n, long long deadline);
int localapi_read_status(const char *json, size_t len, struct node_status *, struct why *);	/* the same from text: a fuzz target */
int localapi_read_peer(const char *json, size_t len, const char *suffix, struct peer *, struct why *);

/* Nodes of the tailnet that tailscaled hides, since tailnet lock is on and their keys are not signed. Their names, addresses
 * and, in sign, the command that signs them. 0, also when there is no lock; -1. */
int localapi_unsigned(const struct localapi *, const char *suffix, int (*fn)(const struct peer *, const char *sign, void *), void *ctx,
	long long deadline, struct why *);

/* Preferences that moorbox sets. All of them are sent at start: the call replaces every preference. */
struct prefs {
	const char *control, *hostname;
	const char *const *tags;	/* NULL-ended */
	int shields_up, ssh, accept_routes;
};

/* key may be NULL. The body that holds it is wiped. */
int localapi_start(const struct localapi *, const char *key, const struct prefs *, long long deadline, struct why *);
/* Register now: once after start, when there is no node key. */
int localapi_login(const struct localapi *, long long deadline, struct why *);
int localapi_logout(const struct localapi *, long long deadline, struct why *);	/* 0 once the control server has answered */
int localapi_patch(const struct localapi *, const char *json, long long deadline, struct why *);	/* {"X":v,"XSet":true} */
/* The body of "prefs", "derpmap", ... */
int localapi_get(const struct localapi *, const char *what, struct buf *, long long deadline, struct why *);
/* One that goes on for as long as it is read from (http.h). */
struct http_stream;
int localapi_stream(const struct localapi *, const char *what, struct http_stream **, long long deadline, struct why *);

/* Serve's configuration: a JSON document with an ETag. put answers 412 as [busy]: somebody changed it meanwhile. */
int localapi_serve_get(const struct localapi *, struct buf *, char etag[static 80], long long deadline, struct why *);
int localapi_serve_put(const struct localapi *, const char *json, const char *etag, long long deadline, struct why *);

/* Has tailscaled got a certificate for the name (one of its own)? It gets one meanwhile, which takes it up to a minute.
 * [https-off] the tailnet gives none; [rate-limited] with the time to wait; [no-cert]; [api-denied]. */
int localapi_cert(const struct localapi *, const char *name, long long deadline, struct why *);

/* DERP ports of the map (0 in it means 443), each once; their number, 0 before the first netmap, -1. */
int localapi_derp_ports(const struct localapi *, int *ports, int max, long long deadline, struct why *);

/* A stream to host:port in the tailnet; host is a name or address that peers.h found there. -1: see dial_tailnet.
 * early gets the bytes that came with the answer. In TUN mode tailscaled may send us to dial by ourselves: done here.
 * *half_close tells whether the stream can be closed one way (a TCP connection of our own) or not (LocalAPI's). */
int localapi_dial(const struct localapi *, const char *host, int port, struct dial_answer *early, int *half_close,
	long long deadline, struct why *);

int localapi_tells_lock(const char *health);	/* does it say that tailnet lock keeps this node out? */
enum node_state node_state_of(const char *word);	/* "NeedsLogin" ... */
const char *node_state_word(enum node_state);

#endif
