/* inbound - which ports of this machine the tailnet may reach */
#include "inbound.h"
#include "json.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int has(const int *ports, int n, int port)
{
	for (int i = 0; i < n; i++)
		if (ports[i] == port)
			return 1;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int add_range(const char *text, size_t len, struct ws_spec *s, struct why *why)
{
	char part[16], *dash;
	long long lo, hi;
	if (str_copy_slice(part, sizeof part, (struct slice){text, len}) < 0)
		part[0] = 0;
	dash = strchr(part, '-');
	if (dash)
		*dash = 0;
	if (str_num(part, 1, 65535, &lo) < 0 || str_num(dash ? dash + 1 : part, lo, 65535, &hi) < 0)
		return why_set(why, R_USAGE, "-i %.*s: not none, all, or ports such as 22,3000-3010", (int)len, text);
	for (; lo <= hi; lo++) {
		if (has(s->ports, s->nports, lo))
			continue;
		if (s->nports == WS_PORTS)
			return why_set(why, R_USAGE, "-i: more than %d ports; -i all opens every port", WS_PORTS);
		s->ports[s->nports++] = lo;
	}
	return 0;
}

int inbound_parse(const char *text, struct ws_spec *s, struct why *why)
{
	s->nports = 0;
	s->inbound = str_eq(text, "all") ? WS_IN_ALL : str_eq(text, "none") ? WS_IN_NONE : WS_IN_PORTS;
	if (s->inbound != WS_IN_PORTS)
		return 0;
	for (const char *end;; text = end + 1) {
		end = strchrnul(text, ',');
		if (add_range(text, end - text, s, why) < 0)
			return -1;
		if (!*end)
			break;
	}
	qsort(s->ports, s->nports, sizeof *s->ports, by_number);
	return 0;
}

char *inbound_text(const struct ws_spec *s, char *dst, int size)
{
	str_copy(dst, size, s->inbound == WS_IN_ALL ? "all" : s->inbound == WS_IN_NONE ? "none" : "");
	for (int i = 0, n = 0; s->inbound == WS_IN_PORTS && i < s->nports && n < size - 8; i++)
		n += sprintf(dst + n, "%s%d", i ? "," : "", s->ports[i]);
	return dst;
}

int inbound_url_port(const char *url)
{
	const char *host = strstr(url, "://");
	if (!host)
		return 0;
	int tls = str_starts(url, "https:");
	host += 3;
	size_t len = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', len);
	if (at) {
		len -= at + 1 - host;
		host = at + 1;
	}
	const char *colon = memrchr(host, ':', len), *bracket = memrchr(host, ']', len);
	char digits[8];
	long long port;
	if (!colon || (bracket && bracket > colon))
		return tls ? 443 : 80;
	if (str_copy_slice(digits, sizeof digits, (struct slice){colon + 1, host + len - colon - 1}) < 0
		|| str_num(digits, 1, 65535, &port) < 0)
		return 0;
	return port;
}

static void add(int *ports, int *n, int max, int port)
{
	if (port > 0 && *n < max && !has(ports, *n, port))
		ports[(*n)++] = port;
}

int inbound_needs(const struct ws_spec *s, const char *proxy, int *ports, int max)
{
	int n = 0;
	if (proxy) {
		add(ports, &n, max, inbound_url_port(proxy));
		return n;
	}
	add(ports, &n, max, inbound_url_port(s->control));
	add(ports, &n, max, 443);
	for (int i = 0; i < s->nderp; i++)
		add(ports, &n, max, s->derp[i]);
	return n;
}

int inbound_check_derp(const struct localapi *api, const struct ws_spec *s, int *seen, int *n, long long deadline, struct why *why)
{
	int reach[WS_DERPS + WS_PORTS + 4];
	int reached = inbound_needs(s, NULL, reach, WS_DERPS + 4);
	*n = localapi_derp_ports(api, seen, WS_DERPS, deadline, why);
	if (*n < 0)
		return -1;
	for (int i = 0; i < *n; i++) {
		if (has(reach, reached, seen[i]) || has(s->ports, s->nports, seen[i]))
			continue;
		why_set(why, R_DERP_PORT, "the tailnet's relay (DERP) listens on port %d, which -i does not let tailscaled reach", seen[i]);
		return why_hint(why, "add --derp-port %d (remembered for this control server from now on)", seen[i]);
	}
	return 0;
}

/* In a session, which goes before what stays; tailscaled takes no entry beside it. */
static int in_session(const struct json *j, const char *port)
{
	int found = 0;
	for (struct json_iter i = json_each(j, json_get(j, 0, "Foreground")); json_next(&i); )
		found |= json_get(j, json_get(j, i.value, "TCP"), port) >= 0;
	return found;
}

int inbound_has_shadow(const struct ws_spec *s, const char *proxy, int port)
{
	int needs[WS_DERPS + 8], n = inbound_needs(s, proxy, needs, WS_DERPS + 8);
	return s->inbound == WS_IN_PORTS && !has(s->ports, s->nports, port) && has(needs, n, port);
}

/* {"<port>":{"TCPForward":"127.0.0.1:1"}} for each port that is not open by wish, beside what is configured already. */
static int set_shadows(const struct localapi *api, const struct ws_spec *s, const int *needs, int count, long long deadline,
	struct why *why)
{
	struct buf old = {0}, new = {0};
	struct json j;
	char etag[80];
	if (localapi_serve_get(api, &old, etag, deadline, why) < 0) {
		buf_free(&old);
		return -1;
	}
	if (json_parse(&j, buf_cstr(&old), old.len, why) < 0) {
		buf_free(&old);
		return -1;
	}
	int changed = 0, rc = 0;
	if (json_is_null(&j, 0))
		buf_str(&new, "{}");
	else
		buf_add(&new, old.p, old.len);
	json_free(&j);
	for (int i = 0; i < count && !rc; i++) {
		char port[8];
		const char *const keys[] = {"TCP", port, NULL};
		struct buf next = {0};
		str_fmt(port, sizeof port, "%d", needs[i]);
		if (has(s->ports, s->nports, needs[i]))
			continue;
		if ((rc = json_parse(&j, new.p, new.len, why)) < 0)
			break;
		if (json_get(&j, json_get(&j, 0, "TCP"), port) < 0 && !in_session(&j, port)) {	/* an entry of ts-serve's covers it as well */
			rc = json_set_keys(&next, &j, keys, "{\"TCPForward\":\"127.0.0.1:1\"}");
			buf_free(&new);
			new = next;
			changed = 1;
		}
		json_free(&j);
	}
	if (rc < 0 && !why->reason)
		why_set(why, R_API_ERROR, "serve-config: tailscaled's document has an unknown shape");
	if (!rc && changed)
		rc = localapi_serve_put(api, buf_cstr(&new), etag, deadline, why);
	buf_free(&old);
	buf_free(&new);
	return rc;
}

int inbound_open(const struct localapi *api, const struct ws_spec *s, const int *needs, int n, long long deadline, struct why *why)
{
	if (s->inbound == WS_IN_PORTS && set_shadows(api, s, needs, n, deadline, why) < 0)
		return -1;
	return localapi_patch(api, "{\"ShieldsUp\":false,\"ShieldsUpSet\":true}", deadline, why);
}

int inbound_close(const struct localapi *api, long long deadline, struct why *why)
{
	return localapi_patch(api, "{\"ShieldsUp\":true,\"ShieldsUpSet\":true}", deadline, why);
}

/* /proc/net/tcp: "sl local_address rem_address st ..."; 0A is LISTEN; a UDP socket that is not connected is 07. */
static void scan(const char *file, const char *proto, const char *state, void (*fn)(const char *, int, void *), void *ctx)
{
	FILE *f = fopen(file, "re");
	char line[512], addr[64], st[8];
	static int seen[512];
	int n = 0;
	while (f && fgets(line, sizeof line, f)) {
		char *hex;
		if (sscanf(line, " %*d: %63s %*s %7s", addr, st) != 2 || !str_eq(st, state) || !(hex = strchr(addr, ':')))
			continue;
		int port = strtol(hex + 1, NULL, 16);
		*hex = 0;
		/* 127.x.x.x, 0.0.0.0 and [::] (which takes IPv4 as well, unless it says otherwise) */
		size_t len = strlen(addr);
		int reachable = (len == 8 && (str_ends(addr, "7F") || str_eq(addr, "00000000"))) || (len == 32 && strspn(addr, "0") == 32);
		if (!reachable || has(seen, n, port))
			continue;
		if (n < 512)
			seen[n++] = port;
		fn(proto, port, ctx);
	}
	if (f)
		fclose(f);
}

void inbound_listeners(int pid, void (*fn)(const char *, int, void *), void *ctx)
{
	static const struct { const char *name, *proto, *state; } files[] = {
		{"tcp", "tcp", "0A"}, {"tcp6", "tcp", "0A"}, {"udp", "udp", "07"}, {"udp6", "udp", "07"},
	};
	for (int i = 0; i < 4; i++) {
		char path[48], who[16] = "self";
		if (pid)
			str_fmt(who, sizeof who, "%d", pid);
		str_fmt(path, sizeof path, "/proc/%s/net/%s", who, files[i].name);
		scan(path, files[i].proto, files[i].state, fn, ctx);
	}
}

/* Where the socket of one line listens. */
static enum inbound_where where_is(const char *addr)
{
	size_t len = strlen(addr);
	if (len == 8)
		return str_eq(addr, "0100007F") || str_eq(addr, "00000000") ? INBOUND_ON_V4 : INBOUND_ELSEWHERE;
	if (strspn(addr, "0") == len || str_eq(addr, "0000000000000000FFFF00000100007F"))
		return INBOUND_ON_V4;
	return str_eq(addr, "00000000000000000000000001000000") ? INBOUND_ON_V6 : INBOUND_ELSEWHERE;
}

enum inbound_where inbound_listener(int pid, int port)
{
	enum inbound_where best = INBOUND_UNKNOWN;
	for (int i = 0; i < 2; i++) {
		char file[48], line[512], addr[64], st[8];
		if (pid)
			str_fmt(file, sizeof file, "/proc/%d/net/tcp%s", pid, i ? "6" : "");
		else
			str_fmt(file, sizeof file, "/proc/net/tcp%s", i ? "6" : "");
		FILE *f = fopen(file, "re");
		if (f && best == INBOUND_UNKNOWN)
			best = INBOUND_NOBODY;
		while (f && fgets(line, sizeof line, f)) {
			char *hex;
			if (sscanf(line, " %*d: %63s %*s %7s", addr, st) != 2 || !str_eq(st, "0A") || !(hex = strchr(addr, ':'))
				|| strtol(hex + 1, NULL, 16) != port)
				continue;
			*hex = 0;
			if (where_is(addr) > best)
				best = where_is(addr);
		}
		if (f)
			fclose(f);
	}
	return best;
}
