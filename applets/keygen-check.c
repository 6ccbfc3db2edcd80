/* keygen-check - say whether a key can be used, for what, and until when
 *
 * usage: keygen-check [-jqv] [-t DUR] [--want LIST] [--warn-days N] [--api SRC] [--verify] [--login-server URL] [SRC]
 *
 * --want LIST  what the key should be, comma between: ephemeral, reusable, preauthorized, their opposites kept and one-off, and
 *   tags such as tag:ci; may be repeated
 * --warn-days N  answer no if it expires within N days
 * --api SRC  API credential to look the key up with (env:NAME, file:PATH, fd:N, -, oauth:SRC, wif:SOURCE)
 * --id ID  the key's id there, where its text does not tell it (headscale)
 * --verify  without API access: ask Tailscale's service whether the key lives, as scanners for leaked secrets do
 * --login-server URL  control server, if not Tailscale's own
 * -t, --timeout DUR  wait at most DUR for the API (default 30)
 * -j, --json  print JSON lines
 * -q, --quiet  print no records; the exit status is the answer
 * -v, --verbose  say each step
 *
 * SRC is the key's place: env:NAME, file:PATH, fd:N, - (stdin), or oauth:SRC, wif:SOURCE as ws-up takes them; without it the key
 * that ws-up would use. It is never used up by this.
 *
 * Without options nobody is asked: the text shows kind and id, and the mistakes people make with keys. What it cannot show
 * (expired, used up, ephemeral, tags) needs --api. An OAuth client secret opens the API: with a wish or --verify it is tried.
 *
 * The first record: verdict (usable, plausible, unusable, unknown), kind, id, reusable, ephemeral, preauthorized, tags, expires,
 * description, made by, scopes, reason, wish. Each wish that is not met is one more, with verdict unmet and its wish.
 *
 * exit: 0 it can be used, or nothing speaks against it and nothing was asked
 *   1  it cannot, or a wish is not met
 *   2  usage
 *   3  cannot tell
 * env:
 *   TS_AUTHKEY  the key, or file:PATH (and the others of ws-up)
 *   MOORBOX_API  URL of the control server's API, if not the usual one
 * example: keygen-check env:KEY --want ephemeral,tag:ci --warn-days 7 || exit 1
 * see: ws-up ts-keygen
 */
#include "alloc.h"
#include "api_key.h"
#include "api_open.h"
#include "clock.h"
#include "err.h"
#include "key.h"
#include "opts/keygen-check.h"
#include "rec.h"
#include "secret.h"
#include "settings.h"
#include "str.h"
#include "wish.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum verdict { USABLE, PLAUSIBLE, UNUSABLE, UNKNOWN, UNMET };

struct check {
	struct settings set;
	struct rec out;
	char control[512];
	const char *api_src, *id;
	struct wishes wishes;		/* asked for; after the comparison those that are not met, and why */
	int verify;
	long long deadline;

	struct secret text;
	struct key key;
	enum verdict verdict;
	enum reason reason;
	int has_props;
	struct api_key props;
	int status;
};

static void worse(struct check *c, int status)
{
	if (c->status != EXIT_NO && status)
		c->status = status;	/* a no outranks what cannot be told */
}

/* ---- what is asked ---- */

static const char *options(struct check *c, char **argv)
{
	struct why why;
	const char *server = NULL;
	long long wait_ms = 30000;
	struct opt o = opt_start(argv, opts);
	c->wishes.warn_days = -1;
	for (int k; (k = opt_next(&o)); )
		switch (k) {
		case 'j': c->out.mode = REC_JSON; break;
		case 'q': c->out.mode = REC_NONE; break;
		case 'v': break;
		case 't': wait_ms = opt_dur(&o); break;
		case OPT_WANT:
			if (wish_add(&c->wishes, xstrdup(o.val), &why) < 0)
				opt_usage("%s", why.msg);
			break;
		case OPT_WARN_DAYS: c->wishes.warn_days = opt_num(&o, 0, 3650); break;
		case OPT_API: c->api_src = o.val; break;
		case OPT_ID: c->id = o.val; break;
		case OPT_VERIFY: c->verify = 1; break;
		case OPT_LOGIN_SERVER: server = o.val; break;
		}
	opt_want(&o, 0, 1);
	if (c->id && !c->api_src)
		opt_usage("--id goes with --api");
	if (settings_load(&c->set, &why) < 0)
		die_why(&why);
	if (settings_control(server ? server : *c->set.login_server ? c->set.login_server : SETTINGS_CONTROL, c->control,
			sizeof c->control, &why) < 0)
		opt_usage("%s", why.msg);
	c->deadline = clock_ms() + wait_ms;
	return o.operands[0];
}

static int asks(const struct check *c)
{
	return c->api_src || c->wishes.n || c->wishes.warn_days >= 0 || c->verify;
}

/* ---- verdicts ---- */

static void judge(struct check *c, enum verdict verdict, struct why *why)
{
	c->verdict = verdict;
	c->reason = why->reason;
	why->status = verdict == UNUSABLE ? EXIT_NO : EXIT_RETRY;
	worse(c, warn_why(why));
}

static void cannot_tell(struct check *c, const char *what, const char *remedy)
{
	struct why why;
	why_set(&why, R_CANNOT_TELL, "%s", what);
	why_hint(&why, "%s", remedy);
	judge(c, UNKNOWN, &why);
}

/* Answers about the key itself; all else (network, the API's own credential) says nothing about it. */
static int is_about_key(enum reason r)
{
	return r == R_KEY_UNKNOWN || r == R_KEY_EXPIRED || r == R_KEY_REVOKED || r == R_KEY_USED || r == R_KEY_REFUSED;
}

/* ---- asking ---- */

static void look_up(struct check *c)
{
	struct api api;
	struct why why;
	const char *id = c->id ? c->id : c->key.headscale ? NULL : *c->key.id ? c->key.id : NULL;
	struct api_who who;
	struct secret given;
	int opened = api_who_take(&who, c->api_src, &c->set, &given, NULL, NULL, &why) < 0 ? -1
		: api_open(&api, &who, c->control, c->deadline, &why);
	secret_free(&given);
	if (opened < 0) {
		if (why.status == EXIT_USAGE)
			die_why(&why);
		judge(c, UNKNOWN, &why);
		return;
	}
	int by_prefix = !id && c->key.headscale && *c->key.id && api.cred == API_TOKEN;
	if (!id && !by_prefix) {
		cannot_tell(c, "the key's text does not say under which id the API knows it",
			c->key.headscale ? "give an API key of headscale's (hskey-api-...), or --id N as headscale lists it" : "give --id ID");
		api_close(&api);
		return;
	}
	verbose("looking the key %s up at %s", id ? id : c->key.id, api.base);
	int rc = id ? api_key_get(&api, id, &c->props, c->deadline, &why)
		: api_key_by_prefix(&api, c->key.id, &c->props, c->deadline, &why);
	if (rc < 0)
		judge(c, is_about_key(why.reason) ? UNUSABLE : UNKNOWN, &why);
	else {
		c->has_props = 1;
		c->verdict = USABLE;
		if (api_key_usable(&c->props, &why) < 0)
			judge(c, UNUSABLE, &why);
	}
	api_close(&api);
}

static void verify(struct check *c)
{
	struct why why;
	if (c->key.headscale || (!api_is_tailscale(c->control) && !getenv("MOORBOX_API"))) {
		cannot_tell(c, "only Tailscale's own service can be asked whether a key lives", "give API access: --api SRC");
		return;
	}
	verbose("asking whether it lives");
	int rc = api_verify(c->control, c->text.p, c->key.bare, c->deadline, &why);
	if (rc > 0) {
		c->verdict = USABLE;
		c->reason = R_NONE;
		return;
	}
	if (rc == 0) {
		why_set(&why, R_KEY_REFUSED, "Tailscale says that the key does not live: used up, expired, revoked or deleted");
		why_hint(&why, "make a new key");
	}
	judge(c, rc ? UNKNOWN : UNUSABLE, &why);
}

/* ---- wishes ---- */

/* A wish that is not met is a record; of one that cannot be told the whole answer is unsure. */
static void tell_unmet(struct check *c)
{
	struct wishes *w = &c->wishes;
	int n = 0;
	for (int i = 0; i < w->n; i++) {
		worse(c, warn_why(&w->p[i].why));
		if (w->p[i].why.reason == R_CANNOT_TELL)
			c->reason = R_CANNOT_TELL;
		else
			w->p[n++] = w->p[i];
	}
	w->n = n;
}

/* ---- OAuth clients ---- */

static void try_client(struct check *c, const char *src)
{
	struct api api;
	struct why why;
	struct api_who who = {.src = src, .given = c->text.p ? &c->text : NULL,
		.client_id = *c->set.client_id ? c->set.client_id : NULL, .audience = *c->set.audience ? c->set.audience : NULL};
	verbose("asking for a token");
	if (api_open(&api, &who, c->control, c->deadline, &why) < 0) {
		int later = why.status == EXIT_RETRY || why.reason == R_CONTROL_TLS || why.reason == R_CLOCK || why.reason == R_CONTROL_ERROR;
		judge(c, later ? UNKNOWN : UNUSABLE, &why);
		return;
	}
	c->verdict = USABLE;
	c->has_props = 1;
	c->props = (struct api_key){.reusable = -1, .ephemeral = -1, .preauthorized = -1, .ntags = api.ntags};
	memcpy(c->props.tags, api.tags, sizeof api.tags);
	str_copy(c->props.scopes, sizeof c->props.scopes, api.scopes);
	if (!*c->key.id)
		str_copy(c->key.id, sizeof c->key.id, api.client);
	if (api_may(&api, "auth_keys", 1) == 0) {
		why_set(&why, R_NO_SCOPE, "the client may not mint auth keys; its scopes: %s", api.scopes);
		why_hint(&why, "give it the scope auth_keys");
		judge(c, UNUSABLE, &why);
	} else {
		wish_of_client(&c->wishes, &api, c->deadline);
		tell_unmet(c);
	}
	api_close(&api);
}

/* An API token may always read itself. */
static void show_token(struct check *c)
{
	struct api api;
	struct why ignored;
	struct api_who who = {.src = "-", .given = &c->text};
	if (!asks(c) || api_open(&api, &who, c->control, c->deadline, &ignored) < 0)
		return;
	c->has_props = *api.client && api_key_get(&api, api.client, &c->props, c->deadline, &ignored) == 0;
	api_close(&api);
}

/* ---- the ways ---- */

static void check_key(struct check *c, const char *src)
{
	struct why why;
	int shape = key_can_join(c->text.p, c->text.len, &c->key, &why);
	if (c->key.kind == KEY_CLIENT && (shape == 0 || why.reason == R_KEY_KIND)) {
		if (asks(c))
			try_client(c, src);
		return;
	}
	if (!shape && str_starts(src, "oauth:"))
		shape = why_set(&why, R_KEY_KIND, "this is %s; oauth: wants an OAuth client secret", key_kind_name(c->key.kind));
	else if (!shape && api_check_server(&c->key, c->control, &why) < 0)
		shape = -1;
	else if (!shape && c->key.kind == KEY_OTHER && !*c->key.id && api_is_tailscale(c->control)) {
		shape = why_set(&why, R_KEY_MALFORMED, "the text has not the shape of any key of Tailscale's");
		why_hint(&why, "a key begins with tskey-; for another control server: --login-server URL");
	}
	if (shape < 0) {
		judge(c, UNUSABLE, &why);
		if (c->key.kind == KEY_API && why.reason == R_KEY_KIND)
			show_token(c);
		return;
	}
	if (c->key.is_short)
		say("the secret part is shorter than usual: perhaps it is cut off");
	if (c->api_src)
		look_up(c);
	if (c->verify && (c->verdict == PLAUSIBLE || c->verdict == UNKNOWN)) {
		if (c->verdict == UNKNOWN)
			c->status = EXIT_DONE;
		verify(c);
	}
	if (c->verdict == UNUSABLE || (!c->wishes.n && c->wishes.warn_days < 0))
		return;
	if (c->has_props) {
		wish_of_key(&c->wishes, &c->props);
		tell_unmet(c);
		if (c->reason == R_CANNOT_TELL)
			c->verdict = UNKNOWN;
	} else if (c->verdict != UNKNOWN) {
		enum verdict then = c->verdict;
		cannot_tell(c, "what is wished of the key cannot be seen in its text", "give API access: --api SRC (scope auth_keys:read)");
		c->verdict = then == USABLE ? USABLE : UNKNOWN;
	}
}

/* ---- the records ---- */

static void tri(struct check *c, const char *name, int value)
{
	if (value < 0)
		rec_str(&c->out, name, NULL);
	else
		rec_bool(&c->out, name, value);
}

static void print(struct check *c, enum verdict verdict, enum reason reason, const char *wish)
{
	static const char *const words[] = {"usable", "plausible", "unusable", "unknown", "unmet"};
	const struct api_key *k = &c->props;
	const char *tags[API_TAGS + 1] = {0};
	int whole = verdict != UNMET && c->has_props;
	char stamp[32];
	for (int i = 0; i < k->ntags; i++)
		tags[i] = k->tags[i];
	if (k->expires)
		clock_stamp(stamp, k->expires);
	rec_begin(&c->out);
	rec_str(&c->out, "verdict", words[verdict]);
	rec_str(&c->out, "kind", key_kind_word(c->key.kind));
	rec_str(&c->out, "id", *c->key.id ? c->key.id : NULL);
	/* a client secret's attributes are in its text */
	tri(c, "reusable", whole ? k->reusable : -1);
	tri(c, "ephemeral", whole && k->ephemeral >= 0 ? k->ephemeral : verdict == UNMET ? -1 : c->key.ephemeral);
	tri(c, "preauthorized", whole && k->preauthorized >= 0 ? k->preauthorized : verdict == UNMET ? -1 : c->key.preauthorized);
	if (whole)
		rec_list(&c->out, "tags", tags);
	else
		rec_str(&c->out, "tags", NULL);
	rec_str(&c->out, "expires", whole && k->expires ? stamp : NULL);
	rec_str(&c->out, "description", whole && *k->description ? k->description : NULL);
	rec_str(&c->out, "madeBy", whole && *k->user ? k->user : NULL);
	rec_str(&c->out, "scopes", whole && *k->scopes ? k->scopes : NULL);
	rec_str(&c->out, "reason", reason ? reason_word(reason) : NULL);
	rec_str(&c->out, "wish", wish);
	rec_end(&c->out);
}

int keygen_check_main(char **argv)
{
	static struct check c;
	struct why why;
	secret_no_core();
	const char *src = options(&c, argv);
	c.verdict = PLAUSIBLE;
	c.key.ephemeral = c.key.preauthorized = -1;
	if (!(src = settings_key_src(&c.set, src, &why))) {
		if (why.reason == R_NO_KEY)
			why_hint(&why, "say where it is: keygen-check env:NAME, file:PATH or -; or set TS_AUTHKEY");
		die_why(&why);
	}
	clock_cancel_on_signals();
	if (str_starts(src, "wif:")) {
		c.key.kind = KEY_FEDERATED;
		try_client(&c, src);
	} else {
		if (settings_secret(&c.set, str_starts(src, "oauth:") ? src + 6 : src, &c.text, &why) < 0)
			die_why(&why);
		check_key(&c, src);
	}
	int answered = c.verdict == USABLE && c.has_props;
	print(&c, c.verdict, c.reason, NULL);
	for (int i = 0; answered && i < c.wishes.n; i++)
		print(&c, UNMET, c.wishes.p[i].why.reason, c.wishes.p[i].text);
	return c.status;
}
