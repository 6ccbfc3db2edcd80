/* clone - a repository in a workspace's src/ */
#include "clone.h"
#include "alloc.h"
#include "file.h"
#include "http.h"
#include "proc.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE ".clone"	/* of which src becomes part when it is whole */

extern char **environ;

static int is_ours(const char *var, const char *const *key_srcs)
{
	static const char *const names[] = {
		"TS_AUTHKEY=", "TS_AUTH_KEY=", "PERRY_TAILSCALE_AUTH_KEY=", "TS_CLIENT_SECRET=", "TS_ID_TOKEN=",
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_starts(var, names[i]))
			return 1;
	for (; *key_srcs; key_srcs++) {
		const char *env = strstr(*key_srcs, "env:");
		size_t n = env ? strlen(env + 4) : 0;
		if (n && !strncmp(var, env + 4, n) && var[n] == '=')
			return 1;
	}
	return 0;
}

/* A transfer that has come to a stop ends, and nobody is asked where nobody can answer. */
static char **git_env(const char *const *key_srcs)
{
	size_t n = 0, count = 0;
	while (environ[count])
		count++;
	char **env = xalloc((count + 4) * sizeof *env);
	if (!getenv("GIT_HTTP_LOW_SPEED_LIMIT")) {
		env[n++] = "GIT_HTTP_LOW_SPEED_LIMIT=1000";
		env[n++] = "GIT_HTTP_LOW_SPEED_TIME=60";
	}
	if (!isatty(0))
		env[n++] = "GIT_TERMINAL_PROMPT=0";
	for (size_t i = 0; i < count; i++)
		if (!is_ours(environ[i], key_srcs))
			env[n++] = environ[i];
	return env;
}

static int run_git(char *const *argv, char *const *env, const char *cwd, struct why *why)
{
	struct proc_cmd cmd = {.argv = argv, .env = env, .cwd = cwd, .watch = -1};
	int out = fcntl(1, F_DUPFD_CLOEXEC, 3);
	if (out < 0 || dup2(2, 1) < 0)	/* stdout is for our record */
		return why_errno(why, "start git:");
	int status = proc_run(&cmd, why);
	dup2(out, 1);
	close(out);
	return status;
}

int clone_get(const struct ws *ws, const char *url, int depth, const char *const *key_srcs, struct why *why)
{
	char cwd[40], number[16], shown[300];
	char *argv[10];
	int n = 0;
	struct stat st;
	struct why ignored;
	if (fstatat(ws->dir, "src", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (file_remove_tree(ws->dir, ASIDE, why) < 0)
		return -1;
	if (mkdirat(ws->dir, ASIDE, 0700) < 0)
		return why_errno(why, "make %s/" ASIDE ":", ws->name);
	argv[n++] = "git";
	argv[n++] = "clone";
	if (err_quiet)
		argv[n++] = "-q";
	if (depth) {
		str_fmt(number, sizeof number, "--depth=%d", depth);
		argv[n++] = number;
	}
	argv[n++] = "--";
	argv[n++] = (char *)url;
	argv[n++] = "src";
	argv[n] = NULL;
	str_fmt(cwd, sizeof cwd, "/proc/%d/fd/%d/" ASIDE, (int)getpid(), ws->dir);
	char **env = git_env(key_srcs);
	int status = run_git(argv, env, cwd, why);
	free(env);
	if (status < 0 && why->reason == R_NO_COMMAND) {
		why_set(why, R_NO_GIT, "--clone: git is not here");
		why_hint(why, "install git, or clone by hand into the workspace's src");
	} else if (status > 0)
		status = why_set(why, R_CLONE_FAILED, "git could not clone %s (it ended with status %d)",
			http_redact_url(shown, sizeof shown, url), status);
	else if (!status && renameat(ws->dir, ASIDE "/src", ws->dir, "src") < 0)
		status = why_errno(why, "move the clone to %s/src:", ws->name);
	file_remove_tree(ws->dir, ASIDE, &ignored);
	return status < 0 ? -1 : 1;
}
