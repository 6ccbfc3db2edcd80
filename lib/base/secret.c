/* secret - text that must not leak */
#include "secret.h"
#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOT_MIN = 8 };	/* shorter texts would blot out ordinary words */

static struct secret *known;

void secret_no_core(void)
{
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

int secret_set(struct secret *s, const char *text, size_t len)
{
	/* pages of its own: locked if the limit allows, left out of cores */
	void *p = mmap(NULL, SECRET_MAX + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || len > SECRET_MAX) {
		if (p != MAP_FAILED)
			munmap(p, SECRET_MAX + 1);
		return -1;
	}
	madvise(p, SECRET_MAX + 1, MADV_DONTDUMP);
	mlock(p, len + 1);
	s->p = p;
	s->len = len;
	memcpy(s->p, text, len);
	s->next = known;
	known = s;
	err_blot = secret_blot;
	return 0;
}

void secret_free(struct secret *s)
{
	if (!s->p)
		return;
	for (struct secret **at = &known; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	explicit_bzero(s->p, s->len);
	munmap(s->p, SECRET_MAX + 1);
	*s = (struct secret){0};
}

void secret_blot(char *text)
{
	for (struct secret *s = known; s; s = s->next) {
		if (s->len < BLOT_MIN)
			continue;
		for (char *at; (at = strstr(text, s->p)); ) {
			memmove(at + 3, at + s->len, strlen(at + s->len) + 1);
			memcpy(at, "***", 3);
		}
	}
}

void secret_mask(const struct secret *s)
{
	char *line;
	if (!str_eq(getenv("GITHUB_ACTIONS"), "true") || !s->p || strpbrk(s->p, "\r\n"))
		return;
	line = xalloc(s->len * 3 + 16);
	char *at = stpcpy(line, "::add-mask::");
	for (const char *p = s->p; *p; p++)
		at = *p == '%' ? stpcpy(at, "%25") : (*at = *p, at + 1);
	*at++ = '\n';
	(void)!write(2, line, at - line);	/* not through err.h, which would blot it out */
	explicit_bzero(line, s->len * 3 + 16);
	free(line);
}

void secret_blot_shapes(char *text)
{
	static const char *const keys[] = {"tskey-", "hskey-"};
	for (int i = 0; i < 2; i++)
		for (char *p = text; (p = strstr(p, keys[i])); )
			for (p += 6; (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '_'; p++)
				*p = '*';
	for (char *p = text; (p = strstr(p, "://")); ) {
		p += 3;
		char *at = memrchr(p, '@', strcspn(p, "/?# \t\n\"'<>"));
		if (at)
			memset(p, '*', at - p);
	}
}

int secret_looks_literal(const char *src)
{
	return strstr(src, "tskey-") || strstr(src, "hskey-") || (strlen(src) >= 32 && strspn(src, "0123456789abcdef") == strlen(src));
}

/* Everything from a descriptor, at most SECRET_MAX bytes. */
static int read_fd(struct secret *s, int fd, const char *name, struct why *why)
{
	char *text = xalloc(SECRET_MAX + 2);
	size_t n = 0;
	int rc = 0;
	while (n <= SECRET_MAX) {
		ssize_t r = read(fd, text + n, SECRET_MAX + 1 - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			rc = why_errno(why, "read the secret from %s:", name);
		if (r <= 0)
			break;
		n += r;
	}
	if (!rc && n > SECRET_MAX)
		rc = why_set(why, R_TOO_BIG, "%s: larger than a secret can be (%d bytes)", name, SECRET_MAX);
	if (!rc && n && text[n - 1] == '\n') {
		n--;
		if (n && text[n - 1] == '\r')
			n--;
	}
	if (!rc && !n)
		rc = why_set(why, R_NO_SECRET, "%s: empty", name);
	if (!rc && secret_set(s, text, n) < 0)
		rc = why_set(why, R_RESOURCES, "no memory left");
	explicit_bzero(text, SECRET_MAX + 2);
	free(text);
	return rc;
}

static int from_env(struct secret *s, const char *name, struct why *why)
{
	char *value = getenv(name);
	if (!value)
		return why_set(why, R_NO_SECRET, "env:%s: the variable is not set", name);
	if (!*value)
		return why_set(why, R_NO_SECRET, "env:%s: the variable is empty", name);
	size_t n = strlen(value);
	if (secret_set(s, value, n) < 0)
		return why_set(why, R_TOO_BIG, "env:%s: larger than a secret can be (%d bytes)", name, SECRET_MAX);
	explicit_bzero(value, n);	/* the environment's own bytes: what /proc/PID/environ shows */
	unsetenv(name);
	return 0;
}

static int from_file(struct secret *s, const char *path, struct why *why)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return why_set(why, R_NO_SECRET, "file:%s: no such file", path);
	if (fd < 0)
		return why_errno(why, "file:%s:", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 044)
		warn("file:%s: others can read this secret (mode %04o); chmod 600 it", path, (unsigned)st.st_mode & 07777);
	int rc = read_fd(s, fd, path, why);
	close(fd);
	return rc;
}

int secret_get(struct secret *s, const char *src, struct why *why)
{
	long long fd;
	*s = (struct secret){0};
	if (str_eq(src, "-"))
		return read_fd(s, 0, "stdin", why);
	if (str_starts(src, "env:") && src[4])
		return from_env(s, src + 4, why);
	if (str_starts(src, "file:") && src[5])
		return from_file(s, src + 5, why);
	if (str_starts(src, "fd:")) {
		if (str_num(src + 3, 0, 1 << 20, &fd) < 0)
			return why_set(why, R_USAGE, "fd:N needs the number of a descriptor");
		char name[32];
		str_fmt(name, sizeof name, "fd:%lld", fd);
		int rc = read_fd(s, fd, name, why);
		if (fd > 2)
			close(fd);
		return rc;
	}
	if (secret_looks_literal(src)) {
		why_set(why, R_SECRET_IN_ARGV, "a secret on the command line can be read by every user of this machine");
		return why_hint(why, "put it into a variable and pass env:NAME, or into a file and pass file:PATH, or pipe it and pass -");
	}
	why_set(why, R_USAGE, "a secret is given as env:NAME, file:PATH, fd:N or - (stdin)");
	return -1;
}
