/* publish - what ts-serve is told to publish */
#include "publish.h"
#include "str.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int publish_is_port(const char *text)
{
	long long n;
	return str_num(text, 1, 65535, &n) == 0;
}

/* A URL of this machine, in the one form that tailscaled and our record have of it. */
static int read_url(struct mapping *m, const char *typed, struct why *why)
{
	const char *sep = strstr(typed, "://"), *host = sep ? sep + 3 : typed;
	size_t n = *host == '[' ? strcspn(host, "]") : strcspn(host, ":/");
	n += host[n] == ']';
	char name[64], scheme[24] = "http";
	const char *rest = host + n;
	int port = 0, len = 0;
	if (sep && (str_copy_slice(scheme, sizeof scheme, (struct slice){typed, sep - typed}) < 0
		|| (!str_eq(scheme, "http") && !str_eq(scheme, "https") && !str_eq(scheme, "https+insecure"))))
		return why_set(why, R_USAGE, "%s: not http://, https:// or https+insecure://", typed);
	if (str_copy_slice(name, sizeof name, (struct slice){host, n}) < 0 || (!str_eq(name, "localhost") && !str_eq(name, "[::1]")
		&& !(str_starts(name, "127.") && strspn(name, "0123456789.") == n)))
		return why_set(why, R_USAGE, "%s: not a server of this machine", typed);
	if (*rest == ':' && (sscanf(rest, ":%d%n", &port, &len) < 1 || port < 1 || port > 65535))
		return why_set(why, R_USAGE, "%s: the port is none", typed);
	rest += len;
	if (*rest && *rest != '/')
		return why_set(why, R_USAGE, "%s: not a URL that can be used", typed);
	if (!port)
		port = str_eq(scheme, "http") ? 80 : 443;
	if (str_fmt(m->target, sizeof m->target, "%s://%s:%d%s", scheme, str_eq(name, "localhost") ? "127.0.0.1" : name, port, rest) < 0)
		return why_set(why, R_USAGE, "the URL is too long");
	return 0;
}

static int read_tcp(struct mapping *m, const char *typed, struct why *why)
{
	char copy[80], *host;
	int port;
	if (publish_is_port(typed))
		str_fmt(m->target, sizeof m->target, "127.0.0.1:%s", typed);
	else if (str_copy(copy, sizeof copy, typed) >= 0 && str_host_port(copy, &host, &port) == 0
		&& (str_eq(host, "localhost") || str_eq(host, "127.0.0.1")))
		str_fmt(m->target, sizeof m->target, "127.0.0.1:%d", port);
	else
		return why_set(why, R_USAGE, "%s: not a port of this machine", typed);
	return 0;
}

static int read_file(struct mapping *m, const char *typed, int *is_dir, struct why *why)
{
	char real[PATH_MAX];
	if (!realpath(typed, real))
		return errno == ENOENT ? why_set(why, R_USAGE, "%s: there is no such file", typed) : why_errno(why, "%s:", typed);
	if (str_copy(m->target, sizeof m->target, real) < 0)
		return why_set(why, R_USAGE, "%s: the path is too long", typed);
	size_t n = strlen(real);
	char inside[PATH_MAX + 3];
	str_fmt(inside, sizeof inside, "%s/.", real);
	*is_dir = n && access(inside, F_OK) == 0;
	return 0;
}

static int read_web(struct mapping *m, const char *typed, int *is_dir, struct why *why)
{
	if (publish_is_port(typed)) {
		str_fmt(m->target, sizeof m->target, "http://127.0.0.1:%s", typed);
		return 0;
	}
	if (str_eq(typed, "text:"))
		return why_set(why, R_USAGE, "text: what text? tailscaled serves none that is empty");
	if (str_starts(typed, "text:") || str_starts(typed, "unix:/"))
		return str_copy(m->target, sizeof m->target, typed) < 0 ?
			why_set(why, R_USAGE, "text: and unix: take at most %d bytes", MAP_TARGET - 1) : 0;
	if (strstr(typed, "://") || str_starts(typed, "localhost:") || str_starts(typed, "127.0.0.1:") || *typed == '[')
		return read_url(m, typed, why);
	if (strchr(typed, '/') || access(typed, F_OK) == 0)
		return read_file(m, typed, is_dir, why);
	return why_set(why, R_USAGE, "%s: not a port, URL, file, directory, text:... or unix:/PATH", typed);
}

static const char in_paths[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/!$&'()*+,;=:@%";

int publish_read(const char *typed, const char *path, struct mapping *m, struct why *why)
{
	int is_dir = 0, is_web = mapping_is_web(m->kind);
	if ((is_web ? read_web(m, typed, &is_dir, why) : read_tcp(m, typed, why)) < 0)
		return -1;
	size_t n = strlen(path);
	if (*path != '/' || n > MAP_PATH - 2 || strspn(path, in_paths) != n)
		return why_set(why, R_USAGE, "--path %s: not a path such as /docs", path);
	if (is_web)
		str_fmt(m->path, sizeof m->path, "%s%s", path, is_dir && path[n - 1] != '/' ? "/" : "");
	return 0;
}
