/* distsign_test - lib/tailnet/distsign, minisign, pin, release: who signed, what is taken for a key, which version is newer */
#include "distsign.h"
#include "minisign.h"
#include "pin.h"
#include "release.h"
#include "sign.h"
#include <sodium/crypto_sign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

/* Keys whose seeds are 00..1f and 20..3f: never to be trusted by anything. */
static unsigned char root_secret[64], signing_secret[64];
static struct distsign_roots roots = {.count = 1};
static const char file[] = "hello tailscale\n";
static const char pub[] = "-----BEGIN SIGNING PUBLIC KEY-----\nKay64UG8yvCyLhqU000LxzYeUm0L/hLIl5S8kyKWbdc=\n-----END SIGNING "
		"PUBLIC KEY-----\n";

static int loads(const char *text, size_t len, struct why *why)
{
	unsigned char sig[64];
	struct distsign d;
	crypto_sign_detached(sig, NULL, (const unsigned char *)text, len, root_secret);
	return distsign_load(&d, &roots, text, len, sig, 64, why) == 0;
}

static struct seal *sealed(const void *p, size_t n)
{
	struct seal *s = seal_new(1 << 20);
	seal_add(s, p, n);
	return s;
}

static int checks(const struct distsign *d, const void *p, size_t n, const void *sig, size_t sig_len)
{
	struct seal *s = sealed(p, n);
	struct why why;
	char signer[65];
	int rc = distsign_check(d, s, sig, sig_len, signer, &why);
	if ((rc == 0) != seal_trusted(s))
		printf("# trusted, and not\n"), rc = -2;
	seal_free(s);
	return rc == 0;
}

static void sign_message(unsigned char sig[64], const void *p, size_t n, size_t said, int is_big_endian)
{
	unsigned char msg[DIGEST_MAX];
	digest_of(DIGEST_BLAKE2S, p, n, msg);
	for (int i = 0; i < 8; i++)
		msg[32 + (is_big_endian ? 7 - i : i)] = said >> 8 * i;
	crypto_sign_detached(sig, NULL, msg, 40, signing_secret);
}

static void test_vector(struct distsign *d)
{
	unsigned char sig[64], pub_sig[64];
	struct why why;
	ok(sign_unhex(pub_sig, 64, "9026f7f67dc12e5b4c0494238e22296a129e140729d729d2d0e37602b23f4beb"
		"286428364432131c7f6d0fac1d4a6fbe223d4528052bff5b90b2b83103e2d303", 128) == 0 &&
		distsign_load(d, &roots, pub, strlen(pub), pub_sig, 64, &why) == 0 && d->count == 1 &&
		!strcmp(d->pub_sha256, "b51f504ee162c4801199747e5234f368f504c84ad2bbd11ce683debf938563ed") &&
		!strcmp(d->root, "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"), "a known key file");
	ok(sign_unhex(sig, 64, "279258b87dc8ca930450d760be78f4ef242162b3f45f15a5cf8e84a179210795"
		"638f0715671f38e823bea784ba52a6f5f26d6a2b1c67ab1f974ef8367951200f", 128) == 0 &&
		checks(d, file, 16, sig, 64), "a known signature");
	ok(!distsign_load(&(struct distsign){0}, &roots, pub, strlen(pub), pub_sig, 63, &why) ? 0 : why.reason == R_BAD_SIGNATURE,
		"A5: a key file's signature of 63 bytes");
	pub_sig[5] ^= 1;
	ok(distsign_load(&(struct distsign){0}, &roots, pub, strlen(pub), pub_sig, 64, &why) < 0 && why.reason == R_UNKNOWN_SIGNER,
		"A4: a key file that nobody we know signed");
	struct distsign_roots real;
	pub_sig[5] ^= 1;
	ok(distsign_roots(&real, NULL, &why) == 0 && real.count == 2 &&
		distsign_load(&(struct distsign){0}, &real, pub, strlen(pub), pub_sig, 64, &why) < 0, "Tailscale's roots did not sign it");
	unsigned char dev[32];
	sign_base64(dev, 32, "Muw5GkO5mASsJ7k6kS+svfuanr6XcW9I7fPGtyqOTeI=", 44);
	ok(memcmp(real.key[0], dev, 32) && memcmp(real.key[1], dev, 32), "the retired development root is not among them");
}

static void test_files(const struct distsign *d)
{
	unsigned char sig[66] = {0}, other[64];
	sign_message(sig, file, 16, 16, 0);
	ok(checks(d, file, 16, sig, 64), "a file as it is signed");
	ok(!checks(d, file, 16, sig, 0) && !checks(d, file, 16, sig, 63) && !checks(d, file, 16, sig, 65), "A5: 0, 63, 65 bytes");
	ok(!checks(d, "hello tailscale\n\n", 17, sig, 64) && !checks(d, file, 15, sig, 64) && !checks(d, "", 0, sig, 64),
		"another file, longer, shorter, empty");
	ok(!checks(d, file, 16, (unsigned char[64]){0}, 64), "A5: all zero");
	sign_message(other, file, 16, 17, 0);
	ok(!checks(d, file, 16, other, 64), "a length off by one");
	sign_message(other, file, 16, 16, 1);
	ok(!checks(d, file, 16, other, 64), "a big-endian length");
	crypto_sign_detached(other, NULL, (const unsigned char *)file, 16, signing_secret);
	ok(!checks(d, file, 16, other, 64), "a signature of the file without its hash");
	memcpy(signing_secret, root_secret, 64);
	sign_message(other, file, 16, 16, 0);
	ok(!checks(d, file, 16, other, 64), "a file signed by the root itself");
}

static void test_key_files(void)
{
	static const char *const bad[] = {
		"", "\n", "-----BEGIN ROOT PUBLIC KEY-----\nKay64UG8yvCyLhqU000LxzYeUm0L/hLIl5S8kyKWbdc=\n-----END ROOT PUBLIC KEY-----\n",
		"-----BEGIN SIGNING PUBLIC KEY-----\nKay64UG8yvCyLhqU000LxzYeUm0L/hLIl5S8kyKWbdc=\n-----END ROOT PUBLIC KEY-----\n",
		"-----BEGIN SIGNING PUBLIC KEY-----\nKay64UG8yvCyLhqU000LxzYeUm0L/hLIl5S8kyKWbQ==\n-----END SIGNING PUBLIC KEY-----\n",
		"-----BEGIN SIGNING PUBLIC KEY-----\nKay64UG8yvCyLhqU000LxzYeUm0L/hLIl5S8kyKWbdcA\n-----END SIGNING PUBLIC KEY-----\n",
		"-----BEGIN SIGNING PUBLIC KEY-----\nKay64UG8yvCyLhqU000LxzYeUm0L/hLIl5S8kyKWbdd=\n-----END SIGNING PUBLIC KEY-----\n",
		"-----BEGIN SIGNING PUBLIC KEY-----\n-----END SIGNING PUBLIC KEY-----\n",
		"-----BEGIN SIGNING PUBLIC KEY-----\r\nKay64UG8yvCyLhqU000LxzYeUm0L/hLIl5S8kyKWbdc=\r\n-----END SIGNING PUBLIC KEY-----\r\n",
	};
	char text[4096];
	struct why why = {0};
	int n = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (loads(bad[i], strlen(bad[i]), &why) || why.reason != R_BAD_ARCHIVE)
			printf("# taken: %s\n", bad[i]), n++;
	ok(!n, "A4: signed, but no keys, other types, 31 and 33 bytes, bits left over, CR");
	snprintf(text, sizeof text, "%s%s", pub, pub);
	ok(loads(text, strlen(text), &why), "A4: two keys");
	snprintf(text, sizeof text, "%s\n", pub);
	int after = loads(text, strlen(text), &why);
	snprintf(text, sizeof text, "x\n%s", pub);
	ok(!after && !loads(text, strlen(text), &why), "A4: anything before or behind the keys");
	*text = 0;
	for (int i = 0; i < DISTSIGN_KEYS + 1; i++)
		strcat(text, pub);
	ok(!loads(text, strlen(text), &why), "A4: too many keys");
	n = 0;
	for (size_t i = 0; i < strlen(pub); i++)
		n += loads(pub, i, &why);
	ok(!n, "A4: cut at every byte");
}

static void test_versions(void)
{
	static const struct { const char *a, *b; int want; } cases[] = {
		{"1.2.3", "1.2.3", 0}, {"1.9.0", "1.10.0", -1}, {"1.102.5", "1.98.10", 1}, {"12", "12.0", -1}, {"1.2.03", "1.2.3", 0},
		{"1.2.3-t1", "1.2.3", 1}, {"", "", 0}, {"", "0", -1}, {"a", "b", -1}, {"1.100000000000000000000", "1.99", 1},
	};
	int bad = 0, major, minor;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int d = release_compare(cases[i].a, cases[i].b), e = release_compare(cases[i].b, cases[i].a);
		d = (d > 0) - (d < 0), e = (e > 0) - (e < 0);
		if (d != cases[i].want || e != -d)
			printf("# %s and %s: %d, %d\n", cases[i].a, cases[i].b, d, e), bad++;
	}
	ok(!bad, "which version is newer");
	ok(release_is_version("1.102.5") && release_is_version("0.0.0") && !release_is_version("1.2") && !release_is_version("1.2.3.4") &&
		!release_is_version("01.2.3") && !release_is_version("1.2.3 ") && !release_is_version("1.2.1234567890") && !release_is_version("") &&
		!release_is_version("1..2") && !release_is_version("../1.2.3"), "what a version is");
	ok(release_parts("1.102.5", &major, &minor) == 0 && major == 1 && minor == 102 && release_parts("x", &major, &minor) < 0 &&
		!minor, "its parts");
	struct why why;
	ok(release_check_downgrade("1.2.2", "1.2.3", "which is installed", &why) < 0 && why.reason == R_DOWNGRADE &&
		release_check_downgrade("1.2.3", "1.2.3", "", &why) == 0 && release_check_downgrade("1.2.3", NULL, "", &why) == 0, "A3: no downgrade");
	char dir[] = "/tmp/release-XXXXXX", path[200], version[32];
	ok(mkdtemp(dir) != NULL, "a prefix");
	ok(release_installed(dir, version) < 0, "nothing installed");
	snprintf(path, sizeof path, "cd %s && mkdir -p lib/moorbox && ln -s 1.90.1 lib/moorbox/current", dir);
	ok(system(path) == 0 && release_installed(dir, version) == 0 && !strcmp(version, "1.90.1"), "what is installed");
	snprintf(path, sizeof path, "rm -r %s", dir);
	ok(system(path) == 0, "gone");
}

static void test_pins(void)
{
	struct pins pins = {0};
	struct pin p = {.file = "a.tgz", .version = "1.90.1", .arch = "amd64", .size = 5}, q;
	struct why why;
	memset(p.sha256, 'a', 64);
	for (int i = 0; i < 20; i++) {
		q = p;
		snprintf(q.file, sizeof q.file, "%02d.tgz", 19 - i);
		snprintf(q.arch, sizeof q.arch, "arch%d", i);
		pin_put(&pins, &q);
	}
	pin_put(&pins, &p);
	char path[] = "/tmp/pins-XXXXXX";
	close(mkstemp(path));
	ok(pin_save(&pins, path, &why) == 0, "a lock file is written");
	pin_free(&pins);
	ok(pin_load(&pins, path, &why) == 0 && pins.count == 21 && !strcmp(pins.p[0].file, "00.tgz"), "and read, sorted");
	ok(pin_check(&pins, &p, &why) == 0, "what it has");
	q = p, q.sha256[3] = 'b';
	ok(pin_check(&pins, &q, &why) < 0 && why.reason == R_PIN_DIFFERS, "other bytes");
	q = p, strcpy(q.file, "b.tgz");
	ok(pin_check(&pins, &q, &why) < 0 && why.reason == R_NOT_PINNED, "another file");
	strcpy(q.version, "1.90.0");
	ok(pin_check(&pins, &q, &why) < 0 && why.reason == R_DOWNGRADE, "A3: an older one than the lock file has");
	p.index_date = 1000;
	pin_put(&pins, &p);
	q = p, q.index_date = 999;
	ok(pin_check(&pins, &q, &why) < 0 && why.reason == R_REPLAY, "an older index than the lock file's");
	pin_free(&pins);
	static const char *const bad[] = {"x\n", "{}\n", "{\"file\":\"a\"}\n", "{\"file\":\"a\",\"sha256\":\"zz\"}\n", "[]\n",
		("{\"file\":\"a\",\"sha256\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n"
		"{\"file\":\"a\",\"sha256\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n")};
	int taken = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		FILE *f = fopen(path, "w");
		fputs(bad[i], f);
		fclose(f);
		taken += pin_load(&pins, path, &why) == 0 || why.reason != R_BAD_LOCK;
	}
	ok(!taken, "what is no lock file");
	unlink(path);
}

int main(void)
{
	unsigned char seed[32], key[32];
	struct distsign d;
	for (int i = 0; i < 32; i++)
		seed[i] = i;
	crypto_sign_seed_keypair(roots.key[0], root_secret, seed);
	for (int i = 0; i < 32; i++)
		seed[i] = 32 + i;
	crypto_sign_seed_keypair(key, signing_secret, seed);
	test_vector(&d);
	test_files(&d);
	test_key_files();
	test_versions();
	test_pins();
	printf("1..%d\n", count);
	return failed != 0;
}
