/* policy - what a tailnet's policy file says of a tag; and the lines that it should have
 *
 * Sources: Tailscale's docs "Policy file" (grants, acls, ssh, tagOwners, groups), headscale's docs "Policy" for its dialect.
 */
#ifndef POLICY_H
#define POLICY_H
#include "buf.h"
#include "err.h"
#include "json.h"

enum { POLICY_MAX = 4 << 20 };

enum policy_dialect { POLICY_SAAS, POLICY_HEADSCALE };

/* What the snippet is for. */
struct policy_wish {
	const char *tag;			/* "tag:ws" */
	const char *const *who;			/* NULL-ended: group:dev, autogroup:member, user@example.com, tag:ci */
	const char *const *owners;		/* NULL-ended; empty: the dialect's usual ones */
	const char *const *ports;		/* NULL-ended: "22", "3000-3999"; empty: all */
	int ssh, acls, tests;			/* acls: the older form instead of grants */
	enum policy_dialect dialect;
};

/* HuJSON to be put into the policy file: a line of reason beside each part. 0, or -1: [usage] for what the dialect lacks. */
int policy_snippet(struct buf *, const struct policy_wish *, struct why *);

struct policy {
	struct json j;
	char *text;				/* owned */
};

/* Reads HuJSON. -1: [bad-policy] with the line, [too-big]. */
int  policy_read(struct policy *, const char *text, size_t len, struct why *);
void policy_free(struct policy *);

/* tagOwners has it? owners joined by ',' go to dst. 1, 0. */
int policy_owners(const struct policy *, const char *tag, char *dst, size_t size);

/* Who would give nodes a tag: a user (login and role as the service has them: owner, admin, network-admin, member...), or a client. */
struct policy_giver {
	const char *login, *role;		/* "" for a client */
	const char (*tags)[64];			/* of a client */
	int ntags;
	int headscale;				/* there one of several tags is as good as all of them */
};

/* May they, by tagOwners? 1, 0, POLICY_ALL_ONLY: the tag is one of the client's, which Tailscale takes with all the others only.
 * -1: an administrator whom the owners do not name, of whom the documents do not say it. */
enum { POLICY_ALL_ONLY = 2 };
int policy_may_give(const struct policy *, const char *tag, const struct policy_giver *);

/* The same of a user, a group or a tag by the file alone. -1: it names a role (autogroup:admin), which a file gives to nobody. */
int policy_is_owner(const struct policy *, const char *tag, const char *who);

/* Which ports of the tag may who reach: joined by ',', "*" for all, "" for none. Counted are rules whose source is who, a group that
 * who is in, autogroup:member (for users and groups) or *; groups within groups are not a thing. */
void policy_ports(const struct policy *, const char *who, const char *tag, char *dst, size_t size);

/* Is the port, or the range "3000-3999", within one of those? */
int policy_has_port(const char *found, const char *port);

/* May who open Tailscale SSH sessions there: users joined by ',', "" for none; *check is set when a re-login is asked. */
void policy_ssh(const struct policy *, const char *who, const char *tag, char *dst, size_t size, int *check);

int policy_is_who(const char *);	/* has the form of a source: a user, group:, tag:, autogroup:, host name or address, * */
int policy_is_tag(const char *);	/* "tag:" and a name */

#endif
