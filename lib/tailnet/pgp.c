/* pgp - the part of OpenPGP that apt repositories need */
#include "pgp.h"
#include "alloc.h"
#include "pgp_key.h"
#include "sign.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>

enum { SIGNATURE = 2, SECRET = 5, PUBLIC = 6, SECRET_SUB = 7, SUBKEY = 14, USER_ID = 13, ATTRIBUTE = 17 };
enum { FUTURE_S = 60 };		/* a clock may be that much behind the signer's */

struct bytes { const unsigned char *p; size_t len; };

static unsigned be(const unsigned char *p, int n)
{
	unsigned v = 0;
	while (n--)
		v = v << 8 | *p++;
	return v;
}

/* ---- packets ---- */

/* The next packet: its tag, 0 at the end, -1 when it is not one (partial and indeterminate lengths are not taken). */
static int packet(struct bytes *rest, struct bytes *body)
{
	const unsigned char *p = rest->p, *end = p + rest->len;
	size_t n, head;
	if (!rest->len)
		return 0;
	if (!(*p & 0x80) || end - p < 2)
		return -1;
	int tag = *p & 0x40 ? *p & 0x3f : *p >> 2 & 15;
	if (*p & 0x40) {
		if (p[1] < 192)
			n = p[1], head = 2;
		else if (p[1] < 224 && end - p > 2)
			n = ((p[1] - 192) << 8) + p[2] + 192, head = 3;
		else if (p[1] == 255 && end - p > 5)
			n = be(p + 2, 4), head = 6;
		else
			return -1;
	} else {
		int size = 1 << (*p & 3);
		if (size == 8 || end - p < 1 + size)
			return -1;
		n = be(p + 1, size), head = 1 + size;
	}
	if (n > (size_t)(end - p) - head || !tag)
		return -1;
	*body = (struct bytes){p + head, n};
	*rest = (struct bytes){p + head + n, end - p - head - n};
	return tag;
}

/* A number of exactly as many bits as it says. */
static int mpi(struct bytes *rest, struct bytes *n)
{
	if (rest->len < 2)
		return -1;
	unsigned bits = be(rest->p, 2), len = (bits + 7) / 8;
	if (!bits || rest->len - 2 < len || rest->p[2] >> ((bits - 1) % 8) != 1)
		return -1;
	*n = (struct bytes){rest->p + 2, len};
	*rest = (struct bytes){rest->p + 2 + len, rest->len - 2 - len};
	return 0;
}

/* ---- a key's packet ---- */

struct keypacket { struct bytes body; struct pgp_key key; int usable; };

static void hash_key(struct digest *d, struct bytes body)
{
	unsigned char head[3] = {0x99, body.len >> 8, body.len};
	digest_add(d, head, 3);
	digest_add(d, body.p, body.len);
}

static int read_key(struct bytes body, struct keypacket *k)
{
	unsigned char fpr[DIGEST_MAX];
	struct digest d;
	struct bytes rest, n, e;
	memset(k, 0, sizeof *k);
	k->body = body;
	if (body.len < 6 || body.len > 65535)
		return -1;
	if (*body.p != 4)
		return 0;
	k->key.created = be(body.p + 1, 4);
	digest_start(&d, DIGEST_SHA1);
	hash_key(&d, body);
	digest_end(&d, fpr);
	memcpy(k->key.fpr, fpr, 20);
	rest = (struct bytes){body.p + 6, body.len - 6};
	if (body.p[5] != 1 && body.p[5] != 3)
		return 0;
	if (mpi(&rest, &n) < 0 || mpi(&rest, &e) < 0 || rest.len)
		return -1;
	if (n.len < 256 || n.len > sizeof k->key.n || e.len > sizeof k->key.e)
		return 0;
	memcpy(k->key.n, n.p, k->key.n_len = n.len);
	memcpy(k->key.e, e.p, k->key.e_len = e.len);
	k->usable = 1;
	return 0;
}

/* ---- a signature's packet ---- */

struct sig {
	int type;
	enum digest_kind kind;
	struct bytes hashed;		/* what of the packet goes into the digest */
	struct bytes value, back;	/* the number; the subkey's own signature, if embedded */
	unsigned char left[2];
	long long made, life, key_life;	/* life and key_life 0: for ever */
	int flags, soft;		/* key flags, -1 when not said; a revocation that lets older signatures be */
	int foreign;			/* something critical that we do not know */
	unsigned char issuer[20];
	int has_issuer;			/* 20: its fingerprint is known, 8: only the key id */
};

static int hashed_subpacket(struct sig *s, int type, const unsigned char *p, size_t n)
{
	switch (type & 0x7f) {
	case 2:
		if (n != 4 || s->made)
			return -1;
		s->made = be(p, 4);
		return 0;
	case 3:
		if (n != 4)
			return -1;
		s->life = be(p, 4);
		return 0;
	case 9:
		if (n != 4)
			return -1;
		s->key_life = be(p, 4);
		return 0;
	case 27: s->flags = n ? *p : 0; return 0;
	case 29: s->soft = n && (*p == 1 || *p == 3); return 0;
	case 4: case 7: case 11: case 12: case 21: case 22: case 23: case 24: case 25: case 26: case 28: case 30: case 34: return 0;
	}
	if (type & 0x80)
		s->foreign = 1;
	return 0;
}

static int subpacket(struct sig *s, int type, const unsigned char *p, size_t n, int is_hashed)
{
	int kind = type & 0x7f;
	if (kind == 33 && n == 21 && *p == 4) {
		if (is_hashed || s->has_issuer < 20)
			memcpy(s->issuer, p + 1, s->has_issuer = 20);
	} else if (kind == 16 && n == 8) {
		if (!s->has_issuer)
			memcpy(s->issuer, p, s->has_issuer = 8);
	} else if (kind == 32) {		/* proves itself, so it may stand where nothing is hashed */
		s->back = (struct bytes){p, n};
	} else if (is_hashed) {
		return hashed_subpacket(s, type, p, n);
	}
	return 0;
}

static int subpackets(struct sig *s, struct bytes area, int is_hashed)
{
	while (area.len) {
		size_t n = *area.p, head = 1;
		if (n >= 192 && n < 255 && area.len > 1)
			n = ((n - 192) << 8) + area.p[1] + 192, head = 2;
		else if (n == 255 && area.len > 4)
			n = be(area.p + 1, 4), head = 5;
		else if (n >= 192)
			return -1;
		if (!n || n > area.len - head || subpacket(s, area.p[head], area.p + head + 1, n - 1, is_hashed) < 0)
			return -1;
		area.p += head + n;
		area.len -= head + n;
	}
	return 0;
}

/* 0; 1: well formed but of a kind that we pass over; -1. */
static int read_sig(struct bytes body, struct sig *s)
{
	const unsigned char *p = body.p;
	memset(s, 0, sizeof *s);
	s->flags = -1;
	if (body.len < 10)
		return -1;
	if (*p != 4)
		return 1;
	size_t hashed = be(p + 4, 2), unhashed = 0;
	if (hashed + 10 > body.len || (unhashed = be(p + 6 + hashed, 2)) + hashed + 10 > body.len)
		return -1;
	s->type = p[1];
	s->hashed = (struct bytes){p, 6 + hashed};
	if (subpackets(s, (struct bytes){p + 6, hashed}, 1) < 0 || subpackets(s, (struct bytes){p + 8 + hashed, unhashed}, 0) < 0)
		return -1;
	p += 8 + hashed + unhashed;
	memcpy(s->left, p, 2);
	struct bytes rest = {p + 2, body.len - hashed - unhashed - 10};
	if ((body.p[2] != 1 && body.p[2] != 3) || (body.p[3] != 8 && body.p[3] != 10))
		return 1;
	if (mpi(&rest, &s->value) < 0 || rest.len)
		return -1;
	s->kind = body.p[3] == 8 ? DIGEST_SHA256 : DIGEST_SHA512;
	return 0;
}

/* d has taken what was signed, in s->kind. */
static int verify(const struct sig *s, const struct pgp_key *k, struct digest *d)
{
	unsigned char sum[DIGEST_MAX], padded[1024] = {0};
	unsigned char tail[6] = {4, 0xff, s->hashed.len >> 24, s->hashed.len >> 16, s->hashed.len >> 8, s->hashed.len};
	digest_add(d, s->hashed.p, s->hashed.len);
	digest_add(d, tail, 6);
	digest_end(d, sum);
	if (memcmp(sum, s->left, 2) || s->value.len > k->n_len)
		return 0;
	memcpy(padded + k->n_len - s->value.len, s->value.p, s->value.len);
	return sign_rsa(k->n, k->n_len, k->e, k->e_len, s->kind, sum, padded, k->n_len);
}

static int is_issuer(const struct sig *s, const struct pgp_key *k)
{
	return s->has_issuer == 20 ? !memcmp(s->issuer, k->fpr, 20) : s->has_issuer == 8 && !memcmp(s->issuer, k->fpr + 12, 8);
}

static int in_time(const struct sig *s, const struct pgp_key *k, long long now)
{
	return s->made && !s->foreign && s->made >= k->created && s->made <= now + FUTURE_S && (!s->life || now < s->made + s->life);
}

/* ---- a keyring ---- */

struct loader {
	struct pgp_ring *ring;
	long long now;
	struct keypacket primary, sub;
	struct bytes uid;
	int at;				/* the tag that signatures belong to now; 0: something passed over */
	int first;			/* where the keys of this primary begin in the ring */
	int can_sign, sub_can_sign, revoked, sub_revoked;
	long long best, sub_best;	/* when the newest self-signature was made: it is the one that counts */
};

static void keep(struct loader *l, const struct keypacket *k, int can_sign)
{
	if (!k->body.p)
		return;
	if (!k->usable || !can_sign || (k->key.expires && l->now >= k->key.expires) || l->ring->count == PGP_KEYS) {
		l->ring->passed_over++;
		return;
	}
	struct pgp_key *kept = &l->ring->key[l->ring->count++];
	*kept = k->key;
	memcpy(kept->primary, l->primary.key.fpr, 20);
}

/* A subkey is worth no more than the key that vouches for it. */
static void end_sub(struct loader *l)
{
	const struct pgp_key *p = &l->primary.key;
	keep(l, &l->sub, l->sub_can_sign && !l->sub_revoked && l->best && (!p->expires || l->now < p->expires));
	memset(&l->sub, 0, sizeof l->sub);
	l->sub_can_sign = l->sub_revoked = 0;
	l->sub_best = 0;
}

static void end_primary(struct loader *l)
{
	end_sub(l);
	keep(l, &l->primary, l->can_sign);
	if (l->revoked) {
		l->ring->passed_over += l->ring->count - l->first;
		l->ring->count = l->first;
	}
	memset(&l->primary, 0, sizeof l->primary);
	l->first = l->ring->count;
	l->can_sign = l->revoked = 0;
	l->best = 0;
}

static int verify_on(struct loader *l, const struct sig *s, const struct pgp_key *signer, int with_sub)
{
	struct digest d;
	digest_start(&d, s->kind);
	hash_key(&d, l->primary.body);
	if (with_sub) {
		hash_key(&d, l->sub.body);
	} else if (s->type >= 0x10 && s->type <= 0x13) {
		unsigned char head[5] = {0xb4, l->uid.len >> 24, l->uid.len >> 16, l->uid.len >> 8, l->uid.len};
		digest_add(&d, head, 5);
		digest_add(&d, l->uid.p, l->uid.len);
	}
	return verify(s, signer, &d);
}

/* On the primary key or one of its names: what the key says of itself. */
static void self_signature(struct loader *l, const struct sig *s)
{
	int is_uid = s->type >= 0x10 && s->type <= 0x13 && l->at == USER_ID;
	if (s->type == 0x20 && l->at == PUBLIC) {
		if (verify_on(l, s, &l->primary.key, 0))
			l->revoked = 1;		/* soft or hard: nothing of a key that was given up is taken any more */
		return;
	}
	if ((!is_uid && !(s->type == 0x1f && l->at == PUBLIC)) || !in_time(s, &l->primary.key, l->now) || s->made < l->best ||
		!verify_on(l, s, &l->primary.key, 0))
		return;
	l->best = s->made;
	if (is_uid || s->flags >= 0)
		l->can_sign = s->flags < 0 || s->flags & 2;
	if (is_uid || s->key_life)
		l->primary.key.expires = s->key_life ? l->primary.key.created + s->key_life : 0;
}

/* The subkey must have signed too, or a signer's subkey could be claimed by somebody else's key. */
static int has_back_signature(struct loader *l, const struct sig *binding)
{
	struct sig back;
	return binding->back.p && read_sig(binding->back, &back) == 0 && back.type == 0x19 && l->sub.usable &&
		in_time(&back, &l->sub.key, l->now) && verify_on(l, &back, &l->sub.key, 1);
}

static void sub_signature(struct loader *l, const struct sig *s)
{
	if (s->type == 0x28 && verify_on(l, s, &l->primary.key, 1))
		l->sub_revoked = 1;
	if (s->type != 0x18 || !in_time(s, &l->sub.key, l->now) || s->made < l->sub_best || !verify_on(l, s, &l->primary.key, 1))
		return;
	l->sub_best = s->made;
	l->sub_can_sign = s->flags >= 0 && s->flags & 2 && has_back_signature(l, s);
	l->sub.key.expires = s->key_life ? l->sub.key.created + s->key_life : 0;
}

static int load_packet(struct loader *l, int tag, struct bytes body)
{
	struct sig s;
	switch (tag) {
	case SECRET: case SECRET_SUB:
		return -1;
	case PUBLIC:
		end_primary(l);
		l->at = tag;
		return read_key(body, &l->primary);
	case SUBKEY:
		end_sub(l);
		l->at = tag;
		return l->primary.body.p ? read_key(body, &l->sub) : -1;
	case USER_ID: case ATTRIBUTE:
		l->at = tag == USER_ID && l->primary.body.p ? tag : 0;
		l->uid = body;
		return 0;
	case SIGNATURE:
		/* signatures by others, or of a kind that we do not verify, say nothing to us */
		if (!l->at || !l->primary.usable || read_sig(body, &s) != 0 || (s.has_issuer && !is_issuer(&s, &l->primary.key)))
			return 0;
		if (l->at == SUBKEY)
			sub_signature(l, &s);
		else
			self_signature(l, &s);
	}
	return 0;
}

/* ---- armor ---- */

static unsigned crc24(const unsigned char *p, size_t n)
{
	unsigned crc = 0xb704ce;
	for (; n--; p++) {
		crc ^= *p << 16;
		for (int i = 0; i < 8; i++)
			crc = crc << 1 ^ (crc & 0x800000 ? 0x1864cfb : 0);
	}
	return crc & 0xffffff;
}

/* Cuts the next line off, without its newline and a CR before it; -1 at the end. */
static int next_line(struct slice *rest, struct slice *line)
{
	if (!rest->len)
		return -1;
	const char *nl = memchr(rest->p, '\n', rest->len);
	size_t n = nl ? (size_t)(nl - rest->p) : rest->len, used = n + (nl != NULL);
	*line = (struct slice){rest->p, n && rest->p[n - 1] == '\r' ? n - 1 : n};
	rest->p += used;
	rest->len -= used;
	return 0;
}

static struct slice without_blanks(struct slice s)
{
	while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static int decode(const struct buf *text, const char *crc, struct buf *out)
{
	unsigned char *raw = xalloc(text->len + 1), sum[3];
	long n = sign_base64(raw, text->len, buf_cstr(text), text->len);
	int rc = n <= 0 || (*crc && (sign_base64(sum, 3, crc, 4) != 3 || be(sum, 3) != crc24(raw, n))) ? -1 : buf_add(out, raw, n);
	free(raw);
	return rc;
}

/* The base64 body from behind the BEGIN line to the END line of the same type. 0, or -1. */
static int dearmor(struct slice *rest, const char *type, struct buf *out)
{
	struct slice line;
	struct buf text = {0};
	char last[64], crc[5] = "";
	int rc = -1, in_head = 1;
	str_fmt(last, sizeof last, "-----END PGP %s-----", type);
	while (next_line(rest, &line) == 0) {
		line = without_blanks(line);
		if (in_head) {
			in_head = line.len > 0;
			if (in_head && !memmem(line.p, line.len, ":", 1))
				break;
			continue;
		}
		if (slice_eq(line, last)) {
			rc = decode(&text, crc, out);
			break;
		}
		if (*crc || line.len > 256)
			break;
		if (line.len == 5 && *line.p == '=')
			str_copy_slice(crc, sizeof crc, (struct slice){line.p + 1, 4});
		else if (buf_add(&text, line.p, line.len) < 0)
			break;
	}
	buf_free(&text);
	return rc;
}

static int dearmor_ring(const void *p, size_t len, struct buf *raw)
{
	struct slice rest = {p, len}, line;
	while (next_line(&rest, &line) == 0)	/* gpg takes several in one file, and so does this */
		if (slice_eq(line, "-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
			if (dearmor(&rest, "PUBLIC KEY BLOCK", raw) < 0)
				return -1;
		} else if (without_blanks(line).len) {
			return -1;
		}
	return 0;
}

int pgp_ring(struct pgp_ring *ring, const void *p, size_t len, long long now, struct why *why)
{
	struct loader *l = xalloc(sizeof *l);		/* keys are large */
	struct buf raw = {0};
	struct bytes in = {p, len}, body;
	int rc = 0, tag;
	memset(ring, 0, sizeof *ring);
	if (len && !(*(const unsigned char *)p & 0x80)) {
		rc = dearmor_ring(p, len, &raw);
		in = (struct bytes){(const unsigned char *)buf_cstr(&raw), raw.len};
	}
	l->ring = ring;
	l->now = now;
	while (!rc && (tag = packet(&in, &body)) != 0)
		rc = tag < 0 ? -1 : load_packet(l, tag, body);
	end_primary(l);
	buf_free(&raw);
	free(l);
	if (rc < 0)
		return why_set(why, R_BAD_INDEX, "not an OpenPGP keyring");
	if (!ring->count)
		return why_set(why, R_BAD_INDEX, "no key in it can be used: RSA keys that sign, in their time and not revoked (%d passed over)",
			ring->passed_over);
	return 0;
}

int pgp_tailscale_ring(struct pgp_ring *ring, long long now, struct why *why)
{
	return pgp_ring(ring, pgp_tailscale_key, sizeof pgp_tailscale_key, now, why);
}

/* ---- text with a signature around it ---- */

static int bad_message(struct why *why, const char *what)
{
	return why_set(why, R_BAD_INDEX, "not a signed index: %s", what);
}

static int not_begun(const char *p, size_t len, struct why *why)
{
	char shown[128];
	struct slice rest = {p, len < 80 ? len : 80}, line = {p, 0};
	next_line(&rest, &line);
	bad_message(why, "it does not begin as one");
	return why_hint(why, "it begins: %s", str_escape(shown, sizeof shown, line.p, line.len));
}

/* One line of the text, and its canonical form for the digest: CR LF between lines, blanks at their ends gone. */
static int text_line(struct slice line, struct buf *text, struct buf *canon, struct why *why)
{
	if (line.len > 65536)
		return bad_message(why, "a line that is too long");
	if (memchr(line.p, '\r', line.len))
		return bad_message(why, "a CR inside a line");
	if (line.len && *line.p == '-') {
		if (line.len < 2 || line.p[1] != ' ')
			return bad_message(why, "a line that begins with a dash");
		line.p += 2;
		line.len -= 2;
	}
	line = without_blanks(line);		/* not signed, so not read either */
	if (buf_add(canon, "\r\n", text->len ? 2 : 0) < 0 || buf_add(canon, line.p, line.len) < 0 ||
		buf_add(text, line.p, line.len) < 0 || buf_ch(text, '\n') < 0)
		return bad_message(why, "it is too large");
	return 0;
}

static int split(const char *p, size_t len, struct buf *text, struct buf *canon, struct buf *sigs, struct why *why)
{
	struct slice rest = {p, len}, line;
	int ended;
	if (memchr(p, 0, len))
		return bad_message(why, "it has a NUL byte");
	if (next_line(&rest, &line) < 0 || !slice_eq(line, "-----BEGIN PGP SIGNED MESSAGE-----"))
		return not_begun(p, len, why);
	while (!(ended = next_line(&rest, &line)) && line.len)
		if (line.len < 6 || memcmp(line.p, "Hash: ", 6))
			return bad_message(why, "a header other than Hash");
	while (!ended && !(ended = next_line(&rest, &line)) && !slice_eq(line, "-----BEGIN PGP SIGNATURE-----"))
		if (text_line(line, text, canon, why) < 0)
			return -1;
	if (ended)
		return bad_message(why, "its end is missing");
	if (dearmor(&rest, "SIGNATURE", sigs) < 0)
		return bad_message(why, "its signature block cannot be read");
	while (!next_line(&rest, &line))
		if (line.len)
			return bad_message(why, "something behind the signature");
	return 0;
}

/* 1 good, 0 not by a key of the ring, -1 wrong, or good and of no use. */
static int check_sig(const struct sig *s, const struct buf *canon, const struct pgp_ring *ring, long long now,
	struct pgp_signed *m, struct why *why)
{
	for (int i = 0; i < ring->count; i++) {
		const struct pgp_key *k = &ring->key[i];
		char name[41];
		struct digest d;
		if (s->has_issuer && !is_issuer(s, k))
			continue;
		for (int j = 0; j < 20; j++)
			str_fmt(name + 2 * j, 3, "%02X", k->primary[j]);
		digest_start(&d, s->kind);
		digest_add(&d, buf_cstr(canon), canon->len);
		if (!verify(s, k, &d)) {
			if (!s->has_issuer)
				continue;
			return why_set(why, R_BAD_SIGNATURE, "the signature by %s is not of this text", name);
		}
		if (s->made > now + FUTURE_S)
			return why_set(why, R_CLOCK, "the index was signed in the future: this machine's clock is wrong");
		if (!in_time(s, k, now) || (k->expires && s->made >= k->expires))
			return why_set(why, R_BAD_SIGNATURE, "the signature by %s has expired, or says what we do not understand", name);
		if (!*m->signer) {
			memcpy(m->signer, name, sizeof name);
			m->made = s->made;
		}
		return 1;
	}
	return 0;
}

static int check_all(struct bytes in, const struct buf *canon, const struct pgp_ring *ring, long long now,
	struct pgp_signed *m, struct why *why)
{
	struct bytes body;
	struct sig s;
	int tag, good = 0;
	for (int n = 0; (tag = packet(&in, &body)) != 0; n++) {
		int kind = tag == SIGNATURE ? read_sig(body, &s) : -1;
		if (tag < 0 || kind < 0 || n == 32)
			return bad_message(why, "its signature block cannot be read");
		if (!kind && s.type != 0x01)
			return bad_message(why, "a signature of another type");
		int is = kind ? 0 : check_sig(&s, canon, ring, now, m, why);
		if (is < 0)
			return -1;
		good += is;
		m->others += !is;
	}
	return good ? 0 : why_set(why, R_UNKNOWN_SIGNER, "none of its %d signatures is by a key that is trusted here", m->others);
}

int pgp_clearsigned(const char *p, size_t len, const struct pgp_ring *ring, long long now, struct pgp_signed *m, struct why *why)
{
	struct buf canon = {0}, sigs = {0};
	memset(m, 0, sizeof *m);
	int rc = split(p, len, &m->text, &canon, &sigs, why);
	if (!rc)
		rc = check_all((struct bytes){(const unsigned char *)buf_cstr(&sigs), sigs.len}, &canon, ring, now, m, why);
	buf_free(&canon);
	buf_free(&sigs);
	if (rc)
		buf_clear(&m->text);
	return rc;
}
