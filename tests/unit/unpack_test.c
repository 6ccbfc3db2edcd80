/* unpack_test - lib/means/unpack, lib/tailnet/contents: only from trusted bytes, only what was asked for, only under our names */
#include "contents.h"
#include "str.h"
#include "unpack.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static void entry(struct buf *b, const char *name, const void *p, size_t n, int type)
{
	unsigned char h[USTAR_BLOCK];
	static const char zero[USTAR_BLOCK];
	ustar_write(h, name, n, 1700000000, 04777);
	if (type != '0') {		/* the checksum follows by as much */
		h[156] = type;
		unsigned sum = 0;
		for (int i = 0; i < USTAR_BLOCK; i++)
			sum += i >= 148 && i < 156 ? ' ' : h[i];
		snprintf((char *)h + 148, 8, "%06o", sum);
		h[155] = ' ';
	}
	buf_add(b, h, sizeof h);
	buf_add(b, p, n);
	buf_add(b, zero, -n & (USTAR_BLOCK - 1));
}

static char elf[100000];	/* what passes for a program of amd64 */

static void tar(struct buf *b, const char *top, size_t second)
{
	char name[100];
	b->max = 256 << 20;
	snprintf(name, sizeof name, "%s/", top);
	entry(b, name, "", 0, '5');
	snprintf(name, sizeof name, "%s/tailscaled", top);
	entry(b, name, elf, sizeof elf, '0');
	snprintf(name, sizeof name, "%s/tailscale", top);
	entry(b, name, elf, second, '0');
}

static void end(struct buf *b)
{
	static const char zero[2 * USTAR_BLOCK];
	buf_add(b, zero, sizeof zero);
}

static struct seal *seal_of(const void *p, size_t n, int trusted)
{
	struct seal *s = seal_new(SEAL_MAX);
	seal_add(s, p, n);
	if (trusted)
		seal_trust_digest(s, DIGEST_SHA256, seal_digest(s, DIGEST_SHA256));
	return s;
}

static void gzip(struct buf *b)
{
	z_stream z = {0};
	size_t room = b->len + 100000;
	unsigned char *out = malloc(room);
	deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (unsigned char *)b->p, z.avail_in = b->len, z.next_out = out, z.avail_out = room;
	deflate(&z, Z_FINISH);
	buf_clear(b);
	buf_add(b, out, z.total_out);
	deflateEnd(&z);
	free(out);
}

static int files(const char *dir)
{
	char cmd[200];
	snprintf(cmd, sizeof cmd, "ls -A %s | wc -l", dir);
	FILE *p = popen(cmd, "r");
	int n = -1;
	if (fscanf(p, "%d", &n) != 1)
		n = -1;
	pclose(p);
	return n;
}

static int unpacked(const struct buf *b, int dir, unsigned parts, struct contents *c, struct why *why)
{
	struct contents_want any = {0};
	struct seal *s = seal_of(b->p, b->len, 1);
	int rc = contents_read(s, &any, NULL, NULL, dir, parts, c, why);
	seal_free(s);
	return rc;
}

static void test_write(const char *path, int dir)
{
	struct buf b = {0};
	struct contents c;
	struct why why;
	struct stat st;
	tar(&b, "tailscale_1.90.1_amd64", sizeof elf);
	end(&b);
	struct seal *s = seal_of(b.p, b.len, 0);
	struct unpack *u = NULL;
	ok(unpack_open(&u, s, &why) < 0 && !u && why.reason == R_SYSTEM, "bytes that nobody vouches for are not looked at");
	seal_free(s);
	gzip(&b);
	umask(0);
	ok(unpacked(&b, dir, CONTENTS_TAILSCALED | CONTENTS_TAILSCALE, &c, &why) == 0 && files(path) == 2, "both programs are written");
	ok(fstatat(dir, "tailscaled", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mode == (S_IFREG | 0755) && st.st_size == sizeof elf,
		"A7: as 0755, whatever the archive and umask say");
	ok(c.newest == 1700000000 && c.tailscaled_size == sizeof elf && !strcmp(c.stamp, "1.90.1-t012345678-g012345678"), "what it is");
	ok(unpacked(&b, dir, CONTENTS_TAILSCALED, &c, &why) < 0 && fstatat(dir, "tailscaled", &st, 0) == 0,
		"A9: what is there already is not written over");
	ok(unlinkat(dir, "tailscaled", 0) == 0 && unlinkat(dir, "tailscale", 0) == 0 && symlinkat("elsewhere", dir, "tailscaled") == 0 &&
		unpacked(&b, dir, CONTENTS_TAILSCALED, &c, &why) < 0 && faccessat(dir, "elsewhere", F_OK, 0) < 0,
		"A9: a link in its place is not followed");
	unlinkat(dir, "tailscaled", 0);
	umask(077);
	ok(unpacked(&b, dir, CONTENTS_TAILSCALED, &c, &why) == 0 && files(path) == 1 && fstatat(dir, "tailscaled", &st, 0) == 0 &&
		(st.st_mode & 07777) == 0755, "one of them only");
	unlinkat(dir, "tailscaled", 0);
	umask(022);
	buf_free(&b);
}

static void test_failing(const char *path, int dir)
{
	struct buf b = {0};
	struct contents c;
	struct why why;
	tar(&b, "tailscale_1.90.1_amd64", 10);
	end(&b);
	ok(unpacked(&b, dir, 3, &c, &why) < 0 && why.reason == R_WRONG_FILE && !files(path),
		"the second program is none: the first is gone again");
	buf_free(&b);
	tar(&b, "tailscale_1.90.1_amd64", sizeof elf);
	ok(unpacked(&b, dir, 3, &c, &why) < 0 && why.reason == R_BAD_ARCHIVE && !files(path), "no end: nothing is left");
	entry(&b, "tailscale_1.90.1_amd64/../x", "", 0, '0');
	end(&b);
	ok(unpacked(&b, dir, 3, &c, &why) < 0 && !files(path), "A7: a name that leads out at the very end: nothing is left");
	buf_free(&b);
	tar(&b, "tailscale_1.90.1_arm64", sizeof elf);
	end(&b);
	ok(unpacked(&b, dir, 3, &c, &why) < 0 && why.reason == R_WRONG_ARCH && !files(path), "A2: for another machine than its folder says");
	buf_free(&b);
	b.max = 256 << 20;
	for (int i = 0; i <= UNPACK_ENTRIES; i++)
		entry(&b, "usr/share/x", "", 0, '0');
	end(&b);
	struct seal *s = seal_of(b.p, b.len, 1);
	struct unpack *u;
	struct ustar e;
	int rc = unpack_open(&u, s, &why);
	while (!rc && (rc = unpack_next(u, &e, &why)) > 0)
		rc = 0;
	ok(rc < 0 && why.reason == R_TOO_BIG, "A6: too many entries");
	unpack_close(u);
	seal_free(s);
	buf_free(&b);
}

/* The stamp is found wherever it lies, in however small pieces the data comes. */
static void test_stamps(int dir)
{
	struct contents c;
	struct why why;
	int bad = 0;
	char saved[64];
	memset(elf + 64, 0, sizeof elf - 64);
	for (int at = 64; at < 400; at++) {
		struct buf b = {0};
		memcpy(saved, elf + at, 40);
		memcpy(elf + at, "1.90.1-t012345678-g012345678", 28);
		tar(&b, "tailscale_1.90.1_amd64", sizeof elf);
		end(&b);
		bad += unpacked(&b, dir, 0, &c, &why) < 0 || strcmp(c.stamp, "1.90.1-t012345678-g012345678");
		elf[at + 4] = '2';		/* 1.90 becomes 1.20... of another version */
		elf[at + 2] = '8';
		buf_free(&b);
		tar(&b, "tailscale_1.90.1_amd64", sizeof elf);
		end(&b);
		bad += unpacked(&b, dir, 0, &c, &why) == 0 || why.reason != R_WRONG_VERSION;
		buf_free(&b);
		memcpy(elf + at, saved, 40);
	}
	ok(!bad, "A1: the stamp is found at every offset");
}

static int glance(const struct buf *b, const struct contents_want *want, struct contents *c, struct why *why)
{
	struct seal *s = seal_of(b->p, b->len, 1);
	int rc = contents_glance(s, want, c, why);
	seal_free(s);
	return rc;
}

static void test_glance(void)
{
	struct buf b = {0};
	struct contents c;
	struct why why;
	struct contents_want any = {0}, other = {"1.92.0", NULL, 0}, machine = {NULL, "arm64", 0};
	static const char zero[60000];
	char name[100];
	tar(&b, "tailscale_1.90.1_amd64", sizeof elf);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof name, "tailscale_1.90.1_amd64/systemd/%d", i);
		entry(&b, name, zero, sizeof zero, '0');
	}
	end(&b);
	gzip(&b);
	ok(!glance(&b, &any, &c, &why) && str_eq(c.version, "1.90.1") && str_eq(c.arch, "amd64"), "a glance: what it is");
	ok(glance(&b, &other, &c, &why) < 0 && why.reason == R_WRONG_VERSION, "A1: a glance: not the version");
	ok(glance(&b, &machine, &c, &why) < 0 && why.reason == R_WRONG_ARCH, "A2: a glance: not the machine");
	memset(b.p + b.len - 8, 0, 8);		/* its checksum and length */
	ok(!glance(&b, &any, &c, &why), "a glance does not reach the end");
	struct contents_want all = {0};
	struct seal *s = seal_of(b.p, b.len, 1);
	ok(contents_read(s, &all, NULL, NULL, -1, 0, &c, &why) < 0 && why.reason == R_BAD_ARCHIVE, "reading does");
	seal_free(s);
	s = seal_of(b.p, b.len, 0);
	ok(contents_glance(s, &any, &c, &why) < 0 && why.reason == R_SYSTEM, "a glance: not at what nobody vouches for");
	seal_free(s);
	buf_clear(&b);
	tar(&b, "tailscale_1.90.1_arm64", sizeof elf);
	end(&b);
	ok(glance(&b, &any, &c, &why) < 0 && why.reason == R_WRONG_ARCH, "A2: a glance: its program is for another machine than its folder says");
	buf_clear(&b);
	entry(&b, "tailscale_1.90.1_amd64/", "", 0, '5');
	end(&b);
	ok(glance(&b, &any, &c, &why) < 0 && why.reason == R_WRONG_FILE, "a glance: no program in it");
	buf_clear(&b);
	buf_add(&b, elf, 600);
	ok(glance(&b, &any, &c, &why) < 0 && why.reason == R_BAD_ARCHIVE, "a glance: no archive");
	buf_free(&b);
}

static void test_names(void)
{
	char version[32], arch[16];
	ok(contents_name("tailscale_1.90.1_amd64", version, arch) == 0 && !strcmp(version, "1.90.1") && !strcmp(arch, "amd64"),
		"a release's name");
	ok(contents_name("tailscale_1.90.1_vax", version, arch) < 0 && contents_name("tailscale_1.90_amd64", version, arch) < 0 &&
		contents_name("tailscale", version, arch) < 0 && contents_name("", version, arch) < 0, "what is none");
	ok(ustar_name_ok("a/b.c") && !ustar_name_ok("") && !ustar_name_ok("/a") && !ustar_name_ok("a/") && !ustar_name_ok("a//b") &&
		!ustar_name_ok("..") && !ustar_name_ok("a/../b") && !ustar_name_ok("./a") && !ustar_name_ok("a\\b") && !ustar_name_ok("a\x7f") &&
		ustar_name_ok("..a/b..") && ustar_name_ok("..."), "A7: names");
	ok(str_eq(contents_deb_arch("arm"), "armhf") && str_eq(contents_deb_arch("amd64"), "amd64"), "Debian's names");
}

int main(void)
{
	char path[] = "/tmp/unpack-XXXXXX";
	int dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
	memcpy(elf, "\x7f" "ELF\2\1\1", 7);
	elf[16] = 2, elf[18] = 62;
	memcpy(elf + 5000, "1.90.1-t012345678-g012345678", 28);
	test_write(path, dir);
	test_failing(path, dir);
	test_stamps(dir);
	test_glance();
	test_names();
	ok(!files(path) && rmdir(path) == 0, "nothing is left");
	printf("1..%d\n", count);
	return failed != 0;
}
