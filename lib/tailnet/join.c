/* join - bring a tailscaled onto its tailnet, or find out why not */
#include "join.h"
#include "bus.h"
#include "clock.h"
#include "http.h"
#include "key.h"
#include "probe.h"
#include "settings.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLOCK_OFF_S = 600, ASK_MS = 5000, ASK_AGAIN_MS = 3000 };

/* ---- the control server, asked by ourselves ---- */

static const char *printable(const char *s, char *dst, size_t size)
{
	return s ? str_escape(dst, size, s, strlen(s)) : "";
}

static int refused_by_proxy(const struct http_res *res, const char *control, struct why *why)
{
	char reason[160], proxy[256];
	const char *deny = http_header(res, "x-deny-reason");
	if (!deny)
		deny = http_header(res, "x-proxy-error");
	http_redact_url(proxy, sizeof proxy, http_proxy(control) ? http_proxy(control) : "");
	why_set(why, R_CONTROL_PROXY, "%s: the proxy %s answers %d%s%s", control, proxy,
		res->connect_status ? res->connect_status : res->status, deny ? ": " : "", printable(deny, reason, sizeof reason));
	return why_hint(why, res->fault == HTTP_PROXY_AUTH ? "give the proxy's user and password in HTTPS_PROXY"
		: "ask for this domain to be allowed: %.*s", (int)strcspn(strstr(control, "://") + 3, "/"), strstr(control, "://") + 3);
}

static int explain(const struct http_res *res, const char *control, struct why *why)
{
	char text[256];
	str_copy(text, sizeof text, why->msg);
	switch (res->fault) {
	case HTTP_DNS:
		return why_set(why, R_CONTROL_DNS, "%s: the name cannot be resolved", control);
	case HTTP_REFUSED:
		return why_set(why, R_CONTROL_REFUSED, "%s: connection refused", control);
	case HTTP_UNREACHABLE:
		return why_set(why, R_CONTROL_REFUSED, "%s: cannot be reached: %s", control, text);
	case HTTP_TLS_TIME:
		why_set(why, R_CLOCK, "%s: its certificate is not valid at this machine's time", control);
		return why_hint(why, "date -u; set the clock if it is wrong");
	case HTTP_TLS:
		if (why->reason == R_BAD_CA)
			return -1;
		if (!*res->issuer) {
			why_set(why, R_CONTROL_TLS, "%s: TLS fails before any certificate", control);
			return why_hint(why, "check that this port speaks TLS: curl -v %s/key", control);
		}
		why_set(why, R_CONTROL_TLS, "%s: its certificate is not trusted%s%s", control, *res->issuer ? "; issued by " : "", res->issuer);
		return why_hint(why, "if that CA is to be trusted: export SSL_CERT_FILE=/path/to/ca.pem");
	case HTTP_PROXY_REFUSED: case HTTP_PROXY_AUTH:
		return refused_by_proxy(res, control, why);
	case HTTP_PROXY_DEAD: {
		char proxy[256];
		http_redact_url(proxy, sizeof proxy, http_proxy(control) ? http_proxy(control) : "");
		why_set(why, R_CONTROL_PROXY, "%s: the proxy %s cannot be reached", control, proxy);
		why->status = EXIT_RETRY;
		return why_hint(why, "check HTTPS_PROXY");
	}
	case HTTP_TIMEOUT:
		return why_set(why, R_CONTROL_SILENT, "%s: no answer", control);
	default:
		return why_set(why, R_CONTROL_ERROR, "%s: %s", control, text);
	}
}

int join_ask_control(const char *control, long long deadline, struct why *why)
{
	char url[600];
	struct http_res res = {0};
	long long theirs;
	str_fmt(url, sizeof url, "%s/key?v=106", control);
	struct http_req req = {.url = url, .deadline = deadline, .max = 65536, .flags = HTTP_FRESH};
	if (!probe_proxy(control))
		req.flags |= HTTP_NO_PROXY;
	int rc = http_do(&req, &res, why);
	if (rc < 0)
		explain(&res, control, why);
	else if (res.via_proxy && (res.status == 403 || res.status == 407))
		rc = refused_by_proxy(&res, control, why);
	else if (http_date(&res, &theirs) == 0 && llabs(theirs - (long long)time(NULL)) > CLOCK_OFF_S) {
		char here[32], there[32];
		clock_stamp(here, time(NULL));
		clock_stamp(there, theirs);
		rc = why_set(why, R_CLOCK, "this machine's clock says %s, the control server's %s", here, there);
		why_hint(why, "set this machine's clock");
	} else if (res.status == 429)
		rc = why_set(why, R_RATE_LIMITED, "%s: answers 429, too many requests", control);
	else if (res.status / 100 != 2)
		rc = why_set(why, R_CONTROL_ERROR, "%s: answers %d to /key, as no control server does", control, res.status);
	else if (!memmem(buf_cstr(&res.body), res.body.len, "ublicKey", 8))
		rc = why_set(why, R_CONTROL_ERROR, "%s: answers, but is no control server", control);
	http_res_free(&res);
	return rc;
}

/* The same in a child, so that the bus is not kept waiting. The child writes a struct why, reason R_NONE for fine. */
struct inquiry { int fd, pid; };

static void inquiry_start(struct inquiry *a, const char *control)
{
	int p[2];
	if (a->fd >= 0 || pipe2(p, O_CLOEXEC) < 0)
		return;
	a->pid = fork();
	if (a->pid == 0) {
		struct why why = {0};
		http_forget();
		join_ask_control(control, clock_ms() + ASK_MS, &why);
		_exit(write(p[1], &why, sizeof why) < 0);
	}
	close(p[1]);
	a->fd = p[0];
	if (a->pid < 0) {
		close(a->fd);
		a->fd = -1;
	}
}

/* 1 when an answer was taken. */
static int inquiry_take(struct inquiry *a, struct why *answer)
{
	ssize_t n = read(a->fd, answer, sizeof *answer);
	close(a->fd);
	a->fd = -1;
	while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof *answer;
}

static void inquiry_stop(struct inquiry *a)
{
	struct why unused;
	if (a->fd < 0)
		return;
	kill(a->pid, SIGKILL);	/* our own child, not reaped yet: its number is still its own */
	inquiry_take(a, &unused);
}

/* ---- listening ---- */

struct joining {
	const struct join *j;
	struct node_status *st;
	struct bus *bus;
	struct inquiry inquiry;
	struct why control;		/* what the last asking said */
	char said[512];			/* what the user was told last */
	char error[512], health[512];	/* tailscaled's own words */
	int state, had_login, logged_in, limited;
	int locked_out, look;		/* what a status said of tailnet lock; an event says otherwise */
	int is_new, registered;
	long long next_ask;
};

static void tell(struct joining *g, const char *text)
{
	if (g->j->tell && !str_eq(g->said, text))
		g->j->tell(text, g->j->ctx);
	str_copy(g->said, sizeof g->said, text);
}

/* The control server's refusal: final, unless it asks for patience or is the bus's own trouble. */
static int refusal(struct joining *g, const char *text, struct why *why)
{
	enum reason r = key_refusal(text);
	if (strstr(text, "consumer fell behind"))
		return 0;
	if (r == R_RATE_LIMITED) {
		g->limited = 1;
		str_copy(g->error, sizeof g->error, text);
		tell(g, "the control server asks us to slow down; waiting");
		return 0;
	}
	why_set(why, r ? r : R_JOIN_REFUSED, "the control server refuses: %s", text);
	if (r == R_TAG_REFUSED)
		why_hint(why, "a key that carries tags needs no --tag; otherwise add the tag to tagOwners in the policy");
	else if (r == R_KEY_REFUSED)
		why_hint(why, "it is used up, revoked or expired; make a new auth key");
	else if (r)
		why_hint(why, "make a new auth key, or check that the key is of this control server (--login-server)");
	return -1;
}

static int no_key(const char *what, struct why *why)
{
	why_set(why, R_NO_KEY, "%s, and there is no auth key", what);
	return why_hint(why, "export TS_AUTHKEY=..., or pass -k file:PATH, or log in with a browser: --login");
}

/* It had a login when it was started, which the control server does not take any more: expired, or deleted there. */
static int log_in_again(struct joining *g, long long deadline, struct why *why)
{
	g->had_login = 0;
	if (!g->j->key)
		return g->j->interactive ? 0 : no_key("the node has to log in again", why);
	return localapi_start(&g->j->daemon->api, g->j->key, &g->j->prefs, deadline, why);
}

static int take_event(struct joining *g, const struct bus_event *e, long long deadline, struct why *why)
{
	if (g->had_login && (e->state == NODE_NEEDS_LOGIN || *e->url) && log_in_again(g, deadline, why) < 0)
		return -1;
	if (*e->err && refusal(g, e->err, why) < 0)
		return -1;
	if (e->has_health) {
		/* 1.80 has no ErrMessage for some refusals, only this */
		if (*e->login_error && !g->logged_in && key_refusal(e->login_error) && key_refusal(e->login_error) != R_RATE_LIMITED
			&& strstr(e->login_error, "register request") == NULL && refusal(g, e->login_error, why) < 0)
			return -1;
		str_copy(g->error, sizeof g->error, e->login_error);
		str_copy(g->health, sizeof g->health, e->health);
		g->look |= e->locked_out != g->locked_out;
	}
	if (e->login_finished)
		g->logged_in = 1;
	if (*e->url && !g->j->key) {
		char text[700];
		str_fmt(text, sizeof text, "log in here: %s", e->url);
		tell(g, text);
	}
	if (e->state >= 0) {
		g->state = e->state;
		if (e->state == NODE_NEEDS_APPROVAL)
			tell(g, "waiting for an admin to approve this node");
	}
	return 0;
}

/* Why nothing came of it until the deadline. */
static int give_up(struct joining *g, struct why *why)
{
	const char *control = g->j->control;
	if (g->state == NODE_NEEDS_APPROVAL) {
		why_set(why, R_APPROVAL, "registered, but an admin has not approved this node yet");
		return why_hint(why, "approve it at %s/admin; the node waits, and ws-up again goes on",
			str_eq(control, SETTINGS_CONTROL) ? "https://login.tailscale.com" : control);
	}
	if (g->locked_out) {
		why_set(why, R_LOCK_UNSIGNED, "registered, but tailnet lock is on and nobody has signed this node's key yet");
		return why_hint(why, "on a signing node: %s; this one waits, and ws-up again goes on", g->st->sign);
	}
	if (!g->had_login && !g->logged_in && !g->j->key && g->state != NODE_STARTING) {
		why_set(why, R_LOGIN, "nobody has logged in yet");
		return why_hint(why, "open the URL above; the node waits, and ws-up again goes on");
	}
	if (g->control.reason && g->state != NODE_STARTING) {
		*why = g->control;
		return -1;
	}
	if (g->limited)
		return why_set(why, R_RATE_LIMITED, "the control server asks us to slow down: %s", g->error);
	if (g->state == NODE_STARTING) {
		why_set(why, R_NO_PATH, "logged in, but no relay (DERP) can be reached%s%s", *g->health ? ": " : "", g->health);
		return why_hint(why, "the tailnet's DERP servers have to be reachable, mostly at TCP port 443");
	}
	if (*g->error)
		return why_set(why, R_CONTROL_ERROR, "no success with %s: %s", control, g->error);
	return why_set(why, R_CONTROL_SILENT, "%s: answers, but not to the registration of this node", control);
}

/* A trouble that waiting does not mend ends it at once; another is told, and tried on. */
static int take_answer(struct joining *g, struct why *why)
{
	struct why answer;
	if (!inquiry_take(&g->inquiry, &answer))
		return 0;
	g->control = answer;
	g->next_ask = clock_ms() + ASK_AGAIN_MS;
	if (!answer.reason)
		return 0;
	if (answer.status == EXIT_NO) {
		*why = answer;
		return -1;
	}
	char text[600];
	str_fmt(text, sizeof text, "%s [%s]; still trying", answer.msg, reason_word(answer.reason));
	tell(g, text);
	return 0;
}

static int meet(struct joining *g, long long deadline, struct why *why)
{
	if (localapi_status(&g->j->daemon->api, g->st, deadline, why) < 0)
		return -1;
	g->locked_out = g->st->locked_out;
	if (!*g->st->id && g->state != NODE_RUNNING)
		return 0;
	g->registered = 1;
	return g->j->registered(g->j->ctx, why);
}

/* The bus tells of tailnet lock what held a moment ago: only a status counts. */
static int check_lock(struct joining *g, long long deadline, struct why *why)
{
	if (!g->look)
		return 0;
	g->look = 0;
	if (localapi_status(&g->j->daemon->api, g->st, deadline, why) < 0)
		return -1;
	g->locked_out = g->st->locked_out;
	return 0;
}

static void tell_locked(struct joining *g)
{
	char text[300];
	str_fmt(text, sizeof text, "tailnet lock is on; waiting for a signing node to sign this node's key: %s", g->st->sign);
	if (g->locked_out)
		tell(g, text);
}

static int is_joined(const struct joining *g)
{
	return g->state == NODE_RUNNING && g->registered && !g->locked_out;
}

static int listen_on(struct joining *g, long long deadline, struct why *why)
{
	g->next_ask = clock_ms() + JOIN_LONGER_MS;
	while (!is_joined(g)) {
		struct bus_event e;
		struct pollfd fds[] = {{.fd = g->j->daemon->pidfd, .events = POLLIN}, {.fd = g->inquiry.fd, .events = POLLIN}};
		int settled = g->logged_in || g->state >= NODE_NEEDS_APPROVAL;
		long long until = settled || g->inquiry.fd >= 0 || (deadline && deadline < g->next_ask) ? deadline : g->next_ask;
		int rc = bus_next(g->bus, &e, fds, 2, until, why);
		if (rc == BUS_EVENT && take_event(g, &e, deadline, why) < 0)
			return -1;
		/* one that is not new may have an old netmap until it is Running */
		if (rc == BUS_EVENT && e.state == NODE_STARTING && g->is_new && !g->registered && meet(g, deadline, why) < 0)
			return -1;
		if (rc == BUS_EVENT && g->state == NODE_RUNNING && !g->registered && meet(g, deadline ? deadline + 1000 : 0, why) < 0)
			return -1;
		if (rc == BUS_EVENT && check_lock(g, deadline, why) < 0)
			return -1;
		tell_locked(g);
		if (rc == BUS_FDS && fds[0].revents)
			return why_set(why, R_TAILSCALED_DIED, "tailscaled ended while joining");
		if (rc == BUS_FDS && fds[1].revents && take_answer(g, why) < 0)
			return -1;
		if (rc == BUS_END || (rc < 0 && why->reason == R_LOST)) {
			bus_close(g->bus);	/* it drops listeners that lag */
			if (bus_open(&g->bus, &g->j->daemon->api, deadline, why) < 0)
				return -1;
		} else if (rc < 0 && why->reason != R_DEADLINE)
			return -1;
		if (!is_joined(g) && clock_passed(deadline))
			return give_up(g, why);
		if (!settled && clock_ms() >= g->next_ask)
			inquiry_start(&g->inquiry, g->j->control);
	}
	return 0;
}

int join_run(const struct join *j, struct node_status *st, long long deadline, struct why *why)
{
	const struct localapi *api = &j->daemon->api;
	struct joining g = {.j = j, .st = st, .state = -1, .inquiry = {.fd = -1}};
	int has_login = st->has_key && st->state != NODE_NEEDS_LOGIN;
	if (!has_login && !j->key && !j->interactive && !j->resume)
		return no_key("the node is not logged in", why);
	g.had_login = has_login && !j->resume;
	if (bus_open(&g.bus, api, deadline, why) < 0)
		return -1;
	int rc = 0;
	g.is_new = !st->has_key;
	if (!j->resume) {
		rc = localapi_start(api, has_login ? NULL : j->key, &j->prefs, deadline, why);
		if (!rc && !st->has_key)
			rc = localapi_login(api, deadline, why);
		else if (!rc && !has_login && !j->key)
			rc = localapi_login(api, deadline, why);
	}
	if (!rc)
		rc = listen_on(&g, deadline, why);
	inquiry_stop(&g.inquiry);
	bus_close(g.bus);
	st->state = rc < 0 ? st->state : NODE_RUNNING;
	return rc;
}
