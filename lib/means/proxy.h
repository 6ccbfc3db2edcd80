/* proxy - what clients say to a proxy, and what is said to the next one: HTTP CONNECT, HTTP with a whole URI, SOCKS5
 *
 * Parsers only: bytes in, an answer out; nothing is read or written. All are strict: no bare LF, no NUL, no folded
 * header, no length that is given twice. Each takes what has come so far and answers how much of it is used:
 * 0 more is needed, -1 it is none, or longer than PROXY_HEAD.
 */
#ifndef PROXY_H
#define PROXY_H
#include "buf.h"
#include <stddef.h>

enum { PROXY_HEAD = 16384, PROXY_CRED = 600 };

struct proxy_req {
	int is_connect;
	char host[256];			/* lower case, a name or an address, no brackets, no dot at its end */
	int port;
	char cred[PROXY_CRED];		/* USER:PASSWORD of Proxy-Authorization, or "" */
};

/* A request's head, with its blank line. */
int proxy_http(const char *, size_t len, struct proxy_req *);

/* The head of a request that is not CONNECT, rewritten for the next hop, one request a connection: the origin itself
 * (auth NULL), or a proxy (auth "" or the value for Proxy-Authorization). 0, or -1 when it does not fit. */
int proxy_rewrite(const char *head, size_t len, const struct proxy_req *, const char *auth, struct buf *);

/* The head of an answer to CONNECT. */
int proxy_answer(const char *, size_t len, int *status);

/* SOCKS5: the methods offered (bit 0: none, bit 1: user and password), the credential, the request. */
int proxy_socks_hello(const unsigned char *, size_t len, int *methods);
int proxy_socks_cred(const unsigned char *, size_t len, char cred[static PROXY_CRED]);
/* -1 with *reply: what to answer (7: not CONNECT, 8: no such kind of address, 1). */
int proxy_socks_request(const unsigned char *, size_t len, struct proxy_req *, int *reply);

/* http://[USER:PASSWORD@]HOST[:PORT][/]: the next proxy, as the environment has it. auth: "Basic ..." or "". 0, or -1. */
struct proxy_next { char host[256]; int port; char auth[900]; };
int proxy_next(const char *url, struct proxy_next *);

int proxy_same(const char *a, const char *b);	/* without telling by the time it takes where they differ */

#endif
