/* download_test - lib/tailnet/download: what an answer's head may say, and where a redirect may lead; lib/tailnet/seen */
#include "download.h"
#include "file.h"
#include "seen.h"
#include "str.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static void header(struct http_res *res, const char *name, const char *value)
{
	if (!value)
		return;
	buf_add(&res->head, name, strlen(name) + 1);
	buf_add(&res->head, value, strlen(value) + 1);
}

static int head(const char *range, const char *length, long long asked, struct download_head *h, enum reason *reason)
{
	struct http_res res = {0};
	struct why why = {0};
	header(&res, "Content-Range", range);
	header(&res, "Content-Length", length);
	header(&res, "ETag", "\"v1\"");
	int rc = download_head(&res, asked, "https://x/y", h, &why);
	*reason = why.reason;
	http_res_free(&res);
	return rc;
}

static int refused(const char *range, long long asked)
{
	struct download_head h;
	enum reason reason;
	return head(range, "5", asked, &h, &reason) < 0 && reason == R_BAD_RANGE;
}

static void test_head(void)
{
	struct download_head h;
	enum reason reason;
	ok(!head("bytes 5-9/10", "5", 5, &h, &reason) && h.from == 5 && h.total == 10 && str_eq(h.tag, "\"v1\""), "F7: the rest of it");
	ok(!head(NULL, "10", 5, &h, &reason) && h.from == 0 && h.total == 10, "F7: the whole, though a part was asked for");
	ok(!head(NULL, NULL, 0, &h, &reason) && h.total == 0, "no length");
	ok(!head(NULL, "-1", 0, &h, &reason) && h.total == 0 && !head(NULL, "1x", 0, &h, &reason) && h.total == 0, "a length that is none");
	ok(head(NULL, "134217729", 0, &h, &reason) < 0 && reason == R_TOO_BIG && head("bytes 5-134217728/134217729", "5", 5, &h, &reason) < 0 &&
		reason == R_TOO_BIG, "A6: too much");
	ok(refused("bytes 5-9/10", 0) && refused("bytes 4-9/10", 5) && refused("bytes 6-9/10", 5), "F7: another part than was asked for");
	ok(refused("bytes 5-8/10", 5) && refused("bytes 5-10/10", 5) && refused("bytes 5-4/5", 5), "F7: not up to the end");
	ok(refused("bytes 5-9/*", 5) && refused("bytes */10", 5) && refused("", 5) && refused("bytes", 5) && refused("lines 5-9/10", 5) &&
		refused("bytes 5-9/10 ", 5) && refused("bytes +5-9/10", 5) && refused("bytes  5-9/10", 5) && refused("bytes 5-9/10,11-12/13", 5) &&
		refused("bytes 5-0x9/10", 5) && refused("bytes 5-99999999999999999999/100000000000000000000", 5), "F7: ranges of nonsense");

	struct http_res res = {0};
	struct why why;
	header(&res, "ETag", "W/\"v1\"");
	ok(!download_head(&res, 0, "", &h, &why) && !*h.tag, "a weak tag is not gone on with");
	header(&res, "Last-Modified", "Sat, 09 May 2026 09:41:54 GMT");
	ok(!download_head(&res, 0, "", &h, &why) && str_eq(h.tag, "Sat, 09 May 2026 09:41:54 GMT"), "a date is");
	header(&res, "ETag", "\"v1\"\rX: y");
	ok(!download_head(&res, 0, "", &h, &why) && !*h.tag, "what would be a line of its own in a head of ours is not");
	http_res_free(&res);
}

static int leads(const char *first, const char *to, const char *where)
{
	char url[DOWNLOAD_URL];
	struct why why;
	str_copy(url, sizeof url, first);
	int rc = download_hop(first, url, to, &why);
	return where ? !rc && str_eq(url, where) : rc < 0 && why.reason == R_BAD_REDIRECT && str_eq(url, first);
}

static void test_hops(void)
{
	const char *from = "https://Mirror.test:8443/stable/x?y#z";
	ok(leads(from, "/a/b", "https://Mirror.test:8443/a/b") && leads(from, "https://mirror.test/a", "https://mirror.test/a"),
		"redirects: the same host");
	ok(leads(from, "https://dl.tailscale.com/x", "https://dl.tailscale.com/x"), "redirects: Tailscale's own");
	ok(leads(from, "http://mirror.test/a", NULL) && leads("http://h/x", "http://h/y", "http://h/y") &&
		leads("http://h/x", "https://h/y", "https://h/y"),
		"redirects: https stays https");
	ok(leads(from, "//mirror.test/a", NULL) && leads(from, "a", NULL) && leads(from, "", NULL) && leads(from, NULL, NULL) &&
		leads(from, "file:///etc/passwd", NULL) && leads(from, "https://mirror.test@evil.test/", NULL) &&
		leads(from, "https://mirror.test.evil.test/", NULL) && leads(from, "https://evil.test/#mirror.test", NULL) &&
		leads(from, "https://dl.tailscale.com.evil.test/", NULL), "redirects: nowhere else");
	ok(leads("https://[::1]:1/x", "/y", "https://[::1]:1/y") && leads("https://[::1]:1/x", "https://[::2]:1/y", NULL), "redirects: IPv6");
}

static void test_seen(void)
{
	char path[] = "/tmp/seen-XXXXXX", url[40];
	struct why why;
	int dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1, rc = 0;
	ok(dir >= 0 && seen_date(dir, "https://a/b", "s") == 0 && seen_date(-1, "https://a/b", "s") == 0, "seen: nothing");
	ok(!seen_keep(dir, "https://me:hunter2@a/b/", "s", 100, &why) && !seen_keep(dir, "https://a/b", "t", 50, &why) &&
		seen_date(dir, "https://you:x@a/b", "s") == 100 && seen_date(dir, "https://a/b", "t") == 50 && seen_date(dir, "https://a/c", "s") == 0,
		"seen: each repository and suite");
	ok(!seen_keep(dir, "https://me:x@a/b", "s", 99, &why) && seen_date(dir, "https://me:y@a/b//", "s") == 100, "seen: never back");
	struct buf b = {0};
	ok(!file_read(dir, "apt-seen.json", &b, 1 << 16, &why) && !strstr(buf_cstr(&b), "hunter2"), "seen: no password");
	buf_free(&b);
	for (int i = 0; i < SEEN_MAX + 20; i++) {
		str_fmt(url, sizeof url, "https://%d/", i);
		rc |= seen_keep(dir, url, "s", 1, &why);
	}
	ok(!rc && seen_date(dir, "https://275/", "s") == 1 && seen_date(dir, "https://a/b", "t") == 0, "seen: not without end");
	ok(!file_write_fast(dir, "apt-seen.json", "{nonsense\n\n[]\n", 14, 0644, &why) && seen_date(dir, url, "s") == 0 &&
		!seen_keep(dir, url, "s", 7, &why) && seen_date(dir, url, "s") == 7, "seen: nonsense is passed over");
	close(dir);
	file_remove_tree(AT_FDCWD, path, &why);
}

int main(void)
{
	test_head();
	test_hops();
	test_seen();
	printf("1..%d\n", count);
	return failed != 0;
}
