// The policy file: its text, and the part of it that the lab obeys, who owns which tag.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
	"tailscale.com/tailcfg"
)

type policy struct {
	text   []byte // HuJSON, as it was given
	owners map[string][]string
	edited bool
}

// set makes a policy that allows everything and has these owners of tags.
func (p *policy) set(owners map[string][]string) {
	p.owners = owners
	tags, _ := json.MarshalIndent(owners, "\t", "\t")
	p.text = []byte("// What the lab obeys of this is tagOwners.\n{\n\t\"tagOwners\": " + string(tags) +
		",\n\t\"grants\": [\n\t\t{\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"*\"]},\n\t],\n}\n")
}

func (p *policy) etag() string {
	sum := sha256.Sum256(p.text)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// standard is the text as plain JSON.
func (p *policy) standard() []byte {
	text, err := hujson.Standardize(slices.Clone(p.text))
	if err != nil {
		return p.text
	}
	return text
}

var policyKeys = []string{"acls", "autoApprovers", "derpMap", "disableIPv4", "extraDNSRecords", "grants", "groups", "hosts", "ipsets",
	"nodeAttrs", "OneCGNATRoute", "postures", "randomizeClientPort", "ssh", "sshTests", "tagOwners", "tests"}

// checkPolicy parses a policy and says what is wrong with it.
func checkPolicy(text []byte, headscale bool) (*policy, error) {
	plain, err := hujson.Standardize(slices.Clone(text))
	if err != nil {
		return nil, err
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(plain, &top); err != nil {
		return nil, err
	}
	for name := range top {
		if !slices.ContainsFunc(policyKeys, func(k string) bool { return strings.EqualFold(k, name) }) {
			return nil, fmt.Errorf("unknown field %q", name)
		}
	}
	var body struct {
		TagOwners map[string][]string `json:"tagOwners"`
		Groups    map[string][]string `json:"groups"`
		Grants    []struct{ Src, Dst []string }
		ACLs      []struct{ Src, Dst []string }
	}
	if err := json.Unmarshal(plain, &body); err != nil {
		return nil, err
	}
	known := func(who string) error {
		name := who
		if strings.HasPrefix(who, "tag:") || strings.HasPrefix(who, "group:") {
			if part := strings.Split(who, ":"); len(part) > 2 {
				name = part[0] + ":" + part[1]
			}
		}
		if _, ok := body.TagOwners[name]; strings.HasPrefix(who, "tag:") && !ok {
			return fmt.Errorf("tag not found: %q", name)
		}
		if _, ok := body.Groups[name]; strings.HasPrefix(who, "group:") && !ok {
			return fmt.Errorf("group not found: %q", name)
		}
		if headscale && (who == "autogroup:admin" || who == "autogroup:owner") {
			return fmt.Errorf("invalid autogroup %q", who)
		}
		return nil
	}
	var names []string
	for tag, owners := range body.TagOwners {
		if err := tailcfg.CheckTag(tag); err != nil {
			return nil, fmt.Errorf("tagOwners: %q: %w", tag, err)
		}
		names = append(names, owners...)
	}
	for _, rule := range append(body.Grants, body.ACLs...) {
		names = append(append(names, rule.Src...), rule.Dst...)
	}
	var wrong []error
	slices.Sort(names)
	for _, who := range slices.Compact(names) {
		wrong = append(wrong, known(who))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if body.TagOwners == nil {
		body.TagOwners = map[string][]string{}
	}
	return &policy{text: text, owners: body.TagOwners, edited: true}, nil
}

// mayAssign says whether the holder of these tags, or a user with that role ("" for none), may give tag to a node.
func (p *policy) mayAssign(tag string, held []string, role string) bool {
	owners, defined := p.owners[tag]
	if !defined {
		return false
	}
	for _, o := range owners {
		group, auto := strings.CutPrefix(o, "autogroup:")
		switch {
		case slices.Contains(held, o):
			return true
		case role == "":
		case auto && (group == "member" || group == role || group == "admin" && role == "owner"),
			o == userLogin, strings.TrimSuffix(o, "@")+"@example.com" == userLogin:
			return true
		}
	}
	// an empty list means: administrators only
	return len(owners) == 0 && slices.Contains([]string{"owner", "admin", "network-admin"}, role)
}

// roleOf is that of the user, "" when there is none.
func (l *lab) roleOf(isUser bool) string {
	if !isUser {
		return ""
	}
	return l.role
}
