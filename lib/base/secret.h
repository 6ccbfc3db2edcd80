/* secret - text that must not leak: where it comes from, and how it is kept out of everything else
 *
 * A secret is given as env:NAME, file:PATH, fd:N or - (stdin); a literal one is refused ([secret-in-argv]).
 * While a struct secret lives, its text is blotted out of every message (err.h does it).
 */
#ifndef SECRET_H
#define SECRET_H
#include "err.h"
#include <stddef.h>

struct secret {
	char *p;		/* NUL-ended, in memory that is neither swapped nor dumped; NULL when empty */
	size_t len;
	struct secret *next;
};
enum { SECRET_MAX = 16384 };

/* Reads it from where src says. One trailing newline (or CR LF) is dropped. A file that others can read is warned about.
 * env: takes the variable out of our environment as well. 0, or -1. */
int  secret_get(struct secret *, const char *src, struct why *);
int  secret_set(struct secret *, const char *text, size_t len);	/* a copy; for what came from a config file */
void secret_free(struct secret *);			/* zeroes */
void secret_blot(char *text);				/* known secrets (8 bytes or more) in text become *** in place */
void secret_blot_shapes(char *text);			/* in place: what has a key's shape, user and password in a URL */
int  secret_looks_literal(const char *src);		/* somebody typed the key itself */
void secret_mask(const struct secret *);		/* under GITHUB_ACTIONS=true: tells the runner, on stderr, to blot it out of its log */
void secret_no_core(void);				/* this process leaves no core and cannot be read by ptrace of others */

#endif
