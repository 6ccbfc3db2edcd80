/* hujson and the policy reader: nothing is read or written outside the text, and what is read can be asked about */
#include "policy.h"
#include <stddef.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct policy p;
	struct why why;
	char dst[256];
	int check;
	if (policy_read(&p, (const char *)data, size, &why) < 0)
		return 0;
	policy_owners(&p, "tag:ws", dst, sizeof dst);
	policy_ports(&p, "ann@example.com", "tag:ws", dst, sizeof dst);
	policy_ssh(&p, "group:dev", "tag:ws", dst, sizeof dst, &check);
	policy_free(&p);
	return 0;
}
