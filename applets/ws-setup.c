/* ws-setup - ask for the settings and write the config file
 *
 * usage: ws-setup [-q] [-t DUR]
 * usage: ws-setup [-q] [--import FILE] [--set KEY=VALUE]... [--key SRC] [--check]
 * usage: ws-setup --get KEY
 * usage: ws-setup [-jq] [-t DUR] --check
 *
 * --set KEY=VALUE  set one; an empty VALUE takes it out; may be repeated
 * --key SRC  store the auth key itself, read from SRC: env:NAME, file:PATH, fd:N, -
 * --import FILE  take over the "tailscale" section of FILE, such as ~/.config/perry/config.json
 * --get KEY  print what the config file says; of authKey where it comes from, or "set", never the key
 * --check  say whether ws-up can use what it would find: the file, the key's shape, the control server
 * -t, --timeout DUR  wait at most DUR for the control server (default 10)
 * -j, --json  print JSON lines (--check)
 * -q, --quiet  print nothing but errors
 *
 * Without options it asks, on a terminal, and checks each answer at once. What is typed as the key is not shown. Enter keeps what
 * there is, a hyphen takes it out. Nothing is written before the last answer.
 *
 * KEY is authKey, loginServer, hostnamePrefix, tags (comma between), ephemeral, enabled, clientId or audience. authKey=VALUE says
 * where the key is: env:NAME, file:PATH, oauth:SRC, wif:SOURCE; the key itself has no place on a command line.
 *
 * The file is replaced whole, mode 0600; what else is in it stays byte for byte.
 *
 * What is checked is a record each: what (config, key, control), value, ok, reason.
 *
 * exit: 0 written, or all is well
 *   1  not written, or something is wrong; --get: it is not set
 *   2  usage
 *   3  the control server could not be asked, or somebody ended the asking
 * env:
 *   MOORBOX_CONFIG  the file, if not $XDG_CONFIG_HOME/moorbox/config.json
 * example: ws-setup --set authKey=file:/run/secrets/ts --set hostnamePrefix=ci-
 * see: ws-up keygen-check
 */
#include "alloc.h"
#include "api_open.h"
#include "clock.h"
#include "config.h"
#include "err.h"
#include "join.h"
#include "mint.h"
#include "opts/ws-setup.h"
#include "rec.h"
#include "secret.h"
#include "settings.h"
#include "str.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { LINE = 4096 };

static struct settings set;		/* what the file says */
static struct config config;
static struct rec out;
static long long wait_ms = 10000;

static const char *known_key(const char *key, size_t len)
{
	for (const char *const *known = config_keys; *known; known++)
		if (slice_eq((struct slice){key, len}, *known))
			return *known;
	opt_usage("%.*s: no such setting: authKey, loginServer, hostnamePrefix, tags, ephemeral, enabled, clientId, audience",
		(int)(len < 100 ? len : 100), key);
}

static void set_one(const char *arg)
{
	struct why why;
	const char *eq = strchr(arg, '=');
	if (!eq)
		opt_usage("--set wants KEY=VALUE");
	if (config_set(&config, known_key(arg, eq - arg), eq + 1, &why) < 0)
		die_why(&why);
}

static int put_key(const struct secret *key, const char *control, struct why *why)
{
	int is_short = 0;
	if (config_set_key(&config, key, control, &is_short, why) < 0)
		return -1;
	if (is_short)
		warn("the secret part is shorter than usual: perhaps it is cut off");
	return 0;
}

static void save(void)
{
	struct why why;
	if (config_save(&config, &why) < 0)
		die_why(&why);
	say("%s is written", config.path);
	if (config.is_new && *set.config && !str_eq(set.config, config.path))
		say("%s is not read any more; --import takes it over", set.config);
}

/* ---- showing ---- */

static const char *value_of(const char *key, char *dst, size_t size)
{
	str_join(dst, size, set.tags, str_eq(key, "tags") ? set.ntags : 0, ",");
	return str_eq(key, "authKey") ? (str_eq(set.key_src, "config") ? "set" : set.key_src)
		: str_eq(key, "loginServer") ? set.login_server
		: str_eq(key, "hostnamePrefix") ? set.prefix
		: str_eq(key, "clientId") ? set.client_id
		: str_eq(key, "audience") ? set.audience
		: str_eq(key, "ephemeral") ? (set.ephemeral < 0 ? "" : set.ephemeral ? "true" : "false")
		: str_eq(key, "enabled") ? (set.disabled ? "false" : *set.config ? "true" : "") : dst;
}

static int get(const char *key)
{
	struct why why;
	char room[SETTINGS_TAGS * 64];
	if (settings_load_file(&set, &why) < 0)
		die_why(&why);
	const char *value = value_of(known_key(key, strlen(key)), room, sizeof room);
	if (!*value)
		return EXIT_NO;
	rec_begin(&out);
	rec_str(&out, "value", value);
	rec_end(&out);
	return EXIT_DONE;
}

static int told(const char *what, const char *value, int rc, const struct why *why)
{
	rec_begin(&out);
	rec_str(&out, "what", what);
	rec_str(&out, "value", value);
	rec_bool(&out, "ok", rc == 0);
	rec_str(&out, "reason", rc ? reason_word(why->reason) : NULL);
	rec_end(&out);
	return rc ? warn_why(why) : EXIT_DONE;
}

static int check(void)
{
	struct why why = {0};
	struct mint m;
	struct settings s;
	if (settings_load(&s, &why) < 0)
		die_why(&why);
	if (s.config_mode)
		warn("%s: others can read the key in it (mode %04o); chmod 600 it", s.config, (unsigned)s.config_mode);
	const char *control = *s.login_server ? s.login_server : SETTINGS_CONTROL;
	told("config", s.config, 0, NULL);
	char src[sizeof s.key_src];
	str_copy(src, sizeof src, str_eq(s.key_src, "config") ? "set" : s.key_src);
	int rc = mint_take(&m, &s, NULL, control, &why);
	if (rc < 0 && why.reason == R_NO_KEY)
		why_hint(&why, "ws-setup --set authKey=env:NAME or file:PATH says where it is; --key SRC stores it");
	int status = told("key", src, rc, &why);
	if (!rc)
		mint_free(&m);
	rc = join_ask_control(control, clock_ms() + wait_ms, &why);
	int st = told("control", control, rc, &why);
	return status == EXIT_DONE || st == EXIT_NO ? st : status;
}

/* ---- asking ---- */

static struct termios shown;

static void show_again(int sig)
{
	tcsetattr(0, TCSANOW, &shown);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Until it is undone, nothing that is typed is shown; whatever ends us undoes it. */
static void hide(int on)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct termios t;
	if (on && tcgetattr(0, &shown) < 0)
		die(R_SYSTEM, "the terminal:");
	for (size_t i = 0; on && i < sizeof ends / sizeof *ends; i++)
		signal(ends[i], show_again);
	signal(SIGTSTP, on ? SIG_IGN : SIG_DFL);
	t = shown;
	if (on)
		t.c_lflag = (t.c_lflag & ~(tcflag_t)ECHO) | ECHONL;
	if (tcsetattr(0, TCSAFLUSH, &t) < 0)
		die(R_SYSTEM, "the terminal:");
	for (size_t i = 0; !on && i < sizeof ends / sizeof *ends; i++)
		signal(ends[i], SIG_DFL);
}

/* A line into dst, without its end and the blanks around it. */
static void ask(const char *question, const char *now, int hidden, char dst[static LINE])
{
	char prompt[700];
	int n = str_fmt(prompt, sizeof prompt, *now ? "%s [%s]: " : "%s: ", question, now);
	if (hidden)
		hide(1);
	(void)!write(2, prompt, n < 0 ? sizeof prompt - 1 : (size_t)n);
	ssize_t got;
	do
		got = read(0, dst, LINE - 1);
	while (got < 0 && errno == EINTR);
	if (hidden)
		hide(0);
	if (got <= 0) {
		(void)!write(2, "\n", 1);
		die(R_INTERRUPTED, "no answer: nothing was written");
	}
	while (got && strchr(" \t\r\n", dst[got - 1]))
		got--;
	dst[got] = 0;
	size_t lead = strspn(dst, " \t");
	memmove(dst, dst + lead, got - lead + 1);
}

/* 1 when it is a control server, or is wanted all the same; 0; -1. */
static int is_control_server(const char *url, char control[static 512], struct why *why)
{
	char line[LINE];
	if (settings_control(str_eq(url, "-") ? SETTINGS_CONTROL : url, control, 512, why) < 0)
		return -1;
	if (join_ask_control(control, clock_ms() + wait_ms, why) == 0)
		return 1;
	warn_why(why);
	ask("keep it all the same? y or n", "n", 0, line);
	return *line == 'y';
}

static int answer_key(char *line, const char *control, struct why *why)
{
	struct secret key = {0};
	if (config_is_place(line))
		return config_set(&config, "authKey", line, why);
	int rc = secret_set(&key, line, strlen(line)) < 0 ? why_set(why, R_RESOURCES, "no memory left") : put_key(&key, control, why);
	secret_free(&key);
	return rc;
}

/* Asks until the answer will do. */
static void question(const char *key, const char *words, char control[static 512])
{
	struct why why;
	char line[LINE], room[SETTINGS_TAGS * 64];
	int is_key = str_eq(key, "authKey"), is_server = str_eq(key, "loginServer");
	for (;;) {
		ask(words, value_of(key, room, sizeof room), is_key, line);
		if (!*line)
			return;
		int rc = is_server ? is_control_server(line, control, &why) : 1;
		if (!rc)
			continue;
		rc = rc < 0 ? -1 : str_eq(line, "-") ? config_set(&config, key, "", &why) : is_key ? answer_key(line, control, &why)
			: config_set(&config, key, line, &why);
		if (is_key)
			explicit_bzero(line, sizeof line);
		if (rc == 0)
			return;
		warn_why(&why);
	}
}

static void interview(void)
{
	char control[512];
	str_copy(control, sizeof control, *set.login_server ? set.login_server : SETTINGS_CONTROL);
	say("settings for %s; enter keeps, - takes out", config.path);
	question("loginServer", "control server, if not Tailscale's own (https://HOST)", control);
	question("authKey", "auth key, or where it is: env:NAME, file:PATH, oauth:file:PATH (not shown)", control);
	question("hostnamePrefix", "prefix of host names", control);
	question("tags", "tags, comma between", control);
	question("ephemeral", "ephemeral: nodes vanish when they go down (true or false)", control);
}

int ws_setup_main(char **argv)
{
	struct why why;
	const char *getting = NULL, *importing = NULL, *key_src = NULL;
	const char **sets = xalloc(sizeof *sets);
	int n = 0, checking = 0;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case OPT_SET:
			sets = xrealloc(sets, (n + 2) * sizeof *sets);
			sets[n++] = o.val;
			break;
		case OPT_KEY: key_src = o.val; break;
		case OPT_IMPORT: importing = o.val; break;
		case OPT_GET: getting = o.val; break;
		case OPT_CHECK: checking = 1; break;
		case 't': wait_ms = opt_dur(&o); break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': out.mode = REC_NONE; break;
		}
	opt_want(&o, 0, 0);
	int writes = n || importing || key_src;
	if (getting && (writes || checking))
		opt_usage("--get goes alone");
	if (getting)
		return get(getting);
	if (!writes && checking)
		return check();
	if (!writes && !isatty(0))
		opt_usage("there is no terminal to ask on; say what to set: --set KEY=VALUE, --key SRC");
	if (config_load(&config, &set, &why) < 0 || (importing && config_import(&config, importing, &why) < 0))
		die_why(&why);
	for (int i = 0; i < n; i++)
		set_one(sets[i]);
	if (key_src) {
		struct secret key = {0};
		struct settings now = {.ephemeral = -1};
		if (secret_get(&key, key_src, &why) < 0 || settings_read(&now, config.path, config.text.p, config.text.len, &why) < 0
			|| put_key(&key, *now.login_server ? now.login_server : NULL, &why) < 0)
			die_why(&why);
		secret_free(&now.key);
		secret_free(&key);
	}
	if (!writes)
		interview();
	if (config.changed)
		save();
	else
		say("nothing was changed");
	return checking ? check() : EXIT_DONE;
}
