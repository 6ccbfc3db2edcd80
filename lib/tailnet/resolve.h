/* resolve - names that are no node's, but that the tailnet's DNS settings give: split DNS, extra records, search domains
 *
 * Only a name under a suffix that the settings send to name servers of their own is asked for, and by tailscaled, which
 * asks those. Everything else stays unknown: nothing that is typed wrong gets to the system's DNS.
 *
 * Source: tailscale/tailscale, tailcfg.DNSConfig; LocalAPI's dns-config (tailscaled 1.98 and newer) and dns-query.
 */
#ifndef RESOLVE_H
#define RESOLVE_H
#include "localapi.h"

enum { RESOLVE_ASKS = 4 };

struct resolve {
	char ip[48];				/* known without asking: an extra record; else "" */
	char ask[RESOLVE_ASKS][256];		/* names to ask for, one after the other, until one has an address */
	int n;
	int is_theirs;				/* the name as typed is the settings' to answer */
};

/* What the settings (dns-config's text) say of a name. 1: something to try; 0: nothing. */
int resolve_plan(const char *config, size_t len, const char *name, struct resolve *);

/* The request for one: what follows /localapi/v0/. ip6: its IPv6 address. */
void resolve_request(const char *name, int ip6, char dst[static 400]);

/* What dns-query's answer holds: 1 the address is in ip; 0 there is none of that kind; -1 the name server failed. */
int resolve_answer(const char *json, size_t len, char ip[static 48]);

/* All of it, waiting: 1 found; 0 not a name of the settings'; -1 [unknown-name], [no-resolver] or LocalAPI's own. */
int resolve_name(const struct localapi *, const char *name, char ip[static 48], long long deadline, struct why *);

#endif
