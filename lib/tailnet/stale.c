/* stale - what of ours is left over */
#include "stale.h"
#include "alloc.h"
#include "clock.h"
#include "dial.h"
#include "file.h"
#include "lease.h"
#include "leave.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	CLOCK_OFF_S = 300,
	RECENT_S = 300,		/* a server that does not say who is connected notices an end only after minutes */
	PART_S = 600,		/* a part file is written within milliseconds; its pid may be of another machine's */
};

const char *stale_kind_word(enum stale_kind kind)
{
	static const char *const words[] = {"node", "lease", "workspace", "socket", "directory", "file"};
	return words[kind];
}

const char *stale_action_word(enum stale_action action)
{
	static const char *const words[] = {"", "delete", "drop", "remove"};
	return words[action];
}

static struct stale *add(struct stale_list *l, enum stale_kind kind, const char *id, const char *name, const char *workspace)
{
	if (l->n == l->room)
		l->p = xrealloc(l->p, (l->room = l->room + l->room / 2 + 16) * sizeof *l->p);
	struct stale *s = &l->p[l->n++];
	*s = (struct stale){.kind = kind, .id = xstrdup(id), .name = xstrdup(name), .workspace = xstrdup(workspace)};
	s->control = s->dns_name = "";
	return s;
}

/* ---- workspaces ---- */

/* "" in use; else why that node is not: gone, dead, replaced; or why it is not known: elsewhere, broken. */
static const char *verdict(const struct ws_root *root, const char *workspace, const char *control, const char *node_id)
{
	struct ws ws;
	struct why why;
	char clean[WS_LABEL];
	if (ws_clean_name(workspace, clean, &why) < 0 || !str_eq(workspace, clean))
		return "cannot-tell";
	if (ws_open(root, workspace, 0, 0, &ws, &why) < 0)
		return why.reason == R_NO_WORKSPACE ? "gone" : "broken";
	ws_find_run(root, &ws);
	/* an id says nothing but at its own server */
	int moved = *control && *ws.spec.control && !str_eq(ws.spec.control, control);
	int alive = ws_alive(&ws), other = moved || (*node_id && *ws.run.node_id && !str_eq(ws.run.node_id, node_id));
	const char *word = alive < 0 ? "elsewhere" : ws_is_busy(&ws) ? "" : other ? "replaced" : alive || ws.spec.keep ? "" : "dead";
	ws_close(&ws);
	return word;
}

static int is_stale(const char *word)
{
	return str_eq(word, "gone") || str_eq(word, "dead") || str_eq(word, "replaced");
}

static int add_lease(const struct lease *lease, void *list)
{
	struct stale *s = add(list, STALE_NODE, lease->id, lease->name, lease->workspace);
	s->control = xstrdup(lease->control);
	s->dns_name = xstrdup(lease->dns_name);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct stale *x = a, *y = b;
	int c = strcmp(x->control, y->control);
	return c ? c : strcmp(x->id, y->id);
}

int stale_leases(const struct ws_root *root, struct stale_list *l, struct why *why)
{
	/* leases first: a workspace is there before its lease, so one that is missing now was taken down */
	if (lease_each(root, add_lease, l, why) < 0)
		return -1;
	if (l->n)
		qsort(l->p, l->n, sizeof *l->p, by_id);
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (!n || by_id(&l->p[n - 1], &l->p[i]))
			l->p[n++] = l->p[i];
	l->n = l->leases = n;
	for (size_t i = 0; i < n; i++) {
		struct stale *s = &l->p[i];
		s->why = verdict(root, s->workspace, s->control, s->id);
		s->in_use = !*s->why || str_eq(s->why, "elsewhere");
	}
	return 0;
}

/* ---- the control server's devices ---- */

struct asking { struct stale_list *l; const char *control; const struct stale_tag *tag; size_t devices; char suffix[API_TEXT]; };

static int has_tag(const struct api_device *d, const struct stale_tag *t)
{
	return t->tag && str_among(t->tag, d->tags, d->ntags);
}

static void note(struct stale *s, const struct api_device *d)
{
	s->found = 1;
	s->connected = d->connected;
	s->external = d->external;
	s->last_seen = d->last_seen;
	/* headscale's ids are numbers, which a new server begins anew */
	s->other_name = *s->name && !api_device_is(d, s->name);
}

static const char *suffix_of(const char *dns_name)
{
	const char *dot = strchr(dns_name, '.');
	return dot && dot[1] ? dot + 1 : "";
}

static int see(const struct api_device *d, void *ctx)
{
	struct asking *a = ctx;
	struct stale_list *l = a->l;
	struct stale key = {.control = (char *)a->control, .id = (char *)d->id};
	struct stale *s = l->leases ? bsearch(&key, l->p, l->leases, sizeof *l->p, by_id) : NULL;
	a->devices++;
	if (!*a->suffix && !d->external)
		str_copy(a->suffix, sizeof a->suffix, suffix_of(d->name));
	if (!s && has_tag(d, a->tag) && d->last_seen && d->connected != 1 && !d->external) {
		s = add(l, STALE_NODE, d->id, d->hostname, "");
		s->control = (char *)a->control;
		s->by_tag = 1;
		s->why = "tagged";
	}
	if (s)
		note(s, d);
	return 0;
}

/* What a device's own state says against deleting it, or NULL. */
static const char *spared(const struct stale *s, const struct stale_list *l, const struct stale_tag *t)
{
	if (s->external)
		return "external";
	if (s->connected == 1 || (s->connected < 0 && !s->last_seen))
		return "connected";
	if (s->connected < 0 && l->date - s->last_seen < RECENT_S)
		return "recent";
	if (s->by_tag)
		return l->date - s->last_seen < t->offline_s ? "recent" : NULL;
	return s->other_name ? "other-name" : NULL;
}

/* Two clocks that differ: nobody knows which one is right, and so not how long ago anything was. */
static int check_clock(const struct stale_list *l, const struct asking *a, struct why *why)
{
	char span[32];
	long long off = llabs(l->date - (long long)time(NULL));
	int counts = a->tag->tag != NULL;
	for (size_t i = 0; i < l->leases; i++)
		counts |= l->p[i].found && !l->p[i].in_use && l->p[i].connected < 0;
	if (!counts || (l->date && off <= CLOCK_OFF_S))
		return 0;
	if (!l->date)
		return why_set(why, R_CLOCK, "how long a device is offline cannot be told: the API does not say what time it is");
	why_set(why, R_CLOCK, "how long a device is offline cannot be told: the API's clock and this machine's are %s apart",
		clock_span(span, off));
	return why_hint(why, "set the clock");
}

static int doubt(struct why *why, const char *what)
{
	why_set(why, R_LIST_DOUBTFUL, "%s; nothing is deleted", what);
	return why_hint(why, "is the credential of the tailnet that --login-server, or its default, means?");
}

/* One whose device is not in the list. */
static int missing(struct stale *s, const struct asking *a, const struct api *api, long long deadline, struct why *why)
{
	struct api_device d;
	const char *suffix = suffix_of(s->dns_name);
	if (*suffix && *a->suffix && !str_eq(suffix, a->suffix)) {
		s->why = "other-tailnet";
		return 0;
	}
	int rc = api_device_get(api, s->id, &d, deadline, why);
	if (rc > 0)
		return doubt(why, "the API's list of devices lacks one that it has: it is only a part");
	if (!rc) {
		s->kind = STALE_LEASE;
		s->action = STALE_DROP;
		s->why = "unlisted";
	}
	return rc;
}

static int judge(struct stale_list *l, const struct asking *a, const struct api *api, long long deadline, struct why *why)
{
	for (size_t i = 0; i < l->n; i++) {
		struct stale *s = &l->p[i];
		if (s->in_use || !is_stale(s->by_tag ? "gone" : s->why))
			continue;
		const char *word = !str_eq(s->control, a->control) ? "other-server" : s->found ? spared(s, l, a->tag) : NULL;
		s->in_use = s->by_tag && word;		/* the tailnet's own affair */
		if (word)
			s->why = word;
		else if (s->found)
			s->action = STALE_DELETE;
		else if (missing(s, a, api, deadline, why) < 0)
			return -1;
	}
	return 0;
}

int stale_ask(struct stale_list *l, struct api *api, const char *control, const struct stale_tag *tag, long long deadline,
	struct why *why)
{
	struct asking a = {.l = l, .control = control, .tag = tag};
	int waits = 0;
	for (size_t i = 0; i < l->leases; i++)
		waits |= !l->p[i].in_use && str_eq(l->p[i].control, control);
	int rc = api_devices(api, NULL, see, &a, deadline, why);
	l->date = api->date;
	if (!rc && !a.devices && waits)
		rc = doubt(why, "the API lists no device at all");
	if (!rc)
		rc = check_clock(l, &a, why);
	if (!rc)
		rc = judge(l, &a, api, deadline, why);
	for (size_t i = 0; rc < 0 && i < l->n; i++) {
		l->p[i].action = STALE_KEEP;
		l->p[i].in_use |= l->p[i].by_tag;
	}
	return rc;
}

/* ---- what is here ---- */

struct here { const struct ws_root *root; struct stale_list *l; struct ws *ws; const char *dir; int fd, other; };

static int looks_like_part(const char *name, int *pid)
{
	long long n;
	const char *dot = strrchr(name, '.');
	if (*name != '.' || !dot || dot - name < 5 || strncmp(dot - 4, ".tmp", 4) != 0 || str_num(dot + 1, 1, 1 << 30, &n) < 0)
		return 0;
	*pid = n;
	return 1;
}

/* A part of a file whose writer is gone. */
static int is_part(int dir, const char *name)
{
	struct stat st;
	int pid;
	return looks_like_part(name, &pid) && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
		&& st.st_uid == geteuid() && time(NULL) - st.st_mtime > PART_S && kill(pid, 0) < 0 && errno == ESRCH;
}

static int look_for_part(const char *name, void *ctx)
{
	struct here *h = ctx;
	char path[2 * WS_PATH];
	if (is_part(h->fd, name) && str_fmt(path, sizeof path, "%s/%s", h->dir, name) > 0) {
		struct stale *s = add(h->l, STALE_FILE, path, name, h->ws ? h->ws->name : "");
		s->action = STALE_REMOVE;
		s->why = "part";
	}
	return 0;
}

static int is_foreign(const char *name, void *ctx)
{
	static const char *const ours[] = {"lock", "spec.json", "run.json", "tailscaled.log", "sock", "node", "forwards", "src"};
	int pid;
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (str_eq(name, ours[i]))
			return 0;
	return *(int *)ctx |= !looks_like_part(name, &pid) && !str_starts(name, "tailscaled.log");
}

/* What a dead workspace is: "dead", or why it is kept. NULL: it is not dead. */
static const char *dead_word(const struct ws *ws)
{
	int foreign = 0;
	if (ws_alive(ws) || ws->spec.keep)
		return NULL;
	file_each(ws->dir, is_foreign, &foreign);
	return foreign ? "foreign-files" : "dead";
}

static int look_at_workspace(const char *name, void *ctx)
{
	struct here *h = ctx;
	struct ws ws;
	struct why why;
	char path[2 * WS_PATH];
	if (ws_open(h->root, name, 0, 0, &ws, &why) < 0) {
		if (why.reason == R_BAD_STATE)
			add(h->l, STALE_WORKSPACE, "", "", name)->why = "broken";
		return 0;
	}
	ws_find_run(h->root, &ws);
	if (ws_alive(&ws) >= 0 && !ws_is_busy(&ws)) {
		const char *word = dead_word(&ws);
		if (word) {
			struct stale *s = add(h->l, STALE_WORKSPACE, "", ws.spec.hostname, name);
			s->action = str_eq(word, "dead") ? STALE_REMOVE : STALE_KEEP;
			s->why = word;
			s->control = xstrdup(ws.spec.control);
		}
		if (str_fmt(path, sizeof path, "%s/%s", h->root->path, name) > 0) {
			struct here inside = *h;
			inside.ws = &ws;
			inside.dir = path;
			inside.fd = ws.dir;
			file_each(ws.dir, look_for_part, &inside);
		}
	}
	ws_close(&ws);
	return 0;
}

/* RUN/ID/NAME of a workspace that is not there: what to say of it; NULL when it is nothing of ours or is used. */
static const char *runtime_word(const struct ws_root *root, int run, const char *name, int *has_socket)
{
	struct stat st;
	struct why why;
	char clean[WS_LABEL], sock[WS_LABEL + 8];
	if (ws_clean_name(name, clean, &why) < 0 || !str_eq(name, clean) || faccessat(root->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return NULL;
	str_fmt(sock, sizeof sock, "%s/sock", name);
	*has_socket = fstatat(run, sock, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!*has_socket)
		return "gone";
	if (!S_ISSOCK(st.st_mode))
		return NULL;
	int fd = dial_unix(run, sock, NULL, clock_ms() + 1000, &why);
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? "listens" : why.reason == R_NOT_UP ? "gone" : "cannot-tell";
}

static int look_at_runtime(const char *name, void *ctx)
{
	struct here *h = ctx;
	char path[2 * WS_PATH];
	int has_socket = 0;
	const char *word = runtime_word(h->root, h->fd, name, &has_socket);
	if (word && str_fmt(path, sizeof path, "%s/%s%s", h->dir, name, has_socket ? "/sock" : "") > 0) {
		struct stale *s = add(h->l, has_socket ? STALE_SOCKET : STALE_DIRECTORY, path, "", name);
		s->action = str_eq(word, "gone") ? STALE_REMOVE : STALE_KEEP;
		s->why = word;
	}
	return 0;
}

static int open_run(const struct ws_root *root, char path[static WS_PATH])
{
	return ws_run_dir(root, path) < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int stale_here(const struct ws_root *root, struct stale_list *l, struct why *why)
{
	char run[WS_PATH];
	struct here h = {.root = root, .l = l, .dir = root->path, .fd = root->fd};
	if (ws_each(root, look_at_workspace, &h, why) < 0)
		return -1;
	file_each(root->fd, look_for_part, &h);
	h.fd = open_run(root, run);
	h.dir = run;
	if (h.fd >= 0) {
		file_each_dir(h.fd, look_at_runtime, &h);
		close(h.fd);
	}
	return 0;
}

/* ---- doing it ---- */

static int not_any_more(struct stale *s, const char *word)
{
	s->why = word && *word ? word : "in-use";
	return 0;
}

static int delete_node(const struct ws_root *root, const struct stale_list *l, struct stale *s, const struct api *api,
	const struct stale_tag *t, long long deadline, struct why *why)
{
	struct api_device d;
	if (!s->by_tag) {
		const char *word = verdict(root, s->workspace, s->control, s->id);
		if (!is_stale(word))
			return not_any_more(s, word);
	}
	int rc = api_device_get(api, s->id, &d, deadline, why);
	if (rc > 0) {
		note(s, &d);
		const char *word = s->by_tag && !has_tag(&d, t) ? "untagged" : spared(s, l, t);
		if (word)
			return not_any_more(s, word);
		if (s->action == STALE_DROP)
			return not_any_more(s, "listed");
		rc = api_delete_node(api, s->id, deadline, why);
	}
	return rc < 0 || (!s->by_tag && lease_drop(root, s->control, s->id, why) < 0) ? -1 : 1;
}

static int remove_workspace(const struct ws_root *root, struct stale *s, long long deadline, struct why *why)
{
	enum { LOCK_MS = 1000 };
	struct ws ws;
	if (ws_open(root, s->workspace, WS_LOCK, clock_ms() + LOCK_MS, &ws, why) < 0) {
		ws_close(&ws);
		return why->reason == R_BUSY || why->reason == R_NO_WORKSPACE ? not_any_more(s, NULL) : -1;
	}
	const char *word = ws_alive(&ws) < 0 ? NULL : dead_word(&ws);
	int rc = !str_eq(word, "dead") ? not_any_more(s, word) : leave_run(root, &ws, &(struct leave){0}, deadline, why) < 0 ? -1 : 1;
	ws_close(&ws);
	return rc;
}

static int remove_runtime(const struct ws_root *root, struct stale *s, struct why *why)
{
	char path[WS_PATH], sock[WS_LABEL + 8];
	int has_socket, rc = 1, run = open_run(root, path);
	const char *word = run < 0 ? NULL : runtime_word(root, run, s->workspace, &has_socket);
	str_fmt(sock, sizeof sock, "%s/sock", s->workspace);
	if (!str_eq(word, "gone"))
		rc = not_any_more(s, word);
	else if ((unlinkat(run, sock, 0) < 0 && errno != ENOENT) || (unlinkat(run, s->workspace, AT_REMOVEDIR) < 0 && errno != ENOENT))
		rc = why_errno(why, "remove %s:", s->id);
	if (run >= 0)
		close(run);
	return rc;
}

static int remove_part(const struct ws_root *root, struct stale *s, struct why *why)
{
	int dir = *s->workspace ? file_dir_at(root->fd, s->workspace, 0, why) : root->fd;
	if (dir < 0)
		return not_any_more(s, "gone");		/* with its workspace */
	int rc = !is_part(dir, s->name) ? not_any_more(s, NULL)
		: unlinkat(dir, s->name, 0) < 0 && errno != ENOENT ? why_errno(why, "remove %s:", s->id) : 1;
	if (dir != root->fd)
		close(dir);
	return rc;
}

int stale_apply(const struct ws_root *root, const struct stale_list *l, struct stale *s, const struct api *api,
	const struct stale_tag *tag, long long deadline, struct why *why)
{
	switch (s->kind) {
	case STALE_NODE:
	case STALE_LEASE:
		return delete_node(root, l, s, api, tag, deadline, why);
	case STALE_WORKSPACE:
		return remove_workspace(root, s, deadline, why);
	case STALE_FILE:
		return remove_part(root, s, why);
	default:
		return remove_runtime(root, s, why);
	}
}
