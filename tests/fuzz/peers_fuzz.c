/* peers_fuzz - the first line is what was typed, each other one a node of the netmap */
#include "alloc.h"
#include "peers.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static struct peers_search s;
	static struct peer p;
	struct why why = {0};
	char *text = xalloc(size + 1), *save = NULL;
	memcpy(text, data, size);
	char *typed = strtok_r(text, "\n", &save);
	if (typed && peers_begin(&s, typed, "lab.ts.net", &why) == 0) {
		for (char *line; (line = strtok_r(NULL, "\n", &save)); )
			if (localapi_read_peer(line, strlen(line), "lab.ts.net", &p, &why) == 0 && peers_look(&s, &p, 0))
				break;
		why.reason = R_NONE;
		if (peers_end(&s, &why) < 0 ? !why.reason : !*s.host.dial)
			abort();
		peers_is_ours(typed, "lab.ts.net");
	}
	free(text);
	return 0;
}
