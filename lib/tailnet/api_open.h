/* api_open - what opens the API: an API token, an OAuth client's secret, a job's own identity
 *
 * Sources: Tailscale's documentation "OAuth clients", "Workload identity federation"; RFC 6749 (4.4).
 */
#ifndef API_OPEN_H
#define API_OPEN_H
#include "api.h"

/* Where a credential comes from. src: an API token or an OAuth client secret as env:NAME, file:PATH, fd:N or -; oauth:SRC, a client
 * secret and nothing else; wif:SOURCE, an identity token (wif.h), which needs the federated identity's client id. */
struct api_who {
	const char *src;
	const struct secret *given;	/* what was read from src already, or NULL */
	const char *client_id;		/* NULL: $TS_CLIENT_ID */
	const char *audience;		/* NULL: $TS_AUDIENCE, else what Tailscale's docs make the default: api.tailscale.com/CLIENT-ID */
};

/* *who from an option such as --api SRC, with the federated identity's id as the settings have it. What can be read is read, for as
 * many api_open as there will be, into *given, which is the caller's; nobody is asked. same (or NULL) is where another secret was
 * read from, and other is that: a variable or stdin cannot be read twice. 0, or -1 [usage], [no-secret], [secret-in-argv]... */
struct settings;
int api_who_take(struct api_who *, const char *src, const struct settings *, struct secret *given, const char *same,
	const struct secret *other, struct why *);

/* control: the control server's URL; the API is asked at $MOORBOX_API, else at the secret's own baseURL, else at
 * api.tailscale.com for Tailscale's own service, else at that server. An OAuth client's secret or an identity token is
 * exchanged for an access token here.
 * -1: [token-refused], [identity-refused], [key-kind], [clock], [rate-limited]... The struct must not move until api_close. */
int  api_open(struct api *, const struct api_who *, const char *control, long long deadline, struct why *);
void api_close(struct api *);
int  api_may(const struct api *, const char *scope, int write);	/* 1, 0; -1: the scopes are not known */
int  api_is_tailscale(const char *control);	/* the URL is Tailscale's own service */
/* headscale's keys at Tailscale's service, which would only say "unable to validate": -1 [key-foreign]; else 0. */
struct key;
int  api_check_server(const struct key *, const char *control, struct why *);
int  api_base(struct api *, const char *own, const char *control, struct why *);	/* where it is; own: the secret's baseURL, or "" */

#endif
