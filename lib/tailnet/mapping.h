/* mapping - what tailscaled publishes: the Serve configuration, read and edited one mapping at a time
 *
 * Source: tailscale/tailscale, ipn/serve.go. The document is tailscaled's and may hold what we do not know: whatever an edit
 * does not concern stays byte for byte. A document of another shape than Serve's is [api-error], never guessed at.
 * Nothing here talks to anybody.
 */
#ifndef MAPPING_H
#define MAPPING_H
#include "buf.h"
#include "err.h"

enum map_kind { MAP_HTTPS, MAP_HTTP, MAP_TCP, MAP_TLS_TCP };
enum { MAP_HOST = 256, MAP_PATH = 512, MAP_TARGET = 4200 };

struct mapping {
	enum map_kind kind;
	int port;			/* on the tailnet */
	char host[MAP_HOST];		/* this node's name; of MAP_TCP it is not told, and not written */
	char path[MAP_PATH];		/* where it is mounted; "" for the TCP kinds */
	char target[MAP_TARGET];	/* URL of a server, unix:/PATH, /DIR, text:TEXT; HOST:PORT for the TCP kinds; "" unknown */
	int is_foreground;		/* of a session, and gone with it */
	int is_funnel;			/* open to the whole internet */
	int is_shadow;			/* one that inbound.h keeps a port closed with */
	int is_ours;			/* filled in by serve.h */
};

const char *mapping_kind(enum map_kind);	/* "https", "http", "tcp", "tls-tcp" */
int mapping_is_web(enum map_kind);
char *mapping_url(const struct mapping *, char *dst, size_t size);	/* "https://box.x.ts.net/api", "tcp://..." with host */

/* fn for each mapping, in the order of ports and paths of the text; non-zero ends it and is answered. -1: [api-error]. */
int mapping_each(const char *json, size_t len, int (*fn)(const struct mapping *, void *), void *ctx, struct why *);

/* The whole new document into dst (empty before). session: into that foreground session, NULL: into what stays. 0, or -1. */
int mapping_set(struct buf *dst, const char *json, size_t len, const struct mapping *, const char *session, struct why *);
/* Takes it out, and its port when that was all there was on it. One that is not there: dst is the same document. */
int mapping_unset(struct buf *dst, const char *json, size_t len, const struct mapping *, struct why *);
/* Takes all out that stays on a port, and Funnel with it. */
int mapping_free_port(struct buf *dst, const char *json, size_t len, int port, struct why *);
/* Is the port open to the internet, as soon as something is on it? 1, 0, -1. */
int mapping_has_funnel(const char *json, size_t len, int port, struct why *);
/* Sets a shadow on a port where nothing is, in a session or else. */
int mapping_shadow(struct buf *dst, const char *json, size_t len, int port, struct why *);

/* tailscaled refuses a port that changes its kind. The number of such ports from one document to the other; into dst the way
 * between: the new one with nothing on them. */
int mapping_between(struct buf *dst, const char *old, size_t old_len, const char *new, size_t new_len, struct why *);

/* Same port, path and kind: one would replace the other. */
int mapping_same_place(const struct mapping *, const struct mapping *);

#endif
