/* api_fuzz - any text as the API's answer: a key, a list, a token, an error */
#include "../../lib/tailnet/api.c"

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

static void scan(struct each *e, const char *key, int (*fn)(void *, struct slice, const char *, size_t), const char *text, size_t size)
{
	e->scan = (struct json_scan){.key = key, .max = 4096, .fn = fn, .ctx = e};
	size_t half = size / 2;
	if (feed(e, text, half) == 0)
		feed(e, text + half, size - half);
	json_scan_free(&e->scan);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	size_t sum = 0;
	struct api a = {.headscale = size & 1};
	struct api_key k;
	struct why why = {0};
	char text[300];
	struct answer r = {.res = {.status = 400}};
	struct call c = {.what = "fuzz"};
	struct each keys = {.key = take_key, .ctx = &sum}, devices = {.device = take_device, .ctx = &sum};
	struct sought sought = {"0123456789ab", &k, &why};
	struct each found = {.ctx = &sought};
	char *exact = xalloc(size ? size : 1);	/* exactly so long, for the sanitizer */
	memcpy(exact, data, size);
	scan(&keys, "keys", give_key, exact, size);
	scan(&devices, "devices", give_device, exact, size);
	scan(&found, "preAuthKeys", match_prefix, exact, size);
	buf_add(&r.res.body, exact, size);
	message(&r.res, text, sizeof text);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20)
			abort();
	explain(&a, &c, &r.res, &why);
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
