/* download - files from the net: small ones whole, a large one gone on with where it was cut
 *
 *	DIR/NAME.part .from	what has come so far, and what the server said it was: to go on from there
 *
 * Nothing that comes is believed. No HEAD, since some proxies refuse it. Redirects go to https and to hosts that were
 * named, or Tailscale's own; a length, a range and a shape must be right. A large file is hashed while it comes, what was
 * there of it first.
 */
#ifndef DOWNLOAD_H
#define DOWNLOAD_H
#include "buf.h"
#include "err.h"
#include "http.h"
#include "seal.h"
#include "str.h"

enum { DOWNLOAD_URL = 1100 };

struct download {
	const char *ca;
	long long deadline;
	const char *folder;		/* how dir is called in messages */
	void (*progress)(const char *name, long long done, long long total);	/* or NULL */
};

/* exact: its length in bytes; 0: any but none. 0; -1: [no-release] it is not there, [captive], [bad-answer], [http-status]... */
int download_small(const struct download *, const char *url, struct buf *, size_t max, size_t exact, struct why *);
int download_keep(const struct download *, const char *url, int dir, const char *name, size_t exact, struct why *);	/* into dir/name */

/* Into dir/name; magic: what it has to begin with ("": anything but a page). *out: its bytes, hashed (seal_hash_along), not
 * trusted, to be freed; out NULL: not wanted. 0; -1: [bad-range], [too-big], [lost], [stalled]... */
int download_file(const struct download *, const char *url, int dir, const char *name, const char *magic, struct seal **out, struct why *);

/* What an answer's head says of its body; asked: from which byte on it was asked for (0: the whole). 0; -1: [bad-range] it is
 * another part, [too-big]. */
struct download_head {
	long long from, total;		/* total 0: not said */
	char tag[220];			/* what to send in If-Range to go on with it; "": nothing that tells it apart for certain */
};
int download_head(const struct http_res *, long long asked, const char *url, struct download_head *, struct why *);

/* Where a redirect leads, if it may lead there: url is changed. first: what was asked for to begin with. 0; -1: [bad-redirect]. */
int download_hop(const char *first, char url[static DOWNLOAD_URL], const char *to, struct why *);

struct slice download_host(const char *url);	/* of a URL, with the brackets of an IPv6 address */

#endif
