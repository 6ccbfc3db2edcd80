/* clock - the monotonic clock, and deadlines on it (milliseconds; 0 = none) */
#ifndef CLOCK_H
#define CLOCK_H

long long clock_ms(void);			/* CLOCK_MONOTONIC */
long long clock_us(void);
long long clock_left(long long deadline);	/* ms until it, at least 0; LLONG_MAX for none */
int  clock_poll_ms(long long deadline);		/* the same for poll(): -1 for none, at most INT_MAX */
int  clock_passed(long long deadline);

/* Wall clock, seconds since 1970, as "2026-10-02" or "2026-10-02T08:00:00Z". */
void clock_date(char dst[static 16], long long unix_s);
void clock_stamp(char dst[static 32], long long unix_s);
int  clock_parse(const char *rfc3339, long long *unix_s);	/* 0, or -1 */

#endif
