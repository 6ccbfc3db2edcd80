/* err - messages, reasons, and the end of the program */
#include "err.h"
#include "str.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *err_applet = "moorbox";
const char *err_subject;
int err_quiet, err_verbose;
void (*err_blot)(char *text);

static char hint_text[512];

static const struct reason_info reasons[R_COUNT] = {
	{"", EXIT_NO, "", ""},
#define R(name, word, status, means, remedy) {word, status, means, remedy},
#include "reasons.def"
#undef R
};

const struct reason_info *reason_info(enum reason r)
{
	return r > R_NONE && r < R_COUNT ? &reasons[r] : NULL;
}

const char *reason_word(enum reason r)
{
	return r > R_NONE && r < R_COUNT ? reasons[r].word : "";
}

/* A message in full: a trailing ':' asks for errno's text. */
__attribute__((format(printf, 4, 0)))
static void format(char *dst, size_t size, int err, const char *fmt, va_list ap)
{
	int n = vsnprintf(dst, size, fmt, ap);
	size_t len = n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
	if (len && dst[len - 1] == ':')
		snprintf(dst + len, size - len, " %s", strerror(err));
}

/* One line on stderr by one write, so that lines of several processes do not mix. */
static void put(const char *kind, const char *text, enum reason r)
{
	static char clean[2048], line[2600];
	char raw[1024];
	str_copy(raw, sizeof raw, text);
	if (err_blot)
		err_blot(raw);
	str_escape(clean, sizeof clean, raw, strlen(raw));
	int n = snprintf(line, sizeof line, "%s: %s%s%s%s%s%s%s\n", err_applet, kind,
		err_subject && !*kind ? err_subject : "", err_subject && !*kind ? ": " : "", clean,
		r ? " [" : "", reason_word(r), r ? "]" : "");
	if (n < 0)
		return;
	size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
	for (size_t done = 0; done < len; ) {
		ssize_t w = write(2, line + done, len - done);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			break;
		done += w;
	}
}

static void put_hint(void)
{
	if (*hint_text)
		put("hint: ", hint_text, R_NONE);
	*hint_text = 0;
}

int why_set(struct why *why, enum reason r, const char *fmt, ...)
{
	int err = errno;
	va_list ap;
	va_start(ap, fmt);
	format(why->msg, sizeof why->msg, err, fmt, ap);
	va_end(ap);
	why->reason = r;
	why->status = reasons[r].status;
	*why->hint = 0;
	return -1;
}

int why_hint(struct why *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why->hint, sizeof why->hint, fmt, ap);
	va_end(ap);
	return -1;
}

static enum reason reason_of_errno(int err)
{
	switch (err) {
	case ENOSPC: case EDQUOT:
		return R_NO_SPACE;
	case EACCES: case EPERM: case EROFS:
		return R_NO_PERMISSION;
	case EMFILE: case ENFILE: case ENOMEM: case EAGAIN:
		return R_RESOURCES;
	case EFBIG:
		return R_TOO_BIG;
	case ELOOP:		/* O_NOFOLLOW met a symlink */
		return R_NOT_OURS;
	default:
		return R_SYSTEM;
	}
}

int why_errno(struct why *why, const char *fmt, ...)
{
	int err = errno;
	char what[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	size_t len = strlen(what);
	if (len && what[len - 1] == ':')
		what[len - 1] = 0;
	why_set(why, reason_of_errno(err), "%s: %s", what, strerror(err));
	errno = err;
	return -1;
}

#define FORMAT(dst) do { \
	int err_ = errno; va_list ap_; va_start(ap_, fmt); format(dst, sizeof dst, err_, fmt, ap_); va_end(ap_); \
} while (0)

void warn(const char *fmt, ...)
{
	char text[1024];
	FORMAT(text);
	put("", text, R_NONE);
	put_hint();
}

void hint(const char *fmt, ...)
{
	FORMAT(hint_text);
}

void say(const char *fmt, ...)
{
	char text[1024];
	if (err_quiet)
		return;
	FORMAT(text);
	put("", text, R_NONE);
}

void verbose(const char *fmt, ...)
{
	char text[1024];
	if (!err_verbose)
		return;
	FORMAT(text);
	put("", text, R_NONE);
}

int warn_why(const struct why *why)
{
	put("", why->msg, why->reason);
	if (*why->hint)
		hint("%s", why->hint);
	put_hint();
	return why->status;
}

void die(enum reason r, const char *fmt, ...)
{
	char text[1024];
	FORMAT(text);
	put("", text, r);
	put_hint();
	exit(reasons[r].status);
}

void die_why(const struct why *why)
{
	exit(warn_why(why));
}
