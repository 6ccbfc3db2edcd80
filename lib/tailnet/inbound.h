/* inbound - which ports of this machine the tailnet may reach, and how that is held to
 *
 * A node without TUN hands every port of 127.0.0.1 to the tailnet, unless its shields are up. To open just some TCP ports,
 * three things are set before the shields go down: Landlock lets tailscaled dial those ports and the few that it needs itself
 * (control, DERP, proxy); no IPv4 socket can be bound any more, so no UDP comes in; and a Serve entry to a denied port shadows
 * each port that tailscaled needs itself, since Landlock cannot tell the two directions apart.
 */
#ifndef INBOUND_H
#define INBOUND_H
#include "localapi.h"
#include "workspace.h"

/* "none", "all" or "22,3000-3010" into the spec. [usage]. */
int inbound_parse(const char *text, struct ws_spec *, struct why *);
char *inbound_text(const struct ws_spec *, char *dst, int size);	/* the same back: "none", "all", "22,3000" */

/* The TCP ports that tailscaled has to reach: the proxy's alone when there is one, else control's, 443 and the DERP ports. */
int inbound_needs(const struct ws_spec *, const char *proxy, int *ports, int max);
int inbound_url_port(const char *url);		/* the port of an http or https URL, or 0 */

/* The relay's ports against those that tailscaled may reach. 0; -1 with [derp-port] and the option to type.
 * Those seen go to seen (their number to *n) for the caller to remember. */
int inbound_check_derp(const struct localapi *, const struct ws_spec *, int *seen, int *n, long long deadline, struct why *);

/* Sets the shadows and lowers the shields. needs: as above. */
int inbound_open(const struct localapi *, const struct ws_spec *, const int *needs, int n, long long deadline, struct why *);
int inbound_close(const struct localapi *, long long deadline, struct why *);	/* shields up */

/* Calls fn for each socket in the network namespace of a process (0: ours) that listens on 127.0.0.1 or on all addresses,
 * as "tcp" or "udp" and port. */
void inbound_listeners(int pid, void (*fn)(const char *proto, int port, void *), void *ctx);

/* Who listens on a TCP port in the network namespace of a process (0: ours)? The best answer there is: on 127.0.0.1 or all
 * addresses, else on [::1] only, else on another address only. */
enum inbound_where { INBOUND_UNKNOWN, INBOUND_NOBODY, INBOUND_ELSEWHERE, INBOUND_ON_V6, INBOUND_ON_V4 };
enum inbound_where inbound_listener(int pid, int port);

/* Does a shadow belong on the port whenever nothing of Serve is there? proxy: as in inbound_needs. */
int inbound_has_shadow(const struct ws_spec *, const char *proxy, int port);

#endif
