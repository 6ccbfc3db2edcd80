/* key_fuzz - any text as a key: shape, what it can do, what a control server's refusal means */
#include "../../lib/tailnet/key.c"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct key k;
	struct why why = {0};
	char *text = xalloc(size ? size : 1), *ended = xstrndup((const char *)data, size);	/* exactly so long, for the sanitizer */
	memcpy(text, data, size);
	int shape = key_shape(text, size, &k, &why);
	if (shape < 0 && (!why.reason || !*why.hint))
		abort();	/* each mistake has its word and its hint */
	if (k.bare > size || strlen(k.id) >= sizeof k.id)
		abort();
	if (k.bare < size && !memchr(text, '?', size) && !memmem(text, size, "--TL", 4))
		abort();
	if (key_can_join(text, size, &k, &why) == 0 && shape < 0)
		abort();
	key_kind_name(k.kind);
	key_refusal(ended);
	free(ended);
	free(text);
	return 0;
}
