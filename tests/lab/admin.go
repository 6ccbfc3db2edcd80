// `lab ctl`: the verbs, over a unix socket in the lab's directory. One request is
// one line of JSON words; the answer is one object.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tailscale.com/tailcfg"
)

// socketName is relative: a lab's directory may be too deep for a socket's address.
const socketName = "admin.sock"

type answer struct {
	Out    string
	Err    string
	Status int
}

// A wrongUse is an error in what was typed.
type wrongUse string

func (e wrongUse) Error() string { return string(e) }

func usage(format string, a ...any) error { return wrongUse(fmt.Sprintf(format, a...)) }

// ask is the client's side.
func ask(dir string, words []string) int {
	if err := os.Chdir(dir); err != nil {
		fail(1, "%v", err)
	}
	conn, err := net.Dial("unix", socketName)
	if err != nil {
		fail(1, "%s: no lab is running there", dir)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second)) // it may be paused
	if err := json.NewEncoder(conn).Encode(words); err != nil {
		fail(1, "%s: %v", dir, err)
	}
	var a answer
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		fail(1, "%s: no answer: %v", dir, err)
	}
	io.WriteString(os.Stdout, a.Out)
	if a.Err != "" {
		fmt.Fprintf(os.Stderr, "lab: %s\n", a.Err)
	}
	return a.Status
}

func (l *lab) listenAdmin() (net.Listener, error) {
	os.Remove(socketName)
	ln, err := net.Listen("unix", socketName)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(socketName, 0o600); err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go l.serveAdmin(conn)
		}
	}()
	return ln, nil
}

func (l *lab) serveAdmin(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	line, err := bufio.NewReader(io.LimitReader(conn, 1<<20)).ReadBytes('\n')
	var words []string
	if err != nil || json.Unmarshal(line, &words) != nil {
		return
	}
	var a answer
	out, err := l.obey(words)
	if a.Out = out; err != nil {
		a.Err, a.Status = err.Error(), 1
		var wrong wrongUse
		if errors.As(err, &wrong) {
			a.Status = 2
		}
	}
	json.NewEncoder(conn).Encode(a)
}

type verb struct {
	name string
	args string
	help string
	run  func(*lab, []string) (string, error)
}

var verbs []verb

func init() {
	verbs = []verb{
		{"key", "KIND [OPTION...]", "print a new auth key: one-off, reusable, expired, revoked, used, unknown", (*lab).verbKey},
		{"client", "[--scope S]... [--tag T]...", "print a new OAuth client secret", (*lab).verbClient},
		{"federated", "[--scope S]... [--tag T]... [--issuer I] [--subject S] [--audience A]", "print a new federated client id", (*lab).verbClient},
		{"jwt", "[--issuer I] [--subject S] [--audience A]... [--expiry SEC] [--issued SEC] [--not-before SEC]", "print an identity token", (*lab).verbJWT},
		{"nodes", "", "id name hostname ip4 ephemeral online authorized expired tags user stable-id", (*lab).verbNodes},
		{"delete", "NODE", "remove a device", (*lab).verbNode},
		{"expire", "NODE", "end a device's node key", (*lab).verbNode},
		{"unexpire", "NODE", "make it good again", (*lab).verbNode},
		{"approve", "NODE", "let a device in that waits for approval", (*lab).verbNode},
		{"hide", "NODE", "take a device out of the others' sight", (*lab).verbNode},
		{"unhide", "NODE", "put it back", (*lab).verbNode},
		{"seen", "NODE SEC", "a device that is offline was last seen so long ago", (*lab).verbSeen},
		{"routes", "NODE none|all|PREFIX...", "enable routes that a device advertises", (*lab).verbRoutes},
		{"approval", "on|off", "devices need approval", (*lab).verbSwitch},
		{"role", "ROLE", "what the user is: owner, admin, network-admin, it-admin, member...", (*lab).verbRole},
		{"limit", "[N|off]", "at most N API requests a second, 429 for the others; printed: answered, refused, most in a second after five", (*lab).verbLimit},
		{"refuse", "off|TEXT", "refuse every registration with this text", (*lab).verbRefuse},
		{"https", "on|off", "certificate domains, and the caps of HTTPS and Funnel", (*lab).verbSwitch},
		{"ssh", "on|off", "the ssh cap, and a policy that accepts all", (*lab).verbSwitch},
		{"deny", "PORT...", "nobody reaches these ports any more", (*lab).verbDeny},
		{"allow", "[PORT...]", "everybody reaches them again; without PORT: all", (*lab).verbDeny},
		{"lock", "on [SIGNER...] | off | sign NODE | unsign NODE | wrap KEY | show", "tailnet lock", (*lab).verbLock},
		{"dns", "route SUFFIX [ADDR...] | record NAME IP | search [DOMAIN...] | server | zone NAME IP | asked | clear", "DNS settings", (*lab).verbDNS},
		{"fault", "PATH KIND [TIMES] [--wait SEC] | none [PATH]", "misbehave", (*lab).verbFault},
		{"cut", "[derp]", "end every connection to control, or to the relay", (*lab).verbCut},
		{"clock", "SEC", "put control's clock ahead (back: negative)", (*lab).verbClock},
		{"derp", "on|off|port N|name [HOST]", "the relay", (*lab).verbDERP},
		{"owners", "[TAG [OWNER...]]", "print, or set, who may give a tag", (*lab).verbOwners},
		{"login", "list|approve [HOSTNAME|URL]", "interactive logins", (*lab).verbLogin},
		{"counts", "[reset]", "requests so far, by path", (*lab).verbCounts},
		{"echo", "", "print a loopback port that sends back what it gets", (*lab).verbEcho},
		{"txt", "", "what nodes had set in DNS", (*lab).verbTXT},
		{"dialect", "", "saas or headscale", func(l *lab, _ []string) (string, error) { return l.opt.Dialect + "\n", nil }},
		{"help", "", "this", func(*lab, []string) (string, error) { return help(), nil }},
	}
}

func help() string {
	var b strings.Builder
	for _, v := range verbs {
		fmt.Fprintf(&b, "%-50s %s\n", strings.TrimSpace(v.name+" "+v.args), v.help)
	}
	return b.String()
}

// obey runs one verb. The verbs get their own name as the first word and hold the tables.
func (l *lab) obey(words []string) (string, error) {
	if len(words) == 0 {
		return "", usage("which verb? (help lists them)")
	}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == words[0] })
	if i < 0 {
		return "", usage("%s: no such verb (help lists them)", words[0])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if words[0] != "key" && words[0] != "lock" {
		log.Printf("ctl: %s", strings.Join(words, " "))
	}
	out, err := verbs[i].run(l, words)
	var wrong wrongUse
	if errors.As(err, &wrong) {
		err = usage("%v: usage: %s", err, strings.TrimSpace(verbs[i].name+" "+verbs[i].args))
	}
	return out, err
}

// options takes --name value pairs and --name flags out of words.
func takeOptions(words []string, withValue, flags []string) (rest []string, got map[string][]string, err error) {
	got = map[string][]string{}
	for i := 0; i < len(words); i++ {
		name, value, glued := strings.Cut(words[i], "=")
		switch {
		case !strings.HasPrefix(name, "--"):
			rest = append(rest, words[i])
		case slices.Contains(flags, name[2:]) && !glued:
			got[name[2:]] = append(got[name[2:]], "")
		case slices.Contains(withValue, name[2:]):
			if !glued {
				if i++; i == len(words) {
					return nil, nil, usage("%s wants a value", name)
				}
				value = words[i]
			}
			got[name[2:]] = append(got[name[2:]], value)
		default:
			return nil, nil, usage("%s: no such option", words[i])
		}
	}
	return rest, got, nil
}

func seconds(text string) (time.Duration, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, usage("%s is no number of seconds", text)
	}
	return time.Duration(f * float64(time.Second)), nil
}

func (l *lab) verbKey(w []string) (string, error) {
	w, got, err := takeOptions(w[1:], []string{"tag", "expiry"}, []string{"ephemeral", "preauthorized"})
	if err != nil {
		return "", err
	}
	if len(w) != 1 {
		return "", usage("one kind")
	}
	k := &authKey{Tags: got["tag"], User: userID, Description: w[0]}
	for _, t := range k.Tags {
		if err := tailcfg.CheckTag(t); err != nil {
			return "", usage("%s: %v", t, err)
		}
	}
	_, k.Ephemeral = got["ephemeral"]
	_, k.Preauthorized = got["preauthorized"]
	if e := got["expiry"]; e != nil {
		life, err := seconds(e[0])
		if err != nil {
			return "", err
		}
		k.Expires = time.Now().Add(life)
	}
	switch w[0] {
	case "one-off":
	case "reusable":
		k.Reusable = true
	case "expired":
		k.Expires = time.Now().Add(-time.Hour)
	case "revoked":
		k.Revoked = time.Now()
	case "used":
		k.Used = true
	case "unknown": // well formed, and never told to anybody
		return l.newKeyText("auth").text + "\n", nil
	default:
		return "", usage("%s is no kind of key", w[0])
	}
	return l.addKey(k).Text + "\n", nil
}

func (l *lab) verbClient(w []string) (string, error) {
	kind, named := w[0], []string{"tag", "scope"}
	if kind == "federated" {
		named = append(named, "issuer", "subject", "audience")
	}
	w, got, err := takeOptions(w[1:], named, nil)
	if err != nil {
		return "", err
	}
	if len(w) > 0 {
		return "", usage("no operands")
	}
	one := func(name string) string { return strings.Join(got[name], "") }
	c := &credential{Kind: kind, Scopes: got["scope"], Tags: got["tag"],
		Issuer: one("issuer"), Subject: one("subject"), Audience: one("audience")}
	if c.Scopes == nil {
		c.Scopes = []string{"all"}
	}
	return l.addClient(c).Text + "\n", nil
}

func (l *lab) verbNodes(w []string) (string, error) {
	var b strings.Builder
	either := func(is bool, yes, no string) string {
		if is {
			return yes
		}
		return no
	}
	for _, n := range l.sorted() {
		fields := []string{
			strconv.Itoa(int(n.ID)), n.Name, n.Hostinfo.Hostname, n.ip4().String(),
			either(n.Ephemeral, "ephemeral", "kept"),
			either(n.online(), "online", "offline"),
			either(n.Authorized, "authorized", "waiting"),
			either(n.expired(), "expired", "valid"),
			either(n.tagged(), strings.Join(n.Tags, ","), "-"),
			profile(n.User).LoginName, string(n.Stable),
		}
		for i, f := range fields {
			fields[i] = clean(f)
		}
		b.WriteString(strings.Join(fields, "\t") + "\n")
	}
	return b.String(), nil
}

// clean keeps a field a field, whatever the node called itself.
func clean(s string) string {
	if s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s); s == "" {
		return "-"
	}
	return s
}

func (l *lab) verbNode(w []string) (string, error) {
	if len(w) != 2 {
		return "", usage("one node")
	}
	n := l.find(w[1])
	if n == nil {
		return "", fmt.Errorf("%s: no such node", w[1])
	}
	switch w[0] {
	case "delete":
		l.remove(n)
	case "expire":
		n.Expiry = time.Now().Add(-time.Second)
	case "unexpire":
		n.Expiry = l.nextExpiry(n)
	case "approve":
		n.Authorized = true
	case "hide":
		n.Hidden = true
	case "unhide":
		n.Hidden = false
	}
	l.bump()
	return "", nil
}

func (l *lab) verbRoutes(w []string) (string, error) {
	if len(w) < 3 {
		return "", usage("a node and its routes")
	}
	n := l.find(w[1])
	if n == nil {
		return "", fmt.Errorf("%s: no such node", w[1])
	}
	var routes []netip.Prefix
	switch w[2] {
	case "none":
	case "all":
		routes = slices.Clone(n.Hostinfo.RoutableIPs)
	default:
		for _, text := range w[2:] {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return "", usage("%s is no prefix", text)
			}
			routes = append(routes, p)
		}
	}
	n.Routes = routes
	l.bump()
	return "", nil
}

func (l *lab) verbSwitch(w []string) (string, error) {
	if len(w) != 2 || w[1] != "on" && w[1] != "off" {
		return "", usage("on or off")
	}
	on := w[1] == "on"
	switch w[0] {
	case "approval":
		l.approval = on
	case "https":
		l.https = on
	case "ssh":
		l.ssh = on
	}
	l.bump()
	return "", nil
}

func (l *lab) verbRole(w []string) (string, error) {
	if len(w) != 2 {
		return "", usage("which role?")
	}
	l.role = w[1]
	return "", nil
}

func (l *lab) verbLimit(w []string) (string, error) {
	switch {
	case len(w) == 1:
		return fmt.Sprintf("%d\t%d\t%d\n", l.limit.answered, l.limit.refused, l.limit.most), nil
	case len(w) == 2 && w[1] == "off":
		l.limit.rate = 0
		return "", nil
	case len(w) == 2:
		if n, err := strconv.Atoi(w[1]); err == nil && n > 0 {
			l.limit = limit{rate: float64(n), left: float64(n), last: time.Now()}
			return "", nil
		}
	}
	return "", usage("how many requests a second, or off?")
}

func (l *lab) verbRefuse(w []string) (string, error) {
	if len(w) < 2 {
		return "", usage("off, or a text")
	}
	l.refusal = strings.TrimPrefix(strings.Join(w[1:], " "), "off")
	return "", nil
}

func (l *lab) verbDeny(w []string) (string, error) {
	if w[0] == "allow" && len(w) == 1 {
		l.denied = nil
	} else if len(w) == 1 {
		return "", usage("which port?")
	}
	denied := slices.Clone(l.denied)
	for _, text := range w[1:] {
		p, err := strconv.ParseUint(text, 10, 16)
		if err != nil || p == 0 {
			return "", usage("%s is no port", text)
		}
		denied = slices.DeleteFunc(denied, func(d uint16) bool { return d == uint16(p) })
		if w[0] == "deny" {
			denied = append(denied, uint16(p))
		}
	}
	slices.Sort(denied)
	l.denied = denied
	l.bump()
	return "", nil
}

func (l *lab) verbFault(w []string) (string, error) {
	w, got, err := takeOptions(w[1:], []string{"wait"}, nil)
	if err != nil {
		return "", err
	}
	if len(w) > 0 && w[0] == "none" {
		path := ""
		if len(w) == 2 {
			if path = faultPaths[w[1]]; path == "" {
				path = strings.TrimPrefix(w[1], "api:")
			}
		}
		l.dropFaults(path)
		return "", nil
	}
	if len(w) < 2 || len(w) > 3 {
		return "", usage("a path and a fault")
	}
	times := -1
	if len(w) == 3 {
		if times, err = strconv.Atoi(w[2]); err != nil || times < 1 {
			return "", usage("%s is no number of times", w[2])
		}
	}
	wait := 2 * time.Second
	if got["wait"] != nil {
		if wait, err = seconds(got["wait"][0]); err != nil {
			return "", err
		}
	} else if w[1] == "429" {
		wait = time.Second
	}
	if err := l.addFault(w[0], w[1], times, wait); err != nil {
		return "", usage("%v", err)
	}
	return "", nil
}

func (l *lab) verbCut(w []string) (string, error) {
	if len(w) == 2 && w[1] == "derp" {
		if l.relay == nil {
			return "", errors.New("derp is off")
		}
		return "", l.startRelay(l.relay.Port)
	}
	if len(w) != 1 {
		return "", usage("control's connections, or derp")
	}
	return fmt.Sprintln(l.conns.cut()), nil
}

func (l *lab) verbSeen(w []string) (string, error) {
	if len(w) != 3 {
		return "", usage("a node, and how long ago")
	}
	n := l.find(w[1])
	if n == nil {
		return "", fmt.Errorf("%s: no such node", w[1])
	}
	ago, err := seconds(w[2])
	if err != nil {
		return "", err
	}
	n.LastSeen = time.Now().UTC().Truncate(time.Second).Add(-ago)
	l.bump()
	return "", nil
}

func (l *lab) verbClock(w []string) (string, error) {
	if len(w) != 2 {
		return "", usage("by how much?")
	}
	skew, err := seconds(w[1])
	if err != nil {
		return "", err
	}
	l.skew = skew
	l.bump()
	return "", nil
}

func (l *lab) verbDERP(w []string) (string, error) {
	switch {
	case len(w) == 2 && w[1] == "on":
		if l.relay != nil {
			return "", nil
		}
		return "", l.startRelay(l.keep.DERPPort)
	case len(w) == 2 && w[1] == "off":
		if l.relay != nil {
			l.relay.Close()
			l.relay = nil
			l.bump()
		}
		return "", nil
	case len(w) >= 2 && len(w) <= 3 && w[1] == "name":
		l.derpName = strings.Join(w[2:], "")
		l.bump()
		return "", nil
	case len(w) == 3 && w[1] == "port":
		p, err := strconv.ParseUint(w[2], 10, 16)
		if err != nil {
			return "", usage("%s is no port", w[2])
		}
		if err := l.startRelay(int(p)); err != nil {
			return "", err
		}
		return fmt.Sprintln(l.keep.DERPPort), nil
	}
	return "", usage("on, off, port N or name [HOST]")
}

func (l *lab) verbOwners(w []string) (string, error) {
	if len(w) == 1 {
		var lines []string
		for tag, owners := range l.policy.owners {
			lines = append(lines, tag+"\t"+strings.Join(owners, ",")+"\n")
		}
		slices.Sort(lines)
		return strings.Join(lines, ""), nil
	}
	if err := tailcfg.CheckTag(w[1]); err != nil {
		return "", usage("%s: %v", w[1], err)
	}
	owners := l.policy.owners
	owners[w[1]] = w[2:]
	l.policy.set(owners)
	return "", nil
}

func (l *lab) verbLogin(w []string) (string, error) {
	switch {
	case len(w) == 2 && w[1] == "list":
		var b strings.Builder
		for _, g := range l.pendingLogins() {
			fmt.Fprintf(&b, "%s\t%s\n", clean(g.hostname), l.base+g.path)
		}
		return b.String(), nil
	case (len(w) == 2 || len(w) == 3) && w[1] == "approve":
		what := ""
		if len(w) == 3 {
			what = w[2]
		}
		if l.approveLogins(what) == 0 {
			return "", errors.New("no such login is pending")
		}
		return "", nil
	}
	return "", usage("list or approve")
}

func (l *lab) verbCounts(w []string) (string, error) {
	if len(w) == 2 && w[1] == "reset" {
		clear(l.counts)
		return "", nil
	}
	var paths []string
	for p := range l.counts {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	var b strings.Builder
	for _, p := range paths {
		fmt.Fprintf(&b, "%d\t%s\n", l.counts[p], clean(p))
	}
	return b.String(), nil
}

// verbEcho gives tests something to reach behind a node.
func (l *lab) verbEcho([]string) (string, error) {
	if l.echo == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		l.echo = ln
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					io.Copy(conn, conn)
					conn.Close()
				}()
			}
		}()
	}
	return fmt.Sprintln(l.echo.Addr().(*net.TCPAddr).Port), nil
}

func (l *lab) verbTXT(w []string) (string, error) {
	var lines []string
	for name, value := range l.txt {
		lines = append(lines, clean(name)+"\t"+clean(value)+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}
