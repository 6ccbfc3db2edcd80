/* distsign - Tailscale's own signatures of its release files
 *
 * Two root keys, which are in this program, sign the file distsign.pub; the keys in it sign each release: Ed25519
 * over the file's BLAKE2s-256 and its length. Nothing about name, version or machine is signed: contents.h looks.
 * The whole key file is refused when anything in it is not as it should be, and not read before it is verified.
 */
#ifndef DISTSIGN_H
#define DISTSIGN_H
#include "err.h"
#include "seal.h"

enum { DISTSIGN_KEYS = 16, DISTSIGN_SIG = 64, DISTSIGN_PUB_MAX = 1 << 16 };

struct distsign_roots {
	int count;
	unsigned char key[DISTSIGN_KEYS][32];
};

/* Tailscale's roots; or, with a file ("ROOT PUBLIC KEY" in PEM), those in it instead. 0, or -1. */
int distsign_roots(struct distsign_roots *, const char *file, struct why *);

struct distsign {
	int count;
	unsigned char key[DISTSIGN_KEYS][32];	/* the signing keys */
	char root[65];				/* in hex: the root that signed for them */
	char pub_sha256[65];			/* of distsign.pub: to be pinned, and to notice that keys changed */
};

/* distsign.pub and its .sig. 0; -1: [unknown-signer] no such root signed it, [bad-signature] not 64 bytes,
 * [bad-archive] signed and yet not a list of signing keys. */
int distsign_load(struct distsign *, const struct distsign_roots *, const void *pub, size_t pub_len,
	const void *sig, size_t sig_len, struct why *);

/* Trusts the bytes if one of the keys signed them; signer gets that key in hex. 0; -1: [bad-signature]. */
int distsign_check(const struct distsign *, struct seal *, const void *sig, size_t sig_len, char signer[static 65], struct why *);

#endif
