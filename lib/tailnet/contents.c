/* contents - what a trusted archive really holds */
#include "contents.h"
#include "alloc.h"
#include "clock.h"
#include "release.h"
#include "str.h"
#include "unpack.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* release/dist/unixpkgs/targets.go */
static const struct machine { const char *name, *deb; unsigned char class, data; unsigned number; } machines[] = {
	{"amd64", "amd64", 2, 1, EM_X86_64}, {"arm64", "arm64", 2, 1, EM_AARCH64}, {"arm", "armhf", 1, 1, EM_ARM},
	{"386", "i386", 1, 1, EM_386}, {"geode", "geode", 1, 1, EM_386}, {"mips", "mips", 1, 2, EM_MIPS},
	{"mipsle", "mipsel", 1, 1, EM_MIPS}, {"mips64", "mips64", 2, 2, EM_MIPS}, {"mips64le", "mips64el", 2, 1, EM_MIPS},
	{"riscv64", "riscv64", 2, 1, EM_RISCV},
};
enum { MACHINES = sizeof machines / sizeof *machines, UNITS = 64, UNIT_MAX = 65536 };
enum { GLANCE = 64 };		/* bytes of a program that tell its machine */
enum { STAMP = 22, SEAM = 96 };		/* "-t", nine digits, "-g", nine digits; a whole stamp with its version is shorter than SEAM */

static const struct machine *machine_named(const char *name)
{
	for (int i = 0; i < MACHINES; i++)
		if (str_eq(machines[i].name, name))
			return &machines[i];
	return NULL;
}

int contents_is_arch(const char *arch)
{
	return machine_named(arch) != NULL;
}

const char *contents_own_arch(void)
{
#if defined __x86_64__
	return "amd64";
#elif defined __aarch64__
	return "arm64";
#elif defined __arm__
	return "arm";
#elif defined __i386__
	return "386";
#elif defined __riscv && __riscv_xlen == 64
	return "riscv64";
#else
	return NULL;
#endif
}

const char *contents_deb_arch(const char *arch)
{
	const struct machine *m = machine_named(arch);
	return m ? m->deb : arch;
}

int contents_name(const char *name, char version[static 32], char arch[static 16])
{
	if (!str_starts(name, "tailscale_"))
		return -1;
	const char *v = name + 10, *end = strchr(v, '_');
	if (!end || str_copy_slice(version, 32, (struct slice){v, end - v}) < 0 || str_copy(arch, 16, end + 1) < 0)
		return -1;
	return release_is_version(version) && machine_named(arch) ? 0 : -1;
}

/* ---- a program, seen in pieces ---- */

struct program {
	unsigned char head[20];
	size_t seen;
	const char *version;
	char stamp[64];			/* one that is of the version; else the first */
	int is_right;
	unsigned char tail[SEAM];	/* the end of what was seen, for a stamp that lies across */
	size_t tail_len;
};

static int is_hex(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static int nine_hex(const unsigned char *p)
{
	for (int i = 0; i < 9; i++)
		if (!is_hex(p[i]))
			return 0;
	return 1;
}

/* p is where "-tHEX-gHEX" begins, start the first byte that may be looked at. The version before it belongs to it. */
static void note_stamp(struct program *g, const unsigned char *start, const unsigned char *p)
{
	const unsigned char *v = p;
	size_t n = strlen(g->version);
	while (v > start && p - v < 30 && ((v[-1] >= '0' && v[-1] <= '9') || v[-1] == '.'))
		v--;
	/* Go's strings are not separated: a digit before the version may belong to another one */
	if ((size_t)(p - v) >= n && !memcmp(p - n, g->version, n)) {
		v = p - n;
		g->is_right = 1;
	} else if (*g->stamp) {
		return;
	}
	str_fmt(g->stamp, sizeof g->stamp, "%.*s", (int)(p + STAMP - v), (const char *)v);
}

/* Of nine hex digits one stands at every ninth byte: only those are looked at. */
static void find_stamp(struct program *g, const unsigned char *p, size_t n)
{
	const unsigned char *end = p + n;
	for (size_t i = 8; i < n && !g->is_right; i += 9) {
		const unsigned char *first = p + i;
		if (!is_hex(*first))
			continue;
		while (first > p && p + i - first < 9 && is_hex(first[-1]))
			first--;
		if (first - p < 3 || first[-1] != 't' || first[-2] != '-' || end - first < STAMP - 2)
			continue;
		if (nine_hex(first) && first[9] == '-' && first[10] == 'g' && nine_hex(first + 11) && first[-3] >= '0' && first[-3] <= '9')
			note_stamp(g, p, first - 2);
	}
}

static int see(void *ctx, const void *piece, size_t n, struct why *why)
{
	struct program *g = ctx;
	const unsigned char *p = piece;
	unsigned char seam[2 * SEAM];
	size_t head = g->seen < sizeof g->head ? sizeof g->head - g->seen : 0, take = n < SEAM ? n : SEAM;
	(void)why;
	memcpy(g->head + sizeof g->head - head, p, head < n ? head : n);
	g->seen += n;
	memcpy(seam, g->tail, g->tail_len);
	memcpy(seam + g->tail_len, p, take);
	if (g->tail_len)
		find_stamp(g, seam, g->tail_len + take);
	find_stamp(g, p, n);
	if (n >= SEAM) {
		memcpy(g->tail, p + n - SEAM, g->tail_len = SEAM);
	} else {
		size_t all = g->tail_len + n, keep = all < SEAM ? all : SEAM;
		memcpy(g->tail, seam + all - keep, g->tail_len = keep);
	}
	return 0;
}

static int check_program(const struct program *g, const char *name, const char *arch, struct why *why)
{
	const struct machine *m = machine_named(arch);
	const unsigned char *h = g->head;
	if (g->seen < GLANCE || memcmp(h, ELFMAG, SELFMAG))
		return why_set(why, R_WRONG_FILE, "%s in it is not a program", name);
	unsigned number = h[EI_DATA] == ELFDATA2MSB ? h[18] << 8 | h[19] : h[19] << 8 | h[18];
	if (!m || h[EI_CLASS] != m->class || h[EI_DATA] != m->data || number != m->number)
		return why_set(why, R_WRONG_ARCH, "%s in it is not for %s (ELF machine %u)", name, arch, number);
	if (*g->stamp && !g->is_right)
		return why_set(why, R_WRONG_VERSION, "%s in it says that it is %s", name, g->stamp);
	return 0;
}

/* ---- the walk ---- */

struct walk {
	struct contents *c;
	const struct contents_want *want;
	int is_deb, is_glance, dir;
	unsigned parts, seen, written;
	char top[64];
	char units[UNITS][64];
};

static int other_than_wanted(const struct contents_want *w, const struct contents *c, struct why *why)
{
	if (w->version && !str_eq(w->version, c->version))
		return why_set(why, R_WRONG_VERSION, "it is version %s, not %s", c->version, w->version);
	if (w->arch && !str_eq(w->arch, c->arch))
		return why_set(why, R_WRONG_ARCH, "it is for %s, not for %s", c->arch, w->arch);
	return 0;
}

/* The first entry says which folder all must be in; that is what was asked for, or it is over. */
static int enter(struct walk *w, const char *name, struct why *why)
{
	char shown[80];
	size_t n = strcspn(name, "/");
	str_escape(shown, sizeof shown, name, strlen(name));
	if (*w->top)
		return !strncmp(name, w->top, n) && !w->top[n] ? 0 : why_set(why, R_WRONG_FILE, "a second folder in it: %s", shown);
	if (str_copy_slice(w->top, sizeof w->top, (struct slice){name, n}) < 0 || contents_name(w->top, w->c->version, w->c->arch) < 0) {
		*w->c->version = *w->c->arch = 0;
		return why_set(why, R_WRONG_FILE, "not a release of Tailscale for Linux: it holds %s", shown);
	}
	return other_than_wanted(w->want, w->c, why);
}

static int program_entry(struct walk *w, struct unpack *u, const struct ustar *e, unsigned part, struct why *why)
{
	const char *name = part == CONTENTS_TAILSCALED ? "tailscaled" : "tailscale";
	struct program g = {.version = w->c->version};
	int rc = 0;
	if (w->seen & part)
		return why_set(why, R_WRONG_FILE, "%s is in it twice", name);
	w->seen |= part;
	*(part == CONTENTS_TAILSCALED ? &w->c->tailscaled_size : &w->c->tailscale_size) = e->size;
	if (w->dir >= 0 && w->parts & part) {
		rc = unpack_to(u, w->dir, name, 0755, see, &g, why);
		w->written |= rc ? 0 : part;
	} else {
		const void *p;
		long n;
		while ((n = unpack_data(u, &p, why)) > 0 && !(w->is_glance && g.seen >= GLANCE))
			see(&g, p, n, why);
		rc = n < 0 ? -1 : 0;
	}
	if (rc || check_program(&g, name, w->c->arch, why) < 0)
		return -1;
	if (!*w->c->stamp)
		str_copy(w->c->stamp, sizeof w->c->stamp, g.stamp);
	return 0;
}

static int unit_entry(struct walk *w, const char *name, const struct ustar *e, struct why *why)
{
	if (e->size > UNIT_MAX || w->c->units == UNITS || str_copy(w->units[w->c->units], sizeof *w->units, name) < 0)
		return why_set(why, R_WRONG_FILE, "too much in its systemd folder");
	for (int i = 0; i < w->c->units; i++)
		if (str_eq(w->units[i], name))
			return why_set(why, R_WRONG_FILE, "systemd/%s is in it twice", name);
	w->c->units++;
	return 0;
}

static int tgz_entry(struct walk *w, struct unpack *u, const struct ustar *e, struct why *why)
{
	char shown[120];
	if (enter(w, e->name, why) < 0)
		return -1;
	const char *name = e->name + strlen(w->top);
	if (e->type == '5' && (!*name || str_eq(name, "/systemd")))
		return 0;
	if (e->type == '0' && str_eq(name, "/tailscaled"))
		return program_entry(w, u, e, CONTENTS_TAILSCALED, why);
	if (e->type == '0' && str_eq(name, "/tailscale"))
		return program_entry(w, u, e, CONTENTS_TAILSCALE, why);
	if (e->type == '0' && str_starts(name, "/systemd/") && !strchr(name + 9, '/'))
		return unit_entry(w, name + 9, e, why);
	char type[8];
	return why_set(why, R_WRONG_FILE, "something in it that a release does not have: %s (type %s)",
		str_escape(shown, sizeof shown, e->name, strlen(e->name)), str_escape(type, sizeof type, &e->type, 1));
}

static int deb_entry(struct walk *w, struct unpack *u, const struct ustar *e, struct why *why)
{
	if (e->type == '0' && str_eq(e->name, "usr/sbin/tailscaled"))
		return program_entry(w, u, e, CONTENTS_TAILSCALED, why);
	if (e->type == '0' && str_eq(e->name, "usr/bin/tailscale"))
		return program_entry(w, u, e, CONTENTS_TAILSCALE, why);
	return 0;	/* the rest of a package is not looked at, and never written */
}

static int finish(struct walk *w, struct why *why)
{
	char date[16];
	int major, minor;
	release_parts(w->c->version, &major, &minor);
	w->c->is_unstable = minor & 1;
	if (w->seen != (CONTENTS_TAILSCALED | CONTENTS_TAILSCALE))
		return why_set(why, R_WRONG_FILE, "not both of tailscaled and tailscale are in it");
	clock_date(date, w->c->newest);
	if (w->want->not_before && w->c->newest < w->want->not_before)
		return why_set(why, R_TOO_OLD, "it was built on %s, which is longer ago than allowed", date);
	return 0;
}

static int walk(struct walk *w, struct unpack *u, struct why *why)
{
	struct ustar e;
	int rc = 0;
	while (!(w->is_glance && w->seen) && (rc = unpack_next(u, &e, why)) > 0) {
		if (e.mtime > w->c->newest)
			w->c->newest = e.mtime;
		if ((w->is_deb ? deb_entry(w, u, &e, why) : tgz_entry(w, u, &e, why)) < 0)
			return -1;
	}
	return rc < 0 ? -1 : rc ? 0 : finish(w, why);
}

static int begin_deb(struct walk *w, const char *version, const char *arch, struct why *why)
{
	for (int i = 0; i < MACHINES; i++)
		if (str_eq(machines[i].deb, arch))
			str_copy(w->c->arch, sizeof w->c->arch, machines[i].name);
	if (!release_is_version(version) || str_copy(w->c->version, sizeof w->c->version, version) < 0 || !*w->c->arch)
		return why_set(why, R_WRONG_FILE, "not a release of Tailscale: version %.40s for %.20s", version, arch);
	w->is_deb = 1;
	return other_than_wanted(w->want, w->c, why);
}

int contents_read(const struct seal *s, const struct contents_want *want, const char *deb_version, const char *deb_arch,
	int dir, unsigned parts, struct contents *c, struct why *why)
{
	struct unpack *u = NULL;
	struct walk *w = xalloc(sizeof *w);
	memset(c, 0, sizeof *c);
	w->c = c, w->want = want, w->dir = dir, w->parts = parts;
	int rc = deb_version ? begin_deb(w, deb_version, deb_arch, why) : 0;
	if (!rc)
		rc = unpack_open(&u, s, why);
	if (!rc)
		rc = walk(w, u, why);
	unpack_close(u);
	if (rc && w->written & CONTENTS_TAILSCALED)
		unlinkat(dir, "tailscaled", 0);
	if (rc && w->written & CONTENTS_TAILSCALE)
		unlinkat(dir, "tailscale", 0);
	free(w);
	return rc;
}

int contents_glance(const struct seal *s, const struct contents_want *want, struct contents *c, struct why *why)
{
	struct unpack *u;
	struct walk *w = xalloc(sizeof *w);
	memset(c, 0, sizeof *c);
	w->c = c, w->want = want, w->dir = -1, w->is_glance = 1;
	int rc = unpack_open_start(&u, s, why);
	if (!rc)
		rc = walk(w, u, why);
	unpack_close(u);
	free(w);
	return rc;
}
