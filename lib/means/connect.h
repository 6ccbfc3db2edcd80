/* connect - what a proxy says when it is asked for a tunnel
 *
 * libcurl throws the body of a refused CONNECT away, and often only that tells why. One request, one answer, at most
 * 8 KiB of it, over plain TCP: an https: or SOCKS proxy cannot be asked so.
 */
#ifndef CONNECT_H
#define CONNECT_H
#include "err.h"
#include <stddef.h>

enum { CONNECT_MAX = 8192, CONNECT_TEXT = 200 };

struct connect_answer {
	int status;			/* 100 to 599; 0: what came is no HTTP */
	char denied[160];		/* "x-deny-reason: host_not_allowed"; x-proxy-error and x-squid-error as well; "" */
	char text[CONNECT_TEXT + 1];	/* the beginning of the body, tags dropped, one line, printable */
};

/* proxy is a URL as the environment has it, with user and password: they are sent to it and shown nowhere. 0: status
 * says what it answered (200: host:port was reached). -1: [proxy-down] it cannot be reached or says nothing,
 * [proxy-failed] it breaks off or speaks no HTTP, [usage] no proxy that can be asked so. */
int connect_ask(const char *proxy, const char *host, int port, long long deadline, struct connect_answer *,
                struct why *);

/* The same from bytes. 1: the answer is whole, or as much as is wanted; 0: more may come; -1: no HTTP. is_end: no more
 * will come. */
int connect_parse(const char *, size_t len, int is_end, struct connect_answer *);

/* The text of a page: tags, style and script dropped, blanks squeezed, what is not printable ASCII dropped. Returns dst. */
char *connect_page_text(char *dst, size_t size, const char *page, size_t len);

#endif
