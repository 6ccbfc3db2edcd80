/* pair - what ts-forward is told */
#include "pair.h"
#include "alloc.h"
#include "str.h"
#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int no_pair(const char *text, struct why *why)
{
	return why_set(why, R_USAGE, "%s: not [[BIND:]LPORT:]HOST:PORT", text);
}

static int is_address(const char *text, char dst[static 128])
{
	unsigned char ip[16];
	size_t n = strlen(text);
	int v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
	struct slice bare = { text + v6, n - 2 * (size_t)v6 };
	if (str_eq(text, "localhost"))
		bare = (struct slice){ "127.0.0.1", 9 };
	return str_copy_slice(dst, 128, bare) >= 0 && inet_pton(v6 ? AF_INET6 : AF_INET, dst, ip) == 1;
}

/* local is cut to pieces; text is the whole, for what is said of it. */
static int read_local(char *local, const char *text, struct forward *f, struct why *why)
{
	long long n;
	char *colon = strrchr(local, ':'), *digits = colon ? colon + 1 : local;
	str_copy(f->address, sizeof f->address, "127.0.0.1");
	if (!*digits)
		return no_pair(text, why);
	if (str_num(digits, 0, 65535, &n) < 0)
		return why_set(why, R_USAGE, "%s: %s is no port (0 to 65535)", text, digits);
	f->port = (int)n;
	if (!colon)
		return 0;
	*colon = 0;
	return is_address(local, f->address) ? 0 :
		why_set(why, R_USAGE, "%s: %s is no address to listen on (127.0.0.1, 0.0.0.0, [::1]...)", text, local);
}

static int read_path(const char *path, const char *text, struct forward *f, struct why *why)
{
	char here[PATH_MAX];
	str_copy(f->address, sizeof f->address, "unix");
	int rc = -1;
	if (*path == '/')
		rc = str_copy(f->path, sizeof f->path, path);
	else if (*path && getcwd(here, sizeof here))
		rc = str_fmt(f->path, sizeof f->path, "%s/%s", here, path);
	return rc < 0 ? why_set(why, R_USAGE, "%s: no path for the socket, or one that is too long", text) : 0;
}

/* What stands before :PORT: the host is taken from its end, and what is before that is left, NULL without any. -1: no host. */
static int split_host(char *rest, char **local, struct slice *host)
{
	size_t n = strlen(rest);
	int bracketed = n && rest[n - 1] == ']';
	char *at = strrchr(rest, bracketed ? '[' : ':');
	if (!bracketed)
		at = at ? at + 1 : rest;
	if (!at || !*at || (at > rest && at[-1] != ':'))
		return -1;
	n = strlen(at);
	int in = *at == '[';
	if (in && (!bracketed || n < 3))
		return -1;
	*host = (struct slice){ at + in, n - 2 * in };
	*local = at > rest ? rest : NULL;
	if (*local)
		at[-1] = 0;
	return 0;
}

static int read_pair(char *copy, const char *text, struct forward *f, struct why *why)
{
	char *colon = strrchr(copy, ':'), *local;
	struct slice host;
	long long n;
	if (!colon || str_num(colon + 1, 1, 65535, &n) < 0)
		return no_pair(text, why);
	*colon = 0;
	f->to = (int)n;
	if (split_host(copy, &local, &host) < 0)
		return no_pair(text, why);
	if (str_copy_slice(f->host, sizeof f->host, host) < 0)
		return why_set(why, R_USAGE, "%s: the name is too long", text);
	if (local && str_starts(local, "unix:"))
		return read_path(local + 5, text, f, why);
	if (local)
		return read_local(local, text, f, why);
	str_copy(f->address, sizeof f->address, "127.0.0.1");
	return 0;
}

int pair_read(const char *text, struct forward *f, struct why *why)
{
	char *copy = xstrdup(text);
	*f = (struct forward){0};
	int rc = read_pair(copy, text, f, why);
	free(copy);
	return rc;
}

int pair_local(const char *text, struct forward *f, struct why *why)
{
	char *copy = xstrdup(text);
	*f = (struct forward){0};
	int rc = read_local(copy, text, f, why);
	free(copy);
	return rc;
}

int pair_is_open(const struct forward *f)
{
	return !*f->path && !str_eq(f->address, "::1") && !str_starts(f->address, "127.");
}
