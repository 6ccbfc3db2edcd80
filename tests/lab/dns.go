// The tailnet's DNS settings, and a name server that nodes can be sent to: it listens on loopback, so it is
// behind every node that lets its port in, and its address in the tailnet is that node's.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"tailscale.com/tailcfg"
	"tailscale.com/types/dnstype"
)

type dns struct {
	routes  map[string][]*dnstype.Resolver
	records []tailcfg.DNSRecord
	search  []string

	zone   map[string]netip.Addr // what the name server knows
	asked  []string              // what it was asked for: name and type
	server net.Listener          // nil until somebody asks for it
}

// config is what a map says.
func (l *lab) dnsConfig() *tailcfg.DNSConfig {
	return &tailcfg.DNSConfig{
		Proxied:      true,
		Domains:      append([]string{l.opt.Suffix}, l.dns.search...),
		Routes:       maps.Clone(l.dns.routes),
		ExtraRecords: slices.Clone(l.dns.records),
	}
}

func (l *lab) verbDNS(w []string) (string, error) {
	if len(w) < 2 {
		return "", usage("route, record, search, server, zone, asked or clear")
	}
	what, rest, d := w[1], w[2:], &l.dns
	switch {
	case what == "route" && len(rest) > 0:
		var to []*dnstype.Resolver
		for _, addr := range rest[1:] {
			to = append(to, &dnstype.Resolver{Addr: addr})
		}
		if d.routes == nil {
			d.routes = map[string][]*dnstype.Resolver{}
		}
		d.routes[rest[0]] = to
	case what == "record" && len(rest) == 2:
		d.records = append(d.records, tailcfg.DNSRecord{Name: rest[0], Value: rest[1]})
	case what == "search":
		d.search = rest
	case what == "clear" && len(rest) == 0:
		d.routes, d.records, d.search = nil, nil, nil
	case what == "zone" && len(rest) == 2:
		ip, err := netip.ParseAddr(rest[1])
		if err != nil {
			return "", usage("%s is no address", rest[1])
		}
		if d.zone == nil {
			d.zone = map[string]netip.Addr{}
		}
		d.zone[strings.ToLower(rest[0])+"."] = ip
	case what == "asked" && len(rest) == 0:
		out := strings.Join(d.asked, "")
		d.asked = nil
		return out, nil
	case what == "server" && len(rest) == 0:
		return l.nameServer()
	default:
		return "", usage("route, record, search, server, zone, asked or clear")
	}
	l.bump()
	return "", nil
}

func (l *lab) nameServer() (string, error) {
	if l.dns.server == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		l.dns.server = ln
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go l.answerDNS(conn)
			}
		}()
	}
	return fmt.Sprintln(l.dns.server.Addr().(*net.TCPAddr).Port), nil
}

// answerDNS speaks DNS over TCP: each message behind its length.
func (l *lab) answerDNS(conn net.Conn) {
	defer conn.Close()
	for {
		conn.SetDeadline(time.Now().Add(time.Minute))
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(conn, text); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(text) != nil || len(m.Questions) != 1 {
			return
		}
		l.mu.Lock()
		l.resolve(&m)
		l.mu.Unlock()
		packed, err := m.Pack()
		if err != nil {
			return
		}
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	}
}

func (l *lab) resolve(m *dnsmessage.Message) {
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	if len(l.dns.asked) < 1000 {
		l.dns.asked = append(l.dns.asked, clean(strings.TrimSuffix(q.Name.String(), "."))+"\t"+strings.TrimPrefix(q.Type.String(), "Type")+"\n")
	}
	ip, ok := l.dns.zone[strings.ToLower(q.Name.String())]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
		return
	}
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}
	switch {
	case q.Type == dnsmessage.TypeA && ip.Is4():
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}}}
	case q.Type == dnsmessage.TypeAAAA && ip.Is6():
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}}}
	}
}
