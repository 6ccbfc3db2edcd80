/* inrelease_fuzz - a signed index, what is in it as if the signature were right, and a keyring */
#include "../../lib/tailnet/apt.c"
#include "../../lib/tailnet/pgp.c"

static struct pgp_ring known;

static void as_index(const char *text, size_t size)
{
	struct apt_index x = {0};
	struct apt_file f;
	struct why why;
	buf_add(&x.text, text, size);
	if (!read_fields(&x, &why) && !check_list(&x, &why)) {
		struct wanted w = {.path = "main/binary-amd64/Packages.gz", .out = &f};
		each_listed(&x, matches, &w);
		check_dates(&x, 1790000000, &why);
	}
	buf_free(&x.text);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct pgp_signed m;
	struct why why;
	static struct pgp_ring other;
	if (!known.count && pgp_tailscale_ring(&known, 1790000000, &why) < 0)
		abort();
	char *text = xstrndup((const char *)data, size);
	if (!pgp_clearsigned(text, size, &known, 1790000000, &m, &why))
		abort();
	buf_free(&m.text);
	as_index(text, size);
	pgp_ring(&other, text, size, 1790000000, &why);
	free(text);
	return 0;
}
