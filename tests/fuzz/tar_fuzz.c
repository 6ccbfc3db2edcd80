/* tar_fuzz - an archive that somebody trusted signed: plain, gzip, xz, zstd, deb; contents.h over it, then as a bundle */
#include "bundle.h"
#include "contents.h"
#include "unpack.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct seal *trusted(const unsigned char *data, size_t size)
{
	struct seal *s = seal_new(SEAL_MAX);
	if (seal_add(s, data, size) < 0 || !seal_trust_digest(s, DIGEST_SHA256, seal_digest(s, DIGEST_SHA256)))
		abort();
	return s;
}

static void as_bundle(const unsigned char *data, size_t size)
{
	struct why why;
	struct bundle b;
	int fd = memfd_create("bundle", MFD_CLOEXEC);
	if (write(fd, data, size) == (ssize_t)size && !bundle_open(&b, fd, &why))
		for (int i = 0; i < b.count; i++)
			seal_free(bundle_read(&b, &b.e[i], SEAL_MAX, &why));
	close(fd);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct why why;
	struct contents c;
	struct contents_want any = {0};
	struct seal *s = trusted(data, size);
	struct unpack *u;
	struct ustar e;
	struct buf text = {0};
	if (!unpack_open(&u, s, &why)) {
		while (unpack_next(u, &e, &why) > 0)
			if (!ustar_name_ok(e.name) && !(e.type == '5' && e.name[0] == '.' && !e.name[1]))
				abort();
		unpack_close(u);
	}
	if (!contents_read(s, &any, NULL, NULL, -1, 0, &c, &why) && (!*c.version || !contents_is_arch(c.arch)))
		abort();
	contents_read(s, &any, "1.90.1", "amd64", -1, 0, &c, &why);
	unpack_text(s, &text, 1 << 20, &why);
	buf_free(&text);
	seal_free(s);
	as_bundle(data, size);
	return 0;
}
