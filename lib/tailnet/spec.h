/* spec - what is asked of a workspace: which options were told, what goes together, what a running one has otherwise */
#ifndef SPEC_H
#define SPEC_H
#include "workspace.h"

/* Options that were given. What was not is taken over from a workspace that is there already. */
enum {
	TOLD_INBOUND = 1, TOLD_KEEP = 2, TOLD_TUN = 4, TOLD_SSH = 8, TOLD_LOGS = 16, TOLD_SOCKS = 32, TOLD_HTTP = 64,
	TOLD_CONTROL = 128, TOLD_TAGS = 256, TOLD_DERP = 512, TOLD_ROUTES = 1024, TOLD_ANY_NAME = 2048, TOLD_NETNS = 4096,
	TOLD_ISOLATE = 8192,
};

int spec_serve_dir(struct ws_spec *, const char *dir, struct why *);	/* adds one; [usage] */
/* "ADDRESS:PORT" of --socks, --http (option) into dst; [usage]. */
int spec_address(const char *option, const char *val, char *dst, size_t size, struct why *);

/* The host name from TS_HOSTNAME, else prefix and name; name is clean. [bad-name]. */
int spec_hostname(struct ws_spec *, const char *told, const char *prefix, const char *name, struct why *);

int spec_has_netns(const struct ws_spec *);	/* another network namespace than ours, as it was asked for */
int spec_check(const struct ws_spec *, struct why *);			/* what cannot go together: [usage] */
void spec_inherit(struct ws_spec *now, const struct ws_spec *then, unsigned told);

/* What only a new start of the daemon could change; the option's name, or NULL. */
const char *spec_differs(const struct ws_spec *now, const struct ws_spec *then);

#endif
