/* ts-acl - print, and check, the policy a workspace tag needs
 *
 * usage: ts-acl [--ports PORTS] [--ssh] [--tests] [--owner WHO]... [--form F] [--dialect D] TAG WHO...
 * usage: ts-acl --check [--policy FILE] [--api SRC] [--owner WHO] [--ports PORTS] [--ssh] [-jq0] [-t DUR] TAG [WHO]...
 *
 * --ports PORTS  TCP ports that WHO may reach: 22,3000-3999 (default: all)
 * --ssh  Tailscale SSH as well (ws-up --ssh)
 * --tests  tests that refuse a later change which would take it away
 * --owner WHO  who may give nodes the tag (default autogroup:admin); may be repeated. With --check: ask whether WHO may
 * --form F  grants (default) or acls, the older form
 * --dialect D  saas (default) or headscale
 * --check  say whether a policy has what TAG needs, instead of printing it
 * --policy FILE  with --check: the policy in FILE (- is stdin); with --api as well: as if it were the tailnet's
 * --api SRC  with --check: the tailnet's own, read with this credential (env:NAME, file:PATH, fd:N, -, oauth:SRC, wif:SOURCE)
 * --login-server URL  control server, if not Tailscale's own
 * -t, --timeout DUR  wait at most DUR for the API (default 30)
 * -j, --json  print JSON lines
 * -0, --null  end each record with NUL, not newline
 * -q, --quiet  print nothing; the exit status is the answer
 *
 * TAG is a tag of workspaces, such as tag:ws. WHO is a user, a group (group:dev, autogroup:member), a tag or an address. What is
 * printed is HuJSON with a reason beside each part, to be put into the policy file by hand: ts-acl changes no policy.
 *
 * With --check a record is printed for each question: what was asked (syntax, tag, assign, ports, ssh, service), yes or no or
 * unknown, about whom, what was found, the reason. tag: it is defined, and who owns it. assign: whether keys made with the
 * credential may give nodes the tag (a user's token by the user's name, groups and role, an OAuth client by its tags); a file
 * alone does not tell, but of --owner WHO. service: whether it would take the policy; headscale cannot be asked.
 *
 * exit: 0 printed; everything asked is so
 *   1  something is not so, or the policy cannot be read
 *   2  usage
 *   3  something that was asked cannot be told, or the API cannot be reached
 * example: ts-acl tag:ws group:dev --ports 22,3000-3999 --ssh
 * example: ts-acl --check --api env:TS_API_TOKEN tag:ws group:dev --ports 22
 * see: ws-up ts-keygen keygen-check
 */
#include "alloc.h"
#include "api_open.h"
#include "api_owner.h"
#include "api_policy.h"
#include "buf.h"
#include "clock.h"
#include "err.h"
#include "file.h"
#include "opts/ts-acl.h"
#include "policy.h"
#include "rec.h"
#include "settings.h"
#include "str.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORTS_MAX = 32, OWNERS_MAX = 16 };

static struct rec out;
static int status = EXIT_DONE, lacks;

/* ---- --check ---- */

static void answer(const char *what, int yes, const char *who, const char *found, enum reason reason)
{
	rec_begin(&out);
	rec_str(&out, "check", what);
	rec_str(&out, "verdict", yes < 0 ? "unknown" : yes ? "yes" : "no");
	rec_str(&out, "who", who);
	rec_str(&out, "found", found && *found ? found : NULL);
	rec_str(&out, "reason", yes > 0 ? NULL : reason_word(reason));
	rec_end(&out);
	if (!yes)
		status = EXIT_NO;
	lacks |= !yes;
}

/* What it is worth telling beyond the record. A no outranks what cannot be told. */
static void explain(int yes, struct why *why)
{
	why->status = yes < 0 ? EXIT_RETRY : EXIT_NO;
	if (!err_quiet)
		warn_why(why);
	if (status != EXIT_NO)
		status = why->status;
	lacks = 0;		/* it is said already, and more exactly */
}

static void check_who(const struct policy *p, const char *who, const struct policy_wish *w)
{
	char found[2048], users[1024];
	int again;
	policy_ports(p, who, w->tag, found, sizeof found);
	int open = *found != 0;
	for (int i = 0; w->ports[i]; i++)
		open &= policy_has_port(found, w->ports[i]);
	answer("ports", open, who, found, R_POLICY_LACKS);
	if (!w->ssh)
		return;
	policy_ssh(p, who, w->tag, users, sizeof users, &again);
	answer("ssh", *users && policy_has_port(found, "22"), who, users, R_POLICY_LACKS);
}

static int read_policy(struct buf *text, const char *file, struct why *why)
{
	char chunk[16384];
	if (!str_eq(file, "-"))
		return file_read(AT_FDCWD, file, text, POLICY_MAX, why);
	text->max = POLICY_MAX;
	for (ssize_t n; (n = read(0, chunk, sizeof chunk)) > 0; )
		if (buf_add(text, chunk, n) < 0)
			return why_set(why, R_TOO_BIG, "stdin: the policy is larger than %d bytes", POLICY_MAX);
	return 0;
}

/* Whether the key's owner may give nodes the tag: of --owner by the policy alone, of --api's own by what the API says of it. */
static void check_assign(const struct policy *p, const struct policy_wish *w, const struct api *api, long long deadline)
{
	struct why why = {0};
	struct api_owner o;
	char found[400];
	for (int i = 0; w->owners[i]; i++) {
		int is_owner = policy_is_owner(p, w->tag, w->owners[i]);
		answer("assign", is_owner, w->owners[i], NULL, is_owner < 0 ? R_CANNOT_TELL : R_TAG_REFUSED);
		if (is_owner < 0) {
			why_set(&why, R_CANNOT_TELL, "the owners of %s are a role, and the file does not say whether %s has it", w->tag, w->owners[i]);
			why_hint(&why, "give the API token that is to be asked about: --api SRC");
			explain(-1, &why);
		}
	}
	if (!api) {
		if (!*w->owners) {
			answer("assign", -1, NULL, NULL, R_CANNOT_TELL);
			say("a file does not say who the key's owner is, and so not whether it may give %s: --api SRC, or --owner WHO", w->tag);
		}
		return;
	}
	int yes = api_may_give(api, p, w->tag, &o, deadline, &why);
	str_join(found, sizeof found, api->tags, api->ntags, ",");
	answer("assign", yes, *o.name ? o.name : NULL, api->ntags ? found : o.role, why.reason);
	if (yes <= 0)
		explain(yes, &why);
}

static void check_service(const struct api *api, const struct policy *p, long long deadline)
{
	struct why why = {0};
	char said[512] = "";
	if (api->headscale) {		/* it has no way to be asked: nothing is wrong with that */
		answer("service", -1, NULL, "headscale has no way to be asked", R_CANNOT_TELL);
		return;
	}
	int ok = api_policy_validate(api, p->text, said, sizeof said, deadline, &why);
	answer("service", ok, NULL, ok < 0 ? why.msg : said, ok < 0 ? why.reason : R_BAD_POLICY);
	if (ok < 0)
		explain(ok, &why);
}

static int check(const struct policy_wish *w, const char *file, const char *src, const struct settings *set, const char *control,
	long long deadline)
{
	struct why why = {0};
	struct buf text = {0};
	struct api_who who;
	struct secret given = {0};
	struct api api;
	struct policy p;
	char owners[2048];
	int rc = src && (api_who_take(&who, src, set, &given, NULL, NULL, &why) < 0 || api_open(&api, &who, control, deadline, &why) < 0)
		? -1 : 0;
	secret_free(&given);
	if (!rc)
		rc = file ? read_policy(&text, file, &why) : api_policy_get(&api, &text, deadline, &why);
	if (!rc)
		rc = policy_read(&p, buf_cstr(&text), text.len, &why);
	if (rc < 0)
		die_why(&why);
	answer("syntax", 1, NULL, NULL, R_NONE);
	int is_there = policy_owners(&p, w->tag, owners, sizeof owners);
	answer("tag", is_there, NULL, owners, R_TAG_UNDEFINED);
	check_assign(&p, w, src ? &api : NULL, deadline);
	for (int i = 0; w->who[i]; i++)
		check_who(&p, w->who[i], w);
	if (src) {
		check_service(&api, &p, deadline);
		api_close(&api);
	}
	policy_free(&p);
	if (lacks && !err_quiet) {
		why_set(&why, R_POLICY_LACKS, "the policy lacks something");
		why_hint(&why, "what it should have: ts-acl %s%s %s", w->ssh ? "--ssh " : "", w->tag, *w->who ? *w->who : "autogroup:member");
		warn_why(&why);
	}
	return status;
}

/* ---- operands ---- */

static void cut_ports(char *text, const char **ports)
{
	int n = 0;
	for (char *save = NULL, *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		long long lo, hi;
		char *dash = strchr(p, '-'), first[8];
		if (n == PORTS_MAX)
			opt_usage("--ports: more than %d", PORTS_MAX);
		if (str_copy_slice(first, sizeof first, (struct slice){p, strcspn(p, "-")}) < 0 || str_num(first, 1, 65535, &lo) < 0
			|| (dash && str_num(dash + 1, lo, 65535, &hi) < 0))
			opt_usage("--ports %s: not ports such as 22,3000-3999", p);
		ports[n++] = p;
	}
}

struct asked {
	struct policy_wish w;
	const char *ports[PORTS_MAX + 1], *owners[OWNERS_MAX + 1];
	const char *file, *src, *server;
	long long wait_ms;
	int checks, nowners;
};

static void add_owner(struct asked *a, const char *who)
{
	if (a->nowners == OWNERS_MAX || !policy_is_who(who))
		opt_usage("--owner %s: not a user, group or tag, or too many", who);
	a->owners[a->nowners++] = who;
}

/* Which of two words: 0 or 1. */
static int one_of(const char *option, const char *value, const char *first, const char *second)
{
	if (!str_eq(value, first) && !str_eq(value, second))
		opt_usage("--%s %s: neither %s nor %s", option, value, first, second);
	return str_eq(value, second);
}

static void options(struct asked *a, char **argv)
{
	struct policy_wish *w = &a->w;
	struct opt o = opt_start(argv, opts);
	*w = (struct policy_wish){.ports = a->ports, .owners = a->owners};
	a->wait_ms = 30000;
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case OPT_PORTS: cut_ports(xstrdup(o.val), a->ports); break;
		case OPT_SSH: w->ssh = 1; break;
		case OPT_TESTS: w->tests = 1; break;
		case OPT_OWNER: add_owner(a, o.val); break;
		case OPT_FORM: w->acls = one_of("form", o.val, "grants", "acls"); break;
		case OPT_DIALECT: w->dialect = one_of("dialect", o.val, "saas", "headscale") ? POLICY_HEADSCALE : POLICY_SAAS; break;
		case OPT_CHECK: a->checks = 1; break;
		case OPT_POLICY: a->file = o.val; break;
		case OPT_API: a->src = o.val; break;
		case OPT_LOGIN_SERVER: a->server = o.val; break;
		case 't': a->wait_ms = opt_dur(&o); break;
		case 'j': out.mode = REC_JSON; break;
		case '0': out.mode = REC_NUL; break;
		case 'q': out.mode = REC_NONE; break;
		}
	if (o.cmd)
		opt_usage("no command can follow");
	opt_want(&o, a->checks ? 1 : 2, OPT_MANY);
	w->tag = o.operands[0];
	w->who = (const char *const *)o.operands + 1;
	if (!policy_is_tag(w->tag))
		opt_usage("%s: not a tag such as tag:ws", w->tag);
	for (int i = 0; w->who[i]; i++)
		if (!policy_is_who(w->who[i]))
			opt_usage("%s: not a user, group, tag or address", w->who[i]);
	if (!a->checks && (a->file || a->src))
		opt_usage("--policy and --api go with --check");
	if (a->checks && !a->file && !a->src)
		opt_usage("--check wants --policy FILE or --api SRC");
}

int ts_acl_main(char **argv)
{
	static struct asked a;
	struct why why = {0};
	struct settings set;
	struct buf text = {0};
	char control[512];
	options(&a, argv);
	if (!a.checks) {
		if (policy_snippet(&text, &a.w, &why) < 0)
			die_why(&why);
		if (out.mode != REC_NONE)
			fwrite(text.p, 1, text.len, stdout);
		return EXIT_DONE;
	}
	if (settings_load(&set, &why) < 0)
		die_why(&why);
	secret_free(&set.key);
	const char *server = a.server ? a.server : *set.login_server ? set.login_server : SETTINGS_CONTROL;
	if (settings_control(server, control, sizeof control, &why) < 0)
		opt_usage("%s", why.msg);
	return check(&a.w, a.file, a.src, &set, control, clock_ms() + a.wait_ms);
}
