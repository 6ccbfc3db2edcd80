/* serve - publish on a node */
#include "serve.h"
#include "bus.h"
#include "clock.h"
#include "file.h"
#include "http.h"
#include "inbound.h"
#include "json.h"
#include "probe.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 12, RECORD_MAX = 1 << 20, NEEDS = WS_DERPS + 8, RESTORE_MS = 5000, DEAF_MS = 1000 };

static const struct localapi *api_of(const struct serve *s)
{
	return &s->node->api;
}

/* Held to some ports only? Then there are shadows. */
static int is_narrow(const struct serve *s)
{
	return s->node->is_ws && s->node->ws.spec.inbound == WS_IN_PORTS;
}

/* Does a shadow belong there? */
static int belongs(const struct serve *s, int port)
{
	const struct ws_spec *spec = &s->node->ws.spec;
	return is_narrow(s) && inbound_has_shadow(spec, probe_proxy(spec->control), port);
}

/* ---- what is ours ---- */

void serve_open(struct serve *s, const struct node *node, const struct node_status *st, struct why *why)
{
	struct ws_root root;
	*s = (struct serve){.node = node, .st = st, .dir = -1};
	*why = (struct why){0};
	if (node->is_ws) {
		s->dir = fcntl(node->ws.dir, F_DUPFD_CLOEXEC, 3);
		str_copy(s->file, sizeof s->file, "serve.json");
		return;
	}
	if (!*st->id || strspn(st->id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(st->id)) {
		why_set(why, R_API_ERROR, "this node has no id to remember it by");
		return;
	}
	str_fmt(s->file, sizeof s->file, "%s.json", st->id);
	if (ws_root_open(&root, why) < 0)
		return;
	s->dir = file_dir_at(root.fd, ".serve", 1, why);
	ws_root_close(&root);
}

void serve_close(struct serve *s)
{
	if (s->dir >= 0)
		close(s->dir);
	s->dir = -1;
}

/* One moorbox at a time; others come by ETag. */
static int lock(const struct serve *s, long long deadline, struct why *why)
{
	char name[128];
	str_fmt(name, sizeof name, "%s.lock", s->file);
	return s->dir < 0 ? -2 : file_lock(s->dir, name, deadline, why);
}

static void unlock(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* {"443 /api": {"kind": ..., "target": ..., "shadow": true}, ...}; one that cannot be read is none. */
static void load(const struct serve *s, struct buf *b)
{
	struct why ignored;
	struct json j;
	if (s->dir < 0 || file_read(s->dir, s->file, b, RECORD_MAX, &ignored) < 0)
		buf_clear(b);
	if (b->len && json_parse(&j, b->p, b->len, &ignored) == 0) {
		int good = json_kind(&j, 0) == JSON_OBJ;
		json_free(&j);
		if (good)
			return;
	}
	buf_clear(b);
	buf_str(b, "{}");
}

static char *key_of(const struct mapping *m, char key[static MAP_PATH + 8])
{
	str_fmt(key, MAP_PATH + 8, "%d %s", m->port, m->path);
	return key;
}

static int in_record(const struct buf *record, const struct mapping *m, int *had_shadow)
{
	struct json j;
	struct why ignored;
	char key[MAP_PATH + 8];
	*had_shadow = 0;
	if (json_parse(&j, record->p, record->len, &ignored) < 0)
		return 0;
	int v = json_get(&j, 0, key_of(m, key));
	int ours = json_str_eq(&j, json_get(&j, v, "kind"), mapping_kind(m->kind))
		&& json_str_eq(&j, json_get(&j, v, "target"), m->target);
	*had_shadow = json_is_true(&j, v, "shadow");
	json_free(&j);
	return ours;
}

static int remember(const struct serve *s, struct buf *record, const struct mapping *m, int had_shadow, struct why *why)
{
	char key[MAP_PATH + 8];
	struct buf value = {0}, next = {0};
	struct json j;
	if (s->dir < 0)
		return 0;
	json_w_obj(&value, NULL);
	json_w_str(&value, "kind", mapping_kind(m->kind));
	json_w_str(&value, "target", m->target);
	json_w_bool(&value, "shadow", had_shadow);
	json_w_end(&value, '}');
	int rc = json_parse(&j, record->p, record->len, why);
	if (!rc) {
		rc = json_set_keys(&next, &j, (const char *const[]){key_of(m, key), NULL}, value.p);
		json_free(&j);
	}
	if (!rc)
		rc = file_write(s->dir, s->file, next.p, next.len, 0600, why);
	buf_free(&value);
	buf_free(record);
	*record = next;
	return rc;
}

static int forget(const struct serve *s, struct buf *record, const struct mapping *m, struct why *why)
{
	char key[MAP_PATH + 8];
	struct buf next = {0};
	struct json j;
	if (s->dir < 0 || json_parse(&j, record->p, record->len, why) < 0)
		return 0;
	json_set_keys(&next, &j, (const char *const[]){key_of(m, key), NULL}, NULL);
	json_free(&j);
	int rc = next.len == record->len ? 0 : file_write(s->dir, s->file, next.p, next.len, 0600, why);
	buf_free(record);
	*record = next;
	return rc;
}

struct each { const struct buf *record; int (*fn)(const struct mapping *, void *); void *ctx; };

static int each_known(const struct mapping *m, void *ctx)
{
	struct each *e = ctx;
	static struct mapping known;
	int had_shadow;
	if (m->is_shadow)
		return 0;
	known = *m;
	known.is_ours = !m->is_foreground && in_record(e->record, m, &had_shadow);
	return e->fn(&known, e->ctx);
}

int serve_each(const struct serve *s, int (*fn)(const struct mapping *, void *), void *ctx, long long deadline, struct why *why)
{
	struct buf record = {0}, doc = {0};
	char etag[80];
	struct each e = {&record, fn, ctx};
	load(s, &record);
	int rc = localapi_serve_get(api_of(s), &doc, etag, deadline, why);
	if (!rc)
		rc = mapping_each(buf_cstr(&doc), doc.len, each_known, &e, why);
	buf_free(&record);
	buf_free(&doc);
	return rc;
}

/* ---- may it be published ---- */

/* 1 up, 0 down, -1. */
static int shields(const struct serve *s, long long deadline, struct why *why)
{
	struct buf b = {0};
	struct json j;
	int up = -1;
	if (localapi_get(api_of(s), "prefs", &b, deadline, why) == 0 && json_parse(&j, buf_cstr(&b), b.len, why) == 0) {
		up = json_is_true(&j, 0, "ShieldsUp");
		json_free(&j);
	}
	buf_free(&b);
	return up;
}

/* The TCP port of this machine's loopback that it leads to; 0: none. */
static int backend_port(const struct mapping *m)
{
	const char *colon = strrchr(m->target, ':');
	long long port;
	if (mapping_is_web(m->kind) && !str_starts(m->target, "http"))
		return 0;
	if (!colon)
		return 0;
	char digits[8];
	size_t n = strspn(colon + 1, "0123456789");
	if (str_copy_slice(digits, sizeof digits, (struct slice){colon + 1, n}) < 0 || str_num(digits, 1, 65535, &port) < 0)
		return 0;
	return port;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* The ports as they are and one more: "22,3000". */
static void ports_with(const struct ws_spec *spec, int port, char *dst, int size)
{
	static struct ws_spec more;
	more = *spec;
	if (more.inbound != WS_IN_PORTS)
		more.nports = 0;
	more.inbound = WS_IN_PORTS;
	if (more.nports < WS_PORTS)
		more.ports[more.nports++] = port;
	qsort(more.ports, more.nports, sizeof *more.ports, by_number);
	inbound_text(&more, dst, size);
}

static int reaches(const struct serve *s, int port)
{
	const struct ws_spec *spec = &s->node->ws.spec;
	int needs[NEEDS];
	for (int i = 0; i < spec->nports; i++)
		if (spec->ports[i] == port)
			return 1;
	int n = inbound_needs(spec, probe_proxy(spec->control), needs, NEEDS);
	for (int i = 0; i < n; i++)
		if (needs[i] == port)
			return 1;
	return 0;
}

static int is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/' || str_eq(dir, "/"));
}

static int may_read(const struct ws *ws, const char *path)
{
	for (int i = 0; i < ws->spec.nserve_dirs; i++)
		if (is_below(path, ws->spec.serve_dirs[i]))
			return 1;
	return 0;
}

/* As a shell wants it, to be typed. */
static char *quoted(const char *text, char *dst, size_t size)
{
	size_t n = 0;
	if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/+,:@%=") == strlen(text)) {
		str_copy(dst, size, text);
		return dst;
	}
	n += str_fmt(dst, size, "'");
	for (; *text && n + 8 < size; text++)
		n += str_fmt(dst + n, size - n, *text == '\'' ? "'\\''" : "%c", *text);
	str_fmt(dst + n, size - n, "'");
	return dst;
}

static int check_inbound(const struct serve *s, const struct mapping *m, long long deadline, struct why *why)
{
	const struct ws *ws = &s->node->ws;
	const char *name = s->node->name;
	int port = backend_port(m), up = shields(s, deadline, why);
	char ports[600], word[WS_PATH], dir[WS_PATH + 32] = "";
	if (up < 0)
		return -1;
	if (s->node->is_ws && *m->target == '/' && ws->run.confined && !may_read(ws, m->target))
		str_fmt(dir, sizeof dir, "--serve-dir %s ", quoted(m->target, word, sizeof word));
	if (s->node->is_ws && ws->spec.inbound == WS_IN_NONE) {
		ports_with(&ws->spec, port ? port : m->port, ports, sizeof ports);
		why_set(why, R_INBOUND_CLOSED, "%s: nothing comes in to this workspace", name);
		return why_hint(why, "ws-up --restart -i %s %s%s", ports, dir, name);
	}
	if (is_narrow(s) && port && !reaches(s, port)) {
		ports_with(&ws->spec, port, ports, sizeof ports);
		why_set(why, R_INBOUND_CLOSED, "%s: port %d is not among its -i, so its tailscaled may not reach it", name, port);
		return why_hint(why, "ws-up --restart -i %s %s", ports, name);
	}
	if (up && !is_narrow(s)) {	/* there it is we who raise and lower them */
		why_set(why, R_INBOUND_CLOSED, "the node's shields are up: nothing comes in");
		return s->node->is_ws ? why_hint(why, "ws-up --restart %s", name) : why_hint(why, "sudo tailscale set --shields-up=false");
	}
	if (!*dir)
		return 0;
	why_set(why, R_CONFINED, "%s: the confined tailscaled of %s may not read it", m->target, name);
	return why_hint(why, "ws-up --restart %s%s", dir, name);
}

int serve_check(const struct serve *s, const struct mapping *m, int *listens, long long deadline, struct why *why)
{
	int port = backend_port(m), v6 = strstr(m->target, "[::1]") != NULL;
	*listens = -1;
	if (check_inbound(s, m, deadline, why) < 0)
		return -1;
	if (str_starts(m->target, "unix:") && access(m->target + 5, F_OK) < 0 && errno == ENOENT)
		*listens = 0;
	if (!port)
		return 0;
	enum inbound_where where = inbound_listener(s->node->is_ws ? s->node->ws.run.daemon.pid : 0, port);
	*listens = where == INBOUND_UNKNOWN ? -1 : where != INBOUND_NOBODY;
	if (v6 || (where != INBOUND_ON_V6 && where != INBOUND_ELSEWHERE))
		return 0;
	if (where == INBOUND_ELSEWHERE)
		return why_set(why, R_NOT_ON_LOOPBACK, "%d: the server listens on another address, not on 127.0.0.1", port);
	why_set(why, R_NOT_ON_LOOPBACK, "%d: the server listens on [::1] only, not on 127.0.0.1", port);
	return mapping_is_web(m->kind) ? why_hint(why, "let it listen on 127.0.0.1, or: ts-serve 'http://[::1]:%d'", port)
		: why_hint(why, "let it listen on 127.0.0.1");
}

/* ---- writing ---- */

/* Half-way the shields may be up: a signal waits until they are down again. */
static void hold_signals(sigset_t *old)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, old);
}

struct conflict {
	const struct mapping *want;
	const struct buf *record;
	int web_ok;			/* others may stay beside it: it is in no session */
	int shadow, other_kind, is_found;
	struct mapping found;		/* what is in the way */
};

/* What is in the way of it? Another path beside ours is not, on a port of the same kind. */
static int look_conflict(const struct mapping *m, void *ctx)
{
	struct conflict *c = ctx;
	const struct mapping *w = c->want;
	int had_shadow;
	if (m->port != w->port)
		return 0;
	if (m->is_shadow) {
		c->shadow = 1;
		return 0;
	}
	int same_kind = m->kind == w->kind && mapping_is_web(m->kind);
	int beside = same_kind && (!str_eq(m->path, w->path) || !str_eq(m->host, w->host));
	if (!m->is_foreground && beside && c->web_ok)
		return 0;
	int ours = !m->is_foreground && in_record(c->record, m, &had_shadow);
	int equal = same_kind && str_eq(m->target, w->target) && !m->is_foreground;
	if (c->web_ok && (ours || equal)) {
		c->other_kind |= m->kind != w->kind;
		return 0;
	}
	c->found = *m;
	c->is_found = 1;
	return 1;
}

static int taken(const struct mapping *m, int by_session, struct why *why)
{
	char url[MAP_HOST + MAP_PATH + 32];
	if (m->is_foreground)
		return why_set(why, R_PORT_TAKEN, "port %d: a foreground session publishes there, and only its own end takes it off",
			m->port);
	if (by_session) {
		why_set(why, R_PORT_TAKEN, "port %d: %s is there, and what lasts as long as a command needs a port of its own", m->port,
			mapping_url(m, url, sizeof url));
		return why_hint(why, "choose another --port, or: ts-serve --off %d", m->port);
	}
	why_set(why, R_PORT_TAKEN, "%s is published there already, and not by us: %.200s", mapping_url(m, url, sizeof url), m->target);
	return why_hint(why, "choose another --port or --path, or overwrite it with -f");
}

enum { AGAIN = 1 };

/* For as long as a port has neither a mapping nor its shadow, if somebody listens behind it: then that would be open. */
static int raise_shields(const struct serve *s, int port, int *raised, long long deadline, struct why *why)
{
	if (!is_narrow(s) || *raised || inbound_listener(s->node->ws.run.daemon.pid, port) == INBOUND_NOBODY)
		return 0;
	*raised = 1;
	/* tailscaled does not raise them while Funnel is on: then the port is open for the moment between two writes */
	return inbound_close(api_of(s), deadline, why) < 0 && !strstr(why->msg, "Funnel") ? -1 : 0;
}

static int funnelled(int port, struct why *why)
{
	why_set(why, R_PORT_TAKEN, "port %d: Funnel opens it to the whole internet", port);
	return why_hint(why, "choose another --port, or end that with -f");
}

/* Writes new in place of old, whose ETag is given. Where a port changes its kind only the half of it, without that port:
 * AGAIN, from what is there then, since others may have come between. */
static int put(const struct serve *s, const struct mapping *list, int count, const struct buf *old, const struct buf *new,
	const char *etag, int *raised, long long deadline, struct why *why)
{
	struct buf between = {0};
	int n = mapping_between(&between, buf_cstr(old), old->len, buf_cstr(new), new->len, why), rc = n < 0 ? -1 : 0;
	for (int i = 0; n > 0 && i < count && !rc; i++)
		rc = raise_shields(s, list[i].port, raised, deadline, why);
	if (!rc)
		rc = localapi_serve_put(api_of(s), n ? buf_cstr(&between) : buf_cstr(new), etag, deadline, why);
	buf_free(&between);
	return rc < 0 ? -1 : n ? AGAIN : 0;
}

/* The shields go down again, with every shadow in its place, also where one of us was killed half-way; extra is a port
 * that had one, or 0. */
static int lower(const struct serve *s, int extra, long long deadline, struct why *why)
{
	const struct ws_spec *spec = &s->node->ws.spec;
	int needs[NEEDS], n = inbound_needs(spec, probe_proxy(spec->control), needs, NEEDS - 1);
	if (extra)
		needs[n++] = extra;
	return inbound_open(api_of(s), spec, needs, n, deadline, why);
}

static void pause_a_bit(int try)
{
	unsigned r = 0;
	(void)!getrandom(&r, sizeof r, GRND_NONBLOCK);
	poll(NULL, 0, 2 + r % (5 << (try < 6 ? try : 6)));
}

/* One change of what is served: tried until nobody came between, then settled. */
struct change {
	int (*once)(const struct serve *, struct change *, long long deadline, struct why *);	/* 0, -1, AGAIN */
	int (*settle)(const struct serve *, struct change *, long long deadline, struct why *);
	const struct mapping *list;
	int n;
	const char *session;
	int force;
	struct buf record;	/* what is ours, as the workspace remembers it */
	int raised;		/* the shields */
};

static int change(const struct serve *s, struct change *c, long long deadline, struct why *why)
{
	sigset_t signals;
	struct why low = {0};
	int held = lock(s, deadline, why), rc = held == -1 ? -1 : 0;
	hold_signals(&signals);
	load(s, &c->record);
	for (int try = 0; rc != -1; try++) {
		rc = c->once(s, c, deadline, why);
		if (rc == 0 || (rc < 0 && why->reason != R_BUSY) || try == TRIES || clock_passed(deadline))
			break;
		if (rc < 0)
			pause_a_bit(try);
		rc = AGAIN;
	}
	if (rc == AGAIN)
		rc = why_set(why, R_BUSY, "port %d: others change it all the time", c->list->port);
	if (rc < 0 && why->reason == R_BUSY)
		why->status = EXIT_RETRY;
	if (held != -1 && is_narrow(s) && lower(s, 0, clock_ms() + RESTORE_MS, &low) < 0 && !rc) {
		*why = low;
		rc = -1;
	}
	if (!rc)
		rc = c->settle(s, c, deadline, why);
	unlock(held);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	buf_free(&c->record);
	return rc;
}

static int publish_once(const struct serve *s, struct change *ch, long long deadline, struct why *why)
{
	const struct mapping *m = ch->list;
	const char *session = ch->session;
	struct buf old = {0}, freed = {0}, new = {0};
	static struct conflict c;
	char etag[80];
	c = (struct conflict){.want = m, .record = &ch->record, .web_ok = !session};
	int rc = localapi_serve_get(api_of(s), &old, etag, deadline, why);
	if (!rc && mapping_each(buf_cstr(&old), old.len, look_conflict, &c, why) < 0)
		rc = -1;
	int funnel = rc < 0 ? 0 : mapping_has_funnel(buf_cstr(&old), old.len, m->port, why);
	if (!rc && c.is_found && (!ch->force || c.found.is_foreground))
		rc = taken(&c.found, session != NULL, why);
	else if (!rc && funnel && !ch->force)
		rc = funnelled(m->port, why);
	int was = 0, had_shadow = c.shadow;
	if (!rc && !had_shadow && !session)
		in_record(&ch->record, m, &was);
	if (!rc && !session)
		rc = remember(s, &ch->record, m, had_shadow || was, why);
	/* a shadow, another kind, or Funnel: the port begins anew */
	if (!rc && (c.shadow || funnel || c.other_kind || (c.is_found && (c.found.kind != m->kind || session))))
		rc = mapping_free_port(&freed, buf_cstr(&old), old.len, m->port, why);
	else if (!rc)
		buf_add(&freed, buf_cstr(&old), old.len);
	if (!rc)
		rc = mapping_set(&new, freed.p, freed.len, m, session, why);
	/* a session's port has to be free before it comes */
	int is_detour = !rc && session && freed.len != old.len;
	if (is_detour && c.shadow)
		rc = raise_shields(s, m->port, &ch->raised, deadline, why);
	if (is_detour && !rc)
		rc = localapi_serve_put(api_of(s), freed.p, etag, deadline, why) < 0 ? -1 : AGAIN;
	else if (!rc)
		rc = put(s, m, 1, &old, &new, etag, &ch->raised, deadline, why);
	buf_free(&old);
	buf_free(&freed);
	buf_free(&new);
	return rc;
}

struct look { const struct mapping *want; int session; int found; };

static int look_back(const struct mapping *m, void *ctx)
{
	struct look *l = ctx;
	l->found |= mapping_same_place(m, l->want) && str_eq(m->target, l->want->target) && m->is_foreground == l->session;
	return l->found;
}

static int read_back(const struct serve *s, struct change *ch, long long deadline, struct why *why)
{
	struct look l = {ch->list, ch->session != NULL, 0};
	int rc = serve_each(s, look_back, &l, deadline, why);
	return rc < 0 ? -1 : l.found ? 0 : why_set(why, R_BUSY, "port %d: somebody took it off again", ch->list->port);
}

int serve_publish(const struct serve *s, const struct mapping *m, const char *session, int force, long long deadline,
	struct why *why)
{
	struct change ch = {publish_once, read_back, .list = m, .n = 1, .session = session, .force = force};
	return change(s, &ch, deadline, why);
}

static int withdraw_once(const struct serve *s, struct change *ch, long long deadline, struct why *why)
{
	const struct mapping *list = ch->list;
	struct buf old = {0}, doc = {0}, next = {0};
	char etag[80];
	int rc = localapi_serve_get(api_of(s), &old, etag, deadline, why);
	if (!rc)
		buf_add(&doc, buf_cstr(&old), old.len);
	for (int i = 0; i < ch->n && !rc; i++) {
		int had_shadow = 0, ours = in_record(&ch->record, &list[i], &had_shadow);
		if (!ours && !ch->force)
			rc = taken(&list[i], 0, why);
		if (!rc)
			rc = mapping_unset(&next, doc.p, doc.len, &list[i], why);
		if (!rc && is_narrow(s) && (had_shadow || belongs(s, list[i].port))) {
			buf_free(&doc);
			doc = next;
			next = (struct buf){0};
			rc = mapping_shadow(&next, doc.p, doc.len, list[i].port, why);
		}
		buf_free(&doc);
		doc = next;
		next = (struct buf){0};
	}
	if (!rc && (doc.len != old.len || memcmp(doc.p, old.p, old.len)))
		rc = put(s, list, ch->n, &old, &doc, etag, &ch->raised, deadline, why);
	buf_free(&old);
	buf_free(&doc);
	return rc;
}

static int forget_all(const struct serve *s, struct change *ch, long long deadline, struct why *why)
{
	(void)deadline;
	for (int i = 0; i < ch->n; i++)
		if (forget(s, &ch->record, &ch->list[i], why) < 0)
			return -1;
	return 0;
}

int serve_withdraw(const struct serve *s, const struct mapping *list, int n, int force, long long deadline, struct why *why)
{
	struct change ch = {withdraw_once, forget_all, .list = list, .n = n, .force = force};
	return change(s, &ch, deadline, why);
}

/* ---- sessions ---- */

static int look_session(const struct mapping *m, void *ctx)
{
	return m->is_foreground && m->port == *(int *)ctx;
}

/* Ends the session and closes what it had opened. */
static int end_session(const struct serve *s, int fd, int port, struct why *why)
{
	long long deadline = clock_ms() + RESTORE_MS;
	int narrow = belongs(s, port), raised = 0, rc = 0;
	if (narrow)
		rc = raise_shields(s, port, &raised, deadline, why);
	if (fd >= 0)
		close(fd);
	while (!rc && serve_each(s, look_session, &port, deadline, why) > 0 && !clock_passed(deadline))
		poll(NULL, 0, 5);
	if (narrow && !rc)
		rc = lower(s, port, deadline, why);
	return rc;
}

/* The child: until the parent's end of the pipe is closed, or tailscaled ends the session. */
static _Noreturn void guard(const struct serve *s, int port, int pipe, int fd, void (*tell)(const struct why *))
{
	struct pollfd fds[] = {{.fd = pipe, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	struct why why = {0};
	char sink[8192];
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP};
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	clock_uncancel();
	http_forget();
	close(0);
	close(1);
	open("/dev/null", O_RDWR);
	dup2(0, 1);
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		if (!fds[1].revents)
			continue;
		ssize_t n = read(fd, sink, sizeof sink);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			why_set(&why, R_LOST, "not published any more: tailscaled ended the session, or somebody wrote over it");
			tell(&why);
			fds[1].fd = -1;
		}
	}
	int rc = end_session(s, fd, port, &why);
	if (rc < 0)
		tell(&why);
	_exit(rc < 0);
}

int serve_hold(const struct serve *s, int port, struct serve_hold *h, void (*tell)(const struct why *), long long deadline,
	struct why *why)
{
	int ends[2];
	*h = (struct serve_hold){.pid = -1, .pipe = -1};
	int fd = bus_session(api_of(s), h->session, deadline, why);
	if (fd < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		close(fd);
		return why_errno(why, "pipe:");
	}
	fflush(stdout);
	h->pid = fork();
	if (h->pid == 0) {
		close(ends[1]);
		guard(s, port, ends[0], fd, tell);
	}
	close(ends[0]);
	close(fd);
	h->pipe = ends[1];
	if (h->pid > 0)
		return 0;
	close(ends[1]);
	return why_errno(why, "fork:");
}

int serve_release(const struct serve *s, int port, struct serve_hold *h, struct why *why)
{
	int status = -1;
	close(h->pipe);
	while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? 0 : end_session(s, -1, port, why);	/* somebody killed it */
}

/* ---- the proof ---- */

static int enough(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return 1;
}

/* Before 1.102 (seen with 1.80) a node without TUN does not get through to itself. */
static int is_deaf_to_itself(const struct node_status *st)
{
	int major, minor;
	return !st->tun && sscanf(st->version, "%d.%d", &major, &minor) == 2 && major == 1 && minor < 102;
}

int serve_fetch(const struct serve *s, const struct mapping *m, int *status, long long deadline, struct why *why)
{
	struct dial_answer early;
	struct http_res res = {0};
	int half_close;
	char url[MAP_HOST + MAP_PATH + 32];
	const char *ip = *s->st->ip4 ? s->st->ip4 : s->st->ip6;
	*status = 0;
	int deaf = is_deaf_to_itself(s->st);
	int fd = localapi_dial(api_of(s), ip, m->port, &early, &half_close, deaf ? clock_ms() + DEAF_MS : deadline, why);
	if (fd < 0)
		return deaf && (why->reason == R_DEADLINE || why->reason == R_FILTERED || why->reason == R_NO_PATH) ? 1 : -1;
	if (m->kind == MAP_TCP) {
		close(fd);
		return 0;
	}
	/* of a TLS port only the handshake counts: what answers behind it need not be HTTP */
	if (m->kind == MAP_TLS_TCP)
		str_fmt(url, sizeof url, "https://%s:%d/", m->host, m->port);
	else
		mapping_url(m, url, sizeof url);
	struct http_req req = {
		.url = url, .stream = fd, .deadline = m->kind == MAP_TLS_TCP ? clock_ms() + 3000 : deadline, .sink = enough, .max = 1 << 20,
		.flags = HTTP_FRESH | HTTP_NO_PROXY,
	};
	int rc = http_do(&req, &res, why);
	*status = res.status;
	if (rc < 0 && (res.status || m->kind == MAP_TLS_TCP) && res.fault != HTTP_TLS && res.fault != HTTP_TLS_TIME)
		rc = 0;		/* it answers; how much more it has to say does not matter */
	if (rc < 0 && res.fault == HTTP_TLS) {
		char msg[300];
		str_copy(msg, sizeof msg, why->msg);
		why_set(why, R_CERT_UNTRUSTED, "%s", msg);
	}
	http_res_free(&res);
	close(fd);
	return rc;
}

static int ask_as(const char *url, const char *login, struct http_res *res, long long deadline)
{
	char header[128];
	struct why ignored;
	str_fmt(header, sizeof header, "Tailscale-User-Login: %s", login ? login : "");
	const char *const headers[] = {header, NULL};
	struct http_req req = {
		.url = url, .headers = login ? headers : NULL, .deadline = deadline, .max = 1 << 18, .flags = HTTP_FRESH | HTTP_NO_PROXY,
	};
	return http_do(&req, res, &ignored);
}

int serve_is_gullible(int port, const char *path, long long deadline)
{
	struct http_res nobody = {0}, somebody = {0};
	unsigned r[2] = {0};
	char url[MAP_PATH + 40], login[64];
	(void)!getrandom(r, sizeof r, 0);
	str_fmt(login, sizeof login, "nobody-%08x%08x@moorbox.invalid", r[0], r[1]);
	str_fmt(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
	int rc = 0;
	if (ask_as(url, NULL, &nobody, deadline) == 0 && ask_as(url, login, &somebody, deadline) == 0)
		rc = strstr(buf_cstr(&somebody.body), login) != NULL || (nobody.status >= 300 && somebody.status / 100 == 2);
	http_res_free(&nobody);
	http_res_free(&somebody);
	return rc;
}
