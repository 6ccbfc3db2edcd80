/* ws-down - take workspaces off the tailnet
 *
 * usage: ws-down [-fjqv] [-t DUR] [--forget] [--api SRC] NAME...
 * usage: ws-down [OPTION]... -a
 * usage: ws-down [OPTION]... - <NAMES
 *
 * -a, --all  every workspace
 * -f, --force  delete what is here even when the node cannot be logged out
 * -t, --timeout DUR  wait at most DUR for the control server (default 10)
 * --forget  log out and delete a kept workspace too, instead of stopping it
 * --api SRC  API credential (env:NAME, file:PATH, fd:N, -, oauth:SRC, wif:SOURCE): deletes a node that stays listed otherwise
 * -j, --json  print a JSON line for each
 * -q, --quiet  print nothing but errors
 * -v, --verbose  say what was done for each
 *
 * An ephemeral node is logged out, so that its name is free at once; then its tailscaled is ended and all of it is deleted.
 * A kept one is stopped and stays registered. Many names are taken down in parallel. What is down already is no error, and no
 * names at all is nothing to do, so that `ws-ls | xargs ws-down` is right.
 *
 * src, where ws-up --clone puts a repository, is never deleted: of a workspace that is gone it is kept in STATE/.src/NAME.
 *
 * Only a process that is provably the workspace's own is ended: same pid, same start time, same boot.
 *
 * exit: 0 all are down
 *   1  one could not be taken down
 *   2  usage
 *   3  one is ended here but still listed at the control server; run it again later
 * example: ws-ls | xargs ws-down
 * see: ws-up ws-ls ws-gc
 */
#include "alloc.h"
#include "api_device.h"
#include "api_open.h"
#include "clock.h"
#include "err.h"
#include "lease.h"
#include "leave.h"
#include "opts/ws-down.h"
#include "proc.h"
#include "rec.h"
#include "settings.h"
#include "str.h"
#include "workspace.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 64 };

static struct ws_root root;
static struct leave how;
static struct settings set;
static const char *api_src;
static struct api_who who;
static struct secret credential;	/* read once for all of them */
static long long deadline;
static char **names;
static int count;

static void add(const char *name)
{
	names = xrealloc(names, (count + 1) * sizeof *names);
	names[count++] = xstrdup(name);
}

static int add_each(const char *name, void *ctx)
{
	(void)ctx;
	add(name);
	return 0;
}

static void add_lines(void)
{
	char *line = NULL;
	size_t size = 0;
	for (ssize_t n; (n = getline(&line, &size, stdin)) > 0; ) {
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		if (*line)
			add(line);
	}
	free(line);
}

static const char *done_words(int left)
{
	static const char *const words[] = {"stopped", "gone", "gone", "gone", "nothing to do"};
	return words[left];
}

/* What it is worth telling the user beyond the status. */
static void explain(int left, const struct ws *ws)
{
	char src[WS_PATH + 80];
	if (left != LEFT_DOWN && left != LEFT_NOTHING && ws_kept_src(&root, ws->name, src))
		say("its src is kept in %s; ws-up %s brings it back", src, ws->name);
	switch (left) {
	case LEFT_LISTED:
		hint("ws-down --forget --api SRC %s deletes it there as well", ws->name);
		warn("logged out; as a kept node it stays listed at %s until it is deleted there", ws->spec.control);
		break;
	case LEFT_DEAD:
		say("its tailscaled was dead already; the node may be listed at %s until it is cleaned up there: ws-gc --api SRC", ws->spec.control);
		break;
	default:
		verbose("%s", done_words(left));
	}
}

/* What a workspace that is gone from here has left at its control server: 1 deleted, 0 nothing, -1. */
static int delete_leased(const char *name, struct why *why)
{
	struct lease l;
	struct api api;
	int rc = lease_of(&root, name, "", &l, why);
	if (rc != 1)
		return rc;
	if (api_open(&api, &who, l.control, deadline, why) < 0)
		return -1;
	rc = api_delete_ours(&api, l.id, l.name, deadline, why);
	api_close(&api);
	if (rc < 0 || lease_drop(&root, l.control, l.id, why) < 0)
		return -1;
	verbose(rc ? "the id %s is another node's by now at %s" : "the node %s is deleted at %s", l.id, l.control);
	return 1;
}

/* Nothing is here, but a lease may tell of a node. */
static void offer_gc(const char *name)
{
	struct lease l;
	struct why ignored;
	if (lease_of(&root, name, "", &l, &ignored) == 1)
		say("it is gone from here; its node %s may still be listed at %s: ws-gc --api SRC", l.id, l.control);
	else
		verbose("there is no such workspace: nothing to do");
}

/* One workspace, in a process of its own. Writes what became of it: a reason word, or "". */
static int take_down(int i, void *ctx, int out)
{
	static char name[WS_LABEL];	/* named in messages until the very end */
	struct why why = {0};
	struct ws ws;
	int left = -1;
	(void)ctx;
	err_subject = NULL;
	if (ws_clean_name(names[i], name, &why) == 0) {
		err_subject = name;
		int rc = ws_open(&root, name, WS_LOCK, deadline, &ws, &why);
		if (rc < 0 && why.reason == R_NO_WORKSPACE) {
			if (!how.forget || !api_src || (rc = delete_leased(name, &why)) == 0)
				offer_gc(name);
			if (rc >= 0 || why.reason == R_NO_WORKSPACE)
				return EXIT_DONE;
		}
		if (rc == 0) {
			left = leave_run(&root, &ws, &how, deadline, &why);
		} else if (why.reason == R_BAD_STATE && how.forget && ws.lock >= 0) {
			/* a record is broken: what runs is found by the other one, or by its socket */
			ws_find_run(&root, &ws);
			left = leave_run(&root, &ws, &how, deadline, &why);
		}
	}
	if (left >= 0)
		explain(left, &ws);
	else {
		(void)!write(out, reason_word(why.reason), strlen(reason_word(why.reason)));
		return warn_why(&why);
	}
	return EXIT_DONE;
}

static int worst(int a, int b)
{
	static const int rank[] = {0, 3, 2, 1};	/* a plain "no" outranks usage, that outranks "later" */
	return a < 0 || a > 3 ? EXIT_NO : b < 0 || b > 3 ? EXIT_NO : rank[a] > rank[b] ? a : b;
}

int ws_down_main(char **argv)
{
	struct rec out = {.mode = REC_NONE};
	struct why why = {0};
	long long wait = 10000;
	int all = 0, status = EXIT_DONE;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'a': all = 1; break;
		case 'f': how.force = 1; break;
		case 't': wait = opt_dur(&o); break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': case 'v': break;
		case OPT_FORGET: how.forget = 1; break;
		case OPT_API: api_src = o.val; break;
		}
	if (all && (o.count || (o.cmd && *o.cmd)))
		opt_usage("-a takes no names");
	if (ws_root_open(&root, &why) < 0)
		die_why(&why);
	if (all && ws_each(&root, add_each, NULL, &why) < 0)
		die_why(&why);
	for (char **name = o.operands; *name; name++)
		if (str_eq(*name, "-"))
			add_lines();
		else
			add(*name);
	for (char **name = o.cmd; name && *name; name++)	/* after "--": xargs ws-down -- */
		add(*name);
	if (!count) {
		if (!all)
			say("no names: nothing to do");
		return EXIT_DONE;
	}
	if (api_src && str_starts(api_src, "wif:") && settings_load(&set, &why) < 0)
		die_why(&why);
	secret_free(&set.key);
	if (api_src && api_who_take(&who, api_src, &set, &credential, NULL, NULL, &why) < 0)
		die_why(&why);
	how.who = api_src ? &who : NULL;
	deadline = clock_ms() + wait;
	struct proc_result *res = xalloc(count * sizeof *res);
	if (count == 1 && out.mode == REC_NONE)
		return take_down(0, NULL, -1);
	proc_parallel(count, AT_ONCE, take_down, NULL, res, deadline + 15000, &why);
	for (int i = 0; i < count; i++) {
		rec_begin(&out);
		rec_str(&out, "name", names[i]);
		rec_bool(&out, "down", res[i].status == 0);
		rec_str(&out, "reason", *res[i].out ? res[i].out : NULL);
		rec_end(&out);
		status = worst(status, res[i].status);
	}
	return status;
}
