/* pin - which bytes somebody has looked at and settled on */
#include "pin.h"
#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "json.h"
#include "release.h"
#include "sign.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_MAX = 1 << 20, LINES_MAX = 4096 };

static int read_line(const char *line, size_t len, struct pin *p)
{
	struct json doc;
	struct why why;
	unsigned char sum[32];
	long long n;
	memset(p, 0, sizeof *p);
	if (json_parse(&doc, line, len, &why) < 0)
		return -1;
	int rc = json_text(&doc, 0, "file", p->file, sizeof p->file) <= 0 ||
		json_text(&doc, 0, "sha256", p->sha256, sizeof p->sha256) != 64 || sign_unhex(sum, 32, p->sha256, 64) < 0;
	sign_hex(p->sha256, sum, 32);
	json_text(&doc, 0, "version", p->version, sizeof p->version);
	json_text(&doc, 0, "arch", p->arch, sizeof p->arch);
	json_text(&doc, 0, "signer", p->signer, sizeof p->signer);
	if (json_num(&doc, json_get(&doc, 0, "size"), &n) == 0)
		p->size = n;
	if (json_num(&doc, json_get(&doc, 0, "index-date"), &n) == 0)
		p->index_date = n;
	json_free(&doc);
	return rc ? -1 : 0;
}

int pin_load(struct pins *pins, const char *path, struct why *why)
{
	struct buf b = {0};
	memset(pins, 0, sizeof *pins);
	if (file_read(AT_FDCWD, path, &b, LOCK_MAX, why) < 0)
		return -1;
	int number = 0, rc = 0;
	for (const char *line = buf_cstr(&b), *end = line + b.len; !rc && line < end; number++) {
		const char *nl = memchr(line, '\n', end - line);
		size_t len = (nl ? nl : end) - line;
		struct pin p;
		if (len && (read_line(line, len, &p) < 0 || pins->count == LINES_MAX || pin_find(pins, p.file)))
			rc = why_set(why, R_BAD_LOCK, "%s: line %d is not a pin, or the file is in it twice", path, number + 1);
		else if (len)
			pin_put(pins, &p);
		line += len + 1;
	}
	buf_free(&b);
	if (rc)
		pin_free(pins);
	return rc;
}

void pin_free(struct pins *pins)
{
	free(pins->p);
	memset(pins, 0, sizeof *pins);
}

const struct pin *pin_find(const struct pins *pins, const char *file)
{
	for (int i = 0; i < pins->count; i++)
		if (str_eq(pins->p[i].file, file))
			return &pins->p[i];
	return NULL;
}

int pin_check(const struct pins *pins, const struct pin *have, struct why *why)
{
	const struct pin *p = pin_find(pins, have->file);
	if (p && (!sign_equal(p->sha256, have->sha256, 64) || (p->size && p->size != have->size)))
		return why_set(why, R_PIN_DIFFERS, "the lock file has it with the SHA-256 %s", p->sha256);
	if (p && p->index_date && have->index_date && have->index_date < p->index_date)
		return why_set(why, R_REPLAY, "the index is older than the one that the lock file was made from");
	if (p)
		return 0;
	for (int i = 0; i < pins->count; i++)
		if (*have->version && str_eq(pins->p[i].arch, have->arch) &&
			release_check_downgrade(have->version, pins->p[i].version, "which the lock file has", why) < 0)
			return -1;
	return why_set(why, R_NOT_PINNED, "the lock file does not have it");
}

void pin_put(struct pins *pins, const struct pin *p)
{
	struct pin *old = (struct pin *)pin_find(pins, p->file);
	if (!old) {
		if (!(pins->count & (pins->count + 1)) || !pins->p)	/* room for 1, 3, 7, 15... */
			pins->p = xrealloc(pins->p, (2 * pins->count + 1) * sizeof *pins->p);
		old = &pins->p[pins->count++];
	}
	*old = *p;
}

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct pin *)a)->file, ((const struct pin *)b)->file);
}

int pin_save(const struct pins *pins, const char *path, struct why *why)
{
	struct buf b = {.max = LOCK_MAX};
	struct stat st;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return why_set(why, R_NOT_OURS, "write %s: not a regular file", path);
	struct pin *p = xalloc((pins->count + 1) * sizeof *p);
	if (pins->count)
		memcpy(p, pins->p, pins->count * sizeof *p);
	qsort(p, pins->count, sizeof *p, by_file);
	for (int i = 0; i < pins->count; i++) {
		json_w_obj(&b, NULL);
		json_w_str(&b, "file", p[i].file);
		json_w_str(&b, "version", p[i].version);
		json_w_str(&b, "arch", p[i].arch);
		json_w_num(&b, "size", p[i].size);
		json_w_str(&b, "sha256", p[i].sha256);
		json_w_str(&b, "signer", p[i].signer);
		if (p[i].index_date)
			json_w_num(&b, "index-date", p[i].index_date);
		json_w_end(&b, '}');
		buf_ch(&b, '\n');
	}
	free(p);
	char *folder = xstrdup(path), *name = xstrdup(path);
	int rc = -1, dir = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		why_errno(why, "write %s:", path);
	else
		rc = file_write(dir, basename(name), buf_cstr(&b), b.len, 0644, why);
	if (dir >= 0)
		close(dir);
	free(folder);
	free(name);
	buf_free(&b);
	return rc;
}

int pin_merge(const struct pins *pins, const char *path, struct why *why)
{
	struct pins all;
	if (pin_load(&all, path, why) < 0 && (why->reason == R_BAD_LOCK || errno != ENOENT))
		return -1;
	for (int i = 0; i < pins->count; i++)
		pin_put(&all, &pins->p[i]);
	int rc = pin_save(&all, path, why);
	pin_free(&all);
	return rc;
}
