/* policy - what a tailnet's policy file says of a tag */
#include "policy.h"
#include "alloc.h"
#include "hujson.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

int policy_is_tag(const char *s)
{
	if (!str_starts(s, "tag:") || !s[4] || strchr("0123456789-", s[4]))
		return 0;
	return strspn(s + 4, LETTERS "0123456789-") == strlen(s + 4);
}

int policy_is_who(const char *s)
{
	if (str_starts(s, "tag:"))
		return policy_is_tag(s);
	return *s && strspn(s, LETTERS "0123456789-_.:@/*+") == strlen(s);
}

/* ---- the snippet ---- */

static void list(struct buf *b, const char *const *items, const char *prefix, const char *suffix)
{
	for (int i = 0; items[i]; i++)
		buf_fmt(b, "%s\"%s%s%s\"", i ? ", " : "", prefix, items[i], suffix);
}

static void port_list(struct buf *b, const char *const *ports)
{
	if (!*ports)
		buf_str(b, "*");
	for (int i = 0; ports[i]; i++)
		buf_fmt(b, "%s%s", i ? "," : "", ports[i]);
}

static void access(struct buf *b, const struct policy_wish *w)
{
	if (w->acls) {
		buf_str(b, "\n\t// Who may open connections to it; nobody else may, once there is any rule.\n\t\"acls\": [\n\t\t"
			"{\"action\": \"accept\", \"src\": [");
		list(b, w->who, "", "");
		buf_fmt(b, "], %s\"dst\": [\"%s:", *w->ports ? "\"proto\": \"tcp\", " : "", w->tag);
		port_list(b, w->ports);
		buf_str(b, "\"]},\n\t],\n");
		return;
	}
	buf_str(b, "\n\t// Who may open connections to it; nobody else may, once there is any rule.\n\t\"grants\": [\n\t\t{\"src\": [");
	list(b, w->who, "", "");
	buf_fmt(b, "], \"dst\": [\"%s\"], \"ip\": [", w->tag);
	if (*w->ports)
		list(b, w->ports, "tcp:", "");
	else
		buf_str(b, "\"*\"");
	buf_str(b, "]},\n\t],\n");
}

static int only_tags(const char *const *who)
{
	for (int i = 0; who[i]; i++)
		if (!str_starts(who[i], "tag:"))
			return 0;
	return 1;
}

static void ssh(struct buf *b, const struct policy_wish *w)
{
	/* a tag as the source has no user who could log in again */
	int accept = only_tags(w->who) || w->dialect == POLICY_HEADSCALE;
	buf_str(b, "\n\t// Tailscale SSH to it (ws-up --ssh); port 22 has to be open above as well.\n\t\"ssh\": [\n\t\t");
	buf_fmt(b, "{\"action\": \"%s\", \"src\": [", accept ? "accept" : "check");
	list(b, w->who, "", "");
	buf_fmt(b, "], \"dst\": [\"%s\"], \"users\": [\"autogroup:nonroot\", \"root\"]},\n\t],\n", w->tag);
}

static void tests(struct buf *b, const struct policy_wish *w)
{
	int first;
	buf_str(b, "\n\t// Refuses a later change that would take this away.\n\t\"tests\": [\n");
	for (int i = 0; w->who[i]; i++) {
		/* a test needs a user or a tag as its source, and a port, not a range */
		if (!strchr(w->who[i], '@') && !str_starts(w->who[i], "tag:"))
			continue;
		buf_fmt(b, "\t\t{\"src\": \"%s\", \"accept\": [", w->who[i]);
		first = 1;
		for (int p = 0; w->ports[p] || (!p && !*w->ports); p++) {
			const char *port = w->ports[p] ? w->ports[p] : "22";
			buf_fmt(b, "%s\"%s:%.*s\"", first ? "" : ", ", w->tag, (int)strcspn(port, "-"), port);
			first = 0;
			if (!w->ports[p])
				break;
		}
		buf_str(b, "]},\n");
	}
	buf_str(b, "\t],\n");
}

int policy_snippet(struct buf *b, const struct policy_wish *w, struct why *why)
{
	static const char *const saas[] = {"autogroup:admin", NULL};
	const char *const *owners = *w->owners ? w->owners : saas;
	int headscale = w->dialect == POLICY_HEADSCALE;
	if (headscale && !*w->owners)
		return why_set(why, R_USAGE, "headscale has no autogroup:admin: name who owns the tag with --owner user@ or --owner group:NAME");
	for (int i = 0; headscale && owners[i]; i++)
		if (str_starts(owners[i], "autogroup:"))
			return why_set(why, R_USAGE, "--owner %s: headscale's owners are users (name@), groups and tags", owners[i]);
	buf_str(b, "{\n\t// Who may give nodes this tag; the tag of the OAuth client that mints the keys belongs here too.\n\t\"tagOwners\": {\n");
	buf_fmt(b, "\t\t\"%s\": [", w->tag);
	list(b, owners, "", "");
	buf_str(b, "],\n\t},\n");
	access(b, w);
	if (w->ssh)
		ssh(b, w);
	if (w->tests)
		tests(b, w);
	buf_str(b, "}\n");
	return b->over ? why_set(why, R_TOO_BIG, "the snippet is too large") : 0;
}

/* ---- reading ---- */

int policy_read(struct policy *p, const char *text, size_t len, struct why *why)
{
	struct why parse = {0};
	*p = (struct policy){0};
	if (len > POLICY_MAX)
		return why_set(why, R_TOO_BIG, "the policy is larger than %d bytes", POLICY_MAX);
	p->text = xstrndup(text, len);
	if (hujson_plain(p->text, len, why) < 0) {
		free(p->text);
		return -1;
	}
	if (json_parse(&p->j, p->text, len, &parse) < 0 || json_kind(&p->j, 0) != JSON_OBJ) {
		if (!parse.reason)
			json_free(&p->j);
		free(p->text);
		return why_set(why, R_BAD_POLICY, "not a policy: %s", parse.reason ? parse.msg : "not an object");
	}
	return 0;
}

void policy_free(struct policy *p)
{
	json_free(&p->j);
	free(p->text);
}

/* Appends to a list joined by ','; each text once. */
static void add(char *dst, size_t size, const char *text)
{
	size_t n = strlen(dst), m = strlen(text);
	for (const char *at = dst; (at = strstr(at, text)); at++)
		if ((at == dst || at[-1] == ',') && (at[m] == ',' || !at[m]))
			return;
	if (n + m + 2 <= size)
		sprintf(dst + n, "%s%s", n ? "," : "", text);
}

int policy_owners(const struct policy *p, const char *tag, char *dst, size_t size)
{
	int owners = json_find(&p->j, json_get(&p->j, 0, "tagOwners"), tag);
	*dst = 0;
	for (struct json_iter i = json_each(&p->j, owners); json_next(&i); ) {
		char who[256];
		if (json_str(&p->j, i.value, who, sizeof who) > 0)
			add(dst, size, who);
	}
	return owners >= 0;
}

static int in_group(const struct policy *p, const char *group, const char *who)
{
	for (struct json_iter i = json_each(&p->j, json_get(&p->j, json_get(&p->j, 0, "groups"), group)); json_next(&i); )
		if (json_str_eq(&p->j, i.value, who))
			return 1;
	return 0;
}

static int is_admin(const char *role)
{
	return str_eq(role, "owner") || str_eq(role, "admin") || str_eq(role, "network-admin");
}

/* Does this owner of a tag stand for them? */
static int is_giver(const struct policy *p, const char *owner, const struct policy_giver *g)
{
	if (str_among(owner, g->tags, g->ntags))
		return 1;
	if (!*g->login)
		return 0;
	if (str_starts(owner, "autogroup:"))
		return str_eq(owner + 10, "member") || str_eq(owner + 10, g->role)
			|| (str_eq(owner + 10, "admin") && str_eq(g->role, "owner"));
	return str_eq(owner, g->login) || (str_starts(owner, "group:") && in_group(p, owner, g->login));
}

int policy_may_give(const struct policy *p, const char *tag, const struct policy_giver *g)
{
	int owners = json_find(&p->j, json_get(&p->j, 0, "tagOwners"), tag), n = 0;
	if (owners < 0)
		return 0;
	for (struct json_iter i = json_each(&p->j, owners); json_next(&i); n++) {
		char owner[256];
		if (json_str(&p->j, i.value, owner, sizeof owner) > 0 && is_giver(p, owner, g))
			return 1;
	}
	if (str_among(tag, g->tags, g->ntags))
		return g->ntags == 1 || g->headscale ? 1 : POLICY_ALL_ONLY;
	if (*g->login && is_admin(g->role))
		return n ? -1 : 1;		/* an empty list: administrators only */
	return 0;
}

/* Does this entry of a rule's src stand for who? */
static int covers(const struct policy *p, const char *entry, const char *who)
{
	if (str_eq(entry, "*") || str_eq(entry, who))
		return 1;
	int person = strchr(who, '@') || str_starts(who, "group:") || str_starts(who, "autogroup:");
	if (str_eq(entry, "autogroup:member"))
		return person;
	if (str_eq(entry, "autogroup:tagged"))
		return str_starts(who, "tag:");
	return str_starts(entry, "group:") && in_group(p, entry, who);
}

int policy_is_owner(const struct policy *p, const char *tag, const char *who)
{
	int found = 0;
	for (struct json_iter i = json_each(&p->j, json_find(&p->j, json_get(&p->j, 0, "tagOwners"), tag)); json_next(&i); ) {
		char owner[256];
		if (json_str(&p->j, i.value, owner, sizeof owner) <= 0)
			continue;
		if (covers(p, owner, who))
			return 1;
		if (str_starts(owner, "autogroup:") && strchr(who, '@'))
			found = -1;
	}
	return found;
}

static int any_covers(const struct policy *p, int entries, const char *who)
{
	for (struct json_iter i = json_each(&p->j, entries); json_next(&i); ) {
		char entry[256];
		if (json_str(&p->j, i.value, entry, sizeof entry) > 0 && covers(p, entry, who))
			return 1;
	}
	return 0;
}

/* "tag:ws:22,80" of the older form: does its host part stand for the tag; the ports go to dst. */
static void add_acl_dst(const char *entry, const char *tag, char *dst, size_t size)
{
	const char *colon = strrchr(entry, ':');
	size_t n = colon ? (size_t)(colon - entry) : 0;
	if (!colon || !((n == 1 && *entry == '*') || (n == strlen(tag) && !strncmp(entry, tag, n))
			|| (n == 16 && !strncmp(entry, "autogroup:tagged", n))))
		return;
	char ports[256], *save = NULL;
	if (str_copy(ports, sizeof ports, colon + 1) < 0)
		return;
	for (char *port = strtok_r(ports, ",", &save); port; port = strtok_r(NULL, ",", &save))
		add(dst, size, port);
}

void policy_ports(const struct policy *p, const char *who, const char *tag, char *dst, size_t size)
{
	const struct json *j = &p->j;
	*dst = 0;
	for (struct json_iter g = json_each(j, json_get(j, 0, "grants")); json_next(&g); ) {
		if (!any_covers(p, json_get(j, g.value, "src"), who) || !any_covers(p, json_get(j, g.value, "dst"), tag))
			continue;
		for (struct json_iter i = json_each(j, json_get(j, g.value, "ip")); json_next(&i); ) {
			char ip[64];
			if (json_str(j, i.value, ip, sizeof ip) > 0)
				add(dst, size, str_starts(ip, "tcp:") ? ip + 4 : ip);
		}
	}
	for (struct json_iter a = json_each(j, json_get(j, 0, "acls")); json_next(&a); ) {
		int src = json_get(j, a.value, "src");
		if (!any_covers(p, src >= 0 ? src : json_get(j, a.value, "users"), who))
			continue;
		int to = json_get(j, a.value, "dst");
		for (struct json_iter i = json_each(j, to >= 0 ? to : json_get(j, a.value, "ports")); json_next(&i); ) {
			char entry[512];
			if (json_str(j, i.value, entry, sizeof entry) > 0)
				add_acl_dst(entry, tag, dst, size);
		}
	}
	/* neither section: everybody may reach everything */
	if (json_find(j, 0, "grants") < 0 && json_find(j, 0, "acls") < 0)
		add(dst, size, "*");
}

int policy_has_port(const char *found, const char *port)
{
	char part[64];
	long long lo, hi, from, to;
	char *dash = strchr(port, '-');
	if (str_copy_slice(part, sizeof part, (struct slice){port, strcspn(port, "-")}) < 0 || str_num(part, 1, 65535, &lo) < 0)
		return 0;
	if (!dash || str_num(dash + 1, lo, 65535, &hi) < 0)
		hi = lo;
	for (const char *p = found; *p; p += strcspn(p, ","), p += *p == ',') {
		if (str_copy_slice(part, sizeof part, (struct slice){p, strcspn(p, ",")}) < 0)
			continue;
		char *sep = strchr(part, '-');
		if (sep)
			*sep = 0;
		if (str_eq(part, "*"))
			return 1;
		if (str_num(part, 0, 65535, &from) == 0 && str_num(sep ? sep + 1 : part, from, 65535, &to) == 0 && from <= lo && hi <= to)
			return 1;
	}
	return 0;
}

void policy_ssh(const struct policy *p, const char *who, const char *tag, char *dst, size_t size, int *check)
{
	const struct json *j = &p->j;
	*dst = 0;
	*check = 0;
	for (struct json_iter s = json_each(j, json_get(j, 0, "ssh")); json_next(&s); ) {
		if (!any_covers(p, json_get(j, s.value, "src"), who) || !any_covers(p, json_get(j, s.value, "dst"), tag))
			continue;
		*check |= json_str_eq(j, json_get(j, s.value, "action"), "check");
		for (struct json_iter i = json_each(j, json_get(j, s.value, "users")); json_next(&i); ) {
			char user[128];
			if (json_str(j, i.value, user, sizeof user) > 0)
				add(dst, size, user);
		}
	}
}
