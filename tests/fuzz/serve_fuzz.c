/* serve_fuzz - Serve's configuration, read and edited: whatever document tailscaled or somebody else has made of it, none may
 * break anything; what was set is there, what was taken out is not, and the rest is as it was */
#include "../../lib/tailnet/mapping.c"

struct count { const struct mapping *but; int others, found; };

static int each(const struct mapping *m, void *ctx)
{
	struct count *c = ctx;
	int same = mapping_same_place(m, c->but) && !m->is_foreground && (!mapping_is_web(m->kind) || str_eq(m->host, c->but->host));
	if (same && str_eq(m->target, c->but->target))
		c->found++;
	else if (m->port != c->but->port)
		c->others++;
	return 0;
}

static struct count look(const struct buf *doc, const struct mapping *m)
{
	struct count c = {.but = m};
	struct why why;
	if (mapping_each(buf_cstr(doc), doc->len, each, &c, &why) < 0)
		abort();	/* what we write can be read */
	return c;
}

static void check(const char *text, size_t len, const struct mapping *m)
{
	struct buf set = {0}, again = {0}, unset = {0}, freed = {0}, between = {0}, shadow = {0}, session = {0};
	struct why why;
	struct count was = {.but = m};
	if (mapping_each(text, len, each, &was, &why) < 0)
		return;
	if (mapping_free_port(&freed, text, len, m->port, &why) == 0) {
		if (look(&freed, m).found || look(&freed, m).others != was.others)
			abort();
		if (mapping_has_funnel(freed.p, freed.len, m->port, &why) != 0)
			abort();
		if (mapping_set(&set, freed.p, freed.len, m, NULL, &why) == 0) {
			if (look(&set, m).found != 1 || look(&set, m).others != was.others)
				abort();
			if (mapping_set(&again, set.p, set.len, m, NULL, &why) < 0 || look(&again, m).found != 1)
				abort();
			if (mapping_unset(&unset, set.p, set.len, m, &why) < 0 || look(&unset, m).found || look(&unset, m).others != was.others)
				abort();
			mapping_between(&between, text, len, set.p, set.len, &why);
		}
		mapping_shadow(&shadow, freed.p, freed.len, m->port, &why);
	}
	mapping_set(&session, text, len, m, "0123456789abcdef", &why);
	struct buf *all[] = {&set, &again, &unset, &freed, &between, &shadow, &session};
	for (int i = 0; i < 7; i++)
		buf_free(all[i]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	static const struct mapping wanted[] = {
		{.kind = MAP_HTTPS, .port = 443, .host = "a.x.ts.net", .path = "/", .target = "http://127.0.0.1:3000"},
		{.kind = MAP_HTTP, .port = 80, .host = "a.x.ts.net", .path = "/a\"b", .target = "text:\"\\"},
		{.kind = MAP_TCP, .port = 443, .target = "127.0.0.1:5432"},
		{.kind = MAP_TLS_TCP, .port = 8443, .host = "a.x.ts.net", .target = "127.0.0.1:1"},
	};
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		check((const char *)data, len, &wanted[i]);
	return 0;
}
