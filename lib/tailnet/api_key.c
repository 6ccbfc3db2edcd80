/* api_key - the API's keys: looked up, minted, deleted */
#include "api_key.h"
#include "api_open.h"
#include "api_policy.h"
#include "clock.h"
#include "key.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- keys ---- */

static void key_of(const struct json *j, struct api_key *k)
{
	char words[API_TAGS][64];
	int n, create = json_at(j, "capabilities.devices.create");
	*k = (struct api_key){0};
	api_text_of(j, json_get(j, 0, "id"), k->id, sizeof k->id);
	api_text_of(j, json_get(j, 0, "keyType"), k->type, sizeof k->type);
	api_text_of(j, json_get(j, 0, "description"), k->description, sizeof k->description);
	api_text_of(j, json_get(j, 0, "userId"), k->user, sizeof k->user);
	k->invalid = json_is_true(j, 0, "invalid");
	k->created = api_stamp(j, 0, "created");
	k->expires = api_stamp(j, 0, "expires");
	k->revoked = api_stamp(j, 0, "revoked");
	/* a member that is absent is false to Go, but an old server's list has ids only: then nothing is known */
	int known = create >= 0;
	k->reusable = known ? json_is_true(j, create, "reusable") : -1;
	k->ephemeral = known ? json_is_true(j, create, "ephemeral") : -1;
	k->preauthorized = known ? json_is_true(j, create, "preauthorized") : -1;
	api_list_of(j, json_get(j, create, "tags"), k->tags, &k->ntags);
	if (!k->ntags)
		api_list_of(j, json_get(j, 0, "tags"), k->tags, &k->ntags);
	api_list_of(j, json_get(j, 0, "scopes"), words, &n);
	str_join(k->scopes, sizeof k->scopes, words, n, " ");
}

/* What the API says of it, when it says that it is none to use. */
int api_key_usable(const struct api_key *k, struct why *why)
{
	char date[48];
	if (k->revoked)
		why_set(why, R_KEY_REVOKED, "the key was revoked on %s", clock_when(date, k->revoked));
	else if (k->expires && k->expires <= time(NULL))
		why_set(why, R_KEY_EXPIRED, "the key expired on %s", clock_when(date, k->expires));
	else if (k->used && !k->reusable)
		why_set(why, R_KEY_USED, "the key is a one-off, and was used");
	else if (k->invalid && k->reusable == 0)
		why_set(why, R_KEY_USED, "the key is a one-off that is no longer valid: used up");
	else if (k->invalid)
		why_set(why, R_KEY_REFUSED, "the API says that the key is not valid, and not why");
	else
		return 0;
	return why_hint(why, "make a new key");
}

static int is_plain_id(const char *id)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	return *id && strlen(id) < 128 && strspn(id, ok) == strlen(id);
}

static int key_call(struct api_call *c, const char *what, const char *method, const char *id, struct why *why)
{
	*c = (struct api_call){.what = what, .method = method, .again = 1, .scope = str_eq(method, "GET") ? "auth_keys:read" : "auth_keys"};
	if (!is_plain_id(id))
		return why_set(why, R_USAGE, "not the id of a key: it has letters, digits and hyphens");
	str_fmt(c->path, sizeof c->path, "/api/v2/tailnet/-/keys/%s", id);
	return 0;
}

static int no_such_key(const char *id, struct why *why)
{
	return why_set(why, R_KEY_UNKNOWN, "%s: no such key in this tailnet: used up, deleted, or of another tailnet", id);
}

int api_key_get(const struct api *a, const char *id, struct api_key *k, long long deadline, struct why *why)
{
	struct api_call c;
	struct api_answer r;
	if (key_call(&c, "look the key up", "GET", id, why) < 0)
		return -1;
	int rc = api_ask_json(a, &c, &r, deadline, why);
	if (rc < 0 && r.status == 404) {
		no_such_key(id, why);
		why_hint(why, "a one-off key is gone once it was used; make a new one");
	}
	if (rc < 0)
		return -1;
	key_of(&r.j, k);
	api_done(&r);
	return str_eq(k->id, id) ? 0 : why_set(why, R_API_ERROR, "look the key up: the API answers with another key");
}

int api_key_delete(const struct api *a, const char *id, long long deadline, struct why *why)
{
	struct api_call c;
	struct http_res res = {0};
	if (key_call(&c, "delete the key", "DELETE", id, why) < 0)
		return -1;
	int rc = api_ask(a, &c, &res, deadline, why);
	if (!rc && res.status == 404)
		rc = no_such_key(id, why);
	else if (!rc && res.status / 100 != 2)
		rc = api_explain(a, &c, &res, why);
	http_res_free(&res);
	return rc;
}

struct keys_to { int (*fn)(const struct api_key *, void *); void *ctx; };

static int give_key(const struct json *j, void *ctx)
{
	const struct keys_to *to = ctx;
	struct api_key k;
	key_of(j, &k);
	return to->fn(&k, to->ctx);
}

int api_keys(const struct api *a, int (*fn)(const struct api_key *, void *), void *ctx, long long deadline, struct why *why)
{
	struct api_call c = {.what = "list the keys", .method = "GET", .path = "/api/v2/tailnet/-/keys?all=true", .again = 1,
		.scope = "auth_keys:read"};
	return api_ask_list(a, &c, "keys", give_key, &(struct keys_to){fn, ctx}, NULL, deadline, why);
}

/* headscale's own API (v1) shows "hskey-auth-PREFIX-***". */
struct sought { const char *prefix; struct api_key *k; };

static int match_prefix(const struct json *j, void *ctx)
{
	struct sought *s = ctx;
	char shown[160], want[100];
	str_fmt(want, sizeof want, "hskey-auth-%s-", s->prefix);
	if (json_text(j, 0, "key", shown, sizeof shown) <= 0 || !str_starts(shown, want))
		return 0;
	struct api_key *k = s->k;
	*k = (struct api_key){.type = "auth", .preauthorized = 1};	/* there a key always is */
	api_text_of(j, json_get(j, 0, "id"), k->id, sizeof k->id);
	api_text_of(j, json_at(j, "user.name"), k->user, sizeof k->user);
	k->reusable = json_is_true(j, 0, "reusable");
	k->ephemeral = json_is_true(j, 0, "ephemeral");
	k->used = json_is_true(j, 0, "used");
	k->created = api_stamp(j, 0, "createdAt");
	k->expires = api_stamp(j, 0, "expiration");
	k->invalid = (k->used && !k->reusable) || (k->expires && k->expires <= time(NULL));
	api_list_of(j, json_get(j, 0, "aclTags"), k->tags, &k->ntags);
	return 1;
}

int api_key_by_prefix(const struct api *a, const char *prefix, struct api_key *k, long long deadline, struct why *why)
{
	struct sought s = {prefix, k};
	struct api_call c = {.what = "list headscale's keys", .method = "GET", .path = "/api/v1/preauthkey", .again = 1};
	int rc = api_ask_list(a, &c, "preAuthKeys", match_prefix, &s, NULL, deadline, why);
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

/* One refusal has three causes, and the server does not say which. The text names what can be known. */
static int explain_tags(const struct api *a, const char *const *tags, long long deadline, struct why *why)
{
	char own[400], asked[400] = "";
	const char *stranger = NULL, *undefined = NULL;
	int unsure = 0;
	str_join(own, sizeof own, a->tags, a->ntags, " ");
	for (int i = 0; tags && tags[i]; i++) {
		size_t at = strlen(asked);
		str_fmt(asked + at, sizeof asked - at, "%s%s", i ? " " : "", tags[i]);
		if (str_among(tags[i], a->tags, a->ntags))
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

static int explain_mint(const struct api *a, const struct api_call *c, const char *const *tags, const struct http_res *res,
	long long deadline, struct why *why)
{
	char text[300], tag[64];
	const char *at;
	api_message(res, text, sizeof text);
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
	return api_explain(a, c, res, why);
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
	struct api_call c = {.what = "mint a key", .method = "POST", .path = "/api/v2/tailnet/-/keys", .json = buf_cstr(&body),
		.scope = "auth_keys"};
	int rc = api_ask(a, &c, &res, deadline, why);
	if (!rc && res.status / 100 != 2)
		rc = explain_mint(a, &c, tags, &res, deadline, why);
	else if (!rc && json_parse(&j, buf_cstr(&res.body), res.body.len, why) < 0) {
		res.body.len = 0;
		rc = api_explain(a, &c, &res, why);
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
	if (api_base(&a, "", control, why) < 0)
		return -1;
	api_form_room(&body);
	buf_str(&body, "key=");
	api_form_value(&body, text, len);
	/* not documented for the public: asked once, and whatever it says beyond yes and no is nothing */
	struct api_call c = {.what = "verify", .method = "POST", .path = "/api/v2/secret-scanning/verify", .form = body.p};
	int rc = api_ask(&a, &c, &res, deadline && deadline < soon ? deadline : soon, why);
	buf_wipe(&body);
	if (!rc && (res.status == 204 || res.status == 401))
		rc = res.status == 204;
	else if (!rc)
		rc = res.status == 429 ? api_explain(&a, &c, &res, why)
			: why_set(why, R_CANNOT_TELL, "verify: %s answers %d, which is neither yes nor no", a.base, res.status);
	http_res_free(&res);
	return rc;
}
