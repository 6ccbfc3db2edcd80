/* a tailscaled that is none; $FAKE says what it does. To be linked statically: it runs confined. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void answer(int fd, const char *version)
{
	char in[4096], body[256], out[512];
	if (read(fd, in, sizeof in) <= 0) {	/* somebody who only looks whether we listen */
		close(fd);
		return;
	}
	snprintf(body, sizeof body, "{\"Version\":\"%s\",\"BackendState\":\"NeedsLogin\",\"HaveNodeKey\":false}", version);
	int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		strlen(body), body);
	(void)!write(fd, out, n);
	close(fd);
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	strncpy(sa.sun_path, path, sizeof sa.sun_path - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 8) < 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	const char *fake = getenv("FAKE"), *path = "";
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "--socket=", 9))
			path = argv[i] + 9;
	signal(SIGPIPE, SIG_IGN);
	if (!fake || !strcmp(fake, "silent"))
		return 1;
	if (!strcmp(fake, "words")) {
		fputs("2026/11/25 09:00:00 logtail started\n2026/11/25 09:00:00 one thing\nanother \033[1mthing\n", stderr);
		return 1;
	}
	if (!strcmp(fake, "crash"))
		abort();
	if (!strcmp(fake, "hang")) {
		sleep(600);
		return 1;
	}
	if (!strcmp(fake, "much")) {
		char line[1000];
		memset(line, 'x', sizeof line);
		line[sizeof line - 1] = '\n';
		for (int i = 0; i < 100000; i++)
			if (write(2, line, sizeof line) < 0)
				return 1;
		sleep(600);
		return 1;
	}
	for (int l = listen_at(path), fd; (fd = accept(l, NULL, NULL)) >= 0; ) {
		if (!strcmp(fake, "mute"))
			continue;
		if (!strcmp(fake, "garbage")) {
			(void)!write(fd, "\0\1\2 garbage\r\n\r\n", 16);
			close(fd);
			continue;
		}
		answer(fd, fake);	/* a version */
	}
	return 1;
}
