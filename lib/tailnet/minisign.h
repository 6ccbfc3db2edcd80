/* minisign - signatures of moorbox's own releases; verified only, never made
 *
 * Only the prehashed form ("ED"). The signed comment must name the file, so that one release cannot pass for another.
 */
#ifndef MINISIGN_H
#define MINISIGN_H
#include "err.h"
#include "seal.h"

struct minisign_key { unsigned char id[8], key[32]; };

/* A .pub file of minisign or signify: a comment line and a line of base64. 0; -1, [bad-archive]. */
int minisign_key(struct minisign_key *, const char *text, size_t len, struct why *);

/* Trusts the bytes if the text of NAME.minisig is the key's signature of them and its signed comment has "file:NAME"
 * as a word. comment gets the signed comment. 0; -1: [bad-signature], [unknown-signer], [wrong-file]. */
int minisign_check(const struct minisign_key *, struct seal *, const char *text, size_t len, const char *name,
	char *comment, size_t size, struct why *);

#endif
