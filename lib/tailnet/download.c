/* download - files from the net */
#include "download.h"
#include "alloc.h"
#include "clock.h"
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { SMALL = 1 << 16, HOPS = 5, TRIES = 8, STALL_S = 20, PIECE = 1 << 18 };

static int stall_s(void)
{
	const char *told = getenv("MOORBOX_STALL");	/* for tests: 20 s are long */
	long long s;
	return told && str_num(told, 1, 3600, &s) == 0 ? (int)s : STALL_S;
}

struct slice download_host(const char *url)
{
	const char *p = strstr(url, "://");
	p = p ? p + 3 : url;
	return (struct slice){p, *p == '[' ? strcspn(p, "]") + 1 : strcspn(p, ":/?#")};
}

/* ---- one request ---- */

static int same_host(const char *a, const char *b)
{
	struct slice x = download_host(a), y = download_host(b);
	return x.len == y.len && !strncasecmp(x.p, y.p, x.len);
}

int download_hop(const char *first, char url[static DOWNLOAD_URL], const char *to, struct why *why)
{
	char next[DOWNLOAD_URL], shown[200];
	struct slice h = download_host(url);
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
	str_copy(url, DOWNLOAD_URL, next);
	return 0;
}

static const struct { enum http_fault fault; enum reason reason; } words[] = {
	{HTTP_DNS, R_NO_DNS}, {HTTP_REFUSED, R_UNREACHABLE}, {HTTP_UNREACHABLE, R_UNREACHABLE}, {HTTP_TLS, R_TLS_UNTRUSTED},
	{HTTP_PROXY_REFUSED, R_PROXY_DENIED}, {HTTP_PROXY_AUTH, R_PROXY_AUTH}, {HTTP_PROXY_DEAD, R_PROXY_DOWN},
	{HTTP_PROXY_TLS, R_TLS_UNTRUSTED}, {HTTP_TIMEOUT, R_STALLED}, {HTTP_GARBAGE, R_BAD_ANSWER},
};

/* Who cannot get there may find out what blocks it, and what to ask for. */
static void name_way_out(struct why *why, const char *url)
{
	char shown[200];
	struct slice h;
	if (same_host(url, "https://pkgs.tailscale.com") || same_host(url, "https://dl.tailscale.com")) {
		why_hint(why, "what blocks it, and what to ask for: ts-reach --install");
		return;
	}
	http_redact_url(shown, sizeof shown, url);
	h = download_host(shown);
	const char *at = strchr(h.p, '@');	/* "***@", which is none of it */
	const char *host = at && at < h.p + strcspn(h.p, "/") ? at + 1 : h.p;
	why_hint(why, "what blocks it: ts-reach %.*s%.*s", (int)(h.p - shown), shown, (int)strcspn(host, "/?#"), host);
}

static int name_fault(const struct download *d, const char *url, const struct http_res *res, struct why *why)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].fault == res->fault && why->reason != R_BAD_CA)
			why->reason = words[i].reason;
	if (res->fault == HTTP_TLS && res->via_proxy && why->reason != R_BAD_CA)
		why->reason = R_TLS_INTERCEPTED;
	if (clock_passed(d->deadline))
		why->reason = R_DEADLINE;
	why->status = reason_info(why->reason)->status;
	if (res->fault != HTTP_TIMEOUT && res->fault != HTTP_CUT && why->reason != R_BAD_CA && why->reason != R_DEADLINE)
		name_way_out(why, url);
	return -1;
}

/* GET, and where it is sent on to. 0: some answer came, its status is in res; -1. */
static int get(const struct download *d, const char *url, struct http_req *r, struct http_res *res, struct why *why)
{
	char at[DOWNLOAD_URL];
	memset(res, 0, sizeof *res);
	if (str_copy(at, sizeof at, url) < 0)
		return why_set(why, R_USAGE, "%.200s...: the URL is too long", url);
	for (int hop = 0; hop <= HOPS; hop++) {
		r->url = at;
		r->ca = d->ca;
		r->deadline = d->deadline;
		r->stall_s = stall_s();
		if (http_do(r, res, why) < 0)
			return res->fault == HTTP_STOPPED ? -1 : name_fault(d, at, res, why);
		if (res->status < 300 || res->status > 399 || res->status == 304)
			return 0;
		int rc = download_hop(url, at, http_header(res, "Location"), why);
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

int download_small(const struct download *d, const char *url, struct buf *b, size_t max, size_t exact, struct why *why)
{
	struct http_req r = {.max = max};
	struct http_res res;
	buf_clear(b);
	int rc = get(d, url, &r, &res, why);
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

int download_keep(const struct download *d, const char *url, int dir, const char *name, size_t exact, struct why *why)
{
	struct buf b = {0};
	int rc = download_small(d, url, &b, SMALL, exact, why);
	if (!rc)
		rc = file_write_fast(dir, name, b.p, b.len, 0600, why);
	buf_free(&b);
	return rc;
}

/* ---- what an answer says ---- */

static int number(const char **p, char end, long long *n)
{
	char digits[20];
	size_t len = strspn(*p, "0123456789");
	if (str_copy_slice(digits, sizeof digits, (struct slice){*p, len}) < 0 || str_num(digits, 0, 1LL << 60, n) < 0 || (*p)[len] != end)
		return -1;
	*p += len + (end != 0);
	return 0;
}

/* "bytes 5-9/10": all that is left, from where it was asked for. */
static int read_range(const char *range, long long asked, long long *total)
{
	long long from, to;
	if (strncasecmp(range, "bytes ", 6))
		return -1;
	range += 6;
	return number(&range, '-', &from) < 0 || number(&range, '/', &to) < 0 || number(&range, 0, total) < 0 ||
		!asked || from != asked || to < from || to != *total - 1 ? -1 : 0;
}

/* It goes into a header of ours. */
static int is_plain(const char *tag)
{
	if (!strncasecmp(tag, "W/", 2))
		return 0;
	for (; *tag; tag++)
		if ((unsigned char)*tag < ' ' || *tag == 0x7f)
			return 0;
	return 1;
}

int download_head(const struct http_res *res, long long asked, const char *url, struct download_head *h, struct why *why)
{
	const char *range = http_header(res, "Content-Range"), *length = http_header(res, "Content-Length");
	const char *tag = http_header(res, "ETag");
	char shown[80];
	memset(h, 0, sizeof *h);
	if (range && read_range(range, asked, &h->total) < 0)
		return why_set(why, R_BAD_RANGE, "%.200s: another part than was asked for: %s", url,
			str_escape(shown, sizeof shown, range, strlen(range)));
	if (range)
		h->from = asked;
	else if (length)
		str_num(length, 0, 1LL << 62, &h->total);
	if (h->total > SEAL_MAX)
		return why_set(why, R_TOO_BIG, "%.200s: it says that it has %lld bytes", url, h->total);
	/* Only what the server can tell apart for certain is gone on with. */
	if (!tag || !strncasecmp(tag, "W/", 2))
		tag = http_header(res, "Last-Modified");
	if (tag && strlen(tag) < 200 && is_plain(tag))
		str_copy(h->tag, sizeof h->tag, tag);
	return 0;
}

/* ---- the large file ---- */

struct big {
	const struct download *d;
	const char *url, *name, *from_name;
	const char *magic;
	int dir, fd, begun;
	struct seal *s;			/* all that has come */
	long long on_disk, total, asked;
	struct http_res res;
	struct why why;
};

static long long have(const struct big *b)
{
	return seal_size(b->s);
}

/* In large pieces: a call of the kernel for each that comes would take as long as hashing it. */
static int put_down(struct big *b)
{
	size_t n = have(b) - b->on_disk;
	if (n && file_full_write(b->fd, seal_bytes(b->s) + b->on_disk, n) < 0)
		return why_errno(&b->why, "write %s/%s:", b->d->folder, b->name);
	b->on_disk += n;
	return 0;
}

static int start_over(struct big *b)
{
	seal_cut(b->s);
	b->on_disk = 0;
	return ftruncate(b->fd, 0) < 0 || lseek(b->fd, 0, SEEK_SET) < 0 ?
		why_errno(&b->why, "write %s/%s:", b->d->folder, b->name) : 0;
}

/* What has come of it before. */
static int pick_up(struct big *b)
{
	unsigned char *piece = xalloc(PIECE);
	ssize_t n;
	seal_cut(b->s);
	while ((n = pread(b->fd, piece, PIECE, have(b))) > 0)
		if (seal_add(b->s, piece, n) < 0)
			break;
	free(piece);
	b->on_disk = have(b);
	return n || lseek(b->fd, 0, SEEK_END) != have(b) ? start_over(b) : 0;
}

static int begin_big(struct big *b, const char *p, size_t n)
{
	struct download_head h;
	struct buf note = {0};
	struct why why;
	b->begun = 1;
	if (download_head(&b->res, b->asked, b->url, &h, &b->why) < 0 || (!h.from && start_over(b) < 0))
		return -1;
	b->total = h.total;
	if (!h.from && (n < strlen(b->magic) || memcmp(p, b->magic, strlen(b->magic)) || is_page(&b->res, p, n)))
		return wrong_shape(b->url, &b->res, p, n, &b->why);
	buf_fmt(&note, "%s\n%s\n", b->url, h.tag);
	file_write_fast(b->dir, b->from_name, note.p, note.len, 0600, &why);
	buf_free(&note);
	return 0;
}

static int take_big(void *ctx, const char *p, size_t n)
{
	struct big *b = ctx;
	if (!b->begun && begin_big(b, p, n) < 0)
		return -1;
	if (seal_add(b->s, p, n) < 0)
		return why_set(&b->why, R_TOO_BIG, "%.200s: it does not end", b->url);
	if (have(b) - b->on_disk >= PIECE && put_down(b) < 0)
		return -1;
	if (b->d->progress)
		b->d->progress(b->name, have(b), b->total);
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
	b->total = 0;
	b->why.reason = R_NONE;
	if ((*tag ? pick_up(b) : start_over(b)) < 0) {
		*why = b->why;
		return -1;
	}
	b->asked = have(b);
	if (b->asked > 0) {
		str_fmt(range, sizeof range, "Range: bytes=%lld-", b->asked);
		str_fmt(if_range, sizeof if_range, "If-Range: %s", tag);
		r.headers = headers;
	}
	int rc = get(b->d, b->url, &r, &b->res, why);
	if (!b->why.reason && put_down(b) < 0)
		rc = -1;
	if (rc < 0 && b->why.reason)
		*why = b->why;
	else if (!rc && b->res.status == 416 && b->asked)
		rc = why_set(why, R_BAD_RANGE, "%.200s: it is shorter than what has come of it", b->url);
	else if (!rc && b->res.status != (b->asked && http_header(&b->res, "Content-Range") ? 206 : 200))
		rc = b->res.status == 206 ? why_set(why, R_BAD_RANGE, "%.200s: a part came, and the whole was asked for", b->url) :
			wrong_status(b->url, &b->res, why);
	else if (!rc && (!b->begun || (b->total && have(b) != b->total)))
		rc = why_set(why, R_BAD_ANSWER, "%.200s: %lld bytes came, not %lld", b->url, have(b), b->total);
	http_res_free(&b->res);
	return rc;
}

static int may_go_on(const struct why *why)
{
	return why->reason == R_LOST || why->reason == R_STALLED || why->reason == R_DEADLINE || why->reason == R_NO_SPACE;
}

/* Cut short: worth going on as long as it gets further, and once more where it did not. */
static int try_often(struct big *b, struct why *why)
{
	int rc = -1, again = 0, stuck = 0;
	for (int i = 0; i < TRIES && rc; i++) {
		rc = try_big(b, why);
		if (rc && why->reason == R_BAD_RANGE && !again++)
			unlinkat(b->dir, b->from_name, 0);	/* nothing to go on from: the whole */
		else if (rc && (why->reason != R_LOST || (have(b) <= b->asked && stuck++)))
			break;
	}
	return rc;
}

int download_file(const struct download *d, const char *url, int dir, const char *name, const char *magic, struct seal **out,
	struct why *why)
{
	char part[160], from[160];
	str_fmt(part, sizeof part, "%.140s.part", name);
	str_fmt(from, sizeof from, "%.140s.from", name);
	struct big b = {.d = d, .url = url, .name = name, .from_name = from, .magic = magic, .dir = dir};
	b.fd = openat(dir, part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b.fd < 0)
		return why_errno(why, "write %s/%s:", d->folder, part);
	b.s = seal_new(SEAL_MAX);
	if (out)
		seal_hash_along(b.s);
	int rc = try_often(&b, why);
	if (close(b.fd) < 0 && !rc)
		rc = why_errno(why, "write %s/%s:", d->folder, part);
	if (rc && !may_go_on(why))
		unlinkat(dir, part, 0);
	if (!rc)
		unlinkat(dir, from, 0);
	if (!rc && renameat(dir, part, dir, name) < 0)
		rc = why_errno(why, "write %s/%s:", d->folder, name);
	if (!rc && out)
		*out = b.s;
	else
		seal_free(b.s);
	return rc;
}
