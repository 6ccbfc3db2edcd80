/* api_policy - the tailnet's own policy: read, and checked by the service
 *
 * Source: Tailscale's API documentation, "Policy file".
 */
#ifndef API_POLICY_H
#define API_POLICY_H
#include "api.h"

/* What the policy says of a tag: not in tagOwners, there but not owned by a tag of the client's, owned. -1: we may not see. */
enum { API_TAG_UNDEFINED, API_TAG_FOREIGN, API_TAG_OWNED };
int api_tag(const struct api *, const char *tag, long long deadline);

/* The tailnet's policy as it was written (HuJSON where the service keeps comments). out is added to. */
struct buf;
int api_policy_get(const struct api *, struct buf *out, long long deadline, struct why *);
/* Asks the service whether it would take this policy (plain JSON), without saving it: 1 yes; 0 no, its words in said; -1. */
int api_policy_validate(const struct api *, const char *json, char *said, size_t size, long long deadline, struct why *);

#endif
