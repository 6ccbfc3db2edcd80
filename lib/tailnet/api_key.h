/* api_key - the API's keys: looked up, minted, deleted; and whether one lives
 *
 * Source: Tailscale's API documentation, "Keys"; headscale's own API (v1) for keys by their prefix.
 */
#ifndef API_KEY_H
#define API_KEY_H
#include "api.h"

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

/* A node can join with it, as far as the API's object says: 0, or -1 [key-revoked], [key-expired], [key-used], [key-refused]. */
int api_key_usable(const struct api_key *, struct why *);

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

/* 1 lives, 0 does not, without consuming it and without a credential: what secret scanners ask (Tailscale's service only).
 * -1: cannot be told. text is the bare key. */
int api_verify(const char *control, const char *text, size_t len, long long deadline, struct why *);

#endif
