// Tailnet lock: a key authority on Tailscale's own tka package. Nodes fetch it by /machine/tka/...,
// check the signatures of their peers' keys themselves, and drop those that have none.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tailscale.com/tailcfg"
	"tailscale.com/tka"
	"tailscale.com/types/key"
	"tailscale.com/types/tkatype"
)

// lockKeep is what a restart carries over.
type lockKeep struct {
	Key    key.NLPrivate // the lab's own, always trusted
	Secret []byte        // takes the lock off again; kept when it is off, for nodes that have yet to hear of it
	AUMs   []tkatype.MarshaledAUM
}

// A lock is on as long as it has an authority.
type lock struct {
	lockKeep
	authority *tka.Authority
	store     *tka.Mem
}

// turnOn makes the authority, which trusts the lab's key and those of the nodes; every node there is gets signed.
func (l *lab) turnOn(signers []*node) error {
	k := lock{store: tka.ChonkMem(), lockKeep: lockKeep{Key: key.NewNLPrivate(), Secret: make([]byte, 32)}}
	rand.Read(k.Secret)
	trusted := []tka.Key{{Kind: tka.Key25519, Votes: 1, Public: k.Key.Public().Verifier()}}
	for _, n := range signers {
		trusted = append(trusted, tka.Key{Kind: tka.Key25519, Votes: 1, Public: n.LockKey.Verifier()})
	}
	id := make([]byte, 2)
	rand.Read(id)
	authority, genesis, err := tka.Create(k.store, tka.State{
		Keys:              trusted,
		DisablementValues: [][]byte{tka.DisablementKDF(k.Secret)},
		StateID1:          uint64(id[0]) + 1,
		StateID2:          uint64(id[1]) + 1,
	}, k.Key)
	if err != nil {
		return err
	}
	k.authority = authority
	k.AUMs = []tkatype.MarshaledAUM{genesis.Serialize()}
	l.lock = k
	for _, n := range l.nodes {
		if err := l.sign(n); err != nil {
			return err
		}
	}
	return nil
}

func (k *lock) on() bool { return k.authority != nil }

// open makes the authority again from what was kept.
func (k *lock) open() error {
	if len(k.AUMs) == 0 {
		return nil
	}
	aums := make([]tka.AUM, len(k.AUMs))
	for i, text := range k.AUMs {
		if err := aums[i].Unserialize(text); err != nil {
			return err
		}
	}
	k.store = tka.ChonkMem()
	authority, err := tka.Bootstrap(k.store, aums[0])
	if err == nil && len(aums) > 1 {
		err = authority.Inform(k.store, aums[1:])
	}
	k.authority = authority
	return err
}

// info is what a map says of it: nothing when there never was a lock.
func (k *lock) info() *tailcfg.TKAInfo {
	switch {
	case k.on():
		head, _ := k.authority.Head().MarshalText()
		return &tailcfg.TKAInfo{Head: string(head)}
	case k.Secret != nil:
		return &tailcfg.TKAInfo{Disabled: true}
	}
	return nil
}

// sign signs n's key; its own lock key may carry the signature over to the next node key.
func (l *lab) sign(n *node) error {
	public, err := n.Key.MarshalBinary()
	if err != nil {
		return err
	}
	sig := tka.NodeKeySignature{SigKind: tka.SigDirect, KeyID: l.lock.Key.KeyID(), Pubkey: public}
	if !n.LockKey.IsZero() {
		sig.WrappingPubkey = n.LockKey.Verifier()
	}
	if sig.Signature, err = l.lock.Key.SignNKS(sig.SigHash()); err != nil {
		return err
	}
	n.Signature = sig.Serialize()
	return nil
}

// rotates says whether a node that comes with a new key can sign that by itself, and with what.
func (l *lab) rotates(n *node, q *tailcfg.RegisterRequest) bool {
	var old tka.NodeKeySignature
	if !l.lock.on() || n == nil || n.Key == q.NodeKey || len(q.NodeKeySignature) > 0 || old.Unserialize(n.Signature) != nil {
		return false
	}
	by, ok := old.UnverifiedWrappingPublic()
	return ok && !q.NLKey.IsZero() && by.Equal(q.NLKey.Verifier())
}

// signature is the one that a node has brought, if it is good.
func (l *lab) signature(q *tailcfg.RegisterRequest) tkatype.MarshaledSignature {
	if !l.lock.on() || len(q.NodeKeySignature) == 0 || l.lock.authority.NodeKeyAuthorized(q.NodeKey, q.NodeKeySignature) != nil {
		return nil
	}
	return q.NodeKeySignature
}

// wrap makes a key pre-signed, as `tailscale lock sign AUTHKEY` does: whoever joins with it signs itself.
func (k *lock) wrap(text string) (string, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", err
	}
	sig := tka.NodeKeySignature{SigKind: tka.SigCredential, KeyID: k.Key.KeyID(), WrappingPubkey: public}
	if sig.Signature, err = k.Key.SignNKS(sig.SigHash()); err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return text + "--TL" + b64.EncodeToString(sig.Serialize()) + "-" + b64.EncodeToString(private), nil
}

// ---- what nodes ask ----

// locked decodes a request and answers it under the mutex; while the lock is off only bootstrap has an answer.
func locked[Q, A any](l *lab, needed bool, answer func(*Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := new(Q)
		if !take(w, r, q) {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		var a A
		err := errors.New("tailnet lock is off")
		if l.lock.on() || !needed {
			a, err = answer(q)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, a)
	}
}

// handleLock takes any method: tailscaled sends its bodies with GET.
func (l *lab) handleLock(mux *http.ServeMux) {
	mux.HandleFunc("/machine/tka/bootstrap", locked(l, false, l.lockBootstrap))
	mux.HandleFunc("/machine/tka/sync/offer", locked(l, true, l.lockOffer))
	mux.HandleFunc("/machine/tka/sync/send", locked(l, true, l.lockSend))
	mux.HandleFunc("/machine/tka/sign", locked(l, true, l.lockSign))
}

func (l *lab) lockBootstrap(*tailcfg.TKABootstrapRequest) (a tailcfg.TKABootstrapResponse, err error) {
	if l.lock.on() {
		a.GenesisAUM = l.lock.AUMs[0]
	} else {
		a.DisablementSecret = l.lock.Secret
	}
	return
}

func (l *lab) lockOffer(q *tailcfg.TKASyncOfferRequest) (a tailcfg.TKASyncOfferResponse, err error) {
	theirs, err := tka.ToSyncOffer(q.Head, q.Ancestors)
	if err != nil {
		return
	}
	ours, err := l.lock.authority.SyncOffer(l.lock.store)
	if err != nil {
		return
	}
	missing, err := l.lock.authority.MissingAUMs(l.lock.store, theirs)
	if err != nil {
		return
	}
	for _, m := range missing {
		a.MissingAUMs = append(a.MissingAUMs, m.Serialize())
	}
	a.Head, a.Ancestors, err = tka.FromSyncOffer(ours)
	return
}

// lockSend takes changes that a signing node has made (`tailscale lock add`, `lock remove`).
func (l *lab) lockSend(q *tailcfg.TKASyncSendRequest) (a tailcfg.TKASyncSendResponse, err error) {
	news := make([]tka.AUM, len(q.MissingAUMs))
	for i, text := range q.MissingAUMs {
		if err = news[i].Unserialize(text); err != nil {
			return
		}
	}
	if len(news) > 0 {
		if err = l.lock.authority.Inform(l.lock.store, news); err != nil {
			return
		}
		l.lock.AUMs = append(l.lock.AUMs, q.MissingAUMs...)
		l.bump()
	}
	head, err := l.lock.authority.Head().MarshalText()
	a.Head = string(head)
	return
}

func (l *lab) lockSign(q *tailcfg.TKASubmitSignatureRequest) (a tailcfg.TKASubmitSignatureResponse, err error) {
	var sig tka.NodeKeySignature
	var of key.NodePublic
	if err = sig.Unserialize(q.Signature); err != nil {
		return
	}
	if err = of.UnmarshalBinary(sig.Pubkey); err != nil {
		return
	}
	if err = l.lock.authority.NodeKeyAuthorized(of, q.Signature); err != nil {
		return
	}
	n := l.byKey(of)
	if n == nil {
		return a, errors.New("no such node key")
	}
	n.Signature = q.Signature
	l.bump()
	return
}

// ---- lab ctl lock ----

func (l *lab) verbLock(w []string) (string, error) {
	if len(w) < 2 {
		return "", usage("on, off, sign, unsign, wrap or show")
	}
	what, rest := w[1], w[2:]
	var nodes []*node
	for _, name := range rest {
		n := l.find(name)
		if n == nil && what != "wrap" {
			return "", fmt.Errorf("%s: no such node", name)
		}
		nodes = append(nodes, n)
	}
	one := len(rest) == 1
	switch {
	case what == "on" && l.lock.on():
		return "", errors.New("it is on")
	case what == "on":
		if err := l.turnOn(nodes); err != nil {
			return "", err
		}
	case !l.lock.on():
		return "", errors.New("tailnet lock is off")
	case what == "off" && len(rest) == 0:
		l.lock = lock{lockKeep: lockKeep{Secret: l.lock.Secret}}
		for _, n := range l.nodes {
			n.Signature = nil
		}
	case what == "sign" && one:
		if err := l.sign(nodes[0]); err != nil {
			return "", err
		}
	case what == "unsign" && one:
		nodes[0].Signature = nil
	case what == "wrap" && one:
		text, err := l.lock.wrap(rest[0])
		return text + "\n", err
	case what == "show" && len(rest) == 0:
		return l.showLock(), nil
	default:
		return "", usage("on, off, sign, unsign, wrap or show")
	}
	l.bump()
	return "", nil
}

// showLock lists the nodes: name, signed or unsigned, node key.
func (l *lab) showLock() string {
	var b strings.Builder
	for _, n := range l.sorted() {
		word := "unsigned"
		if l.lock.authority.NodeKeyAuthorized(n.Key, n.Signature) == nil {
			word = "signed"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\n", n.Name, word, n.Key)
	}
	return b.String()
}

func (k lock) MarshalJSON() ([]byte, error) { return json.Marshal(k.lockKeep) }

func (k *lock) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &k.lockKeep); err != nil {
		return err
	}
	return k.open()
}
