/* proxy_fuzz - what a client, or the next proxy, may say: each parser at every cut, and the rewritten head read again */
#include "alloc.h"
#include "../../lib/means/proxy.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>

static void http(const char *p, size_t size)
{
	struct proxy_req r, again;
	int whole = proxy_http(p, size, &r);
	if (whole > (int)size || (whole > 0 && (!*r.host || r.port < 1 || r.port > 65535 || strlen(r.host) > 255)))
		abort();
	for (size_t n = 0; n < size; n += 1 + n / 16) {
		int part = proxy_http(p, n, &again);
		if ((part > 0 && part != whole) || (part < 0 && whole > 0))
			abort();
	}
	if (whole <= 0 || r.is_connect)
		return;
	/* What we send on is a request, with no credential of ours in it, and nothing but one head. */
	struct buf out = {0};
	if (proxy_rewrite(p, (size_t)whole, &r, NULL, &out) == 0) {
		char *end = memmem(out.p, out.len, "\r\n\r\n", 4);
		if (!end || end + 4 != out.p + out.len || strcasestr(out.p, "\r\nproxy-authorization:"))
			abort();
	}
	buf_free(&out);
	if (proxy_rewrite(p, (size_t)whole, &r, "Basic eDp5", &out) == 0
		&& (proxy_http(out.p, out.len, &again) != (int)out.len || !str_eq(again.host, r.host) || again.port != r.port
			|| !str_eq(again.cred, "x:y")))
		abort();
	buf_free(&out);
}

static void socks(const unsigned char *p, size_t size)
{
	struct proxy_req r = {0}, again = {0};
	char cred[PROXY_CRED];
	int methods, reply;
	if (proxy_socks_hello(p, size, &methods) > (int)size || proxy_socks_cred(p, size, cred) > (int)size)
		abort();
	int whole = proxy_socks_request(p, size, &r, &reply);
	if (whole > (int)size || (whole > 0 && (!*r.host || r.port < 1)))
		abort();
	for (size_t n = 0; n < size && n < 600; n++) {
		int part = proxy_socks_request(p, n, &again, &reply);
		if ((part > 0 && part != whole) || (part < 0 && whole > 0))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct proxy_next next;
	int status;
	char *text = xalloc(size + 1);
	memcpy(text, data, size);
	http(text, size);
	socks((unsigned char *)text, size);
	int whole = proxy_answer(text, size, &status);
	if (whole > (int)size || (whole > 0 && (status < 100 || status > 999)))
		abort();
	if (proxy_next(text, &next) == 0 && (!*next.host || next.port < 1 || next.port > 65535))
		abort();
	free(text);
	return 0;
}
