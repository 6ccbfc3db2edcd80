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
#include "api_open.h"
#include "buf.h"
#include "clock.h"
#include "err.h"
#include "file.h"
#include "join.h"
#include "json.h"
#include "mint.h"
#include "opts/ws-setup.h"
#include "rec.h"
#include "secret.h"
#include "settings.h"
#include "str.h"
#include "wif.h"
#include "workspace.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { CONFIG_MAX = 1 << 20, LINE = 4096 };

static struct settings set;		/* what the file says */
static char path[PATH_MAX];
static struct buf text;			/* of the file, as it will be */
static struct rec out;
static long long wait_ms = 10000;
static int changed, is_new;

static const char *const keys[] = {
	"authKey", "loginServer", "hostnamePrefix", "tags", "ephemeral", "enabled", "clientId", "audience",
};

/* ---- the file ---- */

/* All of its room at once, so that no old copy of a key is left in the heap. */
static struct buf roomy(void)
{
	struct buf b = {.max = CONFIG_MAX};
	b.p = xalloc(b.cap = CONFIG_MAX + 1);
	return b;
}

static void load(void)
{
	struct why why;
	char real[PATH_MAX];
	if (settings_file(path, sizeof path, &why) < 0 || settings_load_file(&set, &why) < 0)
		die_why(&why);
	if (realpath(path, real))	/* behind a symlink it is the file that is replaced */
		str_copy(path, sizeof path, real);
	text = roomy();
	if (file_read(AT_FDCWD, path, &text, CONFIG_MAX - 1, &why) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			die_why(&why);
		is_new = 1;
	}
	if (!text.len)
		buf_str(&text, "{}\n");
}

/* raw NULL takes it out. */
static void put(const char *key, const char *raw)
{
	struct json j;
	struct why why;
	struct buf new = roomy();
	const char *const at[] = {"tailscale", key, NULL};
	if (json_parse(&j, text.p, text.len, &why) < 0)
		die(R_BAD_CONFIG, "%s: %s", path, why.msg);
	if (json_set_keys(&new, &j, at, raw) < 0 || new.over)
		die(R_BAD_CONFIG, "%s: not an object with a \"tailscale\" section, or too large", path);
	json_free(&j);
	buf_wipe(&text);
	text = new;
	changed = 1;
}

static void put_text(const char *key, const char *value, size_t len)
{
	struct buf raw = roomy();
	rec_json_str(&raw, value, len);
	put(key, len ? raw.p : NULL);
	buf_wipe(&raw);
}

static void save(void)
{
	struct why why;
	struct settings check = {.ephemeral = -1};
	char dir[PATH_MAX];
	if (settings_read(&check, path, text.p, text.len, &why) < 0)
		die_why(&why);
	secret_free(&check.key);
	char *slash = str_copy(dir, sizeof dir, path) < 0 ? NULL : strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = 0;
	int fd = file_dir(slash ? dir : ".", &why);
	if (fd < 0)
		die_why(&why);
	const char *name = slash ? path + (slash == dir ? 1 : strlen(dir) + 1) : path;
	file_sweep(fd, name);
	if (file_write(fd, name, text.p, text.len, 0600, &why) < 0)
		die_why(&why);
	close(fd);
	buf_wipe(&text);
	say("%s is written", path);
	if (is_new && *set.config && !str_eq(set.config, path))
		say("%s is not read any more; --import takes it over", set.config);
}

/* ---- values ---- */

static int is_place(const char *s)
{
	return str_starts(s, "env:") || str_starts(s, "file:") || str_starts(s, "oauth:") || str_starts(s, "wif:");
}

/* Where a key is, not the key. */
static int check_place(const char *s, struct why *why)
{
	const char *bare = str_starts(s, "oauth:") ? s + 6 : s;
	if (is_place(s) && !secret_looks_literal(bare) && (str_starts(s, "wif:") ? wif_known(s + 4) : is_place(bare) && !str_eq(bare, "oauth:"))) {
		const char *file = strstr(s, "file:");
		if (file && file[5] != '/')
			return why_set(why, R_USAGE, "%s: the config file is used from any directory: give the whole path", s);
		return 0;
	}
	if (str_starts(s, "fd:") || str_eq(s, "-") || (is_place(s) && !secret_looks_literal(bare)))
		return why_set(why, R_USAGE, "authKey: env:NAME, file:PATH, oauth:env:NAME, oauth:file:PATH or wif:SOURCE can be kept; "
			"--key SRC stores the key itself");
	why_set(why, R_SECRET_IN_ARGV, "authKey: a key on the command line can be read by every user of this machine");
	return why_hint(why, "ws-setup --key env:NAME, file:PATH or - stores it; --set authKey=env:NAME stores where it is");
}

static int check_prefix(const char *s, struct why *why)
{
	char name[WS_LABEL + 64];
	if (str_fmt(name, sizeof name, "%sx", s) < 0 || strlen(s) > 40)
		return why_set(why, R_BAD_NAME, "hostnamePrefix: longer than 40 letters");
	char clean[WS_LABEL];
	return ws_clean_name(name, clean, why);
}

static int put_tags(const char *value, struct why *why)
{
	struct settings s = {0};
	struct buf raw = {0};
	char *copy = xstrdup(value), *at = copy;
	for (char *tag; (tag = strsep(&at, ", ")); )
		if (*tag && settings_tag(&s, tag, why) < 0)
			return -1;
	json_w_arr(&raw, NULL);
	for (int i = 0; i < s.ntags; i++)
		json_w_str(&raw, NULL, s.tags[i]);
	json_w_end(&raw, ']');
	put("tags", s.ntags ? raw.p : NULL);
	buf_free(&raw);
	free(copy);
	return 0;
}

static int put_flag(const char *key, const char *value, struct why *why)
{
	int yes = str_eq(value, "true") || str_eq(value, "yes") || str_eq(value, "y");
	if (!yes && !str_eq(value, "false") && !str_eq(value, "no") && !str_eq(value, "n"))
		return why_set(why, R_USAGE, "%s: true or false, not %s", key, value);
	put(key, yes ? "true" : "false");
	return 0;
}

/* One setting, checked. value "" takes it out. -1: [usage], [bad-name], [secret-in-argv]. */
static int put_setting(const char *key, const char *value, struct why *why)
{
	char url[512];
	if (!*value) {
		put(key, NULL);
		return 0;
	}
	if (!str_eq(key, "authKey") && secret_looks_literal(value)) {
		why_set(why, R_SECRET_IN_ARGV, "%s: this looks like a key", key);
		return why_hint(why, "ws-setup --key env:NAME, file:PATH or - stores a key");
	}
	if (str_eq(key, "tags"))
		return put_tags(value, why);
	if (str_eq(key, "ephemeral") || str_eq(key, "enabled"))
		return put_flag(key, value, why);
	if ((str_eq(key, "authKey") && check_place(value, why) < 0) || (str_eq(key, "hostnamePrefix") && check_prefix(value, why) < 0))
		return -1;
	if (str_eq(key, "loginServer")) {
		if (settings_control(value, url, sizeof url, why) < 0)
			return -1;
		value = url;
	}
	put_text(key, value, strlen(value));
	return 0;
}

static const char *known_key(const char *key, size_t len)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (slice_eq((struct slice){key, len}, keys[i]))
			return keys[i];
	opt_usage("%.*s: no such setting: authKey, loginServer, hostnamePrefix, tags, ephemeral, enabled, clientId, audience",
		(int)(len < 100 ? len : 100), key);
}

static void set_one(const char *arg)
{
	struct why why;
	const char *eq = strchr(arg, '=');
	if (!eq)
		opt_usage("--set wants KEY=VALUE");
	if (put_setting(known_key(arg, eq - arg), eq + 1, &why) < 0)
		die_why(&why);
}

/* Stores the key itself, if a node can join with it, or an OAuth client can mint one. */
static int put_key(const struct secret *key, const char *control, struct why *why)
{
	struct settings one = {.key_src = "config", .key = *key};
	struct mint m;
	if (mint_take(&m, &one, NULL, control, why) < 0)
		return -1;
	if (m.shape.is_short)
		warn("the secret part is shorter than usual: perhaps it is cut off");
	mint_free(&m);
	put_text("authKey", key->p, key->len);
	return 0;
}

static void import(const char *file)
{
	struct why why;
	struct buf b = roomy();
	struct json j;
	struct settings check = {.ephemeral = -1};
	if (file_read(AT_FDCWD, file, &b, CONFIG_MAX - 1, &why) < 0 || settings_read(&check, file, buf_cstr(&b), b.len, &why) < 0
		|| json_parse(&j, b.p, b.len, &why) < 0)
		die_why(&why);
	secret_free(&check.key);
	for (struct json_iter i = json_each(&j, json_get(&j, 0, "tailscale")); json_next(&i); ) {
		struct slice v = json_raw(&j, i.value);
		char *key = json_dup(&j, i.key, NULL);
		struct buf raw = roomy();
		buf_add(&raw, v.p, v.len);
		if (key)
			put(key, raw.p);
		buf_wipe(&raw);
		free(key);
	}
	json_free(&j);
	buf_wipe(&b);
	if (!changed)
		die(R_BAD_CONFIG, "%s: no \"tailscale\" section, or an empty one", file);
}

/* ---- showing ---- */

static const char *value_of(const char *key, char *dst, size_t size)
{
	*dst = 0;
	for (int i = 0; str_eq(key, "tags") && i < set.ntags; i++)
		str_fmt(dst + strlen(dst), size - strlen(dst), "%s%s", i ? "," : "", set.tags[i]);
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
	int rc = mint_take(&m, &s, NULL, control, &why), status = told("key", src, rc, &why);
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
	if (is_place(line))
		return put_setting("authKey", line, why);
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
		rc = rc < 0 ? -1 : str_eq(line, "-") ? put_setting(key, "", &why) : is_key ? answer_key(line, control, &why)
			: put_setting(key, line, &why);
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
	say("settings for %s; enter keeps, - takes out", path);
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
	load();
	if (importing)
		import(importing);
	for (int i = 0; i < n; i++)
		set_one(sets[i]);
	if (key_src) {
		struct secret key;
		struct settings now = {.ephemeral = -1};
		if (secret_get(&key, key_src, &why) < 0 || settings_read(&now, path, text.p, text.len, &why) < 0
			|| put_key(&key, *now.login_server ? now.login_server : NULL, &why) < 0)
			die_why(&why);
	}
	if (!writes)
		interview();
	if (changed)
		save();
	else
		say("nothing was changed");
	return checking ? check() : EXIT_DONE;
}
