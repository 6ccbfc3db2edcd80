/* roots - the certificates that TLS trusts */
#include "roots.h"
#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 8 << 20, DIR_FILES = 1024 };

extern const unsigned char roots_der[];		/* gen/roots.c, made by deps/roots */
extern const unsigned roots_der_len;

static const char *const variables[] = {
	"TS_CA_FILE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "NIX_SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
};
static const char *const system_files[] = {
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
	"/etc/ssl/ca-bundle.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
};

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

/* What was named: the file, and by which variable ("" for an option). NULL: nothing was. */
static const char *named(const char *ca, const char **variable)
{
	*variable = "";
	for (size_t i = 0; i < sizeof variables / sizeof *variables && !ca; i++)
		if ((ca = env(variables[i])))
			*variable = variables[i];
	return ca;
}

static int bad(struct why *why, const char *variable, const char *file, const char *text)
{
	return why_set(why, R_BAD_CA, "%s%s%s: %s", variable, *variable ? "=" : "", file, text);
}

const char *roots_file(const char *ca, struct why *why)
{
	const char *variable, *file = named(ca, &variable);
	why->reason = R_NONE;
	if (file) {
		if (!access(file, R_OK))
			return file;
		bad(why, variable, file, strerror(errno));
		return NULL;
	}
	if (env("SSL_CERT_DIR"))
		return NULL;
	for (size_t i = 0; i < sizeof system_files / sizeof *system_files; i++)
		if (!access(system_files[i], R_OK))
			return system_files[i];
	return NULL;
}

size_t roots_built_in(void)
{
	return roots_der_len;
}

/* The length of the certificate at p: a DER sequence with a length of two bytes, as all have. 0 at the end. */
static size_t der_length(const unsigned char *p, size_t left)
{
	size_t len = left < 4 || p[0] != 0x30 || p[1] != 0x82 ? 0 : 4 + ((size_t)p[2] << 8 | p[3]);
	return len <= left ? len : 0;
}

int roots_is_built_in(const unsigned char *der, size_t len)
{
	size_t n;
	for (size_t at = 0; (n = der_length(roots_der + at, roots_der_len - at)); at += n)
		if (n == len && !memcmp(roots_der + at, der, n))
			return 1;
	return 0;
}

static int sextet(int c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t roots_unbase64(unsigned char *text, size_t len)
{
	unsigned bits = 0;
	size_t out = 0;
	int have = 0;
	for (size_t i = 0; i < len; i++) {
		int v = sextet(text[i]);
		if (v < 0)
			continue;
		bits = bits << 6 | (unsigned)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			text[out++] = (unsigned char)(bits >> have);
		}
	}
	return out;
}

/* The system's own libcurl, on a system with glibc, is only used for development: it reads the file itself. */
#if __has_include(<mbedtls/x509_crt.h>) && (!defined __GLIBC__ || defined SYSROOT)
#include <mbedtls/x509_crt.h>

/* How many certificates of a PEM file were added. mbedTLS's own reader takes 13 ms for a system's bundle, this one 1 ms:
 * certificates are public, so nothing here has to take constant time. The text stays, since they point into it. */
static int add_pem(mbedtls_x509_crt *chain, const char *file, struct why *why)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
	struct buf pem = {0};
	int found = 0;
	if (file_read(AT_FDCWD, file, &pem, FILE_MAX, why)) {
		buf_free(&pem);
		return -1;
	}
	for (char *p = pem.p, *q; p && (p = strstr(p, begin)) && (q = strstr(p, end)); p = q) {
		p += sizeof begin - 1;
		size_t len = roots_unbase64((unsigned char *)p, (size_t)(q - p));
		found += !mbedtls_x509_crt_parse_der_nocopy(chain, (unsigned char *)p, len);
	}
	if (!found)
		buf_free(&pem);
	return found;
}

static void add_built_in(mbedtls_x509_crt *chain)
{
	size_t n;
	for (size_t at = 0; (n = der_length(roots_der + at, roots_der_len - at)); at += n)
		mbedtls_x509_crt_parse_der_nocopy(chain, roots_der + at, n);
}

struct adding { mbedtls_x509_crt *chain; const char *dir; int files; };

static int add_one(const char *name, void *ctx)
{
	struct adding *a = ctx;
	struct why ignored;
	char path[4096];
	if (++a->files <= DIR_FILES && str_fmt(path, sizeof path, "%s/%s", a->dir, name) > 0)
		add_pem(a->chain, path, &ignored);
	return 0;
}

static void add_dirs(mbedtls_x509_crt *chain, const char *list)
{
	char *dirs = xstrdup(list), *save = NULL;
	for (char *dir = strtok_r(dirs, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		struct adding a = { chain, dir, 0 };
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		file_each(fd, add_one, &a);
		close(fd);
	}
	free(dirs);
}

static int add_extra(mbedtls_x509_crt *chain, const char *base, struct why *why)
{
	static const char variable[] = "NODE_EXTRA_CA_CERTS";
	const char *file = env(variable);
	if (!file || str_eq(file, base))	/* sandboxes name one file in all variables */
		return 0;
	int n = add_pem(chain, file, why);
	if (n > 0)
		return 0;
	return bad(why, variable, file, n ? "cannot be read" : "no certificate in it can be read");
}

static int fill(mbedtls_x509_crt *chain, const char *ca, struct why *why)
{
	const char *variable, *dirs = env("SSL_CERT_DIR"), *file = roots_file(ca, why);
	if (!file && why->reason)
		return -1;
	add_built_in(chain);	/* first, so that what both know rests on ours: roots_is_built_in */
	int n = file ? add_pem(chain, file, why) : 0;
	if (n <= 0 && named(ca, &variable))
		return bad(why, variable, file, n ? "cannot be read" : "no certificate in it can be read");
	if (!file && dirs)
		add_dirs(chain, dirs);
	if (add_extra(chain, file, why))
		return -1;
	if (chain->raw.p)
		return 0;
	why_set(why, R_CONTROL_TLS, "this machine has no CA certificates");
	return why_hint(why, "install ca-certificates, or set SSL_CERT_FILE");
}

mbedtls_x509_crt *roots_chain(const char *ca, struct why *why)
{
	static mbedtls_x509_crt chain;
	static char *from;	/* what it was made of */
	const char *file = roots_file(ca, why), *dirs = env("SSL_CERT_DIR"), *extra = env("NODE_EXTRA_CA_CERTS");
	if (!file && why->reason)
		return NULL;
	char *now = xfmt("%s\n%s\n%s", file ? file : "", dirs ? dirs : "", extra ? extra : "");
	if (str_eq(from, now)) {
		free(now);
		return &chain;
	}
	if (from)
		mbedtls_x509_crt_free(&chain);
	free(from);
	from = NULL;
	mbedtls_x509_crt_init(&chain);
	if (fill(&chain, ca, why)) {
		mbedtls_x509_crt_free(&chain);
		free(now);
		return NULL;
	}
	from = now;
	return &chain;
}
#endif
