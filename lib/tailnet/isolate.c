/* isolate - a network namespace of the workspace's own, with pasta as its way out */
#include "isolate.h"
#include "clock.h"
#include "file.h"
#include "http.h"
#include "pasta.h"
#include "spec.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what is on this machine's loopback ---- */

char *isolate_url(const char *url, char *dst, int size)
{
	const char *host = strstr(url, "://"), *at;
	host = host ? host + 3 : url;
	if ((at = memrchr(host, '@', strcspn(host, "/?#"))))
		host = at + 1;
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	if (!target_is_loopback(url) || str_fmt(dst, size, "%.*s%s%s", (int)(host - url), url, PASTA_GATEWAY, host + n) < 0)
		str_copy(dst, size, url);
	return dst;
}

int isolate_check(const char *control, const char *proxy, struct why *why)
{
	char shown[300], path[WS_PATH];
	if (pasta_find(path, sizeof path, why) < 0)
		return -1;
	const char *first = proxy ? proxy : control;
	if (!target_is_loopback(first) || !str_starts(first, "https:"))
		return 0;
	why_set(why, R_LOOPBACK_IN_NETNS, "the %s %s is on this machine's loopback, and its certificate is not for %s, where it is "
		"in the workspace's own network namespace", proxy ? "proxy" : "control server",
		http_redact_url(shown, sizeof shown, first), PASTA_GATEWAY);
	return why_hint(why, "give it by an address that other machines could reach, or by http:");
}

int isolate_resolvers(const char *text, struct buf *out)
{
	int n = 0;
	for (const char *end; *text; text = end) {
		end = text + strcspn(text, "\n");
		const char *p = text + strspn(text, " \t"), *server = p + 10;
		int is_one = str_starts(p, "nameserver") && strspn(server, " \t");
		server += is_one ? strspn(server, " \t") : 0;
		if (is_one && (str_starts(server, "127.") || (str_starts(server, "::1") && strchr(" \t\r\n", server[3])))) {
			if (!n++)
				buf_str(out, "nameserver " PASTA_DNS "\n");
			end += *end == '\n';
			continue;
		}
		end += *end == '\n';
		buf_add(out, text, end - text);
	}
	return n;
}

/* The hosts are this machine's. */
static int prepare(struct netns *ns, const struct ws_root *root, const struct ws *ws, struct why *why)
{
	struct buf here = {0}, there = {0};
	struct why ignored;
	int rc = 0, known = file_read(AT_FDCWD, "/etc/resolv.conf", &here, 64 << 10, &ignored) == 0;
	unlinkat(ws->dir, "netns.hosts", 0);
	unlinkat(ws->dir, "netns.resolv.conf", 0);
	if (known && isolate_resolvers(buf_cstr(&here), &there) > 0) {
		rc = file_write_fast(ws->dir, "netns.resolv.conf", buf_cstr(&there), there.len, 0644, why);
		str_fmt(ns->resolv, sizeof ns->resolv, "%s/%s/netns.resolv.conf", root->path, ws->name);
	}
	buf_free(&here);
	buf_free(&there);
	return rc;
}

/* ---- pasta ---- */

/* Spawned, recorded, released. */
static int run_pasta(struct ws *ws, const struct netns *ns, int log, long long deadline, struct why *why)
{
	struct pasta p;
	const struct ws_spec *s = &ws->spec;
	if (pasta_spawn(&p, ns, ws->run.pasta_turn, s->ports, s->inbound == WS_IN_PORTS ? s->nports : 0, log, why) < 0)
		return -1;
	ws->run.pasta = p.child.id;
	if (!ws->run.daemon.pid)
		str_copy(ws->run.daemon.boot, sizeof ws->run.daemon.boot, p.child.id.boot);
	if (ws_save_run(ws, why) < 0) {
		pasta_abandon(&p);
		return -1;
	}
	int rc = pasta_release(&p, deadline, why);
	if (p.child.pidfd >= 0)
		close(p.child.pidfd);
	return rc;
}

int isolate_start(struct target *t, const struct ws_root *root, struct ws *ws, int log, long long deadline, struct why *why)
{
	int uid, gid;
	struct why ignored;
	*t = (struct target){.ns = {.net = -1, .user = -1}};
	pasta_owner(&uid, &gid);
	if (netns_make(uid, gid, &t->ns, why) < 0)
		return -1;
	proc_machine(ws->run.machine);
	ws->run.phase = WS_SPAWNED;
	if (prepare(&t->ns, root, ws, why) == 0 && run_pasta(ws, &t->ns, log, deadline, why) == 0) {
		if (geteuid() == 0) {	/* root joins it without becoming somebody else in it */
			close(t->ns.user);
			t->ns.user = -1;
		}
		return 0;
	}
	clock_uncancel();
	ws_drop_run(ws, &ignored);
	target_close(t);
	return -1;
}

int isolate_mend(struct ws *ws, int log, long long deadline, struct why *why)
{
	struct netns ns;
	int rc = netns_of_pid(ws->run.daemon.pid, &ns, why);
	/* by another address tailscaled sees for certain that its connections are of no use any more */
	ws->run.pasta_turn = !ws->run.pasta_turn;
	if (rc)
		return rc < 0 ? -1 : why_set(why, R_NO_NETNS, "its daemon is in our own network namespace");
	if (netns_owner(&ns, why) < 0 || run_pasta(ws, &ns, log, deadline, why) < 0)
		rc = -1;
	netns_close(&ns);
	return rc;
}

/* ---- for commands ---- */

static void take_file(const struct ws_root *root, const struct ws *ws, const char *name, char dst[static 640])
{
	str_fmt(dst, 640, "%s/%s/%s", root->path, ws->name, name);
	if (access(dst, R_OK) < 0)
		*dst = 0;
}

void isolate_setenv(const struct ws *ws)
{
	static const char *const names[] = {
		"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy",
	};
	char url[1024];
	if (!ws->spec.isolate)
		return;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (getenv(names[i]))
			setenv(names[i], isolate_url(getenv(names[i]), url, sizeof url), 1);
	setenv("MOORBOX_HOST", PASTA_GATEWAY, 1);
}

int isolate_inside(const struct ws_root *root, const struct ws *ws, struct netns *ns, struct why *why)
{
	if (!spec_has_netns(&ws->spec))
		return 1;
	int rc = netns_of_pid(ws->run.daemon.pid, ns, why);
	if (rc < 0 && why->reason == R_NETNS_DENIED && geteuid())
		why_hint(why, "sudo ws-run %s ...", ws->name);
	if (rc)
		return rc;
	take_file(root, ws, "netns.resolv.conf", ns->resolv);
	take_file(root, ws, "netns.hosts", ns->hosts);
	return 0;
}
