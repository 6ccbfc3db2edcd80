/* json_test - lib/means/json: what is refused, what is read, written, edited, scanned */
#include "buf.h"
#include "json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static int takes(const char *text, size_t len)
{
	struct json doc;
	struct why why;
	if (json_parse(&doc, text, len, &why))
		return 0;
	json_free(&doc);
	return 1;
}

static void test_strict(void)
{
	static const char *const good[] = {
		"{}", "[]", "null", " 1 ", "\"\"", "-0", "0.5e-3", "[1,2,[3,{\"a\":[]}]]", "{\"a\":{\"b\":null},\"c\":true}",
		"\"\\ud83d\\ude00\\u003c\\/\"", "\"\xf0\x9f\x98\x80\xc3\xa9\"",
	};
	static const char *const bad[] = {
		"", " ", "{", "}", "[", "[1,]", "{\"a\" \"b\"}", "{\"a\":1,}", "{a:1}", "{\"a\"}", "{\"a\":}", "{1:2}", "[1 2]",
		"1 2", "{}x", "[}", "{\"a\":[}]", "01", "1.", ".5", "1e", "+1", "-", "tru", "nul", "\"\\x\"", "\"\\u12g4\"",
		"\"abc", "\"a\nb\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xff\"", "\"\xf4\x90\x80\x80\"", "'a'", "[,1]", "{,}",
		"\xef\xbb\xbf{}", "NaN", "[1,,2]", ":", "\"\\",
	};
	int n = 0;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!takes(good[i], strlen(good[i])))
			printf("# refused: %s\n", good[i]), n++;
	ok(!n, "well formed documents are taken");
	n = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (takes(bad[i], strlen(bad[i])))
			printf("# taken: %s\n", bad[i]), n++;
	ok(!n, "ill formed documents are refused");
	ok(!takes("{}\0", 3) && !takes("\"a\0b\"", 5), "NUL bytes are refused");
}

static void test_bounds(void)
{
	struct json doc;
	struct why why;
	struct buf b = {0};
	for (int i = 0; i < 100000; i++)
		buf_ch(&b, '[');
	ok(json_parse(&doc, b.p, b.len, &why) && why.reason == R_TOO_BIG, "A11: 10^5 levels are refused");
	buf_clear(&b);
	for (int i = 0; i < JSON_DEPTH; i++)
		buf_ch(&b, '[');
	for (int i = 0; i < JSON_DEPTH; i++)
		buf_ch(&b, ']');
	ok(takes(b.p, b.len), "64 levels are read");
	buf_clear(&b);
	buf_str(&b, "[0");
	for (int i = 0; i < JSON_TOKENS; i++)
		buf_str(&b, ",0");
	buf_ch(&b, ']');
	ok(json_parse(&doc, b.p, b.len, &why) && why.reason == R_TOO_BIG, "too many values are refused");
	buf_clear(&b);
	buf_str(&b, "{\"name\":\"");
	for (int i = 0; i < 1 << 20; i++)
		buf_ch(&b, 'x');
	buf_str(&b, "\"}");
	char name[64];
	int good = !json_parse(&doc, b.p, b.len, &why);
	ok(good && json_str(&doc, json_get(&doc, 0, "name"), name, sizeof name) == -1 && !*name,
	   "A11: a name of 1 MB does not fit and is said so");
	json_free(&doc);
	buf_free(&b);
}

static void test_read(void)
{
	static const char text[] = "{\"S\":\"a\\u003cb\\ud83d\\ude00\\ud800\",\"N\":null,\"I\":-9223372036854775808,\"F\":1.5,"
	                           "\"T\":true,\"O\":{\"x\":{\"y\":[10,{\"z\":7}]}},\"D\":1,\"D\":2,\"Z\":\"a\\u0000b\",\"k\\u0065y\":3}";
	struct json d;
	struct why why;
	char s[64];
	long long n = 0;
	double f = 0;
	ok(!json_parse(&d, text, sizeof text - 1, &why), "a document is read");
	ok(json_str(&d, json_get(&d, 0, "S"), s, sizeof s) == 10 && !strcmp(s, "a<b\xf0\x9f\x98\x80\xef\xbf\xbd"),
	   "escapes, surrogates, a lone surrogate");
	ok(json_str(&d, json_get(&d, 0, "S"), s, 10) == -1 && !*s, "a string that does not fit is refused");
	ok(json_get(&d, 0, "N") == -1 && json_find(&d, 0, "N") > 0 && json_get(&d, 0, "none") == -1,
	   "null counts as absent, but for json_find");
	ok(!json_num(&d, json_get(&d, 0, "I"), &n) && n == -9223372036854775807LL - 1, "int64");
	ok(json_num(&d, json_get(&d, 0, "F"), &n) && !json_dbl(&d, json_get(&d, 0, "F"), &f) && f > 1.4 && f < 1.6,
	   "a fraction is no int64");
	ok(json_bool(&d, json_get(&d, 0, "T")) == 1 && json_bool(&d, -1) == -1, "booleans");
	ok(json_is_true(&d, 0, "T") && !json_is_true(&d, 0, "N") && !json_is_true(&d, 0, "I") && !json_is_true(&d, 0, "none"),
	   "only true is true");
	json_alone((struct slice){"\"a\\u0042cd\"", 11}, s, 4);
	ok(str_eq(s, "aBc"), "a string that stands alone, cut");
	json_alone((struct slice){"[1]", 3}, s, sizeof s);
	ok(!*s, "what is no string is none");
	ok(!json_num(&d, json_at(&d, "O.x.y.1.z"), &n) && n == 7 && json_at(&d, "O.x.q.z") == -1 && json_at(&d, "O.x.y.2") == -1,
	   "a path");
	ok(!json_num(&d, json_get(&d, 0, "D"), &n) && n == 2, "of a key given twice the last counts");
	ok(json_str(&d, json_get(&d, 0, "Z"), s, sizeof s) == -1, "a NUL in a string is refused");
	size_t len;
	char *dup = json_dup(&d, json_get(&d, 0, "Z"), &len);
	ok(dup && len == 3 && !memcmp(dup, "a\0b", 3), "or let through with a length");
	free(dup);
	ok(!json_num(&d, json_get(&d, 0, "key"), &n) && n == 3, "an escaped key is found");
	int members = 0;
	for (struct json_iter i = json_each(&d, 0); json_next(&i); )
		members++;
	ok(members == 10 && json_count(&d, 0) == 10 && json_count(&d, json_at(&d, "O.x.y")) == 2,
	   "members are walked");
	struct slice raw = json_raw(&d, json_at(&d, "O.x.y.1"));
	ok(slice_eq(raw, "{\"z\":7}"), "raw text");
	json_free(&d);
}

static void test_write(void)
{
	struct buf b = {0};
	json_w_obj(&b, NULL);
	json_w_str(&b, "a", "x\n\"");
	json_w_num(&b, "n", -5);
	json_w_arr(&b, "l");
	json_w_bool(&b, NULL, 1);
	json_w_str(&b, NULL, "{");
	json_w_obj(&b, NULL);
	json_w_end(&b, '}');
	json_w_end(&b, ']');
	json_w_raw(&b, "r", "[1]", 3);
	json_w_str(&b, "z", NULL);
	json_w_end(&b, '}');
	ok(!strcmp(buf_cstr(&b), "{\"a\":\"x\\n\\\"\",\"n\":-5,\"l\":[true,\"{\",{}],\"r\":[1],\"z\":null}"),
	   "what is written");
	buf_free(&b);
}

static int sets(const char *text, const char *path, const char *raw, const char *want)
{
	struct json d;
	struct why why;
	struct buf b = {0};
	if (json_parse(&d, text, strlen(text), &why))
		return 0;
	int good = json_set(&b, &d, path, raw) ? !want : want && !strcmp(buf_cstr(&b), want);
	if (!good)
		printf("# got %s\n", buf_cstr(&b));
	json_free(&d);
	buf_free(&b);
	return good;
}

static void test_set(void)
{
	ok(sets("{ \"a\" : 1 , \"b\":2}\n", "a", "\"x\"", "{ \"a\" : \"x\" , \"b\":2}\n"),
	   "a value is replaced, the rest is verbatim");
	ok(sets("{}", "a.b.c", "1", "{\"a\":{\"b\":{\"c\":1}}}"), "objects on the way are made");
	ok(sets("{\"a\":{\"z\":0}}", "a.b", "true", "{\"a\":{\"b\":true,\"z\":0}}"), "a member is added");
	ok(sets("{\"a\":null}", "a.b", "1", "{\"a\":{\"b\":1}}"), "null on the way becomes an object");
	ok(sets("{\"a\":1,\"b\":2,\"a\":3}", "a", NULL, "{\"b\":2}"), "a key is taken out wherever it is");
	ok(sets("{\"a\":1}", "q.r", NULL, "{\"a\":1}"), "taking out what is not there changes nothing");
	ok(sets("{\"a\":1}", "a.b", "1", NULL) && sets("[]", "a", "1", NULL),
	   "a scalar or array on the way is refused");
}

static void test_top(void)
{
	struct json_want want[] = { { .key = "State" }, { .key = "ErrMessage" }, { .key = "Health" }, { .key = "none" } };
	static const char line[] = "{\"Version\":\"1\",\"NetMap\":{\"State\":9,\"x\":[\"}\",\"\\\"\"]},"
	                           "\"State\": 6 ,\"ErrMessage\":null,\"Health\":{\"Warnings\":{}}}";
	ok(!json_top(line, sizeof line - 1, want, 4) && slice_eq(want[0].value, "6") && !want[1].value.p
	   && slice_eq(want[2].value, "{\"Warnings\":{}}") && !want[3].value.p, "top-level keys of a bus line");
	int taken = 0;
	for (size_t n = 0; n < sizeof line - 1; n++)
		taken += !json_top(line, n, want, 4);
	ok(!taken, "a line that is cut anywhere is refused");
	ok(json_top("{\"a\":\0}", 7, want, 4) <= 0, "a NUL does not hang it");
}

struct seen { int n; size_t bytes; char names[64]; };

static int see(void *ctx, struct slice name, const char *text, size_t len)
{
	struct seen *s = ctx;
	s->n++;
	s->bytes += len;
	if (name.len)
		strncat(s->names, name.p, name.len < 8 ? name.len : 8);
	return takes(text, len) ? 0 : 7;
}

static int scan(const char *text, const char *key, size_t step, struct seen *seen)
{
	struct json_scan j = { .key = key, .max = 4096, .fn = see, .ctx = seen };
	struct why why;
	size_t len = strlen(text);
	*seen = (struct seen){0};
	for (size_t at = 0; at < len; at += step)
		if (json_scan_feed(&j, text + at, len - at < step ? len - at : step, &why)) {
			json_scan_free(&j);
			return -1;
		}
	return json_scan_end(&j, &why);
}

static void test_scan(void)
{
	static const char text[] = " {\"n\":{\"devices\":[9]},\"s\":\"a]}\\\"\","
	                           "\"devices\":[ {\"a\":\"}\\\\\"}, 12,\"x\\\"y\" ,[[]],null],\"z\":-1.5} ";
	struct seen seen;
	int good = 1;
	for (size_t step = 1; step < sizeof text; step++)
		good &= !scan(text, "devices", step, &seen) && seen.n == 5 && seen.bytes == 11 + 2 + 6 + 4 + 4;
	ok(good, "elements of an array, in chunks of every size");
	ok(!scan("{\"Self\":{},\"Peer\":{\"k1\":{\"a\":1},\"k2\":{}}}", "Peer", 3, &seen) && seen.n == 2 && !strcmp(seen.names, "k1k2"),
	   "members of an object with their names");
	ok(!scan("[1,2,3]", NULL, 1, &seen) && seen.n == 3, "the document itself");
	ok(!scan("{\"devices\":null}", "devices", 4, &seen) && !seen.n && !scan("{}", "devices", 4, &seen),
	   "null or missing: no elements");
	static const char *const bad[] = { "{\"devices\":[1", "{\"devices\":[1]", "{\"devices\":5}", "[1]",
		"{\"devices\":[1}}", "{\"devices\":[1]]", "{\"devices\":[1,]}",
		"{\"devices\":[1]}x", "{\"devices\":[{]}", "{\"devices\":[[}]]}",
		"{\"a\":1 \"devices\":[]}", "" , "{\"devices\" [1]}", "{\"devices\":[tru]}" };
	int taken = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (size_t step = 1; step < 9; step++)
			if (!scan(bad[i], "devices", step, &seen))
				printf("# taken: %s\n", bad[i]), taken++;
	ok(!taken, "ill formed and cut lists are refused");
	struct buf b = {0};
	buf_str(&b, "{\"devices\":[\"");
	for (int i = 0; i < 5000; i++)
		buf_ch(&b, 'x');
	buf_str(&b, "\"]}");
	ok(scan(b.p, "devices", 1000, &seen), "an element that is too big is refused");
	buf_clear(&b);
	buf_str(&b, "{\"skip\":\"");
	for (int i = 0; i < 50000; i++)
		buf_ch(&b, 'x');
	buf_str(&b, "\",\"devices\":[1]}");
	ok(!scan(b.p, "devices", 1000, &seen) && seen.n == 1, "what is skipped may be of any size");
	buf_free(&b);
}

int main(void)
{
	test_strict();
	test_bounds();
	test_read();
	test_write();
	test_set();
	test_top();
	test_scan();
	printf("1..%d\n", count);
	return failed != 0;
}
