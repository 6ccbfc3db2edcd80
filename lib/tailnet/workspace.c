/* workspace - a name, a directory of its own, and at most one tailscaled */
#include "workspace.h"
#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "dial.h"
#include "file.h"
#include "json.h"
#include "netns.h"
#include "str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { RECORD_MAX = 64 << 10 };

int ws_clean_name(const char *text, char name[static WS_LABEL], struct why *why)
{
	size_t n = strlen(text);
	char shown[100];
	str_escape(shown, sizeof shown, text, n);
	if (!n)
		return why_set(why, R_BAD_NAME, "an empty name is no workspace name");
	if (n >= WS_LABEL)
		return why_set(why, R_BAD_NAME, "%s: longer than 63 letters", shown);
	for (size_t i = 0; i <= n; i++) {
		char c = text[i];
		name[i] = c >= 'A' && c <= 'Z' ? c + 32 : c == '_' ? '-' : c;
	}
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return why_set(why, R_BAD_NAME, "%s: a name has letters, digits and inner hyphens only", shown);
	if (name[0] == '-' || name[n - 1] == '-')
		return why_set(why, R_BAD_NAME, "%s: a name neither begins nor ends with a hyphen", shown);
	if (str_starts(name, "xn--"))
		return why_set(why, R_BAD_NAME, "%s: names in punycode are not taken", shown);
	return 0;
}

/* ---- the state directory ---- */

#define GONE ".gone."	/* what ws_forget has taken out of sight */

static int sweep(const char *name, void *ctx)
{
	struct why ignored;
	if (str_starts(name, GONE))
		file_remove_tree(*(int *)ctx, name, &ignored);
	return 0;
}

static int root_path(char path[static WS_PATH], struct why *why)
{
	const char *told = getenv("MOORBOX_STATE"), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int rc = 0;
	if (told && *told)
		rc = *told == '/' ? str_copy(path, WS_PATH, told) : -1;
	else if (geteuid() == 0)
		rc = str_copy(path, WS_PATH, "/var/lib/moorbox");
	else if (xdg && *xdg == '/')
		rc = str_fmt(path, WS_PATH, "%s/moorbox", xdg);
	else if (home && *home == '/')
		rc = str_fmt(path, WS_PATH, "%s/.local/state/moorbox", home);
	else {
		why_set(why, R_NO_HOME, "no place for the state: neither MOORBOX_STATE nor XDG_STATE_HOME nor HOME is set");
		return why_hint(why, "export MOORBOX_STATE=/some/directory/of/yours");
	}
	if (rc < 0)
		return why_set(why, R_NO_HOME, "MOORBOX_STATE=%s: not an absolute path, or too long", told ? told : "");
	while (rc > 1 && path[rc - 1] == '/')
		path[--rc] = 0;
	return 0;
}

int ws_root_open(struct ws_root *root, struct why *why)
{
	if (root_path(root->path, why) < 0)
		return -1;
	root->fd = file_dir(root->path, why);
	if (root->fd < 0 && (why->reason == R_NO_PERMISSION || why->reason == R_SYSTEM) && !getenv("MOORBOX_STATE"))
		why_hint(why, "choose another place: export MOORBOX_STATE=/some/directory/of/yours");
	if (root->fd < 0)
		return -1;
	file_each(root->fd, sweep, &root->fd);	/* of somebody who was killed while deleting */
	return 0;
}

void ws_root_close(struct ws_root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	root->fd = -1;
}

/* ---- records ---- */

static void w_ports(struct buf *b, const char *key, const int *ports, int n)
{
	json_w_arr(b, key);
	for (int i = 0; i < n; i++)
		json_w_num(b, NULL, ports[i]);
	json_w_end(b, ']');
}

static int r_ports(const struct json *j, const char *key, int *ports, int max)
{
	int n = 0;
	for (struct json_iter i = json_each(j, json_get(j, 0, key)); json_next(&i) && n < max; ) {
		long long port;
		if (json_num(j, i.value, &port) == 0 && port > 0 && port < 65536)
			ports[n++] = port;
	}
	return n;
}

static long long r_num(const struct json *j, int obj, const char *key)
{
	long long n = 0;
	json_num(j, json_get(j, obj, key), &n);
	return n;
}

typedef int writer(int dir, const char *name, const void *, size_t, int mode, struct why *);

static int put(struct ws *ws, const char *name, writer *write_file, struct buf *b, struct why *why)
{
	buf_ch(b, '\n');
	int rc = write_file(ws->dir, name, buf_cstr(b), b->len, 0600, why);
	buf_free(b);
	return rc;
}

static const char *const inbound_words[] = {"none", "ports", "all"};

int ws_save_spec(struct ws *ws, struct why *why)
{
	struct ws_spec *s = &ws->spec;
	struct buf b = {0};
	json_w_obj(&b, NULL);
	json_w_num(&b, "version", 1);
	json_w_str(&b, "hostname", s->hostname);
	json_w_str(&b, "control", s->control);
	json_w_arr(&b, "tags");
	for (int i = 0; i < s->ntags; i++)
		json_w_str(&b, NULL, s->tags[i]);
	json_w_end(&b, ']');
	json_w_bool(&b, "keep", s->keep);
	json_w_bool(&b, "tun", s->tun);
	json_w_bool(&b, "ssh", s->ssh);
	json_w_bool(&b, "logs", s->logs);
	json_w_bool(&b, "anyName", s->any_name);
	json_w_bool(&b, "acceptRoutes", s->accept_routes);
	json_w_str(&b, "inbound", inbound_words[s->inbound]);
	w_ports(&b, "ports", s->ports, s->nports);
	w_ports(&b, "derpPorts", s->derp, s->nderp);
	json_w_str(&b, "socks", s->socks);
	json_w_str(&b, "http", s->http);
	json_w_str(&b, "nodeDir", s->node_dir);
	json_w_str(&b, "socket", s->socket);
	json_w_str(&b, "netns", s->netns);
	json_w_bool(&b, "isolate", s->isolate);
	json_w_arr(&b, "serveDirs");
	for (int i = 0; i < s->nserve_dirs; i++)
		json_w_str(&b, NULL, s->serve_dirs[i]);
	json_w_end(&b, ']');
	json_w_end(&b, '}');
	ws->has_spec = 1;
	/* a reboot ends an ephemeral one, and what was asked of it with it */
	return put(ws, "spec.json", s->keep ? file_write : file_write_soon, &b, why);
}

/* Of the same boot as the daemon. */
static void w_other(struct buf *b, const char *key, const char *key_start, const struct proc_id *id)
{
	char start[24];
	str_fmt(start, sizeof start, "%llu", id->start);
	json_w_num(b, key, id->pid);
	json_w_str(b, key_start, start);
}

static struct proc_id r_other(const struct json *j, const char *key, const char *key_start, const char *boot)
{
	struct proc_id id = {.pid = r_num(j, 0, key)};
	char start[24] = "";
	json_text(j, 0, key_start, start, sizeof start);
	id.start = strtoull(start, NULL, 10);
	str_copy(id.boot, sizeof id.boot, boot);
	return id;
}

int ws_save_run(struct ws *ws, struct why *why)
{
	static const char *const phases[] = {"spawned", "joining", "up"};
	struct ws_run *r = &ws->run;
	struct buf b = {0};
	char start[24];
	str_fmt(start, sizeof start, "%llu", r->daemon.start);
	json_w_obj(&b, NULL);
	json_w_num(&b, "version", 1);
	json_w_num(&b, "pid", r->daemon.pid);
	json_w_str(&b, "start", start);
	json_w_str(&b, "boot", r->daemon.boot);
	json_w_str(&b, "phase", phases[r->phase]);
	json_w_str(&b, "machine", r->machine);
	json_w_num(&b, "netns", r->netns);
	w_other(&b, "anchor", "anchorStart", &r->anchor);
	w_other(&b, "pasta", "pastaStart", &r->pasta);
	json_w_num(&b, "pastaTurn", r->pasta_turn);
	json_w_str(&b, "tailscaled", r->tailscaled);
	json_w_str(&b, "tailscaledVersion", r->version);
	json_w_str(&b, "nodeID", r->node_id);
	json_w_str(&b, "dnsName", r->dns_name);
	json_w_str(&b, "ip", r->ip);
	json_w_str(&b, "socket", r->socket);
	json_w_str(&b, "inbound", r->inbound);
	json_w_bool(&b, "confined", r->confined);
	json_w_num(&b, "since", r->since);
	json_w_end(&b, '}');
	ws->has_run = 1;
	return put(ws, "run.json", file_write_fast, &b, why);	/* a reboot makes it worthless */
}

int ws_drop_run(struct ws *ws, struct why *why)
{
	enum { PASTA_MS = 2000 };
	if (ws->run.pasta.pid > 0 && proc_end(&ws->run.pasta, SIGKILL, clock_ms() + PASTA_MS, why) < 0)
		return -1;
	ws->has_run = 0;
	struct ws_run none = {0};
	str_copy(none.socket, sizeof none.socket, ws->run.socket);	/* it is still to be deleted */
	ws->run = none;
	if (unlinkat(ws->dir, "run.json", 0) < 0 && errno != ENOENT)
		return why_errno(why, "remove run.json:");
	return 0;
}

static void load_spec(struct ws_spec *s, const struct json *j)
{
	char word[16];
	json_text(j, 0, "hostname", s->hostname, sizeof s->hostname);
	json_text(j, 0, "control", s->control, sizeof s->control);
	for (struct json_iter i = json_each(j, json_get(j, 0, "tags")); json_next(&i) && s->ntags < WS_TAGS; )
		if (json_str(j, i.value, s->tags[s->ntags], sizeof s->tags[0]) > 0)
			s->ntags++;
	s->keep = json_is_true(j, 0, "keep");
	s->tun = json_is_true(j, 0, "tun");
	s->ssh = json_is_true(j, 0, "ssh");
	s->logs = json_is_true(j, 0, "logs");
	s->any_name = json_is_true(j, 0, "anyName");
	s->accept_routes = json_is_true(j, 0, "acceptRoutes");
	json_text(j, 0, "inbound", word, sizeof word);
	s->inbound = str_eq(word, "all") ? WS_IN_ALL : str_eq(word, "ports") ? WS_IN_PORTS : WS_IN_NONE;
	s->nports = r_ports(j, "ports", s->ports, WS_PORTS);
	s->nderp = r_ports(j, "derpPorts", s->derp, WS_DERPS);
	json_text(j, 0, "socks", s->socks, sizeof s->socks);
	json_text(j, 0, "http", s->http, sizeof s->http);
	json_text(j, 0, "nodeDir", s->node_dir, sizeof s->node_dir);
	json_text(j, 0, "socket", s->socket, sizeof s->socket);
	json_text(j, 0, "netns", s->netns, sizeof s->netns);
	s->isolate = json_is_true(j, 0, "isolate");
	for (struct json_iter i = json_each(j, json_get(j, 0, "serveDirs")); json_next(&i) && s->nserve_dirs < 8; )
		if (json_str(j, i.value, s->serve_dirs[s->nserve_dirs], WS_PATH) > 0)
			s->nserve_dirs++;
}

static void load_run(struct ws_run *r, const struct json *j)
{
	char word[16], start[24];
	long long n;
	r->daemon.pid = r_num(j, 0, "pid");
	json_text(j, 0, "start", start, sizeof start);
	r->daemon.start = strtoull(start, NULL, 10);
	json_text(j, 0, "boot", r->daemon.boot, sizeof r->daemon.boot);
	json_text(j, 0, "phase", word, sizeof word);
	r->phase = str_eq(word, "up") ? WS_UP : str_eq(word, "joining") ? WS_JOINING : WS_SPAWNED;
	json_text(j, 0, "machine", r->machine, sizeof r->machine);
	r->netns = (n = r_num(j, 0, "netns")) > 0 ? n : 0;
	r->anchor = r_other(j, "anchor", "anchorStart", r->daemon.boot);
	r->pasta = r_other(j, "pasta", "pastaStart", r->daemon.boot);
	r->pasta_turn = r_num(j, 0, "pastaTurn") == 1;
	json_text(j, 0, "tailscaled", r->tailscaled, sizeof r->tailscaled);
	json_text(j, 0, "tailscaledVersion", r->version, sizeof r->version);
	json_text(j, 0, "nodeID", r->node_id, sizeof r->node_id);
	json_text(j, 0, "dnsName", r->dns_name, sizeof r->dns_name);
	json_text(j, 0, "ip", r->ip, sizeof r->ip);
	json_text(j, 0, "socket", r->socket, sizeof r->socket);
	json_text(j, 0, "inbound", r->inbound, sizeof r->inbound);
	r->confined = json_is_true(j, 0, "confined");
	r->since = r_num(j, 0, "since");
}

static void use_spec(struct ws *ws, const struct json *j)
{
	load_spec(&ws->spec, j);
}

static void use_run(struct ws *ws, const struct json *j)
{
	load_run(&ws->run, j);
}

/* 1 read, 0 not there, -1 broken. An empty run.json is what a power cut can make of one: then nothing of it runs any more. */
static int load(struct ws *ws, const char *name, void (*use)(struct ws *, const struct json *), struct why *why)
{
	static struct buf b;	/* kept from one record to the next: ws-ls reads thousands */
	struct json j;
	struct why parse = {0};
	buf_clear(&b);
	int rc = file_read(ws->dir, name, &b, RECORD_MAX, why), none = rc < 0 ? errno == ENOENT : !b.len && use == use_run;
	if (!rc && !none) {
		rc = json_parse(&j, buf_cstr(&b), b.len, &parse);
		if (!rc && json_kind(&j, 0) == JSON_OBJ && r_num(&j, 0, "version") == 1)
			use(ws, &j);
		else {
			why_set(why, R_BAD_STATE, "%s/%s cannot be read%s", ws->name, name,
				rc ? "" : ": written by another version of moorbox");
			why_hint(why, "ws-down --forget %s", ws->name);
		}
		if (!rc)
			json_free(&j);
		rc = why->reason == R_BAD_STATE ? -1 : 1;
	}
	return none ? 0 : rc;
}

int ws_reload(struct ws *ws, struct why *why)
{
	why->reason = R_NONE;
	memset(&ws->spec, 0, sizeof ws->spec);
	memset(&ws->run, 0, sizeof ws->run);
	struct why second = {0};
	int spec = load(ws, "spec.json", use_spec, why), run = load(ws, "run.json", use_run, spec < 0 ? &second : why);
	ws->has_spec = spec > 0;
	ws->has_run = run > 0;
	return spec < 0 || run < 0 ? -1 : 0;
}

/* ---- opening ---- */

/* Somebody may have deleted NAME/ while we waited for its lock: then what we hold has no name any more. */
static int still_there(const struct ws_root *root, const char *name, int dir)
{
	struct stat a, b;
	return fstat(dir, &a) == 0 && fstatat(root->fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0
		&& a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int ws_open(const struct ws_root *root, const char *name, int flags, long long deadline, struct ws *ws, struct why *why)
{
	memset(ws, 0, sizeof *ws);
	ws->dir = ws->lock = -1;
	str_copy(ws->name, sizeof ws->name, name);
	for (;;) {
		ws->dir = file_dir_at(root->fd, name, flags & WS_CREATE, why);
		if (ws->dir < 0 && flags & WS_CREATE && why->reason == R_NO_WORKSPACE && !clock_passed(deadline))
			continue;	/* somebody took it down just now */
		if (ws->dir < 0)
			return -1;
		if (!(flags & WS_LOCK))
			break;
		ws->lock = file_lock(ws->dir, "lock", deadline, why);
		if (ws->lock >= 0 && still_there(root, name, ws->dir))
			break;
		int gone = !still_there(root, name, ws->dir);
		ws_close(ws);
		if (!gone)
			return -1;
	}
	if (flags & WS_LOCK) {
		file_sweep(ws->dir, "spec.json");
		file_sweep(ws->dir, "run.json");
	}
	if (ws_reload(ws, why) < 0) {
		if (!(flags & WS_LOCK))
			ws_close(ws);	/* a locked one is handed over, so that it can be forgotten */
		return -1;
	}
	if (flags & WS_LOCK && ws->has_spec)
		ws_find_run(root, ws);	/* whoever will change it must not start a second daemon */
	return 0;
}

void ws_close(struct ws *ws)
{
	if (ws->lock >= 0)
		close(ws->lock);
	if (ws->dir >= 0)
		close(ws->dir);
	ws->dir = ws->lock = -1;
}

int ws_is_busy(const struct ws *ws)
{
	int fd = openat(ws->dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (fd >= 0)
		close(fd);
	return busy;
}

struct names { char **p; size_t n, room; };

static int add_name(const char *name, void *ctx)
{
	struct names *all = ctx;
	struct why ignored;
	char clean[WS_LABEL];
	if (*name == '.' || ws_clean_name(name, clean, &ignored) < 0 || !str_eq(name, clean))
		return 0;
	if (all->n == all->room)
		all->p = xrealloc(all->p, (all->room = 2 * all->room + 64) * sizeof *all->p);
	all->p[all->n++] = xstrdup(name);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int ws_each(const struct ws_root *root, int (*fn)(const char *, void *), void *ctx, struct why *why)
{
	struct names all = {0};
	if (file_each_dir(root->fd, add_name, &all) < 0)
		return why_errno(why, "list %s:", root->path);
	if (all.n)
		qsort(all.p, all.n, sizeof *all.p, by_name);
	int stop = 0;
	for (size_t i = 0; i < all.n; i++) {
		if (!stop)
			stop = fn(all.p[i], ctx);
		free(all.p[i]);
	}
	free(all.p);
	return 0;
}

/* ---- socket and node directory ---- */

/* Two STATE directories of one user must not meet in the runtime directory. FNV-1a. */
static unsigned state_id(const char *path)
{
	unsigned h = 2166136261u;
	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 16777619u;
	return h;
}

static int runtime_dir(char *dst, size_t size)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	if (xdg && *xdg == '/')
		return str_fmt(dst, size, "%s/moorbox", xdg);
	if (geteuid() == 0)
		return str_copy(dst, size, "/run/moorbox");
	return -1;
}

int ws_run_dir(const struct ws_root *root, char path[static WS_PATH])
{
	char run[WS_PATH];
	return runtime_dir(run, sizeof run) < 0 || str_fmt(path, WS_PATH, "%s/%08x", run, state_id(root->path)) < 0 ? -1 : 0;
}

static int own_socket(const struct ws_root *root, const struct ws *ws, int create, struct ws_socket *s, struct why *why)
{
	char run[WS_PATH], own[WS_PATH];
	if (runtime_dir(run, sizeof run) < 0 || ws_run_dir(root, own) < 0
		|| str_fmt(s->dir, sizeof s->dir, "%s/%s", own, ws->name) < 0
		|| str_fmt(s->path, sizeof s->path, "%s/sock", s->dir) >= (int)sizeof ((struct sockaddr_un *)0)->sun_path)
		return 0;
	if (!create)
		return access(s->dir, F_OK) == 0;
	int fd = file_dir(run, why);
	if (fd < 0)
		return why->reason == R_NOT_OURS ? -1 : 0;	/* a read-only /run: the last resort will do */
	close(fd);
	if ((fd = file_dir(s->dir, why)) < 0)
		return why->reason == R_NOT_OURS ? -1 : 0;
	close(fd);
	return 1;
}

int ws_socket(const struct ws_root *root, const struct ws *ws, int create, struct ws_socket *s, struct why *why)
{
	s->dirfd = AT_FDCWD;
	if (*ws->spec.socket) {
		str_copy(s->path, sizeof s->path, ws->spec.socket);
		str_copy(s->dir, sizeof s->dir, ws->spec.socket);
		char *slash = strrchr(s->dir, '/');
		if (*s->dir != '/' || !slash)
			return why_set(why, R_BAD_CONFIG, "TS_SOCKET=%s: not an absolute path", ws->spec.socket);
		slash[slash == s->dir] = 0;
		return 0;
	}
	/* XDG_RUNTIME_DIR may be another by now, or not be set */
	if (!create && *ws->run.socket == '/') {
		str_copy(s->path, sizeof s->path, ws->run.socket);
		str_copy(s->dir, sizeof s->dir, ws->run.socket);
		*strrchr(s->dir, '/') = 0;
		return 0;
	}
	int rc = !create && *ws->run.socket ? 0 : own_socket(root, ws, create, s, why);
	if (rc)
		return rc < 0 ? -1 : 0;
	/* reached by a short relative path: tailscaled's directory is NAME/, ours is its descriptor */
	s->dirfd = ws->dir;
	str_copy(s->path, sizeof s->path, "sock");
	str_fmt(s->dir, sizeof s->dir, "%s/%s", root->path, ws->name);
	return 0;
}

/* What of a node directory is the host name's rather than the node's. */
static const struct { const char *name, *place; } outlives[] = {{"certs", ".certs"}, {"ssh", ".ssh"}};

static int outlives_dir(const struct ws_root *root, int i, int create)
{
	if (create)
		mkdirat(root->fd, outlives[i].place, 0700);
	return openat(root->fd, outlives[i].place, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int ws_node_dir(const struct ws_root *root, struct ws *ws, int create, char path[static WS_PATH], struct why *why)
{
	if (*ws->spec.node_dir) {
		str_copy(path, WS_PATH, ws->spec.node_dir);
		int fd = create ? file_dir(path, why) : 0;
		if (create && fd >= 0)
			close(fd);
		return fd < 0 ? -1 : 0;
	}
	if (str_fmt(path, WS_PATH, "%s/%s/node", root->path, ws->name) < 0)
		return why_set(why, R_SYSTEM, "%s/%s/node: the path is too long", root->path, ws->name);
	if (!create)
		return 0;
	int node = file_dir_at(ws->dir, "node", 1, why);
	if (node < 0)
		return -1;
	for (size_t i = 0; i < sizeof outlives / sizeof *outlives; i++) {
		int dir = outlives_dir(root, i, 0);
		if (dir >= 0) {
			renameat(dir, ws->spec.hostname, node, outlives[i].name);	/* fails when there are some already: right */
			close(dir);
		}
	}
	close(node);
	return 0;
}

static void keep_names_own(const struct ws_root *root, struct ws *ws)
{
	int node = openat(ws->dir, "node", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (node < 0)
		return;
	for (size_t i = 0; i < sizeof outlives / sizeof *outlives && *ws->spec.hostname; i++) {
		const char *name = outlives[i].name;
		int dir = fstatat(node, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : outlives_dir(root, i, 1);
		if (dir >= 0) {
			struct why ignored;
			file_remove_tree(dir, ws->spec.hostname, &ignored);
			renameat(node, name, dir, ws->spec.hostname);
			close(dir);
		}
	}
	close(node);
}

static int src_dir(const struct ws_root *root, int create)
{
	if (create)
		mkdirat(root->fd, ".src", 0700);
	return openat(root->fd, ".src", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Somebody's work may be in it. One of that name there already stays where it is. */
static int keep_src(const struct ws_root *root, struct ws *ws, struct why *why)
{
	struct stat st;
	char as[WS_LABEL + 16];
	if (fstatat(ws->dir, "src", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : why_errno(why, "look at %s/src:", ws->name);
	int rc, dir = src_dir(root, 1), n = 1;
	str_copy(as, sizeof as, ws->name);
	while (dir >= 0 && fstatat(dir, as, &st, AT_SYMLINK_NOFOLLOW) == 0 && ++n < 10000)
		str_fmt(as, sizeof as, "%s.%d", ws->name, n);
	rc = dir < 0 || renameat(ws->dir, "src", dir, as) < 0 ? why_errno(why, "move %s/src to %s/.src/%s:", ws->name, root->path, as) : 0;
	if (dir >= 0)
		close(dir);
	return rc;
}

void ws_restore_src(const struct ws_root *root, const struct ws *ws)
{
	struct stat st;
	int dir = src_dir(root, 0);
	if (dir >= 0 && fstatat(ws->dir, "src", &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		renameat(dir, ws->name, ws->dir, "src");
	if (dir >= 0)
		close(dir);
}

int ws_kept_src(const struct ws_root *root, const char *name, char path[static WS_PATH + 80])
{
	struct stat st;
	str_fmt(path, WS_PATH + 80, "%s/.src/%s", root->path, name);
	return lstat(path, &st) == 0;
}

/* Its working directory is NAME/, as daemon.c starts it. */
static int is_in(int pid, int dir)
{
	char cwd[40];
	struct stat a, b;
	str_fmt(cwd, sizeof cwd, "/proc/%d/cwd", pid);
	return stat(cwd, &a) == 0 && fstat(dir, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

void ws_find_run(const struct ws_root *root, struct ws *ws)
{
	struct ws_socket s;
	struct why ignored;
	pid_t pid;
	uid_t uid;
	if (ws->has_run || ws_socket(root, ws, 0, &s, &ignored) < 0)
		return;
	int fd = dial_unix(s.dirfd, s.path, NULL, clock_ms() + 1000, &ignored);
	if (fd < 0)
		return;
	if (dial_peer(fd, &pid, &uid) == 0 && is_in(pid, ws->dir) && proc_id_of(pid, &ws->run.daemon, &ignored) == 0) {
		proc_machine(ws->run.machine);
		ws->has_run = 1;
	}
	close(fd);
}

int ws_alive(const struct ws *ws)
{
	char machine[40];
	if (!ws->has_run)
		return 0;
	proc_machine(machine);
	if (*ws->run.machine && !str_eq(machine, ws->run.machine))
		return -1;
	/* when it cannot be told, it is not forgotten: proc_end says why */
	return proc_alive(&ws->run.daemon) != 0;
}

int ws_is_orphan(const struct ws *ws)
{
	if (ws->run.pasta.pid > 0)
		return proc_alive(&ws->run.pasta) == 0;
	if (!*ws->spec.netns || !ws->run.netns)
		return 0;
	if (ws->run.anchor.pid > 0)
		return proc_alive(&ws->run.anchor) == 0;
	return netns_inode(ws->spec.netns) != ws->run.netns;
}

/* One that was killed a moment ago may have its socket open still, until the last of its threads has ended. */
static int listens(const struct ws_socket *s)
{
	struct proc_id id;
	struct why ignored;
	pid_t pid;
	uid_t uid;
	int fd = dial_unix(s->dirfd, s->path, NULL, clock_ms() + 1000, &ignored);
	if (fd < 0)
		return 0;
	int live = dial_peer(fd, &pid, &uid) < 0 || (proc_id_of(pid, &id, &ignored) == 0 && proc_alive(&id) != 0);
	close(fd);
	return live;
}

int ws_forget(const struct ws_root *root, struct ws *ws, struct why *why)
{
	struct ws_socket s;
	struct why ignored;
	if (ws_socket(root, ws, 0, &s, &ignored) == 0 && s.dirfd == AT_FDCWD) {
		/* a path that was given, or is in a record that was copied, may be another's */
		if (!listens(&s))
			unlink(s.path);
		if (!*ws->spec.socket)
			rmdir(s.dir);
	}
	/* run.json went first, in ws_drop_run: from here on a kill leaves a workspace that is merely down */
	keep_names_own(root, ws);
	if (keep_src(root, ws, why) < 0)
		return -1;
	/* Taken out of sight whole: were its files removed in place, whoever waits for the lock would begin anew among them. */
	char aside[WS_LABEL + 32];
	str_fmt(aside, sizeof aside, GONE "%s.%d", ws->name, (int)getpid());
	if (file_remove_tree(root->fd, aside, why) < 0)
		return -1;
	if (renameat(root->fd, ws->name, root->fd, aside) < 0)
		return errno == ENOENT ? 0 : why_errno(why, "remove %s:", ws->name);
	return file_remove_tree(root->fd, aside, why);
}

/* ---- DERP ports by control server ---- */

int ws_derp_recall(const struct ws_root *root, const char *control, int *ports, int max)
{
	struct buf b = {0};
	struct json j;
	struct why ignored;
	int n = 0;
	if (file_read(root->fd, "derp.json", &b, RECORD_MAX, &ignored) == 0 && json_parse(&j, buf_cstr(&b), b.len, &ignored) == 0) {
		for (struct json_iter i = json_each(&j, json_get(&j, 0, control)); json_next(&i) && n < max; ) {
			long long port;
			if (json_num(&j, i.value, &port) == 0 && port > 0 && port < 65536)
				ports[n++] = port;
		}
		json_free(&j);
	}
	buf_free(&b);
	return n;
}

int ws_derp_remember(const struct ws_root *root, const char *control, const int *ports, int n, struct why *why)
{
	struct buf old = {0}, new = {0}, value = {0};
	struct json j;
	struct why ignored;
	const char *const keys[] = {control, NULL};
	int lock = file_lock(root->fd, ".leases.lock", clock_ms() + 5000, why);
	if (lock < 0)
		return -1;
	file_sweep(root->fd, "derp.json");
	w_ports(&value, NULL, ports, n);
	if (file_read(root->fd, "derp.json", &old, RECORD_MAX, &ignored) < 0 || json_parse(&j, buf_cstr(&old), old.len, &ignored) < 0) {
		buf_clear(&old);
		buf_str(&old, "{}");
		json_parse(&j, buf_cstr(&old), old.len, &ignored);
	}
	int rc = json_set_keys(&new, &j, keys, buf_cstr(&value));
	json_free(&j);
	if (!rc && (new.len != old.len || memcmp(new.p, old.p, new.len)))
		rc = file_write(root->fd, "derp.json", buf_cstr(&new), new.len, 0600, why);
	close(lock);
	buf_free(&old);
	buf_free(&new);
	buf_free(&value);
	return rc;
}
