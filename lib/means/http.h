/* http - requests over unix sockets and the network, one or many at once, and streams of lines
 *
 * LocalAPI: set socket; the connection is dialled and its owner checked by dial_unix, kept and used again.
 * Network: proxies and NO_PROXY come from the environment, the CAs from ca and as roots.h says, for an https:
 * proxy too. https stays https on redirects; http only if the URL
 * says so.
 *
 * A call answers 0 when a whole response came, whatever its status; -1 with *why when none did (res.fault
 * says what kind, for callers with reason words of their own). One process, one thread. After fork the
 * child calls http_forget before anything else here.
 */
#ifndef HTTP_H
#define HTTP_H
#include "buf.h"
#include "dial.h"
#include "err.h"

enum http_fault {
	HTTP_FINE,
	HTTP_SOCKET,		/* the unix socket could not be dialled: why is dial_unix's own */
	HTTP_BAD_URL,
	HTTP_DNS, HTTP_REFUSED, HTTP_UNREACHABLE,
	HTTP_TLS,		/* not trusted, or no TLS at the other end */
	HTTP_TLS_TIME,		/* trusted but for the dates: ours or the certificate's clock is wrong */
	HTTP_PROXY_REFUSED, HTTP_PROXY_AUTH, HTTP_PROXY_DEAD,
	HTTP_PROXY_TLS,		/* an https: proxy is not trusted, or speaks no TLS */
	HTTP_TIMEOUT, HTTP_CUT, HTTP_TOO_BIG,
	HTTP_GARBAGE,		/* the answer is not HTTP */
	HTTP_STOPPED,		/* the sink ended it */
};

enum {
	HTTP_REDIRECT = 1,	/* follow up to 5 redirects, GET only */
	HTTP_NO_PROXY = 2,
	HTTP_FRESH = 4,		/* a new connection, not kept afterwards */
	HTTP_UPGRADE = 8,	/* 101 is the end, and the connection with it: was the upgrade let through? */
	HTTP_ANY_CERT = 16,	/* no certificate is looked at: for probes that tell nothing and believe nothing */
};

struct http_req {
	const char *method;		/* NULL: GET */
	const char *url;		/* LocalAPI: http://local-tailscaled.sock/localapi/v0/... */
	const char *socket;		/* path, or name below dir; NULL: the network */
	int dir;			/* with socket: 0 and AT_FDCWD both mean that socket is a path */
	struct dial_who who;		/* with socket: who must listen */
	int stream;			/* a connection made already (0: none), which stays the caller's; no DNS, no proxy */
	const char *const *headers;	/* "Name: value", NULL-ended; or NULL */
	const char *body;		/* NULL: none; Content-Type is application/json unless headers say */
	size_t body_len;
	long long deadline;
	size_t max;			/* of the body; 0: 16 MiB, or none with a sink */
	/* Gets the body of a 2xx instead of res.body; non-zero ends it. */
	int (*sink)(void *ctx, const char *, size_t);
	void *ctx;
	const char *ca;			/* PEM file; NULL: as above */
	int stall_s;			/* cut when below 1 KiB/s for so long; 0: only the deadline */
	int flags;
};

struct http_res {
	int status;			/* 0 when none came */
	enum http_fault fault;
	struct buf body;		/* freed by http_res_free */
	struct buf head;		/* see http_header */
	int connect_status;		/* what a proxy answered to CONNECT; 0 when none was asked */
	int via_proxy;
	enum { HTTP_AT_NAME, HTTP_AT_CONNECT, HTTP_AT_TLS, HTTP_AT_ANSWER } at;	/* how far it came; of the proxy, if one is asked */
	long long us;			/* the whole of it */
	char issuer[128];		/* who signed the certificate that was not trusted; "" */
	char anchor[128];		/* the CA that a trusted one rests on, when it is none of those built in; "" */
};

/* One request. http_res_free is due after every call, failed ones too. */
int  http_do(const struct http_req *, struct http_res *, struct why *);
void http_res_free(struct http_res *);		/* body and head; harmless twice */

/* The last header of that name, or NULL; of a refusing proxy too. */
const char *http_header(const struct http_res *, const char *name);
long long http_retry_after(const struct http_res *);	/* ms, at most a day; -1 when not said */
int  http_date(const struct http_res *, long long *unix_s);	/* the server's clock; 0, or -1 */

/* All at once, each until its own deadline or this one. How many responses came: res[i].fault is HTTP_FINE
 * there, why[i] tells the others. */
int  http_do_many(const struct http_req *, struct http_res *, struct why *, int n, long long deadline);

/* A response that goes on: lines are taken as they come (the IPN bus). Other requests may be made meanwhile.
 * Opens when the head of a 2xx has come; else -1, with the status and body in res. req.max is of one line
 * (0: 16 MiB); req.deadline is for opening only. */
struct http_stream;
struct pollfd;
int  http_stream_open(struct http_stream **, const struct http_req *, struct http_res *, struct why *);
enum { HTTP_LINE = 1, HTTP_END = 0, HTTP_FDS = 2 };

/* HTTP_LINE: *line (NUL-ended, without its newline) is valid until the next call. HTTP_END: the other side
 * ended it. HTTP_FDS: one of the caller's fds (at most 16) is ready, see revents. -1: [deadline], [lost],
 * [too-big]. */
int  http_stream_next(struct http_stream *, struct pollfd *fds, int n, long long deadline, char **line,
                      size_t *len, struct why *);
void http_stream_close(struct http_stream *);	/* NULL is fine */

/* The URL without user and password, for messages. Returns dst. */
char *http_redact_url(char *dst, size_t size, const char *url);

/* The proxy that the environment gives for url, as written there (see http_redact_url), or NULL. */
const char *http_proxy(const char *url);
int http_is_excepted(const char *host);	/* does NO_PROXY cover the name? "": every name */
const char *http_ca_file(const char *ca, struct why *);	/* the one that would be used; NULL with why */
void http_forget(void);			/* drops every connection, without a word to the other side */
void http_version(char *dst, size_t size);	/* "libcurl/8.14.1 mbedTLS/3.6.6" */

#endif
