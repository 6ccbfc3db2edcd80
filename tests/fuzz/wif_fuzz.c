/* wif_fuzz - any text as a JWT, and as the payload of one */
#include "../../lib/tailnet/wif.c"

static void check(const struct wif_claims *c)
{
	char text[900];
	struct why why;
	wif_check(c, "a", 1000, &why);
	for (const char *p = wif_show(c, text, sizeof text); *p; p++)
		if ((unsigned char)*p < 0x20)
			abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct wif_claims c;
	struct why why;
	char *text = xalloc(size ? size : 1);	/* exactly so long, for the sanitizer */
	memcpy(text, data, size);
	if (wif_read(text, size, &c, &why) == 0)
		check(&c);
	c = (struct wif_claims){0};
	if (claims(text, size, &c, &why) == 0)
		check(&c);
	free(text);
	return 0;
}
