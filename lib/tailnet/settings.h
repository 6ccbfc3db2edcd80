/* settings - what the user wants, from four places: option > environment > config file > default
 *
 * Environment: containerboot's names (TS_AUTHKEY, TS_AUTH_KEY, TS_HOSTNAME, TS_LOGIN_SERVER, TS_STATE_DIR, TS_SOCKET).
 * Config: $MOORBOX_CONFIG, else $XDG_CONFIG_HOME/moorbox/config.json (~/.config), then ~/.config/perry/config.json:
 *	{"tailscale": {"enabled", "authKey", "hostnamePrefix", "loginServer", "tags", "ephemeral"}}
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
	char key_src[600];		/* env:NAME, file:PATH, or "config" when key holds it; "" when there is none */
	struct secret key;		/* read already only when key_src is "config" */
	char config[512];		/* the file that was read; "" for none */
	int config_mode;		/* its mode when it holds a key that others can read; else 0 */
};

#define SETTINGS_CONTROL "https://controlplane.tailscale.com"

/* Environment over config over defaults. [bad-config] names the file and the key. The caller owns settings.key. */
int settings_load(struct settings *, struct why *);

int settings_tag(struct settings *, const char *tag, struct why *);	/* adds one; "ci" becomes "tag:ci"; [usage] */

/* The key itself, from src or, when NULL, from the settings; its shape is checked. An absent key is [no-key]. */
int settings_key(struct settings *, const char *src, struct secret *, struct why *);

/* Takes the variables that may hold a key out of the environment: a command of the user's needs none. */
void settings_hide_keys(void);

/* The control server's URL, checked and without a slash at its end. [usage] when it is no http or https URL. */
int settings_control(const char *url, char *dst, int size, struct why *);

#endif
