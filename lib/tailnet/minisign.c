/* minisign - signatures of moorbox's own releases */
#include "minisign.h"
#include "str.h"
#include <string.h>

enum { COMMENT_MAX = 8192 };

/* Cuts the next line off; a missing newline is fine at the very end. -1 when there is none, or it has control bytes. */
static int next_line(struct slice *rest, struct slice *line)
{
	if (!rest->len)
		return -1;
	const char *nl = memchr(rest->p, '\n', rest->len);
	line->p = rest->p;
	line->len = nl ? (size_t)(nl - rest->p) : rest->len;
	size_t used = line->len + (nl != NULL);
	rest->p += used;
	rest->len -= used;
	for (size_t i = 0; i < line->len; i++)
		if ((unsigned char)line->p[i] < 0x20 || line->p[i] == 0x7f)
			return -1;
	return 0;
}

static int has_prefix(struct slice s, const char *prefix)
{
	return s.len >= strlen(prefix) && !memcmp(s.p, prefix, strlen(prefix));
}

int minisign_key(struct minisign_key *k, const char *text, size_t len, struct why *why)
{
	struct slice rest = {text, len}, comment, body;
	unsigned char raw[42];
	if (next_line(&rest, &comment) < 0 || !has_prefix(comment, "untrusted comment: ") || comment.len > 1024 ||
		next_line(&rest, &body) < 0 || rest.len || sign_base64(raw, sizeof raw, body.p, body.len) != 42 || memcmp(raw, "Ed", 2))
		return why_set(why, R_BAD_ARCHIVE, "not a minisign public key");
	memcpy(k->id, raw + 2, 8);
	memcpy(k->key, raw + 10, 32);
	return 0;
}

static int names_file(const char *comment, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = comment; (p = strstr(p, "file:")); p += 5)
		if ((p == comment || p[-1] == ' ') && !strncmp(p + 5, name, n) && (!p[5 + n] || p[5 + n] == ' '))
			return 1;
	return 0;
}

int minisign_check(const struct minisign_key *k, struct seal *s, const char *text, size_t len, const char *name,
	char *comment, size_t size, struct why *why)
{
	static const char word[] = "trusted comment: ";
	struct slice rest = {text, len}, untrusted, first, trusted, second;
	unsigned char sig[74], global[64], msg[64 + COMMENT_MAX];
	*comment = 0;
	if (next_line(&rest, &untrusted) < 0 || !has_prefix(untrusted, "untrusted comment: ") || untrusted.len > 1024 ||
		next_line(&rest, &first) < 0 || sign_base64(sig, sizeof sig, first.p, first.len) != 74 ||
		next_line(&rest, &trusted) < 0 || !has_prefix(trusted, word) || trusted.len > COMMENT_MAX ||
		next_line(&rest, &second) < 0 || sign_base64(global, sizeof global, second.p, second.len) != 64 || rest.len)
		return why_set(why, R_BAD_SIGNATURE, "not a minisign signature");
	if (memcmp(sig, "ED", 2))
		return why_set(why, R_BAD_SIGNATURE, "a minisign signature of the old form, without a hash");
	if (memcmp(sig + 2, k->id, 8))
		return why_set(why, R_UNKNOWN_SIGNER, "signed by another key");
	struct slice said = {trusted.p + sizeof word - 1, trusted.len - (sizeof word - 1)};
	memcpy(msg, sig + 10, 64);
	memcpy(msg + 64, said.p, said.len);
	if (!sign_ed25519(k->key, global, msg, 64 + said.len))
		return why_set(why, R_BAD_SIGNATURE, "the comment is not the one that was signed");
	if (str_copy_slice(comment, size, said) < 0)
		return why_set(why, R_TOO_BIG, "the signed comment is too long");
	if (!names_file(comment, name))
		return why_set(why, R_WRONG_FILE, "signed, but as another file: the signed comment does not say file:%s", name);
	if (!seal_trust_minisign(s, k->key, sig + 10))
		return why_set(why, R_BAD_SIGNATURE, "the signature is not of these bytes");
	return 0;
}
