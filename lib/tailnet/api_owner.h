/* api_owner - whose the API credential is, and which tags keys of its making may give
 *
 * Sources: Tailscale's API documentation, "Keys" (any token may read itself), "Users"; its docs "Tags" and "OAuth clients" for who may
 * give which. headscale's API keys are nobody's and may give any tag that is defined.
 */
#ifndef API_OWNER_H
#define API_OWNER_H
#include "api.h"
#include "policy.h"

struct api_owner {
	char name[API_TEXT];	/* a user's login, or the client's id; "" not known */
	char role[32];		/* of the user: owner, admin, member...; "" a client, or not known */
};

/* May keys that the credential makes give nodes this tag, by that policy? 1; 0 and *why is [tag-undefined], [tag-refused] or
 * [no-scope], with the line that would mend it; -1 and it is why it cannot be told: [cannot-tell], or what the API said. */
int api_may_give(const struct api *, const struct policy *, const char *tag, struct api_owner *, long long deadline, struct why *);

#endif
