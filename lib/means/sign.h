/* sign - digests and signatures; the one place where libsodium and mbedTLS's hashes and keys are used
 *
 * Nothing here decides what is trusted: it says whether a number fits. Verifying answers 1 or 0, never "cannot
 * tell": what is malformed is 0.
 */
#ifndef SIGN_H
#define SIGN_H
#include <stddef.h>

enum digest_kind { DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512, DIGEST_BLAKE2S, DIGEST_BLAKE2B, DIGEST_KINDS };
enum { DIGEST_MAX = 64 };

struct digest {
	enum digest_kind kind;
	_Alignas(64) unsigned char room[448];	/* the library's state, or our own */
};

/* BLAKE2s is 32 bytes, BLAKE2b 64, both without key. After digest_start one digest_end frees what it holds. */
void digest_start(struct digest *, enum digest_kind);
void digest_add(struct digest *, const void *, size_t);
int  digest_end(struct digest *, unsigned char out[static DIGEST_MAX]);	/* its length */
int  digest_size(enum digest_kind);
int  digest_of(enum digest_kind, const void *, size_t, unsigned char out[static DIGEST_MAX]);	/* all at once; its length */

/* Ed25519. What is taken is a part of what ZIP-215 (ed25519consensus, which Tailscale uses) takes: S below the order,
 * key and R canonical and not of small order, the equation without cofactor. Honest signatures are in both. A
 * signature that only ZIP-215 takes was made by somebody who has the key and wants verifiers to disagree: refused. */
int sign_ed25519(const unsigned char key[static 32], const unsigned char sig[static 64], const void *msg, size_t len);

/* RSA, PKCS#1 v1.5, with SHA-256 or SHA-512 of the message; n and e big-endian, n of 2048 to 8192 bits. */
int sign_rsa(const unsigned char *n, size_t n_len, const unsigned char *e, size_t e_len, enum digest_kind,
	const unsigned char *digest, const unsigned char *sig, size_t sig_len);

int sign_equal(const void *, const void *, size_t);	/* 1 or 0 in constant time */

char *sign_hex(char *dst, const void *, size_t);	/* lower case, NUL-ended, 2 * n + 1 bytes. Returns dst. */
int   sign_unhex(void *dst, size_t n, const char *text, size_t len);	/* exactly n bytes from 2 * n digits; 0, or -1 */

/* Strict base64 with its padding, no blanks, no bits left over. The number of bytes, or -1. */
long  sign_base64(void *dst, size_t size, const char *text, size_t len);

#endif
