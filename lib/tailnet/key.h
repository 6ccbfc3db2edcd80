/* key - what the text of a credential says about itself, without asking anybody
 *
 * Shapes: Tailscale's docs "Key prefixes" (tskey-TYPE-ID-SECRET, and legacy tskey-ID-SECRET) with the attributes of OAuth
 * secrets behind a '?', tailnet-lock's wrapped keys (AUTHKEY--TL...), federated client ids (T...-k...), headscale's
 * hskey-TYPE-PREFIX-SECRET, its 48 hexadecimal digits and PREFIX.SECRET. Lengths differ between years, so a length is
 * never an error.
 */
#ifndef KEY_H
#define KEY_H
#include "err.h"
#include <stddef.h>

enum key_kind {
	KEY_OTHER,		/* nothing we know: perhaps another control server's */
	KEY_AUTH,		/* a node joins with it */
	KEY_AUTH_WRAPPED,	/* the same, pre-signed for tailnet lock */
	KEY_CLIENT,		/* OAuth client secret */
	KEY_API,		/* API access token */
	KEY_SCIM,
	KEY_WEBHOOK,
	KEY_LEGACY,		/* tskey-ID-SECRET, issued until 2022, so expired */
	KEY_FEDERATED,		/* a workload identity's client id: no secret */
	KEY_REQUEST,		/* headscale's hskey-authreq-, hskey-reg-: a login that waits, no credential */
	KEY_KINDS
};

struct key {
	enum key_kind kind;
	int headscale;		/* headscale's form, not Tailscale's */
	char id[64];		/* the key's id, "" when its form has none; no secret. headscale: its prefix, not the API's id */
	size_t bare;		/* length of the credential itself, before attributes and lock signature: what is sent to an API */
	int is_short;		/* its secret part is shorter than any that was seen: perhaps cut off */
	int ephemeral, preauthorized;	/* attributes of a client secret or federated id: 1, 0; -1 not said */
	char base_url[256];	/* the same: baseURL, or "" */
};

const char *key_kind_word(enum key_kind);	/* "auth", "auth-wrapped", "client", "api"...: for records */
const char *key_kind_name(enum key_kind);	/* "an auth key", "an OAuth client secret"...: for sentences */

/* What the text is. 0; or -1 with the mistake that was made: [key-empty], [key-quoted], [key-masked], [key-unexpanded],
 * [key-indirect], [key-space], [key-placeholder], [key-joined], [key-prefixed], [key-is-id], [key-cut], [key-attribute], [key-foreign],
 * [key-malformed], each with its hint. The text itself is never in the message, and *key is filled in as far as known. */
int key_shape(const char *text, size_t len, struct key *, struct why *);

/* The same, and a node can join with it; else [key-kind], with what it is and what is needed. */
int key_can_join(const char *text, size_t len, struct key *, struct why *);

/* The reason that a control server's refusal stands for, from its text (Tailscale's and headscale's):
 * [key-unknown], [key-expired], [key-revoked], [key-used], [key-refused], [tag-refused], [rate-limited]; R_NONE: none of them. */
enum reason key_refusal(const char *control_text);

#endif
