/* resolve - names that are no node's, but that the tailnet's DNS settings give */
#include "resolve.h"
#include "alloc.h"
#include "clock.h"
#include "json.h"
#include "sign.h"
#include "str.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RCODE_MASK = 15, NXDOMAIN = 3, TYPE_A = 1, TYPE_AAAA = 28, HEADER = 12, MESSAGE_MAX = 65535 };

/* ---- the settings ---- */

/* Is name the suffix, or below it? Both without a dot at the end. The root is nobody's. */
static int is_below(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);
	return m && n >= m && !strcasecmp(name + n - m, suffix) && (n == m || name[n - m - 1] == '.');
}

/* The address of an extra record; IPv4 goes first. */
static int has_record(const struct json *j, const char *name, char ip[static 48])
{
	*ip = 0;
	for (struct json_iter r = json_each(j, json_get(j, 0, "ExtraRecords")); json_next(&r); ) {
		char of[256], value[48], addr[16];
		if (json_text(j, r.value, "Name", of, sizeof of) <= 0
			|| json_text(j, r.value, "Value", value, sizeof value) <= 0)
			continue;
		str_undot(of);
		int is4 = inet_pton(AF_INET, value, addr) == 1, is6 = !is4 && inet_pton(AF_INET6, value, addr) == 1;
		if (!strcasecmp(of, name) && (is4 || (is6 && !*ip)))
			str_copy(ip, 48, value);
	}
	return *ip != 0;
}

/* 2 under a suffix with name servers, 1 with none (tailscaled itself answers), 0 under none. The longest suffix counts. */
static int has_route(const struct json *j, const char *name)
{
	size_t best = 0;
	int found = 0;
	for (struct json_iter r = json_each(j, json_get(j, 0, "Routes")); json_next(&r); ) {
		char suffix[256];
		if (json_str(j, r.key, suffix, sizeof suffix) <= 0)
			continue;
		str_undot(suffix);
		if (!is_below(name, suffix) || strlen(suffix) <= best)
			continue;
		best = strlen(suffix);
		found = json_count(j, r.value) > 0 ? 2 : 1;
	}
	return found;
}

static int consider(const struct json *j, const char *name, struct resolve *r)
{
	char ip[48];
	int record = has_record(j, name, ip), route = has_route(j, name);
	if (record && !*r->ip && !r->n)
		str_copy(r->ip, sizeof r->ip, ip);
	if (!record && route == 2 && r->n < RESOLVE_ASKS)
		str_copy(r->ask[r->n++], sizeof *r->ask, name);
	return record || route;
}

int resolve_plan(const char *config, size_t len, const char *name, struct resolve *r)
{
	struct json j;
	struct why ignored;
	memset(r, 0, sizeof *r);
	if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(name)
		|| json_parse(&j, config, len, &ignored) < 0)
		return 0;
	char whole[256], typed[256];
	str_copy(typed, sizeof typed, name);
	str_undot(typed);
	r->is_theirs = consider(&j, typed, r);
	for (struct json_iter d = json_each(&j, json_get(&j, 0, "Domains")); !*r->ip && json_next(&d); ) {
		char domain[256];
		if (json_str(&j, d.value, domain, sizeof domain) <= 0)
			continue;
		str_undot(domain);
		if (str_fmt(whole, sizeof whole, "%s.%s", typed, domain) > 0)
			consider(&j, whole, r);
	}
	json_free(&j);
	return *r->ip || r->n;
}

void resolve_request(const char *name, int ip6, char dst[static 400])
{
	str_fmt(dst, 400, "dns-query?name=%s.&type=%s", name, ip6 ? "AAAA" : "A");
}

/* ---- the answer: RFC 1035 4.1 ---- */

/* Behind the name at p; NULL when it does not end. */
static const unsigned char *skip_name(const unsigned char *p, const unsigned char *end)
{
	while (p < end && *p) {
		if (*p >= 192)
			return end - p < 2 ? NULL : p + 2;
		if (*p >= 64 || end - p <= *p)
			return NULL;
		p += 1 + *p;
	}
	return p < end ? p + 1 : NULL;
}

static int read_message(const unsigned char *p, size_t len, char ip[static 48])
{
	const unsigned char *end = p + len;
	if (len < HEADER)
		return -1;
	int rcode = p[3] & RCODE_MASK, questions = p[4] << 8 | p[5], answers = p[6] << 8 | p[7];
	if (rcode)
		return rcode == NXDOMAIN ? 0 : -1;
	for (p += HEADER; p && questions--; )
		p = (p = skip_name(p, end)) && end - p >= 4 ? p + 4 : NULL;
	while (p && answers--) {
		if (!(p = skip_name(p, end)) || end - p < 10)
			return -1;
		int type = p[0] << 8 | p[1], n = p[8] << 8 | p[9];
		p += 10;
		if (end - p < n)
			return -1;
		if ((type == TYPE_A && n == 4) || (type == TYPE_AAAA && n == 16))
			return inet_ntop(n == 4 ? AF_INET : AF_INET6, p, ip, 48) ? 1 : -1;
		p += n;
	}
	return p ? 0 : -1;
}

int resolve_answer(const char *json, size_t len, char ip[static 48])
{
	struct json_want want = {.key = "Bytes"};
	int rc = -1;
	*ip = 0;
	if (json_top(json, len, &want, 1) < 0 || want.value.len < 2 || want.value.len > MESSAGE_MAX || *want.value.p != '"')
		return -1;
	unsigned char *message = xalloc(want.value.len);
	long n = sign_base64(message, want.value.len, want.value.p + 1, want.value.len - 2);
	if (n > 0)
		rc = read_message(message, n, ip);
	free(message);
	return rc;
}

/* ---- all of it ---- */

static int ask(const struct localapi *api, const char *name, int ip6, char ip[static 48], long long deadline, struct why *why)
{
	struct buf b = {0};
	char what[400];
	resolve_request(name, ip6, what);
	int rc = localapi_get(api, what, &b, deadline, why);
	/* tailscaled answers 500 where it cannot be asked, and waits for one that is silent */
	int silent = rc < 0 && (why->reason == R_API_ERROR || why->reason == R_TAILSCALED_HUNG);
	if (silent || (!rc && (rc = resolve_answer(buf_cstr(&b), b.len, ip)) < 0))
		why_set(why, R_NO_RESOLVER, "%s: the name server that the tailnet's DNS settings give for it does not answer", name);
	buf_free(&b);
	return rc;
}

int resolve_name(const struct localapi *api, const char *name, char ip[static 48], long long deadline, struct why *why)
{
	struct buf b = {0};
	struct resolve r = {0};
	struct why ignored;
	if (localapi_get(api, "dns-config", &b, deadline, &ignored) == 0)
		resolve_plan(buf_cstr(&b), b.len, name, &r);
	buf_free(&b);
	int rc = *r.ip != 0;
	if (rc)
		str_copy(ip, 48, r.ip);
	for (int i = 0; !rc && i < 2 * r.n; i++)
		if ((rc = ask(api, r.ask[i / 2], i % 2, ip, deadline, why)) < 0)
			return -1;
	if (!rc && r.n)
		return why_set(why, R_UNKNOWN_NAME, "%s: no node has that name, nor does a name server of the tailnet's DNS settings know it", name);
	return rc;
}
