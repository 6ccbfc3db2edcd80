/* wif_test - lib/tailnet/wif: what is read of a JWT, its times and audience */
#include "str.h"
#include "wif.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count, failed;

static void ok(int is_good, const char *name)
{
	printf("%sok %d - %s\n", is_good ? "" : "not ", ++count, name);
	failed += !is_good;
}

static enum reason reads(const char *payload, struct wif_claims *c)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct why why = {0};
	size_t len = strlen(payload);
	char *jwt = malloc(len * 2 + 32), *p = stpcpy(jwt, "e30.");
	unsigned bits = 0, n = 0;
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | (unsigned char)payload[i];
		for (n += 8; n >= 6; n -= 6)
			*p++ = alphabet[bits >> (n - 6) & 63];
	}
	if (n)
		*p++ = alphabet[bits << (6 - n) & 63];
	p = stpcpy(p, ".c2ln");
	int rc = wif_read(jwt, p - jwt, c, &why);
	free(jwt);
	return rc < 0 ? why.reason : R_NONE;
}

static enum reason checks(const struct wif_claims *c, const char *aud, long long now)
{
	struct why why = {0};
	return wif_check(c, aud, now, &why) < 0 ? why.reason : R_NONE;
}

int main(void)
{
	struct wif_claims c;
	struct why why;
	char text[900];
	ok(reads("{\"iss\":\"https://i\",\"sub\":\"s\",\"aud\":\"a\",\"iat\":100,\"nbf\":90,\"exp\":400.5}", &c) == R_NONE
		&& str_eq(c.issuer, "https://i") && str_eq(c.subject, "s") && c.naudience == 1 && str_eq(c.audience[0], "a")
		&& c.issued == 100 && c.not_before == 90 && c.expires == 400, "claims");
	ok(checks(&c, "a", 200) == R_NONE && checks(&c, NULL, 200) == R_NONE, "good");
	ok(checks(&c, "b", 200) == R_IDENTITY_AUDIENCE, "another audience");
	ok(checks(&c, "a", 400) == R_IDENTITY_EXPIRED && checks(&c, "a", 399) == R_NONE, "expired at its second");
	ok(checks(&c, "a", -211) == R_CLOCK && checks(&c, "a", -209) == R_NONE, "from the future: the clock");
	ok(str_eq(wif_show(&c, text, sizeof text), "iss https://i, sub s, aud a"), "shown");
	ok(reads("{\"aud\":[\"a\",\"b\",\"c\",\"d\",\"e\"],\"exp\":9}", &c) == R_NONE && c.naudience == 4 && checks(&c, "d", 1) == R_NONE
		&& checks(&c, "e", 1) == R_IDENTITY_AUDIENCE, "at most four audiences");
	ok(reads("{\"aud\":\"a\"}", &c) == R_NONE && checks(&c, "a", 1) == R_IDENTITY_MALFORMED, "without exp");
	ok(reads("{\"sub\":\"\\u001b[31m\\n\",\"exp\":9}", &c) == R_NONE
		&& !strpbrk(wif_show(&c, text, sizeof text), "\033\n"), "control bytes are escaped");
	static const char *const bad[] = {"", "[]", "x", "{\"iss\":1}", "{\"sub\":[]}", "{\"aud\":[1]}", "{\"aud\":\"a\\u0000b\"}"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ok(reads(bad[i], &c) == R_IDENTITY_MALFORMED, bad[i]);
	static const char *const shapes[] = {"", ".", "..", "a.b", "a..c", ".b.c", "a.b.", "a.b.c.d", "e30.e30.a b", "e30.e30=.a", "e30.e30.a"};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		ok(wif_read(shapes[i], strlen(shapes[i]), &c, &why) < 0 && why.reason == R_IDENTITY_MALFORMED, shapes[i]);
	char *big = malloc(SECRET_MAX + 2);
	memset(big, 'a', SECRET_MAX + 1);
	ok(wif_read(big, SECRET_MAX + 1, &c, &why) < 0, "one that is too long");
	free(big);
	ok(wif_known("github") && wif_known("gitlab:X") && wif_known("kubernetes:/p") && wif_known("file:x") && wif_known("-")
		&& !wif_known("gitlab:") && !wif_known("gitlabx") && !wif_known("jenkins") && !wif_known(""), "sources");
	printf("1..%d\n", count);
	return failed != 0;
}
