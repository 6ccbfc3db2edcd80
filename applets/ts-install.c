/* ts-install - install a verified Tailscale from file, net or apt; roll back
 *
 * usage: ts-install [-0jqvnf] [-V VERSION] [--arch A] [--prefix DIR] [--daemon-only] [FILE | URL]
 * usage: ts-install [--root FILE] [--sha256 HEX] [--lock FILE] [--write-lock FILE] [--max-age DUR] [FILE | URL]
 * usage: ts-install [--mirror URL]... [--ca FILE] [-t DUR]
 * usage: ts-install --apt URL --suite S [--keyring FILE] | --from-go
 * usage: ts-install --list | --rollback | --uninstall [--prefix DIR]
 *
 * -0, --null             end each record with NUL, not newline
 * -j, --json             print JSON lines
 * -q, --quiet            print nothing; the exit status is the answer
 * -v, --verbose          say each step
 * -n, --dry-run          verify, and say what would be done
 * -f, --force            replace the same version if it has other bytes; remove what is in use
 * -V, --version-is VERSION  it must be this version; from the net: this one, stable (default) or unstable
 *     --arch A           for this machine: amd64, arm64, arm, 386... (default: this one)
 *     --prefix DIR       install below DIR (default: /usr/local for root, else ~/.local)
 *     --daemon-only      leave out the tailscale command, which moorbox does not need
 *     --allow-downgrade  an older version than the installed one is fine, or an older index than one seen
 *     --sha256 HEX       it must be these bytes
 *     --lock FILE        it must be the bytes that the lock file has
 *     --write-lock FILE  write what was installed to a lock file, or into it
 *     --root FILE        trust the root keys in FILE instead of Tailscale's
 *     --max-age DUR      it must not be older than this: 90d
 *     --mirror URL       ask there first, in the order given; also a folder
 *     --ca FILE          trust the CAs in FILE (PEM) for TLS
 * -t, --timeout DUR      fetching, and waiting for another ts-install, must be done in DUR (default: only what stalls is
 *                        given up, and nobody is waited for)
 *     --apt URL          take the .deb of the apt repository at URL, without apt
 *     --suite S          its suite or codename: bookworm
 *     --keyring FILE     trust the OpenPGP keys in FILE instead of Tailscale's
 *     --from-go          build it with this machine's go, from Go's module proxy
 *     --rollback         back to the version that was current before
 *     --list             print what is installed
 *     --uninstall        remove all of it
 *
 * FILE is a bundle (tailscale_VERSION.moor), a release (tailscale_VERSION_ARCH.tgz, with .sig, distsign.pub and
 * distsign.pub.sig beside it), or a folder with either, of which the newest is taken. It is verified whole, as
 * ts-verify does it, before anything in it is looked at. Then the two programs are written to a folder of their
 * own, and one link is switched to it: at any time there is the old version or the new one. ws-up finds it there.
 *
 * Without FILE it is fetched, as ts-fetch does it: from the cache, the mirrors, Tailscale's packages host, in this order; each
 * says what it answered. A URL is fetched with its .sig, and the keys from the root of its host or from beside it.
 *
 * With --from-go it is the newest stable version that this go can build, or that of -V. What vouches for it is Go's
 * checksum database; if that is switched off, it is said. It has WebSocket DERP, for proxies that drop DERP's own Upgrade.
 *
 * Workspaces that run keep their program until they are taken down; a version in use is not removed. The current
 * version, the one before it and those in use are kept.
 *
 * Prints one record:
 *
 *   done       installed, switched, already, would-install; removed
 *   version    of Tailscale
 *   arch       machine
 *   path       of tailscaled
 *   before     the version that was current
 *   chain      what vouches for it: distsign, apt, minisign, pin, go
 *   signed-by  signing key, or fingerprint
 *   sha256     of the archive
 *
 * and of --list for each version: version, current or before, arch, chain, when it was installed, from where, who
 * runs it.
 *
 * exit: 0 done, 1 not done, 2 usage, 3 try again
 * env:
 *   HOME                   ~/.local and ~/.cache are below it
 *   HTTPS_PROXY, NO_PROXY  proxy
 *   SSL_CERT_FILE          CAs to trust for TLS
 *   MOORBOX_PACKAGES       what is asked last, instead of https://pkgs.tailscale.com
 * files:
 *   PREFIX/lib/moorbox/current       link to the version that is used
 *   PREFIX/lib/moorbox/VERSION       tailscaled, tailscale
 *   PREFIX/lib/moorbox/VERSION.json  receipt: what it is, where it came from, who signed it
 *   PREFIX/lib/moorbox/apt-seen.json  date of the newest index of each apt repository; an older one is refused
 *   ~/.cache/moorbox/releases        what was fetched
 * example: ts-install
 * example: ts-install tailscale_1.102.5.moor
 * example: ts-install --lock tailscale.lock tailscale_1.102.5_amd64.tgz
 * example: ts-install --suite sid --apt https://mirror.example.com/debian
 * example: ts-install --rollback
 * see: ts-fetch ts-verify ws-up
 */
#include "adopt.h"
#include "alloc.h"
#include "clock.h"
#include "contents.h"
#include "err.h"
#include "fetch.h"
#include "file.h"
#include "http.h"
#include "install.h"
#include "pin.h"
#include "progress.h"
#include "rec.h"
#include "release.h"
#include "str.h"
#include "opts/ts-install.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rec out;
static struct install in;
static struct trust_how how;
static struct fetch net;
static struct adopt job = {.in = &in, .how = &how};
static const char *prefix, *write_lock;

static const char *or_null(const char *s)
{
	return s && *s ? s : NULL;
}

static void print(const char *done, const struct receipt *r, const char *before)
{
	char path[4096];
	str_fmt(path, sizeof path, "%s/%s/tailscaled", in.path, r->version);
	rec_begin(&out);
	rec_str(&out, "done", done);
	rec_str(&out, "version", or_null(r->version));
	rec_str(&out, "arch", or_null(r->arch));
	rec_str(&out, "path", path);
	rec_str(&out, "before", or_null(before));
	rec_str(&out, "chain", or_null(r->chain));
	rec_str(&out, "signed-by", or_null(r->signer));
	rec_str(&out, "sha256", or_null(r->sha256));
	rec_end(&out);
}

static void said_kept(const char *version, const char *users)
{
	say("%s is still run by %s; a workspace changes over when it is taken down and up again", version, users);
}

static _Noreturn void fail(struct why *why)
{
	static char shown[600];
	if (why->reason == R_BUSY)
		why_hint(why, "wait for it: ts-install -t 15m ...");
	progress_end();
	fetch_close(&net);
	err_subject = job.source && strstr(job.source, "://") ? http_redact_url(shown, sizeof shown, job.source) : job.source;
	die_why(why);
}

/* ---- installing ---- */

static void finish(void)
{
	struct pins made = {&job.pin, 1};
	struct why why;
	progress_end();
	if (job.dry_run) {
		print(job.done == ADOPT_ALREADY ? "already" : job.done == ADOPT_SWITCHED ? "would-switch" : "would-install", &job.r, job.before);
		return;
	}
	if (job.done == ADOPT_ALREADY)
		say("%s is installed already", job.r.version);
	verbose("%s is %s for %s, by %s", job.source, job.r.version, job.r.arch, job.r.chain);
	install_prune(&in, said_kept);
	print(job.done == ADOPT_ALREADY ? "already" : job.done == ADOPT_SWITCHED ? "switched" : "installed", &job.r, job.before);
	if (write_lock && pin_merge(&made, write_lock, &why) < 0)
		die_why(&why);
}

static void go(const char *path)
{
	struct why why;
	progress_end();
	if (adopt_file(&job, path, &why) < 0)
		fail(&why);
	finish();
}

static void from_path(const char *path)
{
	struct why why;
	struct stat st;
	char picked[4096];
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (install_pick(path, how.version, how.arch, picked, sizeof picked, &why) < 0)
			die_why(&why);
		path = job.source = picked;
	}
	go(path);
}

/* ---- from the net ---- */

static void told(const char *place, const struct why *why)
{
	progress_end();
	if (!why)
		say("%s: it is there", place);
	else
		say("%s: %s [%s]", place, why->msg, reason_word(why->reason));
}

/* That very version is installed, whole, and nothing is asked about it that only its archive can answer. */
static int is_current(const char *version)
{
	if (how.sha256 || how.lock || how.root || how.max_age_s || write_lock || !adopt_is_current(&job, version))
		return 0;
	say("%s is installed already", version);
	print("already", &job.r, job.r.before);
	return 1;
}

static void from_net(const char *version)
{
	struct why why;
	char newest[32], path[4400];
	static char from[600];
	if (!release_is_version(version)) {
		if (fetch_version(&net, str_eq(version, "unstable") ? version : "stable", newest, &why) < 0)
			fail(&why);
		version = newest;
	}
	if (is_current(version))
		return;
	if (!job.allow_downgrade && release_check_downgrade(version, in.current, "which is installed", &why) < 0)
		fail(&why);
	if (fetch_release(&net, version, how.arch, path, sizeof path, from, NULL, &why) < 0)
		fail(&why);
	job.source = from;
	how.version = version;
	go(path);
}

static void from_url(const char *url)
{
	struct why why;
	char path[4400];
	if (fetch_url(&net, url, path, sizeof path, &why) < 0)
		fail(&why);
	go(path);
}

static void from_apt(const char *url, const char *suite)
{
	struct why why;
	char path[4400], index[4400];
	job.source = url;
	if (fetch_apt(&net, url, suite, path, sizeof path, index, sizeof index, &why) < 0) {
		if (why.reason == R_REPLAY)
			why_hint(&why, "if the repository was really put back: ts-install --allow-downgrade ...");
		fail(&why);
	}
	how.index = index;
	how.suite = suite;
	go(path);
}

static void building(const char *version, const char *with, const char *sumdb)
{
	say("building %s with go %s; %s%s", version, with, *sumdb ? "checked by " : "nobody checks it: the checksum database is off", sumdb);
}

static void from_go(const char *version)
{
	struct why why;
	job.source = "go";
	if (adopt_go(&job, version, building, &why) < 0)
		fail(&why);
	finish();
}

/* ---- the rest ---- */

static void list_one(const struct receipt *r, void *ctx)
{
	char when[32], users[300];
	struct receipt now;
	(void)ctx;
	clock_stamp(when, r->when);
	install_users(&in, r->version, users, sizeof users);
	int is_before = install_receipt(&in, in.current, &now) && str_eq(now.before, r->version);
	rec_begin(&out);
	rec_str(&out, "version", r->version);
	rec_str(&out, "state", str_eq(r->version, in.current) ? "current" : is_before ? "before" : NULL);
	rec_str(&out, "arch", r->arch);
	rec_str(&out, "chain", r->chain);
	rec_str(&out, "installed", when);
	rec_str(&out, "from", r->source);
	rec_str(&out, "in-use-by", or_null(users));
	rec_end(&out);
}

static void rollback(void)
{
	struct receipt now, r;
	struct why why;
	char before[32];
	if (!*in.current || !install_receipt(&in, in.current, &now) || !*now.before || !install_receipt(&in, now.before, &r))
		die(R_NO_PREVIOUS, "%s: nothing was installed before %s", in.path, *in.current ? in.current : "it");
	if (!install_intact(&in, &r))
		die(R_NO_PREVIOUS, "%s/%s is not what it was when it was installed", in.path, r.version);
	str_copy(before, sizeof before, in.current);
	if (!job.dry_run && install_switch(&in, &r, &why) < 0)
		die_why(&why);
	print(job.dry_run ? "would-switch" : "switched", &r, before);
	char users[300];
	if (install_users(&in, before, users, sizeof users) > 0)
		said_kept(before, users);
}

struct all { int count; struct receipt r[64]; };

static void may_go(const struct receipt *r, void *ctx)
{
	struct all *all = ctx;
	char users[300];
	if (!job.force && install_users(&in, r->version, users, sizeof users) > 0) {
		hint("first: ws-down %s", users);
		die(R_IN_USE, "%s is run by %s", r->version, users);
	}
	all->r[all->count++] = *r;
}

static void open_it(int change)
{
	struct why why;
	long long deadline = net.net.deadline ? net.net.deadline : clock_ms();
	if (install_open(&in, prefix, change, deadline, &why) == 0 || (!change && errno == ENOENT))
		return;
	if (why.reason != R_BUSY)
		die_why(&why);
	why_set(&why, R_BUSY, "%s: another ts-install is working there", in.path);
	fail(&why);
}

static int is_nothing(void)
{
	struct stat st;
	open_it(0);
	int nothing = in.dir < 0 || fstat(in.dir, &st) < 0;
	install_close(&in);
	return nothing;
}

static void uninstall(void)
{
	struct why why;
	if (is_nothing()) {
		say("nothing is installed in %s", in.path);
		return;
	}
	open_it(!job.dry_run);
	struct all *all = xalloc(sizeof *all);
	install_each(&in, may_go, all);
	if (!job.dry_run && install_remove_all(&in, &why) < 0)
		die_why(&why);
	for (int i = 0; i < all->count; i++)
		print(job.dry_run ? "would-remove" : "removed", &all->r[i], NULL);
}

int ts_install_main(char **argv)
{
	struct pins lock;
	struct why why;
	net.dir = -1;
	const char *version = NULL, *apt = NULL, *suite = NULL;
	int what = 0, mirrors = 0, by_go = 0;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case '0': out.mode = REC_NUL; break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': out.mode = REC_NONE; break;
		case 'n': job.dry_run = 1; break;
		case 'f': job.force = 1; break;
		case 'V': version = o.val; break;
		case 't': net.net.deadline = clock_ms() + opt_dur(&o); break;
		case OPT_ARCH: how.arch = o.val; break;
		case OPT_PREFIX: prefix = o.val; break;
		case OPT_DAEMON_ONLY: job.daemon_only = 1; break;
		case OPT_ALLOW_DOWNGRADE: job.allow_downgrade = 1; break;
		case OPT_SHA256: how.sha256 = o.val; break;
		case OPT_LOCK:
			if (pin_load(&lock, o.val, &why) < 0)
				die_why(&why);
			how.lock = &lock;
			break;
		case OPT_WRITE_LOCK: write_lock = o.val; break;
		case OPT_ROOT: how.root = o.val; break;
		case OPT_CA: net.net.ca = o.val; break;
		case OPT_APT: apt = o.val; break;
		case OPT_FROM_GO: by_go = 1; break;
		case OPT_SUITE: suite = o.val; break;
		case OPT_KEYRING: how.keyring = o.val; break;
		case OPT_MIRROR:
			if (mirrors == FETCH_MIRRORS)
				opt_usage("--mirror: at most %d", FETCH_MIRRORS);
			net.mirrors[mirrors++] = o.val;
			break;
		case OPT_MAX_AGE: how.max_age_s = (opt_dur(&o) + 999) / 1000; break;
		case OPT_LIST: case OPT_ROLLBACK: case OPT_UNINSTALL:
			if (what && what != c)
				opt_usage("one of --list, --rollback and --uninstall");
			what = c;
		}
	opt_want(&o, 0, !what && !apt && !by_go);
	int is_track = version && (str_eq(version, "stable") || str_eq(version, "unstable") || str_eq(version, "latest"));
	if (version && !is_track && !release_is_version(version))
		opt_usage("-V: a version looks like 1.102.5, not %s", version);
	if (by_go && (apt || job.dry_run || write_lock || how.lock || how.sha256 || (how.arch && !str_eq(how.arch, contents_own_arch()))))
		opt_usage("--from-go builds for this machine, and knows no signatures and pins");
	if (is_track && (apt || by_go || o.count))
		opt_usage("-V %s is for what is fetched", version);
	if (!apt != !suite)
		opt_usage("--apt URL and --suite S belong together");
	how.version = is_track ? NULL : version;
	if (how.sha256 && (strlen(how.sha256) != 64 || strspn(how.sha256, "0123456789abcdefABCDEF") != 64))
		opt_usage("--sha256: 64 hexadecimal digits, not %s", how.sha256);
	if (!how.arch && !(how.arch = contents_own_arch()))
		opt_usage("Tailscale has no release for this machine; name another with --arch");
	if (!contents_is_arch(how.arch))
		opt_usage("--arch: Tailscale has no release for %s", how.arch);

	out.table = what == OPT_LIST;
	switch (what) {
	case OPT_LIST:
		open_it(0);
		if (in.dir >= 0)
			install_each(&in, list_one, NULL);
		break;
	case OPT_ROLLBACK: open_it(!job.dry_run); rollback(); break;
	case OPT_UNINSTALL: uninstall(); break;
	default:
		job.source = *o.operands;
		net.how = &how;
		net.net.progress = progress_show;
		net.told = told;
		open_it(!job.dry_run);
		net.seen = in.dir;
		net.may_note = !job.dry_run;
		net.may_go_back = job.allow_downgrade;
		if (!by_go && (apt || !job.source || strstr(job.source, "://")) && fetch_open(&net, &why) < 0)
			die_why(&why);
		if (by_go)
			from_go(version);
		else if (apt)
			from_apt(apt, suite);
		else if (!job.source)
			from_net(version ? version : "stable");
		else if (strstr(job.source, "://"))
			from_url(job.source);
		else
			from_path(job.source);
		fetch_close(&net);
	}
	rec_finish(&out);
	return EXIT_DONE;
}
