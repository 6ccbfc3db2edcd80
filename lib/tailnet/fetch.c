/* fetch - releases of Tailscale from wherever they are to be had */
#include "fetch.h"
#include "alloc.h"
#include "apt.h"
#include "clock.h"
#include "contents.h"
#include "file.h"
#include "http.h"
#include "json.h"
#include "pgp.h"
#include "release.h"
#include "seen.h"
#include "str.h"
#include "unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { INDEX_MAX = 1 << 20, PACKAGES_MAX = 64 << 20, KEPT = 3, SIG = 64 };

static const char *packages_host(void)
{
	const char *told = getenv("MOORBOX_PACKAGES");
	return told && *told ? told : "https://pkgs.tailscale.com";
}

/* ---- the cache ---- */

static int open_cache(struct fetch *f, const char *base, const char *below, struct why *why)
{
	if (!base || *base != '/' || str_fmt(f->cache, sizeof f->cache, "%s%s/moorbox/releases", base, below) < 0)
		return -1;
	f->dir = file_dir(f->cache, why);
	if (f->dir >= 0 && faccessat(f->dir, ".", W_OK, 0) < 0) {
		close(f->dir);
		f->dir = -1;
	}
	return f->dir;
}

int fetch_open(struct fetch *f, struct why *why)
{
	const char *const places[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
	f->dir = f->lock = -1;
	f->net.folder = f->cache;
	if (open_cache(f, getenv("XDG_CACHE_HOME"), "", why) >= 0 || open_cache(f, getenv("HOME"), "/.cache", why) >= 0)
		return 0;
	f->is_temporary = 1;
	for (int i = 0; i < 4; i++)
		if (places[i] && *places[i] == '/' && str_fmt(f->cache, sizeof f->cache, "%s/moorbox.XXXXXX", places[i]) > 0 &&
			mkdtemp(f->cache) && (f->dir = file_dir(f->cache, why)) >= 0)
			return 0;
	return why_set(why, R_NO_HOME, "no directory to download to"), why_hint(why, "set XDG_CACHE_HOME or TMPDIR to one");
}

void fetch_close(struct fetch *f)
{
	struct why why;
	if (f->dir < 0)
		return;
	if (f->lock >= 0)
		close(f->lock);
	close(f->dir);
	f->dir = f->lock = -1;
	if (f->is_temporary)
		file_remove_tree(AT_FDCWD, f->cache, &why);
}

/* A part of the cache is ours until fetch_close, since what is in it is used until then. Nobody is waited for, unless a
 * time was given. */
static int take_lock(struct fetch *f, int dir, const char *name, struct why *why)
{
	int lock = file_lock(dir, name, f->net.deadline ? f->net.deadline : clock_ms(), why);
	if (lock < 0 && why->reason == R_BUSY)
		why_set(why, R_BUSY, "%s: another moorbox is fetching into it", f->cache);
	if (lock >= 0 && f->lock >= 0)
		close(f->lock);
	f->lock = lock < 0 ? f->lock : lock;
	return lock < 0 ? -1 : 0;
}

/* The folder of a version, locked. Whoever pruned it meanwhile has taken it away under us: then once more. */
static int open_version(struct fetch *f, const char *version, struct why *why)
{
	struct stat here, there;
	for (;;) {
		int dir = file_dir_at(f->dir, version, 1, why);
		if (dir < 0)
			return -1;
		if (str_eq(f->locked, version))
			return dir;
		if (take_lock(f, dir, ".lock", why) < 0) {
			close(dir);
			return -1;
		}
		if (fstat(dir, &here) == 0 && fstatat(f->dir, version, &there, AT_SYMLINK_NOFOLLOW) == 0 && here.st_ino == there.st_ino) {
			str_copy(f->locked, sizeof f->locked, version);
			return dir;
		}
		close(dir);
	}
}

/* ---- places ---- */

static int is_url(const char *place)
{
	return strstr(place, "://") != NULL && !str_starts(place, "file://");
}

static const char *folder(const char *place)
{
	return str_starts(place, "file://") ? place + 7 : place;
}

static int base_len(const char *place)
{
	size_t n = strlen(place);
	while (n && place[n - 1] == '/')
		n--;
	return (int)n;
}

static const char *track_of(const char *version)
{
	int major, minor;
	release_parts(version, &major, &minor);
	return minor & 1 ? "unstable" : "stable";
}

static int keep_verdict(struct trust_verdict *v, void *ctx)
{
	struct trust_verdict *kept = ctx;
	*kept = *v;
	v->seal = NULL;
	if (!v->trusted && v->why.reason == R_BAD_SIGNATURE)
		why_set(&kept->why, R_BAD_SIGNATURE, "%s; what came has the SHA-256 %s", v->why.msg, v->sha256);
	return 1;
}

/* s: the bytes of path, which it takes; NULL: they are read. Who vouches for them is looked at, and what they are as far as
 * their beginning tells. */
static int verify(const struct fetch *f, struct seal *s, const char *path, const char *version, const char *arch,
	struct trust_verdict *v, struct why *why)
{
	struct trust_how how = *f->how;
	how.version = version;
	how.arch = arch;
	how.parts = 0;
	how.glance = 1;
	memset(v, 0, sizeof *v);
	if (s)
		trust_seal(s, path, &how, keep_verdict, v);
	else
		trust_file(path, &how, keep_verdict, v);
	if (v->trusted)
		return 0;
	*why = v->why;
	seal_free(v->seal);
	v->seal = NULL;
	return -1;
}

/* The files of a release from a place on the net, into dir. */
static int from_net(struct fetch *f, const char *place, const char *version, int dir, const char *name, char url[static 600],
	struct seal **s, struct why *why)
{
	char small[DOWNLOAD_URL], sig[160], flat[DOWNLOAD_URL];
	int n = base_len(place), rc;
	str_fmt(sig, sizeof sig, "%s.sig", name);
	str_fmt(url, 600, "%.*s/%s/%s", n, place, track_of(version), name);
	str_fmt(small, sizeof small, "%s.sig", url);
	rc = download_keep(&f->net, small, dir, sig, SIG, why);
	if (rc && why->reason == R_NO_RELEASE && !str_eq(place, packages_host())) {	/* a mirror may have all in one folder */
		struct why second;
		str_fmt(flat, sizeof flat, "%.*s/%s.sig", n, place, name);
		if ((rc = download_keep(&f->net, flat, dir, sig, SIG, &second)) == 0)
			str_fmt(url, 600, "%.*s/%s", n, place, name);
	}
	if (rc)
		return -1;
	str_fmt(small, sizeof small, "%.*s/distsign.pub", n, place);
	if (download_keep(&f->net, small, dir, "distsign.pub", 0, why) < 0)
		return -1;
	str_fmt(small, sizeof small, "%.*s/distsign.pub.sig", n, place);
	if (download_keep(&f->net, small, dir, "distsign.pub.sig", SIG, why) < 0)
		return -1;
	return download_file(&f->net, url, dir, name, "\x1f\x8b", s, why);
}

static void drop(int dir, const char *name)
{
	static const char *const ends[] = {"", ".sig", ".part", ".from"};
	char path[160];
	for (int i = 0; i < 4; i++) {
		str_fmt(path, sizeof path, "%s%s", name, ends[i]);
		unlinkat(dir, path, 0);
	}
}

static int from_place(struct fetch *f, const char *place, const char *version, const char *arch, int dir, const char *name,
	char *path, int size, char from[static 600], struct trust_verdict *v, struct why *why)
{
	if (!is_url(place)) {
		if (str_fmt(path, size, "%s/%s", folder(place), name) < 0)
			return why_set(why, R_SYSTEM, "%s: the path is too long", place);
		str_copy(from, 600, path);
		if (access(path, F_OK) < 0)
			return why_set(why, R_NO_RELEASE, "there is no %s", name);
		return verify(f, NULL, path, version, arch, v, why);
	}
	int rc = -1;
	str_fmt(path, size, "%s/%s/%s", f->cache, version, name);
	for (int again = 0; again < 2 && rc; again++) {
		struct seal *s;
		if (from_net(f, place, version, dir, name, from, &s, why) < 0)
			return -1;
		rc = verify(f, s, path, version, arch, v, why);
		if (rc)
			drop(dir, name);
		/* A broken copy on its way to us, or at one of a CDN's machines: once more, from the start. */
		if (rc && why->reason != R_BAD_SIGNATURE)
			return -1;
	}
	return rc;
}

static void tell(const struct fetch *f, const char *place, const struct why *why)
{
	char shown[300];
	if (f->told)
		f->told(is_url(place) ? http_redact_url(shown, sizeof shown, place) : place, why);
}

/* Of several answers, the one to end with: what will not change by itself says more than what may pass. */
static int weight(const struct why *why)
{
	return !why->reason ? 0 : why->reason == R_NO_RELEASE ? 1 : why->status == EXIT_RETRY ? 2 : 3;
}

struct cached { int count; char v[64][32]; };

static int note_cached(const char *name, void *ctx)
{
	struct cached *c = ctx;
	if (release_is_version(name) && c->count < 64)
		str_copy(c->v[c->count++], 32, name);
	return 0;
}

/* Unless somebody is fetching it or uses it. */
static void remove_version(const struct fetch *f, const char *version)
{
	struct why why;
	int dir = file_dir_at(f->dir, version, 0, &why);
	int lock = dir < 0 ? -1 : file_lock(dir, ".lock", clock_ms(), &why);
	if (lock >= 0) {
		file_remove_tree(f->dir, version, &why);
		close(lock);
	}
	if (dir >= 0)
		close(dir);
}

/* The newest few stay, and the one that is wanted now. */
static void prune(const struct fetch *f, const char *wanted)
{
	struct cached c = {0};
	file_each_dir(f->dir, note_cached, &c);
	for (int i = 0; i < c.count; i++) {
		int newer = 0;
		for (int j = 0; j < c.count; j++)
			newer += release_compare(c.v[j], c.v[i]) > 0;
		if (newer >= KEPT && !str_eq(c.v[i], wanted))
			remove_version(f, c.v[i]);
	}
}

static int from_cache(struct fetch *f, const char *version, const char *arch, int dir, const char *name, const char *path,
	struct trust_verdict *v, struct why *why)
{
	int is_there = faccessat(dir, name, F_OK, 0) == 0;
	int rc = is_there ? verify(f, NULL, path, version, arch, v, why) : why_set(why, R_NO_RELEASE, "there is no %s", name);
	tell(f, "cache", rc ? why : NULL);
	if (rc && is_there)
		drop(dir, name);
	return rc;
}

int fetch_release(struct fetch *f, const char *version, const char *arch, char *path, int size, char from[static 600],
	struct trust_verdict *got, struct why *why)
{
	char name[80];
	struct trust_verdict v;
	struct why last = {0};
	str_fmt(name, sizeof name, "tailscale_%s_%s.tgz", version, arch);
	int dir = open_version(f, version, why);
	if (dir < 0)
		return -1;
	str_fmt(path, size, "%s/%s/%s", f->cache, version, name);
	str_fmt(from, 600, "%s", path);
	int rc = from_cache(f, version, arch, dir, name, path, &v, why);
	for (int i = 0; rc && i <= FETCH_MIRRORS; i++) {
		const char *place = f->mirrors[i] ? f->mirrors[i] : packages_host();
		rc = from_place(f, place, version, arch, dir, name, path, size, from, &v, why);
		tell(f, place, rc ? why : NULL);
		if (rc && weight(why) >= weight(&last))
			last = *why;
		if (!f->mirrors[i])
			break;
	}
	if (rc && last.reason)
		*why = last;
	close(dir);
	if (rc)
		return -1;
	prune(f, version);
	if (got)
		*got = v;
	else
		seal_free(v.seal);
	return 0;
}

/* ---- which is the newest ---- */

struct newest { char version[32]; const char *track; };

static int look(const char *name, void *ctx)
{
	struct newest *n = ctx;
	char stem[128], version[32], arch[16];
	size_t len = strlen(name);
	if (release_is_version(name))
		str_copy(version, sizeof version, name);
	else if (!str_ends(name, ".tgz") || len >= sizeof stem || str_copy_slice(stem, sizeof stem, (struct slice){name, len - 4}) < 0 ||
		contents_name(stem, version, arch) < 0)
		return 0;
	if (str_eq(track_of(version), n->track) && (!*n->version || release_compare(version, n->version) > 0))
		str_copy(n->version, sizeof n->version, version);
	return 0;
}

static int newest_at(struct fetch *f, const char *place, const char *track, char version[static 32], struct why *why)
{
	struct newest n = {.track = track};
	struct buf b = {0};
	struct json doc;
	char url[DOWNLOAD_URL];
	if (!is_url(place)) {
		int dir = open(folder(place), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return why_errno(why, "%s:", place);
		file_each(dir, look, &n);
		close(dir);
		str_copy(version, 32, n.version);
		return *version ? 0 : why_set(why, R_NO_RELEASE, "there is no release in it");
	}
	str_fmt(url, sizeof url, "%.*s/%s/?mode=json&os=linux", base_len(place), place, track);
	int rc = download_small(&f->net, url, &b, INDEX_MAX, 0, why);
	if (!rc && json_parse(&doc, buf_cstr(&b), b.len, why) == 0) {
		json_text(&doc, 0, "TarballsVersion", version, 32);
		json_free(&doc);
	}
	if (!rc && !release_is_version(version))
		rc = why_set(why, R_BAD_ANSWER, "%.200s: it names no version", url);
	buf_free(&b);
	return rc;
}

int fetch_version(struct fetch *f, const char *track, char version[static 32], struct why *why)
{
	struct newest n = {.track = track};
	*version = 0;
	for (int i = 0; i <= FETCH_MIRRORS; i++) {
		const char *place = f->mirrors[i] ? f->mirrors[i] : packages_host();
		if (newest_at(f, place, track, version, why) == 0)
			return 0;
		tell(f, place, why);
		*version = 0;
		if (!f->mirrors[i])
			break;
	}
	file_each_dir(f->dir, look, &n);
	if (!*n.version)
		return -1;
	str_copy(version, 32, n.version);
	return 0;
}

/* ---- a URL, an apt repository ---- */

/* A folder in the cache for one call only. */
static int scratch(struct fetch *f, const char *name, struct why *why)
{
	char lock[40];
	str_fmt(lock, sizeof lock, ".%s.lock", name);
	if (take_lock(f, f->dir, lock, why) < 0)
		return -1;
	return file_remove_tree(f->dir, name, why) < 0 ? -1 : file_dir_at(f->dir, name, 1, why);
}

static void one_path(struct fetch *f, const char *folder_name, const char *name, char *path, int size)
{
	str_fmt(path, size, "%s/%s/%s", f->cache, folder_name, name);
}

static int last_part(const char *url, char *name, int size, struct why *why)
{
	struct slice h = download_host(url);
	size_t n = strcspn(h.p, "?#"), at = n;
	while (at && h.p[at - 1] != '/')
		at--;
	if (!at || at == n || str_copy_slice(name, size, (struct slice){h.p + at, n - at}) < 0 || *name == '.' ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-") != strlen(name))
		return why_set(why, R_USAGE, "%.200s: a URL of a file is wanted", url);
	return 0;
}

int fetch_url(struct fetch *f, const char *url, char *path, int size, struct why *why)
{
	char name[100], small[DOWNLOAD_URL], sig[160];
	if (last_part(url, name, sizeof name, why) < 0)
		return -1;
	int dir = scratch(f, "url", why), rc = 0, cut = (int)(strcspn(url, "?#") - strlen(name) - 1);
	if (dir < 0)
		return -1;
	struct slice h = download_host(url);
	int origin = (int)(h.p + strcspn(h.p, "/?#") - url);
	if (str_ends(name, ".tgz")) {
		struct why none;
		str_fmt(sig, sizeof sig, "%s.sig", name);
		str_fmt(small, sizeof small, "%.*s/%s.sig", cut, url, name);
		rc = download_keep(&f->net, small, dir, sig, SIG, why);
		/* The keys are at the root of Tailscale's host, or beside the file. */
		static const char *const keys[] = {"distsign.pub", "distsign.pub.sig"};
		for (int i = 0; i < 2 && !rc; i++) {
			str_fmt(small, sizeof small, "%.*s/%s", origin, url, keys[i]);
			if (download_keep(&f->net, small, dir, keys[i], i ? SIG : 0, &none) == 0)
				continue;
			str_fmt(small, sizeof small, "%.*s/%s", cut, url, keys[i]);
			rc = download_keep(&f->net, small, dir, keys[i], i ? SIG : 0, why);
		}
		if (rc && why->reason == R_NO_RELEASE)
			rc = 0;			/* unsigned: a pin may do */
	}
	if (!rc)
		rc = download_file(&f->net, url, dir, name, str_ends(name, ".tgz") ? "\x1f\x8b" : "", NULL, why);
	close(dir);
	one_path(f, "url", name, path, size);
	return rc;
}

static int load_ring(const struct fetch *f, struct pgp_ring *ring, struct why *why)
{
	if (!f->how->keyring)
		return pgp_tailscale_ring(ring, time(NULL), why);
	struct seal *s = seal_open(AT_FDCWD, f->how->keyring, 4 << 20, why);
	int rc = s ? pgp_ring(ring, seal_bytes(s), seal_size(s), time(NULL), why) : -1;
	seal_free(s);
	return rc;
}

/* InRelease, verified; Packages, which it lists; in that the package. */
static int find_deb(struct fetch *f, const char *url, const char *suite, int dir, struct apt_package *p, struct why *why)
{
	char at[DOWNLOAD_URL];
	struct buf b = {0}, text = {0};
	struct apt_index x;
	struct apt_file listed;
	struct pgp_ring *ring = xalloc(sizeof *ring);
	const char *arch = contents_deb_arch(f->how->arch);
	int n = base_len(url);
	str_fmt(at, sizeof at, "%.*s/dists/%s/InRelease", n, url, suite);
	int rc = download_small(&f->net, at, &b, INDEX_MAX, 0, why);
	if (!rc)
		rc = load_ring(f, ring, why) < 0 ? -1 : file_write_fast(dir, "InRelease", b.p, b.len, 0600, why);
	if (!rc)
		rc = apt_index(&x, buf_cstr(&b), b.len, ring, time(NULL), why);
	free(ring);
	buf_free(&b);
	if (rc)
		return -1;
	str_fmt(at, sizeof at, "%.*s/dists/%s/main/binary-%s/Packages.gz", n, url, suite, arch);
	struct seal *s = NULL;
	rc = apt_index_check(&x, suite, f->may_go_back ? 0 : seen_date(f->seen, url, suite), why) < 0 ? -1 :
		download_file(&f->net, at, dir, "Packages.gz", "\x1f\x8b", &s, why);
	rc = !rc && apt_trust_packages(&x, s, &listed, why) == 0 ? unpack_text(s, &text, PACKAGES_MAX, why) : -1;
	if (!rc)
		rc = apt_find(buf_cstr(&text), text.len, "tailscale", arch, f->how->version, p, why);
	if (!rc && f->may_note)
		rc = seen_keep(f->seen, url, suite, x.date, why);
	seal_free(s);
	apt_index_free(&x);
	buf_free(&text);
	return rc;
}

int fetch_apt(struct fetch *f, const char *url, const char *suite, char *path, int size, char *index, int index_size, struct why *why)
{
	struct apt_package p;
	char at[DOWNLOAD_URL], name[160];
	int dir = scratch(f, "apt", why);
	int rc = dir < 0 ? -1 : find_deb(f, url, suite, dir, &p, why);
	if (!rc) {
		str_fmt(at, sizeof at, "%.*s/%s", base_len(url), url, p.path);
		rc = last_part(at, name, sizeof name, why);
	}
	if (!rc)
		rc = download_file(&f->net, at, dir, name, "!<arch>\n", NULL, why);
	if (dir >= 0)
		close(dir);
	one_path(f, "apt", rc ? "" : name, path, size);
	str_fmt(index, index_size, "%s/apt", f->cache);
	return rc;
}
