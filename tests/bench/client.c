/* client - the other end of server.c: the least that a way through the tailnet could cost
 *
 * usage: client WAY KIND MIB|ROUNDS
 *
 * WAY   socket:PATH:HOST:PORT    LocalAPI dial, by hand: no process between
 *       tcp:PORT                 127.0.0.1
 *       socks:PORT:HOST:PORT     by a SOCKS5 proxy on 127.0.0.1
 * KIND  give   read MIB of what is given, then the end
 *       take   send MIB, wait for the end
 *       echo   connect, send a byte, get it back, ROUNDS times: prints the time of one
 *       idle   ROUNDS connections that stay open until stdin ends; prints a line when they are there
 *
 * Prints: microseconds, a tab, 0.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char room[1 << 16], early[4096];
static size_t early_len;

static void need(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "client: %s\n", what);
	exit(1);
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_tcp(int port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	need(fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof sa), "cannot connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return fd;
}

static int by_socket(const char *path, const char *host, const char *port)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char head[600];
	size_t len = 0;
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	need(fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof sa), "cannot connect");
	int n = snprintf(head, sizeof head, "POST /localapi/v0/dial HTTP/1.1\r\nHost: local-tailscaled.sock\r\nConnection: upgrade\r\n"
		"Upgrade: ts-dial\r\nDial-Host: %s\r\nDial-Port: %s\r\nContent-Length: 0\r\n\r\n", host, port);
	need(write(fd, head, (size_t)n) == n, "cannot ask");
	char *end = NULL;
	while (!end) {
		ssize_t got = read(fd, early + len, sizeof early - len - 1);
		need(got > 0, "no answer");
		len += (size_t)got;
		early[len] = 0;
		end = strstr(early, "\r\n\r\n");
	}
	need(strstr(early, " 101 ") != NULL, "refused");
	early_len = len - (size_t)(end + 4 - early);
	return fd;
}

static int by_socks(int port, const char *host, int to)
{
	unsigned char ask[300] = {5, 1, 0}, got[300];
	size_t n = strlen(host);
	int fd = by_tcp(port);
	need(write(fd, ask, 3) == 3 && read(fd, got, 2) == 2 && !got[1], "SOCKS: hello");
	memcpy(ask, "\5\1\0\3", 4);
	ask[4] = (unsigned char)n;
	memcpy(ask + 5, host, n);
	ask[5 + n] = (unsigned char)(to >> 8);
	ask[6 + n] = (unsigned char)to;
	need(write(fd, ask, 7 + n) == (ssize_t)(7 + n), "SOCKS: request");
	need(recv(fd, got, 4, MSG_WAITALL) == 4 && !got[1], "SOCKS: refused");
	size_t rest = got[3] == 4 ? 18 : 6;
	need(recv(fd, got, rest, MSG_WAITALL) == (ssize_t)rest, "SOCKS: reply");
	return fd;
}

static int go(const char *way)
{
	char text[500], *part[4] = {0}, *next = text;
	snprintf(text, sizeof text, "%s", way);
	for (int i = 0; i < 4 && next; i++)
		part[i] = strsep(&next, ":");
	early_len = 0;
	if (!strcmp(part[0], "tcp"))
		return by_tcp(atoi(part[1]));
	need(part[3] != NULL, "WAY: a part is missing");
	return part[0][2] == 'c' && part[0][3] == 'k' && part[0][4] == 'e' ? by_socket(part[1], part[2], part[3]) : by_socks(atoi(part[1]), part[2], atoi(part[3]));
}

int main(int argc, char **argv)
{
	need(argc == 4, "usage: client WAY KIND MIB|ROUNDS");
	long long count = atoll(argv[3]), bytes = count << 20, moved = 0;
	double began = now_us();
	int fd;
	if (!strcmp(argv[2], "echo")) {
		for (int i = 0; i < count; i++) {
			fd = go(argv[1]);
			need(write(fd, "x", 1) == 1 && read(fd, room, 1) == 1, "no byte");
			close(fd);
		}
		printf("%.1f\t0\n", (now_us() - began) / (double)count);
		return 0;
	}
	if (!strcmp(argv[2], "idle")) {
		for (int i = 0; i < count; i++)
			go(argv[1]);
		puts("ready");
		fflush(stdout);
		while (read(0, room, sizeof room) > 0)
			;
		return 0;
	}
	fd = go(argv[1]);
	began = now_us();
	if (!strcmp(argv[2], "give")) {
		moved = (long long)early_len;
		for (ssize_t n; (n = read(fd, room, sizeof room)) > 0; )
			moved += n;
		need(moved == bytes, "not all of it came");
	} else {
		while (moved < bytes) {
			ssize_t n = write(fd, room, sizeof room);
			need(n > 0, "not all of it went");
			moved += n;
		}
		need(read(fd, room, 1) <= 0 || 1, "");
	}
	printf("%.0f\t0\n", now_us() - began);
	return 0;
}
