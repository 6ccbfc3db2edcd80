/* settings - what the user wants, from four places: option > environment > config file > default
 *
 * Environment: containerboot's names (TS_AUTHKEY, TS_AUTH_KEY, TS_HOSTNAME, TS_LOGIN_SERVER, TS_STATE_DIR, TS_SOCKET; and
 * TS_CLIENT_ID with TS_CLIENT_SECRET, TS_ID_TOKEN or TS_AUDIENCE, with its rules about which exclude each other).
 * Config: $MOORBOX_CONFIG, else $XDG_CONFIG_HOME/moorbox/config.json (~/.config), then ~/.config/perry/config.json:
 *	{"tailscale": {"enabled", "authKey", "clientId", "audience", "hostnamePrefix", "loginServer", "tags", "ephemeral"}}
 */
#ifndef SETTINGS_H
#define SETTINGS_H
#include "err.h"
#include "secret.h"

enum { SETTINGS_TAGS = 16 };

struct settings {
	char prefix[64];		/* of host names */
	char login_server[512];		/* "" is Tailscale's own */
	char hostname[64];		/* TS_HOSTNAME: the whole host name */
	char node_dir[512];		/* TS_STATE_DIR: tailscaled's state directory */
	char socket[512];		/* TS_SOCKET */
	char tags[SETTINGS_TAGS][64];	/* "tag:ci" */
	int ntags;
	int ephemeral;			/* 1, 0; -1 nobody said */
	int disabled;			/* the config file says enabled: false */
	char key_src[600];		/* env:NAME, file:PATH, oauth:SRC, wif:SOURCE, or "config" when key holds it; "" when there is none */
	char key_clash[160];		/* what is wrong with the environment's choice of one; "" nothing */
	char client_id[256], audience[256];	/* TS_CLIENT_ID, TS_AUDIENCE */
	struct secret key;		/* read already only when key_src is "config" */
	char config[512];		/* the file that was read; "" for none */
	int config_mode;		/* its mode when it holds a key that others can read; else 0 */
};

#define SETTINGS_CONTROL "https://controlplane.tailscale.com"

/* Environment over config over defaults. [bad-config] names the file and the key. The caller owns settings.key. */
int settings_load(struct settings *, struct why *);

/* For who writes the file: where it is, or will be ([no-home]); what it alone says (none is fine); whether this text could be it,
 * read over what *s has: [bad-config]. */
int settings_file(char *dst, int size, struct why *);
int settings_load_file(struct settings *, struct why *);
int settings_read(struct settings *, const char *file, const char *text, size_t len, struct why *);

int settings_tag(struct settings *, const char *tag, struct why *);	/* adds one; "ci" becomes "tag:ci"; [usage] */

/* Where the key comes from: src or, when NULL, what the settings say. NULL with [no-key], [bad-config]. */
const char *settings_key_src(const struct settings *, const char *src, struct why *);

/* The text that is there (a key, or what opens an API); src is neither oauth: nor wif:. 0, or -1. */
int settings_secret(const struct settings *, const char *src, struct secret *, struct why *);

/* Takes the variables that may hold a key out of the environment: a command of the user's needs none. */
void settings_hide_keys(void);

/* The control server's URL, checked and without a slash at its end. [usage] when it is no http or https URL. */
int settings_control(const char *url, char *dst, int size, struct why *);

#endif
