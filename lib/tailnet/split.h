/* split - one proxy for a program that knows but one: what is the tailnet's goes there, everything else where it went before
 *
 * HTTP CONNECT, HTTP with a whole URI, and SOCKS5 (none, or user and password) on one port. The tailnet's are: names below
 * its suffix and Tailscale's own addresses, which never go anywhere else; short names, names in *.ts.net and addresses
 * that the netmap knows, those behind accepted subnet routes too. The rest goes to the proxy that HTTPS_PROXY, HTTP_PROXY
 * and NO_PROXY name, with its credential, or out directly. This machine's loopback is never the tailnet's.
 *
 * One request a connection. Whoever lacks the credential gets nothing but 407.
 */
#ifndef SPLIT_H
#define SPLIT_H
#include "carry.h"
#include "relay.h"

struct split;

/* cred: USER:PASSWORD, or NULL for none; suffix: the tailnet's. Both are copied. */
struct split *split_new(struct relay *, struct carry *, const char *cred, const char *suffix);
void split_take(struct split *, int fd);	/* a client; the descriptor is its own */
int  split_pending(const struct split *);	/* clients that are not joined yet */
void split_free(struct split *);

/* The proxy of the environment is one that can be used: http://, and none of address:port itself. 0, or -1: [bad-config]. */
int split_check(const char *address, int port, struct why *);

#endif
