/* moorbox - moor a box to a Tailscale or headscale network
 *
 * usage: moorbox APPLET [OPTION...] [OPERAND...]
 * usage: moorbox [-j]
 * usage: moorbox help [APPLET]
 * usage: moorbox reasons [-j] [WORD...]
 * usage: moorbox --install [-f] DIR
 * usage: moorbox --licenses
 *
 * -f, --force  with --install: replace files of these names that are not links to moorbox
 * -j, --json   print JSON lines
 * --install    make one symlink for each applet in DIR
 * --licenses   print the licenses of moorbox and of the libraries in it
 *
 * One program, many applets. An applet is run by its name, through a link of that name or as
 * `moorbox APPLET`. Without an applet the applets are listed, one a line: name and sentence.
 *
 * Every failure is told as `applet: what: why [reason]`. The reason words are stable; `moorbox reasons`
 * lists them, or those that are named, one a line: word, exit status, what it means, what to do.
 *
 * exit: 0 done or yes, 1 not done or no, 2 the command line is wrong, 3 the same call may work later
 * example: moorbox --install ~/.local/bin
 * example: moorbox reasons no-key
 */
#include "err.h"
#include "file.h"
#include "opt.h"
#include "rec.h"
#include "str.h"
#include "unpack.h"
#include "opts/moorbox.h"
#include "box.h"
#include "help.h"
#include "versions.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLET(id, ...) int id##_main(char **argv);
#include "table.h"
#undef APPLET

static const struct applet applets[] = {
#define APPLET(id, applet_name, text) \
	{ .name = applet_name, .main = id##_main, .sentence = text, .help_gz = help_##id, .help_len = sizeof help_##id },
#include "table.h"
#undef APPLET
	{ .name = NULL },
};
enum { APPLETS = sizeof applets / sizeof *applets - 1 };

static const struct applet box = { .name = "moorbox", .sentence = BOX_SENTENCE, .help_gz = help_box, .help_len = sizeof help_box };

extern const unsigned char licenses_gz[];	/* gen/licenses.c */
extern const unsigned long licenses_gz_len;

static int by_name(const void *name, const void *row)
{
	return strcmp(name, ((const struct applet *)row)->name);
}

static const struct applet *find(const char *name)
{
	return bsearch(name, applets, APPLETS, sizeof *applets, by_name);
}

static const struct applet *find_or_die(const char *name)
{
	const struct applet *found = find(name), *near = NULL;
	if (found)
		return found;
	int best = 3;
	for (const struct applet *a = applets; a->name; a++) {
		int far = str_distance(a->name, name, 3);
		if (far < best)
			best = far, near = a;
	}
	if (near)
		hint("did you mean %s?", near->name);
	else
		hint("moorbox lists the applets");
	die(R_USAGE, "%s: no such applet", name);
}

static void show(const unsigned char *gz, size_t n)
{
	size_t len;
	char *text = unpack_own(gz, n, &len);
	fwrite(text, 1, len, stdout);
	free(text);
}

static void show_help(const struct applet *a)
{
	show(a->help_gz, a->help_len);
}

static void show_version(void)
{
	puts("moorbox " BOX_VERSION);
	fputs(LINKED_VERSIONS, stdout);
}

/* The one place where it is found out whether all of stdout arrived; every way out passes it. */
static void check_stdout(void)
{
	struct why why = {0};
	int failed = fflush(stdout) || ferror(stdout);
	if (!failed && close(1) < 0 && errno != EBADF)	/* some file systems tell only now */
		failed = 1;
	if (!failed)
		return;
	if (errno != EPIPE) {		/* whoever closes a pipe knows it */
		why_set(&why, R_OUTPUT, "write error");
		warn_why(&why);
	}
	_exit(EXIT_NO);
}

static void list(enum rec_mode mode)
{
	struct rec out = { .mode = mode, .table = 1 };
	for (const struct applet *a = applets; a->name; a++) {
		rec_begin(&out);
		rec_str(&out, "name", a->name);
		rec_str(&out, "sentence", a->sentence);
		rec_end(&out);
	}
	rec_finish(&out);
}

/* "no-key", or "[no-key]" as a message has it. */
static int is_word(const char *told, const char *word)
{
	size_t n = strlen(word);
	told += *told == '[';
	return !strncmp(told, word, n) && (!told[n] || str_eq(told + n, "]"));
}

static void print_reason(struct rec *out, const struct reason_info *info)
{
	rec_begin(out);
	rec_str(out, "reason", info->word);
	rec_num(out, "status", info->status);
	rec_str(out, "means", info->means);
	rec_str(out, "remedy", info->remedy);
	rec_end(out);
}

static int reasons(enum rec_mode mode, char **words)
{
	struct rec out = { .mode = mode };
	for (int r = R_NONE + 1; !*words && r < R_COUNT; r++)
		print_reason(&out, reason_info(r));
	for (; *words; words++) {
		int r = R_NONE + 1;
		while (r < R_COUNT && !is_word(*words, reason_info(r)->word))
			r++;
		if (r == R_COUNT) {
			hint("moorbox reasons lists them");
			die(R_USAGE, "%s: no reason of that name", *words);
		}
		print_reason(&out, reason_info(r));
	}
	rec_finish(&out);
	return EXIT_DONE;
}

/* What the links say: just the name where the binary is in the same directory, else the whole path. */
static void self_path(int dir, char target[static 4096])
{
	ssize_t n = readlink("/proc/self/exe", target, 4095);
	if (n < 0)
		die(R_SYSTEM, "/proc/self/exe:");
	target[n] = 0;
	struct stat beside, self;
	char *base = strrchr(target, '/') + 1;
	if (!fstatat(dir, base, &beside, AT_SYMLINK_NOFOLLOW) && !stat(target, &self)
	    && beside.st_dev == self.st_dev && beside.st_ino == self.st_ino)
		memmove(target, base, strlen(base) + 1);
}

/* A link that leads, or led, to a moorbox. */
static int is_ours(int dir, const char *name, const char *target)
{
	char old[4096];
	ssize_t n = readlinkat(dir, name, old, sizeof old - 1);
	if (n < 0)
		return 0;
	old[n] = 0;
	return str_eq(old, target) || str_eq(old, "moorbox") || str_ends(old, "/moorbox");
}

/* 1: made, 0: it was there, -1: refused. The new link is renamed over the old one: none is ever missing. */
static int install_link(int dir, const char *dir_name, const char *name, const char *target, int force)
{
	struct stat st;
	char old[4096], tmp[128];
	if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		ssize_t n = readlinkat(dir, name, old, sizeof old - 1);
		if (n >= 0 && (size_t)n == strlen(target) && !memcmp(old, target, n))
			return 0;
		if (S_ISDIR(st.st_mode) || (!force && !is_ours(dir, name, target))) {
			warn("%s/%s: there is another file of this name", dir_name, name);
			return -1;
		}
	}
	str_fmt(tmp, sizeof tmp, ".%s.%ld", name, (long)getpid());
	if (symlinkat(target, dir, tmp) < 0 || renameat(dir, tmp, dir, name) < 0) {
		warn("%s/%s:", dir_name, name);
		unlinkat(dir, tmp, 0);
		return -1;
	}
	return 1;
}

static int install(const char *dir_name, int force)
{
	char target[4096];
	int made = 0, refused = 0;
	int dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		die(errno == EACCES ? R_NO_PERMISSION : R_SYSTEM, "%s:", dir_name);
	self_path(dir, target);
	for (const struct applet *a = applets; a->name; a++) {
		int n = install_link(dir, dir_name, a->name, target, force);
		made += n > 0;
		refused += n < 0;
	}
	say("%s: %d links made, %d were there", dir_name, made, APPLETS - made - refused);
	close(dir);
	if (refused) {
		if (!force)
			hint("-f replaces what is there");
		die(R_NOT_OURS, "%s: %d links not made", dir_name, refused);
	}
	return EXIT_DONE;
}

static int run(const struct applet *a, char **argv)
{
	err_applet = a->name;
	opt_applet = a;
	return a->main(argv);
}

static int help(char **names)
{
	if (*names && names[1])
		opt_usage("%s: one operand too many", names[1]);
	show_help(*names && !str_eq(*names, "moorbox") ? find_or_die(*names) : &box);
	return EXIT_DONE;
}

static int box_main(char **argv)
{
	int wants_install = 0, wants_licenses = 0, force = 0;
	enum rec_mode mode = REC_LINE;
	if (argv[1] && argv[1][0] != '-' && !str_eq(argv[1], "reasons") && !str_eq(argv[1], "help"))
		return run(find_or_die(argv[1]), argv + 1);

	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'f': force = 1; break;
		case 'j': mode = REC_JSON; break;
		case OPT_INSTALL: wants_install = 1; break;
		case OPT_LICENSES: wants_licenses = 1; break;
		}
	if (wants_install) {
		opt_want(&o, 1, 1);
		return install(o.operands[0], force);
	}
	if (o.count && str_eq(o.operands[0], "help"))
		return help(o.operands + 1);
	if (o.count && str_eq(o.operands[0], "reasons")) {
		opt_want(&o, 1, OPT_MANY);
		return reasons(mode, o.operands + 1);
	}
	opt_want(&o, 0, 0);
	if (wants_licenses)
		show(licenses_gz, licenses_gz_len);
	else
		list(mode);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	file_fds_open();
	signal(SIGPIPE, SIG_DFL);	/* when the reader has gone we end quietly, whatever the caller's setting */
	setlocale(LC_CTYPE, "C.UTF-8");
	atexit(check_stdout);

	static char *no_name[] = { "moorbox", NULL };
	if (!argc)
		argv = no_name;
	char *slash = strrchr(argv[0], '/');
	char *name = slash ? slash + 1 : argv[0];
	const struct applet *a = find(name);
	err_applet = box.name;
	opt_applet = &box;
	opt_version = show_version;
	opt_help = show_help;
	return a ? run(a, argv) : box_main(argv);
}
