/* apt - a signed index, what it lists, and what the list of packages says of one package */
#include "apt.h"
#include "alloc.h"
#include "clock.h"
#include "release.h"
#include "sign.h"
#include "ustar.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FUTURE_S = 10 };		/* Acquire::Max-FutureTime */
static const long long size_most = 1LL << 40;

/* ---- fields ---- */

static int cut_line(struct slice *rest, struct slice *line)
{
	if (!rest->len)
		return 0;
	const char *nl = memchr(rest->p, '\n', rest->len);
	line->p = rest->p;
	line->len = nl ? (size_t)(nl - rest->p) : rest->len;
	rest->p += line->len + (nl != NULL);
	rest->len -= line->len + (nl != NULL);
	return 1;
}

/* "Name: value" is this field: its value. */
static int is_field(struct slice line, const char *name, struct slice *value)
{
	size_t n = strlen(name);
	if (line.len <= n || strncasecmp(line.p, name, n) || line.p[n] != ':')
		return 0;
	*value = slice_trim((struct slice){line.p + n + 1, line.len - n - 1});
	return 1;
}

/* "Sat, 09 May 2026 09:41:54 UTC" */
static int read_date(struct slice s, long long *out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char text[48], month[4], zone[8], stamp[80];
	int day, year, h, m, sec, end = 0;
	if (str_copy_slice(text, sizeof text, s) < 0 ||
		sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %7s%n", &day, month, &year, &h, &m, &sec, zone, &end) != 7 ||
		text[end] || (strcmp(zone, "UTC") && strcmp(zone, "GMT") && strcmp(zone, "+0000")))
		return -1;
	const char *at = strlen(month) == 3 ? strstr(months, month) : NULL;
	if (!at || (at - months) % 3)
		return -1;
	str_fmt(stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, (int)(at - months) / 3 + 1, day, h, m, sec);
	return clock_parse(stamp, out);
}

static int is_path(const char *p)
{
	for (const char *c = p; *c; c++)
		if (*c <= ' ' || *c > '~')
			return 0;
	return ustar_name_ok(p);
}

/* ---- the index ---- */

static int bad(struct why *why, const char *what)
{
	return why_set(why, R_BAD_INDEX, "the index is signed and yet not well formed: %s", what);
}

/* " 64hex  size path". 0, or -1 */
static int read_listed(struct slice line, struct apt_file *f)
{
	char digits[20];
	struct slice s = slice_trim(line);
	size_t n = 0;
	if (s.len < 64 + 4 || sign_unhex(f->sha256, 32, s.p, 64) < 0 || s.p[64] != ' ')
		return -1;
	s = slice_trim((struct slice){s.p + 64, s.len - 64});
	while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	if (str_copy_slice(digits, sizeof digits, (struct slice){s.p, n}) < 0 || str_num(digits, 0, size_most, &f->size) < 0)
		return -1;
	s = slice_trim((struct slice){s.p + n, s.len - n});
	return memchr(s.p, 0, s.len) || str_copy_slice(f->path, sizeof f->path, s) < 0 || !is_path(f->path) ? -1 : 0;
}

/* fn for each line of the SHA256 block, until it answers non-zero. */
static int each_listed(const struct apt_index *x, int (*fn)(struct slice line, void *), void *ctx)
{
	struct slice rest = {buf_cstr(&x->text), x->text.len}, line, value;
	int inside = 0, rc = 0;
	while (!rc && cut_line(&rest, &line)) {
		if (line.len && *line.p == ' ')
			rc = inside ? fn(line, ctx) : 0;
		else
			inside = is_field(line, "SHA256", &value);
	}
	return rc;
}

struct names { struct slice *p; size_t n, room; };

static int collect(struct slice line, void *ctx)
{
	struct names *all = ctx;
	struct apt_file f;
	if (read_listed(line, &f) < 0)
		return -1;
	if (all->n == all->room)
		all->p = xrealloc(all->p, (all->room = all->room ? all->room * 2 : 64) * sizeof *all->p);
	line = slice_trim(line);
	const char *space = memrchr(line.p, ' ', line.len);
	all->p[all->n++] = (struct slice){space + 1, line.p + line.len - space - 1};
	return 0;
}

static int by_text(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	int d = memcmp(x->p, y->p, x->len < y->len ? x->len : y->len);
	return d ? d : (x->len > y->len) - (x->len < y->len);
}

/* Every line can be read, and no path is there twice. */
static int check_list(const struct apt_index *x, struct why *why)
{
	struct names all = {0};
	int rc = each_listed(x, collect, &all) < 0 ? bad(why, "a line of its SHA256 list") : 0;
	if (!rc && !all.n)
		rc = bad(why, "no SHA256 list");
	if (all.n)
		qsort(all.p, all.n, sizeof *all.p, by_text);
	for (size_t i = 1; !rc && i < all.n; i++)
		if (!by_text(&all.p[i - 1], &all.p[i]))
			rc = bad(why, "a path that is listed twice");
	free(all.p);
	return rc;
}

static int read_field(struct apt_index *x, struct slice line, int *lists, struct why *why)
{
	struct { const char *name; char *dst; } text[] = {
		{"Origin", x->origin}, {"Label", x->label}, {"Suite", x->suite}, {"Codename", x->codename},
	};
	struct slice v;
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		if (is_field(line, text[i].name, &v) && (*text[i].dst || str_copy_slice(text[i].dst, 80, v) < 0))
			return bad(why, text[i].name);
	if (is_field(line, "Date", &v) && (x->date || read_date(v, &x->date) < 0))
		return bad(why, "its Date");
	if (is_field(line, "Valid-Until", &v) && (x->valid_until || read_date(v, &x->valid_until) < 0))
		return bad(why, "its Valid-Until");
	if (is_field(line, "SHA256", &v) && (*lists)++)
		return bad(why, "two SHA256 lists");
	if (is_field(line, "Acquire-By-Hash", &v))
		x->by_hash = slice_eq(v, "yes");
	return 0;
}

static int read_fields(struct apt_index *x, struct why *why)
{
	struct slice rest = {buf_cstr(&x->text), x->text.len}, line;
	int lists = 0;
	while (cut_line(&rest, &line)) {
		if (!line.len)
			return rest.len ? bad(why, "an empty line in it") : 0;
		if (*line.p != ' ' && read_field(x, line, &lists, why) < 0)
			return -1;
	}
	return 0;
}

static int check_dates(const struct apt_index *x, long long now, struct why *why)
{
	char stamp[32];
	if (!x->date)
		return bad(why, "no Date");
	if (x->date > now + MAX_FUTURE_S) {
		clock_stamp(stamp, x->date);
		return why_set(why, R_CLOCK, "the index is of %s, which is in the future here", stamp);
	}
	if (x->valid_until && now > x->valid_until) {
		clock_stamp(stamp, x->valid_until);
		return why_set(why, R_INDEX_EXPIRED, "the index was valid until %s", stamp);
	}
	return 0;
}

int apt_index(struct apt_index *x, const char *p, size_t len, const struct pgp_ring *ring, long long now, struct why *why)
{
	struct pgp_signed m;
	memset(x, 0, sizeof *x);
	int rc = pgp_clearsigned(p, len, ring, now, &m, why);
	x->text = m.text;
	str_copy(x->signer, sizeof x->signer, m.signer);
	if (rc || read_fields(x, why) < 0 || check_list(x, why) < 0 || check_dates(x, now, why) < 0) {
		apt_index_free(x);
		return -1;
	}
	return 0;
}

void apt_index_free(struct apt_index *x)
{
	buf_free(&x->text);
}

int apt_index_check(const struct apt_index *x, const char *suite, long long seen, struct why *why)
{
	char stamp[32], before[32];
	if (suite && !str_eq(suite, x->suite) && !str_eq(suite, x->codename))
		return why_set(why, R_WRONG_FILE, "the index is of %s, not of %s", *x->codename ? x->codename : x->suite, suite);
	if (seen && x->date < seen) {
		clock_stamp(stamp, x->date);
		clock_stamp(before, seen);
		return why_set(why, R_REPLAY, "the index is of %s, and one of %s was seen before", stamp, before);
	}
	return 0;
}

/* ---- what it lists ---- */

struct wanted { const char *path; const unsigned char *sha256; long long size; struct apt_file *out; };

static int matches(struct slice line, void *ctx)
{
	struct wanted *w = ctx;
	if (read_listed(line, w->out) < 0)
		return 0;
	if (w->path)
		return str_eq(w->path, w->out->path);
	const char *base = strrchr(w->out->path, '/');
	return base && str_starts(base, "/Packages") && strstr(w->out->path, "binary-") && w->out->size == w->size &&
		!memcmp(w->out->sha256, w->sha256, 32);
}

int apt_listed(const struct apt_index *x, const char *path, struct apt_file *f, struct why *why)
{
	struct wanted w = {.path = path, .out = f};
	if (each_listed(x, matches, &w) > 0)
		return 0;
	return why_set(why, R_NOT_LISTED, "the index does not list %s", path);
}

int apt_trust_packages(const struct apt_index *x, struct seal *s, struct apt_file *f, struct why *why)
{
	struct wanted w = {.sha256 = seal_digest(s, DIGEST_SHA256), .size = seal_size(s), .out = f};
	if (each_listed(x, matches, &w) > 0 && seal_trust_digest(s, DIGEST_SHA256, f->sha256))
		return 0;
	return why_set(why, R_NOT_LISTED, "the index does not list this Packages file");
}

/* ---- packages ---- */

static int package_field(struct apt_package *p, struct slice line, int *has_sum)
{
	struct { const char *name; char *dst; size_t size; } text[] = {
		{"Package", p->name, sizeof p->name}, {"Version", p->version, sizeof p->version},
		{"Architecture", p->arch, sizeof p->arch}, {"Filename", p->path, sizeof p->path},
	};
	char digits[24];
	struct slice v;
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		if (is_field(line, text[i].name, &v) && (*text[i].dst || str_copy_slice(text[i].dst, text[i].size, v) < 0))
			return -1;
	if (is_field(line, "Size", &v) && (p->size >= 0 || str_copy_slice(digits, sizeof digits, v) < 0 ||
		str_num(digits, 0, size_most, &p->size) < 0))
		return -1;
	if (is_field(line, "SHA256", &v) && ((*has_sum)++ || sign_unhex(p->sha256, 32, v.p, v.len) < 0))
		return -1;
	return 0;
}

/* The next stanza. 1; 0 at the end; -1 when a field of ours is there twice or cannot be read. Without all of them: no name. */
static int stanza(struct slice *rest, struct apt_package *p)
{
	struct slice line;
	int lines = 0, has_sum = 0;
	memset(p, 0, sizeof *p);
	p->size = -1;
	while (cut_line(rest, &line)) {
		if (!line.len && lines)
			break;
		lines += line.len > 0;
		if (line.len && *line.p != ' ' && *line.p != '\t' && package_field(p, line, &has_sum) < 0)
			return -1;
	}
	if (!lines)
		return 0;
	if (!has_sum || p->size < 0 || !is_path(p->path))
		*p->name = 0;
	return 1;
}

static int bad_packages(struct why *why)
{
	return why_set(why, R_BAD_INDEX, "the list of packages cannot be read");
}

int apt_find(const char *text, size_t len, const char *name, const char *arch, const char *version,
	struct apt_package *best, struct why *why)
{
	struct slice rest = {text, len};
	struct apt_package p;
	int rc, found = 0;
	while ((rc = stanza(&rest, &p)) > 0) {
		if (!str_eq(p.name, name) || !str_eq(p.arch, arch) || (version && !str_eq(p.version, version)))
			continue;
		if (found && !release_compare(p.version, best->version) && memcmp(p.sha256, best->sha256, 32))
			return why_set(why, R_BAD_INDEX, "%s %s is listed twice with different bytes", name, p.version);
		if (!found || release_compare(p.version, best->version) > 0)
			*best = p;
		found = 1;
	}
	if (rc < 0)
		return bad_packages(why);
	return found ? 0 : why_set(why, R_NOT_LISTED, "the repository has no %s%s%s for %s", name,
		version ? " " : "", version ? version : "", arch);
}

int apt_trust_deb(const char *text, size_t len, struct seal *s, const char *file, struct apt_package *found,
	struct why *why)
{
	struct slice rest = {text, len};
	const unsigned char *sum = seal_digest(s, DIGEST_SHA256);
	struct apt_package p;
	int rc, other = 0;
	while ((rc = stanza(&rest, &p)) > 0) {
		const char *base = strrchr(p.path, '/');
		if (!*p.name)
			continue;
		if (p.size == (long long)seal_size(s) && !memcmp(p.sha256, sum, 32)) {
			*found = p;
			return seal_trust_digest(s, DIGEST_SHA256, p.sha256) ? 0 : -1;
		}
		other |= str_eq(base ? base + 1 : p.path, file);
	}
	if (rc < 0)
		return bad_packages(why);
	return other ? why_set(why, R_BAD_SIGNATURE, "the repository lists a %s, but with other bytes", file) :
		why_set(why, R_NOT_LISTED, "the repository does not list this package");
}
