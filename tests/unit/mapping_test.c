/* mapping_test - the way between two documents of Serve, where a port changes its kind; fuzz/serve_fuzz.c has the rest */
#include "mapping.h"
#include <stdio.h>
#include <string.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static const char shadowed[] = "{\"TCP\":{\"443\":{\"TCPForward\":\"127.0.0.1:1\"},\"9999\":{\"TCPForward\":\"127.0.0.1:1234\"}}}";
static const char page[] = "{\"TCP\":{\"443\":{\"HTTPS\":true},\"9999\":{\"TCPForward\":\"127.0.0.1:1234\"}},"
	"\"Web\":{\"a.x.ts.net:443\":{\"Handlers\":{\"/\":{\"Proxy\":\"http://127.0.0.1:3000\"}}}}}";

static struct buf way;

static int between(const char *from, const char *to)
{
	struct why why = {0};
	buf_free(&way);
	return mapping_between(&way, from, strlen(from), to, strlen(to), &why);
}

int main(void)
{
	ok(between(page, page) == 0 && !strcmp(buf_cstr(&way), page), "nothing changes its kind: the new document");
	ok(between(shadowed, page) == 1 && !strstr(buf_cstr(&way), "443"), "a shadow becomes a page: between, neither the port nor its paths");
	ok(strstr(buf_cstr(&way), "\"9999\"") != NULL, "the other port stays");
	ok(between(page, shadowed) == 1 && !strstr(buf_cstr(&way), "443"), "a page becomes a shadow");
	ok(strstr(buf_cstr(&way), "\"9999\"") != NULL, "the other port stays there too");
	buf_free(&way);
	printf("1..%d\n", count);
	return failed != 0;
}
