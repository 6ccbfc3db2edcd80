/* target - whose network namespace a workspace uses */
#include "target.h"
#include "buf.h"
#include "clock.h"
#include "file.h"
#include "http.h"
#include "json.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 10000 };

/* ---- containers ---- */

/* 1 its pid is in *pid (0: it does not run), 0 nobody of that name or nobody to ask, -1 */
static int ask_docker(const char *name, long long *pid, int *asked, long long deadline, struct why *why)
{
	const char *told = getenv("DOCKER_HOST"), *run = getenv("XDG_RUNTIME_DIR");
	char path[600], url[300];
	if (told && *told && !str_starts(told, "unix://"))
		return 0;	/* its containers are on another machine */
	if (told && *told)
		str_copy(path, sizeof path, told + 7);
	else if (!run || str_fmt(path, sizeof path, "%s/docker.sock", run) < 0 || access(path, F_OK) < 0)
		str_copy(path, sizeof path, "/var/run/docker.sock");
	if (access(path, F_OK) < 0)
		return 0;
	str_fmt(url, sizeof url, "http://docker/containers/%s/json", name);
	struct http_req req = {.url = url, .socket = path, .deadline = deadline, .flags = HTTP_FRESH};
	struct http_res res = {0};
	struct json j;
	int rc = http_do(&req, &res, why);
	if (rc < 0 && res.fault == HTTP_SOCKET)
		rc = why->reason == R_NOT_UP ? 0 : why_set(why, R_NETNS_DENIED, "docker's socket %.300s may not be used", path);
	else if (rc == 0) {
		*asked = 1;
		if (res.status == 200 && json_parse(&j, buf_cstr(&res.body), res.body.len, why) == 0) {
			rc = json_num(&j, json_get(&j, json_get(&j, 0, "State"), "Pid"), pid) == 0;
			json_free(&j);
		} else if (res.status != 404)
			rc = why_set(why, R_NO_CONTAINER, "docker's socket answers %d about the container %s", res.status, name);
	}
	http_res_free(&res);
	return rc;
}

static int run_podman(int i, void *name, int out)
{
	char *const argv[] = {"podman", "inspect", "--type", "container", "--format", "{{.State.Pid}}", name, NULL};
	(void)i;
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	execvp(*argv, argv);
	return 127;
}

static int ask_podman(const char *name, long long *pid, int *asked, long long deadline, struct why *why)
{
	struct proc_result res;
	struct why ignored;
	long long soon = clock_ms() + LOOK_MS;
	if (proc_parallel(1, 1, run_podman, (void *)name, &res, deadline && deadline < soon ? deadline : soon, &ignored) < 0)
		return why_set(why, R_DEADLINE, "podman does not answer");
	if (res.status == 127)
		return 0;
	*asked = 1;
	while (res.len && res.out[res.len - 1] == '\n')
		res.out[--res.len] = 0;
	const char *line = strrchr(res.out, '\n');	/* before it there may be warnings, as of a rootless one without subordinate ids */
	if (!res.status && str_num(line ? line + 1 : res.out, 0, 1 << 22, pid) == 0)
		return 1;
	if (strstr(res.out, "no such"))
		return 0;
	char shown[300];
	return why_set(why, R_NO_CONTAINER, "podman: %s", str_escape(shown, sizeof shown, res.out, res.len));
}

/* The pid of its first process, or -1. */
static int container_pid(const char *name, long long deadline, struct why *why)
{
	long long pid = 0;
	int asked[2] = {0};
	if (!*name || *name == '-' || *name == '.' || strlen(name) > 128
		|| strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != strlen(name))
		return why_set(why, R_USAGE, "--netns container:%s: not a container's name", name);
	struct why docker = {0};
	int rc = ask_docker(name, &pid, &asked[0], deadline, &docker);
	if (rc != 1) {
		int found = ask_podman(name, &pid, &asked[1], deadline, why);
		if (!found && rc < 0)
			*why = docker;
		if (found)
			rc = found;
	}
	if (rc < 0)
		return -1;
	if (rc && pid > 0)
		return (int)pid;
	if (rc) {
		why_set(why, R_NO_CONTAINER, "the container %s does not run", name);
		return why_hint(why, "start it first");
	}
	if (!asked[0] && !asked[1]) {
		why_set(why, R_NO_CONTAINER, "container %s: neither docker's socket nor podman is here", name);
		return why_hint(why, "name a process of it: ws-up --netns pid:N");
	}
	return why_set(why, R_NO_CONTAINER, "there is no container %s (asked %s)", name,
		!asked[0] ? "podman" : asked[1] ? "docker and podman" : "docker");
}

/* ---- opening ---- */

static int denied(const char *told, const char *name, struct why *why)
{
	if (why->reason == R_NETNS_DENIED && geteuid())
		why_hint(why, "sudo ws-up --netns %s %s", told, name);
	return -1;
}

int target_open(const char *told, const char *name, struct target *t, long long deadline, struct why *why)
{
	long long pid = 0;
	const char *rest;
	*t = (struct target){.ns = {.net = -1, .user = -1}};
	if (str_copy(t->told, sizeof t->told, told) < 0)
		return why_set(why, R_USAGE, "--netns: too long");
	if (str_eq(told, "here"))
		return 1;
	if (str_starts(told, "container:")) {
		int found = container_pid(told + 10, deadline, why);
		if (found < 0)
			return denied(told, name, why);
		pid = found;
	} else if (str_starts(told, "pid:")) {
		if (str_num(told + 4, 1, 1 << 22, &pid) < 0)
			return why_set(why, R_USAGE, "--netns %s: not a process's number", told);
	} else if (*told != '/')
		return why_set(why, R_USAGE, "--netns %s: not container:NAME, pid:N, an absolute path, or here", told);
	else if (str_starts(told, "/proc/") && (rest = strchr(told + 6, '/')) && str_eq(rest, "/ns/net")) {
		char digits[12];
		if (str_copy_slice(digits, sizeof digits, (struct slice){told + 6, rest - told - 6}) < 0 || str_num(digits, 1, 1 << 22, &pid) < 0)
			pid = 0;
	}
	/* known by its start time before it is looked at, so that it is the same process all the time */
	if (pid && proc_id_of((int)pid, &t->anchor, why) < 0)
		return errno == ESRCH ? why_set(why, R_NO_NETNS, "process %lld: there is no such process", pid) : -1;
	int rc = pid ? netns_of_pid((int)pid, &t->ns, why) : netns_of_path(told, &t->ns, why);
	if (!rc && pid && proc_alive(&t->anchor) != 1) {
		netns_close(&t->ns);
		rc = why_set(why, R_NO_NETNS, "process %lld: has ended", pid);
	}
	return rc < 0 ? denied(told, name, why) : rc;
}

void target_close(struct target *t)
{
	netns_close(&t->ns);
}

/* ---- what holds there ---- */

int target_is_loopback(const char *url)
{
	const char *host = strstr(url, "://"), *at;
	host = host ? host + 3 : url;
	if ((at = memrchr(host, '@', strcspn(host, "/?#"))))
		host = at + 1;
	int is_v4 = strspn(host, "0123456789.") == strcspn(host, ":/?#");
	return (is_v4 && str_starts(host, "127.")) || str_starts(host, "[::1]")
		|| (str_starts(host, "localhost") && strchr(":/", host[9]));
}

static int is_address(const char *url)
{
	const char *host = strstr(url, "://"), *at;
	host = host ? host + 3 : url;
	if ((at = memrchr(host, '@', strcspn(host, "/?#"))))
		host = at + 1;
	return *host == '[' || strspn(host, "0123456789.") == strcspn(host, ":/?#");
}

/* Are all of its name servers on loopback? The text is cut into lines. */
static int only_stubs(char *text)
{
	int stubs = 0;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char server[64];
		if (sscanf(line, " nameserver %63s", server) != 1)
			continue;
		if (!str_starts(server, "127.") && !str_eq(server, "::1"))
			return 0;
		stubs++;
	}
	return stubs;
}

static int of_named(const char *told, const char *file, struct buf *b);

/* This machine's resolver is what would be asked there: a container's own, as docker's 127.0.0.11, has a file of its own. */
static int asks_our_stub(const struct target *t)
{
	struct buf there = {0}, here = {0};
	struct why ignored;
	int known = t->anchor.pid ? netns_etc(t->anchor.pid, "resolv.conf", &there) : of_named(t->told, "resolv.conf", &there);
	int ours = file_read(AT_FDCWD, "/etc/resolv.conf", &here, 64 << 10, &ignored) == 0
		&& (known < 0 || str_eq(buf_cstr(&there), buf_cstr(&here)));
	int stub = ours && here.len && only_stubs(here.p);
	buf_free(&there);
	buf_free(&here);
	return stub;
}

int target_check_reach(const struct target *t, const char *control, const char *proxy, struct why *why)
{
	char shown[300];
	const char *first = proxy ? proxy : control;
	if (!target_is_loopback(first) && !is_address(first) && asks_our_stub(t)) {
		why_set(why, R_LOOPBACK_IN_NETNS, "%s has no resolver: this machine's is on its own loopback, which cannot be reached from there",
			t->told);
		if (*t->told != '/')
			return why_hint(why, "give the process a resolv.conf of its own, with a nameserver that it reaches");
		return why_hint(why, "put a nameserver into /etc/netns/%s/resolv.conf", strrchr(t->told, '/') + 1);
	}
	if (!target_is_loopback(first))
		return 0;
	why_set(why, R_LOOPBACK_IN_NETNS, "the %s %s is on this machine's loopback, which cannot be reached from the other network namespace",
		proxy ? "proxy" : "control server", http_redact_url(shown, sizeof shown, proxy ? proxy : control));
	return why_hint(why, "give it by an address that the namespace reaches, such as the bridge's");
}

/* `ip netns` has them in /etc/netns/NAME. */
static int of_named(const char *told, const char *file, struct buf *b)
{
	struct why ignored;
	char path[WS_NETNS + 64];
	const char *name = str_starts(told, "/run/netns/") ? told + 11 : str_starts(told, "/var/run/netns/") ? told + 15 : NULL;
	if (!name || strchr(name, '/') || *name == '.')
		return -1;
	str_fmt(path, sizeof path, "/etc/netns/%s/%s", name, file);
	return file_read(AT_FDCWD, path, b, 64 << 10, &ignored);
}

static int copy(struct target *t, const struct ws_root *root, const struct ws *ws, const char *file, const char *as,
	char dst[static 640], struct why *why)
{
	struct buf b = {.max = 128 << 10};
	int rc = 0, known = t->anchor.pid ? netns_etc(t->anchor.pid, file, &b) : of_named(t->told, file, &b);
	*dst = 0;
	if (known < 0)
		unlinkat(ws->dir, as, 0);	/* of another namespace */
	if (known == 0 && (rc = file_write_fast(ws->dir, as, buf_cstr(&b), b.len, 0644, why)) == 0)
		str_fmt(dst, 640, "%s/%s/%s", root->path, ws->name, as);
	buf_free(&b);
	return rc;
}

int target_prepare(struct target *t, const struct ws_root *root, const struct ws *ws, struct why *why)
{
	return copy(t, root, ws, "resolv.conf", "netns.resolv.conf", t->ns.resolv, why) < 0
		|| copy(t, root, ws, "hosts", "netns.hosts", t->ns.hosts, why) < 0 ? -1 : 0;
}
