// /machine/map: what a node tells of itself, and the stream that tells it what
// the tailnet is. Each stream is sent only what differs from what it was sent.
package main

import (
	"bytes"
	"encoding/binary"
	"log"
	"net/http"
	"slices"
	"strconv"
	"time"

	"moorbox/tests/lab/relay"
	"tailscale.com/tailcfg"
	"tailscale.com/util/zstdframe"
)

const (
	keepAlive = 50 * time.Second
	// A stream that ends is often followed by the next one at once; the others need not see that.
	flicker = 100 * time.Millisecond
)

func (l *lab) serveMap(w http.ResponseWriter, r *http.Request) {
	var q tailcfg.MapRequest
	if !take(w, r, &q) {
		return
	}
	if !q.Stream {
		l.hear(&q, r)
		return
	}
	s := &session{lab: l, w: w, zstd: q.Compress == "zstd", changed: make(chan struct{}, 1)}
	w.WriteHeader(http.StatusOK)
	s.run(r, &q)
}

// hear takes what a node says of itself. Only these requests say it: in a stream these fields are empty.
func (l *lab) hear(q *tailcfg.MapRequest, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.byKey(q.NodeKey)
	if n == nil || n.Machine != machineOf(r) || q.ReadOnly {
		return // of a deleted node: an empty answer keeps it calm
	}
	n.Disco, n.Endpoints, n.Cap = q.DiscoKey, q.Endpoints, q.Version
	if h := q.Hostinfo; h != nil {
		if h.Hostname != n.Hostinfo.Hostname {
			l.rename(n, h.Hostname)
		}
		n.Hostinfo = h
		if h.NetInfo != nil && h.NetInfo.PreferredDERP != 0 {
			n.DERP = h.NetInfo.PreferredDERP
		}
	}
	l.bump()
}

// A session is one stream.
type session struct {
	lab     *lab
	w       http.ResponseWriter
	zstd    bool
	changed chan struct{}

	// What was sent last, as JSON.
	begun bool
	self  []byte
	peers map[tailcfg.NodeID][]byte
	rest  map[string][]byte
}

func (s *session) run(r *http.Request, q *tailcfg.MapRequest) {
	l := s.lab
	s.peers, s.rest = map[tailcfg.NodeID][]byte{}, map[string][]byte{}
	l.mu.Lock()
	n := l.byKey(q.NodeKey)
	if n != nil && n.Machine == machineOf(r) {
		n.streams++
		if n.removal != nil {
			n.removal.Stop()
		}
		l.sessions[s] = true
		l.bump()
		defer l.hangUp(s, n)
	} else {
		n = nil
	}
	l.mu.Unlock()

	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	for n != nil {
		l.mu.Lock()
		var full *tailcfg.MapResponse
		alive, rekeyed := l.nodes[n.ID] == n, n.Key != q.NodeKey
		if alive && !rekeyed {
			full = l.netmap(n)
		}
		l.mu.Unlock()
		if rekeyed {
			s.idle(r) // its next stream has come, or will
			return
		}
		if !alive {
			break
		}
		if m := s.difference(full); m != nil && !s.send(m) {
			return
		}
		select {
		case <-s.changed:
		case <-beat.C:
			if !s.send(&tailcfg.MapResponse{KeepAlive: true}) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}

	// The node was deleted, or never was: one frame says that its key has expired, then silence.
	// It logs the daemon out at once; ending the stream would make it ask without end.
	if s.send(s.farewell(q)) {
		s.idle(r)
	}
}

// idle keeps a stream open that has nothing to say any more.
func (s *session) idle(r *http.Request) {
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			if !s.send(&tailcfg.MapResponse{KeepAlive: true}) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// hangUp is the end of a stream.
func (l *lab) hangUp(s *session, n *node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, s)
	n.streams--
	n.LastSeen = time.Now().UTC().Truncate(time.Second)
	if n.streams > 0 || l.nodes[n.ID] != n {
		return
	}
	l.armRemoval(n, 0)
	time.AfterFunc(flicker, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bump()
	})
}

func (s *session) farewell(q *tailcfg.MapRequest) *tailcfg.MapResponse {
	l := s.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.gone[q.NodeKey]
	if !ok {
		// Made up; far from the ids that are in use.
		t = tombstone{ID: 1 << 40, Stable: "nUnknown11CNTRL", Name: "unknown"}
	}
	m := &tailcfg.MapResponse{}
	if !s.begun {
		// As a first frame it has to have all the rest: without a DERP map the daemon drops
		// its relay, and does not take it up again for many seconds when it has logged in.
		m = l.tailnet()
	}
	m.Node = &tailcfg.Node{
		ID:        t.ID,
		StableID:  t.Stable,
		Name:      t.Name + "." + l.opt.Suffix + ".",
		User:      userID,
		Key:       q.NodeKey,
		KeyExpiry: time.Now().Add(-time.Minute).UTC(),
		Hostinfo:  (&tailcfg.Hostinfo{}).View(),
	}
	return m
}

// tailnet is what every node may know.
func (l *lab) tailnet() *tailcfg.MapResponse {
	m := &tailcfg.MapResponse{
		DERPMap:         l.derpMap(),
		Domain:          l.opt.Suffix,
		CollectServices: "false",
		DNSConfig:       l.dnsConfig(),
		PacketFilters:   map[string][]tailcfg.FilterRule{"*": nil, "base": l.filter()},
		SSHPolicy:       &tailcfg.SSHPolicy{},
		UserProfiles:    []tailcfg.UserProfile{profile(userID), profile(taggedID)},
		TKAInfo:         l.lock.info(),
	}
	if l.ssh {
		m.SSHPolicy.Rules = []*tailcfg.SSHRule{{
			Principals: []*tailcfg.SSHPrincipal{{Any: true}},
			SSHUsers:   map[string]string{"*": "=", "root": "root"},
			Action: &tailcfg.SSHAction{Accept: true, AllowAgentForwarding: true,
				AllowLocalPortForwarding: true, AllowRemotePortForwarding: true},
		}}
	}
	return m
}

// netmap is everything that n may know.
func (l *lab) netmap(n *node) *tailcfg.MapResponse {
	m := l.tailnet()
	m.Node = l.tailNode(n, true)
	if l.https {
		m.DNSConfig.CertDomains = []string{l.fqdn(n)}
	}
	if !n.Authorized {
		return m
	}
	for _, p := range l.sorted() {
		if p != n && p.Authorized && !p.Hidden {
			m.Peers = append(m.Peers, l.tailNode(p, false))
		}
	}
	return m
}

func (l *lab) tailNode(n *node, self bool) *tailcfg.Node {
	online := n.online()
	t := &tailcfg.Node{
		ID:                n.ID,
		StableID:          n.Stable,
		Name:              l.fqdn(n) + ".",
		User:              n.User,
		Key:               n.Key,
		KeyExpiry:         n.Expiry,
		Machine:           n.Machine,
		DiscoKey:          n.Disco,
		Addresses:         n.addrs(),
		AllowedIPs:        append(n.addrs(), n.enabledRoutes()...),
		PrimaryRoutes:     n.enabledRoutes(),
		Endpoints:         n.Endpoints,
		HomeDERP:          n.DERP,
		Hostinfo:          n.Hostinfo.View(),
		Created:           n.Created.UTC().Truncate(time.Second),
		Cap:               n.Cap,
		Tags:              n.Tags,
		Online:            &online,
		MachineAuthorized: n.Authorized,
		KeySignature:      n.Signature,
	}
	if n.DERP != 0 {
		t.LegacyDERPString = "127.3.3.40:" + strconv.Itoa(n.DERP) // all that 1.64 reads
	}
	if !online && !n.LastSeen.IsZero() {
		seen := n.LastSeen // a copy: t outlives the lock
		t.LastSeen = &seen
	}
	if self {
		t.CapMap = l.caps()
	}
	return t
}

func (l *lab) caps() tailcfg.NodeCapMap {
	c := tailcfg.NodeCapMap{tailcfg.CapabilityFileSharing: nil}
	if l.https {
		c[tailcfg.CapabilityHTTPS] = nil
		c[tailcfg.NodeAttrFunnel] = nil
		c[tailcfg.CapabilityFunnelPorts+"?ports=443,8443,10000"] = nil
	}
	if l.ssh {
		c[tailcfg.CapabilitySSH] = nil
	}
	if l.lock.on() { // without it a node does not look at TKAInfo
		c[tailcfg.CapabilityTailnetLock] = nil
	}
	return c
}

func (l *lab) derpMap() *tailcfg.DERPMap {
	if l.relay == nil {
		return &tailcfg.DERPMap{OmitDefaultRegions: true, Regions: map[int]*tailcfg.DERPRegion{}}
	}
	m := l.relay.Map()
	if l.derpName != "" {
		m.Regions[relay.Region].Nodes[0].HostName = l.derpName
	}
	return m
}

// filter lets everybody reach every port that is not denied.
func (l *lab) filter() []tailcfg.FilterRule {
	rule := tailcfg.FilterRule{SrcIPs: []string{"*"}}
	first := 0
	for _, p := range append(slices.Clone(l.denied), 0) {
		last := int(p) - 1
		if p == 0 { // behind the last denied one
			last = 65535
		}
		if first <= last {
			rule.DstPorts = append(rule.DstPorts, tailcfg.NetPortRange{IP: "*", Ports: tailcfg.PortRange{First: uint16(first), Last: uint16(last)}})
		}
		first = int(p) + 1
	}
	return []tailcfg.FilterRule{rule}
}

// difference keeps of full what the node does not know yet; nil if it knows all.
func (s *session) difference(full *tailcfg.MapResponse) *tailcfg.MapResponse {
	m := &tailcfg.MapResponse{}
	news := !s.begun
	if self := marshal(full.Node); !bytes.Equal(self, s.self) {
		s.self, m.Node, news = self, full.Node, true
	}

	gone := s.peers
	s.peers = map[tailcfg.NodeID][]byte{}
	for _, p := range full.Peers {
		text := marshal(p)
		if !bytes.Equal(text, gone[p.ID]) {
			m.PeersChanged, news = append(m.PeersChanged, p), true
		}
		s.peers[p.ID] = text
		delete(gone, p.ID)
	}
	for id := range gone {
		m.PeersRemoved, news = append(m.PeersRemoved, id), true
	}

	// An absent field means unchanged, so each is set only if it differs.
	differs := func(name string, v any) bool {
		text := marshal(v)
		if bytes.Equal(text, s.rest[name]) {
			return false
		}
		s.rest[name], news = text, true
		return true
	}
	if differs("derp", full.DERPMap) {
		m.DERPMap = full.DERPMap
	}
	if differs("dns", full.DNSConfig) {
		m.DNSConfig = full.DNSConfig
	}
	if differs("filter", full.PacketFilters) {
		m.PacketFilters = full.PacketFilters
	}
	if differs("ssh", full.SSHPolicy) {
		m.SSHPolicy = full.SSHPolicy
	}
	if differs("lock", full.TKAInfo) {
		m.TKAInfo = full.TKAInfo
	}
	if differs("users", full.UserProfiles) {
		m.UserProfiles = full.UserProfiles
	}
	if !s.begun {
		s.begun = true
		m.Domain, m.CollectServices = full.Domain, full.CollectServices
		m.Peers, m.PeersChanged = full.Peers, nil
	}
	if !news {
		return nil
	}
	return m
}

// send writes one frame: its length, then JSON, compressed if the node asked for it.
func (s *session) send(m *tailcfg.MapResponse) bool {
	if !m.KeepAlive {
		s.lab.mu.Lock()
		now := time.Now().Add(s.lab.skew).UTC()
		s.lab.mu.Unlock()
		m.ControlTime = &now
	}
	body := marshal(m)
	if s.zstd {
		body = zstdframe.AppendEncode(nil, body, zstdframe.FastestCompression)
	}
	frame := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	if _, err := s.w.Write(append(frame, body...)); err != nil {
		return false
	}
	if err := http.NewResponseController(s.w).Flush(); err != nil {
		log.Printf("map: %v", err)
		return false
	}
	return true
}

// startRelay brings DERP up at port, 0 for any; what ran before is ended.
func (l *lab) startRelay(port int) error {
	if l.relay != nil {
		l.relay.Close()
		l.relay = nil
	}
	r, err := relay.Start(l.opt.host(), port, l.keep.STUNPort)
	if err != nil {
		l.bump()
		return err
	}
	l.relay, l.keep.DERPPort, l.keep.STUNPort = r, r.Port, r.STUN
	l.keepIdentity()
	l.bump()
	return nil
}
