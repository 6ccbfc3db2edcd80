/* api_owner - whose the API credential is, and which tags keys of its making may give */
#include "api_owner.h"
#include "api_key.h"
#include "api_open.h"
#include <string.h>

/* The user who made the token. */
static int find_user(const struct api *a, struct api_owner *o, long long deadline, struct why *why)
{
	struct api_key k;
	struct api_answer r;
	struct why said;
	struct api_call c = {.what = "look the user up", .method = "GET", .again = 1, .scope = "users:read"};
	if (!*a->client || api_key_get(a, a->client, &k, deadline, &said) < 0 || !*k.user)
		return why_set(why, R_CANNOT_TELL, "the API does not say whose token this is");
	if (strspn(k.user, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(k.user)
		|| str_fmt(c.path, sizeof c.path, "/api/v2/users/%s", k.user) < 0 || api_ask_json(a, &c, &r, deadline, &said) < 0)
		return why_set(why, R_CANNOT_TELL, "the token is of the user %.64s, and the API does not say who that is", k.user);
	api_text_of(&r.j, json_get(&r.j, 0, "loginName"), o->name, sizeof o->name);
	api_text_of(&r.j, json_get(&r.j, 0, "role"), o->role, sizeof o->role);
	api_done(&r);
	return *o->name ? 0 : why_set(why, R_CANNOT_TELL, "the API does not say how the user %.64s is called", k.user);
}

static int refused(const struct api *a, const char *tag, const struct api_owner *o, int rc, struct why *why)
{
	char tags[400];
	str_join(tags, sizeof tags, a->tags, a->ntags, " ");
	if (rc == POLICY_ALL_ONLY)
		why_set(why, R_TAG_REFUSED, "the client may give %s with all of its tags only: %s", tag, tags);
	else if (a->cred == API_TOKEN)
		why_set(why, R_TAG_REFUSED, "%.128s (%s) is not among the owners of %s", o->name, o->role, tag);
	else
		why_set(why, R_TAG_REFUSED, "%s is not owned by a tag of the client's: %s", tag, tags);
	return why_hint(why, "put into tagOwners in the policy: \"%s\": [\"%.128s\"]", tag, a->cred == API_TOKEN ? o->name : a->tags[0]);
}

int api_may_give(const struct api *a, const struct policy *p, const char *tag, struct api_owner *o, long long deadline, struct why *why)
{
	char owners[2048];
	*o = (struct api_owner){0};
	if (a->cred != API_TOKEN)
		str_copy(o->name, sizeof o->name, a->client);
	if (!policy_owners(p, tag, owners, sizeof owners)) {
		why_set(why, R_TAG_UNDEFINED, "%s is not in the policy's tagOwners", tag);
		why_hint(why, "add to tagOwners in the policy: \"%s\": [\"%s\"]", tag,
			a->ntags ? a->tags[0] : a->headscale ? "USER@" : "autogroup:admin");
		return 0;
	}
	if (a->cred != API_TOKEN && api_may(a, "auth_keys", 1) == 0) {
		why_set(why, R_NO_SCOPE, "the client may not mint auth keys; its scopes: %s", a->scopes);
		why_hint(why, "give it the scope auth_keys");
		return 0;
	}
	if (a->cred == API_TOKEN && a->headscale)
		return 1;
	if (a->cred == API_TOKEN ? find_user(a, o, deadline, why) < 0 : !a->ntags) {
		if (a->cred != API_TOKEN)
			why_set(why, R_CANNOT_TELL, "the API does not say which tags the client has");
		why_hint(why, "try it: ts-keygen --tag %s", tag);
		return -1;
	}
	struct policy_giver g = {.login = a->cred == API_TOKEN ? o->name : "", .role = o->role, .tags = a->tags, .ntags = a->ntags,
		.headscale = a->headscale};
	int rc = policy_may_give(p, tag, &g);
	if (rc < 0) {
		why_set(why, R_CANNOT_TELL, "%.128s (%s) is not among the owners of %s; administrators mostly need not be", o->name, o->role, tag);
		why_hint(why, "try it: ts-keygen --tag %s", tag);
	} else if (rc != 1)
		refused(a, tag, o, rc, why);
	return rc < 0 ? -1 : rc == 1;
}
