/* packages_fuzz - a list of packages, plain or compressed: as an index that names these bytes lets it in, the package in it,
 * the .deb that it names; versions compared both ways */
#include "../../lib/tailnet/apt.c"
#include "unpack.h"

static struct seal *seal_of(const void *p, size_t n)
{
	struct seal *s = seal_new(1 << 20);
	if (seal_add(s, p, n) < 0)
		abort();
	return s;
}

static void find(const char *text, size_t size)
{
	static const char *const versions[] = {NULL, "1.92.0"};
	struct apt_package p;
	struct why why;
	for (int i = 0; i < 2; i++)
		if (!apt_find(text, size, "tailscale", "amd64", versions[i], &p, &why) && (!is_path(p.path) || p.size < 0 ||
			!str_eq(p.name, "tailscale") || (i && !str_eq(p.version, versions[i]))))
			abort();
	struct seal *s = seal_of("hello", 5);
	if ((apt_trust_deb(text, size, s, "x.deb", &p, &why) == 0) != seal_trusted(s) || (seal_trusted(s) && p.size != 5))
		abort();
	seal_free(s);
}

/* The index has these bytes among others: they are trusted, and then inflated; with another sum or size they are not. */
static void listed(const unsigned char *data, size_t size)
{
	struct apt_index x = {0};
	struct apt_file f;
	struct buf text = {0};
	struct why why;
	struct seal *s = seal_of(data, size);
	buf_fmt(&x.text, "Origin: x\nSHA256:\n %064d %zu main/binary-amd64/Packages\n %s %zu main/binary-amd64/Packages.gz\n", 0, size,
		seal_sha256(s), size + 1);
	if (apt_trust_packages(&x, s, &f, &why) == 0 || seal_trusted(s))
		abort();
	buf_fmt(&x.text, " %s %zu main/binary-amd64/Packages.xz\n", seal_sha256(s), size);
	if (apt_trust_packages(&x, s, &f, &why) < 0 || !seal_trusted(s) || !str_ends(f.path, ".xz"))
		abort();
	if (unpack_text(s, &text, 1 << 16, &why) == 0)
		find(buf_cstr(&text), text.len);
	buf_free(&text);
	buf_free(&x.text);
	seal_free(s);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	if (size > 1 << 16)
		return 0;
	char *text = xstrndup((const char *)data, size);
	find(text, size);
	listed(data, size);
	char *half = text + strlen(text) / 2, saved = *half;
	char *second = xstrdup(half);
	*half = 0;
	int d = release_compare(text, second), e = release_compare(second, text);
	if ((d > 0) != (e < 0) || (d < 0) != (e > 0) || release_compare(text, text))
		abort();
	*half = saved;
	free(second);
	free(text);
	return 0;
}
