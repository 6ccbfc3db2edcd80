/* apt_test - lib/tailnet/pgp, apt: keyrings that are damaged, lists of packages; tests/ts-verify.test has the signed ones */
#include "apt.h"
#include "pgp.h"
#include "pgp_key.h"
#include "sign.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count, failed;
static const long long now = 1790000000;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static struct pgp_ring ring;

static void test_ring(void)
{
	struct why why;
	char fpr[41];
	ok(pgp_tailscale_ring(&ring, now, &why) == 0 && ring.count == 1 && ring.key[0].n_len == 512 && !ring.key[0].expires &&
		ring.key[0].created == 1582602680, "Tailscale's key");
	ok(!strcmp(sign_hex(fpr, ring.key[0].fpr, 20), "2596a99eaab33821893c0a79458ca832957f5868"), "its fingerprint");
	ok(pgp_tailscale_ring(&ring, 1500000000, &why) < 0, "before it was made it is none");
	int taken = 0;
	for (size_t i = 0; i < sizeof pgp_tailscale_key; i++)
		taken += pgp_ring(&ring, pgp_tailscale_key, i, now, &why) == 0;
	ok(!taken, "cut at every byte");
	unsigned char bent[sizeof pgp_tailscale_key];
	for (size_t i = 0; i < sizeof bent; i++) {
		memcpy(bent, pgp_tailscale_key, sizeof bent);
		bent[i] ^= 1 << i % 8;
		if (pgp_ring(&ring, bent, sizeof bent, now, &why) == 0 && i < 3 + 525)
			printf("# byte %zu\n", i), taken++;
	}
	ok(!taken, "a bit of the key turned, anywhere: it does not say of itself that it may sign");
	ok(pgp_ring(&ring, "", 0, now, &why) < 0 && pgp_ring(&ring, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 37, now, &why) < 0 &&
		pgp_ring(&ring, "<html>", 6, now, &why) < 0 && why.reason == R_BAD_INDEX, "what is no keyring");
	unsigned char secret[600];
	memcpy(secret, pgp_tailscale_key, sizeof secret);
	secret[0] = 0x95;
	ok(pgp_ring(&ring, secret, 528, now, &why) < 0, "a secret key is refused");
}

static const char packages[] =
	"Package: tailscale\nVersion: 1.90.1\nArchitecture: amd64\nFilename: pool/tailscale_1.90.1_amd64.deb\nSize: 5\nMD5sum: x\n"
	"SHA256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\nDescription: x\n Version: 9.9.9\n\n"
	"Package: tailscale\nVersion: 1.100.0\nArchitecture: amd64\nFilename: pool/tailscale_1.100.0_amd64.deb\nSize: 6\n"
	"SHA256: 3cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n\n\n"
	"Package: tailscale\nVersion: 1.101.0\nArchitecture: amd64\nFilename: ../../tailscale_1.101.0_amd64.deb\nSize: 6\n"
	"SHA256: 4cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n\n"
	"Package: tailscale\nVersion: 1.102.0\nArchitecture: arm64\nFilename: pool/x.deb\nSize: 6\n"
	"SHA256: 5cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n";

static void test_packages(void)
{
	struct apt_package p;
	struct why why;
	size_t n = strlen(packages);
	ok(apt_find(packages, n, "tailscale", "amd64", NULL, &p, &why) == 0 && !strcmp(p.version, "1.100.0") && p.size == 6,
		"the newest, by number");
	ok(apt_find(packages, n, "tailscale", "amd64", "1.90.1", &p, &why) == 0 && p.size == 5 && p.sha256[0] == 0x2c, "the one asked for");
	ok(apt_find(packages, n, "tailscale", "amd64", "9.9.9", &p, &why) < 0 && why.reason == R_NOT_LISTED, "a continued line is no field");
	ok(apt_find(packages, n, "tailscale", "amd64", "1.101.0", &p, &why) < 0, "a path that leads out is not taken");
	struct seal *s = seal_new(10);
	seal_add(s, "hello", 5);
	ok(apt_trust_deb(packages, n, s, "x.deb", &p, &why) == 0 && !strcmp(p.version, "1.90.1") && seal_trusted(s), "a package by its bytes");
	seal_free(s);
	s = seal_new(10);
	seal_add(s, "hellO", 5);
	ok(apt_trust_deb(packages, n, s, "other.deb", &p, &why) < 0 && why.reason == R_NOT_LISTED &&
		apt_trust_deb(packages, n, s, "tailscale_1.90.1_amd64.deb", &p, &why) < 0 && why.reason == R_BAD_SIGNATURE && !seal_trusted(s),
		"other bytes");
	seal_free(s);
	static const char *const bad[] = {"Package: a\nPackage: b\n", "Size: 5\nSize: 5\n", "Size: -5\n", "Size: 99999999999999999\n",
		"SHA256: xx\n",
		"SHA256: 2cf2\n", "Size: 0x5\n"};
	int taken = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		taken += apt_find(bad[i], strlen(bad[i]), "a", "b", NULL, &p, &why) == 0 || why.reason != R_BAD_INDEX;
	ok(!taken, "what cannot be read");
}

static void test_message(void)
{
	struct pgp_signed m;
	struct why why;
	static const char *const bad[] = {
		"", "<html>\n", "-----BEGIN PGP SIGNED MESSAGE-----\n", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n",
		"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\nComment: x\n\nx\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n",
		"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n",
		"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n-x\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
		"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\na\rb\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
		" -----BEGIN PGP SIGNED MESSAGE-----\n", "-----BEGIN PGP SIGNED MESSAGE-----\t\n",
	};
	int taken = 0;
	pgp_tailscale_ring(&ring, now, &why);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		taken += pgp_clearsigned(bad[i], strlen(bad[i]), &ring, now, &m, &why) == 0 || why.reason != R_BAD_INDEX || m.text.len;
		buf_free(&m.text);
	}
	ok(!taken, "what is no signed message");
}

int main(void)
{
	test_ring();
	test_packages();
	test_message();
	printf("1..%d\n", count);
	return failed != 0;
}
