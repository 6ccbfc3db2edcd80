/* ws-gc - find and delete stale nodes that were ours
 *
 * usage: ws-gc [-0fjnqv] [-t DUR] [--api SRC] [--login-server URL] [-o FILE] [--apply | --plan FILE] [--tag TAG --offline-for DUR]
 *
 * --api SRC  API credential (env:NAME, file:PATH, fd:N, -, oauth:SRC, wif:SOURCE): looks each node up at the control server
 * --login-server URL  control server, if not Tailscale's own
 * --apply  do it; without it nothing is changed
 * -o, --output FILE  write what would be done to FILE, a plan (-: to stdout, in place of the list)
 * --plan FILE  do what this plan lists and nothing else, as far as it still holds
 * --tag TAG  of machines that are gone: nodes with this tag too, though no lease of ours tells of them; --apply needs -f then
 * --offline-for DUR  those that were last seen so long ago: 30m, 12h, 7d
 * -f, --force  delete nodes that nothing but their tag speaks for
 * -n, --dry-run  change nothing, whatever else is said
 * -t, --timeout DUR  wait at most DUR for the API (default 30)
 * -0, --null  end each record with NUL, not newline
 * -j, --json  print JSON lines
 * -q, --quiet  print nothing but errors
 * -v, --verbose  say each step
 *
 * Ours is what ws-up wrote down on this machine: each node by its id and its control server (leases.jsonl). It is stale when its
 * workspace is gone or dead, and the control server neither has it connected nor knows it by another name. A node is looked at
 * again just before it is deleted. A connected one is never deleted, nor one that has no lease of ours, but for --tag.
 * When the API cannot be reached, or its list is empty, cut or only a part, nothing at all is deleted.
 *
 * Without --api: what is left over on this machine, and the nodes of which nothing can be told.
 *
 * Columns: kind id name workspace last-seen why action control done reason.
 * kind: node, lease (of a node that is there no more), workspace, socket, directory, file. id: the node's, or a path.
 * action: delete (the node), drop (the lease), remove (what is here); empty: kept. done: yes or no, empty when nothing was tried.
 *
 * why:
 *   gone           its workspace is not there
 *   dead           the workspace's tailscaled has ended
 *   replaced       the workspace has another node by now
 *   unlisted       the control server has no such node
 *   tagged         it has the tag and is offline for so long
 *   part           half written by a process that is gone
 *   connected      it is, or it cannot be told that it is not
 *   recent         it was, minutes ago
 *   external       shared into this tailnet
 *   other-name     the id has another name there
 *   other-server   of another control server than was asked
 *   other-tailnet  of another tailnet than the credential's
 *   listens        somebody uses the socket
 *   foreign-files  the directory has files that are not ours
 *   broken         the records cannot be read
 *   in-use, listed, untagged  it has come to be so since it was found
 *   cannot-tell    for want of --api, or since the API failed
 *
 * exit: 0 listed, or all was done
 *   1  something could not be done, or the API refuses
 *   2  usage
 *   3  the API could not be asked; the same call may work later
 * env:
 *   MOORBOX_STATE  where workspaces are kept
 *   MOORBOX_API  URL of the control server's API, if not the usual one
 * example: ws-gc --api env:TS_API_KEY
 * example: ws-gc --api env:KEY -o plan; less plan; ws-gc --api env:KEY --plan plan
 * see: ws-down ws-ls
 */
#include "alloc.h"
#include "api_open.h"
#include "buf.h"
#include "clock.h"
#include "err.h"
#include "file.h"
#include "json.h"
#include "opts/ws-gc.h"
#include "rec.h"
#include "settings.h"
#include "stale.h"
#include "str.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLAN_MAX = 16 << 20 };

static struct ws_root root;
static struct stale_list list;
static struct stale_tag tag;
static struct settings set;
static struct rec out;
static const char *api_src, *plan_file, *out_file;
static char control[512];
static int dry = 1, force, status = EXIT_DONE;
static long long deadline;

/* ---- what is asked ---- */

static void options(char **argv)
{
	struct why why;
	const char *server = NULL, *tagged = NULL;
	long long wait = 30000;
	int apply = 0, never = 0;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case OPT_API: api_src = o.val; break;
		case OPT_LOGIN_SERVER: server = o.val; break;
		case OPT_APPLY: apply = 1; break;
		case 'o': out_file = o.val; break;
		case OPT_PLAN: plan_file = o.val; break;
		case OPT_TAG: tagged = o.val; break;
		case OPT_OFFLINE_FOR: tag.offline_s = (opt_dur(&o) + 999) / 1000; break;
		case 'f': force = 1; break;
		case 'n': never = 1; break;
		case 't': wait = opt_dur(&o); break;
		case '0': out.mode = REC_NUL; break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': out.mode = REC_NONE; break;
		case 'v': break;
		}
	opt_want(&o, 0, 0);
	if (apply && plan_file)
		opt_usage("--apply does what is found, --plan what the plan lists: one of them");
	if (!tagged != !tag.offline_s)
		opt_usage("--tag and --offline-for go together");
	if (tagged && !api_src)
		opt_usage("--tag needs --api");
	dry = never || (!apply && !plan_file);
	if (tagged && !dry && !force)
		opt_usage("deleting nodes that nothing but their tag speaks for needs -f");
	if (settings_load(&set, &why) < 0)
		die_why(&why);
	if (settings_control(server ? server : *set.login_server ? set.login_server : SETTINGS_CONTROL, control, sizeof control, &why) < 0)
		opt_usage("%s", why.msg);
	set.ntags = 0;
	if (tagged && settings_tag(&set, tagged, &why) < 0)
		opt_usage("%s", why.msg);
	tag.tag = tagged ? set.tags[0] : NULL;
	out.table = 1;
	deadline = clock_ms() + wait;
}

/* ---- plans ---- */

static void stamp(char dst[static 32], long long t)
{
	*dst = 0;
	if (t)
		clock_stamp(dst, t);
}

static void write_plan(void)
{
	struct buf b = {.max = PLAN_MAX};
	struct why why;
	char seen[32];
	for (size_t i = 0; i < list.n; i++) {
		const struct stale *s = &list.p[i];
		if (!s->action)
			continue;
		stamp(seen, s->last_seen);
		json_w_obj(&b, NULL);
		json_w_str(&b, "kind", stale_kind_word(s->kind));
		json_w_str(&b, "id", s->id);
		json_w_str(&b, "name", s->name);
		json_w_str(&b, "workspace", s->workspace);
		json_w_str(&b, "lastSeen", *seen ? seen : NULL);
		json_w_str(&b, "why", s->why);
		json_w_str(&b, "action", stale_action_word(s->action));
		json_w_str(&b, "control", s->control);
		json_w_end(&b, '}');
		buf_ch(&b, '\n');
	}
	if (file_write_path(out_file, buf_cstr(&b), b.len, 0600, &why) < 0)
		die_why(&why);
	buf_free(&b);
}

/* What a plan's line and what is found have to have in common. */
static char *mark_of(const char *kind, const char *id, const char *workspace, const char *server, const char *action)
{
	return xfmt("%s\t%s\t%s\t%s\t%s", kind, id, workspace, server, action);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *planned(const struct json *j)
{
	static const char *const keys[] = {"kind", "id", "workspace", "control", "action"};
	char *part[5], *mark = NULL;
	int n = 0;
	while (n < 5 && (part[n] = json_dup(j, json_get(j, 0, keys[n]), NULL)))
		n++;
	if (n == 5)
		mark = mark_of(part[0], part[1], part[2], part[3], part[4]);
	while (n)
		free(part[--n]);
	return mark;
}

/* Keeps what the plan does not list. */
static void obey_plan(void)
{
	struct buf b = {0};
	struct why why;
	char **marks = NULL;
	size_t n = 0, line_no = 0;
	if (file_read(AT_FDCWD, plan_file, &b, PLAN_MAX, &why) < 0)
		die_why(&why);
	for (char *line = b.p, *end; line && *line; line = end + 1) {
		struct json j;
		line_no++;
		if (!(end = strchr(line, '\n')) || json_parse(&j, line, end - line, &why) < 0)
			die(R_BAD_PLAN, "%s: line %zu cannot be read", plan_file, line_no);
		marks = xrealloc(marks, (n + 1) * sizeof *marks);
		if (!(marks[n++] = planned(&j)))
			die(R_BAD_PLAN, "%s: line %zu is none that ws-gc wrote", plan_file, line_no);
		json_free(&j);
	}
	if (n)
		qsort(marks, n, sizeof *marks, by_text);
	for (size_t i = 0; i < list.n; i++) {
		struct stale *s = &list.p[i];
		char *mark = mark_of(stale_kind_word(s->kind), s->id, s->workspace, s->control, stale_action_word(s->action));
		if (!n || !bsearch(&mark, marks, n, sizeof *marks, by_text))
			s->action = STALE_KEEP;
		free(mark);
	}
	buf_free(&b);
}

/* ---- looking, doing, showing ---- */

/* 0, or -1: it was said why, and nothing may be deleted. */
static int ask(struct api *api)
{
	struct why why;
	struct api_who who;
	struct secret given;
	int rc = api_who_take(&who, api_src, &set, &given, NULL, NULL, &why) < 0 ? -1 : api_open(api, &who, control, deadline, &why);
	secret_free(&given);
	if (!rc) {
		verbose("asking %s", api->base);
		if (stale_ask(&list, api, control, &tag, deadline, &why) == 0)
			return 0;
	}
	if (why.status == EXIT_USAGE)
		die_why(&why);
	status = warn_why(&why);
	return -1;
}

static void show(const struct stale *s, const char *done, enum reason reason)
{
	char seen[32];
	stamp(seen, s->last_seen);
	const char *action = stale_action_word(s->action);
	rec_begin(&out);
	rec_str(&out, "kind", stale_kind_word(s->kind));
	rec_str(&out, "id", s->id);
	rec_str(&out, "name", s->name);
	rec_str(&out, "workspace", s->workspace);
	rec_str(&out, "lastSeen", *seen ? seen : NULL);
	rec_str(&out, "why", s->why);
	rec_str(&out, "action", action);
	rec_str(&out, "control", s->control);
	rec_str(&out, "done", done);
	rec_str(&out, "reason", reason ? reason_word(reason) : NULL);
	rec_end(&out);
}

static void apply(struct api *api)
{
	int stop = 0;
	for (size_t i = 0; i < list.n; i++) {
		struct stale *s = &list.p[i];
		struct why why = {0};
		int remote = s->kind == STALE_NODE || s->kind == STALE_LEASE;
		if (s->in_use)
			continue;
		if (!s->action || (remote && stop)) {
			show(s, s->action ? "no" : NULL, R_NONE);
			continue;
		}
		int rc = stale_apply(&root, &list, s, api, &tag, deadline, &why);
		if (rc < 0) {
			err_subject = *s->id ? s->id : s->workspace;
			int st = warn_why(&why);
			status = status == EXIT_NO || st == EXIT_NO ? EXIT_NO : st;
			err_subject = NULL;
			stop |= remote && why.reason != R_API_ERROR;	/* the next one would be told the same */
		}
		show(s, rc > 0 ? "yes" : "no", rc < 0 ? why.reason : R_NONE);
	}
}

int ws_gc_main(char **argv)
{
	struct api api = {0};
	struct why why = {0};
	size_t todo = 0, unknown = 0;
	options(argv);
	if (ws_root_open(&root, &why) < 0 || stale_leases(&root, &list, &why) < 0)
		die_why(&why);
	int blind = !api_src || ask(&api) < 0;
	for (size_t i = 0; blind && i < list.leases; i++) {
		list.p[i].why = "cannot-tell";
		unknown += !list.p[i].in_use;
	}
	if (stale_here(&root, &list, &why) < 0)
		die_why(&why);
	for (size_t i = 0; blind && api_src && i < list.n; i++)
		list.p[i].action = STALE_KEEP;
	if (plan_file)
		obey_plan();
	if (out_file)
		write_plan();
	if (str_eq(out_file, "-"))
		out.mode = REC_NONE;
	if (!dry)
		apply(&api);
	for (size_t i = 0; dry && i < list.n; i++) {
		todo += list.p[i].action != STALE_KEEP;
		if (!list.p[i].in_use)
			show(&list.p[i], NULL, R_NONE);
	}
	rec_finish(&out);
	if (unknown && !api_src)
		say("%zu node%s may be listed still: --api SRC tells", unknown, unknown == 1 ? "" : "s");
	if (todo)
		say("nothing was changed; --apply does it");
	api_close(&api);
	return status;
}
