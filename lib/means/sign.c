/* sign - digests and signatures */
#include "sign.h"
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <sodium/crypto_generichash_blake2b.h>
#include <sodium/crypto_sign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The two inner loops are what verifying waits for; the rest of the program is built for size. */
#if defined __GNUC__ && !defined __clang__
#define FAST __attribute__((optimize("O3")))
#else
#define FAST
#endif

/* ---- blocks of 64 bytes, for the two digests that are our own ---- */

struct blocks {
	uint32_t h[8];
	uint64_t total;
	size_t held;
	unsigned char block[64];
};
_Static_assert(sizeof(struct blocks) <= sizeof(((struct digest *)0)->room), "room");
_Static_assert(sizeof(crypto_generichash_blake2b_state) <= sizeof(((struct digest *)0)->room), "room");
_Static_assert(sizeof(mbedtls_md_context_t) <= sizeof(((struct digest *)0)->room), "room");

static uint32_t le32(const unsigned char *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static const uint32_t sha256_iv[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* ---- BLAKE2s-256 (RFC 7693) ---- */

static const unsigned char sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define MIX(a, b, c, d, x, y) \
	a += b + (x), d = ROTATE(d ^ a, 16), c += d, b = ROTATE(b ^ c, 12), \
	a += b + (y), d = ROTATE(d ^ a, 8), c += d, b = ROTATE(b ^ c, 7)
#define ROUND(s) \
	MIX(v0, v4, v8, v12, m[s[0]], m[s[1]]), MIX(v1, v5, v9, v13, m[s[2]], m[s[3]]), \
	MIX(v2, v6, v10, v14, m[s[4]], m[s[5]]), MIX(v3, v7, v11, v15, m[s[6]], m[s[7]]), \
	MIX(v0, v5, v10, v15, m[s[8]], m[s[9]]), MIX(v1, v6, v11, v12, m[s[10]], m[s[11]]), \
	MIX(v2, v7, v8, v13, m[s[12]], m[s[13]]), MIX(v3, v4, v9, v14, m[s[14]], m[s[15]])

/* count: message bytes up to and with this block. The names begin with mb_ because libarchive exports blake2s_... */
FAST static void mb_blake2s_block(uint32_t h[8], const unsigned char *p, uint64_t count, uint32_t last)
{
	uint32_t m[16];
	for (int i = 0; i < 16; i++)
		m[i] = le32(p + 4 * i);
	uint32_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
	uint32_t v8 = sha256_iv[0], v9 = sha256_iv[1], v10 = sha256_iv[2], v11 = sha256_iv[3];
	uint32_t v12 = sha256_iv[4] ^ (uint32_t)count, v13 = sha256_iv[5] ^ (uint32_t)(count >> 32);
	uint32_t v14 = sha256_iv[6] ^ last, v15 = sha256_iv[7];
	/* written out, so that every index is a constant */
	ROUND(sigma[0]); ROUND(sigma[1]); ROUND(sigma[2]); ROUND(sigma[3]); ROUND(sigma[4]);
	ROUND(sigma[5]); ROUND(sigma[6]); ROUND(sigma[7]); ROUND(sigma[8]); ROUND(sigma[9]);
	h[0] ^= v0 ^ v8, h[1] ^= v1 ^ v9, h[2] ^= v2 ^ v10, h[3] ^= v3 ^ v11;
	h[4] ^= v4 ^ v12, h[5] ^= v5 ^ v13, h[6] ^= v6 ^ v14, h[7] ^= v7 ^ v15;
}

static void mb_blake2s_start(struct blocks *b)
{
	memcpy(b->h, sha256_iv, sizeof b->h);
	b->h[0] ^= 0x01010020;		/* 32 bytes, no key, one leaf */
	b->total = b->held = 0;
}

/* The last block is marked, so one is always kept back. */
static void mb_blake2s_add(struct blocks *b, const unsigned char *p, size_t n)
{
	while (n) {
		if (b->held == 64) {
			mb_blake2s_block(b->h, b->block, b->total += 64, 0);
			b->held = 0;
		}
		for (; !b->held && n > 64; p += 64, n -= 64)
			mb_blake2s_block(b->h, p, b->total += 64, 0);
		size_t take = 64 - b->held < n ? 64 - b->held : n;
		memcpy(b->block + b->held, p, take);
		b->held += take, p += take, n -= take;
	}
}

static void mb_blake2s_end(struct blocks *b, unsigned char out[32])
{
	memset(b->block + b->held, 0, 64 - b->held);
	mb_blake2s_block(b->h, b->block, b->total + b->held, 0xffffffff);
	for (int i = 0; i < 32; i++)
		out[i] = b->h[i / 4] >> 8 * (i % 4);
}

/* ---- SHA-256 by the processor's own instructions, eight times as fast as in C ---- */

#if defined __x86_64__
#include <cpuid.h>
#include <immintrin.h>

static const uint32_t sha256_k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
	0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
	0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static int has_sha_ni(void)
{
	static int known = -1;
	unsigned a, b, c, d;
	if (known < 0)
		known = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSSE3 && c & bit_SSE4_1 &&
			__get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1u << 29;
	return known;
}

/* The order of words that the instructions want is ABEF and CDGH. */
__attribute__((target("sha,sse4.1"))) FAST
static void sha256_blocks(uint32_t h[8], const unsigned char *p, size_t count)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	__m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0xb1);
	__m128i cdgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(t, cdgh, 8);
	cdgh = _mm_blend_epi16(cdgh, t, 0xf0);
	for (; count; count--, p += 64) {
		__m128i was_abef = abef, was_cdgh = cdgh, w[4];
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			if (i < 4) {
				w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
			} else {
				__m128i last = w[(i + 3) & 3];
				__m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]),
					_mm_alignr_epi8(last, w[(i + 2) & 3], 4));
				w[i & 3] = _mm_sha256msg2_epu32(sum, last);
			}
			__m128i k = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(sha256_k + 4 * i)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
		}
		abef = _mm_add_epi32(abef, was_abef);
		cdgh = _mm_add_epi32(cdgh, was_cdgh);
	}
	t = _mm_shuffle_epi32(abef, 0x1b);
	cdgh = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)h, _mm_blend_epi16(t, cdgh, 0xf0));
	_mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(cdgh, t, 8));
}
#else
static int has_sha_ni(void)
{
	return 0;
}
static void sha256_blocks(uint32_t h[8], const unsigned char *p, size_t count)
{
	(void)h, (void)p, (void)count;
}
#endif

static void sha256_add(struct blocks *b, const unsigned char *p, size_t n)
{
	b->total += n;
	if (b->held) {
		size_t take = 64 - b->held < n ? 64 - b->held : n;
		memcpy(b->block + b->held, p, take);
		b->held += take, p += take, n -= take;
		if (b->held < 64)
			return;
		sha256_blocks(b->h, b->block, 1);
	}
	sha256_blocks(b->h, p, n / 64);
	b->held = n % 64;
	memcpy(b->block, p + n - b->held, b->held);
}

static void sha256_end(struct blocks *b, unsigned char out[32])
{
	static const unsigned char pad[64] = {0x80};
	unsigned char length[8];
	uint64_t bits = b->total * 8;
	for (int i = 0; i < 8; i++)
		length[i] = bits >> (56 - 8 * i);
	sha256_add(b, pad, 1 + (119 - b->held) % 64);
	sha256_add(b, length, 8);
	for (int i = 0; i < 32; i++)
		out[i] = b->h[i / 4] >> (24 - 8 * (i % 4));
}

/* ---- digests, whoever makes them ---- */

/* mbedTLS 4 hides the headers of each hash and of RSA; md.h and pk.h stay, so only they are used here. */
static const mbedtls_md_info_t *md_info(enum digest_kind kind)
{
	return mbedtls_md_info_from_type(kind == DIGEST_SHA1 ? MBEDTLS_MD_SHA1 :
		kind == DIGEST_SHA256 ? MBEDTLS_MD_SHA256 : MBEDTLS_MD_SHA512);
}

int digest_size(enum digest_kind kind)
{
	static const int size[DIGEST_KINDS] = {20, 32, 64, 32, 64};
	return size[kind];
}

void digest_start(struct digest *d, enum digest_kind kind)
{
	struct blocks *b = (void *)d->room;
	mbedtls_md_context_t *md = (void *)d->room;
	d->kind = kind;
	if (kind == DIGEST_BLAKE2S) {
		mb_blake2s_start(b);
	} else if (kind == DIGEST_BLAKE2B) {
		crypto_generichash_blake2b_init((void *)d->room, NULL, 0, 64);	/* without sodium_init: its portable C */
	} else if (kind == DIGEST_SHA256 && has_sha_ni()) {
		memcpy(b->h, sha256_iv, sizeof b->h);
		b->total = b->held = 0;
	} else {
		mbedtls_md_init(md);
		if (mbedtls_md_setup(md, md_info(kind), 0) || mbedtls_md_starts(md))
			abort();	/* no memory; a digest that is not one must not be compared with anything */
	}
}

void digest_add(struct digest *d, const void *p, size_t n)
{
	if (!n)
		return;
	if (d->kind == DIGEST_BLAKE2S)
		mb_blake2s_add((void *)d->room, p, n);
	else if (d->kind == DIGEST_BLAKE2B)
		crypto_generichash_blake2b_update((void *)d->room, p, n);
	else if (d->kind == DIGEST_SHA256 && has_sha_ni())
		sha256_add((void *)d->room, p, n);
	else if (mbedtls_md_update((void *)d->room, p, n))
		abort();
}

int digest_end(struct digest *d, unsigned char out[static DIGEST_MAX])
{
	if (d->kind == DIGEST_BLAKE2S) {
		mb_blake2s_end((void *)d->room, out);
	} else if (d->kind == DIGEST_BLAKE2B) {
		crypto_generichash_blake2b_final((void *)d->room, out, 64);
	} else if (d->kind == DIGEST_SHA256 && has_sha_ni()) {
		sha256_end((void *)d->room, out);
	} else {
		if (mbedtls_md_finish((void *)d->room, out))
			abort();
		mbedtls_md_free((void *)d->room);
	}
	return digest_size(d->kind);
}

int digest_of(enum digest_kind kind, const void *p, size_t n, unsigned char out[static DIGEST_MAX])
{
	struct digest d;
	digest_start(&d, kind);
	digest_add(&d, p, n);
	return digest_end(&d, out);
}

/* ---- signatures ---- */

int sign_ed25519(const unsigned char key[static 32], const unsigned char sig[static 64], const void *msg, size_t len)
{
	return crypto_sign_verify_detached(sig, msg, len, key) == 0;
}

/* DER: a tag and the length of what follows, always in two bytes (the parser takes it); the number of bytes written. */
static size_t der_head(unsigned char *p, int tag, size_t n)
{
	p[0] = tag;
	p[1] = 0x82;
	p[2] = n >> 8;
	p[3] = n;
	return 4;
}

static size_t der_int(unsigned char *p, const unsigned char *n, size_t len)
{
	size_t zero = *n >> 7, at = der_head(p, 0x02, len + zero);
	if (zero)
		p[at++] = 0;
	memcpy(p + at, n, len);
	return at + len;
}

/* A SubjectPublicKeyInfo: what every version of the library reads. */
static size_t der_rsa_key(unsigned char der[1300], const unsigned char *n, size_t n_len, const unsigned char *e, size_t e_len)
{
	static const unsigned char rsa[] = {0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0};
	unsigned char body[1200];
	size_t len = der_int(body, n, n_len);
	len += der_int(body + len, e, e_len);
	size_t at = der_head(der, 0x30, sizeof rsa + 4 + 1 + 4 + len);
	memcpy(der + at, rsa, sizeof rsa);
	at += sizeof rsa;
	at += der_head(der + at, 0x03, 1 + 4 + len);
	der[at++] = 0;
	at += der_head(der + at, 0x30, len);
	memcpy(der + at, body, len);
	return at + len;
}

int sign_rsa(const unsigned char *n, size_t n_len, const unsigned char *e, size_t e_len, enum digest_kind kind,
	const unsigned char *digest, const unsigned char *sig, size_t sig_len)
{
	unsigned char der[1300];
	for (; n_len && !*n; n_len--)
		n++;
	for (; e_len && !*e; e_len--)
		e++;
	if (n_len < 256 || n_len > 1024 || (n_len == 256 && *n < 0x80) || !(n[n_len - 1] & 1))
		return 0;
	if (!e_len || e_len > 8 || !(e[e_len - 1] & 1) || (e_len == 1 && *e < 3))
		return 0;
	if (sig_len != n_len || (kind != DIGEST_SHA256 && kind != DIGEST_SHA512))
		return 0;
	mbedtls_pk_context pk;
	mbedtls_pk_init(&pk);
	int good = mbedtls_pk_parse_public_key(&pk, der, der_rsa_key(der, n, n_len, e, e_len)) == 0 &&
		mbedtls_pk_can_do(&pk, MBEDTLS_PK_RSA) &&
		mbedtls_pk_verify(&pk, kind == DIGEST_SHA256 ? MBEDTLS_MD_SHA256 : MBEDTLS_MD_SHA512,
			digest, digest_size(kind), sig, sig_len) == 0;
	mbedtls_pk_free(&pk);
	return good;
}

int sign_equal(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char differ = 0;
	for (size_t i = 0; i < n; i++)
		differ |= x[i] ^ y[i];
	return !differ;
}

/* ---- how they are written ---- */

char *sign_hex(char *dst, const void *p, size_t n)
{
	const unsigned char *b = p;
	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = "0123456789abcdef"[b[i] >> 4];
		dst[2 * i + 1] = "0123456789abcdef"[b[i] & 15];
	}
	dst[2 * n] = 0;
	return dst;
}

static int hex_digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int sign_unhex(void *dst, size_t n, const char *text, size_t len)
{
	unsigned char *out = dst;
	if (len != 2 * n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(text[2 * i]), lo = hex_digit(text[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return -1;
		out[i] = hi << 4 | lo;
	}
	return 0;
}

static int base64_value(int c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 :
		c == '+' ? 62 : c == '/' ? 63 : -1;
}

long sign_base64(void *dst, size_t size, const char *text, size_t len)
{
	unsigned char *out = dst;
	size_t pad = len && text[len - 1] == '=' ? 1 + (len > 1 && text[len - 2] == '=') : 0, n = 0;
	if (len % 4 || size < len / 4 * 3 - pad)
		return -1;
	unsigned bits = 0;
	for (size_t i = 0; i < len - pad; i++) {
		int v = base64_value(text[i]);
		if (v < 0)
			return -1;
		bits = bits << 6 | v;
		if (i % 4)
			out[n++] = bits >> (6 - i % 4 * 2);
	}
	if ((pad == 1 && bits & 3) || (pad == 2 && bits & 15))
		return -1;
	return n;
}
