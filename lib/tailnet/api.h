/* api - one request to the control server's REST API (/api/v2), and what comes back
 *
 * Sources: Tailscale's API documentation ("Keys", "Devices", "OAuth clients", "Workload identity federation"); headscale answers
 * the same paths, with decimal ids and RFC 6749's errors for OAuth. What is asked is in api_open, api_key, api_device, api_policy.
 *
 * A call is tried again until its deadline only if that can help: 429 always (Retry-After is honoured), 5xx and a lost
 * connection only where asking twice does no harm, an address where nothing answers three times.
 */
#ifndef API_H
#define API_H
#include "err.h"
#include "http.h"
#include "json.h"
#include "secret.h"
#include "str.h"

enum { API_TAGS = 32, API_TEXT = 256 };

enum api_cred { API_TOKEN, API_CLIENT, API_WIF };

struct api {
	char base[512];			/* URL, no slash at its end, without /api/v2 */
	struct secret token;		/* what requests are signed with */
	enum api_cred cred;
	int headscale;			/* the credential is one of headscale's */
	char client[160];		/* id of the client or the token, "" when it cannot be told */
	char scopes[512];		/* of the token, as the server says, space between; "" not said */
	char tags[API_TAGS][64];	/* of the client, as the server says */
	int ntags;
	int ephemeral, preauthorized;	/* attributes of a client secret or client id: 1, 0; -1 not said */
	long long date;			/* of api_devices' answer: the server's clock, seconds since 1970; 0 not said */
	char identity[900];		/* of a workload identity: its iss, sub and aud, for messages */
};

struct api_call {
	const char *what;	/* "mint a key": what messages begin with */
	const char *method;
	char path[700];		/* below the base */
	const char *form, *json;	/* body, or NULL */
	const char *accept;	/* NULL: application/json */
	const char *scope;	/* that it needs */
	int again;		/* asking twice does no harm */
	int (*sink)(void *, const char *, size_t);	/* private, as is what follows */
	void *ctx;
	const int *sunk;	/* something went into the sink: it cannot be done again */
};

/* 0 when an answer came, whatever its status; http_res_free is due in any case. -1. */
int api_ask(const struct api *, const struct api_call *, struct http_res *, long long deadline, struct why *);

/* The same, and the answer is a 2xx with a JSON object: 0, and api_done is due. -1: nothing is; its status is kept. */
struct api_answer { struct http_res res; struct json j; int status; };
int  api_ask_json(const struct api *, const struct api_call *, struct api_answer *, long long deadline, struct why *);
void api_done(struct api_answer *);

/* A list of any length below `key`, an element at a time. A positive answer of fn's ends it and is the answer; else 0, or -1.
 * date (may be NULL): the server's clock, 0 not said. */
int api_ask_list(const struct api *, struct api_call *, const char *key, int (*fn)(const struct json *, void *), void *ctx,
	long long *date, long long deadline, struct why *);

/* An answer that is no success, in words. Always -1. */
int  api_explain(const struct api *, const struct api_call *, const struct http_res *, struct why *);
void api_message(const struct http_res *, char *dst, size_t size);	/* what the server says itself, escaped; or "" */
int  api_clock_is_off(const struct http_res *, struct why *);		/* it is, and [clock] is said; a refusal may be about time */

/* Bodies with secrets: room for all of it at once, so that no old copy is left in the heap; a value, escaped for a form. */
struct buf;
void api_form_room(struct buf *);
void api_form_value(struct buf *, const char *, size_t);

/* Of an answer: a time, 0 for none; text, cut to fit and harmless on a terminal; a list of texts. */
long long api_stamp(const struct json *, int obj, const char *key);
void api_text_of(const struct json *, int value, char *dst, size_t size);
void api_list_of(const struct json *, int value, char (*dst)[64], int *n);

#endif
