/* trust - is this file what its publisher signed, and what is it?
 *
 * One way for all: find what vouches for the bytes (beside the file, in its bundle, or a pin), verify, and only then
 * look inside. ts-verify prints the answers, ts-install takes the first good one of its machine.
 *
 *	.tgz         FILE.sig, distsign.pub, distsign.pub.sig beside it
 *	.moor        all of that inside
 *	.deb         InRelease and Packages (.gz .xz) beside it, or in the folder `index`
 *	InRelease    its own signature
 *	other        FILE.minisig beside it, by the key `root`
 *
 * A pin (sha256, or the lock file) is enough where nothing is signed; it never makes up for a wrong signature.
 */
#ifndef TRUST_H
#define TRUST_H
#include "contents.h"
#include "err.h"
#include "pin.h"
#include "seal.h"

struct trust_how {
	const char *version, *arch;	/* what it has to be; NULL: any */
	const char *root;		/* file: trust these instead of Tailscale's roots (or minisign's key) */
	const char *keyring;		/* file: instead of the key of Tailscale's apt repositories */
	const char *index;		/* folder with InRelease and Packages */
	const char *suite;		/* of the apt index; NULL: any */
	const char *sha256;		/* 64 hex digits; NULL: none */
	const struct pins *lock;	/* NULL: none */
	long long max_age_s;		/* 0: any */
	int glance;			/* of a .tgz look at the beginning only (contents_glance), unless its age is asked for */
	int stage;			/* with parts: an empty directory that they are written to while they are looked at, once */
	unsigned parts;			/* they are authentic; to be emptied when the verdict is no. CONTENTS_TAILSCALED... */
};

struct trust_verdict {
	char file[256];			/* the operand; in a bundle "BUNDLE:NAME" */
	char name[128];			/* of the file itself: tailscale_1.102.5_amd64.tgz */
	const char *product;		/* "tailscale", "moorbox", "apt-index"; NULL: cannot be told */
	struct contents what;		/* version and arch are "" when they are not known */
	char chain[12];			/* what vouches for it: distsign, apt, minisign, pin; "" */
	char signer[80];		/* key (distsign, minisign) or fingerprint (apt) in hex; "" */
	const char *root;		/* "tailscale", or the path of the file that was trusted instead */
	char sha256[65];
	char pub_sha256[65];		/* of distsign.pub */
	long long size, index_date;	/* index_date: of the apt index */
	int trusted;
	struct why why;			/* when it is not */
	struct seal *seal;		/* trusted bytes; freed after fn returns, unless fn takes it and sets this to NULL */
};

/* fn for the file, or each machine's file of a bundle (only those of how->arch, when that is given). Non-zero from fn
 * ends it. The number of verdicts that were not good, at least 1 when there was none. dir: where path is looked up (AT_FDCWD). */
int trust_file(const char *path, const struct trust_how *, int (*fn)(struct trust_verdict *, void *ctx), void *ctx);

/* The same for bytes that are here already, which it takes; path: where they are kept, beside which is what vouches for them. */
int trust_seal(struct seal *, const char *path, const struct trust_how *, int (*fn)(struct trust_verdict *, void *ctx), void *ctx);

/* Writes the programs of a trusted verdict (CONTENTS_TAILSCALED...) into a directory: in fn, or later with the seal that it
 * took. 0, or -1. */
int trust_write(const struct trust_verdict *, const struct trust_how *, int dir, unsigned parts, struct why *);

void trust_pin(const struct trust_verdict *, struct pin *);	/* what a lock file says of it */

#endif
