/* pgp - the part of OpenPGP that apt repositories need: keyrings, and text with a signature around it
 *
 * RSA keys of 2048 bits and more, version 4, SHA-256 or SHA-512; other keys and signatures are passed over. A key
 * counts when it says of itself that it may sign (a subkey: when both sides say so), is in its time and not revoked.
 * What is stricter than gpgv is so on purpose: one message, nothing before or behind it, `Hash:` the only header.
 */
#ifndef PGP_H
#define PGP_H
#include "buf.h"
#include "err.h"
#include <stddef.h>

enum { PGP_KEYS = 64 };

struct pgp_key {
	unsigned char fpr[20], primary[20];	/* its own fingerprint, and that of the key it belongs to */
	long long created, expires;		/* unix time; expires 0: never */
	unsigned char n[1024], e[8];
	size_t n_len, e_len;
};

struct pgp_ring {
	int count, passed_over;		/* keys that can sign, and those that cannot or are of another kind */
	struct pgp_key key[PGP_KEYS];
};

/* A keyring as gpg --export writes it, plain or armored; or the key of Tailscale's repositories, which is in this program.
 * 0; -1: [bad-index] not a keyring, or no key in it that can be used. */
int pgp_ring(struct pgp_ring *, const void *, size_t, long long now, struct why *);
int pgp_tailscale_ring(struct pgp_ring *, long long now, struct why *);

struct pgp_signed {
	struct buf text;	/* what was signed, lines ended by '\n'; nothing else of the file is to be used */
	char signer[41];	/* fingerprint of the primary key, upper case as gpg has it */
	long long made;		/* when */
	int others;		/* signatures by keys that are not in the ring, or of a kind that we cannot verify */
};

/* 0 when at least one key of the ring signed it and none of the ring's signatures is wrong; -1:
 * [bad-index] not a signed message, [bad-signature], [unknown-signer], [clock]. Free text either way. */
int pgp_clearsigned(const char *, size_t, const struct pgp_ring *, long long now, struct pgp_signed *, struct why *);

#endif
