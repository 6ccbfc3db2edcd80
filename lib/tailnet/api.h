/* api - the control server's REST API (/api/v2), as far as nodes are concerned
 *
 * Source: Tailscale's API documentation ("Devices", "OAuth clients"); headscale answers the same paths.
 */
#ifndef API_H
#define API_H
#include "err.h"
#include "secret.h"

struct api {
	char base[512];			/* URL, no slash at its end, without /api/v2 */
	struct secret token;		/* what requests are signed with */
};

/* given: an API token or an OAuth client secret, exchanged for a token here. control: the control server's URL; the API is
 * asked at $MOORBOX_API, at api.tailscale.com for Tailscale's own service, else at that server. */
int  api_open(struct api *, const struct secret *given, const char *control, long long deadline, struct why *);
void api_close(struct api *);

/* One that is not there counts as deleted. */
int api_delete_node(const struct api *, const char *node_id, long long deadline, struct why *);

#endif
