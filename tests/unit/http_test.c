/* http_test - lib/means/http against a server of our own: LocalAPI's ways, many at once, streams, faults */
#include "clock.h"
#include "http.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	fflush(stdout);
	failed += !is_good;
}

static void put(int fd, const char *text)
{
	size_t len = strlen(text);
	if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		_exit(0);
}

static void chunk(int fd, const char *text)
{
	char size[32];
	snprintf(size, sizeof size, "%zx\r\n", strlen(text));
	put(fd, size);
	put(fd, text);
	put(fd, "\r\n");
}

static void stream(int fd)
{
	put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	usleep(20000);
	chunk(fd, "{\"a\":1}\n{\"b\"");
	chunk(fd, ":2}\n");
	usleep(150000);
	chunk(fd, "{\"c\":3}\n");
	for (int i = 0; i < 200; i++) {
		static char big[40001];
		memset(big, 'x', 40000);
		big[39999] = '\n';
		chunk(fd, big);
	}
	put(fd, "0\r\n\r\n");
}

/* One connection: answers requests by their path. */
static void serve(int fd, int *served)
{
	char head[8192];
	size_t len = 0;
	fcntl(fd, F_SETFL, 0);
	for (;;) {
		ssize_t n = read(fd, head + len, sizeof head - 1 - len);
		if (n <= 0)
			return;
		len += (size_t)n;
		head[len] = 0;
		char *end = strstr(head, "\r\n\r\n");
		if (!end)
			continue;
		long body = 0;
		char *length = strcasestr(head, "content-length:");
		if (length && length < end)
			body = atol(length + 15);
		while ((long)len < end + 4 - head + body) {
			n = read(fd, head + len, sizeof head - 1 - len);
			if (n <= 0)
				return;
			len += (size_t)n;
			head[len] = 0;
		}
		++*served;
		char *path = strchr(head, ' ') + 1;
		if (str_starts(path, "http://")) {
			put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied");
		} else if (str_starts(path, "/echo")) {
			char out[9000];
			snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nETag: x1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
			         "Retry-After: 7\r\nX-Served: %d\r\n\r\n%s", len, *served, head);
			put(fd, out);
		} else if (str_starts(path, "/403")) {
			put(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 14\r\n\r\naccess denied\n");
		} else if (str_starts(path, "/204")) {
			put(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		} else if (str_starts(path, "/big")) {
			put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
			for (int i = 0; i < 5000; i++)
				chunk(fd, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
			put(fd, "0\r\n\r\n");
		} else if (str_starts(path, "/cut")) {
			put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
			return;
		} else if (str_starts(path, "/garbage")) {
			put(fd, "\x16\x03\x01 what is this\r\n\r\n");
			return;
		} else if (str_starts(path, "/heads")) {
			put(fd, "HTTP/1.1 200 OK\r\n");
			for (int i = 0; i < 20000; i++)
				put(fd, "X-A: 0123456789abcdef0123456789abcdef\r\n");
			return;
		} else if (str_starts(path, "/bytes")) {
			const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
			for (; *text; text++) {
				put(fd, (char[]){ *text, 0 });
				usleep(500);
			}
		} else if (str_starts(path, "/stream")) {
			stream(fd);
		} else if (str_starts(path, "/hang")) {
			pause();
		} else if (str_starts(path, "/redirect")) {
			put(fd, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
		} else if (str_starts(head, "CONNECT")) {
			put(fd, strstr(path, "auth") ? "HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n"
			        : "HTTP/1.1 403 Forbidden\r\nX-Deny-Reason: host_not_allowed\r\nContent-Length: 2\r\n\r\nno");
			return;
		} else {
			put(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
		}
		len = 0;
	}
}

static pid_t server(int listener)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid) {
		setpgid(pid, pid);
		return pid;
	}
	setpgid(0, 0);
	signal(SIGCHLD, SIG_IGN);
	fcntl(listener, F_SETFL, 0);
	for (;;) {
		int fd = accept(listener, NULL, NULL), served = 0;
		if (fd < 0)
			_exit(1);
		if (fork()) {
			close(fd);
			continue;
		}
		serve(fd, &served);
		_exit(0);
	}
}

static char sock[256];

static int get(const char *path, struct http_res *res, struct why *why)
{
	char url[256];
	snprintf(url, sizeof url, "http://local-tailscaled.sock%s", path);
	struct http_req r = { .url = url, .socket = sock, .deadline = clock_ms() + 1000, .max = 100000 };
	return http_do(&r, res, why);
}

static void test_local(void)
{
	struct http_res res;
	struct why why;
	ok(!get("/echo", &res, &why) && res.status == 200 && strstr(buf_cstr(&res.body), "Host: local-tailscaled.sock\r\n")
	   && !strstr(buf_cstr(&res.body), "Origin") && !strstr(buf_cstr(&res.body), "Referer"), "GET with the right Host");
	long long date = 0;
	ok(str_eq(http_header(&res, "etag"), "x1") && !http_header(&res, "none") && !http_date(&res, &date) && date == 784111777
	   && http_retry_after(&res) == 7000, "headers");
	http_res_free(&res);
	get("/echo", &res, &why);
	ok(str_eq(http_header(&res, "X-Served"), "2"), "the connection is used again");
	http_res_free(&res);
	struct http_req r = { .method = "PATCH", .url = "http://local-tailscaled.sock/echo", .socket = sock,
	                      .body = "{\"a\":1}", .body_len = 7,
	                      .headers = (const char *[]){ "If-Match: q", NULL }, .deadline = clock_ms() + 1000 };
	ok(!http_do(&r, &res, &why) && str_starts(buf_cstr(&res.body), "PATCH /echo") && strstr(buf_cstr(&res.body), "If-Match: q")
	   && strstr(buf_cstr(&res.body), "Content-Type: application/json")
	   && str_ends(buf_cstr(&res.body), "\r\n\r\n{\"a\":1}"), "PATCH with a body");
	http_res_free(&res);
	r = (struct http_req){ .method = "POST", .url = "http://local-tailscaled.sock/echo", .socket = sock,
	                        .deadline = clock_ms() + 1000 };
	ok(!http_do(&r, &res, &why) && strstr(buf_cstr(&res.body), "Content-Length: 0") && !strstr(buf_cstr(&res.body), "Content-Type"),
	   "POST with nothing");
	http_res_free(&res);
	r.method = "DELETE";
	ok(!http_do(&r, &res, &why) && str_starts(buf_cstr(&res.body), "DELETE "), "DELETE");
	http_res_free(&res);
	ok(!get("/403", &res, &why) && res.status == 403 && str_eq(buf_cstr(&res.body), "access denied\n"),
	   "a refusal is an answer");
	http_res_free(&res);
	ok(!get("/204", &res, &why) && res.status == 204 && !res.body.len, "204");
	http_res_free(&res);
	ok(!get("/bytes", &res, &why) && str_eq(buf_cstr(&res.body), "abc"), "A20: byte by byte");
	http_res_free(&res);
	long long from = clock_us();
	enum { N = 500 };
	int good = 0;
	for (int i = 0; i < N; i++) {
		good += !get("/echo", &res, &why);
		http_res_free(&res);
	}
	printf("# %d kept-alive GETs: %lld us each\n", N, (clock_us() - from) / N);
	ok(good == N, "one after another");
}

static void test_faults(void)
{
	static const struct { const char *path; enum http_fault fault; enum reason reason; } cases[] = {
		{ "/big", HTTP_TOO_BIG, R_TOO_BIG }, { "/cut", HTTP_CUT, R_LOST }, { "/garbage", HTTP_GARBAGE, R_API_ERROR },
		{ "/heads", HTTP_GARBAGE, R_API_ERROR }, { "/hang", HTTP_TIMEOUT, R_DEADLINE },
	};
	struct http_res res;
	struct why why;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc = get(cases[i].path, &res, &why);
		printf("# %d: %s\n", res.fault, why.msg);
		ok(rc == -1 && res.fault == cases[i].fault && why.reason == cases[i].reason, cases[i].path);
		http_res_free(&res);
	}
	struct http_req r = { .url = "http://local-tailscaled.sock/", .socket = "/nowhere/at.sock", .deadline = clock_ms() + 500 };
	ok(http_do(&r, &res, &why) == -1 && res.fault == HTTP_SOCKET && why.reason == R_NOT_UP, "no socket");
	http_res_free(&res);
	r.socket = sock;
	r.who.pid = 1;
	ok(http_do(&r, &res, &why) == -1 && why.reason == R_SOCKET_FOREIGN,
	   "A14: not the process that was expected");
	http_res_free(&res);
}

static void test_stream(void)
{
	struct http_req r = { .url = "http://local-tailscaled.sock/stream", .socket = sock, .deadline = clock_ms() + 1000, .max = 50000 };
	struct http_stream *s;
	struct http_res res, other;
	struct why why;
	char *line;
	size_t len;
	int p[2];
	if (pipe(p))
		exit(1);
	struct pollfd fd = { .fd = p[0], .events = POLLIN };
	ok(!http_stream_open(&s, &r, &res, &why) && res.status == 200, "a stream opens with its head");
	http_res_free(&res);
	ok(http_stream_next(s, &fd, 1, clock_ms() + 1000, &line, &len, &why) == HTTP_LINE && str_eq(line, "{\"a\":1}"),
	   "a line");
	ok(http_stream_next(s, &fd, 1, clock_ms() + 1000, &line, &len, &why) == HTTP_LINE && str_eq(line, "{\"b\":2}"),
	   "a line in two chunks");
	ok(http_stream_next(s, &fd, 1, clock_ms() + 20, &line, &len, &why) == -1 && why.reason == R_DEADLINE,
	   "its deadline");
	close(p[1]);
	ok(http_stream_next(s, &fd, 1, clock_ms() + 1000, &line, &len, &why) == HTTP_FDS && fd.revents,
	   "the caller's descriptor");
	ok(!get("/echo", &other, &why), "another request meanwhile");
	http_res_free(&other);
	usleep(300000);
	ok(!get("/echo", &other, &why), "and while lines pile up");
	http_res_free(&other);
	ok(http_stream_next(s, NULL, 0, clock_ms() + 1000, &line, &len, &why) == HTTP_LINE && str_eq(line, "{\"c\":3}"),
	   "a later line");
	int lines = 0, rc;
	while ((rc = http_stream_next(s, NULL, 0, clock_ms() + 1000, &line, &len, &why)) == HTTP_LINE)
		lines += len == 39999;
	ok(rc == HTTP_END && lines == 200, "8 MB of lines, held back and let go, to the end");
	http_stream_close(s);
	r.url = "http://local-tailscaled.sock/403";
	ok(http_stream_open(&s, &r, &res, &why) == -1 && res.status == 403 && str_eq(buf_cstr(&res.body), "access denied\n"),
	   "a refusal instead of a stream");
	http_res_free(&res);
	r.url = "http://local-tailscaled.sock/hang";
	r.deadline = clock_ms() + 100;
	ok(http_stream_open(&s, &r, &res, &why) == -1 && why.reason == R_DEADLINE, "opening has a deadline");
	http_res_free(&res);
	r = (struct http_req){ .url = "http://local-tailscaled.sock/stream", .socket = sock, .deadline = clock_ms() + 1000, .max = 10000 };
	ok(!http_stream_open(&s, &r, &res, &why), "again");
	http_res_free(&res);
	while ((rc = http_stream_next(s, NULL, 0, clock_ms() + 1000, &line, &len, &why)) == HTTP_LINE)
		;
	ok(rc == -1 && why.reason == R_TOO_BIG, "a line that is too long");
	http_stream_close(s);
	close(p[0]);
}

static void test_many(void)
{
	enum { N = 200 };
	static struct http_req r[N];
	static struct http_res res[N];
	static struct why why[N];
	for (int i = 0; i < N; i++)
		r[i] = (struct http_req){ .url = i % 10 ? "http://local-tailscaled.sock/echo" : "http://local-tailscaled.sock/hang",
		                        .socket = sock };
	long long from = clock_ms();
	int good = http_do_many(r, res, why, N, from + 500);
	long long ms = clock_ms() - from;
	printf("# %d answers in %lld ms\n", good, ms);
	ok(good == N - N / 10 && ms >= 450 && ms < 10000 && res[0].fault == HTTP_TIMEOUT
	   && why[0].reason == R_DEADLINE && res[1].status == 200,
	   "200 at once, the hung ones to the deadline");
	for (int i = 0; i < N; i++)
		http_res_free(&res[i]);
}

static void test_network(int port)
{
	char url[256], proxy[256], text[256];
	struct http_res res;
	struct why why;
	struct http_req r = { .url = url, .deadline = clock_ms() + 2000, .flags = HTTP_REDIRECT };
	snprintf(url, sizeof url, "http://127.0.0.1:%d/echo", port);
	ok(!http_do(&r, &res, &why) && res.status == 200, "http over TCP");
	http_res_free(&res);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/redirect", port);
	ok(http_do(&r, &res, &why) == -1, "A8: no redirect to a file");
	http_res_free(&res);
	snprintf(url, sizeof url, "https://127.0.0.1:%d/", port);
	r.deadline = clock_ms() + 300;
	ok(http_do(&r, &res, &why) == -1 && res.fault != HTTP_FINE, "TLS where there is none");
	printf("# %d: %s\n", res.fault, why.msg);
	http_res_free(&res);
	ok(http_do(&(struct http_req){ .url = "http://127.0.0.1:1/", .deadline = clock_ms() + 2000 }, &res, &why) == -1
	   && res.fault == HTTP_REFUSED,
	   "refused");
	http_res_free(&res);
	ok(http_do(&(struct http_req){ .url = "file:///etc/passwd" }, &res, &why) == -1 && res.fault == HTTP_BAD_URL,
	   "no other protocols");
	http_res_free(&res);
	snprintf(proxy, sizeof proxy, "http://user:secret@127.0.0.1:%d", port);
	setenv("https_proxy", proxy, 1);
	r.url = "https://blocked.example/";
	r.deadline = clock_ms() + 5000;
	ok(http_do(&r, &res, &why) == -1 && res.fault == HTTP_PROXY_REFUSED && res.connect_status == 403 && res.via_proxy
	   && strstr(why.msg, "host_not_allowed") && !strstr(why.msg, "secret"), "a proxy that refuses");
	printf("# %s\n", why.msg);
	http_res_free(&res);
	r.url = "https://auth.example/";
	ok(http_do(&r, &res, &why) == -1 && res.fault == HTTP_PROXY_AUTH, "a proxy that wants a password");
	http_res_free(&res);
	setenv("HTTP_PROXY", proxy, 1);
	r.url = "http://plain.example/x";
	ok(!http_do(&r, &res, &why) && res.via_proxy && str_eq(buf_cstr(&res.body), "proxied"),
	   "HTTP_PROXY in upper case counts");
	http_res_free(&res);
	setenv("REQUEST_METHOD", "GET", 1);
	ok(!http_proxy("http://plain.example/"), "but not in a CGI program");
	unsetenv("REQUEST_METHOD");
	setenv("NO_PROXY", "other.org, .plain.example", 1);
	ok(!http_proxy("http://plain.example/") && !http_proxy("http://u:p@a.plain.example:80/") && http_proxy("http://xplain.example/"),
	   "NO_PROXY");
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	r.url = "https://any.example/";
	ok(http_do(&r, &res, &why) == -1 && res.fault == HTTP_PROXY_DEAD, "a dead proxy");
	http_res_free(&res);
	ok(str_eq(http_redact_url(text, sizeof text, "https://u:p@h:1/x@y"), "https://***@h:1/x@y")
	   && str_eq(http_redact_url(text, sizeof text, "u:p@h"), "***@h")
	   && str_eq(http_redact_url(text, sizeof text, "http://h/?a@b"), "http://h/?a@b"), "passwords in URLs are not shown");
	setenv("SSL_CERT_FILE", "/nowhere.pem", 1);
	unsetenv("https_proxy");
	ok(http_do(&r, &res, &why) == -1 && res.fault == HTTP_TLS && why.reason == R_BAD_CA
	   && strstr(why.msg, "SSL_CERT_FILE=/nowhere.pem"),
	   "a CA file that is not there is named");
	http_res_free(&res);
	unsetenv("SSL_CERT_FILE");
}

int main(void)
{
	static const char *const vars[] = { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy",
		"ALL_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "NIX_SSL_CERT_FILE" };
	char dir[] = "/tmp/http_test.XXXXXX";
	struct why why;
	for (size_t i = 0; i < sizeof vars / sizeof *vars; i++)
		unsetenv(vars[i]);
	if (!mkdtemp(dir))
		return 1;
	/* A path that no sockaddr_un can hold. */
	snprintf(sock, sizeof sock, "%s/%0120d", dir, 0);
	mkdir(sock, 0700);
	strcat(sock, "/s");
	int unix_fd = dial_listen_unix(AT_FDCWD, sock, &why), tcp_fd = dial_listen_tcp(NULL, 0, &why);
	if (unix_fd < 0 || tcp_fd < 0)
		return fprintf(stderr, "%s\n", why.msg), 1;
	pid_t a = server(unix_fd), b = server(tcp_fd);
	alarm(30);
	test_local();
	test_faults();
	test_stream();
	test_many();
	test_network(dial_port(tcp_fd));
	printf("1..%d\n", count);
	kill(-a, SIGTERM);
	kill(-b, SIGTERM);
	waitpid(a, NULL, 0);
	waitpid(b, NULL, 0);
	unlink(sock);
	*strrchr(sock, '/') = 0;
	rmdir(sock);
	rmdir(dir);
	return failed != 0;
}
