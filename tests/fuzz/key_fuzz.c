/* key_fuzz - what is given as an auth key: its shape is named, each mistake has its word and its hint, itself is never shown */
#include "alloc.h"
#include "key.h"
#include <stdlib.h>
#include <string.h>

static void is_silent(const struct why *why, const char *text)
{
	/* messages have words of their own: what is long and no part of them must not be there */
	if (strlen(text) > 24 && (strstr(why->msg, text) || strstr(why->hint, text)))
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct key k, again;
	struct why why = {0};
	char *exact = xalloc(size ? size : 1), *text = xalloc(size + 1);	/* one without a NUL, for the sanitizer */
	memcpy(exact, data, size);
	memcpy(text, data, size);
	int shape = key_shape(exact, size, &k, &why);
	if (shape < 0) {
		is_silent(&why, text);
		if (strncmp(reason_word(why.reason), "key-", 4) || !*why.hint)
			abort();
	}
	if (k.bare > size || !memchr(k.id, 0, sizeof k.id) || !key_kind_name(k.kind) || !key_kind_word(k.kind))
		abort();
	if (k.bare < size && !memchr(text, '?', size) && !memmem(text, size, "--TL", 4))
		abort();
	int joins = key_can_join(exact, size, &again, &why);
	if ((joins == 0 && shape < 0) || (shape == 0 && again.kind != k.kind))
		abort();
	if (joins < 0 && again.kind != KEY_FEDERATED)	/* which is named: a client's id, no secret */
		is_silent(&why, text);
	key_refusal(text);
	free(exact);
	free(text);
	return 0;
}
