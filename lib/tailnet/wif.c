/* wif - identity tokens */
#include "wif.h"
#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "file.h"
#include "http.h"
#include "json.h"
#include "str.h"
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	TOKEN_MAX = 1 << 20, ASK_MS = 10000,
	SKEW_S = 300,	/* a token from further in the future than this means that our clock is slow */
};

static const char kube_path[] = "/var/run/secrets/tailscale/serviceaccount/token";	/* where Tailscale's own operator has it */

/* ---- reading ---- */

static int sextet(int c)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

/* base64url without padding (RFC 7515 §2). The length, or -1. */
static int decode(struct slice s, char *dst)
{
	unsigned bits = 0, n = 0;
	size_t len = 0;
	for (size_t i = 0; i < s.len; i++) {
		int v = sextet((unsigned char)s.p[i]);
		if (v < 0)
			return -1;
		bits = bits << 6 | v;
		if ((n += 6) >= 8) {
			n -= 8;
			dst[len++] = bits >> n;
		}
	}
	return s.len % 4 == 1 ? -1 : (int)len;
}

static int malformed(struct why *why, const char *what)
{
	why_set(why, R_IDENTITY_MALFORMED, "the identity token %s", what);
	return why_hint(why, "a JWT has three parts with dots between them and begins with eyJ");
}

static int audiences(const struct json *j, int v, struct wif_claims *c)
{
	if (json_kind(j, v) == JSON_STR)
		return json_str(j, v, c->audience[c->naudience++], sizeof *c->audience) < 0 ? -1 : 0;
	for (struct json_iter i = json_each(j, v); json_next(&i); ) {
		if (c->naudience == WIF_AUDIENCES)
			return 0;
		if (json_str(j, i.value, c->audience[c->naudience++], sizeof *c->audience) < 0)
			return -1;
	}
	return 0;
}

static long long seconds(const struct json *j, const char *key)
{
	double f;
	return json_dbl(j, json_get(j, 0, key), &f) < 0 || !(f > 0 && f < 1e12) ? 0 : (long long)f;	/* RFC 7519: may have a fraction */
}

static int claims(const char *text, size_t len, struct wif_claims *c, struct why *why)
{
	struct json j;
	struct why ignored;
	if (json_parse(&j, text, len, &ignored) < 0)
		return malformed(why, "has a payload that is no JSON");
	int rc = json_kind(&j, 0) == JSON_OBJ ? 0 : malformed(why, "has a payload that is no JSON object");
	c->issued = seconds(&j, "iat");
	c->not_before = seconds(&j, "nbf");
	c->expires = seconds(&j, "exp");
	int iss = json_get(&j, 0, "iss"), sub = json_get(&j, 0, "sub");
	if (!rc && ((iss >= 0 && json_str(&j, iss, c->issuer, sizeof c->issuer) < 0) || (sub >= 0 && json_str(&j, sub,
		c->subject, sizeof c->subject) < 0)
			|| audiences(&j, json_get(&j, 0, "aud"), c) < 0))
		rc = malformed(why, "has an iss, sub or aud that is no text, or is too long");
	json_free(&j);
	return rc;
}

int wif_read(const char *jwt, size_t len, struct wif_claims *c, struct why *why)
{
	const char *first = memchr(jwt, '.', len), *end = jwt + len;
	const char *second = first ? memchr(first + 1, '.', end - first - 1) : NULL;
	*c = (struct wif_claims){0};
	if (!len)
		return malformed(why, "is empty");
	if (len > SECRET_MAX)
		return malformed(why, "is too long");
	if (!second || memchr(second + 1, '.', end - second - 1) || first == jwt || second == first + 1 || second + 1 == end)
		return malformed(why, "does not have three parts");
	char *text = xalloc(len);
	int n = decode((struct slice){first + 1, second - first - 1}, text);
	int rc = n < 0 || decode((struct slice){jwt, first - jwt}, text) < 0 || decode((struct slice){second + 1,
		end - second - 1}, text) < 0
		? malformed(why, "is not base64url") : 0;
	if (!rc) {
		decode((struct slice){first + 1, second - first - 1}, text);
		rc = claims(text, n, c, why);
	}
	explicit_bzero(text, len);
	free(text);
	return rc;
}

char *wif_show(const struct wif_claims *c, char *dst, size_t size)
{
	char iss[200], sub[300], aud[300];
	str_escape(iss, sizeof iss, c->issuer, strlen(c->issuer));
	str_escape(sub, sizeof sub, c->subject, strlen(c->subject));
	str_escape(aud, sizeof aud, c->audience[0], strlen(c->audience[0]));
	str_fmt(dst, size, "iss %s, sub %s, aud %s%s", *iss ? iss : "(none)", *sub ? sub : "(none)", *aud ? aud : "(none)",
		c->naudience > 1 ? " and others" : "");
	return dst;
}

int wif_check(const struct wif_claims *c, const char *audience, long long now, struct why *why)
{
	char date[32], safe[300];
	long long begins = c->not_before ? c->not_before : c->issued;
	if (begins && begins > now + SKEW_S) {
		clock_stamp(date, begins);
		why_set(why, R_CLOCK, "the identity token is valid from %s only: this machine's clock is slow", date);
		return why_hint(why, "set the clock");
	}
	if (!c->expires)
		return malformed(why, "does not say when it expires");
	if (c->expires <= now) {
		clock_stamp(date, c->expires);
		why_set(why, R_IDENTITY_EXPIRED, "the identity token expired at %s", date);
		return why_hint(why, "such tokens live minutes: ask for one in the step that uses it; or this machine's clock is fast");
	}
	if (!audience)
		return 0;
	for (int i = 0; i < c->naudience; i++)
		if (str_eq(c->audience[i], audience))
			return 0;
	str_escape(safe, sizeof safe, c->audience[0], strlen(c->audience[0]));
	why_set(why, R_IDENTITY_AUDIENCE, "the identity token is made for %s, not for %s", *safe ? safe : "nobody", audience);
	return why_hint(why, "ask for it with aud %.200s; or if the federated identity has another, give that: TS_AUDIENCE, --audience",
		audience);
}

/* ---- getting ---- */

static const char *env(const char *name)
{
	const char *v = getenv(name);
	return v && *v ? v : NULL;
}

static int none(struct why *why, const char *what, const char *remedy)
{
	why_set(why, R_NO_IDENTITY, "%s", what);
	return why_hint(why, "%s", remedy);
}

static void url_value(struct buf *b, const char *s)
{
	for (; *s; s++)
		if (isalnum((unsigned char)*s) || strchr("-._~", *s))
			buf_ch(b, *s);
		else
			buf_fmt(b, "%%%02X", (unsigned char)*s);
}

/* One request; the token is a member of the JSON that comes, or all of it when member is NULL. */
static int ask(struct http_req *req, const char *who, const char *member, struct secret *jwt, long long deadline, struct why *why)
{
	struct http_res res = {0};
	struct json j;
	size_t len = 0;
	char text[200] = "", safe[240];
	long long soon = clock_ms() + ASK_MS;
	req->deadline = deadline && deadline < soon ? deadline : soon;
	req->max = TOKEN_MAX;
	int rc = http_do(req, &res, why);
	if (rc < 0) {
		char msg[300];
		int status = why->status;
		str_copy(msg, sizeof msg, why->msg);
		why_set(why, R_NO_IDENTITY, "%s cannot be asked for an identity token: %s", who, msg);
		why->status = status;
	} else if (res.status / 100 != 2) {
		struct why ignored;
		if (res.body.len && json_parse(&j, res.body.p, res.body.len, &ignored) == 0) {
			if (json_text(&j, 0, "message", text, sizeof text) < 0)
				json_text(&j, 0, "error", text, sizeof text);
			json_free(&j);
		}
		why_set(why, R_NO_IDENTITY, "%s gives no identity token: it answers %d%s%s", who, res.status, *text ? ": " : "",
			str_escape(safe, sizeof safe, text, strlen(text)));
		if (res.status == 429 || res.status >= 500)
			why->status = EXIT_RETRY;
		rc = -1;
	} else if (!member) {
		len = res.body.len;
		while (len && isspace((unsigned char)res.body.p[len - 1]))
			len--;
		rc = len && len <= SECRET_MAX && secret_set(jwt, res.body.p, len) == 0 ? 0 : malformed(why, "is empty or too long");
	} else if (json_parse(&j, buf_cstr(&res.body), res.body.len, why) < 0)
		rc = why_set(why, R_NO_IDENTITY, "%s answers with something that is no JSON", who);
	else {
		char *token = json_dup(&j, json_get(&j, 0, member), &len);
		rc = token && len && len <= SECRET_MAX && secret_set(jwt, token, len) == 0 ? 0 : why_set(why, R_NO_IDENTITY,
			"%s answers without a token", who);
		if (token)
			explicit_bzero(token, len);
		free(token);
		json_free(&j);
	}
	buf_wipe(&res.body);
	http_res_free(&res);
	return rc;
}

static int from_github(const char *audience, struct secret *jwt, long long deadline, struct why *why)
{
	const char *url = env("ACTIONS_ID_TOKEN_REQUEST_URL"), *token = env("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
	if (!url || !token || strpbrk(token, "\r\n"))
		return none(why, "GitHub gives this job no identity token (ACTIONS_ID_TOKEN_REQUEST_URL is not set)",
			"add to the job: permissions: {id-token: write, contents: read}; a pull request from a fork never has it");
	struct buf whole = {0};
	char *auth = xfmt("Authorization: Bearer %s", token);
	const char *const headers[] = {auth, "Accept: application/json", NULL};
	buf_str(&whole, url);
	buf_str(&whole, strchr(url, '?') ? "&audience=" : "?audience=");
	url_value(&whole, audience);
	struct http_req req = {.url = buf_cstr(&whole), .headers = headers};
	int rc = ask(&req, "GitHub", "value", jwt, deadline, why);
	explicit_bzero(auth, strlen(auth));
	free(auth);
	buf_free(&whole);
	return rc;
}

static int from_buildkite(const char *audience, struct secret *jwt, long long deadline, struct why *why)
{
	const char *token = env("BUILDKITE_AGENT_ACCESS_TOKEN"), *job = env("BUILDKITE_JOB_ID"), *base = env("BUILDKITE_AGENT_ENDPOINT");
	if (!token || !job || strpbrk(token, "\r\n") || strspn(job, "0123456789abcdefABCDEF-") != strlen(job))
		return none(why, "no Buildkite agent is here (BUILDKITE_AGENT_ACCESS_TOKEN and BUILDKITE_JOB_ID)",
			"in a container step: pass these variables on, or hand over a token: buildkite-agent oidc request-token --audience AUD");
	struct buf body = {0};
	char *auth = xfmt("Authorization: Token %s", token);
	char *url = xfmt("%s/jobs/%s/oidc/tokens", base ? base : "https://agent.buildkite.com/v3", job);
	const char *const headers[] = {auth, NULL};
	json_w_obj(&body, NULL);
	json_w_str(&body, "audience", audience);
	json_w_num(&body, "lifetime", 300);
	json_w_end(&body, '}');
	struct http_req req = {.method = "POST", .url = url, .headers = headers, .body = body.p, .body_len = body.len};
	int rc = ask(&req, "Buildkite", "token", jwt, deadline, why);
	explicit_bzero(auth, strlen(auth));
	free(auth);
	free(url);
	buf_free(&body);
	return rc;
}

static int from_gcp(const char *audience, struct secret *jwt, long long deadline, struct why *why)
{
	static const char *const headers[] = {"Metadata-Flavor: Google", NULL};
	const char *host = env("GCE_METADATA_HOST");
	struct buf url = {0};
	buf_fmt(&url, "http://%s/computeMetadata/v1/instance/service-accounts/default/identity?audience=", host ? host
		: "metadata.google.internal");
	url_value(&url, audience);
	buf_str(&url, "&format=full");
	struct http_req req = {.url = buf_cstr(&url), .headers = headers, .flags = HTTP_NO_PROXY};
	int rc = ask(&req, "Google's metadata server", NULL, jwt, deadline, why);
	buf_free(&url);
	return rc;
}

static int from_variable(const char *name, const char *what, const char *remedy, struct secret *jwt, struct why *why)
{
	char src[160];
	if (!env(name) || str_fmt(src, sizeof src, "env:%s", name) < 0)
		return none(why, what, remedy);
	return secret_get(jwt, src, why);
}

static int from_file(const char *path, struct secret *jwt, struct why *why)
{
	char src[600];
	if (access(path, F_OK) != 0) {
		why_set(why, R_NO_IDENTITY, "%s: no service account token is there", path);
		return why_hint(why, "mount one as a projected volume: serviceAccountToken with the audience; or kubernetes:PATH");
	}
	return str_fmt(src, sizeof src, "file:%s", path) < 0 ? why_set(why, R_USAGE, "%s: too long", path) : secret_get(jwt, src, why);
}

static const char *after(const char *src, const char *word)
{
	size_t n = strlen(word);
	return strncmp(src, word, n) ? NULL : src[n] == 0 ? src + n : src[n] == ':' && src[n + 1] ? src + n + 1 : NULL;
}

int wif_is_text(const char *src)
{
	return str_eq(src, "-") || str_starts(src, "file:") || str_starts(src, "env:") || str_starts(src, "fd:");
}

int wif_known(const char *src)
{
	static const char *const plain[] = {"github", "buildkite", "circleci", "gcp", "auto"};
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		if (str_eq(src, plain[i]))
			return 1;
	return after(src, "gitlab") || after(src, "kubernetes") || wif_is_text(src);
}

static int is_google_vm(void)
{
	struct buf name = {0};
	struct why ignored;
	int rc = file_read(AT_FDCWD, "/sys/class/dmi/id/product_name", &name, 4096, &ignored) == 0 && str_starts(buf_cstr(&name),
		"Google");
	buf_free(&name);
	return rc;
}

const char *wif_here(void)
{
	if (env("ACTIONS_ID_TOKEN_REQUEST_URL") && env("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
		return "github";
	if (env("TS_ID_TOKEN"))
		return "gitlab";
	if (env("BUILDKITE_AGENT_ACCESS_TOKEN") && env("BUILDKITE_JOB_ID"))
		return "buildkite";
	if (env("CIRCLE_OIDC_TOKEN_V2"))
		return "circleci";
	if (access(kube_path, R_OK) == 0)
		return "kubernetes";
	return env("GCE_METADATA_HOST") || env("K_SERVICE") || is_google_vm() ? "gcp" : NULL;
}

static int fetch(const char *src, const char *audience, struct secret *jwt, long long deadline, struct why *why)
{
	if (str_eq(src, "github"))
		return from_github(audience, jwt, deadline, why);
	if (str_eq(src, "buildkite"))
		return from_buildkite(audience, jwt, deadline, why);
	if (str_eq(src, "gcp"))
		return from_gcp(audience, jwt, deadline, why);
	if (str_eq(src, "circleci"))
		return from_variable("CIRCLE_OIDC_TOKEN_V2", "CircleCI gives this job no identity token (CIRCLE_OIDC_TOKEN_V2 is not set)",
			"the job needs a context; for an audience of your own: circleci run oidc get --claims ..., piped to wif:-", jwt, why);
	const char *at = after(src, "gitlab");
	if (at) {
		char what[200], remedy[300];
		const char *name = *at ? at : "TS_ID_TOKEN";
		str_fmt(what, sizeof what, "GitLab gives this job no identity token (%s is not set)", name);
		str_fmt(remedy, sizeof remedy, "add to the job: id_tokens: {%s: {aud: %s}}", name, audience);
		return from_variable(name, what, remedy, jwt, why);
	}
	at = after(src, "kubernetes");
	if (at)
		return from_file(*at ? at : kube_path, jwt, why);
	return secret_get(jwt, src, why);
}

int wif_unknown(const char *src, struct why *why)
{
	return why_set(why, R_USAGE, "wif:%s: not a source of identity tokens: github, gitlab, buildkite, circleci, gcp, kubernetes, auto, "
		"or a JWT as file:PATH, env:NAME, fd:N or -", src);
}

int wif_get(const char *src, const struct secret *given, const char *audience, struct secret *jwt, struct wif_claims *c,
	long long deadline, struct why *why)
{
	*jwt = (struct secret){0};
	if (str_eq(src, "auto") && !(src = wif_here()))
		return none(why, "nothing here gives identity tokens",
			"known are github, gitlab, buildkite, circleci, gcp, kubernetes; or file:PATH with a JWT");
	if (!wif_known(src))
		return wif_unknown(src, why);
	if (given ? secret_set(jwt, given->p, given->len) < 0 : fetch(src, audience, jwt, deadline, why) < 0)
		return given ? why_set(why, R_RESOURCES, "no memory left") : -1;
	while (jwt->len && isspace((unsigned char)jwt->p[jwt->len - 1]))
		jwt->p[--jwt->len] = 0;
	secret_mask(jwt);
	if (wif_read(jwt->p, jwt->len, c, why) == 0 && wif_check(c, audience, time(NULL), why) == 0)
		return 0;
	secret_free(jwt);
	return -1;
}
