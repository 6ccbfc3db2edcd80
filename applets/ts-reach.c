/* ts-reach - say what this box can reach, what blocks it and where, and what to ask for
 *
 * usage: ts-reach [-0ajq] [-t DUR] [--install] [--run] [--login-server URL] [--ca FILE] [HOST:PORT | URL]...
 *
 * -0, --null           end each record with NUL, not newline
 * -a, --all            every relay, not a few
 * -j, --json           print JSON lines
 * -q, --quiet          print nothing; the exit status is the answer
 * -t, --timeout DUR    the whole takes at most DUR (default 10)
 * --ca FILE            also trust the CA certificates in FILE (PEM)
 * --install            only what installing Tailscale needs
 * --login-server URL   the control server, if it is not Tailscale's (default: TS_LOGIN_SERVER, or the config file's)
 * --run                only what running it needs
 *
 * Prints one record for each target: what, target, answer, where, ms, text, need. answer is ok or a reason word; where
 * is dns, tcp, proxy, tls, http, upgrade, udp or system; need is needed or useful. What is asked is asked as tailscaled
 * would ask it: the Upgrade of control and of the relays and a STUN request are real ones. Behind a proxy no name is
 * resolved here.
 *
 * what: packages, control, upgrade (of control), relay, relay-websocket, udp, clock, log, api, login, unix-sockets, tun,
 * host (a HOST:PORT or URL that was given; then only those are asked, unless --install or --run is given too).
 *
 * At the end, for what is blocked, one record for each domain to ask for: the word ask, the domain, three empty fields, in
 * which setting to put it (where the environment is known by its variables), need. ts-reach asks for permission: it
 * knows no way round a policy.
 *
 * exit: 0 all that is needed is reached (one relay is enough), 1 something needed is refused, 2 usage, 3 it may pass: try later
 * env:
 *   HTTPS_PROXY, HTTP_PROXY, NO_PROXY  as tailscaled will be given them
 *   SSL_CERT_FILE, SSL_CERT_DIR        and the other usual names: whom to trust
 *   TS_LOGIN_SERVER                    the control server
 * example: ts-reach --install | sed -n 's/^ask.//p' | cut -f1
 * example: ts-reach -q --run || echo 'no way onto the tailnet from here'
 * example: ts-reach db.example.com:5432
 * see: ws-up
 */
#include "clock.h"
#include "err.h"
#include "opts/ts-reach.h"
#include "probe.h"
#include "rec.h"
#include "settings.h"
#include "str.h"
#include <stdlib.h>
#include <string.h>

enum { TARGETS = 128, OPERANDS = 24, RELAYS = 3, RELAYS_ALL = 40, CLOCK_OFF_S = 600 };

struct target {
	struct probe p;
	struct probed r;
	const char *what;
	int needed, hidden;
};

static struct target targets[TARGETS];
static int count, show_all;
static struct rec out = { .table = 1 };

/* ---- what is asked ---- */

static struct target *add(const char *what, enum probe_kind kind, const char *url, int needed)
{
	struct target *t = &targets[count++];	/* OPERANDS, two for each relay and a dozen more fit in */
	*t = (struct target){ .what = what, .needed = needed, .p.kind = kind };
	if (str_copy(t->p.url, sizeof t->p.url, url) < 0)
		opt_usage("%.64s...: longer than a URL may be", url);
	return t;
}

static int is_tailscales(const char *control)
{
	return str_eq(control, SETTINGS_CONTROL);
}

static void add_install(void)
{
	add("packages", PROBE_FILES, "https://pkgs.tailscale.com/stable/?mode=json", 1);
	add("packages", PROBE_FILES, "https://dl.tailscale.com/", 1);
}

static void add_run(const char *control)
{
	add("control", PROBE_CONTROL, control, 1);
	add("upgrade", PROBE_UPGRADE, control, 1);
	add("map", PROBE_MAP, control, 0)->hidden = 1;
	if (is_tailscales(control)) {
		add("login", PROBE_PAGE, "https://login.tailscale.com/", 0);
		add("log", PROBE_PAGE, "https://log.tailscale.com/", 0);
		add("api", PROBE_PAGE, "https://api.tailscale.com/api/v2/", 0);
	}
	add("unix-sockets", PROBE_UNIX_SOCKETS, "", 1);
	add("tun", PROBE_TUN, "/dev/net/tun", 0);
}

/* An operand: a URL, or HOST:PORT. */
static void add_operand(const char *text)
{
	char copy[300], *host;
	int port;
	if (str_starts(text, "http://") || str_starts(text, "https://")) {
		add("host", PROBE_PAGE, text, 1);
		return;
	}
	if (str_copy(copy, sizeof copy, text) < 0 || str_host_port(copy, &host, &port) || !*host || strpbrk(host, "/@?# "))
		opt_usage("%s: neither HOST:PORT nor an http or https URL", text);
	add("host", PROBE_TCP, text, 1);
}

static struct target *find(const char *what)
{
	for (int i = 0; i < count; i++)
		if (str_eq(targets[i].what, what))
			return &targets[i];
	return NULL;
}

/* The relays of the control server's map; without one those of Tailscale, which most control servers use as well. */
static void add_relays(const char *control)
{
	struct relay_site sites[RELAYS_ALL];
	char url[256], stun[600] = "";
	int n = probe_relays(&find("map")->r, sites, RELAYS_ALL), heard = n > 0;
	if (!heard)
		n = probe_known_relays(sites, RELAYS_ALL);
	n = show_all || n < RELAYS ? n : RELAYS;
	int need = heard || is_tailscales(control);
	for (int i = 0; i < n; i++) {
		const struct relay_site *s = &sites[i];
		str_fmt(url, sizeof url, s->port == 443 ? "https://%s" : "https://%s:%d", s->host, s->port);
		add("relay", PROBE_RELAY, url, need)->p.any_cert = s->any_cert;
		struct target *ws = add("relay-websocket", PROBE_RELAY_WS, url, 0);
		ws->p.any_cert = s->any_cert;
		ws->hidden = 1;
		size_t len = strlen(stun);
		if (i < 4 && s->stun_port)
			str_fmt(stun + len, sizeof stun - len, "%s%s:%d", len ? " " : "", *s->ip ? s->ip : s->host, s->stun_port);
	}
	if (*stun)
		add("udp", PROBE_STUN, stun, 0);
}

static void ask_all(int from, long long deadline)
{
	static struct probe p[TARGETS];
	static struct probed r[TARGETS];
	struct why why;
	int n = count - from;
	for (int i = 0; i < n; i++)
		p[i] = targets[from + i].p;
	if (n > 0 && probe_all(p, r, n, deadline, &why))
		die_why(&why);
	for (int i = 0; i < n; i++)
		targets[from + i].r = r[i];
}

/* ---- what it means together ---- */

/* What is done to an Upgrade on a path that lets everything else through is done to the Upgrade. */
static void reread_upgrade(struct target *t)
{
	enum reason r = t->r.reason;
	if ((r != R_LOST && r != R_DEADLINE) || !str_eq(t->r.where, "http"))
		return;
	t->r.reason = R_UPGRADE_STRIPPED;
	str_copy(t->r.where, sizeof t->r.where, "upgrade");
	str_copy(t->r.text, sizeof t->r.text, r == R_LOST ? "the connection is cut at the Upgrade" : "no answer to the Upgrade");
}

static void reread(void)
{
	struct target *control = find("control"), *upgrade = find("upgrade");
	int any_relay = 0;
	if (control) {
		reread_upgrade(upgrade);
		upgrade->hidden = control->r.reason != R_NONE;	/* it cannot be better */
	}
	for (int i = 0; i < count; i++) {
		if (!str_eq(targets[i].what, "relay"))
			continue;
		reread_upgrade(&targets[i]);
		any_relay |= !targets[i].r.reason;
		targets[i + 1].hidden = targets[i].r.reason != R_UPGRADE_STRIPPED;	/* its WebSocket */
	}
	for (int i = 0; i < count && any_relay; i++)
		if (str_eq(targets[i].what, "relay") && targets[i].r.reason)
			targets[i].needed = 0;		/* one is enough */
}

/* The clock, by the first that told its own. */
static void check_clock(void)
{
	for (int i = 0; i < count; i++) {
		const struct probed *from = &targets[i].r;
		long long off = from->ours - from->theirs;
		char there[32];
		if (!from->theirs)
			continue;
		struct target *t = add("clock", PROBE_PAGE, targets[i].p.url, 1);
		if (llabs(off) <= CLOCK_OFF_S)
			return;
		t->r.reason = R_CLOCK;
		str_copy(t->r.where, sizeof t->r.where, "system");
		clock_stamp(there, from->theirs);
		str_fmt(t->r.text, sizeof t->r.text, "this machine's clock is %lld s %s: there it is %s", llabs(off),
		        off < 0 ? "slow" : "fast", there);
		return;
	}
}

static int status_of_all(void)
{
	int status = EXIT_DONE;
	for (int i = 0; i < count; i++) {
		const struct reason_info *info = reason_info(targets[i].r.reason);
		if (!info || !targets[i].needed || targets[i].hidden)
			continue;
		if (info->status != EXIT_RETRY)
			return EXIT_NO;
		status = EXIT_RETRY;
	}
	return status;
}

/* ---- saying it ---- */

static void print(const struct target *t)
{
	rec_begin(&out);
	rec_str(&out, "what", t->what);
	rec_str(&out, "target", *t->p.url ? t->p.url : NULL);
	rec_str(&out, "answer", t->r.reason ? reason_word(t->r.reason) : "ok");
	rec_str(&out, "where", *t->r.where ? t->r.where : NULL);
	rec_num(&out, "ms", t->r.ms);
	rec_str(&out, "text", *t->r.text ? t->r.text : NULL);
	rec_str(&out, "need", t->needed ? "needed" : "useful");
	rec_end(&out);
}

/* Where to put it: known by the variables that these places set. */
static const char *setting(void)
{
	static const struct { const char *prefix, *text; } places[] = {
		{ "CLAUDE_CODE_REMOTE=", "Claude Code: environment settings, Network access: Custom, Allowed domains, one a line" },
		{ "SANDBOX_RUNTIME=", "the sandbox's settings: network, allowedDomains" },
		{ "CODEX_NETWORK_PROXY_ACTIVE=", "Codex: its configuration, network, allowed domains and all methods" },
		{ "CODEX_", "Codex: environment settings, internet access, additional allowed domains, all methods" },
		{ "COPILOT_AGENT_", "GitHub: repository settings, Copilot, coding agent, custom allowlist" },
		{ "GITHUB_ACTIONS=", "the workflow's network.allowed, or whoever runs the runner's firewall" },
	};
	extern char **environ;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		for (char **e = environ; *e; e++)
			if (str_starts(*e, places[i].prefix))
				return places[i].text;
	return NULL;
}

static int is_to_ask(const struct target *t)
{
	switch (t->r.reason) {
	case R_PROXY_DENIED: case R_METHOD_DENIED: case R_UPGRADE_STRIPPED: case R_NO_DNS: case R_UNREACHABLE:
		return !t->hidden && !str_eq(t->what, "relay-websocket");
	case R_REFUSED:		/* a firewall, where something does listen */
		return !t->hidden && !str_eq(t->what, "host");
	default:
		return 0;
	}
}

struct wish { char domain[256]; const char *text; int needed; };

/* The domain of a URL or HOST:PORT, with its port when it is not 443. Tailscale's relays come and go: all of its names. */
static struct wish wish_of(const struct target *t)
{
	struct wish w = { .needed = t->needed };
	const char *p = strstr(t->p.url, "://");
	p = p ? p + 3 : t->p.url;
	size_t n = strcspn(p, "/?#");
	if (n > 4 && !memcmp(p + n - 4, ":443", 4))
		n -= 4;
	str_copy_slice(w.domain, sizeof w.domain, (struct slice){ p, n });
	if (str_eq(t->what, "relay") && !show_all && str_ends(w.domain, ".tailscale.com"))
		str_copy(w.domain, sizeof w.domain, "*.tailscale.com");
	w.text = t->r.reason == R_UPGRADE_STRIPPED ? "HTTP Upgrade let through" :
		t->r.reason == R_METHOD_DENIED ? "POST allowed" : NULL;
	return w;
}

static void print_wish(const struct wish *w, const char *place)
{
	char text[200];
	str_fmt(text, sizeof text, "%s%s%s", w->text ? w->text : "", w->text && place ? "; " : "", place ? place : "");
	rec_begin(&out);
	rec_str(&out, "what", "ask");
	rec_str(&out, "target", w->domain);
	rec_str(&out, "answer", NULL);
	rec_str(&out, "where", NULL);
	rec_str(&out, "ms", NULL);
	rec_str(&out, "text", *text ? text : NULL);
	rec_str(&out, "need", w->needed ? "needed" : "useful");
	rec_end(&out);
}

static void print_wishes(void)
{
	static struct wish wishes[TARGETS];
	const char *place = setting();
	int n = 0, i;
	for (int k = 0; k < count; k++) {
		if (!is_to_ask(&targets[k]))
			continue;
		struct wish w = wish_of(&targets[k]);
		for (i = 0; i < n; i++)
			if (str_eq(wishes[i].domain, w.domain) && str_eq(wishes[i].text, w.text))
				break;
		if (i == n)
			wishes[n++] = w;
		wishes[i].needed |= w.needed;
	}
	for (i = 0; i < n; i++)
		print_wish(&wishes[i], place);
	rec_finish(&out);
	if (n && place)
		say("ask for what the lines `ask` name; its place is %s", place);
}

static void control_url(const char *given, char *dst, int size)
{
	struct settings s = {0};
	struct why why;
	if (!given && settings_load(&s, &why))
		die_why(&why);
	secret_free(&s.key);
	given = given ? given : *s.login_server ? s.login_server : SETTINGS_CONTROL;
	if (settings_control(given, dst, size, &why))
		die_why(&why);
}

int ts_reach_main(char **argv)
{
	char control[512];
	const char *server = NULL;
	long long wait_ms = 10000, began = clock_ms();
	int install = 0, run = 0;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case '0': out.mode = REC_NUL; break;
		case 'a': show_all = 1; break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': out.mode = REC_NONE; break;
		case 't': wait_ms = opt_dur(&o); break;
		case OPT_CA: setenv("TS_CA_FILE", o.val, 1); break;	/* it stands before all others */
		case OPT_INSTALL: install = 1; break;
		case OPT_LOGIN_SERVER: server = o.val; break;
		case OPT_RUN: run = 1; break;
		}
	opt_want(&o, 0, OPERANDS);
	control_url(server, control, sizeof control);
	if (!install && !run && !o.count)
		install = run = 1;
	for (int i = 0; i < o.count; i++)
		add_operand(o.operands[i]);
	if (install)
		add_install();
	if (run)
		add_run(control);
	ask_all(0, began + (run ? wait_ms * 6 / 10 : wait_ms));
	if (run) {
		int from = count;
		add_relays(control);
		ask_all(from, began + wait_ms);
	}
	reread();
	check_clock();
	for (int i = 0; i < count; i++)
		if (!targets[i].hidden)
			print(&targets[i]);
	print_wishes();
	return status_of_all();
}
