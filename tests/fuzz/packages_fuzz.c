/* packages_fuzz - a list of packages; versions compared both ways */
#include "apt.h"
#include "release.h"
#include "ustar.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct apt_package p;
	struct why why;
	char *text = xstrndup((const char *)data, size);
	if (!apt_find(text, size, "tailscale", "amd64", NULL, &p, &why) && (!ustar_name_ok(p.path) || p.size < 0))
		abort();
	struct seal *s = seal_new(10);
	seal_add(s, "hello", 5);
	if ((apt_trust_deb(text, size, s, "x.deb", &p, &why) == 0) != seal_trusted(s))
		abort();
	seal_free(s);
	char *half = text + strlen(text) / 2, saved = *half;
	char *second = xstrdup(half);
	*half = 0;
	int d = release_compare(text, second), e = release_compare(second, text);
	if ((d > 0) != (e < 0) || (d < 0) != (e > 0) || release_compare(text, text))
		abort();
	*half = saved;
	free(second);
	free(text);
	return 0;
}
