/* settings - what the user wants, from four places */
#include "settings.h"
#include "buf.h"
#include "file.h"
#include "json.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CONFIG_MAX = 1 << 20 };

static int bad(struct why *why, const char *file, const char *key, const char *what)
{
	return why_set(why, R_BAD_CONFIG, "%s: tailscale.%s: %s", file, key, what);
}

int settings_tag(struct settings *s, const char *tag, struct why *why)
{
	const char *bare = str_starts(tag, "tag:") ? tag + 4 : tag;
	size_t n = strlen(bare);
	int ok = n && n < 56 && strspn(bare, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == n
		&& !strchr("0123456789-", *bare);
	if (!ok)
		return why_set(why, R_USAGE, "%s: not a tag: tag:NAME, letters, digits and hyphens, a letter first", tag);
	char whole[64];
	str_fmt(whole, sizeof whole, "tag:%s", bare);
	if (str_among(whole, s->tags, s->ntags))
		return 0;
	if (s->ntags == SETTINGS_TAGS)
		return why_set(why, R_USAGE, "more than %d tags", SETTINGS_TAGS);
	str_copy(s->tags[s->ntags++], sizeof s->tags[0], whole);
	return 0;
}

int settings_control(const char *url, char *dst, int size, struct why *why)
{
	const char *host = str_starts(url, "https://") ? url + 8 : str_starts(url, "http://") ? url + 7 : NULL;
	size_t n = strlen(url);
	if (!host || !*host || *host == '/' || strpbrk(url, " \t\r\n\"\\?#@") || n >= (size_t)size)
		return why_set(why, R_USAGE, "%s: not the URL of a control server (https://HOST)", url);
	memmove(dst, url, n + 1);	/* url may be dst */
	while (n && dst[n - 1] == '/')
		dst[--n] = 0;
	return 0;
}

static int text(const struct json *j, int obj, const char *file, const char *key, char *dst, size_t size, struct why *why)
{
	int v = json_get(j, obj, key);
	if (v < 0)
		return 0;
	if (json_str(j, v, dst, size) < 0)
		return bad(why, file, key, "not a text, or too long");
	return 0;
}

/* authKey is the key itself, or where it is: "env:NAME", "file:PATH", "oauth:...", "wif:...". */
static int config_key(struct settings *s, const struct json *j, int obj, const char *file, struct why *why)
{
	int v = json_get(j, obj, "authKey");
	if (v < 0)
		return 0;
	size_t len;
	char *key = json_dup(j, v, &len);
	if (!key)
		return bad(why, file, "authKey", "not a text");
	int rc = 0;
	if (str_starts(key, "env:") || str_starts(key, "file:") || str_starts(key, "oauth:") || str_starts(key, "wif:"))
		rc = str_copy(s->key_src, sizeof s->key_src, key) < 0 ? bad(why, file, "authKey", "too long") : 0;
	else if (len) {
		str_copy(s->key_src, sizeof s->key_src, "config");
		secret_free(&s->key);
		rc = secret_set(&s->key, key, len) < 0 ? bad(why, file, "authKey", "too long") : 0;
	}
	explicit_bzero(key, len);
	free(key);
	return rc < 0 ? -1 : 0;
}

static int apply(struct settings *s, const struct json *j, const char *file, struct why *why)
{
	int obj = json_get(j, 0, "tailscale");
	if (json_kind(j, 0) != JSON_OBJ || (obj >= 0 && json_kind(j, obj) != JSON_OBJ))
		return why_set(why, R_BAD_CONFIG, "%s: not an object with a \"tailscale\" section", file);
	if (obj < 0)
		return 0;
	int v = json_get(j, obj, "enabled");
	if (v >= 0 && json_bool(j, v) < 0)
		return bad(why, file, "enabled", "neither true nor false");
	s->disabled = v >= 0 && !json_bool(j, v);
	v = json_get(j, obj, "ephemeral");
	if (v >= 0 && (s->ephemeral = json_bool(j, v)) < 0)
		return bad(why, file, "ephemeral", "neither true nor false");
	if (text(j, obj, file, "hostnamePrefix", s->prefix, sizeof s->prefix, why) < 0
		|| text(j, obj, file, "clientId", s->client_id, sizeof s->client_id, why) < 0
		|| text(j, obj, file, "audience", s->audience, sizeof s->audience, why) < 0
		|| text(j, obj, file, "loginServer", s->login_server, sizeof s->login_server, why) < 0
		|| config_key(s, j, obj, file, why) < 0)
		return -1;
	if (*s->login_server && settings_control(s->login_server, s->login_server, sizeof s->login_server, why) < 0) {
		char what[sizeof why->msg];
		str_copy(what, sizeof what, why->msg);
		return bad(why, file, "loginServer", what);
	}
	v = json_get(j, obj, "tags");
	if (v >= 0 && json_kind(j, v) != JSON_ARR)
		return bad(why, file, "tags", "not a list");
	for (struct json_iter i = json_each(j, v); json_next(&i); ) {
		char tag[64];
		if (json_str(j, i.value, tag, sizeof tag) < 0 || settings_tag(s, tag, why) < 0)
			return bad(why, file, "tags", "holds something that is no tag");
	}
	return 0;
}

int settings_read(struct settings *s, const char *file, const char *text, size_t len, struct why *why)
{
	struct json j;
	struct why parse = {0};
	if (json_parse(&j, text, len, &parse) < 0)
		return why_set(why, R_BAD_CONFIG, "%s: %s", file, parse.msg);
	int rc = apply(s, &j, file, why);
	json_free(&j);
	return rc;
}

/* 1 when the file was there and read, 0 when there is none, -1. */
static int read_config(struct settings *s, const char *path, struct why *why)
{
	struct buf b = {0};
	if (file_read(AT_FDCWD, path, &b, CONFIG_MAX, why) < 0) {
		int none = errno == ENOENT || errno == ENOTDIR;
		buf_wipe(&b);
		return none ? 0 : -1;
	}
	str_copy(s->config, sizeof s->config, path);
	struct stat st;
	int rc = settings_read(s, path, buf_cstr(&b), b.len, why);
	if (s->key.p && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 044)
		s->config_mode = st.st_mode & 07777;
	buf_wipe(&b);
	return rc < 0 ? -1 : 1;
}

int settings_file(char *dst, int size, struct why *why)
{
	const char *told = getenv("MOORBOX_CONFIG"), *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (told && *told)
		return str_copy(dst, size, told) < 0 ? why_set(why, R_BAD_CONFIG, "MOORBOX_CONFIG: too long a path") : 0;
	if (xdg && *xdg == '/' && str_fmt(dst, size, "%s/moorbox/config.json", xdg) > 0)
		return 0;
	if (home && *home && str_fmt(dst, size, "%s/.config/moorbox/config.json", home) > 0)
		return 0;
	return why_set(why, R_NO_HOME, "no place for the config file: neither MOORBOX_CONFIG nor XDG_CONFIG_HOME nor HOME is set");
}

static int find_config(struct settings *s, int must, struct why *why)
{
	const char *told = getenv("MOORBOX_CONFIG"), *home = getenv("HOME");
	char path[4096];
	struct why ignored;
	int rc = settings_file(path, sizeof path, &ignored) < 0 ? 0 : read_config(s, path, why);
	if (told && *told)
		return rc || !must ? rc : why_set(why, R_BAD_CONFIG, "MOORBOX_CONFIG=%s: no such file", told);
	if (!rc && home && *home && str_fmt(path, sizeof path, "%s/.config/perry/config.json", home) > 0)
		rc = read_config(s, path, why);
	return rc;
}

/* A variable of the environment over what the config said. */
static int from_env(const char *name, char *dst, size_t size, struct why *why)
{
	const char *v = getenv(name);
	if (v && *v && str_copy(dst, size, v) < 0)
		return why_set(why, R_BAD_CONFIG, "%s: too long", name);
	return 0;
}

/* A variable's value, or the file that it names, as a source. */
static void source_of(const char *kind, const char *name, char *dst, size_t size)
{
	const char *v = getenv(name);
	if (!str_starts(v, "file:") || str_fmt(dst, size, "%s%s", kind, v) < 0)
		str_fmt(dst, size, "%senv:%s", kind, name);
}

static int is_set(const char *name)
{
	const char *v = getenv(name);
	return v && *v;
}

/* The clash that containerboot refuses as well, or NULL. */
static const char *clash(int key, int id, int secret, int token, int audience)
{
	return key && (id || secret || token || audience)
		? "TS_AUTHKEY cannot be used with TS_CLIENT_ID, TS_CLIENT_SECRET, TS_ID_TOKEN or TS_AUDIENCE"
		: token && !id ? "TS_ID_TOKEN is set but TS_CLIENT_ID is not"
		: audience && !id ? "TS_AUDIENCE is set but TS_CLIENT_ID is not"
		: token && secret ? "TS_ID_TOKEN and TS_CLIENT_SECRET cannot both be set"
		: token && audience ? "TS_ID_TOKEN and TS_AUDIENCE cannot both be set"
		: audience && secret ? "TS_AUDIENCE and TS_CLIENT_SECRET cannot both be set" : NULL;
}

static void key_from_env(struct settings *s)
{
	const char *key = is_set("TS_AUTHKEY") ? "TS_AUTHKEY" : is_set("TS_AUTH_KEY") ? "TS_AUTH_KEY" : NULL;
	int id = is_set("TS_CLIENT_ID"), secret = is_set("TS_CLIENT_SECRET"), token = is_set("TS_ID_TOKEN"),
		audience = is_set("TS_AUDIENCE");
	const char *wrong = clash(key != NULL, id, secret, token, audience);
	if (wrong)
		str_copy(s->key_clash, sizeof s->key_clash, wrong);
	else if (key)
		source_of("", key, s->key_src, sizeof s->key_src);
	else if (secret)
		source_of("oauth:", "TS_CLIENT_SECRET", s->key_src, sizeof s->key_src);
	else if (token)
		source_of("wif:", "TS_ID_TOKEN", s->key_src, sizeof s->key_src);
	else if (audience)
		str_copy(s->key_src, sizeof s->key_src, "wif:auto");
	else if (is_set("PERRY_TAILSCALE_AUTH_KEY"))
		source_of("", "PERRY_TAILSCALE_AUTH_KEY", s->key_src, sizeof s->key_src);
}

void settings_hide_keys(void)
{
	static const char *const names[] = {"TS_AUTHKEY", "TS_AUTH_KEY", "PERRY_TAILSCALE_AUTH_KEY", "TS_CLIENT_SECRET", "TS_ID_TOKEN"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(names[i]);
}

int settings_load_file(struct settings *s, struct why *why)
{
	*s = (struct settings){.ephemeral = -1};
	return find_config(s, 0, why) < 0 ? -1 : 0;
}

int settings_load(struct settings *s, struct why *why)
{
	*s = (struct settings){.ephemeral = -1};
	if (find_config(s, 1, why) < 0)
		return -1;
	key_from_env(s);
	if (from_env("TS_CLIENT_ID", s->client_id, sizeof s->client_id, why) < 0
		|| from_env("TS_AUDIENCE", s->audience, sizeof s->audience, why) < 0
		|| from_env("TS_LOGIN_SERVER", s->login_server, sizeof s->login_server, why) < 0
		|| from_env("TS_HOSTNAME", s->hostname, sizeof s->hostname, why) < 0
		|| from_env("TS_STATE_DIR", s->node_dir, sizeof s->node_dir, why) < 0
		|| from_env("TS_SOCKET", s->socket, sizeof s->socket, why) < 0)
		return -1;
	if (*s->login_server && settings_control(s->login_server, s->login_server, sizeof s->login_server, why) < 0) {
		char what[sizeof why->msg];
		str_copy(what, sizeof what, why->msg);
		return why_set(why, R_BAD_CONFIG, "TS_LOGIN_SERVER: %s", what);
	}
	return 0;
}

const char *settings_key_src(const struct settings *s, const char *src, struct why *why)
{
	if (src)
		return src;
	if (*s->key_clash) {
		why_set(why, R_BAD_CONFIG, "%s", s->key_clash);
		return NULL;
	}
	if (*s->key_src)
		return s->key_src;
	why_set(why, R_NO_KEY, "no auth key: neither -k nor TS_AUTHKEY nor a config file gives one");
	why_hint(why, "export TS_AUTHKEY=..., or pass -k file:PATH, or log in with a browser: --login");
	return NULL;
}

int settings_secret(const struct settings *s, const char *src, struct secret *secret, struct why *why)
{
	if (!str_eq(src, "config"))
		return secret_get(secret, src, why);
	*secret = (struct secret){0};
	return secret_set(secret, s->key.p, s->key.len) < 0 ? why_set(why, R_RESOURCES, "no memory left") : 0;
}
