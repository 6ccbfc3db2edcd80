/* ws-log - show a workspace's tailscaled log
 *
 * usage: ws-log [-Fqv] [-n LINES] NAME
 *
 * -F, --follow       go on printing what is added, until the workspace's tailscaled has ended
 * -n, --lines LINES  only the last LINES
 * -q, --quiet        no notes
 * -v, --verbose      say each step
 *
 * Prints STATE/NAME/tailscaled.log, which is there while the workspace is, up or not. Control bytes are
 * escaped, so that a line is harmless on a terminal. No key is ever in it; a text in the shape of one is
 * blotted out all the same.
 *
 * With -F of a workspace that is not up its next start is waited for. ws-log -F ends when tailscaled has
 * ended or the workspace is deleted, and when its reader is gone.
 *
 * exit: 0 done, 1 there is no such workspace, or no log, 2 usage
 * example: ws-log -n 20 myproject
 * example: ws-log -F myproject | grep -i derp
 * see: ws-ls ws-up ts-info
 */
#include "buf.h"
#include "err.h"
#include "near.h"
#include "opt.h"
#include "proc.h"
#include "secret.h"
#include "str.h"
#include "workspace.h"
#include "opts/ws-log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 65536, LINE_MAX_BYTES = 32768 };

static struct buf line;		/* begun and not ended yet */
static int cut;			/* its rest is dropped */

static void end_line(void)
{
	static char shown[4 * LINE_MAX_BYTES + 8];
	if (line.len) {
		secret_blot_shapes(line.p);	/* tailscaled writes a proxy's password */
		secret_blot(line.p);
	}
	puts(str_escape(shown, sizeof shown, buf_cstr(&line), line.len));
	buf_clear(&line);
	cut = 0;
}

static void print(const char *p, size_t len)
{
	while (len) {
		const char *end = memchr(p, '\n', len);
		size_t n = end ? (size_t)(end - p) : len, room = LINE_MAX_BYTES - line.len;
		if (!cut)
			buf_add(&line, p, n < room ? n : room);
		cut |= n > room;
		if (end)
			end_line();
		n += !!end;
		p += n;
		len -= n;
	}
}

/* Prints from *at to the end. -1: it cannot be read. */
static int print_from(int fd, long long *at)
{
	static char chunk[CHUNK];
	for (;;) {
		ssize_t n = pread(fd, chunk, sizeof chunk, *at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n;
		print(chunk, n);
		*at += n;
	}
}

/* Where the last lines begin: read backwards. A newline at the very end begins no line. */
static long long tail(int fd, long long lines)
{
	static char chunk[CHUNK];
	struct stat st;
	if (fstat(fd, &st) < 0 || !lines)
		return st.st_size;
	for (long long end = st.st_size, from; end > 0; end = from) {
		from = end > CHUNK ? end - CHUNK : 0;
		ssize_t n = pread(fd, chunk, end - from, from);
		for (ssize_t i = n - 1; i >= 0; i--)
			if (chunk[i] == '\n' && from + i + 1 < st.st_size && --lines == 0)
				return from + i + 1;
	}
	return 0;
}

/* ---- -F ---- */

enum { NOTIFY, DAEMON, READER, FDS };

struct follow {
	struct ws *ws;
	int log;			/* -1: there is none yet */
	long long at;
	int dir_watch, root_watch;
	struct pollfd fds[FDS];
};

static int watch(int notify, int fd, unsigned mask)
{
	char path[64];
	str_fmt(path, sizeof path, "/proc/self/fd/%d", fd);
	int wd = inotify_add_watch(notify, path, mask);
	if (wd < 0)
		die(R_RESOURCES, "inotify:");
	return wd;
}

static void open_log(struct follow *f)
{
	if (f->log >= 0)
		return;
	f->log = openat(f->ws->dir, "tailscaled.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->log >= 0)
		watch(f->fds[NOTIFY].fd, f->log, IN_MODIFY);
}

/* What was added. The log is cut in place now and then: what is kept of it was printed before. */
static void catch_up(struct follow *f)
{
	struct stat st;
	open_log(f);
	if (f->log < 0 || fstat(f->log, &st) < 0)
		return;
	if (st.st_size < f->at) {
		poll(NULL, 0, 50);
		if (fstat(f->log, &st) < 0)
			return;
		f->at = st.st_size;
	}
	print_from(f->log, &f->at);
	fflush(stdout);
}

/* The daemon that runs now: its pidfd becomes readable when it ends. 0: it has ended already. */
static int watch_daemon(struct follow *f)
{
	struct why why = {0};
	if (f->fds[DAEMON].fd >= 0 || ws_reload(f->ws, &why) < 0 || !f->ws->has_run)
		return 1;
	f->fds[DAEMON].fd = proc_open(&f->ws->run.daemon, &why);
	return f->fds[DAEMON].fd >= 0 || errno == ENOSYS;
}

/* 0 when the workspace went: run.json taken away, or all of it. */
static int read_events(struct follow *f)
{
	static char text[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	int goes_on = 1;
	for (ssize_t n; (n = read(f->fds[NOTIFY].fd, text, sizeof text)) > 0; )
		for (char *p = text; p < text + n; ) {
			const struct inotify_event *e = (const struct inotify_event *)p;
			int is_run = e->wd == f->dir_watch && e->len && str_eq(e->name, "run.json");
			int is_ws = e->wd == f->root_watch && e->len && str_eq(e->name, f->ws->name);
			if (is_ws || (is_run && e->mask & IN_DELETE))
				goes_on = 0;
			if (is_run && e->mask & IN_MOVED_TO && !watch_daemon(f))
				goes_on = 0;
			p += sizeof *e + e->len;
		}
	return goes_on;
}

static int follow(const struct ws_root *root, struct ws *ws, int log, long long at)
{
	struct follow f = {.ws = ws, .log = log, .at = at};
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0)
		die(R_RESOURCES, "inotify:");
	f.fds[NOTIFY] = (struct pollfd){.fd = fd, .events = POLLIN};
	f.fds[DAEMON] = (struct pollfd){.fd = -1, .events = POLLIN};
	f.fds[READER] = (struct pollfd){.fd = 1};	/* hung up: nobody reads us any more */
	/* a directory that we hold open is not told of its own end: its parent is */
	f.root_watch = watch(fd, root->fd, IN_DELETE | IN_MOVED_FROM);
	f.dir_watch = watch(fd, ws->dir, IN_DELETE | IN_MOVED_TO | IN_CREATE);
	if (log >= 0)
		watch(fd, log, IN_MODIFY);
	int goes_on = watch_daemon(&f);
	for (;;) {
		catch_up(&f);
		if (!goes_on)
			break;
		if (poll(f.fds, FDS, -1) < 0 && errno != EINTR)
			die(R_SYSTEM, "poll:");
		if (f.fds[READER].revents & (POLLERR | POLLHUP | POLLNVAL))
			break;
		goes_on = read_events(&f) && !f.fds[DAEMON].revents;
	}
	return EXIT_DONE;
}

/* ---- */

static int look_near(const char *name, void *ctx)
{
	near_add(ctx, name);
	return 0;
}

static void find(const char *typed, struct ws_root *root, struct ws *ws)
{
	char name[WS_LABEL], text[256];
	struct why why = {0}, ignored;
	struct near near;
	if (ws_clean_name(typed, name, &why) < 0 || ws_root_open(root, &why) < 0)
		die_why(&why);
	if (ws_open(root, name, 0, 0, ws, &why) == 0)
		return;
	if (why.reason == R_NO_WORKSPACE) {
		near_start(&near, name);
		ws_each(root, look_near, &near, &ignored);
		why_set(&why, R_NO_WORKSPACE, "%s: there is no such workspace", name);
		if (near.count)
			why_hint(&why, "did you mean %s?", near_text(&near, text, sizeof text));
	}
	die_why(&why);
}

int ws_log_main(char **argv)
{
	int wants_more = 0;
	long long lines = -1, at = 0;
	struct ws_root root;
	struct ws ws;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'F': wants_more = 1; break;
		case 'n': lines = opt_num(&o, 0, 1000000000); break;
		}
	opt_want(&o, 1, 1);

	find(o.operands[0], &root, &ws);
	int log = openat(ws.dir, "tailscaled.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (log < 0 && !(wants_more && errno == ENOENT))
		die(errno == ENOENT ? R_NOT_UP : R_SYSTEM, "%s/tailscaled.log:", ws.name);
	if (log >= 0 && lines >= 0)
		at = tail(log, lines);
	if (log >= 0 && print_from(log, &at) < 0)
		die(R_SYSTEM, "%s/tailscaled.log:", ws.name);
	if (wants_more)
		return follow(&root, &ws, log, at);
	if (line.len)
		end_line();
	return EXIT_DONE;
}
