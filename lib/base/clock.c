/* clock - the monotonic clock, deadlines, dates */
#include "clock.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t cancelled, came;
static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
static struct sigaction before[3];

static void on_tick(int sig)
{
	(void)sig;	/* its only purpose is EINTR */
}

static void on_end(int sig)
{
	struct itimerval often = {{0, 20000}, {0, 20000}};
	cancelled = came = sig;
	setitimer(ITIMER_REAL, &often, NULL);
}

void clock_cancel_on_signals(void)
{
	struct sigaction end = {.sa_handler = on_end}, tick = {.sa_handler = on_tick};
	sigaction(SIGALRM, &tick, NULL);
	for (int i = 0; i < 3; i++) {
		sigaction(ending[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)	/* nohup stays nohup */
			sigaction(ending[i], &end, NULL);
	}
}

int clock_cancelled(void)
{
	return came;
}

void clock_uncancel(void)
{
	struct itimerval none = {0};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	setitimer(ITIMER_REAL, &none, NULL);
	for (int i = 0; i < 3; i++)
		sigaction(ending[i], &ignore, NULL);
	cancelled = 0;
}

void clock_default_signals(void)
{
	for (int i = 0; i < 3; i++)
		sigaction(ending[i], &before[i], NULL);
	signal(SIGALRM, SIG_DFL);
}

long long clock_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

long long clock_ms(void)
{
	return clock_us() / 1000;
}

long long clock_left(long long deadline)
{
	if (cancelled)
		return 0;
	if (!deadline)
		return LLONG_MAX;
	long long left = deadline - clock_ms();
	return left > 0 ? left : 0;
}

int clock_poll_ms(long long deadline)
{
	long long left = clock_left(deadline);
	return !deadline && !cancelled ? -1 : left > INT_MAX ? INT_MAX : (int)left;
}

int clock_passed(long long deadline)
{
	return cancelled || (deadline && clock_ms() >= deadline);
}

void clock_date(char dst[static 16], long long unix_s)
{
	time_t t = unix_s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || !strftime(dst, 16, "%Y-%m-%d", &tm))
		strcpy(dst, "?");
}

char *clock_when(char dst[static 48], long long unix_s)
{
	enum { DAY_S = 86400 };
	char date[16];
	long long days = (unix_s - time(NULL)) / DAY_S, n = days < 0 ? -days : days;
	clock_date(date, unix_s);
	snprintf(dst, 48, days ? "%s (%s%lld day%s%s)" : "%s (today)", date, days > 0 ? "in " : "", n, n == 1 ? "" : "s",
		days < 0 ? " ago" : "");
	return dst;
}

char *clock_span(char dst[static 32], long long s)
{
	long long n = s < 5400 ? (s + 30) / 60 : (s + 1800) / 3600;
	snprintf(dst, 32, "%lld %s%s", n, s < 5400 ? "minute" : "hour", n == 1 ? "" : "s");
	return dst;
}

void clock_stamp(char dst[static 32], long long unix_s)
{
	time_t t = unix_s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || !strftime(dst, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(dst, "?");
}

int clock_parse(const char *s, long long *unix_s)
{
	struct tm tm = {0};
	int n = 0, zh = 0, zm = 0;
	if (sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
			&tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n) != 6)
		return -1;
	s += n;
	if (*s == '.')
		s += 1 + strspn(s + 1, "0123456789");
	char sign = *s;
	if ((sign == '+' || sign == '-') ? sscanf(s + 1, "%2d:%2d", &zh, &zm) != 2 : sign != 'Z')
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	long long zone = (zh * 60 + zm) * 60;
	*unix_s = (long long)timegm(&tm) - (sign == '-' ? -zone : zone);
	return 0;
}
