/* pem_fuzz - key files of distsign, as if they were signed; minisign's keys and signatures; lock files */
#include "alloc.h"
#include "../../lib/tailnet/distsign.c"
#include "minisign.h"
#include "pin.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void as_lock(const unsigned char *data, size_t size)
{
	struct why why;
	struct pins pins;
	char path[64];
	int fd = memfd_create("lock", MFD_CLOEXEC);
	str_fmt(path, sizeof path, "/proc/self/fd/%d", fd);
	if (write(fd, data, size) == (ssize_t)size && !pin_load(&pins, path, &why))
		pin_free(&pins);
	close(fd);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	unsigned char key[DISTSIGN_KEYS][32];
	struct minisign_key k = {{0}, {0}};
	struct why why;
	char comment[512], *text = xstrndup((const char *)data, size);
	int n = pem_keys(text, size, "SIGNING PUBLIC KEY", key);
	if (n == 0 || n > DISTSIGN_KEYS || (n > 0 && size != (size_t)n * 113))
		abort();		/* the form is strict, so its length follows from the number of keys */
	minisign_key(&k, text, size, &why);
	struct seal *s = seal_new(100);
	seal_add(s, "x", 1);
	if (!minisign_check(&k, s, text, size, "x", comment, sizeof comment, &why) || seal_trusted(s))
		abort();
	seal_free(s);
	free(text);
	as_lock(data, size);
	return 0;
}
