/* settings_fuzz - a config file, a control server's URL, a tag */
#include "alloc.h"
#include "../../lib/tailnet/settings.c"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static struct settings s;
	struct why why = {0};
	struct json j;
	char url[512], *text = xalloc(size + 1);
	memcpy(text, data, size);
	s = (struct settings){.ephemeral = -1};
	if (json_parse(&j, text, size, &why) == 0) {
		if (apply(&s, &j, "config", &why) < 0 && !why.reason)
			abort();
		json_free(&j);
	}
	if (s.ntags > SETTINGS_TAGS || s.ephemeral < -1 || s.ephemeral > 1)
		abort();
	for (int i = 0; i < s.ntags; i++)
		if (!str_starts(s.tags[i], "tag:") || strlen(s.tags[i]) < 5)
			abort();
	secret_free(&s.key);
	if (settings_control(text, url, sizeof url, &why) == 0 && (!str_starts(url, "http") || strpbrk(url, " \"\\\n@") || str_ends(url, "/")))
		abort();
	s.ntags = 0;
	if (settings_tag(&s, text, &why) == 0 && s.ntags != 1)
		abort();
	free(text);
	return 0;
}
