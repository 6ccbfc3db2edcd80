/* fetch - releases of Tailscale from wherever they are to be had */
#include "fetch.h"
#include "apt.h"
#include "clock.h"
#include "contents.h"
#include "file.h"
#include "http.h"
#include "json.h"
#include "pgp.h"
#include "release.h"
#include "str.h"
#include "unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 1 << 16, INDEX_MAX = 1 << 20, PACKAGES_MAX = 64 << 20 };
enum { HOPS = 5, TRIES = 8, STALL_S = 20, KEPT = 3, URL_MAX = 1100, SIG = 64 };

static const char *packages_host(void)
{
	const char *told = getenv("MOORBOX_PACKAGES");
	return told && *told ? told : "https://pkgs.tailscale.com";
}

static int stall_s(void)
{
	const char *told = getenv("MOORBOX_STALL");	/* for tests: 20 s are long */
	long long s;
	return told && str_num(told, 1, 3600, &s) == 0 ? (int)s : STALL_S;
}

/* ---- the cache ---- */

static int open_cache(struct fetch *f, const char *base, const char *below, struct why *why)
{
	if (!base || *base != '/' || str_fmt(f->cache, sizeof f->cache, "%s%s/moorbox/releases", base, below) < 0)
		return -1;
	f->dir = file_dir(f->cache, why);
	if (f->dir >= 0 && faccessat(f->dir, ".", W_OK, 0) < 0) {
		close(f->dir);
		f->dir = -1;
	}
	return f->dir;
}

int fetch_open(struct fetch *f, struct why *why)
{
	const char *const places[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
	f->dir = -1;
	if (open_cache(f, getenv("XDG_CACHE_HOME"), "", why) >= 0 || open_cache(f, getenv("HOME"), "/.cache", why) >= 0)
		return 0;
	f->is_temporary = 1;
	for (int i = 0; i < 4; i++)
		if (places[i] && *places[i] == '/' && str_fmt(f->cache, sizeof f->cache, "%s/moorbox.XXXXXX", places[i]) > 0 &&
			mkdtemp(f->cache) && (f->dir = file_dir(f->cache, why)) >= 0)
			return 0;
	return why_set(why, R_NO_HOME, "no directory to download to"), why_hint(why, "set XDG_CACHE_HOME or TMPDIR to one");
}

void fetch_close(struct fetch *f)
{
	struct why why;
	if (f->dir < 0)
		return;
	close(f->dir);
	f->dir = -1;
	if (f->is_temporary)
		file_remove_tree(AT_FDCWD, f->cache, &why);
}

/* ---- one request ---- */

static struct slice host_of(const char *url)
{
	const char *p = strstr(url, "://");
	p = p ? p + 3 : url;
	return (struct slice){p, *p == '[' ? strcspn(p, "]") + 1 : strcspn(p, ":/?#")};
}

static int same_host(const char *a, const char *b)
{
	struct slice x = host_of(a), y = host_of(b);
	return x.len == y.len && !strncasecmp(x.p, y.p, x.len);
}

/* Where a redirect leads, if it may lead there. */
static int next_hop(const char *first, char url[static URL_MAX], const char *to, struct why *why)
{
	char next[URL_MAX], shown[200];
	struct slice h = host_of(url);
	int rc;
	if (!to || !*to)
		return why_set(why, R_BAD_REDIRECT, "%.200s: redirected to nowhere", url);
	if (*to == '/' && to[1] != '/')
		rc = str_fmt(next, sizeof next, "%.*s%s", (int)(h.p + h.len + strcspn(h.p + h.len, "/?#") - url), url, to);
	else
		rc = str_copy(next, sizeof next, to);
	str_escape(shown, sizeof shown, to, strlen(to));
	int is_https = str_starts(next, "https://"), was_http = str_starts(first, "http://");
	if (rc < 0 || strchr(next, '@') || (!is_https && !(was_http && str_starts(next, "http://"))))
		return why_set(why, R_BAD_REDIRECT, "%.200s: redirected to %s, which is not https", url, shown);
	if (!same_host(next, first) && !same_host(next, "https://dl.tailscale.com") && !same_host(next, "https://pkgs.tailscale.com"))
		return why_set(why, R_BAD_REDIRECT, "%.200s: redirected to another host: %s", url, shown);
	str_copy(url, URL_MAX, next);
	return 0;
}

static const struct { enum http_fault fault; enum reason reason; } words[] = {
	{HTTP_DNS, R_NO_DNS}, {HTTP_REFUSED, R_UNREACHABLE}, {HTTP_UNREACHABLE, R_UNREACHABLE}, {HTTP_TLS, R_TLS_UNTRUSTED},
	{HTTP_PROXY_REFUSED, R_PROXY_DENIED}, {HTTP_PROXY_AUTH, R_PROXY_AUTH}, {HTTP_PROXY_DEAD, R_PROXY_DOWN},
	{HTTP_PROXY_TLS, R_TLS_UNTRUSTED}, {HTTP_TIMEOUT, R_STALLED}, {HTTP_GARBAGE, R_BAD_ANSWER},
};

static int name_fault(const struct fetch *f, const struct http_res *res, struct why *why)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].fault == res->fault && why->reason != R_BAD_CA)
			why->reason = words[i].reason;
	if (res->fault == HTTP_TLS && res->via_proxy && why->reason != R_BAD_CA)
		why->reason = R_TLS_INTERCEPTED;
	if (clock_passed(f->deadline))
		why->reason = R_DEADLINE;
	why->status = reason_info(why->reason)->status;
	return -1;
}

/* GET, and where it is sent on to. 0: some answer came, its status is in res; -1. */
static int get(struct fetch *f, const char *url, struct http_req *r, struct http_res *res, struct why *why)
{
	char at[URL_MAX];
	memset(res, 0, sizeof *res);
	if (str_copy(at, sizeof at, url) < 0)
		return why_set(why, R_USAGE, "%.200s...: the URL is too long", url);
	for (int hop = 0; hop <= HOPS; hop++) {
		r->url = at;
		r->ca = f->ca;
		r->deadline = f->deadline;
		r->stall_s = stall_s();
		if (http_do(r, res, why) < 0)
			return res->fault == HTTP_STOPPED ? -1 : name_fault(f, res, why);
		if (res->status < 300 || res->status > 399 || res->status == 304)
			return 0;
		int rc = next_hop(url, at, http_header(res, "Location"), why);
		http_res_free(res);
		if (rc < 0)
			return -1;
	}
	return why_set(why, R_BAD_REDIRECT, "%.200s: redirected again and again", url);
}

static int is_page(const struct http_res *res, const char *p, size_t n)
{
	const char *type = http_header(res, "Content-Type");
	while (n && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++, n--;
	return (type && !strncasecmp(type, "text/html", 9)) || (n && *p == '<');
}

static int wrong_shape(const char *url, const struct http_res *res, const char *p, size_t n, struct why *why)
{
	char shown[100];
	str_escape(shown, sizeof shown, p, n < 60 ? n : 60);
	return is_page(res, p, n) ? why_set(why, R_CAPTIVE, "%.200s: a page came instead of the file: %s", url, shown) :
		why_set(why, R_BAD_ANSWER, "%.200s: not what it should be: %s", url, shown);
}

static int wrong_status(const char *url, const struct http_res *res, struct why *why)
{
	char shown[120];
	if (res->status == 404 || res->status == 410)
		return why_set(why, R_NO_RELEASE, "%.200s: there is none (HTTP %d)", url, res->status);
	str_escape(shown, sizeof shown, buf_cstr(&res->body), res->body.len < 80 ? res->body.len : 80);
	return why_set(why, R_HTTP_STATUS, "%.200s: HTTP %d%s%s", url, res->status, *shown ? ": " : "", shown);
}

/* A small file; exact: its length, or 0. */
static int get_small(struct fetch *f, const char *url, struct buf *b, size_t max, size_t exact, struct why *why)
{
	struct http_req r = {.max = max};
	struct http_res res;
	buf_clear(b);
	int rc = get(f, url, &r, &res, why);
	if (!rc && res.status != 200)
		rc = wrong_status(url, &res, why);
	else if (!rc && (!res.body.len || is_page(&res, buf_cstr(&res.body), res.body.len) || (exact && res.body.len != exact)))
		rc = wrong_shape(url, &res, buf_cstr(&res.body), res.body.len, why);
	if (!rc) {
		b->max = max;
		buf_add(b, res.body.p, res.body.len);
	}
	http_res_free(&res);
	return rc;
}

static int keep_small(struct fetch *f, const char *url, int dir, const char *name, size_t exact, struct why *why)
{
	struct buf b = {0};
	int rc = get_small(f, url, &b, SMALL, exact, why);
	if (!rc)
		rc = file_write_fast(dir, name, b.p, b.len, 0600, why);
	buf_free(&b);
	return rc;
}

/* ---- the large file ---- */

struct big {
	struct fetch *f;
	const char *url, *name, *from_name;
	const char *magic;		/* what it has to begin with; "": anything but a page */
	int dir, fd, begun;
	long long have, total, asked;
	struct http_res res;
	struct why why;
};

/* "bytes 5-9/10": where it begins, or -1 */
static long long range_start(const char *range, long long *total)
{
	long long from, to;
	int n = 0;
	return sscanf(range, "bytes %lld-%lld/%lld%n", &from, &to, total, &n) == 3 && !range[n] && from >= 0 && to >= from &&
		to == *total - 1 ? from : -1;
}

static int begin_big(struct big *b, const char *p, size_t n)
{
	const char *range = http_header(&b->res, "Content-Range"), *length = http_header(&b->res, "Content-Length");
	const char *tag = http_header(&b->res, "ETag");
	long long size;
	struct why why;
	b->begun = 1;
	b->total = 0;
	if (range ? !b->asked || range_start(range, &b->total) != b->asked : 0)
		return why_set(&b->why, R_BAD_RANGE, "%.200s: another part than was asked for: %.60s", b->url, range);
	if (!range) {
		if (ftruncate(b->fd, 0) < 0 || lseek(b->fd, 0, SEEK_SET) < 0)
			return why_errno(&b->why, "write %s:", b->name);
		b->have = 0;
		if (length && str_num(length, 0, 1LL << 62, &size) == 0)
			b->total = size;
	}
	if (b->total > SEAL_MAX)
		return why_set(&b->why, R_TOO_BIG, "%.200s: it says that it has %lld bytes", b->url, b->total);
	if (!b->have && (n < strlen(b->magic) || memcmp(p, b->magic, strlen(b->magic)) || is_page(&b->res, p, n)))
		return wrong_shape(b->url, &b->res, p, n, &b->why);
	/* Only what the server can tell apart for certain is gone on with. */
	if (!tag || !strncasecmp(tag, "W/", 2))
		tag = http_header(&b->res, "Last-Modified");
	struct buf note = {0};
	buf_fmt(&note, "%s\n%s\n", b->url, tag && strlen(tag) < 200 ? tag : "");
	file_write_fast(b->dir, b->from_name, note.p, note.len, 0600, &why);
	buf_free(&note);
	return 0;
}

static int take_big(void *ctx, const char *p, size_t n)
{
	struct big *b = ctx;
	if (!b->begun && begin_big(b, p, n) < 0)
		return -1;
	if (b->have + (long long)n > SEAL_MAX)
		return why_set(&b->why, R_TOO_BIG, "%.200s: it does not end", b->url);
	if (file_full_write(b->fd, p, n) < 0)
		return why_errno(&b->why, "write %s:", b->name);
	b->have += n;
	if (b->f->progress)
		b->f->progress(b->name, b->have, b->total);
	return 0;
}

/* What it was when the part began: goes into If-Range. "": it cannot be gone on with. */
static void validator(struct big *b, char tag[static 220])
{
	struct buf note = {0};
	struct why why;
	size_t n = strlen(b->url);
	*tag = 0;
	if (file_read(b->dir, b->from_name, &note, 4096, &why) == 0 && str_starts(buf_cstr(&note), b->url) && note.p[n] == '\n') {
		size_t len = strcspn(note.p + n + 1, "\r\n");
		str_copy_slice(tag, 220, (struct slice){note.p + n + 1, len});
	}
	buf_free(&note);
}

static int try_big(struct big *b, struct why *why)
{
	char tag[220], range[64], if_range[240];
	const char *headers[] = {range, if_range, NULL};
	struct http_req r = {.sink = take_big, .ctx = b, .flags = 0};
	validator(b, tag);
	b->begun = 0;
	b->have = b->asked = *tag ? lseek(b->fd, 0, SEEK_END) : 0;
	if (b->asked > 0) {
		str_fmt(range, sizeof range, "Range: bytes=%lld-", b->asked);
		str_fmt(if_range, sizeof if_range, "If-Range: %s", tag);
		r.headers = headers;
	}
	b->why.reason = R_NONE;
	int rc = get(b->f, b->url, &r, &b->res, why);
	if (rc < 0 && b->why.reason)
		*why = b->why;
	else if (!rc && b->res.status == 416 && b->asked)
		rc = why_set(why, R_BAD_RANGE, "%.200s: it is shorter than what has come of it", b->url);
	else if (!rc && b->res.status != (b->asked && http_header(&b->res, "Content-Range") ? 206 : 200))
		rc = b->res.status == 206 ? why_set(why, R_BAD_RANGE, "%.200s: a part came, and the whole was asked for", b->url) :
			wrong_status(b->url, &b->res, why);
	else if (!rc && (!b->begun || (b->total && b->have != b->total)))
		rc = why_set(why, R_BAD_ANSWER, "%.200s: %lld bytes came, not %lld", b->url, b->have, b->total);
	http_res_free(&b->res);
	return rc;
}

/* Into dir/name, by way of name.part. */
static int get_big(struct fetch *f, const char *url, int dir, const char *name, const char *magic, struct why *why)
{
	char part[160], from[160];
	str_fmt(part, sizeof part, "%.140s.part", name);
	str_fmt(from, sizeof from, "%.140s.from", name);
	struct big b = {.f = f, .url = url, .name = name, .from_name = from, .magic = magic, .dir = dir};
	b.fd = openat(dir, part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b.fd < 0)
		return why_errno(why, "write %s/%s:", f->cache, part);
	int rc = -1, again = 0, stuck = 0;
	/* Cut short: worth going on as long as it gets further, and once more where it did not. */
	for (int i = 0; i < TRIES && rc; i++) {
		rc = try_big(&b, why);
		if (rc && why->reason == R_BAD_RANGE && !again++)
			rc = ftruncate(b.fd, 0) < 0 || unlinkat(dir, from, 0) < 0 ? -1 : 1;
		else if (rc && (why->reason != R_LOST || (b.have <= b.asked && stuck++)))
			break;
	}
	if (close(b.fd) < 0 && !rc)
		rc = why_errno(why, "write %s/%s:", f->cache, part);
	if (rc && why->reason != R_LOST && why->reason != R_STALLED && why->reason != R_DEADLINE && why->reason != R_NO_SPACE)
		unlinkat(dir, part, 0);
	if (rc)
		return -1;
	unlinkat(dir, from, 0);
	return renameat(dir, part, dir, name) < 0 ? why_errno(why, "write %s/%s:", f->cache, name) : 0;
}

/* ---- places ---- */

static int is_url(const char *place)
{
	return strstr(place, "://") != NULL && !str_starts(place, "file://");
}

static const char *folder(const char *place)
{
	return str_starts(place, "file://") ? place + 7 : place;
}

static int base_len(const char *place)
{
	size_t n = strlen(place);
	while (n && place[n - 1] == '/')
		n--;
	return (int)n;
}

static const char *track_of(const char *version)
{
	int major, minor;
	release_parts(version, &major, &minor);
	return minor & 1 ? "unstable" : "stable";
}

struct check { int good; struct why why; };

static int keep_verdict(struct trust_verdict *v, void *ctx)
{
	struct check *c = ctx;
	c->good = v->trusted;
	c->why = v->why;
	if (!v->trusted && v->why.reason == R_BAD_SIGNATURE)
		why_set(&c->why, R_BAD_SIGNATURE, "%s; what came has the SHA-256 %s", v->why.msg, v->sha256);
	return 1;
}

static int verify(const struct fetch *f, const char *path, const char *version, const char *arch, struct why *why)
{
	struct trust_how how = *f->how;
	struct check c = {0};
	how.version = version;
	how.arch = arch;
	how.parts = 0;
	trust_file(path, &how, keep_verdict, &c);
	if (!c.good)
		*why = c.why;
	return c.good ? 0 : -1;
}

/* The files of a release from a place on the net, into dir. */
static int from_net(struct fetch *f, const char *place, const char *version, int dir, const char *name, char url[static 600],
	struct why *why)
{
	char small[URL_MAX], sig[160], flat[URL_MAX];
	int n = base_len(place), rc;
	str_fmt(sig, sizeof sig, "%s.sig", name);
	str_fmt(url, 600, "%.*s/%s/%s", n, place, track_of(version), name);
	str_fmt(small, sizeof small, "%s.sig", url);
	rc = keep_small(f, small, dir, sig, SIG, why);
	if (rc && why->reason == R_NO_RELEASE && !str_eq(place, packages_host())) {	/* a mirror may have all in one folder */
		struct why second;
		str_fmt(flat, sizeof flat, "%.*s/%s.sig", n, place, name);
		if ((rc = keep_small(f, flat, dir, sig, SIG, &second)) == 0)
			str_fmt(url, 600, "%.*s/%s", n, place, name);
	}
	if (rc)
		return -1;
	str_fmt(small, sizeof small, "%.*s/distsign.pub", n, place);
	if (keep_small(f, small, dir, "distsign.pub", 0, why) < 0)
		return -1;
	str_fmt(small, sizeof small, "%.*s/distsign.pub.sig", n, place);
	if (keep_small(f, small, dir, "distsign.pub.sig", SIG, why) < 0)
		return -1;
	return get_big(f, url, dir, name, "\x1f\x8b", why);
}

static void drop(int dir, const char *name)
{
	static const char *const ends[] = {"", ".sig", ".part", ".from"};
	char path[160];
	for (int i = 0; i < 4; i++) {
		str_fmt(path, sizeof path, "%s%s", name, ends[i]);
		unlinkat(dir, path, 0);
	}
}

static int from_place(struct fetch *f, const char *place, const char *version, const char *arch, int dir, const char *name,
	char *path, int size, char from[static 600], struct why *why)
{
	if (!is_url(place)) {
		if (str_fmt(path, size, "%s/%s", folder(place), name) < 0)
			return why_set(why, R_SYSTEM, "%s: the path is too long", place);
		str_copy(from, 600, path);
		if (access(path, F_OK) < 0)
			return why_set(why, R_NO_RELEASE, "there is no %s", name);
		return verify(f, path, version, arch, why);
	}
	int rc = -1;
	str_fmt(path, size, "%s/%s/%s", f->cache, version, name);
	for (int again = 0; again < 2 && rc; again++) {
		if (from_net(f, place, version, dir, name, from, why) < 0)
			return -1;
		rc = verify(f, path, version, arch, why);
		if (rc)
			drop(dir, name);
		/* A broken copy on its way to us, or at one of a CDN's machines: once more, from the start. */
		if (rc && why->reason != R_BAD_SIGNATURE)
			return -1;
	}
	return rc;
}

static void tell(const struct fetch *f, const char *place, const struct why *why)
{
	char shown[300];
	if (f->told)
		f->told(is_url(place) ? http_redact_url(shown, sizeof shown, place) : place, why);
}

/* Of several answers, the one to end with: what will not change by itself says more than what may pass. */
static int weight(const struct why *why)
{
	return !why->reason ? 0 : why->reason == R_NO_RELEASE ? 1 : why->status == EXIT_RETRY ? 2 : 3;
}

struct cached { int count; char v[64][32]; };

static int note_cached(const char *name, void *ctx)
{
	struct cached *c = ctx;
	if (release_is_version(name) && c->count < 64)
		str_copy(c->v[c->count++], 32, name);
	return 0;
}

/* The newest few stay, and the one that is wanted now. One that somebody fetches at this moment is among the newest. */
static void prune(const struct fetch *f, const char *wanted)
{
	struct cached c = {0};
	struct why why;
	file_each_dir(f->dir, note_cached, &c);
	for (int i = 0; i < c.count; i++) {
		int newer = 0;
		for (int j = 0; j < c.count; j++)
			newer += release_compare(c.v[j], c.v[i]) > 0;
		if (newer >= KEPT && !str_eq(c.v[i], wanted))
			file_remove_tree(f->dir, c.v[i], &why);
	}
}

int fetch_release(struct fetch *f, const char *version, const char *arch, char *path, int size, char from[static 600], struct why *why)
{
	char name[80];
	struct why last = {0};
	str_fmt(name, sizeof name, "tailscale_%s_%s.tgz", version, arch);
	int dir = file_dir_at(f->dir, version, 1, why);
	int lock = dir < 0 ? -1 : file_lock(dir, ".lock", f->deadline ? f->deadline : clock_ms() + 60000, why);
	if (lock < 0) {
		if (dir >= 0)
			close(dir);
		return -1;
	}
	int rc = -1;
	str_fmt(path, size, "%s/%s/%s", f->cache, version, name);
	str_fmt(from, 600, "%s", path);
	if (faccessat(dir, name, F_OK, 0) == 0) {
		rc = verify(f, path, version, arch, why);
		tell(f, "cache", rc ? why : NULL);
		if (rc)
			drop(dir, name);
	} else {
		why_set(why, R_NO_RELEASE, "there is no %s", name);
		tell(f, "cache", why);
	}
	for (int i = 0; rc && i <= FETCH_MIRRORS; i++) {
		const char *place = f->mirrors[i] ? f->mirrors[i] : packages_host();
		rc = from_place(f, place, version, arch, dir, name, path, size, from, why);
		tell(f, place, rc ? why : NULL);
		if (rc && weight(why) >= weight(&last))
			last = *why;
		if (!f->mirrors[i])
			break;
	}
	if (rc && last.reason)
		*why = last;
	close(lock);
	close(dir);
	if (!rc)
		prune(f, version);
	return rc;
}

/* ---- which is the newest ---- */

struct newest { char version[32]; const char *track; };

static int look(const char *name, void *ctx)
{
	struct newest *n = ctx;
	char stem[128], version[32], arch[16];
	size_t len = strlen(name);
	if (release_is_version(name))
		str_copy(version, sizeof version, name);
	else if (!str_ends(name, ".tgz") || len >= sizeof stem || str_copy_slice(stem, sizeof stem, (struct slice){name, len - 4}) < 0 ||
		contents_name(stem, version, arch) < 0)
		return 0;
	if (str_eq(track_of(version), n->track) && (!*n->version || release_compare(version, n->version) > 0))
		str_copy(n->version, sizeof n->version, version);
	return 0;
}

static int newest_at(struct fetch *f, const char *place, const char *track, char version[static 32], struct why *why)
{
	struct newest n = {.track = track};
	struct buf b = {0};
	struct json doc;
	char url[URL_MAX];
	if (!is_url(place)) {
		int dir = open(folder(place), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return why_errno(why, "%s:", place);
		file_each(dir, look, &n);
		close(dir);
		str_copy(version, 32, n.version);
		return *version ? 0 : why_set(why, R_NO_RELEASE, "there is no release in it");
	}
	str_fmt(url, sizeof url, "%.*s/%s/?mode=json&os=linux", base_len(place), place, track);
	int rc = get_small(f, url, &b, INDEX_MAX, 0, why);
	if (!rc && json_parse(&doc, buf_cstr(&b), b.len, why) == 0) {
		json_str(&doc, json_get(&doc, 0, "TarballsVersion"), version, 32);
		json_free(&doc);
	}
	if (!rc && !release_is_version(version))
		rc = why_set(why, R_BAD_ANSWER, "%.200s: it names no version", url);
	buf_free(&b);
	return rc;
}

int fetch_version(struct fetch *f, const char *track, char version[static 32], struct why *why)
{
	struct newest n = {.track = track};
	*version = 0;
	for (int i = 0; i <= FETCH_MIRRORS; i++) {
		const char *place = f->mirrors[i] ? f->mirrors[i] : packages_host();
		if (newest_at(f, place, track, version, why) == 0)
			return 0;
		tell(f, place, why);
		*version = 0;
		if (!f->mirrors[i])
			break;
	}
	file_each_dir(f->dir, look, &n);
	if (!*n.version)
		return -1;
	str_copy(version, 32, n.version);
	return 0;
}

/* ---- a URL, an apt repository ---- */

/* A folder in the cache for one call only. */
static int scratch(struct fetch *f, const char *name, struct why *why)
{
	return file_remove_tree(f->dir, name, why) < 0 ? -1 : file_dir_at(f->dir, name, 1, why);
}

static void one_path(struct fetch *f, const char *folder_name, const char *name, char *path, int size)
{
	str_fmt(path, size, "%s/%s/%s", f->cache, folder_name, name);
}

static int last_part(const char *url, char *name, int size, struct why *why)
{
	struct slice h = host_of(url);
	size_t n = strcspn(h.p, "?#"), at = n;
	while (at && h.p[at - 1] != '/')
		at--;
	if (!at || at == n || str_copy_slice(name, size, (struct slice){h.p + at, n - at}) < 0 || *name == '.' ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-") != strlen(name))
		return why_set(why, R_USAGE, "%.200s: a URL of a file is wanted", url);
	return 0;
}

int fetch_url(struct fetch *f, const char *url, char *path, int size, struct why *why)
{
	char name[100], small[URL_MAX], sig[160];
	if (last_part(url, name, sizeof name, why) < 0)
		return -1;
	int dir = scratch(f, "url", why), rc = 0, cut = (int)(strcspn(url, "?#") - strlen(name) - 1);
	if (dir < 0)
		return -1;
	struct slice h = host_of(url);
	int origin = (int)(h.p + strcspn(h.p, "/?#") - url);
	if (str_ends(name, ".tgz")) {
		struct why none;
		str_fmt(sig, sizeof sig, "%s.sig", name);
		str_fmt(small, sizeof small, "%.*s/%s.sig", cut, url, name);
		rc = keep_small(f, small, dir, sig, SIG, why);
		/* The keys are at the root of Tailscale's host, or beside the file. */
		static const char *const keys[] = {"distsign.pub", "distsign.pub.sig"};
		for (int i = 0; i < 2 && !rc; i++) {
			str_fmt(small, sizeof small, "%.*s/%s", origin, url, keys[i]);
			if (keep_small(f, small, dir, keys[i], i ? SIG : 0, &none) == 0)
				continue;
			str_fmt(small, sizeof small, "%.*s/%s", cut, url, keys[i]);
			rc = keep_small(f, small, dir, keys[i], i ? SIG : 0, why);
		}
		if (rc && why->reason == R_NO_RELEASE)
			rc = 0;			/* unsigned: a pin may do */
	}
	if (!rc)
		rc = get_big(f, url, dir, name, str_ends(name, ".tgz") ? "\x1f\x8b" : "", why);
	close(dir);
	one_path(f, "url", name, path, size);
	return rc;
}

static int load_ring(const struct fetch *f, struct pgp_ring *ring, struct why *why)
{
	if (!f->how->keyring)
		return pgp_tailscale_ring(ring, time(NULL), why);
	struct seal *s = seal_open(AT_FDCWD, f->how->keyring, 4 << 20, why);
	int rc = s ? pgp_ring(ring, seal_bytes(s), seal_size(s), time(NULL), why) : -1;
	seal_free(s);
	return rc;
}

/* InRelease, verified; Packages, which it lists; in that the package. */
static int find_deb(struct fetch *f, const char *url, const char *suite, int dir, struct apt_package *p, struct why *why)
{
	char at[URL_MAX];
	struct buf b = {0}, text = {0};
	struct apt_index x;
	struct apt_file listed;
	struct pgp_ring *ring = xalloc(sizeof *ring);
	const char *arch = contents_deb_arch(f->how->arch);
	int n = base_len(url);
	str_fmt(at, sizeof at, "%.*s/dists/%s/InRelease", n, url, suite);
	int rc = get_small(f, at, &b, INDEX_MAX, 0, why);
	if (!rc)
		rc = load_ring(f, ring, why) < 0 ? -1 : file_write_fast(dir, "InRelease", b.p, b.len, 0600, why);
	if (!rc)
		rc = apt_index(&x, buf_cstr(&b), b.len, ring, time(NULL), why);
	free(ring);
	buf_free(&b);
	if (rc)
		return -1;
	str_fmt(at, sizeof at, "%.*s/dists/%s/main/binary-%s/Packages.gz", n, url, suite, arch);
	rc = apt_index_check(&x, suite, 0, why) < 0 ? -1 : get_big(f, at, dir, "Packages.gz", "\x1f\x8b", why);
	struct seal *s = rc ? NULL : seal_open(dir, "Packages.gz", PACKAGES_MAX, why);
	rc = s && apt_trust_packages(&x, s, &listed, why) == 0 ? unpack_text(s, &text, PACKAGES_MAX, why) : -1;
	if (!rc)
		rc = apt_find(buf_cstr(&text), text.len, "tailscale", arch, f->how->version, p, why);
	seal_free(s);
	apt_index_free(&x);
	buf_free(&text);
	return rc;
}

int fetch_apt(struct fetch *f, const char *url, const char *suite, char *path, int size, char *index, int index_size, struct why *why)
{
	struct apt_package p;
	char at[URL_MAX], name[160];
	int dir = scratch(f, "apt", why);
	int rc = dir < 0 ? -1 : find_deb(f, url, suite, dir, &p, why);
	if (!rc) {
		str_fmt(at, sizeof at, "%.*s/%s", base_len(url), url, p.path);
		rc = last_part(at, name, sizeof name, why);
	}
	if (!rc)
		rc = get_big(f, at, dir, name, "!<arch>\n", why);
	if (dir >= 0)
		close(dir);
	one_path(f, "apt", rc ? "" : name, path, size);
	str_fmt(index, index_size, "%s/apt", f->cache);
	return rc;
}
