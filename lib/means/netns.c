/* netns - the network namespace of somebody else */
#include "netns.h"
#include "file.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same numbers on every architecture; older headers lack them. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
enum { ASK_TYPE = 0xb703, IN_ROOT = 0x10, ETC_MAX = 64 << 10 };	/* NS_GET_NSTYPE, RESOLVE_IN_ROOT */

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
