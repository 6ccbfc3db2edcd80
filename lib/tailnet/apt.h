/* apt - a signed index (InRelease), what it lists, and what the list of packages says of one package
 *
 * InRelease names Packages by size and SHA-256, Packages names the .deb by size and SHA-256. Never the other way, and
 * never by MD5 or SHA-1. Like apt, an index from the future or past its Valid-Until is refused.
 */
#ifndef APT_H
#define APT_H
#include "buf.h"
#include "err.h"
#include "pgp.h"
#include "seal.h"
#include "str.h"

struct apt_index {
	char origin[80], label[80], suite[80], codename[80];	/* "" when not said */
	long long date, valid_until;	/* unix time; valid_until 0: none */
	int by_hash;			/* Acquire-By-Hash: yes */
	char signer[41];
	struct buf text;		/* what was signed */
};

/* The text of InRelease. 0; -1: pgp_clearsigned's reasons, [bad-index], [index-expired], [clock] from the future. */
int  apt_index(struct apt_index *, const char *, size_t, const struct pgp_ring *, long long now, struct why *);
void apt_index_free(struct apt_index *);

/* Is it the one asked for (suite or codename; NULL: any), and not older than one seen before (0: none)? 0; [wrong-file],
 * [replay]. */
int  apt_index_check(const struct apt_index *, const char *suite, long long seen, struct why *);

struct apt_file { char path[256]; long long size; unsigned char sha256[32]; };

/* What the index says of a path ("main/binary-amd64/Packages.gz"). 0; -1: [not-listed]. */
int  apt_listed(const struct apt_index *, const char *path, struct apt_file *, struct why *);

/* Trusts the bytes of a Packages file, compressed or not, if the index lists them, under whatever path: file says which.
 * 0; -1: [not-listed]. */
int  apt_trust_packages(const struct apt_index *, struct seal *, struct apt_file *, struct why *);

struct apt_package {
	char name[80], version[80], arch[24], path[256];	/* path: below the repository's base */
	long long size;
	unsigned char sha256[32];
};

/* The text of Packages (unpack_text). By name and architecture: of the given version, or the newest (NULL).
 * 0; -1: [not-listed], [bad-index]. */
int  apt_find(const char *text, size_t len, const char *name, const char *arch, const char *version,
	struct apt_package *, struct why *);

/* Trusts a .deb's bytes if Packages lists them; file is its name. 0; -1: [not-listed]; [bad-signature] when the name is
 * listed with other bytes. */
int  apt_trust_deb(const char *text, size_t len, struct seal *, const char *file, struct apt_package *, struct why *);

#endif
