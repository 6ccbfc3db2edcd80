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
 * comes is verified, from the cache too: signature, version and machine; a place whose bytes are not authentic is
 * passed over. ts-verify and ts-install look at all that is in it. A download that was cut goes on where it stopped; below
 * 1 KiB/s for 20 s the next place is asked. A mirror is laid out as https://pkgs.tailscale.com is, or has all in one
 * folder.
 *
 * Two that would write the same bundle, or fetch the same version into one cache, do not wait for each other:
 * [busy], unless -t says how long.
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
#include "clock.h"
#include "contents.h"
#include "err.h"
#include "fetch.h"
#include "http.h"
#include "pin.h"
#include "progress.h"
#include "rec.h"
#include "release.h"
#include "str.h"
#include "trust.h"
#include "opts/ts-fetch.h"
#include <fcntl.h>
#include <string.h>
#include <time.h>

enum { ARCHS = 10, PATH = 4400, KEYS_MAX = 1 << 16 };

static struct fetch f;
static struct trust_how how;
static struct bundle_writer out_file;
static struct pins made;
static const char *archs[ARCHS + 1];
static char from[ARCHS][600];
static int narch;

static int is_wanted(const char *arch)
{
	for (int i = 0; i < narch; i++)
		if (str_eq(archs[i], arch))
			return 1;
	return 0;
}

static void told(const char *place, const struct why *why)
{
	progress_end();
	if (!why)
		verbose("%s: it is there", place);
	else if (why->reason != R_NO_RELEASE || !str_eq(place, "cache"))
		say("%s: %s [%s]", place, why->msg, reason_word(why->reason));
}

static _Noreturn void stop(struct why *why)
{
	if (why->reason == R_BUSY)
		why_hint(why, "wait for it: ts-fetch -t 15m ...");
	progress_end();
	bundle_drop(&out_file);
	fetch_close(&f);
	die_why(why);
}

/* A small file beside a release. */
static struct seal *beside(const char *release, const char *name, struct why *why)
{
	char path[PATH + 160];
	str_fmt(path, sizeof path, "%.*s%s", (int)(strrchr(release, '/') + 1 - release), release, name);
	return seal_open(AT_FDCWD, path, KEYS_MAX, why);
}

static int add_beside(const char *release, const char *name, struct why *why)
{
	struct seal *s = beside(release, name, why);
	int rc = s ? bundle_add(&out_file, name, s, why) : -1;
	seal_free(s);
	return rc;
}

/* The keys are in the bundle once, so they have to be the same wherever each came from. */
static int add_keys(const char *release, struct why *why)
{
	static char first[65];
	struct seal *s = beside(release, "distsign.pub", why);
	int rc = !s ? -1 : *first && !str_eq(first, seal_sha256(s)) ?
		why_set(why, R_BAD_ANSWER, "the places have different keys; name one of them alone with --mirror") : 0;
	if (!rc && !*first) {
		str_copy(first, sizeof first, seal_sha256(s));
		rc = bundle_add(&out_file, "distsign.pub", s, why) < 0 ? -1 : add_beside(release, "distsign.pub.sig", why);
	}
	seal_free(s);
	return rc;
}

/* One machine's release, into the bundle. */
static int get(const char *version, int i, struct why *why)
{
	struct trust_verdict got;
	struct pin pin;
	char path[PATH], sig[160];
	if (fetch_release(&f, version, archs[i], path, sizeof path, from[i], &got, why) < 0)
		return -1;
	progress_end();
	trust_pin(&got, &pin);
	pin_put(&made, &pin);
	str_fmt(sig, sizeof sig, "%s.sig", got.name);
	int rc = add_keys(path, why);
	if (!rc)
		rc = bundle_add(&out_file, got.name, got.seal, why);
	seal_free(got.seal);
	return rc < 0 ? -1 : add_beside(path, sig, why);
}

int ts_fetch_main(char **argv)
{
	struct rec out = {0};
	struct pins lock;
	struct why why;
	const char *write_lock = NULL, *file = NULL, *version = "stable";
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
		case 't': f.net.deadline = clock_ms() + opt_dur(&o); break;
		case OPT_ARCH:
			if (!contents_is_arch(o.val) || narch == ARCHS)
				opt_usage("--arch: Tailscale has no release for %s", o.val);
			if (!is_wanted(o.val))
				archs[narch++] = o.val;
			break;
		case OPT_MIRROR:
			if (mirrors == FETCH_MIRRORS)
				opt_usage("--mirror: at most %d", FETCH_MIRRORS);
			f.mirrors[mirrors++] = o.val;
			break;
		case OPT_CA: f.net.ca = o.val; break;
		case OPT_ROOT: how.root = o.val; break;
		case OPT_MAX_AGE: how.max_age_s = (opt_dur(&o) + 999) / 1000; break;
		case OPT_LOCK:
			if (pin_load(&lock, o.val, &why) < 0)
				die_why(&why);
			how.lock = &lock;
			break;
		case OPT_WRITE_LOCK: write_lock = o.val; break;
		}
	opt_want(&o, 0, 0);
	int is_track = str_eq(version, "stable") || str_eq(version, "unstable") || str_eq(version, "latest");
	if (!is_track && !release_is_version(version))
		opt_usage("-V: a version looks like 1.102.5; or stable, unstable, latest; not %s", version);
	if (!narch && !(archs[narch++] = contents_own_arch()))
		opt_usage("Tailscale has no release for this machine; name another with --arch");
	f.how = &how;
	f.net.progress = progress_show;
	f.told = told;

	if (fetch_open(&f, &why) < 0)
		die_why(&why);
	if (is_track) {
		if (fetch_version(&f, str_eq(version, "unstable") ? version : "stable", newest, &why) < 0)
			stop(&why);
		version = newest;
	}
	str_fmt(name, sizeof name, "tailscale_%s.moor", version);
	file = file ? file : name;
	if (bundle_begin(&out_file, file, version, time(NULL), f.net.deadline ? f.net.deadline : clock_ms(), &why) < 0)
		stop(&why);
	for (int i = 0; i < narch; i++)
		if (get(version, i, &why) < 0)
			stop(&why);
	long long size = bundle_end(&out_file, &why);
	if (size < 0 || (write_lock && pin_merge(&made, write_lock, &why) < 0))
		stop(&why);

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
