/* opt - options, as the applet's head comment declares them (scripts/gen.awk makes the tables)
 *
 *	struct opt o = opt_start(argv, opts);
 *	for (int c; (c = opt_next(&o)); )
 *		switch (c) {
 *		case 'j': ...
 *		case 't': wait_ms = opt_dur(&o); break;
 *		case OPT_KEEP: ...
 *		}
 *	opt_want(&o, 1, OPT_MANY);
 *
 * Short and long names, clusters, -tVAL, -t VAL, --timeout=VAL, "--" ends them, "-" is an operand.
 * Options may follow operands until "--", unless stop_early. -h, --help and --version are handled here.
 * -q and -v set err_quiet and err_verbose and are returned as well.
 * What is wrong with the command line ends the program with EXIT_USAGE and [usage].
 */
#ifndef OPT_H
#define OPT_H
#include <stddef.h>

struct opt_def {
	const char *name;	/* long name, or "" */
	int code;		/* the letter, or OPT_NAME from gen/options.h */
	int arg;		/* takes a value */
};

struct applet {			/* one row of gen/table.h */
	const char *name;
	int (*main)(char **argv);
	const char *sentence;
	const unsigned char *help_gz;	/* all that --help prints, gzipped */
	size_t help_len;
};

struct opt {
	char **operands;	/* NULL-ended */
	int count;		/* of operands */
	char **cmd;		/* what followed "--", NULL-ended; or NULL when there was no "--" */
	const char *val;	/* value of the option just returned */
	/* private */
	char **argv, *cluster;
	const struct opt_def *defs, *cur;
	int stop_early;
};

enum { OPT_MANY = 1 << 30 };

struct opt opt_start(char **argv, const struct opt_def *);		/* argv[0] is the name, NULL-ended; it stays as it was */
struct opt opt_start_early(char **argv, const struct opt_def *);	/* stops at the first operand (ws-run) */
int  opt_next(struct opt *);				/* code, or 0 at the end */
void opt_want(struct opt *, int min, int max);		/* number of operands */
long long opt_num(struct opt *, long long lo, long long hi);
long long opt_dur(struct opt *);			/* milliseconds, at least 1 */
_Noreturn void opt_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

extern const struct applet *opt_applet;		/* set by main: whose help --help prints */
extern void (*opt_version)(void);		/* set by main: what --version prints */
extern void (*opt_help)(const struct applet *);	/* set by main: prints an applet's help */

#endif
