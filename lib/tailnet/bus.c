/* bus - what tailscaled tells of itself */
#include "bus.h"
#include "clock.h"
#include "http.h"
#include "json.h"
#include "str.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MASK_INITIAL_STATE = 2, MASK_NO_KEYS = 16, MASK_INITIAL_HEALTH = 128, MASK_RATE_LIMIT = 256 };

int bus_open(struct bus **bus, const struct localapi *api, long long deadline, struct why *why)
{
	char what[64];
	struct http_stream *stream;
	/* without the limit daemons up to 1.98 send the whole netmap at every change */
	str_fmt(what, sizeof what, "watch-ipn-bus?mask=%d", MASK_INITIAL_STATE | MASK_NO_KEYS | MASK_INITIAL_HEALTH | MASK_RATE_LIMIT);
	int rc = localapi_stream(api, what, &stream, deadline, why);
	*bus = rc < 0 ? NULL : (struct bus *)stream;
	return rc;
}

void bus_close(struct bus *bus)
{
	if (bus)
		http_stream_close((struct http_stream *)bus);
}

/* One warning: login-state tells why the control server cannot be had; of the others only what hinders a join. */
static void read_warning(const struct json *j, struct json_iter *w, struct bus_event *e)
{
	char line[256];
	if (json_str_eq(j, w->key, "login-state")) {
		json_text(j, json_get(j, w->value, "Args"), "error", e->login_error, sizeof e->login_error);
		return;
	}
	if (json_str_eq(j, w->key, "tailnet-lock")) {
		json_text(j, w->value, "Text", line, sizeof line);
		e->locked_out |= localapi_tells_lock(line);
		return;
	}
	if (!json_is_true(j, w->value, "ImpactsConnectivity"))
		return;
	json_text(j, w->value, "Text", line, sizeof line);
	size_t n = strlen(e->health);
	if (*line)
		snprintf(e->health + n, sizeof e->health - n, "%s%s", n ? "; " : "", line);
}

static void read_health(struct slice s, struct bus_event *e)
{
	struct json j;
	struct why ignored;
	if (json_parse(&j, s.p, s.len, &ignored) < 0)
		return;
	e->has_health = 1;
	for (struct json_iter w = json_each(&j, json_get(&j, 0, "Warnings")); json_next(&w); )
		read_warning(&j, &w, e);
	json_free(&j);
}

int bus_read(const char *line, size_t len, struct bus_event *e)
{
	struct json_want want[] = {
		{.key = "State"}, {.key = "ErrMessage"}, {.key = "BrowseToURL"}, {.key = "LoginFinished"}, {.key = "Health"},
	};
	memset(e, 0, sizeof *e);
	e->state = -1;
	if (json_top(line, len, want, 5) < 0)
		return -1;
	struct slice state = want[0].value;
	if (state.p && state.len == 1 && *state.p >= '0' && *state.p <= '6')
		e->state = *state.p - '0';
	json_alone(want[1].value, e->err, sizeof e->err);
	json_alone(want[2].value, e->url, sizeof e->url);
	e->login_finished = want[3].value.p != NULL;
	if (want[4].value.p)
		read_health(want[4].value, e);
	return 0;
}

int bus_next(struct bus *bus, struct bus_event *e, struct pollfd *fds, int n, long long deadline, struct why *why)
{
	char *line;
	size_t len;
	for (;;) {
		int rc = http_stream_next((struct http_stream *)bus, fds, n, deadline, &line, &len, why);
		if (rc == HTTP_END)
			return BUS_END;
		if (rc == HTTP_FDS)
			return BUS_FDS;
		if (rc < 0)
			return -1;
		if (bus_read(line, len, e) == 0)
			return BUS_EVENT;
	}
}

/* ---- sessions ---- */

/* "SessionID":"..." in the first line of the bus; its key is written so by every version. */
static int find_session(const struct buf *b, char id[static 80])
{
	static const char key[] = "\"SessionID\":\"";
	const char *at = strstr(buf_cstr(b), key);
	if (!at)
		return 0;
	at += sizeof key - 1;
	size_t n = strspn(at, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
	return at[n] == '"' && n && str_copy_slice(id, 80, (struct slice){at, n}) >= 0;
}

/* By hand, not by libcurl: the descriptor has to outlive us in another process. */
int bus_session(const struct localapi *api, char id[static 80], long long deadline, struct why *why)
{
	char ask[128];
	int len = str_fmt(ask, sizeof ask, "GET /localapi/v0/watch-ipn-bus?mask=%d HTTP/1.1\r\nHost: local-tailscaled.sock\r\n\r\n",
		MASK_INITIAL_STATE | MASK_NO_KEYS | MASK_RATE_LIMIT);
	struct buf b = {.max = 1 << 20};
	char some[4096];
	int fd = dial_unix(api->dir, api->path, &api->who, deadline, why);
	if (fd < 0)
		return -1;
	if (write(fd, ask, len) != len)
		goto lost;
	while (!find_session(&b, id)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (clock_passed(deadline)) {
			why_set(why, R_TAILSCALED_HUNG, "watch-ipn-bus: tailscaled does not answer");
			goto out;
		}
		if (poll(&p, 1, clock_poll_ms(deadline)) <= 0)
			continue;
		ssize_t n = read(fd, some, sizeof some);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0 || buf_add(&b, some, n) < 0)
			goto lost;
	}
	buf_free(&b);
	return fd;
lost:
	why_set(why, R_LOST, "watch-ipn-bus: tailscaled gives no session%s%.100s", b.len ? ": " : "", buf_cstr(&b));
out:
	buf_free(&b);
	close(fd);
	return -1;
}
