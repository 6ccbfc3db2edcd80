/* ts-fetch - fetch a Tailscale release with its signature chain, as a bundle
 *
 * usage: ts-fetch [-0jqv] [-V VERSION] [--arch A]... [-o FILE] [--mirror URL]... [--ca FILE] [-t DUR]
 * usage: ts-fetch [--root FILE] [--max-age DUR] [--lock FILE] [--write-lock FILE]
 *
 * -0, --null             end each record with NUL, not newline
 * -j, --json             print JSON lines
 * -q, --quiet            print nothing; the exit status is the answer
 * -v, --verbose          say each step
 * -V, --version-is VERSION  this version; or stable (default), unstable, latest (the same as stable)
 *     --arch A           for this machine: amd64, arm64, arm, 386... (default: this one); several make one bundle
 * -o, --output FILE      write to FILE (default: tailscale_VERSION.moor)
 *     --mirror URL       ask there first, in the order given; also a folder
 *     --ca FILE          trust the CAs in FILE (PEM) for TLS
 * -t, --timeout DUR      give up after DUR (default: only what stalls is given up)
 *     --root FILE        trust the root keys in FILE instead of Tailscale's
 *     --max-age DUR      it must not be older than this: 90d
 *     --lock FILE        it must be the bytes that the lock file has
 *     --write-lock FILE  write what was fetched to a lock file, or into it
 *
 * A bundle has all that is needed to verify and install a release where nothing can be reached: carry it there,
 * and run ts-install on it.
 *
 * The cache is asked first, then the mirrors, then Tailscale's packages host; each says what it answered. What
 * comes is verified as ts-verify does it, from the cache too; a place whose bytes are not authentic is passed
 * over. A download that was cut goes on where it stopped; below 1 KiB/s for 20 s the next place is asked. A mirror is laid
 * out as https://pkgs.tailscale.com is, or has all in one folder.
 *
 * Prints one record: file, version, machines, bytes, where each came from.
 *
 * exit: 0 fetched, 1 not fetched, 2 usage, 3 try again
 * env:
 *   HTTPS_PROXY, NO_PROXY  proxy
 *   SSL_CERT_FILE          CAs to trust for TLS
 *   MOORBOX_PACKAGES       what is asked last, instead of https://pkgs.tailscale.com
 * files:
 *   ~/.cache/moorbox/releases  the cache; XDG_CACHE_HOME is honoured
 * example: ts-fetch --arch amd64 --arch arm64
 * example: ts-fetch -V 1.102.5 --mirror https://mirror.example.com -o t.moor
 * see: ts-install ts-verify ts-reach
 */
#include "bundle.h"
#include "buf.h"
#include "clock.h"
#include "contents.h"
#include "err.h"
#include "fetch.h"
#include "file.h"
#include "http.h"
#include "pin.h"
#include "progress.h"
#include "rec.h"
#include "release.h"
#include "str.h"
#include "trust.h"
#include "opts/ts-fetch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ARCHS = 10, PATH = 4400 };

static struct fetch f;
static struct trust_how how;
static struct pins made;
static const char *archs[ARCHS + 1];
static char paths[ARCHS][PATH], from[ARCHS][600];
static int narch;

static void told(const char *place, const struct why *why)
{
	progress_end();
	if (!why)
		verbose("%s: it is there", place);
	else if (why->reason != R_NO_RELEASE || !str_eq(place, "cache"))
		say("%s: %s [%s]", place, why->msg, reason_word(why->reason));
}

static int note_pin(struct trust_verdict *v, void *ctx)
{
	struct pin pin;
	(void)ctx;
	trust_pin(v, &pin);
	pin_put(&made, &pin);
	return 0;
}

static _Noreturn void stop(struct why *why)
{
	progress_end();
	fetch_close(&f);
	die_why(why);
}

static int add_file(struct bundle_writer *w, const char *path, const char *name, struct why *why)
{
	struct seal *s = seal_open(AT_FDCWD, path, SEAL_MAX, why);
	int rc = s ? bundle_add(w, name, seal_bytes(s), seal_size(s), why) : -1;
	seal_free(s);
	return rc;
}

/* A file beside a release, as it goes into the bundle. */
static int add_beside(struct bundle_writer *w, const char *release, const char *name, struct why *why)
{
	char path[PATH + 40];
	str_fmt(path, sizeof path, "%.*s%s", (int)(strrchr(release, '/') + 1 - release), release, name);
	return add_file(w, path, name, why);
}

static int same_keys(const char *a, const char *b)
{
	struct buf x = {0}, y = {0};
	struct why why;
	char path[PATH + 40];
	str_fmt(path, sizeof path, "%.*sdistsign.pub", (int)(strrchr(a, '/') + 1 - a), a);
	int rc = file_read(AT_FDCWD, path, &x, 1 << 16, &why);
	str_fmt(path, sizeof path, "%.*sdistsign.pub", (int)(strrchr(b, '/') + 1 - b), b);
	int same = !rc && file_read(AT_FDCWD, path, &y, 1 << 16, &why) == 0 && x.len == y.len && !memcmp(x.p, y.p, x.len);
	buf_free(&x), buf_free(&y);
	return same;
}

static int fill(struct bundle_writer *w, struct why *why)
{
	if (add_beside(w, paths[0], "distsign.pub", why) < 0 || add_beside(w, paths[0], "distsign.pub.sig", why) < 0)
		return -1;
	for (int i = 0; i < narch; i++) {
		char name[128], sig[160];
		str_fmt(name, sizeof name, "%s", strrchr(paths[i], '/') + 1);
		str_fmt(sig, sizeof sig, "%s.sig", name);
		if (!same_keys(paths[0], paths[i]))
			return why_set(why, R_BAD_ANSWER, "the places have different keys; name one of them alone with --mirror");
		if (add_file(w, paths[i], name, why) < 0 || add_beside(w, paths[i], sig, why) < 0)
			return -1;
	}
	return 0;
}

static long long write_bundle(const char *file, const char *version)
{
	struct bundle_writer w;
	struct why why;
	char tmp[PATH];
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	if (str_fmt(tmp, sizeof tmp, "%.*s.%s.tmp.%d", (int)(name - file), file, name, (int)getpid()) < 0)
		die(R_USAGE, "-o: the name is too long");
	unlink(tmp);
	int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		why_errno(&why, "write %s:", file);
		stop(&why);
	}
	bundle_begin(&w, fd, version, time(NULL));
	int rc = fill(&w, &why);
	if (!rc)
		rc = bundle_end(&w, &why);
	long long size = lseek(fd, 0, SEEK_END);
	close(fd);
	if (!rc && rename(tmp, file) < 0)
		rc = why_errno(&why, "write %s:", file);
	if (rc) {
		unlink(tmp);
		err_subject = file;
		stop(&why);
	}
	return size;
}

static void save_lock(const char *path)
{
	struct pins all;
	struct why why;
	for (int i = 0; i < narch; i++) {
		struct trust_how same = how;
		same.arch = archs[i];
		trust_file(paths[i], &same, note_pin, NULL);
	}
	if (pin_load(&all, path, &why) < 0 && errno != ENOENT)
		stop(&why);
	for (int i = 0; i < made.count; i++)
		pin_put(&all, &made.p[i]);
	if (pin_save(&all, path, &why) < 0)
		stop(&why);
}

int ts_fetch_main(char **argv)
{
	struct rec out = {0};
	struct pins lock;
	struct why why;
	const char *lock_path = NULL, *write_lock = NULL, *file = NULL, *version = "stable";
	char newest[32], name[80];
	int mirrors = 0;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case '0': out.mode = REC_NUL; break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': out.mode = REC_NONE; break;
		case 'V': version = o.val; break;
		case 'o': file = o.val; break;
		case 't': f.deadline = clock_ms() + opt_dur(&o); break;
		case OPT_ARCH:
			if (!contents_is_arch(o.val) || narch == ARCHS)
				opt_usage("--arch: Tailscale has no release for %s", o.val);
			archs[narch++] = o.val;
			break;
		case OPT_MIRROR:
			if (mirrors == FETCH_MIRRORS)
				opt_usage("--mirror: at most %d", FETCH_MIRRORS);
			f.mirrors[mirrors++] = o.val;
			break;
		case OPT_CA: f.ca = o.val; break;
		case OPT_ROOT: how.root = o.val; break;
		case OPT_MAX_AGE: how.max_age_s = (opt_dur(&o) + 999) / 1000; break;
		case OPT_LOCK: lock_path = o.val; break;
		case OPT_WRITE_LOCK: write_lock = o.val; break;
		}
	opt_want(&o, 0, 0);
	int is_track = str_eq(version, "stable") || str_eq(version, "unstable") || str_eq(version, "latest");
	if (!is_track && !release_is_version(version))
		opt_usage("-V: a version looks like 1.102.5; or stable, unstable, latest; not %s", version);
	if (!narch && !(archs[narch++] = contents_own_arch()))
		opt_usage("Tailscale has no release for this machine; name another with --arch");
	if (lock_path && pin_load(&lock, lock_path, &why) < 0)
		die_why(&why);
	how.lock = lock_path ? &lock : NULL;
	f.how = &how;
	f.progress = progress_show;
	f.told = told;

	if (fetch_open(&f, &why) < 0)
		die_why(&why);
	if (is_track) {
		if (fetch_version(&f, str_eq(version, "unstable") ? version : "stable", newest, &why) < 0)
			stop(&why);
		version = newest;
	}
	for (int i = 0; i < narch; i++)
		if (fetch_release(&f, version, archs[i], paths[i], PATH, from[i], &why) < 0)
			stop(&why);
	progress_end();
	str_fmt(name, sizeof name, "tailscale_%s.moor", version);
	file = file ? file : name;
	long long size = write_bundle(file, version);
	if (write_lock)
		save_lock(write_lock);

	const char *places[ARCHS + 1] = {0};
	char shown[ARCHS][600];
	for (int i = 0; i < narch; i++)
		places[i] = strstr(from[i], "://") ? http_redact_url(shown[i], sizeof *shown, from[i]) : from[i];
	rec_begin(&out);
	rec_str(&out, "file", file);
	rec_str(&out, "version", version);
	rec_list(&out, "arch", archs);
	rec_num(&out, "bytes", size);
	rec_list(&out, "from", places);
	rec_end(&out);
	fetch_close(&f);
	return EXIT_DONE;
}
