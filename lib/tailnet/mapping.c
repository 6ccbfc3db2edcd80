/* mapping - what tailscaled publishes, as a JSON document */
#include "mapping.h"
#include "alloc.h"
#include "json.h"
#include "rec.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>

#define SHADOW "127.0.0.1:1"

enum { MEMBERS = 4096 };

static const char *const kinds[] = {"https", "http", "tcp", "tls-tcp"};

const char *mapping_kind(enum map_kind kind)
{
	return kinds[kind];
}

int mapping_is_web(enum map_kind kind)
{
	return kind == MAP_HTTPS || kind == MAP_HTTP;
}

char *mapping_url(const struct mapping *m, char *dst, size_t size)
{
	static const char *const schemes[] = {"https", "http", "tcp", "tls"};
	char port[16] = "";
	if (!mapping_is_web(m->kind) || m->port != (m->kind == MAP_HTTPS ? 443 : 80))
		str_fmt(port, sizeof port, ":%d", m->port);
	str_fmt(dst, size, "%s://%s%s%s", schemes[m->kind], m->host, port,
		!mapping_is_web(m->kind) || str_eq(m->path, "/") ? "" : m->path);
	return dst;
}

int mapping_same_place(const struct mapping *a, const struct mapping *b)
{
	return a->port == b->port && a->kind == b->kind && str_eq(a->path, b->path);
}

static int unknown_shape(struct why *why)
{
	return why_set(why, R_API_ERROR, "serve-config: tailscaled's document has an unknown shape");
}

/* Every member that we look into has to be an object, or not there; nobody has thousands of ports. */
static int is_object(const struct json *j, int v)
{
	return json_is_null(j, v) || (json_kind(j, v) == JSON_OBJ && json_count(j, v) <= MEMBERS);
}

/* tailscaled says null when nothing is configured. */
static int open_doc(struct json *j, const char *text, size_t len, struct why *why)
{
	static const char *const parts[] = {"TCP", "Web", "AllowFunnel", "Foreground"};
	if (!len || json_parse(j, text, len, why) < 0)
		return len ? -1 : unknown_shape(why);
	if (json_is_null(j, 0)) {
		json_free(j);
		return json_parse(j, "{}", 2, why);
	}
	int good = json_kind(j, 0) == JSON_OBJ;
	for (size_t i = 0; good && i < sizeof parts / sizeof *parts; i++)
		good = is_object(j, json_get(j, 0, parts[i]));
	for (struct json_iter s = json_each(j, json_get(j, 0, "Foreground")); good && json_next(&s); )
		good = is_object(j, s.value) && is_object(j, json_get(j, s.value, "TCP")) && is_object(j, json_get(j, s.value, "Web"));
	if (good)
		return 0;
	json_free(j);
	return unknown_shape(why);
}

/* ---- reading ---- */

static int truth(const struct json *j, int obj, const char *key)
{
	return json_is_true(j, obj, key);
}

static enum map_kind kind_of(const struct json *j, int tcp)
{
	char name[4];
	if (truth(j, tcp, "HTTPS"))
		return MAP_HTTPS;
	if (truth(j, tcp, "HTTP"))
		return MAP_HTTP;
	int tls = json_get(j, tcp, "TerminateTLS");
	return tls < 0 || json_str(j, tls, name, sizeof name) == 0 ? MAP_TCP : MAP_TLS_TCP;
}

/* A text of any length; what does not fit is cut, and then equals nothing of ours. */
static void cut_text(const struct json *j, int v, const char *prefix, char *dst, size_t size)
{
	char *whole = json_dup(j, v, NULL);
	str_fmt(dst, size, "%s%s", prefix, whole ? whole : "");
	free(whole);
}

static void read_target(const struct json *j, int handler, struct mapping *m)
{
	static const char *const fields[][2] = {{"Proxy", ""}, {"Path", ""}, {"Text", "text:"}, {"Redirect", "redirect:"}};
	*m->target = 0;
	for (size_t i = 0; i < 4 && !*m->target; i++)
		if (json_get(j, handler, fields[i][0]) >= 0)
			cut_text(j, json_get(j, handler, fields[i][0]), fields[i][1], m->target, sizeof m->target);
}

/* In the one way that tailscaled writes it. */
static int port_of(const char *digits)
{
	long long n;
	return *digits < '1' || *digits > '9' || str_num(digits, 1, 65535, &n) < 0 ? -1 : (int)n;
}

static int read_port(const struct json *j, int key, int *port)
{
	char digits[8];
	if (json_str(j, key, digits, sizeof digits) <= 0)
		return -1;
	*port = port_of(digits);
	return *port < 0 ? -1 : 0;
}

/* Of a key given twice only the last one counts, as in json_get; null is nothing. */
static int counts(const struct json *j, int obj, const struct json_iter *i)
{
	char key[MAP_PATH + MAP_HOST];
	return json_str(j, i->key, key, sizeof key) >= 0 && json_get(j, obj, key) == i->value;
}

/* "HOST:PORT", a key of Web. */
static int read_web_key(const struct json *j, int key, char host[static MAP_HOST], int *port)
{
	char text[MAP_HOST + 8];
	if (json_str(j, key, text, sizeof text) <= 0)
		return -1;
	char *colon = strrchr(text, ':');
	if (!colon || (*port = port_of(colon + 1)) < 0)
		return -1;
	*colon = 0;
	return str_copy(host, MAP_HOST, text) < 0 ? -1 : 0;
}

struct walk { int (*fn)(const struct mapping *, void *); void *ctx; int funnel; };

static int walk_web(const struct json *j, int root, struct mapping *m, const struct walk *w)
{
	int rc = 0, found = 0, web = json_get(j, root, "Web");
	for (struct json_iter i = json_each(j, web); !rc && json_next(&i); ) {
		int port;
		if (read_web_key(j, i.key, m->host, &port) < 0 || port != m->port || !counts(j, web, &i))
			continue;
		char key[MAP_HOST + 8];
		str_fmt(key, sizeof key, "%s:%d", m->host, port);
		m->is_funnel = truth(j, w->funnel, key);
		int handlers = json_get(j, i.value, "Handlers");
		for (struct json_iter h = json_each(j, handlers); !rc && json_next(&h); ) {
			if (!counts(j, handlers, &h))
				continue;
			cut_text(j, h.key, "", m->path, sizeof m->path);
			read_target(j, h.value, m);
			found = 1;
			rc = w->fn(m, w->ctx);
		}
	}
	if (rc || found)
		return rc;
	*m->host = *m->path = *m->target = 0;	/* the port is taken, though nothing is there */
	return w->fn(m, w->ctx);
}

static int walk_root(const struct json *j, int root, int is_foreground, const struct walk *w)
{
	static struct mapping m;
	int rc = 0, tcp = json_get(j, root, "TCP");
	for (struct json_iter i = json_each(j, tcp); !rc && json_next(&i); ) {
		memset(&m, 0, sizeof m);
		m.is_foreground = is_foreground;
		if (read_port(j, i.key, &m.port) < 0 || !counts(j, tcp, &i))
			continue;
		m.kind = kind_of(j, i.value);
		if (mapping_is_web(m.kind)) {
			rc = walk_web(j, root, &m, w);
			continue;
		}
		json_text(j, i.value, "TerminateTLS", m.host, sizeof m.host);
		cut_text(j, json_get(j, i.value, "TCPForward"), "", m.target, sizeof m.target);
		m.is_shadow = m.kind == MAP_TCP && str_eq(m.target, SHADOW);
		for (struct json_iter f = json_each(j, w->funnel); json_next(&f); ) {
			char host[MAP_HOST];
			int port;
			m.is_funnel |= read_web_key(j, f.key, host, &port) == 0 && port == m.port && json_bool(j, f.value) == 1;
		}
		rc = w->fn(&m, w->ctx);
	}
	return rc;
}

int mapping_each(const char *text, size_t len, int (*fn)(const struct mapping *, void *), void *ctx, struct why *why)
{
	struct json j;
	if (open_doc(&j, text, len, why) < 0)
		return -1;
	struct walk w = {fn, ctx, json_get(&j, 0, "AllowFunnel")};
	int rc = walk_root(&j, 0, 0, &w);
	for (struct json_iter s = json_each(&j, json_get(&j, 0, "Foreground")); !rc && json_next(&s); ) {
		w.funnel = json_get(&j, s.value, "AllowFunnel");
		rc = walk_root(&j, s.value, 1, &w);
	}
	json_free(&j);
	return rc;
}

/* ---- editing ---- */

static int begin(struct buf *dst, const char *text, size_t len, struct why *why)
{
	struct json j;
	if (open_doc(&j, text, len, why) < 0)
		return -1;
	buf_add(dst, j.text, j.len);
	json_free(&j);
	return 0;
}

/* One value of the document in place. */
static int edit(struct buf *doc, const char *const *keys, const char *raw, struct why *why)
{
	struct json j;
	struct buf next = {0};
	if (json_parse(&j, doc->p, doc->len, why) < 0)
		return -1;
	int rc = json_set_keys(&next, &j, keys, raw);
	json_free(&j);
	if (rc < 0 || next.over) {
		buf_free(&next);
		return unknown_shape(why);
	}
	buf_free(doc);
	*doc = next;
	return 0;
}

static int members(const struct buf *doc, const char *const *keys, struct why *why)
{
	struct json j;
	if (json_parse(&j, doc->p, doc->len, why) < 0)
		return -1;
	int v = 0;
	for (; *keys; keys++)
		v = json_get(&j, v, *keys);
	int n = v < 0 ? -2 : json_count(&j, v);
	json_free(&j);
	return n;
}

/* An object that an edit has left empty goes; tailscaled itself leaves it out. */
static int prune(struct buf *doc, const char *const *keys, struct why *why)
{
	int n = members(doc, keys, why);
	return n == -1 ? -1 : n ? 0 : edit(doc, keys, NULL, why);
}

static void write_handler(struct buf *b, const char *target)
{
	int is_text = str_starts(target, "text:");
	json_w_obj(b, NULL);
	json_w_str(b, is_text ? "Text" : *target == '/' ? "Path" : "Proxy", target + (is_text ? 5 : 0));
	json_w_end(b, '}');
}

static void write_tcp(struct buf *b, const struct mapping *m)
{
	json_w_obj(b, NULL);
	if (mapping_is_web(m->kind)) {
		json_w_bool(b, m->kind == MAP_HTTPS ? "HTTPS" : "HTTP", 1);
	} else {
		json_w_str(b, "TCPForward", m->target);
		if (m->kind == MAP_TLS_TCP)
			json_w_str(b, "TerminateTLS", m->host);
	}
	json_w_end(b, '}');
}

/* Is the port's entry that of such a mapping already? Then it stays as it is. */
static int has_kind(const struct buf *doc, int n, const char *const *keys, enum map_kind kind)
{
	struct json j;
	struct why ignored;
	int v = 0, same = 0;
	if (json_parse(&j, doc->p, doc->len, &ignored) < 0)
		return 0;
	for (int i = 0; i < n; i++)
		v = json_get(&j, v, keys[i]);
	same = v >= 0 && mapping_is_web(kind) && kind_of(&j, v) == kind;
	json_free(&j);
	return same;
}

int mapping_set(struct buf *dst, const char *text, size_t len, const struct mapping *m, const char *session, struct why *why)
{
	char port[8], web[MAP_HOST + 8];
	struct buf tcp = {0}, handler = {0};
	const char *tcp_keys[] = {"Foreground", session, "TCP", port, NULL};
	const char *web_keys[] = {"Foreground", session, "Web", web, "Handlers", m->path, NULL};
	int skip = session ? 0 : 2;
	str_fmt(port, sizeof port, "%d", m->port);
	str_fmt(web, sizeof web, "%s:%d", m->host, m->port);
	write_tcp(&tcp, m);
	write_handler(&handler, m->target);
	int rc = begin(dst, text, len, why);
	if (!rc && !has_kind(dst, 4 - skip, tcp_keys + skip, m->kind))
		rc = edit(dst, tcp_keys + skip, tcp.p, why);
	if (!rc && mapping_is_web(m->kind))
		rc = edit(dst, web_keys + skip, handler.p, why);
	buf_free(&tcp);
	buf_free(&handler);
	return rc;
}

/* Does any name have something on that port? */
static int web_left(const struct buf *doc, int port, struct why *why)
{
	struct json j;
	int left = 0;
	if (json_parse(&j, doc->p, doc->len, why) < 0)
		return -1;
	for (struct json_iter i = json_each(&j, json_get(&j, 0, "Web")); json_next(&i); ) {
		char host[MAP_HOST];
		int p;
		left |= read_web_key(&j, i.key, host, &p) == 0 && p == port;
	}
	json_free(&j);
	return left;
}

static int drop_web(struct buf *doc, const char *key, struct why *why)
{
	const char *const web[] = {"Web", key, NULL}, *const funnel[] = {"AllowFunnel", key, NULL};
	if (edit(doc, web, NULL, why) < 0 || edit(doc, funnel, NULL, why) < 0)
		return -1;
	return prune(doc, (const char *const[]){"AllowFunnel", NULL}, why);
}

static int drop_tcp(struct buf *doc, const char *port, struct why *why)
{
	if (edit(doc, (const char *const[]){"TCP", port, NULL}, NULL, why) < 0)
		return -1;
	if (prune(doc, (const char *const[]){"Web", NULL}, why) < 0)
		return -1;
	return prune(doc, (const char *const[]){"TCP", NULL}, why);
}

static int unset_web(struct buf *doc, const struct mapping *m, const char *port, struct why *why)
{
	char web[MAP_HOST + 8];
	const char *const handlers[] = {"Web", web, "Handlers", NULL}, *const handler[] = {"Web", web, "Handlers", m->path, NULL};
	str_fmt(web, sizeof web, "%s:%d", m->host, m->port);
	int n = members(doc, handlers, why);
	if (n == -1)
		return -1;
	if (n >= 0 && edit(doc, handler, NULL, why) < 0)
		return -1;
	if (n >= 0 && members(doc, handlers, why) == 0 && drop_web(doc, web, why) < 0)
		return -1;
	int left = web_left(doc, m->port, why);
	return left < 0 ? -1 : left ? 0 : drop_tcp(doc, port, why);
}

int mapping_unset(struct buf *dst, const char *text, size_t len, const struct mapping *m, struct why *why)
{
	char port[8];
	str_fmt(port, sizeof port, "%d", m->port);
	if (begin(dst, text, len, why) < 0)
		return -1;
	return mapping_is_web(m->kind) && *m->host ? unset_web(dst, m, port, why) : drop_tcp(dst, port, why);
}

/* The first key of Web or AllowFunnel on that port; 0 when there is none. */
static int find_key(const struct buf *doc, const char *part, int port, char key[static MAP_HOST + 8], struct why *why)
{
	struct json j;
	int found = 0;
	if (json_parse(&j, doc->p, doc->len, why) < 0)
		return -1;
	for (struct json_iter i = json_each(&j, json_get(&j, 0, part)); !found && json_next(&i); ) {
		char host[MAP_HOST];
		int p;
		found = read_web_key(&j, i.key, host, &p) == 0 && p == port && json_str(&j, i.key, key, MAP_HOST + 8) > 0;
	}
	json_free(&j);
	return found;
}

int mapping_free_port(struct buf *dst, const char *text, size_t len, int port, struct why *why)
{
	static const char *const parts[] = {"Web", "AllowFunnel"};
	char key[MAP_HOST + 8], digits[8];
	int found;
	str_fmt(digits, sizeof digits, "%d", port);
	if (begin(dst, text, len, why) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		while ((found = find_key(dst, parts[i], port, key, why)))
			if (found < 0 || drop_web(dst, key, why) < 0)
				return -1;
	return drop_tcp(dst, digits, why);
}

static int look_port(const struct mapping *m, void *ctx)
{
	return m->port == *(int *)ctx;
}

int mapping_has_funnel(const char *text, size_t len, int port, struct why *why)
{
	struct json j;
	int found = 0;
	if (open_doc(&j, text, len, why) < 0)
		return -1;
	for (struct json_iter i = json_each(&j, json_get(&j, 0, "AllowFunnel")); json_next(&i); ) {
		char host[MAP_HOST];
		int p;
		found |= read_web_key(&j, i.key, host, &p) == 0 && p == port && json_bool(&j, i.value) == 1;
	}
	json_free(&j);
	return found;
}

int mapping_shadow(struct buf *dst, const char *text, size_t len, int port, struct why *why)
{
	struct mapping *m = xalloc(sizeof *m);
	*m = (struct mapping){.kind = MAP_TCP, .port = port, .target = SHADOW};
	int taken = mapping_each(text, len, look_port, &port, why);
	int rc = taken < 0 ? -1 : taken ? begin(dst, text, len, why) : mapping_set(dst, text, len, m, NULL, why);
	free(m);
	return rc;
}

int mapping_between(struct buf *dst, const char *old, size_t old_len, const char *new, size_t new_len, struct why *why)
{
	struct json a, b;
	int changed = 0, rc = 0;
	if (begin(dst, new, new_len, why) < 0 || open_doc(&a, old, old_len, why) < 0)
		return -1;
	if (open_doc(&b, new, new_len, why) < 0) {
		json_free(&a);
		return -1;
	}
	for (struct json_iter i = json_each(&b, json_get(&b, 0, "TCP")); !rc && json_next(&i); ) {
		char port[8];
		if (json_str(&b, i.key, port, sizeof port) <= 0)
			continue;
		int was = json_get(&a, json_get(&a, 0, "TCP"), port);
		if (was < 0 || kind_of(&a, was) == kind_of(&b, i.value))
			continue;
		struct buf freed = {0};	/* without its paths as well: a port of theirs alone would get a shadow beside them */
		changed++;
		rc = mapping_free_port(&freed, dst->p, dst->len, atoi(port), why);
		buf_free(dst);
		*dst = freed;
	}
	json_free(&a);
	json_free(&b);
	return rc < 0 ? -1 : changed;
}
