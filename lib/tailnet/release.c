/* release - the Tailscale programs on this machine */
#include "release.h"
#include "file.h"
#include "str.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The real path of a file that can be executed, or -1. */
static int usable(const char *path, char *real, int size)
{
	char full[PATH_MAX];
	struct stat st;
	if (!realpath(path, full) || stat(full, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	if (access(full, X_OK) < 0)
		return -1;
	return str_copy(real, size, full);
}

static ssize_t read_head(int fd, void *p, size_t n)
{
	ssize_t got;
	do
		got = read(fd, p, n);
	while (got < 0 && errno == EINTR);
	return got;
}

static int check_program(const char *path, struct why *why)
{
	unsigned char h[20] = {0}, own[20] = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC), self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read_head(fd, h, sizeof h);
	if (self >= 0 && read_head(self, own, sizeof own) < 0)
		*own = 0;
	close(fd);
	close(self);
	if (n < 0)
		return why_errno(why, "read %s:", path);
	if (n >= 2 && !memcmp(h, "#!", 2)) {
		why_set(why, R_BAD_TAILSCALED, "%s is a script, and the confined daemon may execute nothing but itself", path);
		return why_hint(why, "set MOORBOX_TAILSCALED to the program itself; MOORBOX_PASS_ENV=NAME hands variables on to it");
	}
	if (n < (ssize_t)sizeof h || memcmp(h, ELFMAG, SELFMAG))
		return why_set(why, R_BAD_TAILSCALED, "%s is not a program", path);
	if (*own && (h[EI_CLASS] != own[EI_CLASS] || h[EI_DATA] != own[EI_DATA] || memcmp(h + 18, own + 18, 2))) {
		unsigned machine = h[EI_DATA] == ELFDATA2MSB ? h[18] << 8 | h[19] : h[19] << 8 | h[18];
		return why_set(why, R_BAD_TAILSCALED, "%s is for another architecture (ELF machine %u)", path, machine);
	}
	return 0;
}

static int in_path(char *real, int size)
{
	char path[PATH_MAX];
	return file_in_path("tailscaled", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin", path, sizeof path) < 0 ? -1
		: usable(path, real, size);
}

static int installed(char *real, int size)
{
	char path[PATH_MAX], self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n > 0) {
		self[n] = 0;
		char *bin = strrchr(self, '/');
		if (bin && (*bin = 0, str_fmt(path, sizeof path, "%s/../lib/moorbox/current/tailscaled", self) > 0)
			&& usable(path, real, size) >= 0)
			return 0;
	}
	if (usable("/usr/local/lib/moorbox/current/tailscaled", real, size) >= 0)
		return 0;
	const char *home = getenv("HOME");
	if (home && *home && str_fmt(path, sizeof path, "%s/.local/lib/moorbox/current/tailscaled", home) > 0)
		return usable(path, real, size);
	return -1;
}

int release_tailscaled(char *path, int size, struct why *why)
{
	const char *told = getenv("MOORBOX_TAILSCALED");
	if (told && *told) {
		if (usable(told, path, size) < 0) {
			why_set(why, errno == ENOENT ? R_NO_TAILSCALED : R_BAD_TAILSCALED, "MOORBOX_TAILSCALED=%s:", told);
			return -1;
		}
	} else if (installed(path, size) < 0 && in_path(path, size) < 0) {
		why_set(why, R_NO_TAILSCALED, "no tailscaled on this machine: not installed by moorbox, not in PATH");
		return why_hint(why, "run ts-install, or point at the program: MOORBOX_TAILSCALED=/path/to/tailscaled");
	}
	return check_program(path, why);
}

int release_check_version(const char *version, struct why *why)
{
	int major, minor;
	if (sscanf(version, "%d.%d.", &major, &minor) != 2 || major > 1 || minor >= RELEASE_OLDEST_MINOR)
		return 0;
	return why_set(why, R_TAILSCALED_OLD, "this tailscaled is %s; moorbox needs 1.%d or newer", version, RELEASE_OLDEST_MINOR);
}

int release_is_version(const char *v)
{
	for (int i = 0; i < 3; i++) {
		size_t n = strspn(v, "0123456789");
		if (!n || n > 9 || (n > 1 && *v == '0') || v[n] != (i < 2 ? '.' : 0))
			return 0;
		v += n + 1;
	}
	return 1;
}

int release_parts(const char *version, int *major, int *minor)
{
	*major = *minor = 0;
	return release_is_version(version) && sscanf(version, "%d.%d.", major, minor) == 2 ? 0 : -1;
}

static int compare_numbers(const char *a, size_t n, const char *b, size_t m)
{
	for (; n && *a == '0'; n--)
		a++;
	for (; m && *b == '0'; m--)
		b++;
	return n != m ? (n > m) - (n < m) : n ? memcmp(a, b, n) : 0;
}

int release_compare(const char *a, const char *b)
{
	static const char digits[] = "0123456789";
	while (*a || *b) {
		size_t n = strcspn(a, digits), m = strcspn(b, digits);
		int d = strncmp(a, b, n < m ? n : m);
		if (n != m || d)
			return d ? d : (n > m) - (n < m);
		a += n, b += m;
		n = strspn(a, digits), m = strspn(b, digits);
		if ((d = compare_numbers(a, n, b, m)))
			return d;
		if (!n != !m)		/* "12" is before "12.0", and nothing before "0" */
			return n ? 1 : -1;
		a += n, b += m;
	}
	return 0;
}

int release_installed(const char *prefix, char version[static 32])
{
	char path[PATH_MAX], target[PATH_MAX];
	*version = 0;
	ssize_t n = str_fmt(path, sizeof path, "%s/lib/moorbox/current", prefix) < 0 ? -1 : readlink(path, target, sizeof target - 1);
	if (n <= 0)
		return -1;
	target[n] = 0;
	const char *base = strrchr(target, '/');
	base = base ? base + 1 : target;
	return release_is_version(base) && str_copy(version, 32, base) >= 0 ? 0 : -1;
}

int release_check_downgrade(const char *version, const char *before, const char *what, struct why *why)
{
	if (!before || !*before || release_compare(version, before) >= 0)
		return 0;
	return why_set(why, R_DOWNGRADE, "%s is older than %s, %s", version, before, what);
}
