/* probe_test - what a proxy answers, read at every cut; relay maps; the proxy that a URL goes by; credentials as they are sent */
#include "clock.h"
#include "connect.h"
#include "dial.h"
#include "probe.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static struct connect_answer a;

static int parse(const char *text, int is_end)
{
	return connect_parse(text, strlen(text), is_end, &a);
}

static void test_parse(void)
{
	static const char whole[] = "HTTP/1.1 403 Forbidden\r\nX-Deny-Reason: host_not_allowed\r\nContent-Length: 5\r\n\r\nhello";
	int good = 1;
	ok(parse(whole, 0) == 1 && a.status == 403 && str_eq(a.denied, "X-Deny-Reason: host_not_allowed")
	   && str_eq(a.text, "hello"), "a refusal");
	for (size_t n = 0; n < sizeof whole - 1; n++)
		good &= connect_parse(whole, n, 0, &a) == 0;
	ok(good, "A20: at every cut more is wanted");
	ok(parse("HTTP/1.0 200 ok\r\n\r\n", 0) == 1 && a.status == 200, "200");
	ok(parse("HTTP/1.1 200\n\n", 0) == 1 && a.status == 200, "bare newlines, no text");
	ok(parse("HTTP/1.1 200 OK\r\nx: y\r\n", 1) == -1, "200, but its head does not end");
	ok(parse("HTTP/1.1 403 no\r\nx: y\r\n", 1) == 1 && a.status == 403, "a refusal whose head does not end is one");
	ok(parse("SSH-2.0-x\r\n", 0) == -1 && parse("HTTP/2 200\r\n\r\n", 0) == -1 && parse("HTTP/1.1 2x0 \r\n\r\n", 0) == -1
	   && parse("HTTP/1.1 099 \r\n\r\n", 0) == -1 && parse("HTTP/1.1 2000\r\n\r\n", 0) == -1, "what is no HTTP");
	ok(parse("", 0) == 0 && parse("", 1) == -1, "nothing");
	ok(parse("HTTP/1.1 403 x\r\nContent-Length: 99999999999999999999\r\n\r\nab", 0) == 0
	   && parse("HTTP/1.1 403 x\r\nContent-Length: -1\r\n\r\nab", 1) == 1, "lengths that lie");
	ok(parse("HTTP/1.1 403 x\r\nx-deny-reason: a\x1b[31mb\r\n\r\n", 1) == 1 && str_eq(a.denied, "x-deny-reason: a\\x1B[31mb"),
	   "its words are escaped");
	char big[CONNECT_MAX];
	memset(big, 'x', sizeof big);
	memcpy(big, "HTTP/1.1 403 ", 13);
	ok(connect_parse(big, sizeof big, 0, &a) == -1, "a line without end");
	memcpy(big, "HTTP/1.1 403 x\r\n\r\n", 18);
	ok(connect_parse(big, sizeof big, 0, &a) == 1 && strlen(a.text) <= CONNECT_TEXT, "a body without end");
}

static void test_page(void)
{
	char text[64];
#define PAGE(s) connect_page_text(text, sizeof text, s, sizeof s - 1)
	ok(str_eq(PAGE("<html><style>p{}</style><h1>No\n\n way</h1><!-- a > b --><script>1<2</script>&amp;"), "No way &amp;"), "a page's text");
	ok(str_eq(PAGE("a<b"), "a") && str_eq(PAGE("<style>never closed"), "never closed") && str_eq(PAGE("<"), ""), "what is not closed");
	ok(str_eq(PAGE("\x01 \xff\x1b[0m x"), "[0m x"), "what is not printable");
	char small[4];
	ok(str_eq(connect_page_text(small, sizeof small, "abcdef", 6), "ab") || strlen(small) < sizeof small, "cut to size");
}

/* What one CONNECT looks like on the wire; the answer is given byte by byte. */
static int wire(const char *user, char *got, size_t size, const char *answer)
{
	struct why why;
	char url[200];
	int l = dial_listen_tcp(NULL, 0, &why), p[2];
	if (l < 0 || pipe(p))
		return -1;
	pid_t pid = fork();
	if (!pid) {
		struct timeval tv = { 3, 0 };
		setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
		int fd;
		do
			fd = accept(l, NULL, NULL);
		while (fd < 0 && (usleep(1000), 1));
		char b[4096];
		ssize_t n = recv(fd, b, sizeof b, 0);
		if (write(p[1], b, n > 0 ? (size_t)n : 0) != n)
			_exit(1);
		for (; *answer; answer++)
			send(fd, answer, 1, MSG_NOSIGNAL);
		_exit(0);
	}
	close(p[1]);
	str_fmt(url, sizeof url, "http://%s127.0.0.1:%d", user, dial_port(l));
	int rc = connect_ask(url, "2001:db8::1", 443, clock_ms() + 3000, &a, &why);
	ssize_t n = read(p[0], got, size - 1);
	got[n > 0 ? n : 0] = 0;
	close(p[0]);
	close(l);
	waitpid(pid, NULL, 0);
	return rc;
}

static void test_wire(void)
{
	char got[4096];
	struct why why;
	ok(!wire("", got, sizeof got, "HTTP/1.1 403 no\r\n\r\nsorry") && a.status == 403 && str_eq(a.text, "sorry")
	   && str_eq(got, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"), "A20: asked, and heard byte by byte");
	ok(!wire("user:p%40ss@", got, sizeof got, "HTTP/1.1 200 ok\r\n\r\n") && a.status == 200
	   && strstr(got, "\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n"), "user and password, as Basic has them");
	ok(!wire("a@", got, sizeof got, "HTTP/1.1 407 no\r\nContent-Length: 0\r\n\r\n") && a.status == 407 && strstr(got, "Basic YQ==\r\n"),
	   "a user alone");
	ok(wire("", got, sizeof got, "HTTP/1.1 200 OK\r\nx: ") == -1, "cut off");
	ok(connect_ask("https://p:1", "h", 1, clock_ms() + 100, &a, &why) == -1 && why.reason == R_USAGE
	   && connect_ask("socks5h://p:1", "h", 1, clock_ms() + 100, &a, &why) == -1 && why.reason == R_USAGE
	   && connect_ask("http://", "h", 1, clock_ms() + 100, &a, &why) == -1
	   && connect_ask("http://u:p@", "h", 1, clock_ms() + 100, &a, &why) == -1
	   && connect_ask("http://h:99999", "h", 1, clock_ms() + 100, &a, &why) == -1, "proxies that cannot be asked");
	char url[1200] = "http://";
	memset(url + 7, 'u', 1000);
	strcpy(url + 1007, "@h:1");
	ok(connect_ask(url, "h", 1, clock_ms() + 100, &a, &why) == -1 && why.reason == R_USAGE && !strstr(why.msg, "uuu"),
	   "A12: a password that is too long is not shown");
	ok(connect_ask("http://u:geheim@127.0.0.1:1", "h", 1, clock_ms() + 500, &a, &why) == -1 && why.reason == R_PROXY_DOWN
	   && !strstr(why.msg, "geheim"), "nobody there: [proxy-down]");
}

static void test_map(void)
{
	struct relay_site s[4];
#define MAP(text) probe_read_map(text, sizeof text - 1, s, 4)
	ok(MAP("{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":\"s\",\"STUNOnly\":true},{\"HostName\":\"a.b\",\"IPv4\":\"1.2.3.4\"}]},"
	       "\"2\":{\"Nodes\":[{\"HostName\":\"c\",\"IPv4\":\"none\",\"DERPPort\":8443,\"STUNPort\":-1,\"InsecureForTests\":true}]}}}") == 2
	   && str_eq(s[0].host, "a.b") && str_eq(s[0].ip, "1.2.3.4") && s[0].port == 443 && s[0].stun_port == 3478 && !s[0].any_cert
	   && str_eq(s[1].host, "c") && !*s[1].ip && s[1].port == 8443 && !s[1].stun_port && s[1].any_cert, "a relay map");
	ok(MAP("{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":\"a b\"},{\"HostName\":\"\\u001b\"},{\"HostName\":\"a/..\"},{}]},\"2\":null,"
	       "\"3\":{\"Nodes\":[{\"HostName\":\"x\",\"DERPPort\":-5,\"STUNPort\":70000,\"IPv4\":\"$(x)\"}]}}}") == 1
	   && s[0].port == 443 && s[0].stun_port == 3478 && !*s[0].ip, "A11: one that is nonsense");
	ok(MAP("[]") == -1 && MAP("{}") == -1 && MAP("<html>") == -1 && MAP("{\"Regions\":{}}") == 0, "what is no map");
	ok(probe_known_relays(s, 4) == 3 && probe_known_relays(s, 1) == 1 && str_ends(s[0].host, ".tailscale.com"), "known ones");
	struct probed p = {0};
	str_copy(p.more, sizeof p.more, "a.b - 443 0 1\nc 1.1.1.1 8443 3478 0\nbroken");
	ok(probe_relays(&p, s, 4) == 2 && !*s[0].ip && s[0].any_cert && s[1].port == 8443, "handed on");
}

static void test_proxy(void)
{
	setenv("https_proxy", "http://p:1", 1);
	ok(!probe_proxy("https://127.0.0.1:8/") && !probe_proxy("https://localhost/") && !probe_proxy("https://[::1]:8/")
	   && probe_proxy("https://127.example/") && probe_proxy("https://x/"), "this machine itself is never asked by a proxy");
	setenv("no_proxy", "x", 1);
	ok(!probe_proxy("https://a.x:1") && probe_proxy("https://ax"), "NO_PROXY");
	setenv("no_proxy", "*", 1);
	ok(probe_derp_upgrade("https://x", clock_ms() + 100) == 0, "no proxy: nothing to find out");
}

int main(void)
{
	test_parse();
	test_page();
	test_wire();
	test_map();
	test_proxy();
	printf("1..%d\n", count);
	return failed != 0;
}
