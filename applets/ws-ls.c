/* ws-ls - list workspaces
 *
 * usage: ws-ls [-0alj] [-t DUR] [--state STATE] [NAME]...
 *
 * -l, --long  all columns, and the true state, asked of each tailscaled
 * -0, --null  end each record with NUL, not newline
 * -j, --json  print JSON lines, all columns
 * -a, --all  those of other machines that share the directory too
 * --state STATE  only those in this state: up, starting, login, approval, locked, expired, offline, down, dead, hung, orphan, elsewhere
 * -t, --timeout DUR  wait at most DUR for a tailscaled to answer (default 2); one that does not is hung
 *
 * In a pipe: names only, one a line, so that `ws-ls | xargs ws-down` is right; they come from the directories, nobody is
 * asked. On a terminal, and with -l, -j or --state, each tailscaled is asked, all at once.
 *
 * Columns of -l: name state hostname dns-name ip mode inbound confined version since node-id netns forwards.
 * forwards is ADDRESS:PORT>HOST:PORT of each ts-forward, joined by commas; `proxy` for --split.
 * inbound is landlock or pasta (just the ports of -i), open, or closed. since is when its tailscaled was started.
 *
 * States: up; starting (no relay yet); login, approval, locked (somebody has to act; locked: tailnet lock wants its key signed);
 * expired (its node key); offline (the control server does not hear it or does not know it any more); down (kept, stopped);
 * dead (its tailscaled is gone); hung (it does not answer); orphan (its network namespace is gone, or the way out of it);
 * elsewhere (another machine's).
 *
 * exit: 0 listed, 1 a NAME is not there, 2 usage
 * example: ws-ls --state dead | xargs ws-down
 * see: ws-up ws-down ts-info
 */
#include "alloc.h"
#include "clock.h"
#include "daemon.h"
#include "err.h"
#include "forwards.h"
#include "localapi.h"
#include "opts/ws-ls.h"
#include "rec.h"
#include "str.h"
#include "workspace.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct row {
	struct ws ws;
	struct daemon d;
	struct node_status st;
	int alive, answered;
	char *forwards;
	struct why why;
};

/* What is known of one that runs is kept whole until all have answered; of the others, which may be thousands, what is printed. */
enum { TEXTS = 6 };
struct entry {
	char name[WS_LABEL];
	int alive;
	struct row *live;
	int keep, tun, has_run, confined;
	long long since;
	unsigned long long netns;
	char *text[TEXTS];
};

static struct ws_root root;
static struct entry *entries;
static int count, room, show_all, asks, status = EXIT_DONE;

static int look(struct row *r, const char *name)
{
	r->d = (struct daemon){.pidfd = -1};	/* ws_open clears ws, what answers fills in st */
	r->answered = 0;
	r->forwards = NULL;
	r->why = (struct why){0};
	if (ws_open(&root, name, 0, 0, &r->ws, &r->why) < 0) {
		if (r->why.reason == R_NO_WORKSPACE)
			return -1;	/* taken down since the directory was read */
		str_copy(r->ws.name, sizeof r->ws.name, name);
	}
	r->alive = ws_alive(&r->ws);
	struct ws_socket s;
	if (r->alive == 1 && ws_socket(&root, &r->ws, 0, &s, &r->why) == 0) {
		r->d.api.dir = s.dirfd;
		str_copy(r->d.api.path, sizeof r->d.api.path, s.path);
		r->d.api.who.pid = r->ws.run.daemon.pid;
	}
	return 0;
}

struct text { char *p; size_t size; };

static void texts_of(struct row *r, struct text t[static TEXTS])
{
	struct ws_run *run = &r->ws.run;
	t[0] = (struct text){r->ws.spec.hostname, sizeof r->ws.spec.hostname};
	t[1] = (struct text){run->dns_name, sizeof run->dns_name};
	t[2] = (struct text){run->ip, sizeof run->ip};
	t[3] = (struct text){run->inbound, sizeof run->inbound};
	t[4] = (struct text){run->version, sizeof run->version};
	t[5] = (struct text){run->node_id, sizeof run->node_id};
}

static void keep(struct entry *e, struct row *r)
{
	struct text t[TEXTS];
	texts_of(r, t);
	for (int i = 0; i < TEXTS; i++)
		e->text[i] = *t[i].p ? xstrdup(t[i].p) : NULL;
	e->keep = r->ws.spec.keep;
	e->tun = r->ws.spec.tun;
	e->has_run = r->ws.has_run;
	e->confined = r->ws.run.confined;
	e->since = r->ws.run.since;
	e->netns = r->ws.run.netns;
}

static void recall(const struct entry *e, struct row *r)
{
	struct text t[TEXTS];
	memset(r, 0, sizeof *r);
	str_copy(r->ws.name, sizeof r->ws.name, e->name);
	texts_of(r, t);
	for (int i = 0; i < TEXTS; i++)
		str_copy(t[i].p, t[i].size, e->text[i] ? e->text[i] : "");
	r->alive = e->alive;
	r->ws.spec.keep = e->keep;
	r->ws.spec.tun = e->tun;
	r->ws.has_run = e->has_run;
	r->ws.run.confined = e->confined;
	r->ws.run.since = e->since;
	r->ws.run.netns = e->netns;
}

static void open_row(const char *name)
{
	static struct row r;
	if (look(&r, name) < 0)
		return;
	int is_asked = r.alive == 1 && asks;
	if (!is_asked)
		ws_close(&r.ws);	/* a thousand dead ones need no descriptors */
	if (r.alive < 0 && !show_all)
		return;
	if (count == room)
		entries = xrealloc(entries, (room = room + room / 4 + 16) * sizeof *entries);
	struct entry *e = &entries[count++];
	*e = (struct entry){.alive = r.alive};
	str_copy(e->name, sizeof e->name, name);
	if (is_asked) {
		e->live = xalloc(sizeof r);
		*e->live = r;
	} else if (asks)
		keep(e, &r);
}

static int open_each(const char *name, void *ctx)
{
	(void)ctx;
	open_row(name);
	return 0;
}

static char *forwards_of(const struct ws *ws)
{
	char text[4096];
	struct why ignored;
	int dir = forwards_dir(&root, ws, 0, &ignored);
	if (dir < 0)
		return NULL;
	forwards_list(dir, text, sizeof text);
	close(dir);
	return *text ? xstrdup(text) : NULL;
}

static void ask_all(long long deadline)
{
	const struct localapi **apis = xalloc((count + 1) * sizeof *apis);
	struct node_status **sts = xalloc((count + 1) * sizeof *sts);
	struct why **whys = xalloc((count + 1) * sizeof *whys);
	int *answered = xalloc((count + 1) * sizeof *answered), n = 0;
	struct row **asked = xalloc((count + 1) * sizeof *asked);
	for (int i = 0; i < count; i++)
		if (entries[i].live) {
			asked[n] = entries[i].live;
			apis[n] = &asked[n]->d.api;
			sts[n] = &asked[n]->st;
			whys[n] = &asked[n]->why;
			n++;
		}
	localapi_status_many(apis, sts, whys, answered, n, deadline);
	for (int i = 0; i < n; i++) {
		asked[i]->answered = answered[i];
		asked[i]->forwards = forwards_of(&asked[i]->ws);
		ws_close(&asked[i]->ws);
	}
	free(apis);
	free(sts);
	free(whys);
	free(answered);
	free(asked);
}

static const char *state_of(const struct row *r)
{
	if (r->alive < 0)
		return "elsewhere";
	if (r->alive == 0)
		return r->ws.spec.keep ? "down" : "dead";
	if (ws_is_orphan(&r->ws))
		return "orphan";
	if (!r->answered)
		return "hung";
	const struct node_status *s = &r->st;
	switch (s->state) {
	case NODE_RUNNING:
		return !s->online ? "offline" : s->locked_out ? "locked" : "up";
	case NODE_NEEDS_APPROVAL:
		return "approval";
	case NODE_NEEDS_LOGIN:
		return s->has_key && s->key_expiry && s->key_expiry < time(NULL) ? "expired" : "login";
	case NODE_STOPPED:
		return "down";
	default:
		return "starting";
	}
}

static void print(struct rec *out, const struct row *r, const char *state, int is_long)
{
	const struct ws_spec *s = &r->ws.spec;
	const struct ws_run *run = &r->ws.run;
	char since[32] = "", netns[24];
	rec_begin(out);
	rec_str(out, "name", r->ws.name);
	if (is_long) {
		int live = r->alive == 1 && r->answered;
		const char *ip = live && *r->st.ip4 ? r->st.ip4 : live && *r->st.ip6 ? r->st.ip6 : run->ip;
		const char *dns = live && *r->st.dns_name ? r->st.dns_name : run->dns_name;
		if (run->since)
			clock_stamp(since, run->since);
		str_fmt(netns, sizeof netns, "%llu", run->netns);
		rec_str(out, "state", state);
		rec_str(out, "hostname", *s->hostname ? s->hostname : NULL);
		rec_str(out, "dns-name", *dns ? dns : NULL);
		rec_str(out, "ip", *ip ? ip : NULL);
		rec_str(out, "mode", s->tun ? "tun" : "userspace");
		rec_str(out, "inbound", r->ws.has_run && *run->inbound ? run->inbound : NULL);
		rec_str(out, "confined", !r->ws.has_run ? NULL : run->confined ? "confined" : "no");
		rec_str(out, "version", *run->version ? run->version : NULL);
		rec_str(out, "since", *since ? since : NULL);
		rec_str(out, "node-id", live && *r->st.id ? r->st.id : *run->node_id ? run->node_id : NULL);
		rec_str(out, "netns", run->netns ? netns : NULL);
		rec_str(out, "forwards", r->forwards);
	}
	rec_end(out);
}

/* Under sudo one looks into root's set; the other one may be meant. */
static void mention_other_set(void)
{
	const char *user = getenv("SUDO_USER");
	if (!count && user && geteuid() == 0 && !getenv("MOORBOX_STATE"))
		say("none of root's; those of %s are listed without sudo", user);
}

int ws_ls_main(char **argv)
{
	struct rec out = {0};
	struct why why = {0};
	const char *want = NULL;
	long long wait = 2000;
	int is_long = 0;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'l': is_long = 1; break;
		case '0': out.mode = REC_NUL; break;
		case 'j': out.mode = REC_JSON; break;
		case 'a': show_all = 1; break;
		case 't': wait = opt_dur(&o); break;
		case OPT_STATE: want = o.val; break;
		}
	int count_after = 0;		/* names after "--" */
	while (o.cmd && o.cmd[count_after])
		count_after++;
	static const char *const states[] = {
		"up", "starting", "login", "approval", "locked", "expired", "offline", "down", "dead", "hung", "orphan", "elsewhere",
	};
	int known = !want;
	for (size_t i = 0; !known && i < sizeof states / sizeof *states; i++)
		known = str_eq(want, states[i]);
	if (!known)
		opt_usage("--state %s: no such state", want);
	if (want && str_eq(want, "elsewhere"))
		show_all = 1;
	out.table = 1;
	is_long |= out.mode == REC_JSON || (out.mode == REC_LINE && isatty(1));
	asks = is_long || want;
	if (ws_root_open(&root, &why) < 0)
		die_why(&why);
	for (int i = 0; i < o.count + count_after; i++) {
		char clean[WS_LABEL], *name = i < o.count ? o.operands[i] : o.cmd[i - o.count];
		int had = count;
		if (ws_clean_name(name, clean, &why) < 0)
			die_why(&why);
		open_row(clean);
		if (count == had) {
			why_set(&why, R_NO_WORKSPACE, "%s: there is no such workspace", clean);
			status = warn_why(&why);
		}
	}
	if (!o.count && !count_after && ws_each(&root, open_each, NULL, &why) < 0)
		die_why(&why);
	if (asks)
		ask_all(clock_ms() + wait);
	for (int i = 0; i < count; i++) {
		static struct row dead;
		if (!entries[i].live)
			recall(&entries[i], &dead);
		const struct row *r = entries[i].live ? entries[i].live : &dead;
		const char *state = asks ? state_of(r) : NULL;
		if (!want || str_eq(want, state))
			print(&out, r, state, is_long);
	}
	rec_finish(&out);
	mention_other_set();
	return status;
}
