/* ustar - one header of a tar */
#include "ustar.h"
#include "str.h"
#include <stdio.h>
#include <string.h>

/* Octal digits, then NULs or blanks to the end of the field; -1 for anything else. */
static long long octal(const unsigned char *p, int n)
{
	long long v = 0;
	int i = 0, digits = 0;
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++, digits++)
		v = v << 3 | (p[i] - '0');
	for (; i < n; i++)
		if (p[i] && p[i] != ' ')
			return -1;
	return digits ? v : -1;
}

static long long checksum(const unsigned char *b)
{
	long long sum = 0;
	for (int i = 0; i < USTAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : b[i];
	return sum;
}

int ustar_name_ok(const char *name)
{
	const char *part = name;
	for (const char *p = name; ; p++) {
		if ((*p && (unsigned char)*p < 0x20) || *p == 0x7f || *p == '\\')
			return 0;
		if (*p && *p != '/')
			continue;
		size_t n = p - part;
		if (!n || (n == 1 && *part == '.') || (n == 2 && !memcmp(part, "..", 2)))
			return 0;
		if (!*p)
			return 1;
		part = p + 1;
	}
}

static int read_name(const unsigned char *b, int is_gnu, struct ustar *u)
{
	const char *name = (const char *)b, *prefix = (const char *)b + 345;
	int n = strnlen(name, 100), m = is_gnu ? 0 : strnlen(prefix, 155);
	str_fmt(u->name, sizeof u->name, "%.*s%s%.*s", m, prefix, m ? "/" : "", n, name);
	n = strlen(u->name);
	if (u->type == '5' && n && u->name[n - 1] == '/')
		u->name[--n] = 0;
	if (u->type == '5' && str_eq(u->name, "."))		/* dpkg-deb begins with it */
		return 0;
	if (str_starts(u->name, "./"))				/* and writes all others so */
		memmove(u->name, u->name + 2, n - 1);
	return ustar_name_ok(u->name) ? 0 : -1;
}

int ustar_read(const unsigned char b[static USTAR_BLOCK], struct ustar *u, struct why *why)
{
	static const unsigned char zero[USTAR_BLOCK];
	char shown[120];
	memset(u, 0, sizeof *u);
	if (!memcmp(b, zero, USTAR_BLOCK))
		return USTAR_END;
	int is_gnu = !memcmp(b + 257, "ustar  ", 8);
	if (!is_gnu && memcmp(b + 257, "ustar\00000", 8))
		return why_set(why, R_BAD_ARCHIVE, "not a tar header where one should be");
	if (octal(b + 148, 8) != checksum(b))
		return why_set(why, R_BAD_ARCHIVE, "a tar header's checksum is wrong");
	u->type = b[156] ? b[156] : '0';
	long long size = octal(b + 124, 12), mode = octal(b + 100, 8);
	u->mtime = octal(b + 136, 12);
	u->mode = mode & 07777;
	int is_name = read_name(b, is_gnu, u) == 0;
	str_escape(shown, sizeof shown, u->name, strlen(u->name));
	if (strchr("xgLKNSVMDXA", u->type))
		return why_set(why, R_BAD_ARCHIVE, "%s: an extended header (type %c), which a release does not have", shown, u->type);
	if (!is_name)
		return why_set(why, R_BAD_ARCHIVE, "a name that may lead out of the archive: %s", shown);
	if (size < 0 || mode < 0 || u->mtime < 0)
		return why_set(why, R_BAD_ARCHIVE, "%s: a number of its header cannot be read", shown);
	if (u->type != '0' && size)
		return why_set(why, R_BAD_ARCHIVE, "%s: data, but not a regular file", shown);
	u->size = size;
	return USTAR_ENTRY;
}

void ustar_write(unsigned char b[static USTAR_BLOCK], const char *name, long long size, long long mtime, unsigned mode)
{
	memset(b, 0, USTAR_BLOCK);
	str_copy((char *)b, 100, name);
	snprintf((char *)b + 100, 8, "%07o", mode & 07777);
	snprintf((char *)b + 108, 8, "%07o", 0);
	snprintf((char *)b + 116, 8, "%07o", 0);
	snprintf((char *)b + 124, 12, "%011llo", (unsigned long long)size & 077777777777);
	snprintf((char *)b + 136, 12, "%011llo", (unsigned long long)mtime & 077777777777);
	b[156] = '0';
	memcpy(b + 257, "ustar\00000", 8);
	snprintf((char *)b + 148, 8, "%06o", (unsigned)checksum(b) & 0777777);
	b[155] = ' ';
}
