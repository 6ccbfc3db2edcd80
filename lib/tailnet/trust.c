/* trust - is this file what its publisher signed, and what is it? */
#include "trust.h"
#include "alloc.h"
#include "apt.h"
#include "bundle.h"
#include "distsign.h"
#include "file.h"
#include "minisign.h"
#include "pgp.h"
#include "sign.h"
#include "str.h"
#include "unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 1 << 16, INDEX_MAX = 16 << 20, PACKAGES_MAX = 128 << 20 };

struct job {
	const struct trust_how *how;
	int (*fn)(struct trust_verdict *, void *);
	void *ctx;
	const char *path;
	int dir;			/* of the file: what vouches for it is looked for here */
	struct bundle *bundle;		/* or in here */
	int bad, told;
};

/* ---- finding ---- */

/* A small file beside ours, or in the bundle. 0; 1: there is none; -1. */
static int beside(struct job *j, const char *name, struct buf *b, struct why *why)
{
	if (j->bundle) {
		const struct bundle_entry *e = bundle_find(j->bundle, name);
		struct seal *s = e ? bundle_read(j->bundle, e, SMALL, why) : NULL;
		if (s)
			buf_add(b, seal_bytes(s), seal_size(s));
		seal_free(s);
		return s ? 0 : e ? -1 : 1;
	}
	struct seal *s = seal_open(j->dir, name, SMALL, why);
	if (!s)
		return errno == ENOENT && why->reason != R_TOO_BIG ? 1 : -1;
	buf_add(b, seal_bytes(s), seal_size(s));
	seal_free(s);
	return 0;
}

static int pinned(struct job *j, struct trust_verdict *v, struct why *why)
{
	struct pin have;
	unsigned char want[32];
	if (j->how->sha256 && (sign_unhex(want, 32, j->how->sha256, strlen(j->how->sha256)) < 0 ||
		!sign_equal(want, seal_digest(v->seal, DIGEST_SHA256), 32)))
		return why_set(why, R_PIN_DIFFERS, "its SHA-256 is not %s", j->how->sha256);
	trust_pin(v, &have);
	return j->how->lock ? pin_check(j->how->lock, &have, why) : 0;
}

/* Nothing signed it. With a pin that is enough. */
static int unsigned_file(struct job *j, struct trust_verdict *v, const char *missing)
{
	if ((!j->how->sha256 && !j->how->lock) || pinned(j, v, &v->why) < 0) {
		if (v->why.reason == R_PIN_DIFFERS || v->why.reason == R_NOT_PINNED || v->why.reason == R_DOWNGRADE)
			return -1;
		return why_set(&v->why, R_NO_SIGNATURE, "there is no %s, and no pin", missing);
	}
	str_copy(v->chain, sizeof v->chain, "pin");
	return seal_trust_digest(v->seal, DIGEST_SHA256, seal_digest(v->seal, DIGEST_SHA256)) ? 0 : -1;
}

static struct contents_want wanted(const struct trust_how *how)
{
	struct contents_want w = {how->version, how->arch, how->max_age_s ? time(NULL) - how->max_age_s : 0};
	return w;
}

/* ---- the chains ---- */

static int by_distsign(struct job *j, struct trust_verdict *v)
{
	struct buf pub = {0}, pub_sig = {0}, sig = {0};
	struct distsign_roots roots;
	struct distsign d;
	char name[160];
	str_fmt(name, sizeof name, "%s.sig", v->name);
	int rc = beside(j, name, &sig, &v->why);
	if (rc > 0) {
		rc = unsigned_file(j, v, name);
	} else if (!rc && ((rc = beside(j, "distsign.pub", &pub, &v->why)) || (rc = beside(j, "distsign.pub.sig", &pub_sig, &v->why)))) {
		if (rc > 0) {
			why_set(&v->why, R_NO_SIGNATURE, "there is no %s to verify it with", pub.len ? "distsign.pub.sig" : "distsign.pub");
			rc = -1;
		}
	} else if (!rc) {
		str_copy(v->chain, sizeof v->chain, "distsign");
		v->root = j->how->root ? j->how->root : "tailscale";
		rc = distsign_roots(&roots, j->how->root, &v->why);
		if (!rc)
			rc = distsign_load(&d, &roots, buf_cstr(&pub), pub.len, buf_cstr(&pub_sig), pub_sig.len, &v->why);
		if (!rc) {
			str_copy(v->pub_sha256, sizeof v->pub_sha256, d.pub_sha256);
			char signer[65];
			rc = distsign_check(&d, v->seal, buf_cstr(&sig), sig.len, signer, &v->why);
			str_copy(v->signer, sizeof v->signer, signer);
		}
	}
	buf_free(&pub), buf_free(&pub_sig), buf_free(&sig);
	return rc;
}

static int tgz(struct job *j, struct trust_verdict *v)
{
	struct contents_want want = wanted(j->how);
	int stage = j->how->parts ? j->how->stage : -1;
	if (by_distsign(j, v) < 0)
		return -1;
	int rc = j->how->glance && !j->how->max_age_s ? contents_glance(v->seal, &want, &v->what, &v->why) :
		contents_read(v->seal, &want, NULL, NULL, stage, j->how->parts, &v->what, &v->why);
	if (rc)
		return -1;
	v->product = "tailscale";
	return 0;
}

static int load_ring(const struct trust_how *how, struct pgp_ring *ring, struct why *why)
{
	if (!how->keyring)
		return pgp_tailscale_ring(ring, time(NULL), why);
	struct seal *s = seal_open(AT_FDCWD, how->keyring, 4 << 20, why);
	int rc = s ? pgp_ring(ring, seal_bytes(s), seal_size(s), time(NULL), why) : -1;
	seal_free(s);
	return rc;
}

static int load_index(struct job *j, struct trust_verdict *v, const char *text, size_t len, struct apt_index *x)
{
	struct pgp_ring *ring = xalloc(sizeof *ring);
	str_copy(v->chain, sizeof v->chain, "apt");
	v->root = j->how->keyring ? j->how->keyring : "tailscale";
	int rc = load_ring(j->how, ring, &v->why);
	if (!rc)
		rc = apt_index(x, text, len, ring, time(NULL), &v->why);
	free(ring);
	if (rc)
		return -1;
	str_copy(v->signer, sizeof v->signer, x->signer);
	v->index_date = x->date;
	if (apt_index_check(x, j->how->suite, 0, &v->why) == 0)
		return 0;
	apt_index_free(x);
	return -1;
}

static int index_file(struct job *j, struct trust_verdict *v)
{
	struct apt_index x;
	if (load_index(j, v, (const char *)seal_bytes(v->seal), seal_size(v->seal), &x) < 0)
		return -1;
	v->product = "apt-index";
	str_copy(v->what.version, sizeof v->what.version, *x.codename ? x.codename : x.suite);
	v->what.newest = x.date;
	apt_index_free(&x);
	if (j->how->max_age_s && v->index_date < time(NULL) - j->how->max_age_s)
		return why_set(&v->why, R_TOO_OLD, "the index is older than allowed");
	return pinned(j, v, &v->why);
}

/* The first Packages file in the folder that the index lists, as text. */
static int packages(const struct apt_index *x, int dir, struct buf *text, struct why *why)
{
	static const char *const names[] = {"Packages.gz", "Packages.xz", "Packages"};
	struct apt_file f;
	int found = 0;
	for (int i = 0; i < 3; i++) {
		struct seal *s = seal_open(dir, names[i], SEAL_MAX, why);
		if (!s)
			continue;
		found = 1;
		int rc = apt_trust_packages(x, s, &f, why) < 0 ? -1 : unpack_text(s, text, PACKAGES_MAX, why);
		seal_free(s);
		if (!rc)
			return 0;
	}
	return found ? -1 : why_set(why, R_NO_SIGNATURE, "there is no Packages file beside the index");
}

static int by_apt(struct job *j, struct trust_verdict *v, int dir, struct apt_package *p)
{
	struct apt_index x;
	struct buf text = {0};
	struct seal *s = seal_open(dir, "InRelease", INDEX_MAX, &v->why);
	if (!s)
		return errno == ENOENT ? 1 : -1;
	int rc = load_index(j, v, (const char *)seal_bytes(s), seal_size(s), &x);
	seal_free(s);
	if (rc)
		return -1;
	rc = packages(&x, dir, &text, &v->why);
	if (!rc)
		rc = apt_trust_deb(buf_cstr(&text), text.len, v->seal, v->name, p, &v->why);
	apt_index_free(&x);
	buf_free(&text);
	return rc;
}

static int deb(struct job *j, struct trust_verdict *v)
{
	struct contents_want want = wanted(j->how);
	struct apt_package p = {0};
	int dir = j->how->index ? open(j->how->index, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : j->dir;
	if (dir < 0)
		return why_errno(&v->why, "%s:", j->how->index);
	int rc = by_apt(j, v, dir, &p);
	if (dir != j->dir)
		close(dir);
	if (rc > 0) {
		rc = unsigned_file(j, v, "InRelease");
		if (!rc) {		/* a pin vouches for bytes; what they are, only the name says: tailscale_1.102.5_amd64.deb */
			char stem[128];
			str_copy_slice(stem, sizeof stem, (struct slice){v->name, strlen(v->name) - 4});
			char *under = strrchr(stem, '_'), *first = strchr(stem, '_');
			if (!under || first == under)
				return why_set(&v->why, R_WRONG_FILE, "no index says what it is, and its name does not either");
			*under = 0;
			str_copy(p.name, sizeof p.name, "tailscale");
			str_copy(p.version, sizeof p.version, first + 1);
			str_copy(p.arch, sizeof p.arch, under + 1);
		}
	}
	if (rc)
		return -1;
	if (!str_eq(p.name, "tailscale"))
		return why_set(&v->why, R_WRONG_FILE, "it is the package %s", p.name);
	if (contents_read(v->seal, &want, p.version, p.arch, j->how->parts ? j->how->stage : -1, j->how->parts,
		&v->what, &v->why) < 0)
		return -1;
	v->product = "tailscale";
	return 0;
}

/* "moorbox-1.0-x86_64.tar.xz": what stands between the dashes */
static void name_parts(struct trust_verdict *v)
{
	if (!str_starts(v->name, "moorbox-"))
		return;
	const char *p = v->name + 8;
	size_t n = strcspn(p, "-");
	v->product = "moorbox";
	str_copy_slice(v->what.version, sizeof v->what.version, (struct slice){p, n});
	if (p[n])
		str_copy_slice(v->what.arch, sizeof v->what.arch, (struct slice){p + n + 1, strcspn(p + n + 1, ".")});
}

static int by_minisign(struct job *j, struct trust_verdict *v, const struct buf *sig)
{
	struct minisign_key key;
	struct buf pub = {0};
	char comment[512];
	str_copy(v->chain, sizeof v->chain, "minisign");
	if (!j->how->root) {
		why_set(&v->why, R_UNKNOWN_SIGNER, "no key to verify %s.minisig with", v->name);
		return why_hint(&v->why, "give the public key: --root minisign.pub");
	}
	v->root = j->how->root;
	int rc = file_read(AT_FDCWD, j->how->root, &pub, SMALL, &v->why);
	if (!rc)
		rc = minisign_key(&key, buf_cstr(&pub), pub.len, &v->why);
	if (!rc)
		rc = minisign_check(&key, v->seal, buf_cstr(sig), sig->len, v->name, comment, sizeof comment, &v->why);
	buf_free(&pub);
	if (rc)
		return -1;
	sign_hex(v->signer, key.key, 32);
	name_parts(v);
	if (j->how->version && !str_eq(j->how->version, v->what.version))
		return why_set(&v->why, R_WRONG_VERSION, "it is version %s, not %s", v->what.version, j->how->version);
	if (j->how->arch && !str_eq(j->how->arch, v->what.arch))
		return why_set(&v->why, R_WRONG_ARCH, "it is for %s, not for %s", v->what.arch, j->how->arch);
	return 0;
}

/* ---- one file ---- */

static int starts(const struct seal *s, const char *text)
{
	return seal_size(s) >= strlen(text) && !memcmp(seal_bytes(s), text, strlen(text));
}

/* What kind it is decides only who is asked to vouch for it. */
static int judge(struct job *j, struct trust_verdict *v)
{
	struct buf sig = {0};
	char name[160];
	str_copy(v->sha256, sizeof v->sha256, seal_sha256(v->seal));
	v->size = seal_size(v->seal);
	str_fmt(name, sizeof name, "%s.minisig", v->name);
	int rc = j->bundle ? 1 : beside(j, name, &sig, &v->why);
	if (!rc)
		rc = by_minisign(j, v, &sig);
	else if (rc > 0 && starts(v->seal, "!<arch>\n"))
		rc = deb(j, v);
	else if (rc > 0 && starts(v->seal, "-----BEGIN PGP SIGNED MESSAGE-----"))
		return index_file(j, v);
	else if (rc > 0)
		rc = tgz(j, v);
	buf_free(&sig);
	return rc < 0 ? -1 : pinned(j, v, &v->why);
}

static int tell(struct job *j, struct trust_verdict *v)
{
	j->told = 1;
	j->bad += !v->trusted;
	int rc = j->fn(v, j->ctx);
	seal_free(v->seal);
	return rc;
}

static int one(struct job *j, const char *name, struct seal *s, struct why *why)
{
	struct trust_verdict *v = xalloc(sizeof *v);
	str_fmt(v->file, sizeof v->file, "%s%s%s", j->path, j->bundle ? ":" : "", j->bundle ? name : "");
	str_copy(v->name, sizeof v->name, name);
	v->seal = s;
	if (s)
		v->trusted = judge(j, v) == 0;
	else
		v->why = *why;
	int rc = tell(j, v);
	free(v);
	return rc;
}

static void whole_bundle(struct job *j, struct bundle *b)
{
	struct why why;
	char stem[100], version[32], arch[16];
	j->bundle = b;
	for (int i = 0; i < b->count; i++) {
		const char *name = b->e[i].name;
		if (!str_ends(name, ".tgz"))
			continue;
		str_copy_slice(stem, sizeof stem, (struct slice){name, strlen(name) - 4});
		if (contents_name(stem, version, arch) < 0 || (j->how->arch && !str_eq(arch, j->how->arch)))
			continue;
		if (one(j, name, bundle_read(b, &b->e[i], SEAL_MAX, &why), &why))
			return;
	}
	if (!j->told) {
		j->bundle = NULL;
		if (j->how->arch)
			why_set(&why, R_WRONG_ARCH, "it has nothing for %s", j->how->arch);
		else
			why_set(&why, R_BAD_ARCHIVE, "not a bundle: it has no release");
		one(j, j->path, NULL, &why);
	}
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* The folder that path is in. */
static int open_folder(const char *path)
{
	const char *name = last_part(path);
	char *folder = name == path ? xstrdup(".") : name == path + 1 ? xstrdup("/") : xstrndup(path, name - 1 - path);
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = errno;
	free(folder);
	errno = err;
	return dir;
}

int trust_seal(struct seal *s, const char *path, const struct trust_how *how, int (*fn)(struct trust_verdict *, void *), void *ctx)
{
	struct why why;
	struct job j = {.how = how, .fn = fn, .ctx = ctx, .path = path, .dir = open_folder(path)};
	if (j.dir < 0) {
		seal_free(s);
		why_errno(&why, "read %s:", path);
		s = NULL;
	}
	one(&j, last_part(path), s, &why);
	if (j.dir >= 0)
		close(j.dir);
	return j.bad;
}

int trust_file(const char *path, const struct trust_how *how, int (*fn)(struct trust_verdict *, void *), void *ctx)
{
	struct job j = {.how = how, .fn = fn, .ctx = ctx, .path = path, .dir = AT_FDCWD};
	struct why why = {0};
	unsigned char start[USTAR_BLOCK];
	const char *name = last_part(path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		j.dir = open_folder(path);
	if (fd < 0 || j.dir < 0) {
		why_errno(&why, "read %s:", path);
		one(&j, name, NULL, &why);
	} else if (pread(fd, start, sizeof start, 0) == sizeof start && bundle_is(start, sizeof start)) {
		struct bundle *b = xalloc(sizeof *b);
		if (bundle_open(b, fd, &why) == 0)
			whole_bundle(&j, b);
		else
			one(&j, name, NULL, &why);
		free(b);
	} else {
		one(&j, name, seal_read(fd, 0, -1, SEAL_MAX, path, &why), &why);
	}
	if (j.dir >= 0)
		close(j.dir);
	if (fd >= 0)
		close(fd);
	return j.bad + !j.told;
}

int trust_write(const struct trust_verdict *v, const struct trust_how *how, int dir, unsigned parts, struct why *why)
{
	struct contents c;
	struct contents_want want = wanted(how);
	int is_deb = starts(v->seal, "!<arch>\n");
	return contents_read(v->seal, &want, is_deb ? v->what.version : NULL, is_deb ? contents_deb_arch(v->what.arch) : NULL,
		dir, parts, &c, why);
}

void trust_pin(const struct trust_verdict *v, struct pin *p)
{
	memset(p, 0, sizeof *p);
	str_copy(p->file, sizeof p->file, v->name);
	str_copy(p->version, sizeof p->version, v->what.version);
	str_copy(p->arch, sizeof p->arch, v->what.arch);
	str_copy(p->sha256, sizeof p->sha256, v->sha256);
	str_copy(p->signer, sizeof p->signer, v->signer);
	p->size = v->size;
	p->index_date = v->index_date;
}
