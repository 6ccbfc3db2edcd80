/* wish - what a key should be, and whether it is: ephemeral, kept, reusable, one-off, preauthorized, tag:NAME, days to live */
#ifndef WISH_H
#define WISH_H
#include "api_key.h"

enum { WISHES = 33 };

struct wish {
	const char *text;	/* "ephemeral", "tag:ci"; "warn-days" */
	struct why why;		/* of one that is not met: [wish-unmet], [tag-refused], [key-expiring]...; [cannot-tell] */
};

struct wishes {
	struct wish p[WISHES];
	int n;
	long long warn_days;	/* it should live so long; -1: not asked */
};

/* Adds those of a list, comma between; the text must live on. 0, or -1 [usage]. */
int wish_add(struct wishes *, char *list, struct why *);

/* Both leave in it only what is not met or cannot be told, each with its why. A client is wished keys of such tags: all of its own,
 * or such as its own own, which the policy says if it may be read. */
void wish_of_key(struct wishes *, const struct api_key *);
void wish_of_client(struct wishes *, const struct api *, long long deadline);

#endif
