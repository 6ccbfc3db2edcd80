/* buf - the one growing type */
#include "buf.h"
#include "alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct buf *b, size_t add)
{
	size_t max = b->max ? b->max : BUF_MAX;
	if (b->over || add > max - b->len) {
		b->over = 1;
		return -1;
	}
	size_t need = b->len + add + 1;
	if (need > b->cap) {
		size_t cap = b->cap * 2;
		if (cap < need)
			cap = need < 256 ? 256 : need;
		b->p = xrealloc(b->p, cap);
		b->cap = cap;
	}
	return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
	if (grow(b, n) < 0)
		return -1;
	if (n)
		memcpy(b->p + b->len, p, n);
	b->len += n;
	b->p[b->len] = 0;
	return 0;
}

int buf_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int buf_ch(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	int rc = n < 0 ? -1 : grow(b, n);
	if (!rc) {
		vsnprintf(b->p + b->len, n + 1, fmt, again);
		b->len += n;
	}
	va_end(again);
	return rc;
}

void buf_cut(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_clear(b);
		return;
	}
	memmove(b->p, b->p + n, b->len - n + 1);
	b->len -= n;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->over = 0;
	if (b->p)
		*b->p = 0;
}

void buf_free(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->len = b->cap = 0;
	b->over = 0;
}

void buf_wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	buf_free(b);
}

const char *buf_cstr(const struct buf *b)
{
	return b->p ? b->p : "";
}
