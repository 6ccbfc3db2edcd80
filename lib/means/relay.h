/* relay - joins pairs of descriptors both ways: bounded, with back-pressure, nothing lost, each end as its side allows
 *
 * Memory is held for a direction only while bytes wait in it, at most 256 KiB, and 16 KiB once 2 MiB wait in all. What
 * comes in large pieces from socket to socket is spliced. Each way ends by itself where the far
 * side can be closed one way; a LocalAPI stream can not (RELAY_NO_HALF): it stays open when the near side ends, and
 * its own end is the end of both ways. A broken connection is an end, with its errno in the count.
 *
 * A near side that has ended one way may be a client that waits for an answer, or one that is gone. Where the kernel
 * tells (left.h), the second is noticed, and the pair is over.
 */
#ifndef RELAY_H
#define RELAY_H
#include "err.h"
#include <stddef.h>

enum {
	RELAY_NO_HALF = 1,	/* the far side cannot be closed one way */
	RELAY_CLOSE = 2,	/* close all when the near side has ended, and lose what is on its way back */
};
enum { RELAY_CHUNK = 64 << 10 };

struct relay_count {
	long long up, down;	/* bytes: near to far, far to near */
	int error;		/* errno of what broke the far side; 0 when it just ended */
	int near_gone;		/* nobody takes what comes any more: a closed pipe, a client that left */
};

/* in to stream, stream to out, until it is over; descriptors stay the caller's and in and out keep their modes (they may
 * be files, terminals, pipes, sockets, or closed). early came before: it goes to out first. 0 when one of the sides
 * ended it; -1: [lost] the stream broke, [output] out cannot be written. SIGPIPE must be ignored. */
int relay_pair(int in, int out, int stream, const char *early, size_t early_len, int flags, struct relay_count *,
               struct why *);

/* Many pairs in one loop. */
struct relay;
struct relay *relay_new(struct why *);		/* NULL when the system gives none */
int  relay_fd(const struct relay *);		/* readable when relay_turn has something to do */
int  relay_live(const struct relay *);		/* pairs that are not over */

/* What goes first each way: it came with an answer, or is one. */
struct relay_early {
	const char *to_near, *to_far;
	size_t near_len, far_len;
};

/* Takes both sockets, and closes them when it is over (on -1 too). The early bytes are copied; NULL: none. */
int relay_add(struct relay *, int near, int far, const struct relay_early *, int flags, void *tag, struct why *);

/* What carries the far sides: asked when one of RELAY_NO_HALF has ended without an error. 0: it has died, so that this
 * was no end that the peer made, and the near side is reset. */
void relay_ask_alive(struct relay *, int (*alive)(void *ctx), void *ctx);

/* Other descriptors in the same loop: the caller's own, as is the structure. events: EPOLLIN, EPOLLOUT; 0: not any more,
 * which is due before either is closed or freed. ready is called in relay_turn and may do anything but relay_free. */
struct relay_watch {
	int fd;
	void (*ready)(void *ctx, unsigned events);
	void *ctx;
	unsigned mask;			/* private */
};
int relay_watch(struct relay *, struct relay_watch *, unsigned events);	/* 0, or -1 with errno */

/* Waits at most wait_ms (-1: for ever, 0: not) and moves what can be moved; done is called for each pair that is over
 * and may call relay_add. */
void relay_turn(struct relay *, int wait_ms, void (*done)(void *ctx, void *tag, const struct relay_count *), void *ctx);
void relay_free(struct relay *);		/* resets every pair, done is not called; NULL is fine */

#endif
