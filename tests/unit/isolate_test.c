/* isolate_test - lib/tailnet/isolate: URLs and resolvers as they are told in a network namespace of the workspace's own */
#include "isolate.h"
#include "pasta.h"
#include "str.h"
#include <stdio.h>
#include <string.h>

static int count, failed;

static void same(const char *got, const char *want, const char *name)
{
	int is_good = str_eq(got, want);
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	if (!is_good)
		printf("#   got:  %s\n#   want: %s\n", got, want);
	failed += !is_good;
}

static void url(const char *from, const char *to)
{
	char got[200];
	same(isolate_url(from, got, sizeof got), to, from);
}

static void resolvers(const char *name, const char *from, int n, const char *to)
{
	struct buf b = {0};
	int found = isolate_resolvers(from, &b);
	same(found == n ? buf_cstr(&b) : "another number", to, name);
	buf_free(&b);
}

int main(void)
{
	url("http://127.0.0.1:8080", "http://" PASTA_GATEWAY ":8080");
	url("http://127.0.0.53", "http://" PASTA_GATEWAY);
	url("http://localhost/", "http://" PASTA_GATEWAY "/");
	url("http://u:p@localhost:3128/x?y@z", "http://u:p@" PASTA_GATEWAY ":3128/x?y@z");
	url("http://[::1]:80", "http://" PASTA_GATEWAY ":80");
	url("127.0.0.1:3128", PASTA_GATEWAY ":3128");
	url("https://control.example.com/127.0.0.1", "https://control.example.com/127.0.0.1");
	url("http://127.example.com:1", "http://127.example.com:1");
	url("http://localhost.example.com", "http://localhost.example.com");
	url("http://127.0.0.1@example.com", "http://127.0.0.1@example.com");
	url("http://[::1", "http://[::1");
	url("", "");

	resolvers("none on loopback", "search a\nnameserver 10.0.0.1\n", 0, "search a\nnameserver 10.0.0.1\n");
	resolvers("a stub", "# 127.0.0.1\nnameserver 127.0.0.53\noptions edns0\n", 1,
		"# 127.0.0.1\nnameserver " PASTA_DNS "\noptions edns0\n");
	resolvers("two of them are one", " nameserver\t127.0.0.1\nnameserver ::1\nnameserver 10.0.0.1", 2,
		"nameserver " PASTA_DNS "\nnameserver 10.0.0.1");
	resolvers("without an end", "nameserver ::1", 1, "nameserver " PASTA_DNS "\n");
	resolvers("what only begins so", "nameservers 127.0.0.1\nnameserver ::1f\nnameserver\n", 0,
		"nameservers 127.0.0.1\nnameserver ::1f\nnameserver\n");
	resolvers("nothing", "", 0, "");
	printf("1..%d\n", count);
	return failed != 0;
}
