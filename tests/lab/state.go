// The tables: nodes, their names and addresses, and what the tailnet is set to.
// One mutex guards them all; whoever changes something a node can see calls bump.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"moorbox/tests/lab/relay"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/tkatype"
	"tailscale.com/util/dnsname"
)

const (
	keepFile   = "keep.json"   // what makes a lab the same lab after a restart
	tablesFile = "tables.json" // nodes and keys, written when it is stopped, read once
)

// comeBack is what nodes get to find a server again that was restarted: a failed dial costs them 10 s.
const comeBack = 15 * time.Second

const (
	userID   tailcfg.UserID = 1001
	taggedID tailcfg.UserID = 1002

	userLogin = "user@example.com"
)

// keep is the identity of a lab.
type keep struct {
	Noise    key.MachinePrivate
	Legacy   key.MachinePrivate
	Port     int
	DERPPort int
	STUNPort int
	Key      string // reusable, ephemeral, preauthorized
	Token    string // API token of the user
	Client   string // OAuth client secret
}

type lab struct {
	opt   options
	base  string // URL of control and API
	keep  keep
	conns *connections

	mu       sync.Mutex
	nodes    map[tailcfg.NodeID]*node
	gone     map[key.NodePublic]tombstone
	lastNode tailcfg.NodeID
	keys     []*authKey
	lastKey  int                    // headscale numbers them
	creds    map[string]*credential // by their text
	logins   map[string]*login      // by path
	sessions map[*session]bool
	relay    *relay.Relay // nil when DERP is off
	derpName string       // in the map, instead of its address
	echo     net.Listener // nil until somebody asks for it
	approval bool
	role     string // of the user
	refusal  string // of every registration, when not empty
	https    bool
	ssh      bool
	denied   []uint16
	lock     lock
	dns      dns
	skew     time.Duration
	policy   policy
	txt      map[string]string // names that nodes had set, by set-dns
	faults   []*fault
	limit    limit
	counts   map[string]int
}

// A node is one device. Exported fields survive a restart.
type node struct {
	ID         tailcfg.NodeID
	Stable     tailcfg.StableNodeID
	Key        key.NodePublic
	Machine    key.MachinePublic
	Disco      key.DiscoPublic
	Name       string // its DNS label
	Hostinfo   *tailcfg.Hostinfo
	Endpoints  []netip.AddrPort
	DERP       int
	Cap        tailcfg.CapabilityVersion
	User       tailcfg.UserID
	Tags       []string
	Ephemeral  bool
	Authorized bool
	NoExpiry   bool
	Expiry     time.Time
	Created    time.Time
	LastSeen   time.Time
	Hidden     bool
	Routes     []netip.Prefix // enabled ones
	LockKey    key.NLPublic
	Signature  tkatype.MarshaledSignature // of Key, by a key that tailnet lock trusts

	streams int
	removal *time.Timer
}

// A tombstone is what is left of a deleted node, so that its daemon can be told.
type tombstone struct {
	ID     tailcfg.NodeID
	Stable tailcfg.StableNodeID
	Name   string
}

func newLab(o options) (*lab, error) {
	l := &lab{
		opt:      o,
		nodes:    map[tailcfg.NodeID]*node{},
		gone:     map[key.NodePublic]tombstone{},
		creds:    map[string]*credential{},
		logins:   map[string]*login{},
		sessions: map[*session]bool{},
		approval: o.Approval,
		role:     "owner",
		https:    !o.NoHTTPS && o.Dialect == "saas",
		ssh:      o.SSH,
		txt:      map[string]string{},
		counts:   map[string]int{},
	}
	l.policy.owners = map[string][]string{}
	if err := readJSON(keepFile, &l.keep); errors.Is(err, fs.ErrNotExist) {
		l.keep = keep{
			Noise:  key.NewMachine(),
			Legacy: key.NewMachine(),
			Key:    l.newKeyText("auth").text,
			Token:  l.newKeyText("api").text,
			Client: l.newKeyText("client").text,
		}
	} else if err != nil {
		return nil, err
	}
	l.defaults()
	if err := l.load(); err != nil {
		return nil, err
	}
	var err error
	if l.relay, err = relay.Start(l.opt.host(), l.keep.DERPPort, l.keep.STUNPort); err != nil {
		return nil, err
	}
	l.keep.DERPPort, l.keep.STUNPort = l.relay.Port, l.relay.STUN
	return l, nil
}

// defaults are what a new tailnet has: three tags, a key, a token and an OAuth client.
func (l *lab) defaults() {
	admin := "autogroup:admin"
	if l.headscale() {
		admin = "user@"
	}
	l.policy.set(map[string][]string{
		"tag:lab": {admin},
		"tag:ci":  {admin, "tag:lab"},
		"tag:ws":  {admin, "tag:lab"},
	})
	l.addKey(&authKey{Text: l.keep.Key, Reusable: true, Ephemeral: true, Preauthorized: true, User: userID, Description: "lab"})
	token := &credential{Text: l.keep.Token, Kind: "api", Scopes: []string{"all"}, User: userID}
	if l.headscale() {
		token.User = 0 // a key made on the server's command line belongs to nobody
	}
	l.addCredential(token)
	l.addCredential(&credential{Text: l.keep.Client, Kind: "client", Scopes: []string{"all"}, Tags: []string{"tag:lab"}})
}

func (l *lab) headscale() bool { return l.opt.Dialect == "headscale" }

// tables are what a restart carries over.
type tables struct {
	LastNode tailcfg.NodeID
	LastKey  int
	Nodes    map[tailcfg.NodeID]*node
	Keys     []*authKey
	Creds    map[string]*credential
	Owners   map[string][]string
	Approval bool
	HTTPS    bool
	SSH      bool
	Denied   []uint16
	Lock     lock
}

func (l *lab) keepIdentity() error { return writeJSON(keepFile, l.keep) }

func (l *lab) save() {
	l.mu.Lock()
	defer l.mu.Unlock()
	writeJSON(tablesFile, tables{l.lastNode, l.lastKey, l.nodes, l.keys, l.creds, l.policy.owners, l.approval, l.https, l.ssh, l.denied, l.lock})
}

func (l *lab) load() error {
	var t tables
	err := readJSON(tablesFile, &t)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	os.Remove(tablesFile)
	l.lastNode, l.lastKey, l.nodes, l.keys, l.creds = t.LastNode, t.LastKey, t.Nodes, t.Keys, t.Creds
	l.approval, l.https, l.ssh, l.denied, l.lock = t.Approval, t.HTTPS, t.SSH, t.Denied, t.Lock
	l.policy.set(t.Owners)
	for _, n := range l.nodes {
		l.armRemoval(n, comeBack)
	}
	return nil
}

// bump wakes every stream, so that each looks for what has changed for its node.
func (l *lab) bump() {
	for s := range l.sessions {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

func (n *node) online() bool          { return n.streams > 0 }
func (n *node) tagged() bool          { return len(n.Tags) > 0 }
func (n *node) expired() bool         { return !n.Expiry.IsZero() && !n.Expiry.After(time.Now()) }
func (n *node) ip4() netip.Addr       { return address4(n.ID) }
func (n *node) addrs() []netip.Prefix { return addresses(n.ID) }

func address4(id tailcfg.NodeID) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64 | byte(id>>16)&0x3f, byte(id >> 8), byte(id)})
}

func addresses(id tailcfg.NodeID) []netip.Prefix {
	v6 := netip.MustParseAddr("fd7a:115c:a1e0::").As16()
	v6[13], v6[14], v6[15] = byte(id>>16), byte(id>>8), byte(id)
	return []netip.Prefix{netip.PrefixFrom(address4(id), 32), netip.PrefixFrom(netip.AddrFrom16(v6), 128)}
}

// enabledRoutes are those that are both advertised and enabled.
func (n *node) enabledRoutes() []netip.Prefix {
	var both []netip.Prefix
	for _, r := range n.Routes {
		if slices.Contains(n.Hostinfo.RoutableIPs, r) {
			both = append(both, r)
		}
	}
	return both
}

func (l *lab) fqdn(n *node) string { return n.Name + "." + l.opt.Suffix }

// rename gives n the name that its hostname asks for, or the next free one.
func (l *lab) rename(n *node, hostname string) {
	label := dnsname.SanitizeHostname(hostname)
	if label == "" {
		label = "node"
	}
	name := label
	for i := 1; l.named(name, n) != nil; i++ {
		name = fmt.Sprintf("%s-%d", label, i)
	}
	n.Name = name
}

// named finds the node of that name, other than except.
func (l *lab) named(name string, except *node) *node {
	for _, n := range l.nodes {
		if n != except && n.Name == name {
			return n
		}
	}
	return nil
}

func (l *lab) byKey(k key.NodePublic) *node {
	for _, n := range l.nodes {
		if n.Key == k {
			return n
		}
	}
	return nil
}

// find takes a name, an id of either kind or a full DNS name.
func (l *lab) find(what string) *node {
	what = strings.TrimSuffix(what, "."+l.opt.Suffix)
	if id, err := strconv.ParseInt(what, 10, 64); err == nil {
		if n := l.nodes[tailcfg.NodeID(id)]; n != nil {
			return n
		}
	}
	for _, n := range l.nodes {
		if string(n.Stable) == what {
			return n
		}
	}
	return l.named(what, nil)
}

// sorted lists the nodes in the order of their registration.
func (l *lab) sorted() []*node {
	all := make([]*node, 0, len(l.nodes))
	for _, n := range l.nodes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *node) int { return int(a.ID - b.ID) })
	return all
}

func (l *lab) newNode() *node {
	l.lastNode++
	n := &node{ID: l.lastNode, Created: time.Now(), Authorized: true}
	n.Stable = tailcfg.StableNodeID(l.publicID('n'))
	if l.headscale() {
		n.Stable = tailcfg.StableNodeID(strconv.Itoa(int(n.ID)))
	}
	l.nodes[n.ID] = n
	return n
}

// remove deletes n; its stream, if there is one, tells the daemon.
func (l *lab) remove(n *node) {
	if n.removal != nil {
		n.removal.Stop()
	}
	delete(l.nodes, n.ID)
	l.gone[n.Key] = tombstone{n.ID, n.Stable, n.Name}
	l.bump()
}

// armRemoval starts the clock of an ephemeral node that no stream speaks for; more is added to it.
func (l *lab) armRemoval(n *node, more time.Duration) {
	if n.removal != nil {
		n.removal.Stop()
	}
	if !n.Ephemeral || n.streams > 0 {
		return
	}
	n.removal = time.AfterFunc(more+time.Duration(l.opt.EphemeralTimeout*float64(time.Second)), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n.streams == 0 && l.nodes[n.ID] == n {
			l.remove(n)
		}
	})
}
