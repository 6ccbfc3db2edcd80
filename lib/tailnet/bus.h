/* bus - what tailscaled tells of itself: /localapi/v0/watch-ipn-bus
 *
 * Source: tailscale/tailscale, ipn/backend.go (Notify). Errors are localapi.h's.
 */
#ifndef BUS_H
#define BUS_H
#include "localapi.h"

/* Open it before start, from the same process (a URL to log in is sent
 * only to the process that asked). Needs nobody's permission. */
struct bus;
struct bus_event {
	int state;			/* enum node_state, or -1: not in this event */
	int login_finished;
	char err[512];			/* ErrMessage */
	char url[512];			/* BrowseToURL */
	int has_health;
	char login_error[512];		/* why the last login failed, DNS and TLS errors too */
	char health[512];		/* other warnings that impair connecting, joined by "; " */
	int locked_out;			/* with has_health: as in node_status */
};
struct pollfd;
int  bus_open(struct bus **, const struct localapi *, long long deadline, struct why *);
enum { BUS_EVENT = 1, BUS_END = 0, BUS_FDS = 2 };
int  bus_next(struct bus *, struct bus_event *, struct pollfd *fds, int n, long long deadline, struct why *);	/* as http_stream_next */
void bus_close(struct bus *);
int  bus_read(const char *line, size_t len, struct bus_event *);	/* one line: a fuzz target; 0, or -1: no object */

/* A session: a connection that tailscaled gives an id, to be kept open and read from. What Serve has under
 * Foreground[id] is gone when it is closed. Its descriptor, or -1. */
int bus_session(const struct localapi *, char id[static 80], long long deadline, struct why *);

#endif
