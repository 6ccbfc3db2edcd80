/* str - strings with checked sizes, slices, escapes, numbers and durations */
#include "str.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int str_eq(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

int str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

int str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && !strcmp(s + n - m, suffix);
}

int slice_eq(struct slice s, const char *text)
{
	return strlen(text) == s.len && !memcmp(s.p, text, s.len);
}

void str_undot(char *name)
{
	size_t n = strlen(name);
	if (n && name[n - 1] == '.')
		name[n - 1] = 0;
}

struct slice slice_trim(struct slice s)
{
	while (s.len && (*s.p == ' ' || *s.p == '\t'))
		s.p++, s.len--;
	while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

int str_fmt(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= size ? -1 : n;
}

int str_copy(char *dst, size_t size, const char *src)
{
	return str_copy_slice(dst, size, (struct slice){src, strlen(src)});
}

int str_copy_slice(char *dst, size_t size, struct slice s)
{
	size_t n = s.len < size ? s.len : size - 1;
	memcpy(dst, s.p, n);
	dst[n] = 0;
	return n == s.len ? (int)n : -1;
}

/* Length of the well-formed UTF-8 sequence at s that is harmless to show, or 0. */
static size_t shown(const unsigned char *s, size_t left)
{
	unsigned c = s[0], min;
	size_t n;
	if (c < 0x80)
		return c >= 0x20 && c != 0x7f && c != '\\';
	if ((c & 0xe0) == 0xc0)
		n = 2, c &= 0x1f, min = 0x80;
	else if ((c & 0xf0) == 0xe0)
		n = 3, c &= 0x0f, min = 0x800;
	else if ((c & 0xf8) == 0xf0)
		n = 4, c &= 0x07, min = 0x10000;
	else
		return 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0)
		return 0;
	/* bidirectional controls and line separators can make text lie about itself */
	if ((c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff)
		return 0;
	return n;
}

static int is_plain(int c)
{
	return c >= 0x20 && c < 0x7f && c != '\\';
}

char *str_escape(char *dst, size_t size, const char *src, size_t len)
{
	const unsigned char *s = (const unsigned char *)src;
	size_t o = 0;
	for (size_t i = 0; i < len; ) {
		if (is_plain(s[i]) && o + 4 < size) {	/* nearly all of them, and worth a short cut */
			dst[o++] = src[i++];
			continue;
		}
		char esc[8];
		const char *p = esc;
		size_t n = shown(s + i, len - i), m = n;
		if (n)
			p = src + i;
		else {
			n = 1;
			switch (s[i]) {
			case '\t': m = sprintf(esc, "\\t"); break;
			case '\n': m = sprintf(esc, "\\n"); break;
			case '\\': m = sprintf(esc, "\\\\"); break;
			default:   m = sprintf(esc, "\\x%02X", s[i]);
			}
		}
		if (o + m + (i + n < len ? 3 : 0) >= size) {
			for (m = 0; m < 3 && o + 1 < size; m++)
				dst[o++] = '.';
			break;
		}
		memcpy(dst + o, p, m);
		o += m;
		i += n;
	}
	dst[o] = 0;
	return dst;
}

int str_among(const char *word, const char (*words)[64], int n)
{
	for (int i = 0; i < n; i++)
		if (str_eq(words[i], word))
			return 1;
	return 0;
}

char *str_join(char *dst, size_t size, const char (*words)[64], int n, const char *between)
{
	size_t at = 0;
	*dst = 0;
	for (int i = 0; i < n; i++) {
		str_fmt(dst + at, size - at, "%s%s", i ? between : "", words[i]);
		at += strlen(dst + at);
	}
	return dst;
}

int str_num(const char *s, long long lo, long long hi, long long *out)
{
	int minus = *s == '-';
	long long v = 0;
	s += minus;
	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
			return -1;
	}
	if (minus)
		v = -v;
	if (v < lo || v > hi)
		return -1;
	*out = v;
	return 0;
}

int str_dur(const char *s, long long *ms)
{
	static const struct { const char *unit; long long ms; } units[] = {
		{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
	};
	char digits[16];
	size_t n = strspn(s, "0123456789");
	if (!n || str_copy_slice(digits, sizeof digits, (struct slice){s, n}) < 0)
		return -1;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (str_eq(s + n, units[i].unit)) {
			long long v;
			if (str_num(digits, 0, 86400000000LL / units[i].ms, &v) < 0)
				return -1;
			*ms = v * units[i].ms;
			return 0;
		}
	return -1;
}

int str_host_port(char *s, char **host, int *port)
{
	long long n;
	char *colon = strrchr(s, ':');
	if (!colon || str_num(colon + 1, 1, 65535, &n) < 0)
		return -1;
	char *end = colon;
	if (*s == '[') {
		if (end == s || end[-1] != ']')
			return -1;
		s++;
		end--;
	} else if (memchr(s, ':', colon - s))
		return -1;
	if (end == s)
		return -1;
	*end = 0;
	*host = s;
	*port = n;
	return 0;
}

int str_distance(const char *a, const char *b, int limit)
{
	enum { MOST = 64 };
	size_t n = strlen(a), m = strlen(b);
	int row[MOST + 1];
	if (n > MOST || m > MOST)
		return limit + 1;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		int diag = row[0];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			int change = diag + (a[i - 1] != b[j - 1]), best = change;
			diag = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m] > limit ? limit + 1 : row[m];
}
