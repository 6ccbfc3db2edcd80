/* mint - the auth key that a node joins with: given as it is, or minted on the spot by a credential that may do that
 *
 * Sources: a key as env:NAME, file:PATH, fd:N, - or from the settings; oauth:SRC, an OAuth client secret (a plain source that
 * turns out to hold one means the same, as with the stock CLI); wif:SOURCE, an identity token (wif.h). A job that mints for
 * itself holds no long-lived key.
 */
#ifndef MINT_H
#define MINT_H
#include "api_key.h"
#include "err.h"
#include "key.h"
#include "secret.h"
#include "settings.h"

struct mint {
	int mints;		/* a key will be minted; else given is the key */
	char src[600];
	struct secret given;	/* what was read; empty when the source is asked later */
	struct key shape;	/* of it */
	/* private */
	const struct settings *set;
	struct api api;
	char id[64];		/* of the key that was minted */
};

/* Reads what src (NULL: what the settings say) gives, out of the environment too, and checks its shape; asks nobody.
 * 0, or -1 with [no-key], [key-kind], [key-...]. */
int mint_take(struct mint *, const struct settings *, const char *src, const char *control, struct why *);

/* The key: given, or minted as asked for. *want's preauthorized may be overruled by the secret's own attribute. 0, or -1. */
int mint_key(struct mint *, const struct api_mint *want, const char *control, struct secret *key, long long deadline, struct why *);

void mint_undo(struct mint *, long long deadline);	/* deletes a minted key that was not used; no word if it cannot */
void mint_free(struct mint *);				/* zeroes what it holds; harmless twice */

#endif
