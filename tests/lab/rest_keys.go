// The v2 API's keys: auth keys, OAuth clients and federated identities.
package main

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"tailscale.com/tailcfg"
)

type createCaps struct {
	Reusable      bool     `json:"reusable"`
	Ephemeral     bool     `json:"ephemeral"`
	Preauthorized bool     `json:"preauthorized"`
	Tags          []string `json:"tags,omitempty"`
}

type deviceCaps struct {
	Create createCaps `json:"create"`
}

type keyCaps struct {
	Devices *deviceCaps `json:"devices,omitempty"`
}

type keyObject struct {
	ID            string   `json:"id"`
	Key           string   `json:"key,omitempty"`
	KeyType       string   `json:"keyType,omitempty"`
	Description   string   `json:"description,omitempty"`
	Created       string   `json:"created,omitempty"`
	Updated       string   `json:"updated,omitempty"`
	Expires       string   `json:"expires,omitempty"`
	Revoked       string   `json:"revoked,omitempty"`
	ExpirySeconds int64    `json:"expirySeconds,omitempty"`
	Capabilities  *keyCaps `json:"capabilities,omitempty"`
	Invalid       bool     `json:"invalid,omitempty"`
	UserID        string   `json:"userId,omitempty"`
	Scopes        []string `json:"scopes,omitempty"`
	Tags          []string `json:"tags,omitempty"`
	Issuer        string   `json:"issuer,omitempty"`
	Subject       string   `json:"subject,omitempty"`
	Audience      string   `json:"audience,omitempty"`
}

func userText(id tailcfg.UserID) string {
	if id == 0 {
		return ""
	}
	return "uLab11CNTRL"
}

func (l *lab) keyObject(k *authKey) keyObject {
	return keyObject{
		ID:            k.ID,
		KeyType:       "auth",
		Description:   k.Description,
		Created:       stamp(k.Created),
		Expires:       stamp(k.Expires),
		Revoked:       stamp(k.Revoked),
		ExpirySeconds: int64(k.Expires.Sub(k.Created).Seconds()),
		Invalid:       !k.usable(),
		UserID:        userText(k.User),
		Capabilities: &keyCaps{Devices: &deviceCaps{Create: createCaps{
			Reusable: k.Reusable, Ephemeral: k.Ephemeral, Preauthorized: k.Preauthorized || l.headscale(), Tags: k.Tags}}},
	}
}

func credentialObject(c *credential) keyObject {
	kind := c.Kind
	if kind == "access" {
		kind = "api"
	}
	return keyObject{ID: c.ID, KeyType: kind, Description: c.Description, Created: stamp(c.Created), Expires: stamp(c.Expires),
		UserID: userText(c.User), Scopes: c.Scopes, Tags: c.Tags, Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience}
}

// listed says whether the API still knows k: Tailscale's forgets a one-off key that was used.
func (l *lab) listed(k *authKey) bool { return l.headscale() || k.Reusable || !k.Used }

func (l *lab) credentialByID(id string) *credential {
	for _, c := range l.creds {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func scopeOf(c *credential) string {
	return map[string]string{"client": "oauth_keys", "federated": "federated_keys"}[c.Kind]
}

func listKeys(q *call) (any, error) {
	list := []keyObject{}
	if q.cred.may("auth_keys", false) {
		for _, k := range q.lab.keys {
			own := k.User == q.cred.User && (k.User != 0 || k.Maker == q.cred.Maker)
			if q.lab.listed(k) && (own || q.lab.headscale() || q.URL.Query().Get("all") == "true") {
				list = append(list, q.lab.keyObject(k))
			}
		}
	}
	for _, c := range q.lab.creds {
		if s := scopeOf(c); s != "" && q.cred.may(s, false) {
			list = append(list, credentialObject(c))
		}
	}
	if len(list) == 0 && !q.cred.may("auth_keys", false) && !q.cred.may("oauth_keys", false) {
		return nil, errNoAccess
	}
	slices.SortFunc(list, func(a, b keyObject) int { return strings.Compare(a.Created+a.ID, b.Created+b.ID) })
	return map[string]any{"keys": list}, nil
}

func noKey(l *lab) error {
	if l.headscale() {
		return refusal(http.StatusNotFound, "auth key not found")
	}
	return refusal(http.StatusNotFound, "key not found")
}

func getKey(q *call) (any, error) {
	id := q.PathValue("id")
	if id == q.cred.ID { // any token may read itself
		return credentialObject(q.cred), nil
	}
	if c := q.lab.credentialByID(id); c != nil && scopeOf(c) != "" {
		if !q.cred.may(scopeOf(c), false) {
			return nil, errNoAccess
		}
		return credentialObject(c), nil
	}
	if !q.cred.may("auth_keys", false) {
		return nil, q.lab.noScope("auth_keys:read")
	}
	k := q.lab.keyByID(id)
	if k == nil || !q.lab.listed(k) {
		return nil, noKey(q.lab)
	}
	return q.lab.keyObject(k), nil
}

// deleteKey removes a key; headscale's only revokes it.
func deleteKey(q *call) (any, error) {
	id := q.PathValue("id")
	if c := q.lab.credentialByID(id); c != nil && (scopeOf(c) != "" || c == q.cred) {
		if c != q.cred && !q.cred.may(scopeOf(c), true) {
			return nil, errNoAccess
		}
		delete(q.lab.creds, c.Text)
		return map[string]any{}, nil
	}
	if !q.cred.may("auth_keys", true) {
		return nil, q.lab.noScope("auth_keys")
	}
	k := q.lab.keyByID(id)
	if k == nil || !q.lab.listed(k) {
		return nil, noKey(q.lab)
	}
	if q.lab.headscale() {
		k.Revoked = time.Now()
	} else {
		q.lab.keys = slices.DeleteFunc(q.lab.keys, func(other *authKey) bool { return other == k })
	}
	return map[string]any{}, nil
}

type createRequest struct {
	KeyType       string   `json:"keyType"`
	Description   string   `json:"description"`
	ExpirySeconds *int64   `json:"expirySeconds"`
	Capabilities  keyCaps  `json:"capabilities"`
	Scopes        []string `json:"scopes"`
	Tags          []string `json:"tags"`
	Issuer        string   `json:"issuer"`
	Subject       string   `json:"subject"`
	Audience      string   `json:"audience"`
}

func createKey(q *call) (any, error) {
	var c createRequest
	if err := q.take(&c); err != nil {
		return nil, err
	}
	plain := func(r rune) bool {
		return r == ' ' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	switch {
	case len(c.Description) > 50:
		return nil, refusal(http.StatusBadRequest, "description is longer than 50 characters")
	case strings.TrimFunc(c.Description, plain) != "":
		return nil, refusal(http.StatusBadRequest, "description may hold letters, digits, spaces and hyphens only")
	}
	switch c.KeyType {
	case "", "auth":
		return q.createAuthKey(&c)
	case "client", "federated":
		if c.KeyType == "federated" && q.lab.headscale() {
			break
		}
		return q.createClient(&c)
	}
	return nil, refusal(http.StatusBadRequest, "invalid keyType %q", c.KeyType)
}

func (q *call) createAuthKey(c *createRequest) (any, error) {
	if !q.cred.may("auth_keys", true) {
		return nil, q.lab.noScope("auth_keys")
	}
	if c.Capabilities.Devices == nil {
		return nil, refusal(http.StatusBadRequest, "capabilities.devices is missing")
	}
	life := int64(keyLife / time.Second)
	if c.ExpirySeconds != nil && *c.ExpirySeconds != 0 {
		if *c.ExpirySeconds < 0 || *c.ExpirySeconds > life {
			return nil, refusal(http.StatusBadRequest, "expirySeconds must be at most %d", life)
		}
		life = *c.ExpirySeconds
	}
	want := c.Capabilities.Devices.Create
	if err := q.mayMint(want.Tags); err != nil {
		return nil, err
	}
	k := q.lab.addKey(&authKey{
		Description: c.Description, Reusable: want.Reusable, Ephemeral: want.Ephemeral,
		Preauthorized: want.Preauthorized || q.lab.headscale(), Tags: want.Tags,
		User: q.cred.User, Maker: q.cred.Maker, Expires: time.Now().Add(time.Duration(life) * time.Second),
	})
	o := q.lab.keyObject(k)
	o.Key = k.Text
	return o, nil
}

// mayMint says why the caller may not make a key with these tags.
func (q *call) mayMint(tags []string) error {
	p, user := &q.lab.policy, q.cred.User != 0
	access := q.cred.Kind == "access"
	if q.lab.headscale() {
		if len(tags) == 0 && access {
			return refusal(http.StatusForbidden, "an OAuth client must create tagged auth keys")
		}
		if len(tags) == 0 && !user {
			return refusal(http.StatusBadRequest, "an auth key without tags must be created with a user-owned API key")
		}
		for _, t := range tags {
			if _, defined := p.owners[t]; !defined {
				return refusal(http.StatusBadRequest, "tag %s is not defined in policy", t)
			}
			if access && !slices.Contains(q.cred.Tags, t) && !p.mayAssign(t, q.cred.Tags, "") {
				return refusal(http.StatusForbidden, "token may not assign tag %s", t)
			}
		}
		return nil
	}
	ok := len(tags) > 0 || !access
	for _, t := range tags {
		ok = ok && p.mayAssign(t, q.cred.Tags, q.lab.roleOf(user))
	}
	if access && len(tags) > 0 && sameSet(tags, q.cred.Tags) {
		ok = true // all of the client's own, but not some of them
	}
	if !ok {
		return refusal(http.StatusBadRequest, "%v", tagError(tags))
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func (q *call) createClient(c *createRequest) (any, error) {
	n := &credential{Kind: c.KeyType, Scopes: c.Scopes, Tags: c.Tags, Description: c.Description,
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience}
	if !q.cred.may(scopeOf(n), true) {
		return nil, errNoAccess
	}
	if len(c.Scopes) == 0 {
		return nil, refusal(http.StatusBadRequest, "scopes are missing")
	}
	if n.may("auth_keys", true) || n.may("devices:core", true) {
		if len(c.Tags) == 0 {
			return nil, refusal(http.StatusBadRequest, "tags are mandatory with the scopes auth_keys and devices:core")
		}
	}
	for _, t := range c.Tags {
		if _, defined := q.lab.policy.owners[t]; !defined {
			return nil, refusal(http.StatusBadRequest, "%v", tagError(c.Tags))
		}
	}
	q.lab.addClient(n)
	o := credentialObject(n)
	if n.Kind == "client" {
		o.Key = n.Text
	}
	return o, nil
}

// addClient makes up the secret of an OAuth client, or the id of a federated identity.
func (l *lab) addClient(c *credential) *credential {
	if c.Kind == "federated" {
		c.Text = l.publicID('T') + "-" + l.publicID('k')
		c.ID = c.Text
		if c.Audience == "" {
			c.Audience = "api.tailscale.com/" + c.ID
		}
	} else {
		c.Text = l.newKeyText("client").text
	}
	return l.addCredential(c)
}

// serveOldKeys is headscale's own API (v1): the only place that shows which key has which id. Its errors are RFC 9457's.
func (l *lab) serveOldKeys(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.authenticate(r)
	if err != nil || c.Kind != "api" {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"title":"Unauthorized","status":401,"detail":"unauthorized"}`))
		return
	}
	list := []any{}
	for _, k := range l.keys {
		part := strings.Split(k.Text, "-")
		tags := k.Tags
		if tags == nil {
			tags = []string{}
		}
		o := map[string]any{"id": k.ID, "key": strings.Join(part[:len(part)-1], "-") + "-***", "reusable": k.Reusable,
			"ephemeral": k.Ephemeral, "used": k.Used, "expiration": stamp(k.Expires), "createdAt": stamp(k.Created), "aclTags": tags, "user": nil}
		if k.User != 0 {
			o["user"] = map[string]any{"id": "1", "name": "user"}
		}
		list = append(list, o)
	}
	reply(w, map[string]any{"preAuthKeys": list})
}
