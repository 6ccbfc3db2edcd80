/* fetch - releases of Tailscale from wherever they are to be had: the cache, mirrors in order, the packages host
 *
 *	CACHE/VERSION/		$XDG_CACHE_HOME/moorbox/releases, else ~/.cache/...; a private one for this call where that
 *	  NAME.tgz .sig		cannot be written
 *	  distsign.pub .sig
 *	  NAME.tgz.part .from	what has come so far, and what the server said it was: to go on from there
 *
 * Nothing that comes is believed: what is there is verified by trust.h at each use, whichever way it came, and a place
 * whose bytes are not authentic is passed over like one that does not answer. No HEAD, since some proxies refuse it.
 * Redirects go to https and to hosts that were named, or Tailscale's own; a length, a range and a shape must be right.
 */
#ifndef FETCH_H
#define FETCH_H
#include "err.h"
#include "trust.h"

enum { FETCH_MIRRORS = 16 };

struct fetch {
	const char *mirrors[FETCH_MIRRORS + 1];	/* NULL-ended: URLs, or folders with the files */
	const char *ca;
	const struct trust_how *how;	/* what a release has to be; version and arch are filled in here */
	long long deadline;
	void (*progress)(const char *name, long long done, long long total);	/* or NULL */
	void (*told)(const char *place, const struct why *);	/* what a place answered; why NULL: it had it */
	int dir;			/* private from here */
	char cache[4000];
	int is_temporary;
};

int  fetch_open(struct fetch *, struct why *);	/* finds or makes the cache; the caller has filled in the rest */
void fetch_close(struct fetch *);

/* The newest version of a track ("stable", "unstable"), as the first place says that answers; if none does, the newest in
 * the cache. It is a hint: nobody signs it. 0, or -1. */
int fetch_version(struct fetch *, const char *track, char version[static 32], struct why *);

/* Verified, with its signatures beside it: path; from: where it came from. 0; -1: what the last place answered. */
int fetch_release(struct fetch *, const char *version, const char *arch, char *path, int size, char from[static 600], struct why *);

/* A release or bundle from a URL of its own, and what vouches for it as far as it is there; not verified. 0, or -1. */
int fetch_url(struct fetch *, const char *url, char *path, int size, struct why *);

/* The .deb of an apt repository, verified as far as to its name: path; how->index has to be *index then. 0, or -1. */
int fetch_apt(struct fetch *, const char *url, const char *suite, char *path, int size, char *index, int index_size, struct why *);

#endif
