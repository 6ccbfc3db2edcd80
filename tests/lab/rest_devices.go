// The v2 API's devices: the same nodes that have joined.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"tailscale.com/util/dnsname"
)

type device struct {
	Addresses          []string `json:"addresses"`
	ID                 string   `json:"id"`
	NodeID             string   `json:"nodeId"`
	User               string   `json:"user"`
	Name               string   `json:"name"`
	Hostname           string   `json:"hostname"`
	ClientVersion      string   `json:"clientVersion"`
	UpdateAvailable    bool     `json:"updateAvailable"`
	OS                 string   `json:"os"`
	Created            string   `json:"created"`
	ConnectedToControl *bool    `json:"connectedToControl,omitempty"`
	LastSeen           string   `json:"lastSeen,omitempty"`
	KeyExpiryDisabled  bool     `json:"keyExpiryDisabled"`
	Expires            string   `json:"expires"`
	Authorized         bool     `json:"authorized"`
	IsExternal         *bool    `json:"isExternal,omitempty"`
	IsEphemeral        bool     `json:"isEphemeral"`
	MachineKey         string   `json:"machineKey"`
	NodeKey            string   `json:"nodeKey"`
	BlocksIncoming     bool     `json:"blocksIncomingConnections"`
	Tags               []string `json:"tags,omitempty"`
	EnabledRoutes      []string `json:"enabledRoutes,omitempty"`
	AdvertisedRoutes   []string `json:"advertisedRoutes,omitempty"`
	SSHEnabled         *bool    `json:"sshEnabled,omitempty"`
}

// legacyID is the number that Tailscale's API still takes beside the node id.
func (n *node) legacyID(l *lab) string {
	if l.headscale() {
		return strconv.Itoa(int(n.ID))
	}
	return strconv.FormatInt(7_000_000_000_000_000+int64(n.ID), 10)
}

func (l *lab) describe(n *node, all bool) device {
	d := device{
		ID:                n.legacyID(l),
		NodeID:            string(n.Stable),
		User:              profile(n.User).LoginName,
		Name:              l.fqdn(n),
		Hostname:          n.Hostinfo.Hostname,
		ClientVersion:     n.Hostinfo.IPNVersion,
		OS:                n.Hostinfo.OS,
		Created:           stamp(n.Created),
		KeyExpiryDisabled: n.NoExpiry || n.tagged(),
		Expires:           stamp(n.Expiry),
		Authorized:        n.Authorized,
		IsEphemeral:       n.Ephemeral,
		MachineKey:        n.Machine.String(),
		NodeKey:           n.Key.String(),
		BlocksIncoming:    n.Hostinfo.ShieldsUp,
		Tags:              n.Tags,
	}
	for _, a := range n.addrs() {
		d.Addresses = append(d.Addresses, a.Addr().String())
	}
	online := n.online()
	if !l.headscale() {
		d.ConnectedToControl = &online
		d.IsExternal = new(bool)
	}
	if !online {
		d.LastSeen = stamp(n.LastSeen)
	}
	if all {
		d.EnabledRoutes, d.AdvertisedRoutes = texts(n.enabledRoutes()), texts(n.Hostinfo.RoutableIPs)
		ssh := len(n.Hostinfo.SSH_HostKeys) > 0
		d.SSHEnabled = &ssh
	}
	return d
}

func texts(prefixes []netip.Prefix) []string {
	list := []string{}
	for _, p := range prefixes {
		list = append(list, p.String())
	}
	return list
}

func listDevices(q *call) (any, error) {
	query := q.URL.Query()
	all := query.Get("fields") == "all"
	list := []device{}
	for _, n := range q.lab.sorted() {
		d := q.lab.describe(n, all)
		if q.lab.headscale() || d.passes(query) {
			list = append(list, d)
		}
	}
	return map[string]any{"devices": list}, nil
}

// passes applies the filters: a field's name and the value that it, or one of its items, must have.
func (d device) passes(query map[string][]string) bool {
	var fields map[string]any
	json.Unmarshal(marshal(d), &fields)
	for name, values := range query {
		have, known := fields[name]
		if name == "tags" && !known {
			have, known = []any{}, true
		}
		if name == "fields" || !known {
			continue
		}
		for _, want := range values {
			if list, ok := have.([]any); ok {
				if !slices.Contains(list, any(want)) {
					return false
				}
			} else if fmt.Sprint(have) != want {
				return false
			}
		}
	}
	return true
}

func (q *call) device() (*node, error) {
	id := q.PathValue("id")
	for _, n := range q.lab.nodes {
		if id == string(n.Stable) || id == n.legacyID(q.lab) {
			return n, nil
		}
	}
	return nil, refusal(http.StatusNotFound, "device not found")
}

func getDevice(q *call) (any, error) {
	n, err := q.device()
	if err != nil {
		return nil, err
	}
	return q.lab.describe(n, q.URL.Query().Get("fields") == "all"), nil
}

func deleteDevice(q *call) (any, error) {
	n, err := q.device()
	if err != nil {
		return nil, err
	}
	q.lab.remove(n)
	return nil, nil
}

func getRoutes(q *call) (any, error) {
	n, err := q.device()
	if err != nil {
		return nil, err
	}
	return map[string]any{"advertisedRoutes": texts(n.Hostinfo.RoutableIPs), "enabledRoutes": texts(n.enabledRoutes())}, nil
}

func setRoutes(q *call) (any, error) {
	n, err := q.device()
	if err != nil {
		return nil, err
	}
	var body struct{ Routes []netip.Prefix }
	if err := q.take(&body); err != nil {
		return nil, err
	}
	n.Routes = body.Routes
	q.lab.bump()
	return getRoutes(q)
}

func changeDevice(q *call) (any, error) {
	n, err := q.device()
	if err != nil {
		return nil, err
	}
	var body struct {
		Authorized        *bool
		Name              *string
		Tags              []string
		KeyExpiryDisabled *bool
	}
	what := q.PathValue("what")
	if what != "expire" {
		if err := q.take(&body); err != nil {
			return nil, err
		}
	}
	switch {
	case what == "authorized" && body.Authorized != nil:
		n.Authorized = *body.Authorized
	case what == "name" && body.Name != nil:
		if *body.Name == "" { // back to what the host calls itself
			q.lab.rename(n, n.Hostinfo.Hostname)
			break
		}
		label := dnsname.FirstLabel(*body.Name)
		if q.lab.named(label, n) != nil {
			return nil, refusal(http.StatusBadRequest, "name %q is already in use", label)
		}
		q.lab.rename(n, label)
	case what == "tags":
		for _, t := range body.Tags {
			if _, defined := q.lab.policy.owners[t]; !defined {
				return nil, refusal(http.StatusBadRequest, "%v", tagError(body.Tags))
			}
		}
		n.Tags, n.User = body.Tags, userID
		if n.tagged() {
			n.User = taggedID
		}
		n.Expiry = q.lab.nextExpiry(n)
	case what == "key" && body.KeyExpiryDisabled != nil:
		n.NoExpiry = *body.KeyExpiryDisabled
		n.Expiry = q.lab.nextExpiry(n)
	case what == "expire":
		n.Expiry = time.Now().Add(-time.Second)
	case slices.Contains([]string{"authorized", "name", "key"}, what):
		return nil, refusal(http.StatusBadRequest, "the body does not say what to set")
	default:
		return nil, refusal(http.StatusNotFound, "not found")
	}
	q.lab.bump()
	return map[string]any{}, nil
}
