package main

import (
	"fmt"
	"strings"
	"testing"

	"tailscale.com/tailcfg"
)

func TestFilter(t *testing.T) {
	for denied, want := range map[string]string{
		"":         "0-65535",
		"80":       "0-79 81-65535",
		"1 2 9":    "0-0 3-8 10-65535",
		"65535":    "0-65534",
		"22 65534": "0-21 23-65533 65535-65535",
	} {
		l := &lab{}
		for _, p := range strings.Fields(denied) {
			var n uint16
			fmt.Sscan(p, &n)
			l.denied = append(l.denied, n)
		}
		var got []string
		for _, d := range l.filter()[0].DstPorts {
			got = append(got, fmt.Sprintf("%d-%d", d.Ports.First, d.Ports.Last))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("deny %q: %s, not %s", denied, s, want)
		}
	}
}

func TestNames(t *testing.T) {
	l := &lab{nodes: map[tailcfg.NodeID]*node{}}
	for i, c := range []struct{ hostname, want string }{
		{"box", "box"}, {"box", "box-1"}, {"BOX", "box-2"}, {"my box.local", "my-box"}, {"", "node"}, {"box-1", "box-1-1"},
	} {
		n := &node{ID: tailcfg.NodeID(i + 1)}
		l.nodes[n.ID] = n
		if l.rename(n, c.hostname); n.Name != c.want {
			t.Errorf("%q is named %q, not %q", c.hostname, n.Name, c.want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "x", true}, {"x", "x", true}, {"x", "xy", false}, {"x*", "xy", true}, {"*y", "xy", true},
		{"a*c*e", "abcde", true}, {"a*c*e", "abcd", false}, {"repo:o/r:*", "repo:o/other:x", false},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("matches(%q, %q) is %v", c.pattern, c.text, got)
		}
	}
}

func TestTagsOfMintedKeys(t *testing.T) {
	for _, c := range []struct {
		dialect, kind string
		user          tailcfg.UserID
		held, want    string
		ok            bool
	}{
		{"saas", "access", 0, "tag:lab", "", false},
		{"saas", "access", 0, "tag:lab", "tag:ci", true},
		{"saas", "access", 0, "tag:lab", "tag:lab", true},
		{"saas", "access", 0, "tag:lab tag:x", "tag:lab", false}, // a part of its own
		{"saas", "access", 0, "tag:lab tag:x", "tag:x tag:lab", true},
		{"saas", "access", 0, "tag:lab", "tag:none", false},
		{"saas", "api", userID, "", "", true},
		{"saas", "api", userID, "", "tag:ci", true},
		{"saas", "api", userID, "", "tag:none", false},
		{"headscale", "access", 0, "tag:lab tag:ws", "tag:ws", true}, // there a part will do
		{"headscale", "access", 0, "tag:lab", "", false},
		{"headscale", "api", 0, "", "", false},
		{"headscale", "api", 0, "", "tag:ci", true},
	} {
		l := &lab{opt: options{Dialect: c.dialect}, role: "owner"}
		l.policy.set(map[string][]string{"tag:lab": {"autogroup:admin"}, "tag:x": {}, "tag:ws": {}, "tag:ci": {"autogroup:admin", "tag:lab"}})
		q := &call{lab: l, cred: &credential{Kind: c.kind, User: c.user, Tags: strings.Fields(c.held)}}
		if err := q.mayMint(strings.Fields(c.want)); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
