/* wsenv - the environment through which programs reach the tailnet of a workspace
 *
 * Only what runs already is told: nothing is started for it. ws-env prints it, ws-run puts it into its command's environment.
 */
#ifndef WSENV_H
#define WSENV_H
#include "node.h"

struct wsenv_var { char *name, *value; };	/* value NULL: to be unset */

struct wsenv {
	struct wsenv_var *var;
	int n;
	const char *note;	/* to be said with it, or NULL: a proxy is among them that NO_PROXY, as it is set here, keeps programs from */
};

/* tailscaled's own proxies too, as ALL_PROXY and as HTTP_PROXY, HTTPS_PROXY; as seen in the network namespace that it has to itself */
enum { WSENV_SOCKS = 1, WSENV_HTTP = 2, WSENV_INSIDE = 4 };

/* MOORBOX_WORKSPACE, MOORBOX_SOCKET, MOORBOX_HOSTNAME, MOORBOX_DNS_NAME, MOORBOX_IP; MOORBOX_FORWARD_HOST_PORT for each
 * forward that runs and can be reached; HTTP_PROXY and HTTPS_PROXY if `ts-forward --split` does. With WSENV_SOCKS or WSENV_HTTP the daemon
 * must have been started with that proxy: else [no-proxy] with the ws-up to type. Freed by wsenv_free. */
int  wsenv_of(const struct node *, int flags, struct wsenv *, struct why *);
void wsenv_set(struct wsenv *, const char *name, const char *value);	/* in the place of one of that name; copies both */
void wsenv_free(struct wsenv *);

#endif
