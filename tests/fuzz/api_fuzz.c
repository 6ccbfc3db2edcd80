/* api_fuzz - any text as the API's answer: a key, a list, a token, an error */
#include "hujson.h"
#include "../../lib/tailnet/api.c"
#include "../../lib/tailnet/api_open.c"
#include "../../lib/tailnet/api_policy.c"
#include "../../lib/tailnet/api_key.c"
#include "../../lib/tailnet/api_device.c"

static int take_key(const struct api_key *k, void *ctx)
{
	*(size_t *)ctx += strlen(k->id) + strlen(k->description) + strlen(k->scopes) + k->ntags;
	return 0;
}

static int take_device(const struct api_device *d, void *ctx)
{
	*(size_t *)ctx += strlen(d->id) + strlen(d->name) + strlen(d->hostname) + d->ntags;
	for (const char *p = d->hostname; *p; p++)
		if ((unsigned char)*p < 0x20)
			abort();
	return 0;
}

static void scan(const char *key, int (*fn)(const struct json *, void *), void *ctx, const char *text, size_t size)
{
	struct list l = {.fn = fn, .ctx = ctx};
	l.scan = (struct json_scan){.key = key, .max = 4096, .fn = give, .ctx = &l};
	size_t half = size / 2;
	if (feed(&l, text, half) == 0)
		feed(&l, text + half, size - half);
	json_scan_free(&l.scan);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	size_t sum = 0;
	struct api a = {.headscale = size & 1};
	struct api_key k;
	struct why why = {0};
	char text[300];
	struct api_answer r = {.res = {.status = 400}};
	struct api_call c = {.what = "fuzz"};
	struct sought sought = {"0123456789ab", &k};
	char *exact = xalloc(size ? size : 1);	/* exactly so long, for the sanitizer */
	memcpy(exact, data, size);
	scan("keys", give_key, &(struct keys_to){take_key, &sum}, exact, size);
	scan("devices", give_device, &(struct devices_to){take_device, &sum}, exact, size);
	scan("preAuthKeys", match_prefix, &sought, exact, size);
	buf_add(&r.res.body, exact, size);
	api_message(&r.res, text, sizeof text);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20)
			abort();
	api_explain(&a, &c, &r.res, &why);
	hujson_plain(exact, size, &why);
	if (json_parse(&r.j, exact, size, &why) == 0) {
		key_of(&r.j, &k);
		take_key(&k, &sum);
		if (json_kind(&r.j, 0) == JSON_OBJ && take_token(&a, &r, &why) == 0)
			api_may(&a, "auth_keys", 1);
		secret_free(&a.token);
		json_free(&r.j);
	}
	buf_free(&r.res.body);
	free(exact);
	return 0;
}
