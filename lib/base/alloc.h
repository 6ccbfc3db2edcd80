/* alloc - memory that is there: what cannot be had ends the program; the caller frees */
#ifndef ALLOC_H
#define ALLOC_H
#include "str.h"

void *xalloc(size_t n);			/* zeroed */
void *xrealloc(void *, size_t n);
char *xstrdup(const char *);
char *xstrndup(const char *, size_t);
char *xfmt(const char *fmt, ...) PRINTF(1, 2);

#endif
