/* opt - options, as the applet's head comment declares them */
#include "opt.h"
#include "alloc.h"
#include "err.h"
#include "str.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct applet *opt_applet;
void (*opt_version)(void);
void (*opt_help)(const struct applet *);

void opt_usage(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	hint("%s%s --help", opt_applet && !str_eq(err_applet, "moorbox") ? "moorbox " : "", err_applet);
	die(R_USAGE, "%s", text);
}

/* The operands are gathered at the front of a copy, so that argv stays as it was. */
struct opt opt_start(char **argv, const struct opt_def *defs)
{
	struct opt o = {.argv = argv + 1, .defs = defs};
	int n = 0;
	while (argv[n])
		n++;
	o.operands = xalloc((n + 1) * sizeof *o.operands);
	return o;
}

struct opt opt_start_early(char **argv, const struct opt_def *defs)
{
	struct opt o = opt_start(argv, defs);
	o.stop_early = 1;
	return o;
}

static int taken(int code)
{
	if (code == 'q')
		err_quiet = 1;
	if (code == 'v')
		err_verbose = 1;
	return code;
}

static _Noreturn void show_help(void)
{
	opt_help(opt_applet);
	exit(fflush(stdout) ? EXIT_NO : EXIT_DONE);
}

static int long_option(struct opt *o, char *name)
{
	char *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	if (!eq && str_eq(name, "help") && opt_applet)
		show_help();
	if (!eq && str_eq(name, "version")) {
		opt_version();
		exit(fflush(stdout) ? EXIT_NO : EXIT_DONE);
	}
	for (const struct opt_def *d = o->defs; d->name; d++) {
		if (!*d->name || strlen(d->name) != len || strncmp(d->name, name, len))
			continue;
		o->cur = d;
		o->val = eq ? eq + 1 : NULL;
		if (!d->arg && eq)
			opt_usage("--%s takes no value", d->name);
		if (d->arg && !eq && !(o->val = *o->argv ? *o->argv++ : NULL))
			opt_usage("--%s needs a value", d->name);
		return taken(d->code);
	}
	const struct opt_def *near = NULL;
	int best = 3;
	for (const struct opt_def *d = o->defs; d->name; d++) {
		int far = *d->name ? str_distance(d->name, name, 3) : 9;
		if (far < best)
			best = far, near = d;
	}
	if (near)
		opt_usage("--%.*s: no such option; did you mean --%s?", (int)len, name, near->name);
	opt_usage("--%.*s: no such option", (int)len, name);
}

static int short_option(struct opt *o)
{
	char c = *o->cluster++;
	const struct opt_def *d = o->defs;
	if (!*o->cluster)
		o->cluster = NULL;
	while (d->name && d->code != c)
		d++;
	if (!d->name) {
		if (c == 'h' && opt_applet)
			show_help();
		opt_usage("-%c: no such option", c);
	}
	o->cur = d;
	o->val = NULL;
	if (d->arg) {
		o->val = o->cluster ? o->cluster : *o->argv ? *o->argv++ : NULL;
		o->cluster = NULL;
		if (!o->val)
			opt_usage("-%c needs a value", c);
	}
	return taken(c);
}

int opt_next(struct opt *o)
{
	if (o->cluster)
		return short_option(o);
	while (*o->argv) {
		char *arg = *o->argv++;
		if (str_eq(arg, "--")) {
			o->cmd = o->argv;
			break;
		}
		if (arg[0] == '-' && arg[1] == '-')
			return long_option(o, arg + 2);
		if (arg[0] == '-' && arg[1]) {
			o->cluster = arg + 1;
			return short_option(o);
		}
		o->operands[o->count++] = arg;
		if (o->stop_early)
			break;
	}
	if (o->stop_early)
		while (*o->argv)
			o->operands[o->count++] = *o->argv++;
	return 0;
}

void opt_want(struct opt *o, int min, int max)
{
	if (o->count < min)
		opt_usage("%s", o->count ? "too few operands" : "an operand is missing");
	if (o->count > max)
		opt_usage("%s: one operand too many", o->operands[max]);
}

static void name_of(struct opt *o, char dst[static 64])
{
	if (o->cur->code < 256)
		str_fmt(dst, 64, "-%c", o->cur->code);
	else
		str_fmt(dst, 64, "--%s", o->cur->name);
}

long long opt_num(struct opt *o, long long lo, long long hi)
{
	char name[64];
	long long n;
	name_of(o, name);
	if (str_num(o->val, lo, hi, &n) < 0)
		opt_usage("%s %s: not a number from %lld to %lld", name, o->val, lo, hi);
	return n;
}

long long opt_dur(struct opt *o)
{
	char name[64];
	long long ms;
	name_of(o, name);
	if (str_dur(o->val, &ms) < 0 || !ms)
		opt_usage("%s %s: not a time such as 30, 500ms, 15m or 1h", name, o->val);
	return ms;
}
