/* progress - how far a long piece of work has come */
#include "progress.h"
#include "clock.h"
#include "err.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY_MS = 100, BAR = 24 };

static int wanted;			/* 0: not looked yet, 1 yes, 2 no */
static int is_shown;
static long long began, began_at, last;

static int is_wanted(void)
{
	if (!wanted)
		wanted = !err_quiet && !getenv("CI") && isatty(2) ? 1 : 2;
	return wanted == 1;
}

static void put(const char *s)
{
	if (write(2, s, strlen(s)) < 0)
		wanted = 2;
}

void progress_show(const char *what, long long done, long long total)
{
	char line[200], bar[BAR + 1], name[64], left[32] = "";
	long long now = clock_ms();
	if (!is_wanted())
		return;
	if (!began) {
		began = now;
		began_at = done;
	}
	if (is_shown && now - last < EVERY_MS && done != total)
		return;
	last = now;
	is_shown = 1;
	long long rate = now > began ? (done - began_at) * 1000 / (now - began) : 0;
	int full = total > 0 ? (int)(done * BAR / total) : 0;
	for (int i = 0; i < BAR; i++)
		bar[i] = i < full ? '#' : '.';
	bar[BAR] = 0;
	if (total > done && rate > 0)
		str_fmt(left, sizeof left, ", %lld s left", (total - done + rate - 1) / rate);
	str_escape(name, sizeof name, what, strlen(what));
	str_fmt(line, sizeof line, "\r\033[K%s %s %lld.%lld MB, %lld.%lld MB/s%s", name, bar, done / 1000000, done / 100000 % 10,
		rate / 1000000, rate / 100000 % 10, left);
	put(line);
}

void progress_end(void)
{
	if (is_shown)
		put("\r\033[K");
	is_shown = 0;
	began = 0;
}
