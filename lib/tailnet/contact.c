/* contact - a node's tailscaled, also after it has started anew */
#include "contact.h"
#include "clock.h"
#include "dial.h"
#include "str.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int contact_open(struct contact *c, const char *name, const char *socket, struct why *why)
{
	*c = (struct contact){.stat_fd = -1};
	if (node_find(&c->node, name, socket, why) < 0)
		return -1;
	str_copy(c->name, sizeof c->name, c->node.name);
	return 0;
}

void contact_close(struct contact *c)
{
	if (c->stat_fd >= 0)
		close(c->stat_fd);
	node_close(&c->node);
}

/* All threads of a dying process are marked before its sockets are closed: whoever sees the end of a stream sees this. */
int contact_is_alive(const struct contact *c)
{
	enum { PF_EXITING = 4 };
	char text[512];
	unsigned long flags = 0;
	char state = 0;
	if (c->stat_fd < 0)
		return 1;
	ssize_t n = pread(c->stat_fd, text, sizeof text - 1, 0);
	if (n <= 0)
		return 0;
	text[n] = 0;
	const char *p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %lu", &state, &flags) != 2)
		return 1;
	return state != 'Z' && state != 'X' && !(flags & PF_EXITING);
}

static void know_daemon(struct contact *c, int fd)
{
	char path[64];
	pid_t pid;
	uid_t uid;
	if (dial_peer(fd, &pid, &uid) || pid == c->pid)
		return;
	if (c->stat_fd >= 0)
		close(c->stat_fd);
	str_fmt(path, sizeof path, "/proc/%d/stat", (int)pid);
	c->stat_fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	c->pid = pid;
}

/* When nobody is there, the record may tell of a new one. */
int contact_reach(struct contact *c, struct why *why)
{
	struct node other;
	struct why ignored;
	int fd = dial_unix(c->node.api.dir, c->node.api.path, &c->node.api.who, clock_ms(), why);
	if (fd < 0 && (why->reason == R_NOT_UP || why->reason == R_SOCKET_FOREIGN) && c->node.is_ws
		&& node_find(&other, c->name, NULL, &ignored) == 0) {
		node_close(&c->node);
		c->node = other;
		fd = dial_unix(c->node.api.dir, c->node.api.path, &c->node.api.who, clock_ms(), why);
	}
	if (fd >= 0)
		know_daemon(c, fd);
	return fd;
}

int contact_may_return(const struct why *why)
{
	switch (why->reason) {
	case R_NOT_UP: case R_LOST: case R_DEADLINE: case R_SOCKET_FOREIGN:
		return 1;
	default:
		return 0;
	}
}
