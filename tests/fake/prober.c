/* prober - a tailscaled that tries what a confined one must not be able to, and says on stderr what came of it
 *
 * One line each: "what: ok", or the error's name. Arguments of tailscaled are understood as far as they are needed;
 * the targets come in variables that MOORBOX_PASS_ENV hands on. Then it waits to be ended. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *path(const char *dir, const char *name)
{
	static char text[2][4096];
	static int turn;
	turn = !turn;
	snprintf(text[turn], sizeof text[turn], "%s/%s", dir, name);
	return text[turn];
}

static void say(const char *what, int failed)
{
	dprintf(2, "%s: %s\n", what, failed ? strerrorname_np(errno) : "ok");
}

static void opens(const char *what, const char *file, int flags)
{
	int fd = file ? open(file, flags | O_CLOEXEC | O_NONBLOCK, 0600) : -1;
	if (!file)
		errno = EINVAL;
	say(what, fd < 0);
	close(fd);
}

static void runs(const char *what, char *program)
{
	char *argv[] = {program, NULL};
	int status = 0, pid = vfork();
	if (!pid) {
		execv(program, argv);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	errno = WEXITSTATUS(status);
	say(what, errno);
}

static void dials(const char *what, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	say(what, connect(fd, (struct sockaddr *)&to, sizeof to));
	close(fd);
}

static void dials_abstract(const char *what, const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(to.sun_path + 1, sizeof to.sun_path - 1, "%s", name ? name : "?");
	say(what, connect(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(to.sun_path + 1)));
	close(fd);
}

static void tells(void)
{
	char cwd[4096] = "?";
	struct rlimit core;
	sigset_t mask;
	int ignored = 0, blocked = 0;
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			dprintf(2, "fd: %d\n", fd);
	for (char **e = environ; *e; e++)
		dprintf(2, "env: %.*s\n", (int)strcspn(*e, "="), *e);
	getcwd(cwd, sizeof cwd);
	getrlimit(RLIMIT_CORE, &core);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < 32; i++) {
		struct sigaction sa;
		blocked += sigismember(&mask, i) == 1;
		ignored += sigaction(i, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL;
	}
	dprintf(2, "cwd: %s\nsession: %s\nno new privs: %d\ncore: %d\nsignals ignored: %d, blocked: %d\n", cwd,
		getsid(0) == getpid() ? "own" : "not own", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), (int)core.rlim_cur, ignored, blocked);
}

int main(int argc, char **argv)
{
	const char *node = ".", *other = getenv("PROBE_OTHER"), *pid = getenv("PROBE_PID");
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "--statedir=", 11))
			node = argv[i] + 11;
	tells();
	opens("write below its own", path(node, "new"), O_WRONLY | O_CREAT);
	opens("write beside it", "spec.json", O_WRONLY);
	opens("make a file beside it", "new", O_WRONLY | O_CREAT);
	opens("write elsewhere", path(other, "victim"), O_WRONLY);
	opens("make a file elsewhere", path(other, "new"), O_WRONLY | O_CREAT);
	opens("make a file in /tmp", "/tmp/moorbox-prober", O_WRONLY | O_CREAT);
	say("make a directory elsewhere", mkdir(path(other, "dir"), 0700));
	say("remove elsewhere", unlink(path(other, "victim")));
	say("truncate elsewhere", truncate(path(other, "victim"), 0));
	say("link out", link(path(node, "new"), path(other, "linked")));
	say("rename out", rename(path(node, "new"), path(other, "renamed")));
	opens("read its own", path(node, "new"), O_RDONLY);
	opens("read elsewhere", path(other, "victim"), O_RDONLY);
	opens("read the shadow file", "/etc/shadow", O_RDONLY);
	opens("read resolv.conf", "/etc/resolv.conf", O_RDONLY);
	opens("read another's environment", "/proc/1/environ", O_RDONLY);
	opens("list /", "/", O_RDONLY | O_DIRECTORY);
	opens("write /dev/null", "/dev/null", O_WRONLY);
	runs("run a shell", "/bin/sh");
	runs("run true", "/bin/true");
	say("signal another", kill(pid ? atoi(pid) : 1, 0));
	dials_abstract("dial an abstract socket", getenv("PROBE_ABSTRACT"));
	dials("dial a port", getenv("PROBE_PORT"));
	dials("dial an allowed port", getenv("PROBE_ALLOWED"));
	dprintf(2, "that was all\n");
	for (;;)
		pause();
}
