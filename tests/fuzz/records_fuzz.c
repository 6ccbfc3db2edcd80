/* records_fuzz - spec.json, run.json and a lease, as somebody else may have written them */
#include "../../lib/tailnet/workspace.c"
#include "../../lib/tailnet/lease.c"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static struct ws ws;
	struct why why = {0};
	struct json j;
	char name[WS_LABEL], *text = xalloc(size + 1);
	memcpy(text, data, size);
	memset(&ws, 0, sizeof ws);
	if (json_parse(&j, text, size, &why) == 0) {
		load_spec(&ws.spec, &j);
		load_run(&ws.run, &j);
		struct lease lease;
		if (load_lease(&lease, &j) != (*lease.id != 0) || strlen(lease.id) > 63 || strlen(lease.dns_name) > 255)
			abort();
		json_free(&j);
	}
	const struct ws_spec *s = &ws.spec;
	if (s->ntags > WS_TAGS || s->nports > WS_PORTS || s->nderp > WS_DERPS || s->nserve_dirs > 8 || s->inbound > WS_IN_ALL)
		abort();
	for (int i = 0; i < s->nports; i++)
		if (s->ports[i] < 1 || s->ports[i] > 65535)
			abort();
	if (ws_clean_name(text, name, &why) == 0
		&& (!*name || *name == '-' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name)))
		abort();
	free(text);
	return 0;
}
