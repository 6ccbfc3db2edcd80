/* proxy_test - lib/means/proxy: what is taken from a client, what is not, and what goes on to the next hop */
#include "proxy.h"
#include "str.h"
#include <stdio.h>
#include <string.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static int http(const char *text, struct proxy_req *r)
{
	return proxy_http(text, strlen(text), r);
}

static int bad(const char *text)
{
	struct proxy_req r;
	return http(text, &r) == -1;
}

static int rewritten(const char *text, const char *auth, const char *want)
{
	struct proxy_req r;
	struct buf out = {0};
	int used = http(text, &r);
	int good = used > 0 && !proxy_rewrite(text, (size_t)used, &r, auth, &out) && str_eq(buf_cstr(&out), want);
	if (!good)
		printf("# %s", buf_cstr(&out));
	buf_free(&out);
	return good;
}

static void test_http(void)
{
	struct proxy_req r;
	const char *text = "CONNECT DB.lab.ts.net.:5432 HTTP/1.1\r\nProxy-Authorization: basic bTpw\r\n\r\nmore";
	ok(http(text, &r) == (int)strlen(text) - 4 && r.is_connect && str_eq(r.host, "db.lab.ts.net") && r.port == 5432
		&& str_eq(r.cred, "m:p"), "CONNECT, its credential, bytes behind it");
	ok(http("CONNECT [FD7A::1]:1 HTTP/1.0\r\n\r\n", &r) > 0 && str_eq(r.host, "fd7a::1"), "CONNECT to IPv6");
	ok(http("GET http://web HTTP/1.1\r\n\r\n", &r) > 0 && !r.is_connect && r.port == 80 && str_eq(r.host, "web"), "a whole URI");
	ok(http("CONNECT db:1 HTTP/1.1\r\n", &r) == 0, "half a head");
	ok(bad("GET /a HTTP/1.1\r\n\r\n"), "not for a proxy");
	ok(bad("CONNECT db HTTP/1.1\r\n\r\n") && bad("CONNECT db:0 HTTP/1.1\r\n\r\n") && bad("CONNECT db:+1 HTTP/1.1\r\n\r\n")
		&& bad("CONNECT db:65536 HTTP/1.1\r\n\r\n"), "CONNECT without a port that is one");
	ok(bad("CONNECT u@db:1 HTTP/1.1\r\n\r\n") && bad("GET http://u:p@web/ HTTP/1.1\r\n\r\n"), "a user before the host");
	ok(bad("CONNECT a..b:1 HTTP/1.1\r\n\r\n") && bad("CONNECT -a:1 HTTP/1.1\r\n\r\n") && bad("CONNECT [db]:1 HTTP/1.1\r\n\r\n"),
		"hosts that are none");
	ok(bad("GET http://web/ HTTP/1.1\r\nA: b\nC: d\r\n\r\n") && bad("GET http://web/ HTTP/1.1\r\n A: b\r\n\r\n")
		&& bad("GET http://web/ HTTP/1.1\r\nA : b\r\n\r\n") && bad("GET http://web/ HTTP/2\r\n\r\n"),
		"a bare LF, folding, a blank before the colon, HTTP/2");
	ok(bad("POST http://web/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
		&& bad("POST http://web/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), "two lengths");
	ok(bad("\x16\x03\x01"), "TLS is no request, and not waited for");
	static char all[PROXY_HEAD + 1];
	memset(all, 'a', sizeof all - 1);
	ok(proxy_http(all, PROXY_HEAD - 1, &r) == 0 && proxy_http(all, PROXY_HEAD, &r) == -1, "A20: a head without an end");
}

static void test_rewrite(void)
{
	const char *text = "GET http://Web:8080/a?b HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: Basic bTpw\r\nProxy-Connection: keep-alive\r\n"
		"Connection: keep-alive\r\nAccept: */*\r\n\r\n";
	ok(rewritten(text, NULL, "GET /a?b HTTP/1.1\r\nHost: Web:8080\r\nAccept: */*\r\nConnection: close\r\n\r\n"),
		"for the origin: its path, the URI's host, no credential");
	ok(rewritten(text, "Basic eDp5", "GET http://Web:8080/a?b HTTP/1.1\r\nHost: Web:8080\r\nAccept: */*\r\nProxy-Authorization: Basic eDp5\r\n"
		"Connection: close\r\n\r\n"), "for the next proxy: the whole URI, its credential, not ours");
	ok(rewritten("GET http://web?x HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", NULL,
		"GET /?x HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), "no path; an Upgrade stays one");
}

static void test_socks(void)
{
	struct proxy_req r = {0};
	char cred[PROXY_CRED];
	int n;
	ok(proxy_socks_hello((const unsigned char *)"\5\2\0\2x", 5, &n) == 4 && n == 3, "the methods");
	ok(proxy_socks_hello((const unsigned char *)"\4\1", 2, &n) == -1, "SOCKS4 is none");
	ok(proxy_socks_cred((const unsigned char *)"\1\1m\1p", 5, cred) == 5 && str_eq(cred, "m:p"), "user and password");
	ok(proxy_socks_cred((const unsigned char *)"\1\1m\2p", 5, cred) == 0, "half a password");
	ok(proxy_socks_request((const unsigned char *)"\5\1\0\3\2DB\0\x50", 9, &r, &n) == 9 && str_eq(r.host, "db") && r.port == 80, "a name");
	ok(proxy_socks_request((const unsigned char *)"\5\1\0\1\x64\x40\0\1\0\x50", 10, &r, &n) == 10 && str_eq(r.host, "100.64.0.1"), "IPv4");
	ok(proxy_socks_request((const unsigned char *)"\5\2\0\1\x64\x40\0\1\0\x50", 10, &r, &n) == -1 && n == 7, "BIND is refused");
	ok(proxy_socks_request((const unsigned char *)"\5\1\0\7\x64\x40\0\1\0\x50", 10, &r, &n) == -1 && n == 8, "an unknown kind");
	ok(proxy_socks_request((const unsigned char *)"\5\1\0\3\3d\0b\0\x50", 10, &r, &n) == -1, "a NUL in a name");
}

static void test_next(void)
{
	struct proxy_next n;
	int status;
	ok(!proxy_next("http://us%65r:p%40ss@Proxy.example:3128/", &n) && str_eq(n.host, "proxy.example") && n.port == 3128
		&& str_eq(n.auth, "Basic dXNlcjpwQHNz"), "the environment's proxy, its escapes undone");
	ok(!proxy_next("proxy:80", &n) && !*n.auth, "without a scheme");
	ok(proxy_next("https://proxy:80", &n) == -1 && proxy_next("socks5h://proxy:80", &n) == -1, "other kinds");
	ok(proxy_answer("HTTP/1.1 200 OK\r\n\r\nxy", 21, &status) == 19 && status == 200, "an answer");
	ok(proxy_answer("HTTP/1.1 20", 11, &status) == 0 && proxy_answer("SSH-2.0-x", 9, &status) == -1, "half of one; none");
	ok(proxy_same("abc", "abc") && !proxy_same("abc", "abd") && !proxy_same("abc", "ab") && !proxy_same("abc", "abcabc")
		&& !proxy_same("abc", ""), "a credential is the same or not");
}

int main(void)
{
	test_http();
	test_rewrite();
	test_socks();
	test_next();
	printf("1..%d\n", count);
	return failed != 0;
}
