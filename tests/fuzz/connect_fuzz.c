/* connect_fuzz - what pretends to be a proxy's answer to CONNECT: at once, in pieces, as a page and as a relay map */
#include "alloc.h"
#include "connect.h"
#include "probe.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static struct relay_site sites[40];
	struct connect_answer whole, part;
	char page[64];
	size_t len = size < CONNECT_MAX ? size : CONNECT_MAX;
	char *text = xalloc(len + 1);
	memcpy(text, data, len);
	int rc = connect_parse(text, len, 1, &whole);
	if (!rc || strlen(whole.text) > CONNECT_TEXT || (rc > 0 && (whole.status < 100 || whole.status > 599)))
		abort();
	for (size_t n = 0; n < len; n += 1 + len / 64)
		if (connect_parse(text, n, 0, &part) < 0 && rc > 0)
			abort();	/* what is good in the end was never bad before */
	for (const char *p = whole.text; *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
	connect_page_text(page, sizeof page, text, len);
	int n = probe_read_map(text, len, sites, 40);
	for (int i = 0; i < n; i++)
		if (!*sites[i].host || sites[i].port < 1 || sites[i].port > 65535 || sites[i].stun_port < 0 || sites[i].stun_port > 65535)
			abort();
	free(text);
	return 0;
}
