/* near - names that somebody may have meant */
#include "near.h"
#include "str.h"
#include <string.h>

static void lower(char *dst, size_t size, const char *src)
{
	str_copy(dst, size, src);
	for (; *dst; dst++)
		if (*dst >= 'A' && *dst <= 'Z')
			*dst += 32;
}

void near_start(struct near *n, const char *typed)
{
	memset(n, 0, sizeof *n);
	if (strlen(typed) < sizeof n->typed)
		lower(n->typed, sizeof n->typed, typed);
}

/* How far, or -1: one letter in short names, up to three in long ones; or one is how the other begins. */
static int distance(const char *typed, const char *name)
{
	int n = strlen(typed), m = strlen(name), limit = n < 4 ? 1 : n < 8 ? 2 : 3;
	int far = str_distance(name, typed, limit);
	if (far <= limit && far < n)
		return far;
	return n > 1 && m > 1 && (str_starts(name, typed) || str_starts(typed, name)) ? limit + 1 : -1;
}

void near_add(struct near *n, const char *name)
{
	char low[sizeof n->best[0].name];
	if (!*n->typed || !*name || strlen(name) >= sizeof low)
		return;
	lower(low, sizeof low, name);
	if (*low == '-' || strspn(low, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(low))
		return;
	int far = distance(n->typed, low), i = n->count;
	if (far < 0)
		return;
	for (int k = 0; k < n->count; k++)
		if (str_eq(n->best[k].name, low))
			return;
	for (; i > 0; i--) {
		int order = n->best[i - 1].far - far;
		if (order < 0 || (!order && strcmp(n->best[i - 1].name, low) < 0))
			break;
		if (i < 3)
			n->best[i] = n->best[i - 1];
	}
	if (i == 3)
		return;
	str_copy(n->best[i].name, sizeof n->best[i].name, low);
	n->best[i].far = far;
	if (n->count < 3)
		n->count++;
}

char *near_text(const struct near *n, char *dst, size_t size)
{
	size_t at = 0;
	*dst = 0;
	for (int i = 0; i < n->count; i++) {
		int w = str_fmt(dst + at, size - at, "%s%s", i ? ", " : "", n->best[i].name);
		if (w < 0) {
			dst[at] = 0;
			break;
		}
		at += w;
	}
	return dst;
}
