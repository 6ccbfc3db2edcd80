/* clock - the monotonic clock, and deadlines on it (milliseconds; 0 = none) */
#ifndef CLOCK_H
#define CLOCK_H

long long clock_ms(void);			/* CLOCK_MONOTONIC */
long long clock_us(void);
long long clock_left(long long deadline);	/* ms until it, at least 0; LLONG_MAX for none */
int  clock_poll_ms(long long deadline);		/* the same for poll(): -1 for none, at most INT_MAX */
int  clock_passed(long long deadline);

/* SIGINT, SIGTERM and SIGHUP make every deadline pass: what is waited for ends, and the caller undoes what it began. A timer
 * goes on interrupting system calls, so that none slips between the look and the wait. */
void clock_cancel_on_signals(void);
int  clock_cancelled(void);			/* the signal that came, or 0 */
void clock_uncancel(void);			/* deadlines count again, further such signals are ignored: for undoing */
void clock_default_signals(void);		/* as they were at the start */

/* Wall clock, seconds since 1970, as "2026-10-02" or "2026-10-02T08:00:00Z". */
void clock_date(char dst[static 16], long long unix_s);
char *clock_when(char dst[static 48], long long unix_s);	/* "2026-10-02 (in 3 days)"; dst */
char *clock_span(char dst[static 32], long long s);		/* "20 minutes", "2 hours", to the nearest; dst */
void clock_stamp(char dst[static 32], long long unix_s);
int  clock_parse(const char *rfc3339, long long *unix_s);	/* 0, or -1 */

#endif
