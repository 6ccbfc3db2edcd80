/* reach - does a TCP connection through the tailnet come about; and if not, why not */
#include "reach.h"
#include "clock.h"
#include "http.h"
#include "json.h"
#include "node.h"
#include "str.h"
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	PING_MS = 2000,		/* for the reason, at the end */
	FIRST_TRY_MS = 1500, LAST_TRY_MS = 5000,
	QUICK_MS = 2000, QUICK_STEP_MS = 25, STEP_MAX_MS = 1000,
	NAME_MS = 5000,		/* how long a short name may be unknown */
	LOOK_MS = 1000,		/* the netmap is read again so often: addresses change, nodes go */
};

/* From here a port that the node's own Landlock or policy keeps shut looks like one where nobody is. */
int reach_refused(const char *name, int port, struct why *why)
{
	return why_set(why, R_REFUSED, "%s:%d: the node refuses it: nothing listens there, or it is not open", name, port);
}

static long long earlier(long long a, long long b)
{
	return !a || (b && b < a) ? b : a;
}

int reach_ping(const struct localapi *api, const char *ip, long long deadline, struct why *why)
{
	char url[160], text[128];
	struct http_res res = {0};
	struct json j;
	str_fmt(url, sizeof url, "http://local-tailscaled.sock/localapi/v0/ping?ip=%s&type=disco&size=0", ip);
	struct http_req req = {
		.method = "POST", .url = url, .socket = api->path, .dir = api->dir, .who = api->who,
		.body = "", .deadline = deadline, .flags = HTTP_NO_PROXY | HTTP_FRESH,
	};
	int rc = http_do(&req, &res, why);
	if (rc < 0 && res.fault == HTTP_TIMEOUT)
		rc = 0;		/* a ping that nobody answers is never answered */
	else if (!rc && res.status == 200 && json_parse(&j, buf_cstr(&res.body), res.body.len, why) == 0) {
		rc = json_text(&j, 0, "Err", text, sizeof text) <= 0;
		json_free(&j);
	} else if (!rc)
		rc = why_set(why, R_API_ERROR, "ping: tailscaled answers %d", res.status);
	http_res_free(&res);
	return rc;
}

static const char *host_name(const struct host *h)
{
	return h->is_routed || !*h->peer.name ? h->dial : h->peer.name;
}

/* No answer came: which of them is to blame? */
static int name_silence(const struct localapi *api, const struct host *h, int port,
	long long deadline, struct why *why)
{
	struct why ignored;
	const char *ip = h->is_routed ? *h->peer.ip4 ? h->peer.ip4 : h->peer.ip6 : h->dial;
	const char *name = h->is_routed && *h->peer.name ? h->peer.name : host_name(h);
	int pong = h->is_self || reach_ping(api, ip, deadline, &ignored) == 1;
	if (pong && h->is_routed)
		return why_set(why, R_FILTERED, "%s:%d: no answer from behind the subnet router %s, which itself answers",
			h->dial, port, name);
	if (pong)
		return why_set(why, R_FILTERED, "%s:%d: the node answers pings, but not on this port", name, port);
	if (!h->peer.online)
		return why_set(why, R_PEER_OFFLINE, "%s:%d: the node is offline", name, port);
	return why_set(why, R_NO_PATH, "%s:%d: the node is online, but nothing from it arrives", name, port);
}

static int is_silence(const struct why *why)
{
	return why->reason == R_DEADLINE || why->reason == R_FILTERED;
}

int reach_dial(const struct localapi *api, const struct host *h, int port,
	struct dial_answer *early, int *half_close, long long deadline, struct why *why)
{
	long long left = clock_left(deadline), keep = left / 3 < PING_MS ? left / 3 : PING_MS, end = deadline ? deadline - keep : 0;
	int fd = -1;
	for (int i = 0; i <= REACH_ANEW_TIMES; i++) {
		long long until = i < REACH_ANEW_TIMES ? earlier(end, clock_ms() + (REACH_ANEW_MS << i)) : end;
		fd = localapi_dial(api, h->dial, port, early, half_close, until, why);
		if (fd >= 0 || why->reason != R_DEADLINE || clock_passed(end) || clock_cancelled())
			break;
	}
	if (fd < 0 && why->reason == R_REFUSED)
		reach_refused(host_name(h), port, why);
	if (fd >= 0 || !is_silence(why))
		return fd;
	return name_silence(api, h, port, earlier(deadline, clock_ms() + PING_MS), why);
}

/* ---- again and again ---- */

struct waiting {
	const struct localapi *api;
	const char *name;
	int port;
	long long began, deadline, looked;
	struct host host;
	int known;			/* host is filled in */
	int try_ms, step_ms;
	unsigned seed;
	long long took;			/* of the last look, ms */
};

/* Nothing that time could mend. */
static int is_final(const struct why *why)
{
	switch (why->reason) {
	case R_API_DENIED: case R_SOCKET_DENIED: case R_SOCKET_FOREIGN: case R_NO_PERMISSION: case R_TOO_BIG:
		return 1;
	case R_NO_PATH:
		return why->status == EXIT_NO;		/* a route that is not accepted */
	default:
		return 0;
	}
}

static int look(struct waiting *w, struct why *why)
{
	struct node_status st;
	long long began = clock_ms();
	if (w->known && began - w->looked < LOOK_MS)
		return 0;
	int rc = peers_find(w->api, w->name, &w->host, &st, w->deadline, why);
	w->looked = clock_ms();
	w->took = w->looked - began;
	w->known = rc == 0;
	if (rc == 0 || why->reason != R_UNKNOWN_NAME)
		return rc;
	if (peers_is_ours(w->name, st.suffix)) {
		char hint[sizeof why->hint];
		str_copy(hint, sizeof hint, why->hint);
		why_set(why, R_NOT_VISIBLE, "%s: the tailnet does not show that node to this one", w->name);
		return why_hint(why, "%s", hint);
	}
	return w->looked - w->began >= NAME_MS ? 1 : -1;
}

static int try_once(struct waiting *w, struct why *why)
{
	struct dial_answer early;
	int half_close;
	long long until = earlier(w->deadline, clock_ms() + w->try_ms);
	int fd = localapi_dial(w->api, w->host.dial, w->port, &early, &half_close, until, why);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (why->reason == R_REFUSED)
		reach_refused(host_name(&w->host), w->port, why);
	if (is_silence(why) && w->try_ms < LAST_TRY_MS)
		w->try_ms += w->try_ms / 2;
	return -1;
}

static void pause_a_bit(struct waiting *w)
{
	if (clock_ms() - w->began > QUICK_MS && w->step_ms < STEP_MAX_MS)
		w->step_ms += w->step_ms / 2;
	/* a look into a large tailnet costs tailscaled more than a step: it gets time for other things */
	long long ms = w->step_ms > 4 * w->took ? w->step_ms : 4 * w->took;
	if (w->step_ms > QUICK_STEP_MS)
		ms = ms * 3 / 4 + rand_r(&w->seed) % (ms / 2 + 1);
	if (ms > clock_left(w->deadline))
		ms = clock_left(w->deadline);
	poll(NULL, 0, ms);
}

int reach_wait(const struct localapi *api, const char *name, int port, long long deadline, struct why *why)
{
	struct waiting w = {
		.api = api, .name = name, .port = port, .began = clock_ms(), .deadline = deadline,
		.try_ms = FIRST_TRY_MS, .step_ms = QUICK_STEP_MS, .seed = getpid() ^ (unsigned)clock_us(),
	};
	struct why last = {0};
	for (;;) {
		struct why now = {0};
		int rc = look(&w, &now);
		if (rc == 0 && try_once(&w, &now) == 0)
			return 0;
		/* what a look or a try says after the deadline, which cut it short, is worth less than what was known before */
		if (last.reason && clock_passed(deadline) && !is_final(&now))
			break;
		last = now;
		if (rc > 0 || is_final(&now) || clock_passed(deadline))
			break;
		pause_a_bit(&w);
		if (clock_passed(deadline))
			break;
	}
	*why = last;
	if (w.known && is_silence(&last))
		return name_silence(api, &w.host, port, clock_ms() + PING_MS / 2, why);
	return -1;
}
