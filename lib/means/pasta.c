/* pasta - a way out for a network namespace of our own */
#include "pasta.h"
#include "clock.h"
#include "file.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOBODY = 65534, READY_MS = 5000, STEP_USER = 0x30 << 16, STEP_TUN = 0x31 << 16, STEP_MASK = ~0xffff };

int pasta_find(char *path, int size, struct why *why)
{
	if (file_in_path("pasta", "/usr/local/bin:/usr/bin", path, size) == 0)
		return 0;
	why_set(why, R_NO_PASTA, "a network namespace of one's own takes pasta, which is not in PATH");
	return why_hint(why, "apt-get install passt");
}

/* Root of a user namespace has nobody to become, and pasta knows that it is not the real one. */
static int is_real_root(void)
{
	unsigned from, to, count;
	FILE *f = geteuid() == 0 ? fopen("/proc/self/uid_map", "re") : NULL;
	int real = f && fscanf(f, "%u %u %u", &from, &to, &count) == 3 && !from && !to && count == UINT_MAX;
	if (f)
		fclose(f);
	return real;
}

void pasta_owner(int *uid, int *gid)
{
	int real = is_real_root();
	*uid = real ? NOBODY : (int)geteuid();
	*gid = real ? NOBODY : (int)getegid();
}

/* In the child. Without the device pasta would end as well, but with words for nobody. */
static int enter(void *ctx)
{
	const struct pasta *p = ctx;
	if (p->uid != (int)geteuid()
		&& (setgroups(0, NULL) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 || setresuid(p->uid, p->uid, p->uid) < 0))
		return -(STEP_USER | errno);
	int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tun < 0)
		return -(STEP_TUN | errno);
	close(tun);
	return 0;
}

static int failed(int code, struct why *why)
{
	int step = -code & STEP_MASK, err = -code & ~STEP_MASK;
	errno = err;
	if (step != STEP_TUN)
		return why_errno(why, "start pasta as nobody");
	if (err == EACCES || err == EPERM) {
		why_set(why, R_NETNS_DENIED, "/dev/net/tun, through which pasta reaches the namespace, may not be opened");
		return why_hint(why, "sudo chmod 666 /dev/net/tun");
	}
	why_set(why, R_NETNS_DENIED, "/dev/net/tun, through which pasta reaches the namespace: %s", strerror(err));
	return why_hint(why, "sudo modprobe tun; or give the container the device: --device /dev/net/tun");
}

static void write_ports(char *dst, int size, const int *ports, int n)
{
	str_copy(dst, size, "none");
	for (int i = 0, len = 0; i < n && len < size - 8; i++)
		len += sprintf(dst + len, "%s%d", i ? "," : "", ports[i]);
}

int pasta_spawn(struct pasta *p, const struct netns *ns, int turn, const int *ports, int n, int err, struct why *why)
{
	*p = (struct pasta){.watch = -1, .child.pidfd = -1};
	/* descriptors 0 and 1 are the namespace; what it does not say of ports is open in both directions */
	static const char *const options[] = {
		"pasta", "-f", "-q", "--config-net", "-t", "none", "-u", "none", "-U", "none", "--no-netns-quit",
		"--netns", "/proc/self/fd/0", "--userns", "/proc/self/fd/1",
		"-n", PASTA_BITS, "-g", PASTA_GATEWAY, "--dns-forward", PASTA_DNS, "-a",
	};
	static char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	int count = 0;
	if (pasta_find(p->path, sizeof p->path, why) < 0)
		return -1;
	pasta_owner(&p->uid, &p->gid);
	write_ports(p->ports, sizeof p->ports, ports, n);
	for (; count < (int)(sizeof options / sizeof *options); count++)
		p->argv[count] = (char *)options[count];
	p->argv[count++] = turn ? "10.213.97.4" : "10.213.97.2";
	p->argv[count++] = "-T";
	p->argv[count] = p->ports;
	p->watch = netns_watch(ns, why);
	if (p->watch < 0)
		return -1;
	p->spec = proc_spec(p->path, p->argv, env);
	p->spec.in = ns->net;
	p->spec.out = ns->user;
	p->spec.err = err;
	p->spec.session = 1;
	p->spec.enter = enter;
	p->spec.failed = failed;
	p->spec.ctx = p;
	p->spec.not_program = R_PASTA_FAILED;
	if (proc_spawn(&p->spec, &p->child, why) == 0)
		return 0;
	close(p->watch);
	return -1;
}

/* 1 its routes have come, 0 not yet, -1 */
static int look(struct pasta *p, long long until, struct why *why)
{
	struct pollfd fds[] = {{.fd = p->watch, .events = POLLIN}, {.fd = p->child.pidfd, .events = POLLIN}};
	int n = poll(fds, 2, clock_poll_ms(until));
	if (n < 0 && errno != EINTR)
		return why_errno(why, "wait for pasta:");
	if (n > 0 && fds[1].revents)
		return why_set(why, R_PASTA_FAILED, "pasta ended at once");
	if (n > 0 && fds[0].revents && netns_has_route(p->watch))
		return 1;
	return clock_passed(until) ? why_set(why, R_PASTA_FAILED, "pasta runs, but the namespace got no route") : 0;
}

int pasta_release(struct pasta *p, long long deadline, struct why *why)
{
	long long until = clock_ms() + READY_MS;
	int rc = proc_release(&p->child, why) < 0 ? -1 : 0;
	if (!rc) {
		while (!(rc = look(p, deadline && deadline < until ? deadline : until, why)))
			;
		struct why ignored;
		if (rc < 0)
			proc_end(&p->child.id, SIGKILL, clock_ms() + 1000, &ignored);
	}
	close(p->watch);
	return rc < 0 ? -1 : 0;
}

void pasta_abandon(struct pasta *p)
{
	close(p->watch);
	proc_abandon(&p->child);
}
