/* err - how every applet says what went wrong, and with what status it ends
 *
 * A message reads `applet: what: why [reason]` on stderr: lower case, no full stop, one write.
 * A format that ends in ':' gets strerror(errno) appended. Control bytes are escaped and known
 * secrets blotted out (secret.h) before anything is written. One `hint:` line may follow.
 *
 * Two kinds of functions use this: those that die (no caller could do better), and those that
 * answer: they return -1 with a struct why filled in, print nothing, and the applet decides.
 */
#ifndef ERR_H
#define ERR_H
#include "str.h"

enum {
	EXIT_DONE  = 0,		/* done, or: yes */
	EXIT_NO    = 1,		/* not done, or: no */
	EXIT_USAGE = 2,		/* the command line is wrong */
	EXIT_RETRY = 3,		/* the same call may work later */
	EXIT_CMD   = 125,	/* `-- CMD`, ws-run: we failed before CMD could run */
};

enum reason {
	R_NONE,
#define R(name, word, status, means, remedy) R_##name,
#include "reasons.def"
#undef R
	R_COUNT
};

/* One reason word, as `moorbox reasons` lists it; NULL for R_NONE or beyond the end. */
struct reason_info { const char *word; int status; const char *means, *remedy; };
const struct reason_info *reason_info(enum reason);
const char *reason_word(enum reason);		/* "key-expired"; "" for R_NONE */

/* Why a call failed: the callee fills it in, the applet prints it. */
struct why {
	enum reason reason;
	int status;		/* the reason's own, unless the callee changed it */
	char msg[512];		/* what: why */
	char hint[384];		/* one command or sentence, or "" */
};

int why_set(struct why *, enum reason, const char *fmt, ...) PRINTF(3, 4);	/* returns -1; clears the hint */
int why_hint(struct why *, const char *fmt, ...) PRINTF(2, 3);			/* returns -1 */
int why_errno(struct why *, const char *fmt, ...) PRINTF(2, 3);	/* the reason that errno stands for; adds strerror; returns -1 */

void warn(const char *fmt, ...) PRINTF(1, 2);		/* a message without a reason */
void hint(const char *fmt, ...) PRINTF(1, 2);		/* printed after the next warn or die */
void say(const char *fmt, ...) PRINTF(1, 2);		/* a note on stderr; silent with -q */
void verbose(const char *fmt, ...) PRINTF(1, 2);	/* a step on stderr; only with -v */
int  warn_why(const struct why *);			/* prints it; returns its status */
_Noreturn void die(enum reason, const char *fmt, ...) PRINTF(2, 3);
_Noreturn void die_why(const struct why *);

extern const char *err_applet;	/* set by main: the name that messages begin with */
extern const char *err_subject;	/* set by an applet that works on one thing: printed after the name; or NULL */
extern int err_quiet;		/* -q: say() prints nothing */
extern int err_verbose;		/* -v */
extern void (*err_blot)(char *text);	/* takes known secrets out of a message, in place; secret.h sets it */

#endif
