/* name - the name that the tailnet gave a workspace's node, and whether it is the one that was asked for */
#include "name.h"
#include "clock.h"
#include "lease.h"
#include "str.h"
#include <poll.h>
#include <string.h>

static int has_name(const struct node_status *st, const char *hostname)
{
	size_t n = strcspn(st->dns_name, ".");
	return !n || (n == strlen(hostname) && !strncmp(st->dns_name, hostname, n));
}

struct holder { const char *name, *id; int other; };

static int look_for_holder(const struct peer *p, void *ctx)
{
	struct holder *h = ctx;
	h->other |= str_eq(p->name, h->name) && !str_eq(p->id, h->id);
	return 0;
}

/* Is the name with the node id, as far as the tailnet shows it to us? */
static int still_holds(const struct ws *ws, const struct localapi *api, const char *id, long long deadline)
{
	struct holder h = {ws->spec.hostname, id, 0};
	struct node_status st;
	struct why ignored;
	return localapi_peers(api, &st, look_for_holder, &h, deadline, &ignored) < 0 || !h.other;
}

int name_check(const struct ws_root *root, const struct ws *ws, const struct localapi *api, const struct node_status *st,
	long long deadline, struct why *why)
{
	char held[64];
	int n = strcspn(st->dns_name, ".");
	if (ws->spec.any_name || has_name(st, ws->spec.hostname))
		return 0;
	if (lease_find(root, ws->spec.control, ws->spec.hostname, held, why) == 1 && !str_eq(held, st->id)
		&& still_holds(ws, api, held, deadline)) {
		why_set(why, R_NAME_HELD, "the tailnet gave the name %.*s: a dead node of ours (%s) still has %s",
			n, st->dns_name, held, ws->spec.hostname);
		return why_hint(why, "wait until the control server removes it, or: ws-up%s%s --api SRC %s (or --any-name)",
			*ws->spec.netns ? " --netns " : ws->spec.isolate ? " --isolate" : "", ws->spec.netns, ws->name);
	}
	why_set(why, R_NAME_TAKEN, "the tailnet gave the name %.*s: another node has %s", n, st->dns_name, ws->spec.hostname);
	return why_hint(why, "remove the other node, choose another name, or: ws-up --any-name %s", ws->name);
}

int name_await(const struct ws *ws, const struct localapi *api, struct node_status *st, long long deadline, struct why *why)
{
	enum { RENAME_MS = 3000, LOOK_MS = 20 };
	char old[sizeof st->dns_name];
	long long until = clock_ms() + RENAME_MS;
	str_copy(old, sizeof old, st->dns_name);
	while (str_eq(st->dns_name, old) && !has_name(st, ws->spec.hostname) && !clock_passed(until) && !clock_passed(deadline)) {
		poll(NULL, 0, LOOK_MS);
		if (localapi_status(api, st, deadline, why) < 0)
			return -1;
	}
	return 0;
}
