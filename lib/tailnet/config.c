/* config - the config file, as who writes it sees it */
#include "config.h"
#include "alloc.h"
#include "file.h"
#include "json.h"
#include "mint.h"
#include "rec.h"
#include "str.h"
#include "wif.h"
#include "workspace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_MAX = 1 << 20 };

const char *const config_keys[] = {
	"authKey", "loginServer", "hostnamePrefix", "tags", "ephemeral", "enabled", "clientId", "audience", NULL,
};

/* ---- the file ---- */

/* All of its room at once, so that no old copy of a key is left in the heap. */
static struct buf roomy(void)
{
	struct buf b = {.max = CONFIG_MAX};
	b.p = xalloc(b.cap = CONFIG_MAX + 1);
	return b;
}

int config_load(struct config *c, struct settings *set, struct why *why)
{
	char real[PATH_MAX];
	*c = (struct config){0};
	if (settings_file(c->path, sizeof c->path, why) < 0 || settings_load_file(set, why) < 0)
		return -1;
	if (realpath(c->path, real))	/* behind a symlink it is the file that is replaced */
		str_copy(c->path, sizeof c->path, real);
	c->text = roomy();
	if (file_read(AT_FDCWD, c->path, &c->text, CONFIG_MAX - 1, why) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return -1;
		c->is_new = 1;
	}
	if (!c->text.len)
		buf_str(&c->text, "{}\n");
	return 0;
}

/* raw NULL takes it out. */
static int put(struct config *c, const char *key, const char *raw, struct why *why)
{
	struct json j;
	struct why parse;
	struct buf new = roomy();
	const char *const at[] = {"tailscale", key, NULL};
	if (json_parse(&j, c->text.p, c->text.len, &parse) < 0) {
		buf_wipe(&new);
		return why_set(why, R_BAD_CONFIG, "%s: %s", c->path, parse.msg);
	}
	int rc = json_set_keys(&new, &j, at, raw);
	json_free(&j);
	if (rc < 0 || new.over) {
		buf_wipe(&new);
		return why_set(why, R_BAD_CONFIG, "%s: not an object with a \"tailscale\" section, or too large", c->path);
	}
	buf_wipe(&c->text);
	c->text = new;
	c->changed = 1;
	return 0;
}

static int put_text(struct config *c, const char *key, const char *value, size_t len, struct why *why)
{
	struct buf raw = roomy();
	rec_json_str(&raw, value, len);
	int rc = put(c, key, len ? raw.p : NULL, why);
	buf_wipe(&raw);
	return rc;
}

int config_save(struct config *c, struct why *why)
{
	struct settings check = {.ephemeral = -1};
	char dir[PATH_MAX];
	int rc = settings_read(&check, c->path, c->text.p, c->text.len, why);
	secret_free(&check.key);
	if (rc < 0)
		return -1;
	char *slash = str_copy(dir, sizeof dir, c->path) < 0 ? NULL : strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = 0;
	int fd = file_dir(slash ? dir : ".", why);
	if (fd < 0)
		return -1;
	const char *name = slash ? c->path + (slash == dir ? 1 : strlen(dir) + 1) : c->path;
	file_sweep(fd, name);
	rc = file_write(fd, name, c->text.p, c->text.len, 0600, why);
	close(fd);
	buf_wipe(&c->text);
	return rc;
}

/* ---- values ---- */

int config_is_place(const char *s)
{
	return str_starts(s, "env:") || str_starts(s, "file:") || str_starts(s, "oauth:") || str_starts(s, "wif:");
}

/* Where a key is, not the key. */
static int check_place(const char *s, struct why *why)
{
	const char *bare = str_starts(s, "oauth:") ? s + 6 : s;
	if (config_is_place(s) && !secret_looks_literal(bare)
		&& (str_starts(s, "wif:") ? wif_known(s + 4) : config_is_place(bare) && !str_eq(bare, "oauth:"))) {
		const char *file = strstr(s, "file:");
		if (file && file[5] != '/')
			return why_set(why, R_USAGE, "%s: the config file is used from any directory: give the whole path", s);
		return 0;
	}
	if (str_starts(s, "fd:") || str_eq(s, "-") || (config_is_place(s) && !secret_looks_literal(bare)))
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

static int put_tags(struct config *c, const char *value, struct why *why)
{
	struct settings s = {0};
	struct buf raw = {0};
	char *copy = xstrdup(value), *at = copy;
	for (char *tag; (tag = strsep(&at, ", ")); )
		if (*tag && settings_tag(&s, tag, why) < 0) {
			free(copy);
			return -1;
		}
	json_w_arr(&raw, NULL);
	for (int i = 0; i < s.ntags; i++)
		json_w_str(&raw, NULL, s.tags[i]);
	json_w_end(&raw, ']');
	int rc = put(c, "tags", s.ntags ? raw.p : NULL, why);
	buf_free(&raw);
	free(copy);
	return rc;
}

static int put_flag(struct config *c, const char *key, const char *value, struct why *why)
{
	int yes = str_eq(value, "true") || str_eq(value, "yes") || str_eq(value, "y");
	if (!yes && !str_eq(value, "false") && !str_eq(value, "no") && !str_eq(value, "n"))
		return why_set(why, R_USAGE, "%s: true or false, not %s", key, value);
	return put(c, key, yes ? "true" : "false", why);
}

int config_set(struct config *c, const char *key, const char *value, struct why *why)
{
	char url[512];
	if (!*value)
		return put(c, key, NULL, why);
	if (!str_eq(key, "authKey") && secret_looks_literal(value)) {
		why_set(why, R_SECRET_IN_ARGV, "%s: this looks like a key", key);
		return why_hint(why, "ws-setup --key env:NAME, file:PATH or - stores a key");
	}
	if (str_eq(key, "tags"))
		return put_tags(c, value, why);
	if (str_eq(key, "ephemeral") || str_eq(key, "enabled"))
		return put_flag(c, key, value, why);
	if ((str_eq(key, "authKey") && check_place(value, why) < 0) || (str_eq(key, "hostnamePrefix") && check_prefix(value, why) < 0))
		return -1;
	if (str_eq(key, "loginServer")) {
		if (settings_control(value, url, sizeof url, why) < 0)
			return -1;
		value = url;
	}
	return put_text(c, key, value, strlen(value), why);
}

int config_set_key(struct config *c, const struct secret *key, const char *control, int *is_short, struct why *why)
{
	struct settings one = {.key_src = "config", .key = *key};
	struct mint m;
	if (mint_take(&m, &one, NULL, control, why) < 0)
		return -1;
	*is_short = m.shape.is_short;
	mint_free(&m);
	return put_text(c, "authKey", key->p, key->len, why);
}

int config_import(struct config *c, const char *file, struct why *why)
{
	struct buf b = roomy();
	struct json j;
	struct settings check = {.ephemeral = -1};
	int rc = 0, n = 0;
	if (file_read(AT_FDCWD, file, &b, CONFIG_MAX - 1, why) < 0 || settings_read(&check, file, buf_cstr(&b), b.len, why) < 0
		|| json_parse(&j, b.p, b.len, why) < 0) {
		secret_free(&check.key);
		buf_wipe(&b);
		return -1;
	}
	secret_free(&check.key);
	for (struct json_iter i = json_each(&j, json_get(&j, 0, "tailscale")); !rc && json_next(&i); n++) {
		struct slice v = json_raw(&j, i.value);
		char *key = json_dup(&j, i.key, NULL);
		struct buf raw = roomy();
		buf_add(&raw, v.p, v.len);
		rc = key ? put(c, key, raw.p, why) : 0;
		buf_wipe(&raw);
		free(key);
	}
	json_free(&j);
	buf_wipe(&b);
	return rc < 0 ? -1 : n ? 0 : why_set(why, R_BAD_CONFIG, "%s: no \"tailscale\" section, or an empty one", file);
}
