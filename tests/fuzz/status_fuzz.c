/* status_fuzz - tailscaled's status, a peer, the bus, and a status as a stream: none may break anything, and what is
 * read must fit and be what a search can use */
#include "../../lib/tailnet/localapi.c"
#include "bus.h"
#include "peers.h"

static void ended(const char *s, size_t size)
{
	if (!memchr(s, 0, size))
		abort();
}

static int each(const struct peer *p, void *ctx)
{
	struct peers_search *s = ctx;
	ended(p->name, sizeof p->name);
	ended(p->routes, sizeof p->routes);
	ended(p->tags, sizeof p->tags);
	return peers_look(s, p, 0);
}

/* The same bytes in steps, as they come from the socket. */
static void stream(const char *text, size_t len, size_t step)
{
	struct node_status st = {0};
	struct why why = {0}, end = {0};
	struct peers_search search;
	peers_begin(&search, "10.1.2.3", "x", &why);
	struct peer_scan s = {
		.scan = {.key = "Peer", .fn = scan_peer}, .head.max = HEAD_MAX, .st = &st, .fn = each, .ctx = &search, .why = &why,
	};
	s.scan.ctx = &s;
	int rc = 0;
	for (size_t at = 0; at < len && !rc; at += step)
		rc = feed_scan(&s, text + at, len - at < step ? len - at : step);
	if (!rc)
		end_scan(&s, &end);
	json_scan_free(&s.scan);
	buf_free(&s.head);
	ended(st.suffix, sizeof st.suffix);
	peers_end(&search, &end);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	struct node_status st;
	struct peer p;
	struct bus_event e;
	struct why why = {0};
	const char *text = (const char *)data;
	if (localapi_read_status(text, len, &st, &why) == 0)
		ended(st.health, sizeof st.health);
	if (localapi_read_peer(text, len, "x.ts.net", &p, &why) == 0)
		ended(p.dns_name, sizeof p.dns_name);
	if (bus_read(text, len, &e) == 0) {
		ended(e.err, sizeof e.err);
		ended(e.health, sizeof e.health);
	}
	stream(text, len, len ? len : 1);
	stream(text, len, 1 + len / 7);
	return 0;
}
