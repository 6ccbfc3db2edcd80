/* forwards - the ts-forward processes of a workspace, by the records that they leave */
#include "forwards.h"
#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "json.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_MAX = 64 << 10 };

int forwards_dir(const struct ws_root *root, const struct ws *ws, int create, struct why *why)
{
	return file_dir_at(ws ? ws->dir : root->fd, ws ? "forwards" : ".forwards", create, why);
}

static void record_name(int pid, char name[static 32])
{
	str_fmt(name, 32, "%d.json", pid);
}

static void drop(int dir, const char *name)
{
	unlinkat(dir, name, 0);
}

void forwards_drop(int dir, int pid)
{
	char name[32];
	record_name(pid, name);
	drop(dir, name);
}

/* ---- reading ---- */

static long long number(const struct json *j, int obj, const char *key)
{
	long long n = 0;
	json_num(j, json_get(j, obj, key), &n);
	return n;
}

static void load(const struct json *j, struct forwards *f)
{
	char start[24];
	memset(f, 0, sizeof *f);
	f->id.pid = (int)number(j, 0, "pid");
	json_text(j, 0, "start", start, sizeof start);
	f->id.start = strtoull(start, NULL, 10);
	json_text(j, 0, "boot", f->id.boot, sizeof f->id.boot);
	json_text(j, 0, "proxy", f->proxy, sizeof f->proxy);
	f->background = json_is_true(j, 0, "background");
	for (struct json_iter i = json_each(j, json_get(j, 0, "forwards")); json_next(&i) && f->n < FORWARDS_MAX; f->n++) {
		struct forward *one = &f->f[f->n];
		json_text(j, i.value, "address", one->address, sizeof one->address);
		json_text(j, i.value, "path", one->path, sizeof one->path);
		json_text(j, i.value, "host", one->host, sizeof one->host);
		one->port = (int)number(j, i.value, "port");
		one->to = (int)number(j, i.value, "to");
	}
}

struct each {
	int dir, count, stop;
	int (*fn)(const struct forwards *, void *);
	void *ctx;
	struct forwards one;
};

/* Only a name of ours is read; what is broken or dead counts as not there. */
static int each_name(const char *name, void *ctx)
{
	struct each *e = ctx;
	struct buf b = {0};
	struct json j;
	struct why ignored;
	char want[32];
	if (e->stop || !str_ends(name, ".json"))
		return 0;
	if (file_read(e->dir, name, &b, RECORD_MAX, &ignored) == 0 && json_parse(&j, buf_cstr(&b), b.len, &ignored) == 0) {
		load(&j, &e->one);
		json_free(&j);
		record_name(e->one.id.pid, want);
		if (e->one.id.pid > 0 && str_eq(name, want) && proc_alive(&e->one.id) == 1) {
			e->count++;
			e->stop = e->fn ? e->fn(&e->one, e->ctx) : 0;
		}
	}
	buf_wipe(&b);		/* it may hold a credential */
	return 0;
}

int forwards_each(int dir, int (*fn)(const struct forwards *, void *), void *ctx)
{
	struct each *e = xalloc(sizeof *e);
	*e = (struct each){ .dir = dir, .fn = fn, .ctx = ctx };
	file_each(dir, each_name, e);
	int rc = e->stop ? e->stop : e->count;
	memset(e, 0, sizeof *e);
	free(e);
	return rc;
}

/* ---- writing ---- */

static int sweep(const char *name, void *ctx)
{
	int dir = *(int *)ctx;
	struct proc_id id;
	struct why ignored;
	long long pid;
	char num[16];
	if (str_copy(num, sizeof num, name) < 0)
		return 0;
	num[strcspn(num, ".")] = 0;
	if (str_num(num, 1, 1 << 30, &pid) == 0 && proc_id_of((int)pid, &id, &ignored) < 0 && errno == ESRCH)
		drop(dir, name);
	return 0;
}

int forwards_save(int dir, const struct forwards *f, struct why *why)
{
	struct buf b = {0};
	char name[32], start[24];
	file_each(dir, sweep, &dir);
	str_fmt(start, sizeof start, "%llu", f->id.start);
	json_w_obj(&b, NULL);
	json_w_num(&b, "version", 1);
	json_w_num(&b, "pid", f->id.pid);
	json_w_str(&b, "start", start);
	json_w_str(&b, "boot", f->id.boot);
	json_w_bool(&b, "background", f->background);
	if (*f->proxy)
		json_w_str(&b, "proxy", f->proxy);
	json_w_arr(&b, "forwards");
	for (int i = 0; i < f->n; i++) {
		json_w_obj(&b, NULL);
		json_w_str(&b, "address", f->f[i].address);
		json_w_num(&b, "port", f->f[i].port);
		if (*f->f[i].path)
			json_w_str(&b, "path", f->f[i].path);
		json_w_str(&b, "host", f->f[i].host);
		json_w_num(&b, "to", f->f[i].to);
		json_w_end(&b, '}');
	}
	json_w_end(&b, ']');
	json_w_end(&b, '}');
	buf_ch(&b, '\n');
	record_name(f->id.pid, name);
	int rc = file_write_fast(dir, name, buf_cstr(&b), b.len, 0600, why);
	buf_wipe(&b);
	return rc;
}

char *forwards_text(const struct forward *f, char *dst, size_t size)
{
	char to[280];
	if (*f->host)
		str_fmt(to, sizeof to, strchr(f->host, ':') ? "[%s]:%d" : "%s:%d", f->host, f->to);
	else
		str_copy(to, sizeof to, "proxy");
	if (*f->path)
		str_fmt(dst, size, "unix:%s>%s", f->path, to);
	else
		str_fmt(dst, size, strchr(f->address, ':') ? "[%s]:%d>%s" : "%s:%d>%s", f->address, f->port, to);
	return dst;
}

struct list { char *dst; size_t size, len; };

static int add_one(const struct forwards *f, void *ctx)
{
	struct list *l = ctx;
	for (int i = 0; i < f->n; i++) {
		char one[800];
		forwards_text(&f->f[i], one, sizeof one);
		size_t n = strlen(one) + (l->len > 0);
		if (l->len + n >= l->size)
			return 1;
		str_fmt(l->dst + l->len, l->size - l->len, "%s%s", l->len ? "," : "", one);
		l->len += n;
	}
	return 0;
}

char *forwards_list(int dir, char *dst, size_t size)
{
	struct list l = { dst, size, 0 };
	*dst = 0;
	forwards_each(dir, add_one, &l);
	return dst;
}

/* ---- ending ---- */

struct ending { int port, n; struct proc_id *id; };

static int note(const struct forwards *f, void *ctx)
{
	struct ending *e = ctx;
	int is_meant = !e->port;
	for (int i = 0; i < f->n; i++)
		is_meant |= f->f[i].port == e->port;
	if (!is_meant || f->id.pid == getpid())
		return 0;
	e->id = xrealloc(e->id, (size_t)(e->n + 1) * sizeof *e->id);
	e->id[e->n++] = f->id;
	return 0;
}

int forwards_end(int dir, int port, long long deadline, struct why *why)
{
	struct ending e = { .port = port };
	int rc = 0;
	forwards_each(dir, note, &e);
	for (int i = 0; i < e.n; i++)
		if (proc_end(&e.id[i], SIGTERM, deadline, why) < 0)
			rc = -1;
		else
			forwards_drop(dir, e.id[i].pid);
	free(e.id);
	return rc < 0 ? -1 : e.n;
}
