/* near - names that somebody may have meant: the three nearest of those shown to it */
#ifndef NEAR_H
#define NEAR_H
#include <stddef.h>

struct near {
	char typed[64];
	int count;
	struct { char name[64]; int far; } best[3];	/* nearest first */
};

void near_start(struct near *, const char *typed);	/* then near_add for each name that there is */
void near_add(struct near *, const char *name);		/* only a plain DNS name is ever offered */
char *near_text(const struct near *, char *dst, size_t size);	/* "db, db2"; "" for none. Returns dst. */

#endif
