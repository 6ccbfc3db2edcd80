/* api - the control server's REST API (/api/v2): credentials, keys, devices
 *
 * Sources: Tailscale's API documentation ("Keys", "Devices", "OAuth clients", "Workload identity federation"); headscale answers
 * the same paths, with decimal ids and RFC 6749's errors for OAuth.
 *
 * A call is tried again until its deadline only if that can help: 429 always (Retry-After is honoured), 5xx and a lost
 * connection only where asking twice does no harm, an address where nothing answers three times.
 */
#ifndef API_H
#define API_H
#include "err.h"
#include "secret.h"
#include "str.h"

enum { API_TAGS = 32, API_TEXT = 256 };

/* Where a credential comes from. src: an API token or an OAuth client secret as env:NAME, file:PATH, fd:N or -; oauth:SRC, a client
 * secret and nothing else; wif:SOURCE, an identity token (wif.h), which needs the federated identity's client id. */
struct api_who {
	const char *src;
	const struct secret *given;	/* what was read from src already, or NULL */
	const char *client_id;		/* NULL: $TS_CLIENT_ID */
	const char *audience;		/* NULL: $TS_AUDIENCE, else what Tailscale's docs make the default: api.tailscale.com/CLIENT-ID */
};

enum api_cred { API_TOKEN, API_CLIENT, API_WIF };

struct api {
	char base[512];			/* URL, no slash at its end, without /api/v2 */
	struct secret token;		/* what requests are signed with */
	enum api_cred cred;
	int headscale;			/* the credential is one of headscale's */
	char client[160];		/* id of the client or the token, "" when it cannot be told */
	char scopes[512];		/* of the token, as the server says, space between; "" not said */
	char tags[API_TAGS][64];	/* of the client, as the server says */
	int ntags;
	int ephemeral, preauthorized;	/* attributes of a client secret or client id: 1, 0; -1 not said */
	long long date;			/* of api_devices' answer: the server's clock, seconds since 1970; 0 not said */
	char identity[900];		/* of a workload identity: its iss, sub and aud, for messages */
};

/* control: the control server's URL; the API is asked at $MOORBOX_API, else at the secret's own baseURL, else at
 * api.tailscale.com for Tailscale's own service, else at that server. An OAuth client's secret or an identity token is
 * exchanged for an access token here.
 * given: the text of a token or of a client secret; api_open_as takes the other ways as well. -1: [token-refused],
 * [identity-refused], [key-kind], [clock], [rate-limited]... The struct must not move until api_close. */
int  api_open(struct api *, const struct secret *given, const char *control, long long deadline, struct why *);
int  api_open_as(struct api *, const struct api_who *, const char *control, long long deadline, struct why *);
void api_close(struct api *);
int  api_may(const struct api *, const char *scope, int write);	/* 1, 0; -1: the scopes are not known */
int  api_is_tailscale(const char *control);	/* the URL is Tailscale's own service */

struct api_key {
	char id[64];
	char type[16];			/* auth, client, federated, api */
	char description[API_TEXT];
	char user[64];			/* who made it; "" when a client did, or it is not said */
	int invalid, used;		/* used: only where the server says so */
	int reusable, ephemeral, preauthorized;	/* 1, 0; -1 not said */
	long long created, expires, revoked;	/* seconds since 1970; 0: never, or not said */
	char tags[API_TAGS][64];
	int ntags;
	char scopes[512];
};

/* What a new auth key should be. */
struct api_mint {
	const char *const *tags;	/* NULL-ended; NULL or empty: the client's own */
	int reusable, ephemeral, preauthorized;
	long long expiry_s;		/* 0: the server's default, 90 days */
	const char *description;	/* or NULL */
};

/* Mints an auth key; it is masked in GitHub's log before it is given. *info is what the server made of it. 0, or -1: [no-scope],
 * [tag-refused], [tag-undefined], [tag-missing] with the client's tags beside those asked... */
int api_key_mint(const struct api *, const struct api_mint *, struct secret *key, struct api_key *info,
	long long deadline, struct why *);
/* -1 with [key-unknown]: no such key there. */
int api_key_get(const struct api *, const char *id, struct api_key *, long long deadline, struct why *);
int api_key_delete(const struct api *, const char *id, long long deadline, struct why *);
/* headscale's keys do not carry their API id: finds one by the prefix that its text begins with, for an API key of headscale's. */
int api_key_by_prefix(const struct api *, const char *prefix, struct api_key *, long long deadline, struct why *);
/* All that the credential may see, in memory for one. A positive answer of fn's ends it and is the answer; else 0, or -1. */
int api_keys(const struct api *, int (*fn)(const struct api_key *, void *), void *ctx, long long deadline, struct why *);

/* What the policy says of a tag: not in tagOwners, there but not owned by a tag of the client's, owned. -1: we may not see. */
enum { API_TAG_UNDEFINED, API_TAG_FOREIGN, API_TAG_OWNED };
int api_tag(const struct api *, const char *tag, long long deadline);

/* 1 lives, 0 does not, without consuming it and without a credential: what secret scanners ask (Tailscale's service only).
 * -1: cannot be told. text is the bare key. */
int api_verify(const char *control, const char *text, size_t len, long long deadline, struct why *);

struct api_device {
	char id[64];			/* what api_delete_node takes: the node id, where there is one */
	char name[API_TEXT];		/* DNS name */
	char hostname[API_TEXT], user[API_TEXT], os[32];
	char tags[API_TAGS][64];
	int ntags;
	int connected;			/* 1, 0; -1 not said (headscale) */
	int ephemeral, authorized, external;
	long long created, last_seen, expires;	/* 0: not said */
};

/* Every device, however many: one in memory at a time. query: filters, such as "tags=tag:ws", or NULL (headscale ignores them).
 * A positive answer of fn's ends it and is the answer; else 0, or -1. */
int api_devices(struct api *, const char *query, int (*fn)(const struct api_device *, void *), void *ctx,
	long long deadline, struct why *);

/* One of them: 1, 0 there is none, -1. */
int api_device_get(const struct api *, const char *node_id, struct api_device *, long long deadline, struct why *);

/* The tailnet's policy as it was written (HuJSON where the service keeps comments). out is added to. */
struct buf;
int api_policy_get(const struct api *, struct buf *out, long long deadline, struct why *);
/* Asks the service whether it would take this policy (plain JSON), without saving it: 1 yes; 0 no, its words in said; -1. */
int api_policy_validate(const struct api *, const char *json, char *said, size_t size, long long deadline, struct why *);

/* One that is not there counts as deleted. */
int api_delete_node(const struct api *, const char *node_id, long long deadline, struct why *);

#endif
