/* contents - what a trusted archive really holds: the product, version and machine it is for, its two programs
 *
 * A signature says who made the bytes, not what they are. So: the name of the top folder is what was asked for; nothing but
 * the folder, the two programs and systemd/ is in it, each once; both programs are for that machine; and where they
 * carry a release's stamp (VERSION-tHASH-gHASH), it is of that version. Of a .deb, usr/bin and usr/sbin are looked at.
 */
#ifndef CONTENTS_H
#define CONTENTS_H
#include "err.h"
#include "seal.h"

enum { CONTENTS_TAILSCALED = 1, CONTENTS_TAILSCALE = 2 };

struct contents {
	char version[32];	/* "1.102.5" */
	char arch[16];		/* as Tailscale names it: "amd64"; see contents_own_arch */
	char stamp[64];		/* "1.102.5-t0123abcde-g0123abcde"; "" when the programs have none */
	int is_unstable;	/* an odd minor number */
	long long newest;	/* latest modification time of an entry: about when it was built */
	long long tailscaled_size, tailscale_size;
	int units;		/* files in systemd/ */
};

struct contents_want {
	const char *version, *arch;	/* NULL: any */
	long long not_before;		/* unix time that newest must reach; 0: any */
};

/* Reads the whole archive to its end. With dir >= 0 the programs named in parts are written there, as "tailscaled" and
 * "tailscale", mode 0755, on their way to the disk; when it fails they are gone again. A .deb does not say what it is: the index does
 * (deb_version, deb_arch; else NULL). 0; -1: [wrong-version] [wrong-arch] [wrong-file] [bad-archive] [too-big] [too-old]. */
int contents_read(const struct seal *, const struct contents_want *, const char *deb_version, const char *deb_arch,
	int dir, unsigned parts, struct contents *, struct why *);

/* A look at the beginning of a .tgz, without inflating the rest: its top folder is what was asked for, and the first program
 * in it is for that machine. newest and the sizes are those of what was seen; want's not_before is not looked at. 0, or -1. */
int contents_glance(const struct seal *, const struct contents_want *, struct contents *, struct why *);

/* "tailscale_1.102.5_amd64" (a folder's name; a file's without .tgz). 0, or -1. */
int contents_name(const char *, char version[static 32], char arch[static 16]);
int contents_is_arch(const char *);			/* has Tailscale releases for it? */
const char *contents_own_arch(void);			/* of this program; NULL when Tailscale has no name for it */
const char *contents_deb_arch(const char *arch);	/* "armhf" for "arm"...; the name itself where they are the same */

#endif
