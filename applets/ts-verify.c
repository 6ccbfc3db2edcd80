/* ts-verify - say whether files are what their publisher signed, and what exactly they are
 *
 * usage: ts-verify [-0jqv] [-V VERSION] [--arch A] [--max-age DUR] [--lock FILE] [--sha256 HEX] FILE...
 * usage: ts-verify [--root FILE] [--keyring FILE] [--index DIR] [--suite S] [--write-lock FILE] FILE...
 *
 * -0, --null             end each record with NUL, not newline
 * -j, --json             print JSON lines
 * -q, --quiet            print nothing; the exit status is the answer
 * -v, --verbose          say each step
 * -V, --version-is VERSION  it must be this version
 *     --arch A           it must be for this machine: amd64, arm64, arm, 386...
 *     --max-age DUR      it must not be older than this: 90d
 *     --root FILE        trust the root keys in FILE instead of Tailscale's; for FILE.minisig: this public key
 *     --keyring FILE     trust the OpenPGP keys in FILE instead of Tailscale's
 *     --index DIR        where InRelease and Packages are, for a .deb (default: beside it)
 *     --suite S          the index must be of this suite or codename
 *     --sha256 HEX       it must be these bytes
 *     --lock FILE        it must be the bytes that the lock file has
 *     --write-lock FILE  when all are trusted, write what they are to a lock file, or into it
 *
 * A FILE is one of these:
 *
 *   tailscale_VERSION_ARCH.tgz
 *              signed by Tailscale; .sig, distsign.pub, distsign.pub.sig beside it
 *   tailscale_VERSION.moor
 *              a bundle: that for several machines; --arch looks at one only
 *   .deb       listed by a signed index: InRelease and Packages (.gz, .xz)
 *   InRelease  the index itself
 *   anything   with FILE.minisig beside it, signed by the key of --root
 *
 * What nobody signed is trusted if --sha256 or --lock has its bytes; a wrong signature is never made up for. Only
 * what is authentic is looked into: its folder, both programs and the version in them must be what its name
 * says. Nothing is written or run, nobody is asked. One record each:
 *
 *   verdict    trusted, refused
 *   file       as given; in a bundle BUNDLE:NAME
 *   product    tailscale, moorbox, apt-index
 *   version    of an index: its codename
 *   arch       machine
 *   signed-by  signing key, or fingerprint of an OpenPGP key
 *   sha256     of the file
 *   reason     why it is refused, as a word
 *   why        and as a sentence
 *   chain      what vouches for it: distsign, apt, minisign, pin
 *   root       whose word that is: tailscale, or the file of --root, --keyring
 *   built      date of the newest file inside
 *   stamp      long version of the programs inside, if they have one
 *
 * exit: 0 all are trusted, 1 one is not, 2 usage
 * example: ts-verify -V 1.102.5 --arch amd64 tailscale_1.102.5_amd64.tgz
 * example: ts-verify -j tailscale_1.102.5.moor
 * see: ts-info
 */
#include "clock.h"
#include "contents.h"
#include "err.h"
#include "pin.h"
#include "rec.h"
#include "release.h"
#include "str.h"
#include "trust.h"
#include "opts/ts-verify.h"
#include <string.h>

static struct rec out;
static struct pins made;

static const char *or_null(const char *s)
{
	return s && *s ? s : NULL;
}

static int show(struct trust_verdict *v, void *ctx)
{
	char built[16] = "";
	struct pin pin;
	(void)ctx;
	if (v->what.newest)
		clock_date(built, v->what.newest);
	rec_begin(&out);
	rec_str(&out, "verdict", v->trusted ? "trusted" : "refused");
	rec_str(&out, "file", v->file);
	rec_str(&out, "product", v->product);
	rec_str(&out, "version", or_null(v->what.version));
	rec_str(&out, "arch", or_null(v->what.arch));
	rec_str(&out, "signed-by", or_null(v->signer));
	rec_str(&out, "sha256", or_null(v->sha256));
	rec_str(&out, "reason", v->trusted ? NULL : reason_word(v->why.reason));
	rec_str(&out, "why", v->trusted ? NULL : v->why.msg);
	rec_str(&out, "chain", or_null(v->chain));
	rec_str(&out, "root", v->root);
	rec_str(&out, "built", or_null(built));
	rec_str(&out, "stamp", or_null(v->what.stamp));
	rec_end(&out);
	if (!v->trusted && *v->why.hint)
		say("hint: %s", v->why.hint);
	verbose("%s: %s, %lld bytes%s%s", v->file, *v->chain ? v->chain : "nothing vouches for it", v->size,
		*v->pub_sha256 ? ", distsign.pub " : "", v->pub_sha256);
	if (v->trusted) {
		trust_pin(v, &pin);
		pin_put(&made, &pin);
	}
	return 0;
}

int ts_verify_main(char **argv)
{
	struct trust_how how = {0};
	struct pins lock;
	struct why why;
	const char *write_path = NULL;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case '0': out.mode = REC_NUL; break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': out.mode = REC_NONE; break;
		case 'V': how.version = o.val; break;
		case OPT_ARCH: how.arch = o.val; break;
		case OPT_MAX_AGE: how.max_age_s = (opt_dur(&o) + 999) / 1000; break;
		case OPT_ROOT: how.root = o.val; break;
		case OPT_KEYRING: how.keyring = o.val; break;
		case OPT_INDEX: how.index = o.val; break;
		case OPT_SUITE: how.suite = o.val; break;
		case OPT_SHA256: how.sha256 = o.val; break;
		case OPT_LOCK:
			if (pin_load(&lock, o.val, &why) < 0)
				die_why(&why);
			how.lock = &lock;
			break;
		case OPT_WRITE_LOCK: write_path = o.val; break;
		}
	opt_want(&o, 1, OPT_MANY);
	if (how.version && !release_is_version(how.version))
		opt_usage("-V: a version looks like 1.102.5, not %s", how.version);
	if (how.sha256 && (strlen(how.sha256) != 64 || strspn(how.sha256, "0123456789abcdefABCDEF") != 64))
		opt_usage("--sha256: 64 hexadecimal digits, not %s", how.sha256);
	if (how.sha256 && o.count > 1)
		opt_usage("--sha256 is of one FILE");

	int bad = 0;
	out.table = 1;
	for (char **file = o.operands; *file; file++)
		bad += trust_file(*file, &how, show, NULL);
	rec_finish(&out);
	if (write_path && !bad && pin_merge(&made, write_path, &why) < 0)
		die_why(&why);
	return bad ? EXIT_NO : EXIT_DONE;
}
