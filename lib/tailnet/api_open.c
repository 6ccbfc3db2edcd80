/* api_open - what opens the API: a token, or what is exchanged for one */
#include "api_open.h"
#include "key.h"
#include "settings.h"
#include "wif.h"
#include <stdlib.h>
#include <string.h>

/* ---- tokens ---- */

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

static int take_token(struct api *a, const struct api_answer *r, struct why *why)
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
	if (json_text(&r->j, 0, "scope", text, sizeof text) > 0)
		str_escape(a->scopes, sizeof a->scopes, text, strlen(text));
	if (json_text(&r->j, 0, "tags", text, sizeof text) > 0) {
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
	struct api_answer r;
	api_form_room(&body);
	buf_str(&body, "grant_type=client_credentials&client_id=");
	api_form_value(&body, key->id, strlen(key->id));
	buf_str(&body, "&client_secret=");
	api_form_value(&body, text, key->bare);
	struct api_call c = {.what = "oauth/token", .method = "POST", .path = "/api/v2/oauth/token", .form = body.p, .again = 1};
	a->cred = API_CLIENT;
	str_copy(a->client, sizeof a->client, key->id);
	int rc = api_ask_json(a, &c, &r, deadline, why);
	buf_wipe(&body);
	if (!rc) {
		rc = take_token(a, &r, why);
		api_done(&r);
	}
	return rc;
}

static int refused_identity(const struct api *a, const struct api_call *c, const struct http_res *res, struct why *why)
{
	char text[300];
	if (res->status == 404) {
		why_set(why, R_API_ERROR, "%s: the API at %s knows no workload identities (404)", c->what, a->base);
		return why_hint(why, "headscale has none; use an OAuth client there");
	}
	if (res->status != 400 && res->status != 401 && res->status != 403)
		return api_explain(a, c, res, why);
	if (api_clock_is_off(res, why))
		return -1;
	api_message(res, text, sizeof text);
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
	struct api_answer r;
	char by_default[200];
	if (!wif_known(src))
		return wif_unknown(src, why);
	if (!id || !*id) {
		why_set(why, R_NO_CREDENTIAL, "an identity token needs the federated identity's client id");
		return why_hint(why, "set TS_CLIENT_ID (ts-keygen: --client-id ID)");
	}
	if (key_shape(id, strlen(id), &key, why) < 0 && why->reason != R_KEY_IS_ID) {
		if (why->reason == R_KEY_ATTRIBUTE)
			return -1;
		why_set(why, why->reason, "the client id is none: a federated identity's is T...-k...");
		return why_hint(why, "it is shown in the admin console, Settings, OAuth clients, beside the identity");
	}
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
	api_form_room(&body);
	buf_str(&body, "client_id=");
	api_form_value(&body, a->client, strlen(a->client));
	buf_str(&body, "&jwt=");
	api_form_value(&body, jwt.p, jwt.len);
	secret_free(&jwt);
	struct api_call c = {.what = "oauth/token-exchange", .method = "POST", .path = "/api/v2/oauth/token-exchange",
		.form = body.p, .again = 1};
	r = (struct api_answer){0};
	int rc = api_ask(a, &c, &r.res, deadline, why);
	buf_wipe(&body);
	if (!rc && r.res.status / 100 != 2)
		rc = refused_identity(a, &c, &r.res, why);
	else if (!rc && json_parse(&r.j, buf_cstr(&r.res.body), r.res.body.len, why) < 0) {
		r.res.status = 200;
		rc = api_explain(a, &c, &r.res, why);
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

int api_check_server(const struct key *k, const char *control, struct why *why)
{
	if (!k->headscale || !api_is_tailscale(control))
		return 0;
	why_set(why, R_KEY_FOREIGN, "this is %s of headscale's, and the control server is Tailscale's", key_kind_name(k->kind));
	return why_hint(why, "name the server: --login-server URL, or TS_LOGIN_SERVER");
}

int api_base(struct api *a, const char *own, const char *control, struct why *why)
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
	if (api_base(a, key.base_url, control, why) < 0)
		return -1;
	a->headscale = key.headscale;
	a->ephemeral = key.ephemeral;
	a->preauthorized = key.preauthorized;
	if (!getenv("MOORBOX_API") && !*key.base_url && api_check_server(&key, control, why) < 0)
		return -1;
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

/* What is read to have it: "" when nothing is. */
static const char *place_of(const char *src)
{
	if (str_starts(src, "wif:"))
		return wif_is_text(src + 4) ? src + 4 : "";
	return str_starts(src, "oauth:") ? src + 6 : src;
}

int api_who_take(struct api_who *who, const char *src, const struct settings *s, struct secret *given, const char *same,
	const struct secret *other, struct why *why)
{
	const char *place = place_of(src);
	*given = (struct secret){0};
	*who = (struct api_who){.src = src, .client_id = *s->client_id ? s->client_id : NULL,
		.audience = *s->audience ? s->audience : NULL};
	if (str_starts(src, "wif:") && !wif_known(src + 4))
		return wif_unknown(src + 4, why);
	if (!*place)
		return 0;
	who->given = given;
	if (same && other && other->p && str_eq(place, place_of(same)))
		return secret_set(given, other->p, other->len) < 0 ? why_set(why, R_RESOURCES, "no memory left") : 0;
	return secret_get(given, place, why);
}

int api_open(struct api *a, const struct api_who *who, const char *control, long long deadline, struct why *why)
{
	const char *src = who->src;
	int only_client = str_starts(src, "oauth:");
	struct secret given;
	*a = (struct api){0};
	int rc;
	if (str_starts(src, "wif:"))
		rc = api_base(a, "", control, why) < 0 ? -1 : exchange_identity(a, who, src + 4, deadline, why);
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
