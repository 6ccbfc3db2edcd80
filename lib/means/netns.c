/* netns - a network namespace that is not ours */
#include "netns.h"
#include "file.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The same numbers on every architecture; older headers lack them. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
enum { ASK_OWNER = 0xb701, ASK_TYPE = 0xb703, IN_ROOT = 0x10, ETC_MAX = 64 << 10 };	/* NS_GET_USERNS, NS_GET_NSTYPE, RESOLVE_IN_ROOT */

enum { STEP_USER = 0x20 << 16, STEP_NET = 0x21 << 16, STEP_MOUNT = 0x22 << 16, STEP_BIND = 0x23 << 16, STEP_MASK = ~0xffff };

static unsigned long long inode_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) < 0 ? 0 : (unsigned long long)st.st_ino;
}

unsigned long long netns_inode(const char *path)
{
	struct stat st;
	return stat(path, &st) < 0 ? 0 : (unsigned long long)st.st_ino;
}

void netns_close(struct netns *ns)
{
	if (ns->net >= 0)
		close(ns->net);
	if (ns->user >= 0)
		close(ns->user);
	ns->net = ns->user = -1;
}

static int cannot_open(const char *what, struct why *why)
{
	if (errno == EACCES || errno == EPERM)
		return why_set(why, R_NETNS_DENIED, "%s: its network namespace may not be looked at", what);
	if (errno == ENOENT || errno == ESRCH)
		return why_set(why, R_NO_NETNS, "%s: there is no such %s", what, *what == '/' ? "file" : "process");
	return why_errno(why, "%s", what);
}

/* 1 ours, 0, -1 */
static int take(int fd, const char *what, struct netns *ns, struct why *why)
{
	*ns = (struct netns){.net = fd, .user = -1};
	if (fd < 0)
		return cannot_open(what, why);
	if (ioctl(fd, ASK_TYPE) != CLONE_NEWNET) {
		netns_close(ns);
		return why_set(why, R_NO_NETNS, "%s: not a network namespace", what);
	}
	ns->inode = inode_of(fd);
	if (ns->inode != netns_inode("/proc/self/ns/net"))
		return 0;
	netns_close(ns);
	return 1;
}

int netns_of_pid(int pid, struct netns *ns, struct why *why)
{
	char what[32], path[40];
	str_fmt(what, sizeof what, "process %d", pid);
	str_fmt(path, sizeof path, "/proc/%d/ns/net", pid);
	int rc = take(open(path, O_RDONLY | O_CLOEXEC), what, ns, why);
	if (rc || geteuid() == 0)
		return rc;
	str_fmt(path, sizeof path, "/proc/%d/ns/user", pid);
	ns->user = open(path, O_RDONLY | O_CLOEXEC);
	if (ns->user >= 0 && inode_of(ns->user) == netns_inode("/proc/self/ns/user")) {
		close(ns->user);	/* it cannot be joined twice */
		ns->user = -1;
	}
	return 0;
}

int netns_of_path(const char *path, struct netns *ns, struct why *why)
{
	return take(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), path, ns, why);
}

int netns_etc(int pid, const char *name, struct buf *b)
{
	struct { uint64_t flags, mode, resolve; } how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = IN_ROOT};
	char path[40], file[64], some[4096];
	struct stat st;
	str_fmt(path, sizeof path, "/proc/%d/root", pid);
	str_fmt(file, sizeof file, "etc/%s", name);
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	int fd = (int)syscall(SYS_openat2, root, file, &how, sizeof how);
	close(root);
	if (fd < 0)
		return -1;
	ssize_t n = -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		while ((n = read(fd, some, sizeof some)) > 0 && b->len < ETC_MAX)
			buf_add(b, some, n);
	close(fd);
	return n == 0 ? 0 : -1;
}

/* ---- in the child: system calls only */

static int seen_at(const char *file, const char *place)
{
	if (!*file || mount(file, place, NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
		return 0;
	return -(STEP_BIND | errno);
}

int netns_enter(const struct netns *ns)
{
	if (ns->user >= 0 && setns(ns->user, CLONE_NEWUSER) < 0)
		return -(STEP_USER | errno);
	if (setns(ns->net, CLONE_NEWNET) < 0)
		return -(STEP_NET | errno);
	/* what is mounted here is seen there, and not the other way round */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return -(STEP_MOUNT | errno);
	int rc = seen_at(ns->resolv, "/etc/resolv.conf");
	return rc ? rc : seen_at(ns->hosts, "/etc/hosts");
}

int netns_enter_cmd(void *netns)
{
	return netns_enter(netns);
}

/* ---- in the parent */

int netns_is_failure(int code)
{
	int step = -code & STEP_MASK;
	return code < 0 && step >= STEP_USER && step <= STEP_BIND;
}

int netns_failed(int code, struct why *why)
{
	int step = -code & STEP_MASK, err = -code & ~STEP_MASK;
	if (err == EPERM || err == EACCES)
		return why_set(why, R_NETNS_DENIED, "joining the network namespace: %s", step == STEP_MOUNT || step == STEP_BIND
			? "a mount namespace beside it is not permitted" : "not permitted");
	errno = err;
	return why_errno(why, step == STEP_BIND ? "put its resolv.conf and hosts into place" : "join the network namespace");
}

/* ---- one of our own ---- */

enum { SENT_MAX = 2 };
struct sent { int err, count, fd[SENT_MAX]; };

static int send_fds(int socket, struct sent *s)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof s->fd)]; } control = {0};
	struct iovec io = {s, sizeof *s};
	struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};
	if (s->count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(s->count * sizeof *s->fd);
		struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(s->count * sizeof *s->fd);
		memcpy(CMSG_DATA(head), s->fd, s->count * sizeof *s->fd);
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof *s ? 0 : -1;
}

/* 0; -1 with errno: what the child could not do, or ECHILD when it is gone. */
static int take_fds(int socket, struct sent *s)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof s->fd)]; } control;
	struct iovec io = {s, sizeof *s};
	struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t n;
	do
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof *s) {
		errno = n < 0 ? errno : ECHILD;
		return -1;
	}
	errno = s->err;
	if (s->err)
		return -1;
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	if (!head || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(s->count * sizeof *s->fd)) {
		errno = EMFILE;	/* what could not be taken in was dropped on the way */
		return -1;
	}
	memcpy(s->fd, CMSG_DATA(head), s->count * sizeof *s->fd);
	return 0;
}

/* What fn opens in a child of ours, which then waits until the caller closes *socket and calls reap. 0; -1 with errno: no child
 * is left. Signals are held off in it, so that no handler of ours runs there. */
static int from_child(int (*fn)(const void *, struct sent *), const void *ctx, struct sent *s, int *socket, int *pid)
{
	int ends[2];
	sigset_t all, before;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	*pid = fork();
	if (!*pid) {
		close(ends[0]);
		*s = (struct sent){0};
		if (fn(ctx, s) < 0)
			s->err = errno ? errno : EIO, s->count = 0;
		char wait;
		if (send_fds(ends[1], s) == 0 && read(ends[1], &wait, 1) < 0)
			_exit(1);
		_exit(0);
	}
	int err = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	*socket = ends[0];
	if (*pid > 0 && take_fds(ends[0], s) == 0)
		return 0;
	err = *pid < 0 ? err : errno;
	close(ends[0]);
	while (*pid > 0 && waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = err;
	return -1;
}

static void end_child(int socket, int pid)
{
	close(socket);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

struct owner { int uid, gid, is_other; };

/* The child: it has our memory, with what is secret in it, so it becomes readable only for those that could read us as well. */
static int make(const void *ctx, struct sent *s)
{
	const struct owner *o = ctx;
	if (o->is_other && (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 || setresuid(o->uid, o->uid, o->uid) < 0))
		return -1;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -1;
	if (!o->is_other && prctl(PR_SET_DUMPABLE, 1) < 0)	/* else its maps are root's to write */
		return -1;
	s->fd[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	s->fd[1] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	s->count = 2;
	return s->fd[0] < 0 || s->fd[1] < 0 ? -1 : 0;
}

static int put(int pid, const char *file, const char *text)
{
	char path[40];
	str_fmt(path, sizeof path, "/proc/%d/%s", pid, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = -1;
	if (fd >= 0) {
		rc = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
		int err = errno;
		close(fd);
		errno = err;
	}
	return rc;
}

static int map_owner(int pid, const struct owner *o)
{
	char uid[40], gid[40];
	str_fmt(uid, sizeof uid, "%d %d 1\n", o->uid, o->uid);
	str_fmt(gid, sizeof gid, "%d %d 1\n", o->gid, o->gid);
	return put(pid, "setgroups", "deny") < 0 || put(pid, "uid_map", uid) < 0 || put(pid, "gid_map", gid) < 0 ? -1 : 0;
}

int netns_make(int uid, int gid, struct netns *ns, struct why *why)
{
	struct owner o = {uid, gid, uid != (int)geteuid()};
	struct sent s;
	int socket, pid, rc = from_child(make, &o, &s, &socket, &pid), err = errno;
	*ns = (struct netns){.net = -1, .user = -1};
	if (!rc) {
		*ns = (struct netns){.net = s.fd[0], .user = s.fd[1], .inode = inode_of(s.fd[0])};
		rc = map_owner(pid, &o);
		err = errno;
		end_child(socket, pid);
	}
	if (!rc)
		return 0;
	netns_close(ns);
	if (err == EMFILE || err == ENFILE || err == EAGAIN || err == ENOMEM || err == ECHILD) {
		errno = err;
		return why_errno(why, "make a network namespace");
	}
	why_set(why, R_NETNS_DENIED, "a user namespace with a network of its own cannot be made here: %s", strerror(err));
	return why_hint(why, "sysctl user.max_user_namespaces kernel.unprivileged_userns_clone kernel.apparmor_restrict_unprivileged_userns");
}

int netns_owner(struct netns *ns, struct why *why)
{
	if (ns->user < 0)
		ns->user = ioctl(ns->net, ASK_OWNER);
	if (ns->user < 0)
		return why_errno(why, "ask for the owner of the network namespace");
	return 0;
}

static int listen_in(const void *ctx, struct sent *s)
{
	const struct netns *ns = ctx;
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	if (geteuid() && ns->user >= 0 && setns(ns->user, CLONE_NEWUSER) < 0)
		return -1;
	if (setns(ns->net, CLONE_NEWNET) < 0)
		return -1;
	s->fd[0] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	s->count = 1;
	return s->fd[0] < 0 ? -1 : bind(s->fd[0], (struct sockaddr *)&to, sizeof to);
}

int netns_watch(const struct netns *ns, struct why *why)
{
	struct sent s;
	int socket, pid;
	if (from_child(listen_in, ns, &s, &socket, &pid) < 0) {
		if (errno == EPERM)
			return why_set(why, R_NETNS_DENIED, "joining the network namespace: not permitted");
		return why_errno(why, "watch the network namespace");
	}
	end_child(socket, pid);
	return s.fd[0];
}

int netns_has_route(int watch)
{
	union { struct nlmsghdr head; char room[8192]; } got;
	ssize_t n;
	int has = 0;
	while ((n = recv(watch, &got, sizeof got, 0)) > 0)
		for (struct nlmsghdr *h = &got.head; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			const struct rtmsg *r = NLMSG_DATA(h);
			has |= h->nlmsg_type == RTM_NEWROUTE && h->nlmsg_len >= NLMSG_LENGTH(sizeof *r) && !r->rtm_dst_len
				&& r->rtm_table == RT_TABLE_MAIN;
		}
	return has;
}
