/* sign_test - lib/means/sign: digests and signatures against known answers; lib/means/seal: bytes that stay what they were */
#include "seal.h"
#include "sign.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static int digest_is(enum digest_kind kind, const void *p, size_t n, const char *hex)
{
	unsigned char sum[DIGEST_MAX];
	char got[2 * DIGEST_MAX + 1];
	sign_hex(got, sum, digest_of(kind, p, n, sum));
	if (strcmp(got, hex))
		printf("# %s, not %s\n", got, hex);
	return !strcmp(got, hex);
}

static void test_digests(void)
{
	ok(digest_is(DIGEST_SHA1, "abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d"), "SHA-1 of abc");
	ok(digest_is(DIGEST_SHA256, "abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") &&
		digest_is(DIGEST_SHA256, "", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") &&
		digest_is(DIGEST_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"), "SHA-256: FIPS 180");
	ok(digest_is(DIGEST_SHA512, "abc", 3, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
		"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"), "SHA-512 of abc");
	ok(digest_is(DIGEST_BLAKE2S, "abc", 3, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982") &&
		digest_is(DIGEST_BLAKE2S, "", 0, "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9"), "BLAKE2s: RFC 7693");
	ok(digest_is(DIGEST_BLAKE2B, "abc", 3, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
		"7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"), "BLAKE2b: RFC 7693");
}

static void test_lengths(void)
{
	static unsigned char big[5000];
	int bad = 0;
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = i * 31 + (i >> 8);
	for (int kind = 0; kind < DIGEST_KINDS; kind++)
		for (size_t len = 0; len < 300; len++) {
			unsigned char whole[DIGEST_MAX], pieces[DIGEST_MAX];
			struct digest d;
			digest_of(kind, big, len * 7, whole);
			digest_start(&d, kind);
			for (size_t at = 0, n = len % 5; at < len * 7; at += n, n = n * 3 + 1) {
				if (n > len * 7 - at)
					n = len * 7 - at;
				digest_add(&d, big + at, n);
			}
			digest_end(&d, pieces);
			bad += memcmp(whole, pieces, digest_size(kind)) != 0;
		}
	ok(!bad, "any length gives the same in pieces as at once");
	/* SHA-256 and BLAKE2s of 5000 bytes, by hashlib */
	ok(digest_is(DIGEST_SHA256, big, sizeof big, "b5eaa690b0bc3b91b693d582ba42e0a4c5eabd8d8d5b3d7bd0e8e602ec950c06") &&
		digest_is(DIGEST_BLAKE2S, big, sizeof big, "a3b11a3a7728c8f0e0e527744799aeb0c58f40694740ffaa10e58b8d375b8967"),
		"5000 bytes, as others have it");
}

/* Lines of: key, signature, 0x and message, what ed25519consensus says, which kind. Made by tests/release/release vectors. */
static void test_ed25519(void)
{
	static char line[1024], key_hex[80], sig_hex[160], msg_hex[512], says[8], what[32];
	unsigned char key[32], sig[64], msg[256];
	int taken_too_much = 0, honest = 0, honest_taken = 0, stricter = 0, n = 0;
	FILE *f = fopen("tests/release/ed25519.txt", "r");
	while (f && fgets(line, sizeof line, f) && sscanf(line, "%79s %159s %511s %7s %31s", key_hex, sig_hex, msg_hex, says, what) == 5) {
		size_t len = (strlen(msg_hex) - 2) / 2;
		if (sign_unhex(key, 32, key_hex, strlen(key_hex)) < 0 || sign_unhex(sig, 64, sig_hex, strlen(sig_hex)) < 0 ||
			sign_unhex(msg, len, msg_hex + 2, strlen(msg_hex + 2)) < 0)
			break;
		int taken = sign_ed25519(key, sig, msg, len), reference = !strcmp(says, "yes"), is_honest = !strcmp(what, "honest");
		n++;
		honest += is_honest;
		honest_taken += is_honest && taken;
		taken_too_much += taken && !reference;
		stricter += !taken && reference;
		if (taken != reference && strcmp(what, "small-order") && strncmp(what, "mixed", 5) && strcmp(what, "zero-key"))
			printf("# differs: %s\n", line), taken_too_much++;
	}
	if (f)
		fclose(f);
	printf("# %d vectors; %d that only ZIP-215 takes, all of small or mixed order\n", n, stricter);
	ok(n > 300 && !taken_too_much, "A5: nothing is taken that the reference refuses");
	ok(honest == 16 && honest_taken == 16, "A5: every honest signature is taken");
}

static void test_rsa(void)
{
	unsigned char n[256], sig[256] = {0}, e[] = {1, 0, 1}, sum[DIGEST_MAX] = {0};
	memset(n, 0xff, sizeof n);
	ok(!sign_rsa(n, sizeof n, e, 3, DIGEST_SHA256, sum, sig, sizeof sig), "RSA: a signature of zeros is none");
	memset(sig, 0xff, sizeof sig);
	ok(!sign_rsa(n, sizeof n, e, 3, DIGEST_SHA256, sum, sig, sizeof sig), "RSA: nor is one as large as the modulus");
	ok(!sign_rsa(n, 255, e, 3, DIGEST_SHA256, sum, sig, 255) && !sign_rsa(n, sizeof n, e, 0, DIGEST_SHA256, sum, sig, sizeof sig) &&
		!sign_rsa(n, sizeof n, (unsigned char[]){1}, 1, DIGEST_SHA256, sum, sig, sizeof sig) &&
		!sign_rsa(n, sizeof n, (unsigned char[]){4}, 1, DIGEST_SHA256, sum, sig, sizeof sig) &&
		!sign_rsa(n, sizeof n, e, 3, DIGEST_SHA1, sum, sig, sizeof sig) && !sign_rsa(n, 0, e, 3, DIGEST_SHA256, sum, sig, 0),
		"RSA: short, e of 1, even e, SHA-1, nothing at all");
}

static void test_text(void)
{
	unsigned char b[8];
	ok(sign_base64(b, 8, "TWE=", 4) == 2 && sign_base64(b, 8, "TWFu", 4) == 3 && sign_base64(b, 8, "TQ==", 4) == 1 &&
		sign_base64(b, 8, "", 0) == 0, "base64");
	ok(sign_base64(b, 8, "TWF=", 4) < 0 && sign_base64(b, 8, "TR==", 4) < 0 && sign_base64(b, 8, "TQ=", 3) < 0 &&
		sign_base64(b, 8, "T===", 4) < 0 && sign_base64(b, 8, "====", 4) < 0 && sign_base64(b, 8, "TQ==TQ==", 8) < 0 &&
		sign_base64(b, 8, "TW E", 4) < 0 && sign_base64(b, 8, "TW-_", 4) < 0 && sign_base64(b, 2, "TWFu", 4) < 0 &&
		sign_base64(b, 8, "TWFuTWFuTWFu", 12) < 0, "base64: bits left over, padding, blanks, too long");
	ok(sign_unhex(b, 2, "aB09", 4) == 0 && b[0] == 0xab && b[1] == 9 && sign_unhex(b, 2, "aB0", 3) < 0 &&
		sign_unhex(b, 2, "aB0g", 4) < 0 && sign_unhex(b, 2, "aB09a", 5) < 0, "hex");
	ok(sign_equal("abc", "abc", 3) && !sign_equal("abc", "abd", 3) && sign_equal("a", "b", 0), "equal");
}

static void test_seal(void)
{
	struct why why;
	struct seal *s = seal_new(10);
	unsigned char sum[DIGEST_MAX];
	ok(seal_add(s, "hello ", 6) == 0 && seal_add(s, "world", 5) < 0 && seal_add(s, "worl", 4) == 0 && seal_size(s) == 10, "seal: its maximum");
	ok(!seal_trusted(s) && !seal_trust_digest(s, DIGEST_SHA256, (unsigned char[32]){0}) && !seal_trusted(s),
		"seal: a wrong digest changes nothing");
	digest_of(DIGEST_SHA256, "hello worl", 10, sum);
	ok(seal_trust_digest(s, DIGEST_SHA256, sum) && seal_trusted(s) && seal_add(s, "", 0) < 0, "seal: the right one seals it");
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		if (freopen("/dev/null", "w", stderr))	/* where a sanitizer tells of it */
			fflush(stderr);
		*(volatile unsigned char *)(unsigned long)seal_bytes(s) = 'j';
		_exit(0);
	}
	int status;
	ok(waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status) == 0), "seal: its memory cannot be written any more");
	seal_free(s);

	char path[] = "/tmp/seal-XXXXXX";
	int fd = mkstemp(path);
	ok(fd >= 0 && write(fd, "before", 6) == 6 && (s = seal_read(fd, 0, -1, 6, "x", &why)) != NULL, "seal: of a file");
	digest_of(DIGEST_SHA256, "before", 6, sum);
	ok(pwrite(fd, "after!", 6, 0) == 6 && seal_trust_digest(s, DIGEST_SHA256, sum) && !memcmp(seal_bytes(s), "before", 6),
		"seal: the file changes, the bytes do not");
	seal_free(s);
	ok(!seal_read(fd, 0, -1, 5, "x", &why) && why.reason == R_TOO_BIG && !seal_read(fd, 3, 4, 10, "x", &why) &&
		!seal_open(AT_FDCWD, "/dev/zero", 10, &why) && why.reason == R_NOT_OURS, "seal: too large, too short, no file");
	close(fd);
	unlink(path);
}

static int along_is(struct seal *s, const char *text)
{
	unsigned char a[DIGEST_MAX], b[DIGEST_MAX];
	digest_of(DIGEST_SHA256, text, strlen(text), a);
	digest_of(DIGEST_BLAKE2S, text, strlen(text), b);
	return !memcmp(seal_digest(s, DIGEST_SHA256), a, 32) && !memcmp(seal_digest(s, DIGEST_BLAKE2S), b, 32) &&
		seal_size(s) == strlen(text);
}

static void test_along(void)
{
	struct seal *s = seal_new(1000);
	seal_add(s, "what was ", 9);
	seal_hash_along(s);
	seal_add(s, "there", 5);
	seal_add(s, "", 0);
	ok(along_is(s, "what was there") && along_is(s, "what was there"), "seal: hashed while it comes, what was there first");
	seal_add(s, " and", 4);
	ok(along_is(s, "what was there and"), "seal: and more after it was asked for");
	seal_cut(s);
	seal_add(s, "anew", 4);
	ok(along_is(s, "anew"), "seal: started again");
	seal_free(s);
	s = seal_new(1000);
	seal_hash_along(s);
	seal_cut(s);
	seal_add(s, "x", 1);
	seal_add(s, "y", 1);
	unsigned char sum[DIGEST_MAX];
	digest_of(DIGEST_SHA256, "xy", 2, sum);
	ok(seal_trust_digest(s, DIGEST_SHA256, sum) && along_is(s, "xy"), "seal: trusted by what was hashed along");
	seal_free(s);
	s = seal_new(10);
	seal_hash_along(s);
	seal_free(s);
}

int main(void)
{
	test_digests();
	test_lengths();
	test_ed25519();
	test_rsa();
	test_text();
	test_seal();
	test_along();
	printf("1..%d\n", count);
	return failed != 0;
}
