/* api - one request to the control server's REST API */
#include "api.h"
#include "alloc.h"
#include "clock.h"
#include "secret.h"
#include <ctype.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
	BACKOFF_MS = 500, BACKOFF_MAX_MS = 8000,
	SPREAD_MS = 2000, SPREAD_MAX_MS = 16000,	/* a hundred jobs at five requests a second need twenty seconds for one each */
	TRIES_NOBODY = 3,	/* an address where nothing answers is mostly a wrong address */
	CLOCK_OFF_S = 300,
	ELEMENT_MAX = 64 << 10,
	BODY_MAX = 1 << 20,
};

/* ---- what the server says ---- */

void api_message(const struct http_res *res, char *dst, size_t size)
{
	static const char *const names[] = {"message", "error_description", "error", "detail", "title"};
	struct json j;
	struct why ignored;
	char text[300] = "";
	*dst = 0;
	if (!res->body.len || json_parse(&j, res->body.p, res->body.len, &ignored) < 0)
		return;
	for (size_t i = 0; i < sizeof names / sizeof *names && !*text; i++)
		json_text(&j, 0, names[i], text, sizeof text);
	json_free(&j);
	str_escape(dst, size, text, strlen(text));
}

/* A refusal of the credential may be about time: tokens have dates. */
int api_clock_is_off(const struct http_res *res, struct why *why)
{
	long long theirs, ours = time(NULL);
	if (http_date(res, &theirs) < 0 || llabs(theirs - ours) <= CLOCK_OFF_S)
		return 0;
	char off[32];
	why_set(why, R_CLOCK, "the API refuses the credential, and this machine's clock is %s %s", clock_span(off, llabs(theirs - ours)),
		ours > theirs ? "fast" : "slow");
	why_hint(why, "set the clock");
	return 1;
}

static int no_scope(const struct api *a, const struct api_call *c, const char *text, struct why *why)
{
	if (a->cred == API_TOKEN || !*a->scopes)
		why_set(why, R_NO_SCOPE, "%s: the API credential may not%s%s%s%s", c->what, c->scope ? "; needed is the scope " : "",
			c->scope ? c->scope : "",
			*text ? ": " : "", text);
	else
		why_set(why, R_NO_SCOPE, "%s: the client lacks the scope %s; it has: %s", c->what, c->scope ? c->scope : "for it", a->scopes);
	return why_hint(why, a->cred == API_TOKEN ? "use a credential of an admin, or an OAuth client with that scope"
		: "give the client that scope: %s", a->headscale ? "headscale's OAuth clients are made with their scopes"
			: "admin console, Settings, OAuth clients");
}

int api_explain(const struct api *a, const struct api_call *c, const struct http_res *res, struct why *why)
{
	char text[300];
	api_message(res, text, sizeof text);
	int status = res->status;
	if (status == 429) {
		long long wait = http_retry_after(res);
		if (wait > 0)
			return why_set(why, R_RATE_LIMITED, "%s: the API asks to wait %lld s", c->what, (wait + 999) / 1000);
		return why_set(why, R_RATE_LIMITED, "%s: the API asks us to slow down", c->what);
	}
	if (status == 401) {
		if (api_clock_is_off(res, why))
			return -1;
		why_set(why, R_TOKEN_REFUSED, "%s: the API does not accept the credential (401%s%s)", c->what, *text ? ": " : "", text);
		return why_hint(why, "it is wrong, revoked, expired, or not of %s", a->base);
	}
	if (status == 403)
		return no_scope(a, c, text, why);
	if (!*text && status >= 200 && status < 400)
		return why_set(why, R_CONTROL_ERROR, "%s: %s answers, but not as the API does; a captive portal or a proxy?", c->what, a->base);
	why_set(why, R_API_ERROR, "%s: the API answers %d%s%s", c->what, status, *text ? ": " : "", text);
	if (status >= 500 && status != 501)
		why->status = EXIT_RETRY;
	return -1;
}

static int unreachable(const struct api *a, struct why *why)
{
	char msg[300];
	int status = why->status;
	enum reason reason = why->reason;
	if (reason == R_INTERRUPTED || reason == R_CLOCK)
		return -1;
	str_copy(msg, sizeof msg, why->msg);
	why_set(why, R_CONTROL_ERROR, "the API at %s: %s", a->base, msg);
	why->status = status;
	return -1;
}

/* ---- asking, and asking again ---- */

/* Sleeps; 0, or -1 when the deadline does not leave that much. */
static int pause_for(long long ms, long long deadline)
{
	if (deadline && clock_left(deadline) <= ms)
		return -1;
	for (long long until = clock_ms() + ms; clock_ms() < until; ) {
		poll(NULL, 0, clock_poll_ms(until));
		if (clock_passed(deadline))
			return -1;
	}
	return 0;
}

/* How long to wait before a new try: anything between the two. */
struct wait { long long least_ms, most_ms; };

static long long doubled(long long first_ms, long long most_ms, int n)
{
	long long ms = first_ms << (n < 10 ? n : 10);
	return ms < most_ms ? ms : most_ms;
}

/* Before the n-th new try. 0, or -1: another try cannot help. Many jobs start in the same second, so a part of it is chance. */
static int wait_again(const struct api_call *c, const struct http_res *res, int rc, int n, struct wait *w)
{
	long long base = doubled(BACKOFF_MS, BACKOFF_MAX_MS, n);
	*w = (struct wait){base, base + base / 2};
	if (c->sunk && *c->sunk)
		return -1;
	if (rc == 0 && res->status == 429) {
		/* Retry-After tells all the same: whoever comes back then is one of many again, so the window grows */
		long long told = http_retry_after(res);
		w->least_ms = told > 0 ? told : base;
		w->most_ms = w->least_ms + doubled(SPREAD_MS, SPREAD_MAX_MS, n);
		return 0;
	}
	if (rc == 0)
		return res->status >= 500 && res->status != 501 && c->again ? 0 : -1;
	switch (res->fault) {
	case HTTP_DNS: case HTTP_REFUSED: case HTTP_UNREACHABLE: case HTTP_PROXY_DEAD:
		return n + 1 < TRIES_NOBODY ? 0 : -1;		/* nothing was sent */
	case HTTP_TIMEOUT: case HTTP_CUT:
		return c->again ? 0 : -1;
	default:
		return -1;
	}
}

/* Sleeps by chance within it, the shorter the less time there is. 0, or -1 when the deadline does not leave the least. */
static int pause_within(const struct wait *w, long long deadline)
{
	enum { TRY_MS = 500 };		/* what the try itself may take */
	long long room = w->most_ms - w->least_ms, left = deadline ? clock_left(deadline) - w->least_ms : room + 1;
	if (left <= 0)
		return -1;
	if (room > left - TRY_MS)
		room = left > TRY_MS ? left - TRY_MS : 0;
	unsigned chance = clock_us();
	(void)!getrandom(&chance, sizeof chance, GRND_NONBLOCK);
	return pause_for(w->least_ms + chance % (room + 1), deadline);
}

/* 0 when an answer came, whatever its status. */
int api_ask(const struct api *a, const struct api_call *c, struct http_res *res, long long deadline, struct why *why)
{
	char url[1300], accept[80];
	char *auth = a->token.p ? xfmt("Authorization: Bearer %s", a->token.p) : NULL;
	const char *headers[4] = {NULL};
	int n = 0, rc;
	if (str_fmt(url, sizeof url, "%s%s", a->base, c->path) < 0)
		rc = why_set(why, R_TOO_BIG, "%s: the request is too long", c->what);
	if (auth)
		headers[n++] = auth;
	if (c->form)
		headers[n++] = "Content-Type: application/x-www-form-urlencoded";
	str_fmt(accept, sizeof accept, "Accept: %s", c->accept ? c->accept : "application/json");
	headers[n++] = accept;
	const char *body = c->form ? c->form : c->json;
	struct http_req req = {.method = c->method, .url = url, .headers = headers, .body = body, .body_len = body ? strlen(body) : 0,
		.deadline = deadline, .max = c->sink ? 0 : BODY_MAX, .sink = c->sink, .ctx = c->ctx,
		/* libcurl sends a request again by itself when a kept connection breaks */
		.flags = c->again ? 0 : HTTP_FRESH};
	for (int i = 0; ; i++) {
		rc = http_do(&req, res, why);
		if (clock_passed(deadline) && rc < 0)
			break;
		struct wait wait;
		if ((rc == 0 && res->status < 400) || wait_again(c, res, rc, i, &wait) < 0 || pause_within(&wait, deadline) < 0)
			break;
		http_res_free(res);
		*res = (struct http_res){0};
	}
	if (auth) {
		explicit_bzero(auth, strlen(auth));
		free(auth);
	}
	return rc < 0 ? unreachable(a, why) : 0;
}

/* The same, and the answer is a 2xx with a JSON object. 0: json_free and api_done() are due; -1: nothing is. */
void api_done(struct api_answer *r)
{
	json_free(&r->j);
	buf_wipe(&r->res.body);
	http_res_free(&r->res);
}

int api_ask_json(const struct api *a, const struct api_call *c, struct api_answer *r, long long deadline, struct why *why)
{
	*r = (struct api_answer){0};
	struct why ignored;
	int rc = api_ask(a, c, &r->res, deadline, why);
	r->status = r->res.status;
	if (!rc && r->res.status / 100 != 2)
		rc = api_explain(a, c, &r->res, why);
	else if (!rc && (json_parse(&r->j, buf_cstr(&r->res.body), r->res.body.len, &ignored) < 0)) {
		r->res.status = 200;
		rc = api_explain(a, c, &r->res, why);
	} else if (!rc && json_kind(&r->j, 0) != JSON_OBJ) {
		json_free(&r->j);
		rc = why_set(why, R_API_ERROR, "%s: the API's answer is no object", c->what);
	}
	if (rc < 0) {
		buf_wipe(&r->res.body);
		http_res_free(&r->res);
	}
	return rc;
}

/* ---- lists ---- */

struct list {
	struct json_scan scan;
	int (*fn)(const struct json *, void *);
	void *ctx;
	int given, answer;
	struct why why;
};

static int feed(void *ctx, const char *text, size_t len)
{
	struct list *l = ctx;
	l->given = 1;
	l->answer = json_scan_feed(&l->scan, text, len, &l->why);
	return l->answer != 0;
}

static int give(void *ctx, struct slice name, const char *text, size_t len)
{
	struct list *l = ctx;
	struct json j;
	(void)name;
	if (json_parse(&j, text, len, &l->why) < 0)
		return -1;
	int rc = l->fn(&j, l->ctx);
	json_free(&j);
	return rc;
}

int api_ask_list(const struct api *a, struct api_call *c, const char *key, int (*fn)(const struct json *, void *), void *ctx,
	long long *date, long long deadline, struct why *why)
{
	struct http_res res = {0};
	struct list l = {.fn = fn, .ctx = ctx};
	l.scan = (struct json_scan){.key = key, .max = ELEMENT_MAX, .fn = give, .ctx = &l};
	c->sink = feed;
	c->ctx = &l;
	c->sunk = &l.given;
	int rc = api_ask(a, c, &res, deadline, why);
	if (l.answer > 0)
		rc = l.answer;
	else if (l.answer < 0 && !l.scan.found)
		rc = why_set(why, R_CONTROL_ERROR, "%s: %s answers, but not as the API does; a captive portal or a proxy?", c->what, a->base);
	else if (l.answer < 0)
		rc = why_set(why, R_API_ERROR, "%s: the API's list cannot be read: %s", c->what, l.why.msg);
	else if (!rc && res.status / 100 != 2)
		rc = api_explain(a, c, &res, why);
	else if (!rc && json_scan_end(&l.scan, &l.why) < 0)
		rc = why_set(why, R_API_ERROR, "%s: the API's list was cut short", c->what);
	if (date && http_date(&res, date) < 0)
		*date = 0;
	json_scan_free(&l.scan);
	http_res_free(&res);
	return rc;
}

/* ---- what is sent, what is in an answer ---- */

/* RFC 3986 unreserved bytes stay, the others become %XX. */
void api_form_value(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (isalnum((unsigned char)s[i]) || (s[i] && strchr("-._~", s[i])))
			buf_ch(b, s[i]);
		else
			buf_fmt(b, "%%%02X", (unsigned char)s[i]);
}

void api_form_room(struct buf *b)	/* once, so that no old copy of a secret is left in the heap */
{
	buf_str(b, "");
	b->p = xrealloc(b->p, b->cap = 3 * SECRET_MAX + 4096);
}

long long api_stamp(const struct json *j, int obj, const char *key)
{
	char text[64];
	long long t;
	if (json_text(j, obj, key, text, sizeof text) <= 0 || clock_parse(text, &t) < 0)
		return 0;
	return t > 0 ? t : 0;	/* Go's zero time is the year 1 */
}

/* Text from outside, cut to fit and harmless on a terminal. */
void api_text_of(const struct json *j, int v, char *dst, size_t size)
{
	size_t len;
	char *s = json_dup(j, v, &len);
	*dst = 0;
	if (!s)
		return;
	str_escape(dst, size, s, len);
	secret_blot(dst);
	free(s);
}

void api_list_of(const struct json *j, int v, char (*dst)[64], int *n)
{
	*n = 0;
	for (struct json_iter i = json_each(j, v); *n < API_TAGS && json_next(&i); )
		api_text_of(j, i.value, dst[(*n)++], sizeof *dst);
}
