/* probe - can this box reach what Tailscale needs; and if not, what blocks it, and where
 *
 * Each target is asked as tailscaled would ask: the control protocol's and DERP's Upgrade with the real headers, STUN
 * with a real request, this machine itself never by a proxy. Behind a proxy no name is resolved here. Nothing of ours
 * is told to anybody but that somebody asked. Sources: tailscale/tailscale control/controlhttp, derp/derphttp,
 * net/stun, net/dnsfallback.
 */
#ifndef PROBE_H
#define PROBE_H
#include "err.h"
#include <stddef.h>

enum probe_kind {
	PROBE_PAGE,		/* any answer of the server itself is good */
	PROBE_FILES,		/* the same, but it must be a 2xx, 3xx or 404: a place to download from */
	PROBE_CONTROL,		/* /key, as a control server answers it */
	PROBE_UPGRADE,		/* POST /ts2021 with its Upgrade */
	PROBE_MAP,		/* the relays of that control server: see probe_relays */
	PROBE_RELAY,		/* /derp with Upgrade: DERP */
	PROBE_RELAY_WS,		/* the same over WebSocket */
	PROBE_STUN,		/* url: "HOST:PORT", several separated by blanks: whichever answers first */
	PROBE_TCP,		/* url: "HOST:PORT" */
	PROBE_UNIX_SOCKETS,
	PROBE_TUN,
};

struct probe {
	enum probe_kind kind;
	char url[600];		/* without a path where the kind has one of its own */
	int any_cert;		/* the relay map says that its certificate proves nothing */
};

struct probed {
	enum reason reason;	/* R_NONE: good */
	char where[8];		/* dns tcp proxy tls http upgrade udp system; "" when good */
	char text[420];		/* what it says, escaped; may be there when good */
	int ms;
	long long theirs, ours;	/* its clock and ours, seconds since 1970; 0 and 0: not said */
	char more[2600];	/* of PROBE_MAP */
};

/* One of them, in this process. */
void probe_run(const struct probe *, struct probed *, long long deadline);

/* All at once, each in a process of its own, none longer than the deadline: what is late then is [deadline]. 0; -1 when
 * there are no processes to be had. */
int probe_all(const struct probe *, struct probed *, int n, long long deadline, struct why *);

/* Relays, one of each region: of a map that was asked for, of its JSON, or the few of Tailscale's own that are known by
 * heart (for when there is none). How many; -1: no map. */
struct relay_site { char host[128], ip[48]; int port, stun_port, any_cert; };	/* ip: IPv4 or ""; stun_port 0: none */
int probe_relays(const struct probed *map, struct relay_site *, int max);
int probe_read_map(const char *json, size_t len, struct relay_site *, int max);
int probe_known_relays(struct relay_site *, int max);

/* The proxy for a URL, or NULL; as Go has it, this machine itself is never asked by one. */
const char *probe_proxy(const char *url);

/* For a tailscaled that can speak DERP over WebSocket: 1 when the relay's Upgrade is dropped on the way and that of a
 * WebSocket is not; 0 when it is let through, when it cannot be told, or when no proxy is in the way (then nothing is
 * asked). control: its URL. */
int probe_derp_upgrade(const char *control, long long deadline);

#endif
