/* wif - identity tokens: what a CI system or a cloud vouches for, in place of a long-lived secret
 *
 * Sources, each by its own documented interface:
 *	github          $ACTIONS_ID_TOKEN_REQUEST_URL (GitHub Actions, Forgejo)
 *	gitlab          $TS_ID_TOKEN, or gitlab:NAME: the variable that the job's id_tokens: defines
 *	buildkite       the agent's API, $BUILDKITE_AGENT_ENDPOINT
 *	circleci        $CIRCLE_OIDC_TOKEN_V2
 *	gcp             the metadata server ($GCE_METADATA_HOST): VM, Cloud Run
 *	kubernetes      a projected service account token; kubernetes:PATH
 *	auto            whichever of these is here
 *	file:PATH env:NAME fd:N -   any JWT
 * The token is read before it is sent: a wrong audience or one that has expired is named here, not by a server's 401.
 */
#ifndef WIF_H
#define WIF_H
#include "err.h"
#include "secret.h"

enum { WIF_AUDIENCES = 4 };

struct wif_claims {
	char issuer[256], subject[512];
	char audience[WIF_AUDIENCES][256];	/* those beyond are not looked at */
	int naudience;
	long long issued, not_before, expires;	/* seconds since 1970; 0: not said */
};

/* Reads a JWT's payload; the signature is the server's affair. 0, or -1 [identity-malformed]. */
int wif_read(const char *jwt, size_t len, struct wif_claims *, struct why *);

/* Its time and audience. 0, or -1: [identity-expired], [identity-audience], [clock]. */
int wif_check(const struct wif_claims *, const char *audience, long long now, struct why *);

/* "iss A, sub B, aud C", for messages: escaped, without anything secret. Returns dst. */
char *wif_show(const struct wif_claims *, char *dst, size_t size);

/* Gets a token for that audience from src (given, if not NULL, is what was read from it), reads and checks it. It is masked in
 * GitHub's log. 0, or -1: [no-identity] with what to switch on, or as above. */
int wif_get(const char *src, const struct secret *given, const char *audience, struct secret *jwt, struct wif_claims *,
	long long deadline, struct why *);

int wif_known(const char *src);			/* src is one of the sources above */
int wif_unknown(const char *src, struct why *);	/* -1: [usage] with those that there are */
int wif_is_text(const char *src);		/* it is file:, env:, fd: or -, which secret_get can read */
const char *wif_here(void);			/* what auto would take: "github"...; NULL when nothing is here */

#endif
