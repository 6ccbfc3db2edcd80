/* gcm_test - deps/patches/mbedtls/01-gcm-bulk.patch: many blocks at once are the same as one by one, and as NIST says */
#include <mbedtls/gcm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 3000 };
static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

struct job { unsigned char key[32], iv[16], ad[20]; int bits, mode; size_t iv_len; };

/* In pieces of so many bytes: below eight blocks nothing is done in bulk. */
static void run(const struct job *j, const unsigned char *in, unsigned char *out, size_t n, size_t piece, unsigned char tag[16])
{
	mbedtls_gcm_context g;
	size_t got, at = 0;
	mbedtls_gcm_init(&g);
	int rc = mbedtls_gcm_setkey(&g, MBEDTLS_CIPHER_ID_AES, j->key, j->bits);
	rc |= mbedtls_gcm_starts(&g, j->mode, j->iv, j->iv_len);
	rc |= mbedtls_gcm_update_ad(&g, j->ad, sizeof j->ad);
	for (size_t i = 0; i < n; i += piece, at += got)
		rc |= mbedtls_gcm_update(&g, in + i, n - i < piece ? n - i : piece, out + at, MOST - at, &got);
	rc |= mbedtls_gcm_finish(&g, out + at, MOST - at, &got, tag, 16);
	mbedtls_gcm_free(&g);
	if (rc)
		abort();
}

static void fill(unsigned char *p, size_t n)
{
	static unsigned seed = 1;
	for (size_t i = 0; i < n; i++)
		p[i] = (seed = seed * 1103515245 + 12345) >> 16;
}

static int same_everywhere(void)
{
	static unsigned char text[MOST], once[MOST], slow[MOST], place[MOST];
	unsigned char a[16], b[16], c[16];
	int same = 1;
	for (size_t n = 0; n < MOST - 16; n += 1 + n / 17)
		for (int kind = 0; kind < 6; kind++) {
			struct job j = {.bits = 128 + kind / 2 * 64, .mode = kind & 1 ? MBEDTLS_GCM_ENCRYPT : MBEDTLS_GCM_DECRYPT,
				.iv_len = n % 3 ? 12 : 16};
			fill(j.key, sizeof j.key + sizeof j.iv + sizeof j.ad);
			fill(text, n);
			memcpy(place, text, n);
			run(&j, text, once, n, n ? n : 1, a);
			run(&j, text, slow, n, 16, b);
			run(&j, place, place, n, 7 * 16 + n % 5 * 16, c);
			same &= !memcmp(once, slow, n) && !memcmp(once, place, n) && !memcmp(a, b, 16) && !memcmp(a, c, 16);
		}
	return same;
}

/* The counter is 32 bits wide and goes round. */
static int goes_round(void)
{
	static unsigned char text[MOST], once[MOST], slow[MOST];
	unsigned char a[16], b[16];
	mbedtls_gcm_context g[2];
	size_t got;
	struct job j = {.bits = 256};
	fill(text, 1024);
	for (int i = 0; i < 2; i++) {
		mbedtls_gcm_init(&g[i]);
		mbedtls_gcm_setkey(&g[i], MBEDTLS_CIPHER_ID_AES, j.key, j.bits);
		mbedtls_gcm_starts(&g[i], MBEDTLS_GCM_ENCRYPT, j.iv, 12);
		memcpy(g[i].MBEDTLS_PRIVATE(y) + 12, "\xff\xff\xff\xfd", 4);
	}
	mbedtls_gcm_update(&g[0], text, 1024, once, MOST, &got);
	for (size_t n = 0; n < 1024; n += 16)
		mbedtls_gcm_update(&g[1], text + n, 16, slow + n, MOST, &got);
	mbedtls_gcm_finish(&g[0], NULL, 0, &got, a, 16);
	mbedtls_gcm_finish(&g[1], NULL, 0, &got, b, 16);
	mbedtls_gcm_free(&g[0]);
	mbedtls_gcm_free(&g[1]);
	return !memcmp(once, slow, 1024) && !memcmp(a, b, 16);
}

/* The first block of NIST SP 800-38D, test case 15, at the head of 16 of them: what eight at a time make of it. */
static int as_published(void)
{
	static const unsigned char key[32] = {0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
		0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
	static const unsigned char iv[12] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
	static const unsigned char text[16] = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a};
	static const unsigned char want[16] = {0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3, 0x2a, 0x84, 0x42, 0x7d};
	unsigned char in[256] = {0}, out[256], tag[16];
	mbedtls_gcm_context g;
	memcpy(in, text, 16);
	mbedtls_gcm_init(&g);
	int rc = mbedtls_gcm_setkey(&g, MBEDTLS_CIPHER_ID_AES, key, 256) ||
		mbedtls_gcm_crypt_and_tag(&g, MBEDTLS_GCM_ENCRYPT, sizeof in, iv, 12, NULL, 0, in, out, 16, tag);
	mbedtls_gcm_free(&g);
	return !rc && !memcmp(out, want, 16);
}

int main(void)
{
	ok(same_everywhere(), "AES-GCM: in bulk, block by block, in place: every key size, both ways");
	ok(goes_round(), "AES-GCM: the counter goes round within eight blocks");
	ok(as_published(), "AES-GCM: the first block as NIST has it, by the bulk way");
	printf("1..%d\n", count);
	return failed != 0;
}
