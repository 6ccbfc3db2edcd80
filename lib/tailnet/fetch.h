/* fetch - releases of Tailscale from wherever they are to be had: the cache, mirrors in order, the packages host
 *
 *	CACHE/VERSION/		$XDG_CACHE_HOME/moorbox/releases, else ~/.cache/...; a private one for this call where that
 *	  NAME.tgz .sig		cannot be written
 *	  distsign.pub .sig
 *	  NAME.tgz.part .from	see download.h
 *	  .lock			who works here; for url/ and apt/, of one call only, it is beside them
 *
 * What is there is verified by trust.h at each use, whichever way it came, and a place whose bytes are not authentic is
 * passed over like one that does not answer. Nothing is inflated for that but the beginning.
 */
#ifndef FETCH_H
#define FETCH_H
#include "download.h"
#include "err.h"
#include "trust.h"

enum { FETCH_MIRRORS = 16 };

struct fetch {
	const char *mirrors[FETCH_MIRRORS + 1];	/* NULL-ended: URLs, or folders with the files */
	struct download net;		/* the caller's: ca, deadline, progress */
	const struct trust_how *how;	/* what a release has to be; version and arch are filled in here */
	int seen;			/* folder of seen.h's dates; -1: none */
	int may_note, may_go_back;	/* a date may be written there; an older one is fine */
	void (*told)(const char *place, const struct why *);	/* what a place answered; why NULL: it had it */
	int dir;			/* private from here */
	int lock;
	char cache[4000], locked[32];
	int is_temporary;
};

int  fetch_open(struct fetch *, struct why *);	/* finds or makes the cache; the caller has filled in the rest */
void fetch_close(struct fetch *);

/* The newest version of a track ("stable", "unstable"), as the first place says that answers; if none does, the newest in
 * the cache. It is a hint: nobody signs it. 0, or -1. */
int fetch_version(struct fetch *, const char *track, char version[static 32], struct why *);

/* Verified, with its signatures beside it: path; from: where it came from. got (or NULL): the verdict, whose seal is the
 * caller's. 0; -1: what the last place answered; [busy] at once, or at the deadline if there is one. */
int fetch_release(struct fetch *, const char *version, const char *arch, char *path, int size, char from[static 600],
	struct trust_verdict *got, struct why *);

/* A release or bundle from a URL of its own, and what vouches for it as far as it is there; not verified. 0, or -1. */
int fetch_url(struct fetch *, const char *url, char *path, int size, struct why *);

/* The .deb of an apt repository, verified as far as to its name: path; how->index has to be *index then. 0, or -1. */
int fetch_apt(struct fetch *, const char *url, const char *suite, char *path, int size, char *index, int index_size, struct why *);

#endif
