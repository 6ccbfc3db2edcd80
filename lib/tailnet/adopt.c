/* adopt - a verified archive, or what go has built, becomes what is installed */
#include "adopt.h"
#include "contents.h"
#include "gobuild.h"
#include "http.h"
#include "release.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned wanted_parts(const struct adopt *a)
{
	return CONTENTS_TAILSCALED | (a->daemon_only ? 0 : CONTENTS_TAILSCALE);
}

/* ---- is it to be taken? ---- */

/* The name that a file came under is a promise too: an old release under a new name is not what was asked for. */
static int check_name(const struct trust_verdict *v, struct why *why)
{
	char stem[128], version[32], arch[16];
	size_t n = strlen(v->name);
	if (!str_ends(v->name, ".tgz") || str_copy_slice(stem, sizeof stem, (struct slice){v->name, n - 4}) < 0 ||
		contents_name(stem, version, arch) < 0)
		return 0;
	if (!str_eq(version, v->what.version))
		return why_set(why, R_WRONG_VERSION, "it is version %s, whatever its name says", v->what.version);
	return str_eq(arch, v->what.arch) ? 0 : why_set(why, R_WRONG_ARCH, "it is for %s, whatever its name says", v->what.arch);
}

static void fill_receipt(struct receipt *r, const struct trust_verdict *v, const char *source)
{
	memset(r, 0, sizeof *r);
	str_copy(r->version, sizeof r->version, v->what.version);
	str_copy(r->arch, sizeof r->arch, v->what.arch);
	str_copy(r->file, sizeof r->file, v->name);
	if (strstr(source, "://"))
		http_redact_url(r->source, sizeof r->source, source);
	else
		str_copy(r->source, sizeof r->source, source);
	str_copy(r->chain, sizeof r->chain, v->chain);
	str_copy(r->signer, sizeof r->signer, v->signer);
	str_copy(r->root, sizeof r->root, v->root ? v->root : "");
	str_copy(r->sha256, sizeof r->sha256, v->sha256);
	r->size = v->size;
	r->built = v->what.newest;
}

struct verdict { struct adopt *a; int is_good; struct why why; };

static int take(struct trust_verdict *v, void *ctx)
{
	struct verdict *g = ctx;
	g->why = v->why;
	if (!v->trusted)
		return 1;
	if (!str_eq(v->product, "tailscale"))
		return why_set(&g->why, R_WRONG_FILE, "it is signed, but not a release of Tailscale");
	if (check_name(v, &g->why) < 0)
		return 1;
	g->is_good = 1;
	fill_receipt(&g->a->r, v, g->a->source);
	trust_pin(v, &g->a->pin);
	return 1;
}

static int check_age(const struct adopt *a, const char *version, struct why *why)
{
	return a->allow_downgrade ? 0 : release_check_downgrade(version, a->in->current, "which is installed", why);
}

/* Verifies it; with a stage the programs are written there while it is looked at. */
static int judge(struct adopt *a, const char *path, int stage, struct why *why)
{
	struct verdict g = {.a = a};
	a->how->stage = stage;
	a->how->parts = stage < 0 ? 0 : wanted_parts(a);
	trust_file(path, a->how, take, &g);
	if (g.is_good)
		return check_age(a, a->r.version, why);
	*why = g.why;
	return -1;
}

/* Is what is to be installed there already, whole? Then only the link may have to change. */
static int is_there(const struct adopt *a, struct receipt *have)
{
	return install_receipt(a->in, a->r.version, have) && str_eq(have->sha256, a->r.sha256) &&
		(a->daemon_only || *have->tailscale) && install_intact(a->in, have);
}

static int check_other_build(const struct adopt *a, struct why *why)
{
	struct receipt have;
	if (a->force || !install_receipt(a->in, a->r.version, &have) || str_eq(have.sha256, a->r.sha256))
		return 0;
	why_set(why, R_OTHER_BUILD, "%s is installed already, and its archive was another one: SHA-256 %s", a->r.version, have.sha256);
	return why_hint(why, "to replace it: ts-install -f %s", a->source);
}

int adopt_is_current(struct adopt *a, const char *version)
{
	return !a->force && str_eq(version, a->in->current) && install_receipt(a->in, version, &a->r) && str_eq(a->r.arch, a->how->arch) &&
		(a->daemon_only || *a->r.tailscale) && install_intact(a->in, &a->r);
}

/* ---- taking it ---- */

static int switch_to(struct adopt *a, struct receipt *have, struct why *why)
{
	int same = str_eq(a->in->current, have->version);
	str_copy(a->before, sizeof a->before, same ? have->before : a->in->current);
	a->done = same ? ADOPT_ALREADY : ADOPT_SWITCHED;
	if (install_switch(a->in, have, why) < 0)
		return -1;
	a->r = *have;
	return 0;
}

static int make_current(struct adopt *a, const char *stage, struct why *why)
{
	struct receipt have;
	str_copy(a->before, sizeof a->before, a->in->current);
	if (str_eq(a->before, a->r.version) && install_receipt(a->in, a->before, &have))
		str_copy(a->r.before, sizeof a->r.before, have.before);
	else
		str_copy(a->r.before, sizeof a->r.before, a->before);
	a->done = ADOPT_INSTALLED;
	return install_commit(a->in, stage, &a->r, why) < 0 ? -1 : install_switch(a->in, &a->r, why);
}

/* From its name: which version it seems to be. Only to save work: it decides nothing. */
static int seems_installed(const struct adopt *a, const char *path)
{
	char stem[128], version[32], arch[16];
	struct receipt r;
	const char *name = strrchr(path, '/');
	name = name ? name + 1 : path;
	size_t n = strlen(name);
	int cut = str_ends(name, ".moor") ? 5 : 4;
	if (n < 5 || str_copy_slice(stem, sizeof stem - 8, (struct slice){name, n - cut}) < 0)
		return 0;
	if (cut == 5)
		strcat(stem, "_386");
	return contents_name(stem, version, arch) == 0 && install_receipt(a->in, version, &r);
}

static int would(struct adopt *a, const char *path, struct why *why)
{
	struct receipt have;
	if (judge(a, path, -1, why) < 0 || check_other_build(a, why) < 0)
		return -1;
	str_copy(a->before, sizeof a->before, a->in->current);
	a->done = !is_there(a, &have) ? ADOPT_INSTALLED : str_eq(a->in->current, have.version) ? ADOPT_ALREADY : ADOPT_SWITCHED;
	return 0;
}

int adopt_file(struct adopt *a, const char *path, struct why *why)
{
	struct receipt have;
	char stage[32];
	if (a->dry_run)
		return would(a, path, why);
	if (seems_installed(a, path)) {
		if (judge(a, path, -1, why) < 0)
			return -1;
		if (is_there(a, &have))
			return switch_to(a, &have, why);
	}
	int dir = install_stage(a->in, stage, why);
	if (dir < 0)
		return -1;
	int rc = judge(a, path, dir, why), is_known = !rc && is_there(a, &have);	/* under a name that did not say so */
	close(dir);
	if (!rc && !is_known && (rc = check_other_build(a, why)) == 0)
		rc = make_current(a, stage, why);
	if (rc || is_known)
		install_unstage(a->in, stage);
	return is_known ? switch_to(a, &have, why) : rc;
}

static void go_receipt(struct adopt *a, const struct gobuild *g)
{
	struct receipt *r = &a->r;
	memset(r, 0, sizeof *r);
	str_copy(r->version, sizeof r->version, g->version);
	str_copy(r->arch, sizeof r->arch, a->how->arch);
	str_fmt(r->source, sizeof r->source, "go %s", g->go);
	str_copy(r->chain, sizeof r->chain, "go");
	str_copy(r->signer, sizeof r->signer, g->sumdb);
}

static int build(struct adopt *a, struct gobuild *g, int dir, const char *stage,
	void (*told)(const char *, const char *, const char *), struct why *why)
{
	if (check_age(a, g->version, why) < 0)
		return -1;
	told(g->version, g->go, g->sumdb);
	if (gobuild_make(g, dir, wanted_parts(a), why) < 0)
		return -1;
	go_receipt(a, g);
	return check_other_build(a, why) < 0 ? -1 : make_current(a, stage, why);
}

int adopt_go(struct adopt *a, const char *version, void (*told)(const char *, const char *, const char *), struct why *why)
{
	struct gobuild g = {0};
	char stage[32], path[64];
	if (version)
		str_copy(g.version, sizeof g.version, version);
	int dir = install_stage(a->in, stage, why);
	if (dir < 0)
		return -1;
	str_fmt(path, sizeof path, "/proc/self/fd/%d", dir);
	char *real = realpath(path, NULL);
	g.dir = real ? real : path;
	int rc = gobuild_look(&g, why), is_known = !rc && adopt_is_current(a, g.version);
	if (is_known) {
		a->done = ADOPT_ALREADY;
		str_copy(a->before, sizeof a->before, a->r.before);
	} else if (!rc) {
		rc = build(a, &g, dir, stage, told, why);
	}
	close(dir);
	free(real);
	if (rc || is_known)
		install_unstage(a->in, stage);
	return rc;
}
