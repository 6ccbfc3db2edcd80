/* key - what the text of a credential says about itself, without asking anybody
 *
 * Shapes: Tailscale's docs "Key prefixes" (tskey-TYPE-ID-SECRET, and legacy tskey-ID-SECRET), tailnet-lock's
 * wrapped keys (AUTHKEY--TL...), headscale's hskey-TYPE-PREFIX-SECRET and 48 hexadecimal digits.
 * Lengths differ between years, so a length is never an error.
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
};

struct key {
	enum key_kind kind;
	int headscale;		/* headscale's form, not Tailscale's */
	char id[64];		/* the key's id, "" when its form has none; no secret */
};

const char *key_kind_name(enum key_kind);	/* "auth key", "OAuth client secret", ... */

/* What the text is. 0; or -1 with [key-malformed] and the mistake named: quotes, white space, a placeholder, an unexpanded
 * variable, a masked value, two keys joined, something cut off. The text itself is never in the message. */
int key_shape(const char *text, size_t len, struct key *, struct why *);

/* The same, and a node can join with it; else [key-kind], with what it is and what is needed. */
int key_can_join(const char *text, size_t len, struct key *, struct why *);

/* The reason that a control server's refusal stands for, from its text (Tailscale's and headscale's):
 * [key-unknown], [key-expired], [key-revoked], [key-used], [key-refused], [tag-refused], [rate-limited]; R_NONE: none of them. */
enum reason key_refusal(const char *control_text);

#endif
