/* buf - the one growing type: bytes with a maximum, always NUL-ended */
#ifndef BUF_H
#define BUF_H
#include "err.h"
#include <stddef.h>

struct buf {
	char *p;		/* never NULL after the first add */
	size_t len, cap;
	size_t max;		/* 0 means BUF_MAX */
	int over;		/* something did not fit: from then on nothing is added */
};
enum { BUF_MAX = 16 << 20 };

int  buf_add(struct buf *, const void *, size_t);	/* 0, or -1 when over the maximum */
int  buf_str(struct buf *, const char *);
int  buf_ch(struct buf *, char);
int  buf_fmt(struct buf *, const char *fmt, ...) PRINTF(2, 3);
void buf_cut(struct buf *, size_t n);			/* drops the first n bytes */
void buf_clear(struct buf *);				/* empties, keeps the memory */
void buf_free(struct buf *);
void buf_wipe(struct buf *);				/* zeroes, then frees */
const char *buf_cstr(const struct buf *);		/* "" when nothing was added */

#endif
