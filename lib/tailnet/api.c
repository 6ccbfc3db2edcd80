/* api - the control server's REST API */
#include "api.h"
#include "clock.h"
#include "http.h"
#include "hujson.h"
#include "json.h"
#include "key.h"
#include "settings.h"
#include "str.h"
#include "wif.h"
#include <ctype.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BACKOFF_MS = 500, BACKOFF_MAX_MS = 8000,
	TRIES_NOBODY = 3,	/* an address where nothing answers is mostly a wrong address */
	CLOCK_OFF_S = 300,
	ELEMENT_MAX = 64 << 10,
	BODY_MAX = 1 << 20,
};

struct call {
	const char *what;	/* "mint a key": what messages begin with */
	const char *method;
	char path[700];		/* below the base */
	const char *form, *json;	/* body, or NULL */
	const char *accept;
	const char *scope;	/* that it needs */
	int again;		/* asking twice does no harm */
	int (*sink)(void *, const char *, size_t);
	void *ctx;
	const int *sunk;	/* something went into the sink: it cannot be done again */
};

/* ---- what the server says ---- */

static void message(const struct http_res *res, char *dst, size_t size)
{
	static const char *const names[] = {"message", "error_description", "error", "detail", "title"};
	struct json j;
	struct why ignored;
	char text[300] = "";
	*dst = 0;
	if (!res->body.len || json_parse(&j, res->body.p, res->body.len, &ignored) < 0)
		return;
	for (size_t i = 0; i < sizeof names / sizeof *names && !*text; i++)
		json_str(&j, json_get(&j, 0, names[i]), text, sizeof text);
	json_free(&j);
	str_escape(dst, size, text, strlen(text));
}

/* A refusal of the credential may be about time: tokens have dates. */
static int clock_is_off(const struct http_res *res, struct why *why)
{
	long long theirs, ours = time(NULL);
	if (http_date(res, &theirs) < 0 || llabs(theirs - ours) <= CLOCK_OFF_S)
		return 0;
	long long off = llabs(theirs - ours);
	why_set(why, R_CLOCK, "the API refuses the credential, and this machine's clock is %lld %s %s",
		off < 7200 ? off / 60 : off / 3600, off < 7200 ? "minutes" : "hours", ours > theirs ? "fast" : "slow");
	why_hint(why, "set the clock");
	return 1;
}

static void join_tags(char *dst, size_t size, const char (*tags)[64], int n)
{
	*dst = 0;
	for (int i = 0; i < n; i++) {
		size_t at = strlen(dst);
		str_fmt(dst + at, size - at, "%s%s", i ? " " : "", tags[i]);
	}
}

static int no_scope(const struct api *a, const struct call *c, const char *text, struct why *why)
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

static int explain(const struct api *a, const struct call *c, const struct http_res *res, struct why *why)
{
	char text[300];
	message(res, text, sizeof text);
	int status = res->status;
	if (status == 429) {
		long long wait = http_retry_after(res);
		if (wait > 0)
			return why_set(why, R_RATE_LIMITED, "%s: the API asks to wait %lld s", c->what, (wait + 999) / 1000);
		return why_set(why, R_RATE_LIMITED, "%s: the API asks us to slow down", c->what);
	}
	if (status == 401) {
		if (clock_is_off(res, why))
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

/* How long to wait before the n-th new try, or -1: another try cannot help. */
static long long wait_again(const struct call *c, const struct http_res *res, int rc, int n)
{
	long long base = (long long)BACKOFF_MS << (n < 5 ? n : 5);
	if (base > BACKOFF_MAX_MS)
		base = BACKOFF_MAX_MS;
	base += clock_us() % (base / 2 + 1);	/* jitter: many jobs start in the same second */
	if (c->sunk && *c->sunk)
		return -1;
	if (rc == 0 && res->status == 429) {
		long long told = http_retry_after(res);
		return told > base ? told + clock_us() % (told / 4 + 1) : base;	/* never sooner than told, and growing */
	}
	if (rc == 0)
		return res->status >= 500 && res->status != 501 && c->again ? base : -1;
	switch (res->fault) {
	case HTTP_DNS: case HTTP_REFUSED: case HTTP_UNREACHABLE: case HTTP_PROXY_DEAD:
		return n + 1 < TRIES_NOBODY ? base : -1;	/* nothing was sent */
	case HTTP_TIMEOUT: case HTTP_CUT:
		return c->again ? base : -1;
	default:
		return -1;
	}
}

/* 0 when an answer came, whatever its status. */
static int ask(const struct api *a, const struct call *c, struct http_res *res, long long deadline, struct why *why)
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
		long long wait = rc == 0 && res->status < 400 ? -1 : wait_again(c, res, rc, i);
		if (wait < 0 || pause_for(wait, deadline) < 0)
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

/* The same, and the answer is a 2xx with a JSON object. 0: json_free and done() are due; -1: nothing is. */
struct answer { struct http_res res; struct json j; int status; };

static void done(struct answer *r)
{
	json_free(&r->j);
	buf_wipe(&r->res.body);
	http_res_free(&r->res);
}

static int ask_json(const struct api *a, const struct call *c, struct answer *r, long long deadline, struct why *why)
{
	*r = (struct answer){0};
	struct why ignored;
	int rc = ask(a, c, &r->res, deadline, why);
	r->status = r->res.status;
	if (!rc && r->res.status / 100 != 2)
		rc = explain(a, c, &r->res, why);
	else if (!rc && (json_parse(&r->j, buf_cstr(&r->res.body), r->res.body.len, &ignored) < 0)) {
		r->res.status = 200;
		rc = explain(a, c, &r->res, why);
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

/* ---- tokens ---- */

/* RFC 3986 unreserved bytes stay, the others become %XX. */
static void form_value(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (isalnum((unsigned char)s[i]) || (s[i] && strchr("-._~", s[i])))
			buf_ch(b, s[i]);
		else
			buf_fmt(b, "%%%02X", (unsigned char)s[i]);
}

static void form_room(struct buf *b)	/* once, so that no old copy of a secret is left in the heap */
{
	buf_str(b, "");
	b->p = xrealloc(b->p, b->cap = 3 * SECRET_MAX + 4096);
}

static int is_header_text(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] <= 0x20 || s[i] > 0x7e)
			return 0;
	return n > 0;
}

static void take_words(const char *text, char (*dst)[64], int *n)
{
	while (*text && *n < API_TAGS) {
		size_t len = strcspn(text, " ");
		if (len && len < sizeof *dst)
			str_copy_slice(dst[(*n)++], sizeof *dst, (struct slice){text, len});
		text += len + (text[len] == ' ');
	}
}

static int take_token(struct api *a, const struct answer *r, struct why *why)
{
	char text[API_TAGS * 64];
	size_t len = 0;
	char *token = json_dup(&r->j, json_get(&r->j, 0, "access_token"), &len);
	int rc = token && len <= SECRET_MAX && is_header_text(token, len) && secret_set(&a->token, token, len) == 0 ? 0
		: why_set(why, R_API_ERROR, "the API's answer has no access_token that can be used");
	if (token)
		explicit_bzero(token, len);
	free(token);
	if (rc < 0)
		return -1;
	secret_mask(&a->token);
	if (json_str(&r->j, json_get(&r->j, 0, "scope"), text, sizeof text) > 0)
		str_escape(a->scopes, sizeof a->scopes, text, strlen(text));
	if (json_str(&r->j, json_get(&r->j, 0, "tags"), text, sizeof text) > 0) {
		char safe[sizeof text];
		str_escape(safe, sizeof safe, text, strlen(text));
		take_words(safe, a->tags, &a->ntags);
	}
	return 0;
}

/* RFC 6749 §4.4 */
static int exchange(struct api *a, const char *text, const struct key *key, long long deadline, struct why *why)
{
	struct buf body = {0};
	struct answer r;
	form_room(&body);
	buf_str(&body, "grant_type=client_credentials&client_id=");
	form_value(&body, key->id, strlen(key->id));
	buf_str(&body, "&client_secret=");
	form_value(&body, text, key->bare);
	struct call c = {.what = "oauth/token", .method = "POST", .path = "/api/v2/oauth/token", .form = body.p, .again = 1};
	a->cred = API_CLIENT;
	str_copy(a->client, sizeof a->client, key->id);
	int rc = ask_json(a, &c, &r, deadline, why);
	buf_wipe(&body);
	if (!rc) {
		rc = take_token(a, &r, why);
		done(&r);
	}
	return rc;
}

static int refused_identity(const struct api *a, const struct call *c, const struct http_res *res, struct why *why)
{
	char text[300];
	if (res->status == 404) {
		why_set(why, R_API_ERROR, "%s: the API at %s knows no workload identities (404)", c->what, a->base);
		return why_hint(why, "headscale has none; use an OAuth client there");
	}
	if (res->status != 400 && res->status != 401 && res->status != 403)
		return explain(a, c, res, why);
	if (clock_is_off(res, why))
		return -1;
	message(res, text, sizeof text);
	why_set(why, R_IDENTITY_REFUSED, "the API does not accept the identity token (%d%s%.120s); it has %.330s", res->status,
		*text ? ": " : "", text, a->identity);
	return why_hint(why, "compare these, letter by letter, with the federated identity %.160s; a subject that varies wants a * there",
		a->client);
}

static int exchange_identity(struct api *a, const struct api_who *who, const char *src, long long deadline, struct why *why)
{
	const char *id = who->client_id ? who->client_id : getenv("TS_CLIENT_ID");
	const char *aud = who->audience ? who->audience : getenv("TS_AUDIENCE");
	struct secret jwt;
	struct wif_claims claims;
	struct key key;
	struct answer r;
	char by_default[200];
	if (!id || !*id) {
		why_set(why, R_NO_CREDENTIAL, "an identity token needs the federated identity's client id");
		return why_hint(why, "set TS_CLIENT_ID (ts-keygen: --client-id ID)");
	}
	if (key_shape(id, strlen(id), &key, why) < 0 && why->reason != R_KEY_IS_ID)
		return -1;
	if (key.kind == KEY_CLIENT || key.kind == KEY_AUTH || key.kind == KEY_API)
		return why_set(why, R_KEY_KIND, "the client id is %s; it should be a federated identity's id (T...-k...)",
			key_kind_name(key.kind));
	str_copy(a->client, sizeof a->client, *key.id ? key.id : id);
	a->cred = API_WIF;
	a->ephemeral = key.ephemeral;
	a->preauthorized = key.preauthorized;
	if (!aud || !*aud) {
		str_fmt(by_default, sizeof by_default, "api.tailscale.com/%s", a->client);
		aud = by_default;
	}
	if (wif_get(src, who->given, aud, &jwt, &claims, deadline, why) < 0)
		return -1;
	wif_show(&claims, a->identity, sizeof a->identity);
	struct buf body = {0};
	form_room(&body);
	buf_str(&body, "client_id=");
	form_value(&body, a->client, strlen(a->client));
	buf_str(&body, "&jwt=");
	form_value(&body, jwt.p, jwt.len);
	secret_free(&jwt);
	struct call c = {.what = "oauth/token-exchange", .method = "POST", .path = "/api/v2/oauth/token-exchange",
		.form = body.p, .again = 1};
	r = (struct answer){0};
	int rc = ask(a, &c, &r.res, deadline, why);
	buf_wipe(&body);
	if (!rc && r.res.status / 100 != 2)
		rc = refused_identity(a, &c, &r.res, why);
	else if (!rc && json_parse(&r.j, buf_cstr(&r.res.body), r.res.body.len, why) < 0) {
		r.res.status = 200;
		rc = explain(a, &c, &r.res, why);
	} else if (!rc) {
		rc = take_token(a, &r, why);
		json_free(&r.j);
	}
	buf_wipe(&r.res.body);
	http_res_free(&r.res);
	return rc;
}

/* ---- opening ---- */

int api_is_tailscale(const char *control)
{
	const char *host = str_starts(control, "https://") ? control + 8 : NULL;
	char name[128];
	return host && str_copy_slice(name, sizeof name, (struct slice){host, strcspn(host, ":/")}) >= 0
		&& (str_eq(name, "tailscale.com") || str_ends(name, ".tailscale.com"));
}

static int find_base(struct api *a, const char *own, const char *control, struct why *why)
{
	const char *told = getenv("MOORBOX_API");
	const char *url = told && *told ? told : *own ? own : api_is_tailscale(control) ? "https://api.tailscale.com" : control;
	*a = (struct api){.ephemeral = -1, .preauthorized = -1};
	return settings_control(url, a->base, sizeof a->base, why);
}

static int open_text(struct api *a, const char *text, size_t len, int only_client, const char *control,
	long long deadline, struct why *why)
{
	struct key key;
	if (key_shape(text, len, &key, why) < 0)
		return -1;
	if (find_base(a, key.base_url, control, why) < 0)
		return -1;
	a->headscale = key.headscale;
	a->ephemeral = key.ephemeral;
	a->preauthorized = key.preauthorized;
	if (key.headscale && api_is_tailscale(control) && !getenv("MOORBOX_API") && !*key.base_url) {
		why_set(why, R_KEY_FOREIGN, "this is %s of headscale's, and the control server is Tailscale's", key_kind_name(key.kind));
		return why_hint(why, "name the server: --login-server URL, or TS_LOGIN_SERVER");
	}
	if (key.kind == KEY_CLIENT)
		return exchange(a, text, &key, deadline, why);
	if (!only_client && (key.kind == KEY_API || key.kind == KEY_OTHER)) {
		str_copy(a->client, sizeof a->client, key.id);
		if (!is_header_text(text, len))
			return why_set(why, R_KEY_MALFORMED, "the credential has letters that none has");
		return secret_set(&a->token, text, len) < 0 ? why_set(why, R_RESOURCES, "no memory left") : 0;
	}
	why_set(why, R_KEY_KIND, "this is %s; %s", key_kind_name(key.kind),
		only_client ? "wanted is an OAuth client secret" : "the API wants an access token or an OAuth client secret");
	return why_hint(why, "make one in the admin console, Settings, %s", only_client ? "OAuth clients" : "Keys or OAuth clients");
}

int api_open_as(struct api *a, const struct api_who *who, const char *control, long long deadline, struct why *why)
{
	const char *src = who->src;
	int only_client = str_starts(src, "oauth:");
	struct secret given;
	*a = (struct api){0};
	int rc;
	if (str_starts(src, "wif:"))
		rc = find_base(a, "", control, why) < 0 ? -1 : exchange_identity(a, who, src + 4, deadline, why);
	else if (who->given)
		rc = open_text(a, who->given->p, who->given->len, only_client, control, deadline, why);
	else if ((rc = secret_get(&given, only_client ? src + 6 : src, why)) == 0) {
		rc = open_text(a, given.p, given.len, only_client, control, deadline, why);
		secret_free(&given);
	}
	if (rc < 0)
		secret_free(&a->token);
	return rc;
}

int api_open(struct api *a, const struct secret *given, const char *control, long long deadline, struct why *why)
{
	return api_open_as(a, &(struct api_who){.src = "", .given = given}, control, deadline, why);
}

void api_close(struct api *a)
{
	secret_free(&a->token);
}

int api_may(const struct api *a, const char *scope, int write)
{
	char words[API_TAGS][64], reads[64];
	int n = 0;
	if (!*a->scopes)
		return -1;
	take_words(a->scopes, words, &n);
	str_fmt(reads, sizeof reads, "%s:read", scope);
	for (int i = 0; i < n; i++)
		if (str_eq(words[i], "all") || str_eq(words[i], scope) || (!write && (str_eq(words[i], "all:read") || str_eq(words[i], reads))))
			return 1;
	return 0;
}

/* ---- keys ---- */

static long long stamp(const struct json *j, int obj, const char *key)
{
	char text[64];
	long long t;
	if (json_str(j, json_get(j, obj, key), text, sizeof text) <= 0 || clock_parse(text, &t) < 0)
		return 0;
	return t > 0 ? t : 0;	/* Go's zero time is the year 1 */
}

/* Text from outside, cut to fit and harmless on a terminal. */
static void text_of(const struct json *j, int v, char *dst, size_t size)
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

static void list_of(const struct json *j, int v, char (*dst)[64], int *n)
{
	*n = 0;
	for (struct json_iter i = json_each(j, v); *n < API_TAGS && json_next(&i); )
		text_of(j, i.value, dst[(*n)++], sizeof *dst);
}

static void key_of(const struct json *j, struct api_key *k)
{
	char words[API_TAGS][64];
	int n, create = json_at(j, "capabilities.devices.create");
	*k = (struct api_key){0};
	text_of(j, json_get(j, 0, "id"), k->id, sizeof k->id);
	text_of(j, json_get(j, 0, "keyType"), k->type, sizeof k->type);
	text_of(j, json_get(j, 0, "description"), k->description, sizeof k->description);
	text_of(j, json_get(j, 0, "userId"), k->user, sizeof k->user);
	k->invalid = json_bool(j, json_get(j, 0, "invalid")) == 1;
	k->created = stamp(j, 0, "created");
	k->expires = stamp(j, 0, "expires");
	k->revoked = stamp(j, 0, "revoked");
	/* a member that is absent is false to Go, but an old server's list has ids only: then nothing is known */
	int known = create >= 0;
	k->reusable = known ? json_bool(j, json_get(j, create, "reusable")) == 1 : -1;
	k->ephemeral = known ? json_bool(j, json_get(j, create, "ephemeral")) == 1 : -1;
	k->preauthorized = known ? json_bool(j, json_get(j, create, "preauthorized")) == 1 : -1;
	list_of(j, json_get(j, create, "tags"), k->tags, &k->ntags);
	if (!k->ntags)
		list_of(j, json_get(j, 0, "tags"), k->tags, &k->ntags);
	list_of(j, json_get(j, 0, "scopes"), words, &n);
	join_tags(k->scopes, sizeof k->scopes, words, n);
}

static int is_plain_id(const char *id)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	return *id && strlen(id) < 128 && strspn(id, ok) == strlen(id);
}

static int key_call(struct call *c, const char *what, const char *method, const char *id, struct why *why)
{
	*c = (struct call){.what = what, .method = method, .again = 1, .scope = str_eq(method, "GET") ? "auth_keys:read" : "auth_keys"};
	if (!is_plain_id(id))
		return why_set(why, R_USAGE, "not the id of a key: it has letters, digits and hyphens");
	str_fmt(c->path, sizeof c->path, "/api/v2/tailnet/-/keys/%s", id);
	return 0;
}

static int no_such_key(const char *id, struct why *why)
{
	why_set(why, R_KEY_UNKNOWN, "%s: no such key in this tailnet: used up, deleted, or of another tailnet", id);
	return why_hint(why, "a one-off key is gone once it was used; make a new one");
}

int api_key_get(const struct api *a, const char *id, struct api_key *k, long long deadline, struct why *why)
{
	struct call c;
	struct answer r;
	if (key_call(&c, "look the key up", "GET", id, why) < 0)
		return -1;
	int rc = ask_json(a, &c, &r, deadline, why);
	if (rc < 0)
		return r.status == 404 ? no_such_key(id, why) : -1;
	key_of(&r.j, k);
	done(&r);
	return str_eq(k->id, id) ? 0 : why_set(why, R_API_ERROR, "look the key up: the API answers with another key");
}

int api_key_delete(const struct api *a, const char *id, long long deadline, struct why *why)
{
	struct call c;
	struct http_res res = {0};
	if (key_call(&c, "delete the key", "DELETE", id, why) < 0)
		return -1;
	int rc = ask(a, &c, &res, deadline, why);
	if (!rc && res.status == 404)
		rc = no_such_key(id, why);
	else if (!rc && res.status / 100 != 2)
		rc = explain(a, &c, &res, why);
	http_res_free(&res);
	return rc;
}

struct each {
	struct json_scan scan;
	int (*key)(const struct api_key *, void *);
	int (*device)(const struct api_device *, void *);
	void *ctx;
	int given, answer;
	long long date;
	struct why why;
};

static int feed(void *ctx, const char *text, size_t len)
{
	struct each *e = ctx;
	e->given = 1;
	e->answer = json_scan_feed(&e->scan, text, len, &e->why);
	return e->answer != 0;
}

/* A list of any length, an element at a time. */
static int ask_list(const struct api *a, struct call *c, struct each *e, long long deadline, struct why *why)
{
	struct http_res res = {0};
	e->date = 0;
	c->sink = feed;
	c->ctx = e;
	c->sunk = &e->given;
	int rc = ask(a, c, &res, deadline, why);
	if (e->answer > 0)
		rc = e->answer;
	else if (e->answer < 0 && !e->scan.found)
		rc = why_set(why, R_CONTROL_ERROR, "%s: %s answers, but not as the API does; a captive portal or a proxy?", c->what, a->base);
	else if (e->answer < 0)
		rc = why_set(why, R_API_ERROR, "%s: the API's list cannot be read: %s", c->what, e->why.msg);
	else if (!rc && res.status / 100 != 2)
		rc = explain(a, c, &res, why);
	else if (!rc && json_scan_end(&e->scan, &e->why) < 0)
		rc = why_set(why, R_API_ERROR, "%s: the API's list was cut short", c->what);
	if (http_date(&res, &e->date) < 0)
		e->date = 0;
	json_scan_free(&e->scan);
	http_res_free(&res);
	return rc;
}

static int give_key(void *ctx, struct slice name, const char *text, size_t len)
{
	struct each *e = ctx;
	struct json j;
	struct api_key k;
	(void)name;
	if (json_parse(&j, text, len, &e->why) < 0)
		return -1;
	key_of(&j, &k);
	json_free(&j);
	return e->key(&k, e->ctx);
}

int api_keys(const struct api *a, int (*fn)(const struct api_key *, void *), void *ctx, long long deadline, struct why *why)
{
	struct each e = {.key = fn, .ctx = ctx};
	e.scan = (struct json_scan){.key = "keys", .max = ELEMENT_MAX, .fn = give_key, .ctx = &e};
	struct call c = {.what = "list the keys", .method = "GET", .path = "/api/v2/tailnet/-/keys?all=true", .again = 1,
		.scope = "auth_keys:read"};
	return ask_list(a, &c, &e, deadline, why);
}

/* headscale's own API (v1) shows "hskey-auth-PREFIX-***". */
struct sought { const char *prefix; struct api_key *k; struct why *why; };

static int match_prefix(void *ctx, struct slice name, const char *text, size_t len)
{
	struct each *e = ctx;
	struct sought *s = e->ctx;
	struct json j;
	char shown[160], want[100];
	(void)name;
	if (json_parse(&j, text, len, &e->why) < 0)
		return -1;
	str_fmt(want, sizeof want, "hskey-auth-%s-", s->prefix);
	int found = json_str(&j, json_get(&j, 0, "key"), shown, sizeof shown) > 0 && str_starts(shown, want);
	if (found) {
		struct api_key *k = s->k;
		*k = (struct api_key){.type = "auth", .preauthorized = 1};	/* there a key always is */
		text_of(&j, json_get(&j, 0, "id"), k->id, sizeof k->id);
		text_of(&j, json_at(&j, "user.name"), k->user, sizeof k->user);
		k->reusable = json_bool(&j, json_get(&j, 0, "reusable")) == 1;
		k->ephemeral = json_bool(&j, json_get(&j, 0, "ephemeral")) == 1;
		k->used = json_bool(&j, json_get(&j, 0, "used")) == 1;
		k->created = stamp(&j, 0, "createdAt");
		k->expires = stamp(&j, 0, "expiration");
		k->invalid = (k->used && !k->reusable) || (k->expires && k->expires <= time(NULL));
		list_of(&j, json_get(&j, 0, "aclTags"), k->tags, &k->ntags);
	}
	json_free(&j);
	return found;
}

int api_key_by_prefix(const struct api *a, const char *prefix, struct api_key *k, long long deadline, struct why *why)
{
	struct sought s = {prefix, k, why};
	struct each e = {.ctx = &s};
	e.scan = (struct json_scan){.key = "preAuthKeys", .max = ELEMENT_MAX, .fn = match_prefix, .ctx = &e};
	struct call c = {.what = "list headscale's keys", .method = "GET", .path = "/api/v1/preauthkey", .again = 1};
	int rc = ask_list(a, &c, &e, deadline, why);
	if (rc == 1) {
		struct api_key whole;	/* the newer API knows what the older one does not: revoked, description */
		struct why ignored;
		if (api_key_get(a, k->id, &whole, deadline, &ignored) == 0) {
			str_copy(k->description, sizeof k->description, whole.description);
			k->revoked = whole.revoked;
			k->invalid |= whole.invalid;
		}
		return 0;
	}
	return rc < 0 ? -1 : why_set(why, R_KEY_UNKNOWN, "%s: this headscale has no key with that prefix", prefix);
}

/* ---- minting ---- */

static int has_tag(const char (*tags)[64], int n, const char *tag)
{
	for (int i = 0; i < n; i++)
		if (str_eq(tags[i], tag))
			return 1;
	return 0;
}

int api_tag(const struct api *a, const char *tag, long long deadline)
{
	struct call c = {
		.what = "read the policy", .method = "GET", .path = "/api/v2/tailnet/-/acl", .accept = "application/json", .again = 1,
	};
	struct http_res res = {0};
	struct json j;
	struct why ignored;
	int found = -1;
	if (api_may(a, "policy_file", 0) == 0)
		return -1;
	if (ask(a, &c, &res, deadline, &ignored) == 0 && res.status == 200 && res.body.len) {
		/* headscale hands it out as it was written, comments and all */
		if (hujson_plain(res.body.p, res.body.len, &ignored) == 0 && json_parse(&j, res.body.p, res.body.len, &ignored) == 0) {
			int list = json_find(&j, json_get(&j, 0, "tagOwners"), tag);
			found = list >= 0 ? API_TAG_FOREIGN : API_TAG_UNDEFINED;
			for (struct json_iter i = json_each(&j, list); json_next(&i); )
				for (int t = 0; t < a->ntags; t++)
					if (json_str_eq(&j, i.value, a->tags[t]))
						found = API_TAG_OWNED;
			json_free(&j);
		}
	}
	http_res_free(&res);
	return found;
}

/* One refusal has three causes, and the server does not say which. The text names what can be known. */
static int explain_tags(const struct api *a, const char *const *tags, long long deadline, struct why *why)
{
	char own[400], asked[400] = "";
	const char *stranger = NULL, *undefined = NULL;
	int unsure = 0;
	join_tags(own, sizeof own, a->tags, a->ntags);
	for (int i = 0; tags && tags[i]; i++) {
		size_t at = strlen(asked);
		str_fmt(asked + at, sizeof asked - at, "%s%s", i ? " " : "", tags[i]);
		if (has_tag(a->tags, a->ntags, tags[i]))
			continue;
		stranger = tags[i];
		int defined = api_tag(a, tags[i], deadline);
		if (defined == API_TAG_UNDEFINED)
			undefined = tags[i];
		unsure |= defined < 0;
	}
	if (undefined) {
		why_set(why, R_TAG_UNDEFINED, "mint a key: %s is not in the policy's tagOwners (asked: %s)", undefined, asked);
		return why_hint(why, "add to tagOwners in the policy: \"%s\": [\"%s\"]", undefined, a->ntags ? a->tags[0] : "autogroup:admin");
	}
	if (!a->ntags) {
		why_set(why, R_TAG_REFUSED, "mint a key: the credential may not give %s: not in tagOwners, or not owned by it", asked);
		return why_hint(why, "see tagOwners in the policy");
	}
	if (!stranger) {
		why_set(why, R_TAG_REFUSED,
			"mint a key: the client has %s, asked is %s: Tailscale wants all of a client's tags, or tags that these own", own, asked);
		return why_hint(why, "ask for all of them (no --tag does), or let one own the other: \"%s\": [\"%s\"] in tagOwners",
			tags && *tags ? *tags : "tag:x", a->tags[0]);
	}
	why_set(why, R_TAG_REFUSED, "mint a key: the client has %s, asked is %s: %s is not owned by a tag of the client's%s",
		own, asked, stranger,
		unsure ? ", or not in tagOwners at all" : "");
	return why_hint(why, "put into tagOwners in the policy: \"%s\": [\"%s\"]", stranger, a->tags[0]);
}

static int explain_mint(const struct api *a, const struct call *c, const char *const *tags, const struct http_res *res,
	long long deadline, struct why *why)
{
	char text[300], tag[64];
	const char *at;
	message(res, text, sizeof text);
	if (strstr(text, "requested tags"))
		return explain_tags(a, tags, deadline, why);
	/* headscale's words */
	if ((at = strstr(text, "tag ")) && strstr(text, "is not defined in policy")) {
		str_copy_slice(tag, sizeof tag, (struct slice){at + 4, strcspn(at + 4, " ")});
		why_set(why, R_TAG_UNDEFINED, "mint a key: %s is not in the policy's tagOwners", tag);
		return why_hint(why, "add to tagOwners in the policy: \"%s\": [\"%s\"]", tag, a->ntags ? a->tags[0] : "USER@");
	}
	if (strstr(text, "may not assign tag"))
		return explain_tags(a, tags, deadline, why);
	if (strstr(text, "must create tagged") || strstr(text, "without tags must be created")) {
		why_set(why, R_TAG_MISSING, "mint a key: %s", text);
		return why_hint(why, "name one: --tag TAG");
	}
	return explain(a, c, res, why);
}

static void mint_body(struct buf *b, const struct api_mint *m, const char *const *tags)
{
	json_w_obj(b, NULL);
	if (m->description && *m->description)
		json_w_str(b, "description", m->description);
	if (m->expiry_s)
		json_w_num(b, "expirySeconds", m->expiry_s);
	json_w_obj(b, "capabilities");
	json_w_obj(b, "devices");
	json_w_obj(b, "create");
	json_w_bool(b, "reusable", m->reusable);
	json_w_bool(b, "ephemeral", m->ephemeral);
	json_w_bool(b, "preauthorized", m->preauthorized);
	if (tags && *tags) {
		json_w_arr(b, "tags");
		for (; *tags; tags++)
			json_w_str(b, NULL, *tags);
		json_w_end(b, ']');
	}
	for (int i = 0; i < 4; i++)
		json_w_end(b, '}');
}

int api_key_mint(const struct api *a, const struct api_mint *m, struct secret *key, struct api_key *info,
	long long deadline, struct why *why)
{
	const char *own[API_TAGS + 1] = {0};
	const char *const *tags = m->tags;
	struct buf body = {0};
	struct http_res res = {0};
	struct json j;
	*key = (struct secret){0};
	if (!tags || !*tags) {
		for (int i = 0; i < a->ntags; i++)
			own[i] = a->tags[i];
		tags = own;
	}
	if (!*tags && a->cred != API_TOKEN) {
		why_set(why, R_TAG_MISSING, "mint a key: a key that a client mints must have tags, and the client has none of its own");
		return why_hint(why, "name one: --tag TAG");
	}
	mint_body(&body, m, tags);
	/* not asked again after a lost answer: each asking makes a key */
	struct call c = {.what = "mint a key", .method = "POST", .path = "/api/v2/tailnet/-/keys", .json = buf_cstr(&body),
		.scope = "auth_keys"};
	int rc = ask(a, &c, &res, deadline, why);
	if (!rc && res.status / 100 != 2)
		rc = explain_mint(a, &c, tags, &res, deadline, why);
	else if (!rc && json_parse(&j, buf_cstr(&res.body), res.body.len, why) < 0) {
		res.body.len = 0;
		rc = explain(a, &c, &res, why);
	} else if (!rc) {
		size_t len = 0;
		struct key shape;
		struct why bad;
		char *text = json_dup(&j, json_get(&j, 0, "key"), &len);
		if (!text || key_can_join(text, len, &shape, &bad) < 0 || secret_set(key, text, len) < 0)
			rc = why_set(why, R_API_ERROR, "mint a key: the API's answer has no key that can be used");
		if (text)
			explicit_bzero(text, len);
		free(text);
		if (!rc) {
			secret_mask(key);
			key_of(&j, info);
		}
		json_free(&j);
	}
	buf_wipe(&res.body);
	http_res_free(&res);
	buf_free(&body);
	return rc;
}

int api_verify(const char *control, const char *text, size_t len, long long deadline, struct why *why)
{
	enum { VERIFY_MS = 10000 };
	struct api a;
	struct buf body = {0};
	struct http_res res = {0};
	long long soon = clock_ms() + VERIFY_MS;
	if (find_base(&a, "", control, why) < 0)
		return -1;
	form_room(&body);
	buf_str(&body, "key=");
	form_value(&body, text, len);
	/* not documented for the public: asked once, and whatever it says beyond yes and no is nothing */
	struct call c = {.what = "verify", .method = "POST", .path = "/api/v2/secret-scanning/verify", .form = body.p};
	int rc = ask(&a, &c, &res, deadline && deadline < soon ? deadline : soon, why);
	buf_wipe(&body);
	if (!rc && (res.status == 204 || res.status == 401))
		rc = res.status == 204;
	else if (!rc)
		rc = res.status == 429 ? explain(&a, &c, &res, why)
			: why_set(why, R_CANNOT_TELL, "verify: %s answers %d, which is neither yes nor no", a.base, res.status);
	http_res_free(&res);
	return rc;
}

/* ---- devices ---- */

static void device_of(const struct json *j, struct api_device *d)
{
	*d = (struct api_device){0};
	text_of(j, json_get(j, 0, "nodeId"), d->id, sizeof d->id);
	if (!*d->id)
		text_of(j, json_get(j, 0, "id"), d->id, sizeof d->id);
	text_of(j, json_get(j, 0, "name"), d->name, sizeof d->name);
	text_of(j, json_get(j, 0, "hostname"), d->hostname, sizeof d->hostname);
	text_of(j, json_get(j, 0, "user"), d->user, sizeof d->user);
	text_of(j, json_get(j, 0, "os"), d->os, sizeof d->os);
	list_of(j, json_get(j, 0, "tags"), d->tags, &d->ntags);
	d->connected = json_bool(j, json_get(j, 0, "connectedToControl"));
	d->ephemeral = json_bool(j, json_get(j, 0, "isEphemeral")) == 1;
	d->authorized = json_bool(j, json_get(j, 0, "authorized")) == 1;
	d->external = json_bool(j, json_get(j, 0, "isExternal")) == 1;
	d->created = stamp(j, 0, "created");
	d->last_seen = stamp(j, 0, "lastSeen");
	d->expires = stamp(j, 0, "expires");
}

static int give_device(void *ctx, struct slice name, const char *text, size_t len)
{
	struct each *e = ctx;
	struct json j;
	struct api_device d;
	(void)name;
	if (json_parse(&j, text, len, &e->why) < 0)
		return -1;
	device_of(&j, &d);
	json_free(&j);
	return e->device(&d, e->ctx);
}

int api_devices(struct api *a, const char *query, int (*fn)(const struct api_device *, void *), void *ctx,
	long long deadline, struct why *why)
{
	struct each e = {.device = fn, .ctx = ctx};
	e.scan = (struct json_scan){.key = "devices", .max = ELEMENT_MAX, .fn = give_device, .ctx = &e};
	struct call c = {.what = "list the devices", .method = "GET", .again = 1, .scope = "devices:core:read"};
	if (str_fmt(c.path, sizeof c.path, "/api/v2/tailnet/-/devices%s%s", query ? "?" : "", query ? query : "") < 0)
		return why_set(why, R_TOO_BIG, "list the devices: the filter is too long");
	int rc = ask_list(a, &c, &e, deadline, why);
	a->date = e.date;
	return rc;
}

static int device_call(struct call *c, const char *node_id, struct why *why)
{
	if (!*node_id || strspn(node_id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(node_id))
		return why_set(why, R_BAD_STATE, "no usable node id is recorded");
	return str_fmt(c->path, sizeof c->path, "/api/v2/device/%s", node_id) < 0 ? why_set(why, R_TOO_BIG, "the node id is too long") : 0;
}

int api_device_get(const struct api *a, const char *node_id, struct api_device *d, long long deadline, struct why *why)
{
	struct call c = {.what = "look the node up", .method = "GET", .again = 1, .scope = "devices:core:read"};
	struct answer r;
	if (device_call(&c, node_id, why) < 0)
		return -1;
	if (ask_json(a, &c, &r, deadline, why) < 0)
		/* a 404 without words of the API's may be a proxy's */
		return r.status == 404 && why->reason == R_API_ERROR && strstr(why->msg, " 404: ") ? 0 : -1;
	device_of(&r.j, d);
	int is_it = json_str_eq(&r.j, json_get(&r.j, 0, "nodeId"), node_id) || json_str_eq(&r.j, json_get(&r.j, 0, "id"), node_id);
	done(&r);
	return is_it ? 1 : why_set(why, R_API_ERROR, "look the node up: the API answers with another node");
}

int api_delete_node(const struct api *a, const char *node_id, long long deadline, struct why *why)
{
	struct http_res res = {0};
	struct call c = {.what = "delete the node", .method = "DELETE", .again = 1, .scope = "devices:core"};
	if (device_call(&c, node_id, why) < 0)
		return -1;
	int rc = ask(a, &c, &res, deadline, why);
	if (!rc && res.status / 100 != 2 && res.status != 404)
		rc = explain(a, &c, &res, why);
	http_res_free(&res);
	return rc;
}

/* ---- the policy ---- */

int api_policy_get(const struct api *a, struct buf *out, long long deadline, struct why *why)
{
	struct call c = {
		.what = "read the policy", .method = "GET", .path = "/api/v2/tailnet/-/acl", .accept = "application/hujson",
		.scope = "policy_file:read", .again = 1,
	};
	struct http_res res = {0};
	int rc = ask(a, &c, &res, deadline, why);
	if (!rc && res.status != 200)
		rc = explain(a, &c, &res, why);
	else if (!rc)
		rc = buf_add(out, buf_cstr(&res.body), res.body.len);
	http_res_free(&res);
	return rc;
}

int api_policy_validate(const struct api *a, const char *json, char *said, size_t size, long long deadline, struct why *why)
{
	struct call c = {
		.what = "validate the policy", .method = "POST", .path = "/api/v2/tailnet/-/acl/validate", .json = json,
		.scope = "policy_file:read", .again = 1,
	};
	struct http_res res = {0};
	struct json j;
	struct why ignored;
	int rc = ask(a, &c, &res, deadline, why);
	*said = 0;
	if (!rc && res.status != 200)
		rc = explain(a, &c, &res, why);
	else if (!rc) {
		/* always 200: what is wrong is in "message" */
		rc = 1;
		if (res.body.len && json_parse(&j, res.body.p, res.body.len, &ignored) == 0) {
			char text[API_TEXT];
			if (json_str(&j, json_get(&j, 0, "message"), text, sizeof text) > 0) {
				str_escape(said, size, text, strlen(text));
				rc = 0;
			}
			json_free(&j);
		}
	}
	http_res_free(&res);
	return rc;
}
