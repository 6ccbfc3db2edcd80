/* localapi - tailscaled's own interface */
#include "localapi.h"
#include "alloc.h"
#include "clock.h"
#include "http.h"
#include "json.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BASE "http://local-tailscaled.sock/localapi/v0/"

static const char *const state_words[] = {
	"NoState", "InUseOtherUser", "NeedsLogin", "NeedsMachineAuth", "Stopped", "Starting", "Running",
};

enum node_state node_state_of(const char *word)
{
	for (int i = 0; i < NODE_UNKNOWN; i++)
		if (str_eq(word, state_words[i]))
			return i;
	return NODE_UNKNOWN;
}

const char *node_state_word(enum node_state s)
{
	return s >= NODE_NO_STATE && s < NODE_UNKNOWN ? state_words[s] : "?";
}

/* ---- requests ---- */

static struct http_req request(const struct localapi *api, const char *method, const char *url, long long deadline)
{
	return (struct http_req){
		.method = method, .url = url, .socket = api->path, .dir = api->dir, .who = api->who,
		.deadline = deadline, .flags = HTTP_NO_PROXY,
	};
}

/* tailscaled says what is wrong as text, as {"error": ...} or as {"Error": ...}. */
static void error_text(const struct buf *body, char *dst, size_t size)
{
	struct json j;
	struct why ignored;
	*dst = 0;
	if (body->len && *body->p == '{' && json_parse(&j, body->p, body->len, &ignored) == 0) {
		if (json_text(&j, 0, "error", dst, size) < 0)
			json_text(&j, 0, "Error", dst, size);
		json_free(&j);
	}
	if (!*dst)
		str_copy_slice(dst, size, (struct slice){buf_cstr(body), body->len});
	for (size_t n = strlen(dst); n && (dst[n - 1] == '\n' || dst[n - 1] == ' '); )
		dst[--n] = 0;
}

static int refused(const struct http_res *res, const char *what, struct why *why)
{
	char text[400];
	error_text(&res->body, text, sizeof text);
	if (res->status == 403 || res->status == 401) {
		why_set(why, R_API_DENIED, "%s: tailscaled refuses: %s", what, text);
		return why_hint(why, "run it as the user that started tailscaled, or: sudo tailscale set --operator=$USER");
	}
	if (res->status == 412)
		return why_set(why, R_BUSY, "%s: somebody else changed it meanwhile", what);
	return why_set(why, R_API_ERROR, "%s: tailscaled answers %d: %s", what, res->status, *text ? text : "nothing more");
}

static int no_answer(const struct http_res *res, const char *what, struct why *why)
{
	char msg[300];
	str_copy(msg, sizeof msg, why->msg);
	switch (res->fault) {
	case HTTP_SOCKET:
		return -1;
	case HTTP_TIMEOUT:
		return why_set(why, R_TAILSCALED_HUNG, "%s: tailscaled does not answer", what);
	case HTTP_TOO_BIG:
		return why_set(why, R_TOO_BIG, "%s: %s", what, msg);
	default:
		return why_set(why, R_LOST, "%s: tailscaled ended the connection", what);
	}
}

/* One call with a short answer. 0 for a 2xx; the body goes to out when it is given. */
static int call(const struct localapi *api, const char *method, const char *name, const char *body, size_t len,
	const char *const *headers, struct buf *out, struct http_res *keep, long long deadline, struct why *why)
{
	char url[256];
	struct http_res res = {0};
	str_fmt(url, sizeof url, BASE "%s", name);
	struct http_req req = request(api, method, url, deadline);
	req.body = body;
	req.body_len = len;
	req.headers = headers;
	int rc = http_do(&req, &res, why);
	if (rc < 0)
		no_answer(&res, name, why);
	else if (res.status / 100 != 2)
		rc = refused(&res, name, why);
	else if (out)
		rc = buf_add(out, buf_cstr(&res.body), res.body.len);
	if (keep)
		*keep = res;
	else
		http_res_free(&res);
	return rc;
}

int localapi_get(const struct localapi *api, const char *what, struct buf *out, long long deadline, struct why *why)
{
	return call(api, "GET", what, NULL, 0, NULL, out, NULL, deadline, why);
}

int localapi_stream(const struct localapi *api, const char *what, struct http_stream **stream, long long deadline, struct why *why)
{
	char url[256];
	struct http_res res = {0};
	str_fmt(url, sizeof url, BASE "%s", what);
	struct http_req req = request(api, "GET", url, deadline);
	int rc = http_stream_open(stream, &req, &res, why);
	if (rc < 0 && res.status)
		refused(&res, what, why);
	else if (rc < 0)
		no_answer(&res, what, why);
	http_res_free(&res);
	return rc;
}

int localapi_login(const struct localapi *api, long long deadline, struct why *why)
{
	return call(api, "POST", "login-interactive", "", 0, NULL, NULL, NULL, deadline, why);
}

int localapi_logout(const struct localapi *api, long long deadline, struct why *why)
{
	return call(api, "POST", "logout", "", 0, NULL, NULL, NULL, deadline, why);
}

int localapi_patch(const struct localapi *api, const char *json, long long deadline, struct why *why)
{
	return call(api, "PATCH", "prefs", json, strlen(json), NULL, NULL, NULL, deadline, why);
}

/* AllowSingleHosts is wanted by old daemons only, and ignored by new ones; the others would become Go's zero values if left out. */
static void write_prefs(struct buf *b, const struct prefs *p)
{
	json_w_obj(b, "UpdatePrefs");
	json_w_str(b, "ControlURL", p->control);
	json_w_bool(b, "RouteAll", p->accept_routes);
	json_w_bool(b, "AllowSingleHosts", 1);
	json_w_bool(b, "CorpDNS", 1);
	json_w_bool(b, "RunSSH", p->ssh);
	json_w_bool(b, "WantRunning", 1);
	json_w_bool(b, "LoggedOut", 0);
	json_w_bool(b, "ShieldsUp", p->shields_up);
	json_w_str(b, "Hostname", p->hostname);
	json_w_arr(b, "AdvertiseTags");
	for (int i = 0; p->tags && p->tags[i]; i++)
		json_w_str(b, NULL, p->tags[i]);
	json_w_end(b, ']');
	json_w_bool(b, "NoStatefulFiltering", 1);
	json_w_num(b, "NetfilterMode", 2);
	json_w_raw(b, "AutoUpdate", "{\"Check\":false,\"Apply\":null}", 28);
	json_w_end(b, '}');
}

int localapi_start(const struct localapi *api, const char *key, const struct prefs *p, long long deadline, struct why *why)
{
	struct buf b = {0};
	buf_str(&b, "");
	b.p = xrealloc(b.p, b.cap = 32768);	/* at once, so that no copy of the key is left behind by growing */
	json_w_obj(&b, NULL);
	write_prefs(&b, p);
	if (key)
		json_w_str(&b, "AuthKey", key);
	json_w_end(&b, '}');
	int rc = call(api, "POST", "start", b.p, b.len, NULL, NULL, NULL, deadline, why);
	buf_wipe(&b);
	return rc;
}

int localapi_serve_get(const struct localapi *api, struct buf *out, char etag[static 80], long long deadline, struct why *why)
{
	struct http_res res = {0};
	int rc = call(api, "GET", "serve-config", NULL, 0, NULL, out, &res, deadline, why);
	const char *tag = rc < 0 ? NULL : http_header(&res, "ETag");
	if (str_copy(etag, 80, tag ? tag : "") < 0)
		*etag = 0;
	http_res_free(&res);
	return rc;
}

int localapi_serve_put(const struct localapi *api, const char *json, const char *etag, long long deadline, struct why *why)
{
	char match[100];
	const char *const headers[] = {match, NULL};
	str_fmt(match, sizeof match, "If-Match: %s", etag ? etag : "");
	return call(api, "POST", "serve-config", json, strlen(json), etag && *etag ? headers : NULL, NULL, NULL, deadline, why);
}

static int no_cert(const struct http_res *res, const char *name, struct why *why)
{
	char text[300];
	long long wait = http_retry_after(res);
	error_text(&res->body, text, sizeof text);
	if (res->status == 403)
		return refused(res, "cert", why);
	if (res->status == 429 && wait >= 0)
		return why_set(why, R_RATE_LIMITED, "no certificate for %s: too many were asked for; again in %lld s", name, (wait + 999) / 1000);
	if (res->status == 429)
		return why_set(why, R_RATE_LIMITED, "no certificate for %s: %s", name, *text ? text : "too many were asked for");
	if (res->status == 404)
		return why_set(why, R_NO_CERT, "no certificate for %s: this tailscaled was built without certificates", name);
	if (strstr(text, "does not support getting TLS certs"))
		return why_set(why, R_HTTPS_OFF, "no certificate for %s: the tailnet gives none", name);
	return why_set(why, R_NO_CERT, "no certificate for %s: %s", name, *text ? text : "tailscaled does not say why");
}

int localapi_cert(const struct localapi *api, const char *name, long long deadline, struct why *why)
{
	char url[400];
	struct http_res res = {0};
	str_fmt(url, sizeof url, BASE "cert/%s?type=cert", name);
	struct http_req req = request(api, "GET", url, deadline);
	req.flags |= HTTP_FRESH;
	int rc = http_do(&req, &res, why);
	if (rc < 0 && res.fault == HTTP_TIMEOUT)
		why_set(why, R_NO_CERT, "no certificate for %s yet", name);
	else if (rc < 0)
		no_answer(&res, "cert", why);
	else if (res.status != 200)
		rc = no_cert(&res, name, why);
	http_res_free(&res);
	return rc;
}

int localapi_derp_ports(const struct localapi *api, int *ports, int max, long long deadline, struct why *why)
{
	struct buf b = {0};
	struct json j;
	int n = 0;
	if (localapi_get(api, "derpmap", &b, deadline, why) < 0 || json_parse(&j, buf_cstr(&b), b.len, why) < 0) {
		buf_free(&b);
		return -1;
	}
	for (struct json_iter r = json_each(&j, json_get(&j, 0, "Regions")); json_next(&r); )
		for (struct json_iter d = json_each(&j, json_get(&j, r.value, "Nodes")); json_next(&d); ) {
			long long port = 0;
			int known = 0;
			json_num(&j, json_get(&j, d.value, "DERPPort"), &port);
			if (json_is_true(&j, d.value, "STUNOnly") || port < 0 || port > 65535)
				continue;
			if (!port)
				port = 443;
			for (int i = 0; i < n; i++)
				known |= ports[i] == port;
			if (!known && n < max)
				ports[n++] = port;
		}
	json_free(&j);
	buf_free(&b);
	return n;
}

/* ---- status ---- */

#define SIGN "tailscale lock sign "

int localapi_tells_lock(const char *health)
{
	return strstr(health, "this node is locked out") != NULL;	/* health/healthmsg */
}

static void addresses(const struct json *j, int list, char ip4[static 48], char ip6[static 48])
{
	*ip4 = *ip6 = 0;
	for (struct json_iter i = json_each(j, list); json_next(&i); ) {
		char ip[48];
		if (json_str(j, i.value, ip, sizeof ip) <= 0)
			continue;
		char *dst = strchr(ip, ':') ? ip6 : ip4;
		if (!*dst)
			str_copy(dst, 48, ip);
	}
}

/* Texts of a list, joined; what does not fit is left out. */
static void join_texts(const struct json *j, int list, const char *sep, char *dst, size_t size)
{
	size_t n = 0;
	*dst = 0;
	for (struct json_iter i = json_each(j, list); json_next(&i); ) {
		char text[512];
		if (json_str(j, i.value, text, sizeof text) <= 0)
			continue;
		int w = snprintf(dst + n, size - n, "%s%s", n ? sep : "", text);
		if (w < 0 || (size_t)w >= size - n) {
			dst[n] = 0;
			break;
		}
		n += w;
	}
}

static long long moment(const struct json *j, int obj, const char *key)
{
	char stamp[64];
	long long t;
	json_text(j, obj, key, stamp, sizeof stamp);
	return *stamp && clock_parse(stamp, &t) == 0 && t > 0 ? t : 0;
}

static void fill_status(const struct json *j, struct node_status *s)
{
	char word[32], node_key[96];
	int self = json_get(j, 0, "Self"), net = json_get(j, 0, "CurrentTailnet"), caps = json_get(j, self, "CapMap");
	json_text(j, 0, "BackendState", word, sizeof word);
	s->state = node_state_of(word);
	json_text(j, 0, "Version", s->version, sizeof s->version);
	s->tun = json_is_true(j, 0, "TUN");
	s->has_key = json_is_true(j, 0, "HaveNodeKey");
	json_text(j, 0, "AuthURL", s->auth_url, sizeof s->auth_url);
	addresses(j, json_get(j, 0, "TailscaleIPs"), s->ip4, s->ip6);
	s->online = json_is_true(j, self, "Online");
	json_text(j, self, "ID", s->id, sizeof s->id);
	json_text(j, self, "HostName", s->hostname, sizeof s->hostname);
	json_text(j, self, "DNSName", s->dns_name, sizeof s->dns_name);
	str_undot(s->dns_name);
	s->has_netmap = net >= 0;
	json_text(j, net, "Name", s->tailnet, sizeof s->tailnet);
	json_text(j, net, "MagicDNSSuffix", s->suffix, sizeof s->suffix);
	s->magicdns = json_is_true(j, net, "MagicDNSEnabled");
	s->can_https = json_find(j, caps, "https") >= 0 && json_count(j, json_get(j, 0, "CertDomains")) > 0;
	s->can_ssh = json_find(j, caps, "https://tailscale.com/cap/ssh") >= 0;
	join_texts(j, json_get(j, self, "Tags"), ",", s->tags, sizeof s->tags);
	s->key_expiry = moment(j, self, "KeyExpiry");
	join_texts(j, json_get(j, 0, "Health"), "; ", s->health, sizeof s->health);
	s->locked_out = localapi_tells_lock(s->health);
	json_text(j, self, "PublicKey", node_key, sizeof node_key);
	if (s->locked_out)
		str_fmt(s->sign, sizeof s->sign, SIGN "%s", node_key);
}

int localapi_read_status(const char *p, size_t len, struct node_status *s, struct why *why)
{
	struct json j;
	memset(s, 0, sizeof *s);
	if (json_parse(&j, p, len, why) < 0)
		return -1;
	fill_status(&j, s);
	json_free(&j);
	return 0;
}

/* One more key in the command lets the signature live on when the node key is renewed: {"PublicKey":"nlpub:..."}. */
static void add_rotation(const struct localapi *api, struct node_status *s, long long deadline)
{
	struct buf b = {0};
	struct why ignored;
	struct json_want want = {.key = "PublicKey"};
	char key[96];
	if (localapi_get(api, "tka/status", &b, deadline, &ignored) == 0 && json_top(buf_cstr(&b), b.len, &want, 1) == 0) {
		json_alone(want.value, key, sizeof key);
		size_t n = strlen(s->sign);
		if (str_starts(key, "nlpub:") && n + strlen(key) < sizeof s->sign)
			str_fmt(s->sign + n, sizeof s->sign - n, " tlpub:%s", key + 6);
	}
	buf_free(&b);
}

int localapi_status(const struct localapi *api, struct node_status *s, long long deadline, struct why *why)
{
	struct buf b = {0};
	int rc = localapi_get(api, "status?peers=false", &b, deadline, why);
	if (!rc)
		rc = localapi_read_status(buf_cstr(&b), b.len, s, why);
	buf_free(&b);
	if (!rc && s->locked_out)
		add_rotation(api, s, deadline);
	return rc;
}

void localapi_status_many(const struct localapi *const *api, struct node_status *const *st, struct why *const *why,
	int *answered, int n, long long deadline)
{
	struct http_req *req = xalloc((n + 1) * sizeof *req);
	struct http_res *res = xalloc((n + 1) * sizeof *res);
	struct why *whys = xalloc((n + 1) * sizeof *whys);
	for (int i = 0; i < n; i++) {
		req[i] = request(api[i], "GET", BASE "status?peers=false", deadline);
		req[i].max = 1 << 20;
		req[i].flags |= HTTP_FRESH;
	}
	http_do_many(req, res, whys, n, deadline);
	for (int i = 0; i < n; i++) {
		*why[i] = whys[i];
		answered[i] = res[i].fault == HTTP_FINE && res[i].status == 200
			&& localapi_read_status(buf_cstr(&res[i].body), res[i].body.len, st[i], why[i]) == 0;
		http_res_free(&res[i]);
	}
	free(req);
	free(res);
	free(whys);
}

static void set_name(struct peer *peer, const char *suffix)
{
	str_undot(peer->dns_name);
	str_copy(peer->name, sizeof peer->name, peer->dns_name);
	size_t n = strlen(peer->dns_name), m = strlen(suffix);
	if (m && n > m + 1 && str_ends(peer->dns_name, suffix) && peer->dns_name[n - m - 1] == '.')
		peer->name[n - m - 1] = 0;
}

int localapi_read_peer(const char *p, size_t len, const char *suffix, struct peer *peer, struct why *why)
{
	struct json j;
	memset(peer, 0, sizeof *peer);
	if (json_parse(&j, p, len, why) < 0)
		return -1;
	json_text(&j, 0, "ID", peer->id, sizeof peer->id);
	json_text(&j, 0, "HostName", peer->hostname, sizeof peer->hostname);
	json_text(&j, 0, "DNSName", peer->dns_name, sizeof peer->dns_name);
	set_name(peer, suffix);
	addresses(&j, json_get(&j, 0, "TailscaleIPs"), peer->ip4, peer->ip6);
	json_text(&j, 0, "OS", peer->os, sizeof peer->os);
	json_text(&j, 0, "Relay", peer->relay, sizeof peer->relay);
	json_text(&j, 0, "CurAddr", peer->addr, sizeof peer->addr);
	join_texts(&j, json_get(&j, 0, "Tags"), ",", peer->tags, sizeof peer->tags);
	join_texts(&j, json_get(&j, 0, "PrimaryRoutes"), ",", peer->routes, sizeof peer->routes);
	peer->online = json_is_true(&j, 0, "Online");
	peer->active = json_is_true(&j, 0, "Active");
	peer->exit_node = json_is_true(&j, 0, "ExitNodeOption");
	peer->shared_in = json_is_true(&j, 0, "ShareeNode");
	peer->last_seen = moment(&j, 0, "LastSeen");
	json_free(&j);
	return 0;
}

/* The status of a large tailnet is megabytes: its peers are read one by one as the bytes come. What is told of this
 * node comes before them (a Go struct is written in its order), so one call does for both. */
enum { HEAD_MAX = 1 << 20 };

struct peer_scan {
	struct json_scan scan;
	struct buf head;		/* until "Peer" is reached, then empty */
	int has_head;
	struct node_status *st;
	int (*fn)(const struct peer *, void *);
	void *ctx;
	struct why *why;
};

static int scan_peer(void *ctx, struct slice name, const char *p, size_t len)
{
	struct peer_scan *s = ctx;
	struct peer peer;
	struct why ignored;
	(void)name;
	if (localapi_read_peer(p, len, s->st->suffix, &peer, &ignored) < 0 || peer.shared_in)
		return 0;
	return s->fn(&peer, s->ctx);
}

/* Where the top-level key "Peer" begins; NULL when it is not there yet. */
static char *find_peers(const struct buf *b)
{
	static const char key[] = "\"Peer\"";
	int depth = 0;
	for (char *p = b->p, *end = b->p + b->len; p < end; p++) {
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		if (*p != '"')
			continue;
		if (depth == 1 && end - p > (int)sizeof key - 1 && !memcmp(p, key, sizeof key - 1) && p[sizeof key - 1] == ':')
			return p;
		for (p++; p < end && *p != '"'; p++)
			p += *p == '\\';
	}
	return NULL;
}

/* The text up to "Peer" makes a whole document by taking the comma off and closing it. */
static int scan_head(struct peer_scan *s, const char *p, size_t len)
{
	if (buf_add(&s->head, p, len) < 0)
		return why_set(s->why, R_TOO_BIG, "status: more than 1 MiB about this node alone");
	char *at = find_peers(&s->head);
	if (!at)
		return 0;
	while (at > s->head.p && at[-1] != ',' && at[-1] != '{')
		at--;
	s->head.len = at - s->head.p - (at > s->head.p && at[-1] == ',');
	s->has_head = 1;
	int rc = buf_ch(&s->head, '}') < 0 ? -1 : localapi_read_status(s->head.p, s->head.len, s->st, s->why);
	buf_free(&s->head);
	return rc;
}

static int feed_scan(void *ctx, const char *p, size_t len)
{
	struct peer_scan *s = ctx;
	if (!s->has_head && scan_head(s, p, len) < 0)
		return -1;
	return json_scan_feed(&s->scan, p, len, s->why);
}

/* The document without "Peer" in it: all of it is still in head. */
static int end_scan(struct peer_scan *s, struct why *why)
{
	if (json_scan_end(&s->scan, why) < 0)
		return -1;
	return s->has_head ? 0 : localapi_read_status(buf_cstr(&s->head), s->head.len, s->st, why);
}

struct peer_scan *localapi_scan_new(struct node_status *st, int (*fn)(const struct peer *, void *), void *ctx)
{
	struct peer_scan *s = xalloc(sizeof *s);
	memset(st, 0, sizeof *st);
	*s = (struct peer_scan){.scan = {.key = "Peer", .fn = scan_peer, .ctx = s}, .head.max = HEAD_MAX, .st = st, .fn = fn, .ctx = ctx};
	return s;
}

int localapi_scan_feed(struct peer_scan *s, const char *p, size_t len, struct why *why)
{
	s->why = why;
	return feed_scan(s, p, len);
}

int localapi_scan_end(struct peer_scan *s, struct why *why)
{
	s->why = why;
	return end_scan(s, why);
}

void localapi_scan_free(struct peer_scan *s)
{
	json_scan_free(&s->scan);
	buf_free(&s->head);
	free(s);
}

int localapi_peers(const struct localapi *api, struct node_status *st, int (*fn)(const struct peer *, void *), void *ctx,
	long long deadline, struct why *why)
{
	struct why scan_why = {0};
	struct peer_scan s = {
		.scan = {.key = "Peer", .fn = scan_peer}, .head.max = HEAD_MAX, .st = st, .fn = fn, .ctx = ctx, .why = &scan_why,
	};
	s.scan.ctx = &s;
	struct http_res res = {0};
	struct http_req req = request(api, "GET", BASE "status", deadline);
	req.sink = feed_scan;
	req.ctx = &s;
	int rc = http_do(&req, &res, why), stopped = rc < 0 && res.fault == HTTP_STOPPED && !scan_why.reason;
	if (stopped)
		rc = 0;		/* fn has seen enough */
	else if (rc < 0 && scan_why.reason)
		*why = scan_why;
	else if (rc < 0)
		no_answer(&res, "status", why);
	else if (res.status / 100 != 2)
		rc = refused(&res, "status", why);
	else
		rc = end_scan(&s, why);
	json_scan_free(&s.scan);
	buf_free(&s.head);
	http_res_free(&res);
	return rc;
}

int localapi_unsigned(const struct localapi *api, const char *suffix, int (*fn)(const struct peer *, const char *, void *), void *ctx,
	long long deadline, struct why *why)
{
	struct buf b = {0};
	struct json j;
	struct json_want want = {.key = "FilteredPeers"};
	int rc = localapi_get(api, "tka/status", &b, deadline, why), done = 0;
	if (!rc && json_top(buf_cstr(&b), b.len, &want, 1) == 0 && want.value.p
		&& (rc = json_parse(&j, want.value.p, want.value.len, why)) == 0) {
		for (struct json_iter i = json_each(&j, 0); !done && json_next(&i); ) {
			struct peer peer = {0};
			char key[96], sign[128];
			json_text(&j, i.value, "Name", peer.dns_name, sizeof peer.dns_name);
			set_name(&peer, suffix);
			addresses(&j, json_get(&j, i.value, "TailscaleIPs"), peer.ip4, peer.ip6);
			json_text(&j, i.value, "NodeKey", key, sizeof key);
			str_fmt(sign, sizeof sign, SIGN "%s", key);
			done = fn(&peer, sign, ctx);
		}
		json_free(&j);
	}
	buf_free(&b);
	return rc;
}

/* ---- dial ---- */

int localapi_dial(const struct localapi *api, const char *host, int port, struct dial_answer *early, int *half_close,
	long long deadline, struct why *why)
{
	*half_close = 0;
	int fd = dial_unix(api->dir, api->path, &api->who, deadline, why);
	if (fd < 0)
		return -1;
	if (dial_tailnet(fd, host, port, deadline, early, why) < 0) {
		close(fd);
		return -1;
	}
	if (!early->self)
		return fd;
	close(fd);
	char *to;
	int to_port;
	if (str_host_port(early->addr, &to, &to_port) < 0)
		return why_set(why, R_API_ERROR, "dial: tailscaled gives an address that is none");
	*half_close = 1;
	early->early_len = 0;
	return dial_tcp(to, to_port, deadline, why);
}
