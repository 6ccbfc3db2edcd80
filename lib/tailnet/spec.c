/* spec - what is asked of a workspace */
#include "spec.h"
#include "str.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int spec_serve_dir(struct ws_spec *s, const char *dir, struct why *why)
{
	char real[PATH_MAX];
	if (s->nserve_dirs == 8)
		return why_set(why, R_USAGE, "--serve-dir: more than 8 directories");
	if (!realpath(dir, real) || str_copy(s->serve_dirs[s->nserve_dirs++], WS_PATH, real) < 0)
		return why_set(why, R_USAGE, "--serve-dir %s: %s", dir, strerror(errno));
	return 0;
}

int spec_address(const char *option, const char *val, char *dst, size_t size, struct why *why)
{
	char copy[64], *host;
	int port;
	if (str_copy(copy, sizeof copy, val) < 0 || str_host_port(copy, &host, &port) < 0 || str_copy(dst, size, val) < 0)
		return why_set(why, R_USAGE, "%s %s: not ADDRESS:PORT, such as 127.0.0.1:1055", option, val);
	return 0;
}

int spec_hostname(struct ws_spec *s, const char *told, const char *prefix, const char *name, struct why *why)
{
	char whole[160], msg[300];
	str_fmt(whole, sizeof whole, "%s%s", prefix, name);
	if (ws_clean_name(*told ? told : whole, s->hostname, why) == 0)
		return 0;
	if (!*told)
		return -1;
	str_copy(msg, sizeof msg, why->msg);
	return why_set(why, R_BAD_NAME, "TS_HOSTNAME: %s", msg);
}

int spec_check(const struct ws_spec *s, struct why *why)
{
	if (s->ssh && s->inbound != WS_IN_ALL)
		return why_set(why, R_USAGE, "--ssh needs -i all: its sessions are children of tailscaled and would be confined with it");
	if (s->ssh && *s->netns) {
		why_set(why, R_SSH_OUTSIDE, "--ssh with --netns: its sessions would be shells on this machine, not in %s", s->netns);
		return why_hint(why, "run an sshd there, and open its port: -i 22");
	}
	if (s->tun && *s->netns)
		return why_set(why, R_USAGE, "--tun with --netns: only userspace networking goes there");
	if (s->isolate && (*s->netns || s->tun || s->ssh))
		return why_set(why, R_USAGE, "--isolate with %s", *s->netns ? "--netns: a workspace is in one network namespace"
			: s->tun ? "--tun: only userspace networking goes there" : "--ssh: run an sshd in it instead: ws-run NAME sshd");
	if (s->tun && s->inbound == WS_IN_PORTS)
		return why_set(why, R_USAGE, "--tun with -i PORTS: the kernel delivers there, so only -i none or -i all can be held to");
	if (s->inbound == WS_IN_ALL && (*s->socks || *s->http))
		return why_set(why, R_USAGE, "-i all would give tailscaled's own proxy to the tailnet; use -i PORTS with --socks or --http");
	return 0;
}

int spec_has_netns(const struct ws_spec *s)
{
	return s->isolate || *s->netns;
}

/* A workspace that is up, or kept, stays as it is where nothing else is asked for. */
void spec_inherit(struct ws_spec *now, const struct ws_spec *then, unsigned told)
{
	unsigned open = ~told;
	/* one of the two told takes the place of the other */
	if (!(told & (TOLD_NETNS | TOLD_ISOLATE))) {
		memcpy(now->netns, then->netns, sizeof now->netns);
		now->isolate = then->isolate;
	}
	/* another namespace, another default */
	if (open & TOLD_INBOUND && spec_has_netns(now) == spec_has_netns(then)) {
		now->inbound = then->inbound;
		now->nports = then->nports;
		memcpy(now->ports, then->ports, sizeof now->ports);
	}
	if (open & TOLD_KEEP)
		now->keep = then->keep;
	if (open & TOLD_TUN)
		now->tun = then->tun;
	if (open & TOLD_SSH)
		now->ssh = then->ssh;
	if (open & TOLD_LOGS)
		now->logs = then->logs;
	if (open & TOLD_SOCKS)
		memcpy(now->socks, then->socks, sizeof now->socks);
	if (open & TOLD_HTTP)
		memcpy(now->http, then->http, sizeof now->http);
	if (open & TOLD_CONTROL)
		memcpy(now->control, then->control, sizeof now->control);
	if (open & TOLD_TAGS) {
		now->ntags = then->ntags;
		memcpy(now->tags, then->tags, sizeof now->tags);
	}
	if (open & TOLD_DERP) {
		now->nderp = then->nderp;
		memcpy(now->derp, then->derp, sizeof now->derp);
	}
	if (open & TOLD_ROUTES)
		now->accept_routes = then->accept_routes;
	if (open & TOLD_ANY_NAME)
		now->any_name = then->any_name;
	if (!now->nserve_dirs) {
		now->nserve_dirs = then->nserve_dirs;
		memcpy(now->serve_dirs, then->serve_dirs, sizeof now->serve_dirs);
	}
}

static int same_list(const int *a, int n, const int *b, int m)
{
	return n == m && !memcmp(a, b, n * sizeof *a);
}

const char *spec_differs(const struct ws_spec *now, const struct ws_spec *then)
{
	if (now->inbound != then->inbound || !same_list(now->ports, now->nports, then->ports, then->nports))
		return "-i";
	if (now->isolate != then->isolate)
		return "--isolate";
	if (!str_eq(now->netns, then->netns))
		return "--netns";
	if (now->keep != then->keep)
		return "--keep";
	if (now->tun != then->tun)
		return "--tun";
	if (now->ssh != then->ssh)
		return "--ssh";
	if (now->logs != then->logs)
		return "--logs";
	if (!str_eq(now->socks, then->socks))
		return "--socks";
	if (!str_eq(now->http, then->http))
		return "--http";
	if (!str_eq(now->control, then->control))
		return "--login-server";
	if (now->ntags != then->ntags || memcmp(now->tags, then->tags, now->ntags * sizeof *now->tags))
		return "--tag";
	for (int i = 0; i < now->nserve_dirs; i++) {
		int known = 0;
		for (int k = 0; k < then->nserve_dirs; k++)
			known |= str_eq(now->serve_dirs[i], then->serve_dirs[k]);
		if (!known)
			return "--serve-dir";
	}
	return NULL;
}
