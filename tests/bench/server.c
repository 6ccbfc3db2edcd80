/* server - what is at the other end of ts-nc: a port that gives, one that takes, one that says a byte, one that echoes one
 *
 * usage: server MIB
 *
 * Prints four ports of 127.0.0.1, tabs between them: the first sends MIB and closes; the second reads MIB and then
 * closes; the third sends one byte and closes; the fourth sends back what it gets, a byte, until the other side closes.
 * Runs until it is ended.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };
enum what { GIVE, TAKE, BYTE, ECHO };

static char chunk[CHUNK];

static int listen_any(int *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) || listen(fd, 64) || getsockname(fd, (struct sockaddr *)&sa, &len))
		exit(1);
	*port = ntohs(sa.sin_port);
	return fd;
}

static void serve(int fd, enum what what, long long left)
{
	if (what == BYTE) {
		(void)!write(fd, "x", 1);
		return;
	}
	if (what == ECHO) {
		while (read(fd, chunk, 1) == 1 && write(fd, chunk, 1) == 1)
			;
		return;
	}
	while (left > 0) {
		size_t want = left < CHUNK ? left : CHUNK;
		ssize_t n = what == GIVE ? write(fd, chunk, want) : read(fd, chunk, want);
		if (n <= 0)
			return;
		left -= n;
	}
}

int main(int argc, char **argv)
{
	int fds[4], ports[4];
	long long size = argc == 2 ? atoll(argv[1]) << 20 : 0;
	if (size <= 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 4; i++)
		fds[i] = listen_any(&ports[i]);
	printf("%d\t%d\t%d\t%d\n", ports[0], ports[1], ports[2], ports[3]);
	fclose(stdout);
	for (int i = 0; i < 4; i++)
		if (i != BYTE && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			for (int fd; (fd = accept(fds[i], NULL, NULL)) >= 0; close(fd))
				serve(fd, i, size);
			return 0;
		}
	for (int fd; (fd = accept(fds[2], NULL, NULL)) >= 0; close(fd))
		serve(fd, BYTE, 0);
	return 0;
}
