/* api - the control server's REST API */
#include "api.h"
#include "http.h"
#include "json.h"
#include "key.h"
#include "settings.h"
#include "str.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int explain(const struct http_res *res, const char *what, struct why *why)
{
	char text[256] = "", safe[300];
	struct json j;
	struct why ignored;
	if (res->body.len && json_parse(&j, res->body.p, res->body.len, &ignored) == 0) {
		if (json_str(&j, json_get(&j, 0, "message"), text, sizeof text) < 0)
			json_str(&j, json_get(&j, 0, "error"), text, sizeof text);
		json_free(&j);
	}
	str_escape(safe, sizeof safe, text, strlen(text));
	if (res->status == 429)
		return why_set(why, R_RATE_LIMITED, "%s: the API asks us to slow down", what);
	if (res->status == 401 || res->status == 403)
		return why_set(why, R_API_DENIED, "%s: the API refuses the credential (%d%s%s)", what, res->status, *safe ? ": " : "", safe);
	why_set(why, R_API_ERROR, "%s: the API answers %d%s%s", what, res->status, *safe ? ": " : "", safe);
	if (res->status >= 500)
		why->status = EXIT_RETRY;
	return -1;
}

static int unreachable(const char *base, struct why *why)
{
	char msg[300];
	int status = why->status;
	str_copy(msg, sizeof msg, why->msg);
	why_set(why, R_CONTROL_ERROR, "the API at %s: %s", base, msg);
	why->status = status;
	return -1;
}

/* RFC 3986 unreserved bytes stay, the others become %XX. */
static void form_value(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (isalnum((unsigned char)s[i]) || strchr("-._~", s[i]))
			buf_ch(b, s[i]);
		else
			buf_fmt(b, "%%%02X", (unsigned char)s[i]);
}

/* RFC 6749 §4.4 */
static int exchange(struct api *a, const struct secret *client, const char *id, long long deadline, struct why *why)
{
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
	char url[600];
	struct buf body = {0};
	struct http_res res = {0};
	struct json j;
	size_t len = 0;
	buf_str(&body, "");
	body.p = xrealloc(body.p, body.cap = 65536);
	buf_fmt(&body, "grant_type=client_credentials&client_id=%s&client_secret=", id);
	form_value(&body, client->p, strcspn(client->p, "?"));
	str_fmt(url, sizeof url, "%s/api/v2/oauth/token", a->base);
	struct http_req req = {
		.method = "POST", .url = url, .headers = headers, .body = body.p, .body_len = body.len, .deadline = deadline, .max = 1 << 20,
	};
	int rc = http_do(&req, &res, why);
	buf_wipe(&body);
	if (rc < 0)
		unreachable(a->base, why);
	else if (res.status != 200)
		rc = explain(&res, "oauth/token", why);
	else if ((rc = json_parse(&j, buf_cstr(&res.body), res.body.len, why)) == 0) {
		char *token = json_dup(&j, json_get(&j, 0, "access_token"), &len);
		if (!token || !len || secret_set(&a->token, token, len) < 0)
			rc = why_set(why, R_API_ERROR, "oauth/token: the API's answer has no access_token");
		if (token)
			explicit_bzero(token, len);
		free(token);
		json_free(&j);
	}
	buf_wipe(&res.body);
	http_res_free(&res);
	return rc;
}

int api_open(struct api *a, const struct secret *given, const char *control, long long deadline, struct why *why)
{
	struct key key;
	const char *told = getenv("MOORBOX_API");
	*a = (struct api){0};
	if (settings_control(told && *told ? told : str_eq(control, SETTINGS_CONTROL) ? "https://api.tailscale.com" : control,
			a->base, sizeof a->base, why) < 0)
		return -1;
	int rc = key_shape(given->p, given->len, &key, why);
	if (!rc && key.kind == KEY_CLIENT)
		rc = exchange(a, given, key.id, deadline, why);
	else if (!rc && (key.kind == KEY_API || key.kind == KEY_OTHER)) {
		rc = secret_set(&a->token, given->p, given->len);
		if (rc < 0)
			why_set(why, R_RESOURCES, "no memory left");
	} else if (!rc) {
		why_set(why, R_KEY_KIND, "--api: this is an %s; the API wants an access token or an OAuth client secret",
			key_kind_name(key.kind));
		rc = -1;
	}
	return rc;
}

void api_close(struct api *a)
{
	secret_free(&a->token);
}

int api_delete_node(const struct api *a, const char *node_id, long long deadline, struct why *why)
{
	char url[700], *auth = xfmt("Authorization: Bearer %s", a->token.p);
	const char *const headers[] = {auth, NULL};
	struct http_res res = {0};
	if (!*node_id || strspn(node_id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(node_id)) {
		free(auth);
		return why_set(why, R_BAD_STATE, "no usable node id is recorded");
	}
	str_fmt(url, sizeof url, "%s/api/v2/device/%s", a->base, node_id);
	struct http_req req = {.method = "DELETE", .url = url, .headers = headers, .deadline = deadline, .max = 1 << 20};
	int rc = http_do(&req, &res, why);
	if (rc < 0)
		unreachable(a->base, why);
	else if (res.status / 100 != 2 && res.status != 404)
		rc = explain(&res, "delete the node", why);
	explicit_bzero(auth, strlen(auth));
	free(auth);
	http_res_free(&res);
	return rc;
}
