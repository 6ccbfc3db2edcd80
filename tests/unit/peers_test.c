/* peers_test - hosts by what a user types, routes, near names; status and bus as tailscaled tells them */
#include "bus.h"
#include "localapi.h"
#include "near.h"
#include "peers.h"
#include "str.h"
#include <stdio.h>
#include <string.h>

static int number, bad;

static void ok(int good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++number, what);
	fflush(stdout);
	bad += !good;
}

static struct peer peers[] = {
	{.hostname = "db", .dns_name = "db.x.ts.net", .name = "db", .ip4 = "100.64.0.2", .ip6 = "fd7a:115c:a1e0::2"},
	{.hostname = "db2", .dns_name = "db2.x.ts.net", .name = "db2", .ip4 = "100.64.0.3"},
	{.hostname = "gate", .dns_name = "gate.x.ts.net", .name = "gate", .ip4 = "100.64.0.4",
		.routes = "10.0.0.0/8,192.168.1.128/25,0.0.0.0/0,fd00:1::/32,rubbish,10.1.0.0/33,10.9.9.9"},
	{.hostname = "gate2", .dns_name = "gate2.x.ts.net", .name = "gate2", .ip4 = "100.64.0.5", .routes = "10.1.0.0/16"},
	{.hostname = "six", .dns_name = "six.x.ts.net", .name = "six", .ip6 = "fd7a:115c:a1e0::6"},
	{.hostname = "shared", .dns_name = "db.other.ts.net", .name = "db.other.ts.net", .ip4 = "100.64.0.7"},
	{.hostname = "nodns", .ip4 = "100.64.0.8"},
	{.hostname = "new", .dns_name = "new.x.ts.net", .name = "new"},
};
static struct peer self = {.dns_name = "me.x.ts.net", .name = "me", .ip4 = "100.64.0.1"};
enum { PEERS = sizeof peers / sizeof *peers };

static struct peers_search s;
static struct why why;

static int find(const char *name)
{
	why = (struct why){0};
	if (peers_begin(&s, name, "x.ts.net", &why) < 0)
		return -1;
	int done = peers_look(&s, &self, 1);
	for (int i = 0; i < PEERS && !done; i++)
		done = peers_look(&s, &peers[i], 0);
	return peers_end(&s, &why);
}

static int leads(const char *name, const char *dial)
{
	return find(name) == 0 && str_eq(s.host.dial, dial);
}

static int unknown(const char *name)
{
	return find(name) < 0 && why.reason == R_UNKNOWN_NAME;
}

static void names(void)
{
	char long_name[400];
	ok(leads("db", "100.64.0.2") && !s.host.is_self && !s.host.is_routed, "a short name");
	ok(leads("DB", "100.64.0.2"), "in any case");
	ok(leads("db.x.ts.net", "100.64.0.2"), "a whole name");
	ok(leads("Db.X.ts.net.", "100.64.0.2"), "with its dot");
	ok(leads("me", "100.64.0.1") && s.host.is_self, "this node");
	ok(leads("db.other.ts.net", "100.64.0.7"), "a node of another tailnet by its whole name");
	ok(leads("six", "fd7a:115c:a1e0::6"), "a node with IPv6 alone");
	ok(leads("nodns", "100.64.0.8"), "a node without a name by its host name");
	ok(unknown("db.x"), "half a whole name is none");
	ok(unknown("d"), "the beginning of a name is none");
	ok(unknown("") && unknown("."), "an empty name is none");
	ok(unknown("a b") && unknown("a\nb") && unknown("a\x7f"), "blanks and control bytes are in no name");
	memset(long_name, 'a', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = 0;
	ok(unknown(long_name), "a name of 399 letters");
	ok(find("new") < 0 && why.reason == R_NO_PATH, "a node that has no address yet");
}

static void addresses(void)
{
	ok(leads("100.64.0.3", "100.64.0.3") && str_eq(s.host.peer.name, "db2"), "by IPv4");
	ok(leads("fd7a:115c:a1e0:0::2", "fd7a:115c:a1e0::2") && str_eq(s.host.peer.name, "db"), "by IPv6, however written");
	ok(leads("[fd7a:115c:a1e0::2]", "fd7a:115c:a1e0::2"), "in brackets");
	ok(leads("10.200.3.4", "10.200.3.4") && s.host.is_routed && str_eq(s.host.peer.name, "gate"), "behind a router");
	ok(leads("10.1.2.3", "10.1.2.3") && str_eq(s.host.peer.name, "gate2"), "the longest prefix wins");
	ok(leads("192.168.1.128", "192.168.1.128") && unknown("192.168.1.127"), "prefixes that end inside a byte");
	ok(leads("fd00:1:ffff::1", "fd00:1:ffff::1") && unknown("fd00:2::1"), "IPv6 routes");
	ok(unknown("8.8.8.8"), "an exit node's route leads nowhere");
	ok(unknown("100.100.100.100"), "tailscaled's own address is no node");
	ok(unknown("10.1.2.300") && unknown("010.1.2.3"), "what only looks like an address");
	peers[0].routes[0] = 0;
	str_copy(peers[0].routes, sizeof peers[0].routes, "100.64.0.0/10");
	ok(leads("100.64.0.3", "100.64.0.3") && !s.host.is_routed, "a node's own address before any route");
	peers[0].routes[0] = 0;
}

static void near_names(void)
{
	struct near n;
	char text[256];
	ok(unknown("dbb") && strstr(why.hint, "db, db2?"), "near names, nearest first");
	ok(unknown("gaet") && strstr(why.hint, "gate"), "two letters changed places");
	ok(unknown("zzzzzz") && !strstr(why.hint, "mean"), "nothing near");
	ok(unknown("db.x.ts.nte") && strstr(why.hint, "db.x.ts.net"), "near a whole name");
	near_start(&n, "web");
	const char *const all[] = {"we\x1b", "-web", "web 1", "web1", "web1", "web-2", "xeb", "wib", "wab", "WEB9", NULL};
	for (int i = 0; all[i]; i++)
		near_add(&n, all[i]);
	ok(str_eq(near_text(&n, text, sizeof text), "wab, web1, web9"), "three at most, plain names, each once, in order");
}

static void ours(void)
{
	ok(peers_is_ours("db.x.ts.net", "x.ts.net") && peers_is_ours("DB.X.TS.NET.", "x.ts.net"), "a name of this tailnet");
	ok(!peers_is_ours("db", "x.ts.net") && !peers_is_ours("x.ts.net", "x.ts.net"), "a short one may be anything");
	ok(!peers_is_ours("dbx.ts.net", "x.ts.net") && !peers_is_ours("db.x.ts.net", ""), "so may one of another");
	ok(peers_is_ours("100.64.0.9", "") && peers_is_ours("100.127.255.255", "") && !peers_is_ours("100.128.0.1", ""),
		"Tailscale's IPv4 range");
	ok(peers_is_ours("fd7a:115c:a1e0:ffff::1", "") && !peers_is_ours("fd7a:115c:a1e1::1", ""), "and IPv6 range");
}

static void texts(void)
{
	static const char status[] = "{\"BackendState\":\"Running\",\"TUN\":false,\"TailscaleIPs\":[\"100.64.0.1\",\"fd7a::1\"],"
		"\"Self\":{\"DNSName\":\"a.x.ts.net.\",\"CapMap\":{\"https\":null},\"KeyExpiry\":\"2027-01-01T00:00:00Z\"},"
		"\"CertDomains\":[\"a.x.ts.net\"],\"CurrentTailnet\":{\"MagicDNSSuffix\":\"x.ts.net\"},\"Health\":[\"one\",\"two\"]}";
	static const char peer[] = "{\"DNSName\":\"b.x.ts.net.\",\"TailscaleIPs\":[\"100.64.0.2\"],\"PrimaryRoutes\":[\"10.0.0.0/8\"],"
		"\"Online\":true,\"CurAddr\":\"192.0.2.1:1\"}";
	struct node_status st;
	struct peer p;
	struct bus_event e;
	ok(!localapi_read_status(status, sizeof status - 1, &st, &why) && st.state == NODE_RUNNING && st.can_https
		&& str_eq(st.dns_name, "a.x.ts.net") && str_eq(st.health, "one; two") && st.key_expiry == 1798761600, "a status");
	ok(!localapi_read_peer(peer, sizeof peer - 1, "x.ts.net", &p, &why) && str_eq(p.name, "b") && p.online
		&& str_eq(p.routes, "10.0.0.0/8"), "a peer");
	ok(!localapi_read_peer(peer, sizeof peer - 1, "y.ts.net", &p, &why) && str_eq(p.name, "b.x.ts.net"), "one of another tailnet");
	ok(localapi_read_status("{\"Self\":", 8, &st, &why) < 0, "half a status");
	for (size_t n = 0; n < sizeof status - 1; n++)
		if (localapi_read_status(status, n, &st, &why) == 0)
			bad++;
	ok(!bad, "cut anywhere it is none");
	ok(!bus_read("{\"State\":6,\"ErrMessage\":null}", 29, &e) && e.state == NODE_RUNNING && !*e.err, "an event");
	ok(bus_read("[1]", 3, &e) < 0, "no event");
}

int main(void)
{
	names();
	addresses();
	near_names();
	ours();
	texts();
	printf("1..%d\n", number);
	return bad ? 1 : 0;
}
