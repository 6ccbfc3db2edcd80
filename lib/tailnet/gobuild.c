/* gobuild - Tailscale's programs built by the machine's own go */
#include "gobuild.h"
#include "alloc.h"
#include "buf.h"
#include "contents.h"
#include "file.h"
#include "proc.h"
#include "release.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { OUTPUT_MAX = 1 << 18, TRIES = 12, VERSIONS = 512 };
#define MODULE "tailscale.com"

/* Runs go in dir; what it prints, if that is wanted. stderr is the user's. */
static int run(const struct gobuild *g, const char *const *args, struct buf *out, struct why *why)
{
	char bin[4200];
	const char *const own[] = {"GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-mod=mod", "CGO_ENABLED=0", "GO111MODULE=on", bin, NULL};
	const char *argv[16] = {"go"};
	int n = 0, kept = -1, fd = -1;
	str_fmt(bin, sizeof bin, "GOBIN=%s", g->dir);
	while (environ[n])
		n++;
	char **env = xalloc((n + 8) * sizeof *env);
	n = 0;
	for (char **e = environ; *e; e++) {
		int is_own = str_starts(*e, "GOOS=") || str_starts(*e, "GOARCH=");
		for (int i = 0; own[i]; i++)
			is_own |= !strncmp(*e, own[i], strcspn(own[i], "=") + 1);
		if (!is_own)
			env[n++] = *e;
	}
	for (int i = 0; own[i]; i++)
		env[n++] = (char *)own[i];
	for (int i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	if (out) {
		fd = open(g->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		kept = fcntl(1, F_DUPFD_CLOEXEC, 3);
		if (fd < 0 || kept < 0 || dup2(fd, 1) < 0)
			return why_errno(why, "%s:", g->dir);
	}
	struct proc_cmd cmd = {.argv = (char *const *)argv, .env = env, .cwd = g->dir, .watch = -1};
	int rc = proc_run(&cmd, why);
	if (out) {
		char piece[4096];
		dup2(kept, 1);
		close(kept);
		out->max = OUTPUT_MAX;
		lseek(fd, 0, SEEK_SET);
		for (ssize_t got; (got = read(fd, piece, sizeof piece)) > 0; )
			buf_add(out, piece, got);
		close(fd);
	}
	free(env);
	return rc;
}

static char *line(char **text)
{
	char *p = *text, *end = p + strcspn(p, "\n");
	*text = *end ? end + 1 : end;
	*end = 0;
	return p;
}

static int look_at_go(struct gobuild *g, struct why *why)
{
	static const char *const args[] = {"env", "GOVERSION", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", NULL};
	struct buf out = {0};
	int rc = run(g, args, &out, why);
	if (rc) {
		buf_free(&out);
		return why_set(why, R_NO_GO, rc < 0 ? "there is no go on this machine" : "go does not work here");
	}
	buf_ch(&out, 0);
	char *p = out.p, *v = line(&p), *db = line(&p), *except = line(&p), *none = line(&p);
	str_copy(g->go, sizeof g->go, str_starts(v, "go") ? v + 2 : v);
	int off = !*db || str_eq(db, "off") || strstr(except, MODULE) || str_eq(except, "*") || *none;
	str_copy_slice(g->sumdb, sizeof g->sumdb, (struct slice){db, off ? 0 : strcspn(db, "+ ")});
	buf_free(&out);
	return 0;
}

/* 1: this go is new enough for that version, 0: it is not, -1 */
static int can_build(const struct gobuild *g, const char *version, struct why *why)
{
	char module[64];
	const char *const args[] = {"list", "-m", "-f", "{{.GoVersion}}", module, NULL};
	struct buf out = {0};
	str_fmt(module, sizeof module, MODULE "@v%s", version);
	int rc = run(g, args, &out, why);
	buf_ch(&out, 0);
	char *p = out.p, *wants = line(&p);
	int can = *wants && release_compare(wants, g->go) <= 0;	/* go leaves it out where it is too new for itself */
	buf_free(&out);
	return rc ? why_set(why, R_NO_RELEASE, "go cannot have %s", module) : can;
}

/* `go list` says nothing both of a version that is too new for it and of one whose go.mod it cannot have or verify; `go mod
 * download` says it on stderr. */
static int let_go_say(const struct gobuild *g, const char *version, struct why *why)
{
	char module[64];
	const char *const args[] = {"mod", "download", module, NULL};
	str_fmt(module, sizeof module, MODULE "@v%s", version);
	return run(g, args, NULL, why) ? why_set(why, R_NO_GO, "go %s cannot build %s; what it said is above", g->go, version) :
		why_set(why, R_NO_GO, "%s wants a newer go than %s", version, g->go);
}

static int newest_first(const void *a, const void *b)
{
	return release_compare(*(const char *const *)b, *(const char *const *)a);
}

static int find_newest(struct gobuild *g, struct why *why)
{
	static const char *const args[] = {"list", "-m", "-versions", MODULE, NULL};
	struct buf out = {0};
	char *found[VERSIONS], *save = NULL;
	int n = 0, rc = run(g, args, &out, why), major, minor;
	if (rc) {
		buf_free(&out);
		return why_set(why, R_NO_RELEASE, "go's module proxy does not say which versions there are");
	}
	buf_ch(&out, 0);
	for (char *v = strtok_r(out.p, " \n", &save); v && n < VERSIONS; v = strtok_r(NULL, " \n", &save))
		if (*v == 'v' && release_parts(v + 1, &major, &minor) == 0 && !(minor & 1) && minor >= RELEASE_OLDEST_MINOR)
			found[n++] = v + 1;
	qsort(found, n, sizeof *found, newest_first);
	rc = -1;
	for (int i = 0; i < n && i < TRIES && rc < 0; i++) {
		int can = can_build(g, found[i], why);
		if (can < 0) {
			buf_free(&out);
			return -1;
		}
		if (can && str_copy(g->version, sizeof g->version, found[i]) >= 0)
			rc = 0;
	}
	if (rc && n)
		let_go_say(g, found[0], why);
	if (rc)
		why_set(why, R_NO_RELEASE, "go %s builds none of the newest %d versions%s", g->go, TRIES,
			n ? "; what it said of the newest is above" : "");
	buf_free(&out);
	return rc;
}

int gobuild_look(struct gobuild *g, struct why *why)
{
	if (look_at_go(g, why) < 0)
		return -1;
	if (!*g->version)
		return find_newest(g, why);
	int can = can_build(g, g->version, why);
	return can > 0 ? 0 : can < 0 ? -1 : let_go_say(g, g->version, why);
}

int gobuild_make(const struct gobuild *g, int fd, unsigned parts, struct why *why)
{
	char stamp[200], daemon[80], command[80];
	const char *args[] = {"install", "-trimpath", "-buildvcs=false", "-tags", "ts_debug_websockets", "-ldflags", stamp, daemon,
		parts & CONTENTS_TAILSCALE ? command : NULL, NULL};
	str_fmt(stamp, sizeof stamp, "-s -w -X tailscale.com/version.longStamp=%s -X tailscale.com/version.shortStamp=%s",
		g->version, g->version);
	str_fmt(daemon, sizeof daemon, MODULE "/cmd/tailscaled@v%s", g->version);
	str_fmt(command, sizeof command, MODULE "/cmd/tailscale@v%s", g->version);
	int rc = run(g, args, NULL, why);
	if (rc)
		return why_set(why, R_BUILD_FAILED, "go could not build %s; what it said is above", g->version);
	static const char *const names[] = {"tailscaled", "tailscale"};
	for (int i = 0; i < (parts & CONTENTS_TAILSCALE ? 2 : 1); i++) {
		int p = openat(fd, names[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		int bad = p < 0 || fchmod(p, 0755) < 0;
		if (bad)
			rc = why_errno(why, "write %s:", names[i]);
		if (p >= 0)
			close(p);
	}
	return rc;
}
