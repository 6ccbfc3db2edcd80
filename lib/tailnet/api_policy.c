/* api_policy - the tailnet's own policy, read and checked by the service */
#include "api_policy.h"
#include "api_open.h"
#include "policy.h"
#include <string.h>

int api_policy_get(const struct api *a, struct buf *out, long long deadline, struct why *why)
{
	struct api_call c = {
		.what = "read the policy", .method = "GET", .path = "/api/v2/tailnet/-/acl", .accept = "application/hujson",
		.scope = "policy_file:read", .again = 1,
	};
	struct http_res res = {0};
	int rc = api_ask(a, &c, &res, deadline, why);
	if (!rc && res.status != 200)
		rc = api_explain(a, &c, &res, why);
	else if (!rc)
		rc = buf_add(out, buf_cstr(&res.body), res.body.len);
	http_res_free(&res);
	return rc;
}

int api_policy_validate(const struct api *a, const char *json, char *said, size_t size, long long deadline, struct why *why)
{
	struct api_call c = {
		.what = "validate the policy", .method = "POST", .path = "/api/v2/tailnet/-/acl/validate", .json = json,
		.scope = "policy_file:read", .again = 1,
	};
	struct http_res res = {0};
	struct json j;
	struct why ignored;
	int rc = api_ask(a, &c, &res, deadline, why);
	*said = 0;
	if (!rc && res.status != 200)
		rc = api_explain(a, &c, &res, why);
	else if (!rc) {
		/* always 200: what is wrong is in "message" */
		rc = 1;
		if (res.body.len && json_parse(&j, res.body.p, res.body.len, &ignored) == 0) {
			char text[API_TEXT];
			if (json_text(&j, 0, "message", text, sizeof text) > 0) {
				str_escape(said, size, text, strlen(text));
				rc = 0;
			}
			json_free(&j);
		}
	}
	http_res_free(&res);
	return rc;
}

int api_tag(const struct api *a, const char *tag, long long deadline)
{
	struct buf text = {0};
	struct policy p;
	struct why ignored;
	int found = -1;
	if (api_may(a, "policy_file", 0) == 0)
		return -1;
	if (api_policy_get(a, &text, deadline, &ignored) == 0 && policy_read(&p, buf_cstr(&text), text.len, &ignored) == 0) {
		char owners[2048];
		struct policy_giver client = {.login = "", .role = "", .tags = a->tags, .ntags = a->ntags};
		int owned = policy_may_give(&p, tag, &client) == 1;
		found = owned ? API_TAG_OWNED : policy_owners(&p, tag, owners, sizeof owners) ? API_TAG_FOREIGN : API_TAG_UNDEFINED;
		policy_free(&p);
	}
	buf_free(&text);
	return found;
}
