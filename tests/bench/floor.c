/* floor - the least that bringing nodes up can cost: tailscaled itself, and three requests to it
 *
 * usage: floor up DIR COUNT TAILSCALED CONTROL   the key is in $LAB_KEY
 * usage: floor out DIR                           logs all of them out, then SIGKILL
 * usage: floor term DIR                          SIGTERM, and waits until all have ended
 *
 * No records, no lock, no confinement, no checks, nothing that waits longer than it must. tailscaled's flags and
 * environment are those that ws-up gives. One node is driven by a loop that never sleeps, only yields; with more of them this
 * would take the processor away from what is measured, so the loop then rests when nothing moves: answers wake it, and new
 * sockets are looked for every 5 ms.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { NODES = 256 };
enum step { CONNECTING, STARTING, LOGGING_IN, WATCHING, RUNNING };

struct node {
	int pid, fd;
	enum step step;
	size_t len;
	char path[80], text[65536];
};

static struct node nodes[NODES];
static int count;

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void spawn(struct node *n, const char *dir, int i, const char *tailscaled)
{
	char home[64], statedir[100], sock[100], logs[100], log[100], home_is[100];
	snprintf(home, sizeof home, "%s/%d", dir, i);
	snprintf(n->path, sizeof n->path, "%s/sock", home);
	snprintf(log, sizeof log, "%s/log", home);
	snprintf(statedir, sizeof statedir, "--statedir=%s", home);
	snprintf(sock, sizeof sock, "--socket=%s", n->path);
	snprintf(logs, sizeof logs, "TS_LOGS_DIR=%s", home);
	/* FLOOR_LOGS: as tailscaled is started by default, with its log upload on; here to an address where nobody is */
	int usual = getenv("FLOOR_LOGS") != NULL;
	char *argv[] = {"tailscaled", statedir, sock, "--tun=userspace-networking", "--port=0", "--state=mem:",
		usual ? NULL : "--no-logs-no-support", NULL};
	char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", usual ? "TS_LOG_TARGET=http://127.0.0.1:9" : "TS_NO_LOGS_NO_SUPPORT=true",
		"TS_DISABLE_TAILDROP=1", "TS_DISABLE_SSH_SERVER=1", logs, NULL, NULL};
	snprintf(home_is, sizeof home_is, "HOME=%s", home);
	env[5] = home_is;
	mkdir(home, 0700);
	n->fd = -1;
	n->pid = fork();
	if (n->pid < 0)
		fail("fork");
	if (n->pid)
		return;
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDONLY);
	dup2(null, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	setsid();
	execve(tailscaled, argv, env);
	_exit(127);
}

static int reach(const char *path, int flags)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void request(struct node *n, const char *method, const char *what, const char *body)
{
	char text[2048];
	int len = snprintf(text, sizeof text, "%s /localapi/v0/%s HTTP/1.1\r\nHost: local-tailscaled.sock\r\nContent-Length: %zu\r\n\r\n%s",
		method, what, strlen(body), body);
	n->len = 0;
	if (write(n->fd, text, len) != len)
		fail(what);
}

static void ask_start(struct node *n, const char *control)
{
	char body[1500];
	snprintf(body, sizeof body, "{\"UpdatePrefs\":{\"ControlURL\":\"%s\",\"CorpDNS\":true,\"WantRunning\":true,\"ShieldsUp\":true,"
		"\"Hostname\":\"floor-%d\",\"NoStatefulFiltering\":true,\"NetfilterMode\":2},\"AuthKey\":\"%s\"}",
		control, n->pid, getenv("LAB_KEY"));
	request(n, "POST", "start", body);
}

/* Goes on as far as it can; 1 when something has moved. */
static int move(struct node *n, const char *control)
{
	if (n->step == CONNECTING) {
		n->fd = reach(n->path, SOCK_NONBLOCK);
		if (n->fd < 0)
			return 0;
		ask_start(n, control);
		n->step = STARTING;
		return 1;
	}
	ssize_t got = read(n->fd, n->text + n->len, sizeof n->text - 1 - n->len);
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got <= 0)
		fail("tailscaled ended the connection");
	n->text[n->len += got] = 0;
	switch (n->step) {
	case STARTING: case LOGGING_IN:
		if (!strstr(n->text, "\r\n\r\n"))
			return 1;
		if (strncmp(n->text, "HTTP/1.1 20", 11))
			fail(n->text);
		if (n->step++ == STARTING)
			request(n, "POST", "login-interactive", "");
		else
			request(n, "GET", "watch-ipn-bus?mask=2", "");
		return 1;
	default:
		if (strstr(n->text, "\"State\":6"))
			n->step = RUNNING;
		else if (n->len > sizeof n->text - 4096) {	/* enough for a word that is cut in two */
			memmove(n->text, n->text + n->len - 32, 33);
			n->len = 32;
		}
		return 1;
	}
}

static void up(const char *dir, const char *tailscaled, const char *control)
{
	static struct pollfd fds[NODES];
	char path[200];
	snprintf(path, sizeof path, "%s/pids", dir);
	for (int i = 0; i < count; i++)
		spawn(&nodes[i], dir, i, tailscaled);
	for (int left = count; left; ) {
		int moved = 0;
		left = 0;
		for (int i = 0; i < count; i++) {
			struct node *n = &nodes[i];
			if (n->step != RUNNING)
				moved |= move(n, control);
			fds[i] = (struct pollfd){.fd = n->step == RUNNING ? -1 : n->fd, .events = POLLIN};
			left += n->step != RUNNING;
		}
		if (!moved && count > 1)
			poll(fds, count, 5);
		else if (!moved)
			sched_yield();
	}
	FILE *f = fopen(path, "w");
	for (int i = 0; f && i < count; i++)
		fprintf(f, "%d %s\n", nodes[i].pid, nodes[i].path);
	if (!f || fclose(f))
		fail(path);
}

static void load(const char *dir)
{
	char path[200];
	snprintf(path, sizeof path, "%s/pids", dir);
	FILE *f = fopen(path, "r");
	while (f && count < NODES && fscanf(f, "%d %79s", &nodes[count].pid, nodes[count].path) == 2)
		count++;
	if (!count)
		fail(path);
	fclose(f);
	unlink(path);
}

/* They are not our children: a pidfd tells when one has ended. */
static void end(int sig)
{
	int fds[NODES];
	for (int i = 0; i < count; i++) {
		fds[i] = syscall(434, nodes[i].pid, 0);		/* pidfd_open */
		kill(nodes[i].pid, sig);
	}
	for (int i = 0; i < count; i++) {
		struct pollfd p = {.fd = fds[i], .events = POLLIN};
		if (fds[i] >= 0 && poll(&p, 1, 30000) != 1)
			fail("a tailscaled does not end");
	}
}

static void out(void)
{
	for (int i = 0; i < count; i++) {
		if ((nodes[i].fd = reach(nodes[i].path, 0)) >= 0)
			request(&nodes[i], "POST", "logout", "");
	}
	for (int i = 0; i < count; i++)
		if (nodes[i].fd >= 0)
			(void)!read(nodes[i].fd, nodes[i].text, sizeof nodes[i].text);
	end(SIGKILL);
}

int main(int argc, char **argv)
{
	signal(SIGCHLD, SIG_IGN);
	if (argc == 6 && !strcmp(argv[1], "up") && (count = atoi(argv[3])) > 0 && count <= NODES && getenv("LAB_KEY"))
		up(argv[2], argv[4], argv[5]);
	else if (argc == 3 && !strcmp(argv[1], "out"))
		load(argv[2]), out();
	else if (argc == 3 && !strcmp(argv[1], "term"))
		load(argv[2]), end(SIGTERM);
	else
		return 2;
	return 0;
}
