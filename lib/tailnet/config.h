/* config - the config file (settings.h), as who writes it sees it
 *
 * Only the "tailscale" section is touched; what else is in the file, other programs' sections and fields that we do not know, stays
 * byte for byte.
 */
#ifndef CONFIG_H
#define CONFIG_H
#include "buf.h"
#include "secret.h"
#include "settings.h"
#include <limits.h>

struct config {
	char path[PATH_MAX];
	struct buf text;		/* of the file, as it will be */
	int changed, is_new;		/* is_new: there is no such file yet */
};

extern const char *const config_keys[];		/* those that there are, NULL-ended */

/* What there is, or an empty one; *set is what it says (or what Perry's does). 0, or -1. */
int config_load(struct config *, struct settings *set, struct why *);
/* One setting, checked. value "" takes it out. -1: [usage], [bad-name], [secret-in-argv], [bad-config]. */
int config_set(struct config *, const char *key, const char *value, struct why *);
/* The key itself, if a node can join with it at that control server (NULL: not known), or an OAuth client can mint one. */
int config_set_key(struct config *, const struct secret *key, const char *control, int *is_short, struct why *);
int config_import(struct config *, const char *file, struct why *);	/* the "tailscale" section of another file */
/* The file is replaced whole, mode 0600, if it can be read afterwards. What it held is wiped. */
int config_save(struct config *, struct why *);

int config_is_place(const char *);		/* env:, file:, oauth:, wif: */

#endif
