/* json_fuzz - one text through the strict reader, the top-level picker, the scanner and the editor */
#include "../../lib/means/json.c"

static int on_element(void *ctx, struct slice name, const char *text, size_t len)
{
	struct json doc;
	struct why why;
	long long *sum = ctx;
	*sum += (long long)name.len;
	if (!json_parse(&doc, text, len, &why))
		json_free(&doc);
	return 0;
}

static void scan(const char *text, size_t len, const char *key, size_t step, long long *sum)
{
	struct json_scan j = { .key = key, .max = 512, .fn = on_element, .ctx = sum };
	struct why why;
	for (size_t at = 0; at < len; at += step)
		if (json_scan_feed(&j, text + at, len - at < step ? len - at : step, &why)) {
			json_scan_free(&j);
			return;
		}
	json_scan_end(&j, &why);
}

static void walk(const struct json *doc)
{
	char text[32];
	long long n;
	double d;
	for (int v = -1; v <= doc->count; v++) {
		size_t len;
		char *dup = json_dup(doc, v, &len);
		json_str(doc, v, text, sizeof text);
		json_num(doc, v, &n);
		json_dbl(doc, v, &d);
		json_bool(doc, v);
		json_get(doc, v, "a");
		for (struct json_iter i = json_each(doc, v); json_next(&i); )
			if (json_kind(doc, i.value) == JSON_NONE)
				abort();
		free(dup);
	}
}

/* What the editor makes of a document is a document again. */
static void edit(const struct json *doc, const char *raw)
{
	struct buf out = {0};
	struct json again;
	struct why why;
	if (!json_set(&out, doc, "a.b", raw)) {
		if (json_parse(&again, buf_cstr(&out), out.len, &why))
			abort();
		json_free(&again);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct json_want want[] = { { .key = "a" }, { .key = "State" } };
	struct json doc;
	struct why why;
	long long sum = 0;
	char *text = xalloc(size + 1);	/* exactly so long, for the sanitizer */
	memcpy(text, data, size);
	json_top(text, size, want, 2);
	scan(text, size, "a", 1, &sum);
	scan(text, size, NULL, 7, &sum);
	if (!json_parse(&doc, text, size, &why)) {
		if (doc.count && json_kind(&doc, 0) == JSON_OBJ && json_top(text, size, want, 2))
			abort();
		walk(&doc);
		edit(&doc, "[1]");
		edit(&doc, NULL);
		json_free(&doc);
	}
	free(text);
	return 0;
}
