/* wsenv - the environment through which programs reach the tailnet of a workspace */
#include "wsenv.h"
#include "alloc.h"
#include "forwards.h"
#include "http.h"
#include "spec.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int find(const struct wsenv *e, const char *name)
{
	for (int i = 0; i < e->n; i++)
		if (str_eq(e->var[i].name, name))
			return i;
	return -1;
}

void wsenv_set(struct wsenv *e, const char *name, const char *value)
{
	int i = find(e, name);
	if (i < 0) {
		e->var = xrealloc(e->var, (e->n + 1) * sizeof *e->var);
		e->var[i = e->n++] = (struct wsenv_var){xstrdup(name), NULL};
	}
	free(e->var[i].value);
	e->var[i].value = value ? xstrdup(value) : NULL;
}

void wsenv_free(struct wsenv *e)
{
	for (int i = 0; i < e->n; i++) {
		free(e->var[i].name);
		free(e->var[i].value);
	}
	free(e->var);
	*e = (struct wsenv){0};
}

static int no_proxy(const struct node *node, const char *kind, const char *option, struct why *why)
{
	if (!node->is_ws)
		return why_set(why, R_NO_PROXY, "%s is no workspace: whether its tailscaled has a %s proxy is not known here", node->name, kind);
	why_set(why, R_NO_PROXY, "the tailscaled of %s offers no %s proxy", node->ws.name, kind);
	return why_hint(why, "ws-up --restart %s 127.0.0.1:1055 %s", option, node->ws.name);
}

static void set_proxies(struct wsenv *e, const char *url)
{
	static const char *const names[] = {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		wsenv_set(e, names[i], url);
}

/* MOORBOX_FORWARD_DB_5432: what a shell takes as a name */
static void set_forward(struct wsenv *e, const struct forward *f)
{
	char name[320], value[384];
	str_fmt(name, sizeof name, "MOORBOX_FORWARD_%s_%d", f->host, f->to);
	for (char *p = name; *p; p++)
		*p = *p >= 'a' && *p <= 'z' ? *p - 32 : (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ? *p : '_';
	if (strchr(f->address, ':'))
		str_fmt(value, sizeof value, "[%s]:%d", f->address, f->port);
	else
		str_fmt(value, sizeof value, "%s:%d", f->address, f->port);
	wsenv_set(e, name, *f->path ? f->path : value);
}

struct running { struct wsenv *e; unsigned long long netns; };

/* What listens on the loopback of another network namespace is of no use here. */
static int set_running(const struct forwards *f, void *ctx)
{
	struct running *r = ctx;
	struct wsenv *e = r->e;
	unsigned long long netns = proc_netns(f->id.pid);
	int elsewhere = netns && netns != r->netns;
	if (*f->proxy && !elsewhere)
		set_proxies(e, f->proxy);
	for (int i = 0; i < f->n; i++)
		if (*f->f[i].host && (!elsewhere || *f->f[i].path))
			set_forward(e, &f->f[i]);
	return 0;
}

int wsenv_of(const struct node *node, int flags, struct wsenv *e, struct why *why)
{
	char url[128];
	*e = (struct wsenv){0};
	if (node->is_ws) {
		const struct ws *ws = &node->ws;
		wsenv_set(e, "MOORBOX_WORKSPACE", ws->name);
		wsenv_set(e, "MOORBOX_HOSTNAME", ws->spec.hostname);
		if (*ws->run.dns_name)
			wsenv_set(e, "MOORBOX_DNS_NAME", ws->run.dns_name);
		if (*ws->run.ip)
			wsenv_set(e, "MOORBOX_IP", ws->run.ip);
	} else if (*node->name)
		wsenv_set(e, "MOORBOX_WORKSPACE", node->name);
	if (*node->api.path == '/')
		wsenv_set(e, "MOORBOX_SOCKET", node->api.path);
	struct why none;
	int dir = node_forwards(node, 0, &none);
	int apart = node->is_ws && spec_has_netns(&node->ws.spec) && proc_netns(0) != node->ws.run.netns;
	if (dir >= 0) {
		struct running r = {e, apart && flags & WSENV_INSIDE ? node->ws.run.netns : proc_netns(0)};
		forwards_each(dir, set_running, &r);
		close(dir);
	}
	if (apart && flags & (WSENV_SOCKS | WSENV_HTTP) && !(flags & WSENV_INSIDE)) {
		why_set(why, R_NO_PROXY, "the proxy of %s is on the loopback of its own network namespace", node->name);
		return why_hint(why, "ws-run --socks %s CMD", node->name);
	}
	if (flags & WSENV_SOCKS) {
		if (!node->is_ws || !*node->ws.spec.socks)
			return no_proxy(node, "SOCKS5", "--socks", why);
		str_fmt(url, sizeof url, "socks5h://%s", node->ws.spec.socks);
		wsenv_set(e, "ALL_PROXY", url);
		wsenv_set(e, "all_proxy", url);
	}
	if (flags & WSENV_HTTP) {
		if (!node->is_ws || !*node->ws.spec.http)
			return no_proxy(node, "HTTP", "--http", why);
		str_fmt(url, sizeof url, "http://%s", node->ws.spec.http);
		set_proxies(e, url);
	}
	if (find(e, "HTTP_PROXY") >= 0 && http_is_excepted(node->is_ws ? node->ws.run.dns_name : ""))
		e->note = "NO_PROXY is set so that programs do not ask the proxy for the tailnet's names: unset it, or leave them out of it";
	return 0;
}
