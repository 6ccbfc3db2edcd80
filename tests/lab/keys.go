// Auth keys: their shapes, their states, and what is said when one cannot be used.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tailscale.com/tailcfg"
)

type authKey struct {
	ID            string
	Text          string
	Description   string
	Reusable      bool
	Ephemeral     bool
	Preauthorized bool
	Tags          []string
	User          tailcfg.UserID // 0 if an OAuth client made it
	Maker         string         // and its id
	Created       time.Time
	Expires       time.Time
	Revoked       time.Time
	Used          bool
}

func (k *authKey) expired() bool { return !k.Expires.After(time.Now()) }
func (k *authKey) usable() bool  { return !k.expired() && k.Revoked.IsZero() && (k.Reusable || !k.Used) }

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = base58[int(b[i])%len(base58)]
	}
	return string(b)
}

func randomHex(n int) string {
	b := make([]byte, n/2)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// publicID is an id as Tailscale's service gives them: k for a key, n for a node.
func (l *lab) publicID(first byte) string { return string(first) + randomText(9) + "11CNTRL" }

type keyText struct{ id, text string }

// newKeyText makes up a secret of a kind: auth, api, client.
func (l *lab) newKeyText(kind string) keyText {
	if l.headscale() {
		return keyText{text: "hskey-" + kind + "-" + randomHex(12) + "-" + randomHex(64)}
	}
	id := l.publicID('k')
	return keyText{id, "tskey-" + kind + "-" + id + "-" + randomText(33)}
}

// keyID is the id inside a Tailscale secret; headscale counts.
func (l *lab) keyID(text string) string {
	if l.headscale() {
		l.lastKey++
		return strconv.Itoa(l.lastKey)
	}
	if part := strings.Split(text, "-"); len(part) == 4 {
		return part[2]
	}
	return ""
}

const keyLife = 90 * 24 * time.Hour

// addKey completes k and puts it in the table.
func (l *lab) addKey(k *authKey) *authKey {
	if k.Text == "" {
		k.Text = l.newKeyText("auth").text
	}
	k.ID = l.keyID(k.Text)
	k.Created = time.Now()
	if k.Expires.IsZero() {
		k.Expires = k.Created.Add(keyLife)
	}
	l.keys = append(l.keys, k)
	return k
}

func (l *lab) keyByID(id string) *authKey {
	for _, k := range l.keys {
		if k.ID == id {
			return k
		}
	}
	return nil
}

// checkKey finds the key of that text, if a node may join with it; again says that the machine
// has been here before, which to headscale is as good as a key that is still valid.
func (l *lab) checkKey(text string, again bool) (*authKey, error) {
	text, _, _ = strings.Cut(text, "--TL")
	i := slices.IndexFunc(l.keys, func(k *authKey) bool { return k.Text == text })
	if l.headscale() {
		switch {
		case i < 0:
			return nil, errors.New("invalid pre auth key")
		case again:
		case !l.keys[i].Revoked.IsZero():
			return nil, errors.New("authkey revoked")
		case l.keys[i].expired():
			return nil, errors.New("authkey expired")
		case !l.keys[i].usable():
			return nil, errors.New("authkey already used")
		}
		return l.keys[i], nil
	}
	if i >= 0 && l.keys[i].usable() {
		return l.keys[i], nil
	}
	if i >= 0 {
		return nil, fmt.Errorf("invalid key: API key %s not valid", l.keys[i].ID)
	}
	if c := l.creds[text]; c != nil {
		return nil, fmt.Errorf("invalid key: API key %s not valid", c.ID)
	}
	if strings.HasPrefix(text, "tskey-") {
		return nil, errors.New("invalid key: API key does not exist")
	}
	return nil, errors.New("invalid key: unable to validate API key")
}

func tagError(tags []string) error {
	return fmt.Errorf("requested tags [%s] are invalid or not permitted", strings.Join(tags, " "))
}

// grantTags says which tags a node gets that asks for wanted and holds the key, nil for a login.
func (l *lab) grantTags(wanted []string, k *authKey) ([]string, error) {
	var held []string
	if k != nil {
		held = k.Tags
	}
	if len(wanted) == 0 {
		return held, nil
	}
	if l.headscale() && k != nil {
		return nil, tagError(wanted)
	}
	byUser := k == nil || len(held) == 0 && k.User != 0
	for _, t := range wanted {
		if !slices.Contains(held, t) && !l.policy.mayAssign(t, held, l.roleOf(byUser)) {
			return nil, tagError(wanted)
		}
	}
	return slices.Clone(wanted), nil
}
