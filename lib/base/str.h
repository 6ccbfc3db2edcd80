/* str - strings with checked sizes, slices, escapes, numbers and durations */
#ifndef STR_H
#define STR_H
#include <stddef.h>

#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* A borrowed piece of text: not NUL-ended, owned by whoever owns the whole. */
struct slice { const char *p; size_t len; };

int str_eq(const char *, const char *);			/* same text; NULL equals only NULL */
int str_starts(const char *s, const char *prefix);
int str_ends(const char *s, const char *suffix);
int slice_eq(struct slice, const char *);
void str_undot(char *name);				/* a DNS name: without the dot at its end */
struct slice slice_trim(struct slice);			/* without blanks and tabs at either end */

/* Formats into dst; the length, or -1 when it does not fit (dst is then the cut text, NUL-ended). */
int str_fmt(char *dst, size_t size, const char *fmt, ...) PRINTF(3, 4);
int str_copy(char *dst, size_t size, const char *src);
int str_copy_slice(char *dst, size_t size, struct slice);

/* Lists of short words, as tags and scopes are kept. Is it among the n of them? And all of them in one text, which is cut where
 * dst ends; returns dst. */
int   str_among(const char *word, const char (*words)[64], int n);
char *str_join(char *dst, size_t size, const char (*words)[64], int n, const char *between);

/* Writes text with control bytes, backslash, DEL and ill-formed UTF-8 as \t \n \\ \xHH, so that it is
 * one harmless line; cut at size with "..." at its end. Returns dst. C1 controls (U+0080-9F) and
 * bidirectional overrides are escaped too. */
char *str_escape(char *dst, size_t size, const char *src, size_t len);

/* Whole decimal number within lo..hi; 0, or -1. */
int str_num(const char *, long long lo, long long hi, long long *out);

/* "30", "15m", "1h", "2d", "500ms" into milliseconds; 0, or -1. At most 1000 days. */
int str_dur(const char *, long long *ms);

/* Cuts "HOST:PORT", "[V6]:PORT" in place; port 1..65535; 0, or -1. */
int str_host_port(char *s, char **host, int *port);

/* Edit distance of two short texts, for "did you mean"; at most limit + 1. */
int str_distance(const char *, const char *, int limit);

#endif
