/* resolve_fuzz - the first line is a name, the second the DNS settings, the rest an answer: JSON, and as it is within JSON */
#include "alloc.h"
#include "buf.h"
#include "resolve.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct resolve r;
	char ip[48], request[400];
	char *text = xalloc(size + 1), *config, *answer;
	memcpy(text, data, size);
	if (!(config = memchr(text, '\n', size)) || !(answer = memchr(config + 1, '\n', text + size - config - 1))) {
		free(text);
		return 0;
	}
	*config++ = 0;
	if (resolve_plan(config, answer - config, text, &r) && !*r.ip && !r.n)
		abort();
	for (int i = 0; i < r.n; i++)
		resolve_request(r.ask[i], i & 1, request);
	size_t len = text + size - ++answer;
	if (resolve_answer(answer, len, ip) == 1 && !*ip)
		abort();
	struct buf b = {0};
	buf_str(&b, "{\"Bytes\":\"");
	for (size_t i = 0; i + 2 < len && i < 3000; i += 3) {
		unsigned v = (unsigned char)answer[i] << 16 | (unsigned char)answer[i + 1] << 8 | (unsigned char)answer[i + 2];
		for (int shift = 18; shift >= 0; shift -= 6)
			buf_ch(&b, digits[v >> shift & 63]);
	}
	buf_str(&b, "\"}");
	resolve_answer(buf_cstr(&b), b.len, ip);
	buf_free(&b);
	free(text);
	return 0;
}
