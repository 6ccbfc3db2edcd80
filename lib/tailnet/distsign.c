/* distsign - Tailscale's own signatures of its release files */
#include "distsign.h"
#include "file.h"
#include "sign.h"
#include "str.h"
#include <fcntl.h>
#include <string.h>

/* clientupdate/distsign/roots: crawshaw-root.pem, distsign-prod-root-1-pub.pem. Not the development root of v1.50. */
static const unsigned char tailscale_roots[2][32] = {
	{0x3e, 0xca, 0xda, 0x6e, 0xfd, 0x98, 0x36, 0x21, 0x03, 0x84, 0xf9, 0x67, 0x2d, 0x54, 0x8c, 0xb4,
	 0x1e, 0x44, 0x28, 0x00, 0xa6, 0xef, 0x3c, 0x6f, 0x2b, 0x17, 0xef, 0x60, 0x3e, 0x22, 0xed, 0x7f},
	{0x66, 0x38, 0xca, 0x85, 0x41, 0xc1, 0xb4, 0xb3, 0x53, 0x48, 0xed, 0x5d, 0x84, 0xe4, 0xe3, 0xad,
	 0x72, 0x46, 0x27, 0xc9, 0x43, 0x7b, 0x5e, 0x7d, 0xe1, 0x63, 0x36, 0x5c, 0x3b, 0xa1, 0x79, 0x54},
};

/* One line of the text, which must be there. */
static int line(const char **p, const char *end, const char *want)
{
	size_t n = strlen(want);
	if ((size_t)(end - *p) < n + 1 || memcmp(*p, want, n) || (*p)[n] != '\n')
		return -1;
	*p += n + 1;
	return 0;
}

/* PEM blocks of one type with 32 bytes in each, and nothing else: stricter than Go's reader, which takes text before
 * a block and headers in it. The number of keys, or -1. */
static int pem_keys(const char *p, size_t len, const char *type, unsigned char key[][32])
{
	const char *end = p + len;
	char first[64], last[64];
	int n = 0;
	str_fmt(first, sizeof first, "-----BEGIN %s-----", type);
	str_fmt(last, sizeof last, "-----END %s-----", type);
	for (; p < end; n++) {
		if (n == DISTSIGN_KEYS || line(&p, end, first) < 0)
			return -1;
		if (end - p < 45 || p[44] != '\n' || sign_base64(key[n], 32, p, 44) != 32)
			return -1;
		p += 45;
		if (line(&p, end, last) < 0)
			return -1;
	}
	return n ? n : -1;
}

int distsign_roots(struct distsign_roots *roots, const char *file, struct why *why)
{
	if (!file) {
		roots->count = 2;
		memcpy(roots->key, tailscale_roots, sizeof tailscale_roots);
		return 0;
	}
	struct buf b = {0};
	int rc = file_read(AT_FDCWD, file, &b, DISTSIGN_PUB_MAX, why);
	if (!rc && (roots->count = pem_keys(buf_cstr(&b), b.len, "ROOT PUBLIC KEY", roots->key)) < 0)
		rc = why_set(why, R_BAD_ARCHIVE, "%s: not root keys (PEM blocks of the type ROOT PUBLIC KEY)", file);
	buf_free(&b);
	return rc;
}

int distsign_load(struct distsign *d, const struct distsign_roots *roots, const void *pub, size_t pub_len,
	const void *sig, size_t sig_len, struct why *why)
{
	unsigned char sum[DIGEST_MAX];
	int signer = -1;
	memset(d, 0, sizeof *d);
	if (sig_len != DISTSIGN_SIG)
		return why_set(why, R_BAD_SIGNATURE, "distsign.pub.sig is not a signature: %zu bytes, not 64", sig_len);
	for (int i = 0; i < roots->count; i++)
		if (sign_ed25519(roots->key[i], sig, pub, pub_len))
			signer = i;
	if (signer < 0) {
		why_set(why, R_UNKNOWN_SIGNER, "no root key that is trusted here signed distsign.pub");
		return !memchr(pub, '\r', pub_len) ? -1 :
			why_hint(why, "distsign.pub has CR line ends: it was changed on its way, fetch it as binary");
	}
	d->count = pem_keys(pub, pub_len, "SIGNING PUBLIC KEY", d->key);
	if (d->count < 0)
		return why_set(why, R_BAD_ARCHIVE, "distsign.pub is signed and yet not a list of signing keys");
	sign_hex(d->root, roots->key[signer], 32);
	digest_of(DIGEST_SHA256, pub, pub_len, sum);
	sign_hex(d->pub_sha256, sum, 32);
	return 0;
}

int distsign_check(const struct distsign *d, struct seal *s, const void *sig, size_t sig_len, char signer[static 65],
	struct why *why)
{
	int found = -1;
	*signer = 0;
	if (sig_len != DISTSIGN_SIG)
		return why_set(why, R_BAD_SIGNATURE, "its signature is %zu bytes, not 64", sig_len);
	for (int i = 0; i < d->count; i++)
		if (seal_trust_distsign(s, d->key[i], sig))
			found = i;
	if (found < 0) {
		why_set(why, R_BAD_SIGNATURE, "none of the signing keys made this signature for these bytes");
		return why_hint(why, "fetch file, .sig, distsign.pub and distsign.pub.sig again, together: "
			"signing keys are replaced now and then");
	}
	sign_hex(signer, d->key[found], 32);
	return 0;
}
