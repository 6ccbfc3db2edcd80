/* mint - the auth key that a node joins with */
#include "mint.h"
#include "api_open.h"
#include "clock.h"
#include "str.h"
#include "wif.h"
#include <stdlib.h>
#include <string.h>

static int take_plain(struct mint *m, const char *src, struct why *why)
{
	struct why joins;
	if (settings_secret(m->set, src, &m->given, why) < 0)
		return -1;
	int rc = key_can_join(m->given.p, m->given.len, &m->shape, &joins);
	if (rc < 0 && joins.reason == R_KEY_KIND && m->shape.kind == KEY_CLIENT) {
		m->mints = 1;	/* containerboot's TS_AUTHKEY and the CLI's --auth-key mean this by it */
		rc = 0;
	}
	if (rc < 0)
		*why = joins;
	return rc;
}

static int take_client(struct mint *m, const char *src, struct why *why)
{
	m->mints = 1;
	if (settings_secret(m->set, src, &m->given, why) < 0 || key_shape(m->given.p, m->given.len, &m->shape, why) < 0)
		return -1;
	if (m->shape.kind == KEY_CLIENT)
		return 0;
	why_set(why, R_KEY_KIND, "this is %s; oauth: wants an OAuth client secret", key_kind_name(m->shape.kind));
	return why_hint(why, m->shape.kind == KEY_AUTH ? "an auth key is given without oauth: before it"
		: "make one in the admin console, Settings, OAuth clients");
}

int mint_take(struct mint *m, const struct settings *s, const char *src, const char *control, struct why *why)
{
	int rc;
	*m = (struct mint){.set = s, .shape = {.ephemeral = -1, .preauthorized = -1}};
	if (!(src = settings_key_src(s, src, why)))
		return -1;
	if (str_copy(m->src, sizeof m->src, src) < 0)
		return why_set(why, R_USAGE, "the place of the key is too long a text");
	if (str_starts(src, "oauth:"))
		rc = take_client(m, src + 6, why);
	else if (!str_starts(src, "wif:"))
		rc = take_plain(m, src, why);
	else {
		m->mints = 1;
		if (!wif_known(src + 4))
			rc = wif_unknown(src + 4, why);
		else
			rc = wif_is_text(src + 4) ? secret_get(&m->given, src + 4, why) : 0;
	}
	if (!rc && control)
		rc = api_check_server(&m->shape, control, why);
	if (rc < 0)
		mint_free(m);
	return rc;
}

int mint_key(struct mint *m, const struct api_mint *want, const char *control, struct secret *key, long long deadline,
	struct why *why)
{
	struct api_mint w = *want;
	struct api_key info;
	*key = (struct secret){0};
	if (!m->mints)
		return secret_set(key, m->given.p, m->given.len) < 0 ? why_set(why, R_RESOURCES, "no memory left") : 0;
	struct api_who who = {
		.src = m->src, .given = m->given.p ? &m->given : NULL,
		.client_id = *m->set->client_id ? m->set->client_id : NULL, .audience = *m->set->audience ? m->set->audience : NULL,
	};
	if (api_open(&m->api, &who, control, deadline, why) < 0)
		return -1;
	if (m->api.preauthorized >= 0)
		w.preauthorized = m->api.preauthorized;
	int rc = api_key_mint(&m->api, &w, key, &info, deadline, why);
	if (rc < 0)
		api_close(&m->api);
	else
		str_copy(m->id, sizeof m->id, info.id);
	return rc;
}

void mint_undo(struct mint *m, long long deadline)
{
	struct why ignored;
	if (*m->id && m->api.token.p)
		api_key_delete(&m->api, m->id, deadline, &ignored);
	*m->id = 0;
}

void mint_free(struct mint *m)
{
	secret_free(&m->given);
	api_close(&m->api);
}
