// /machine/register: a node comes, renews its key, or logs out.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"net/url"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const oldestForHeadscale tailcfg.CapabilityVersion = 113 // Tailscale 1.80

func (l *lab) serveRegister(w http.ResponseWriter, r *http.Request) {
	var q tailcfg.RegisterRequest
	if !take(w, r, &q) {
		return
	}
	if l.headscale() && q.Version < oldestForHeadscale {
		http.Error(w, "unsupported client version", http.StatusBadRequest)
		return
	}
	if q.Hostinfo == nil {
		q.Hostinfo = &tailcfg.Hostinfo{}
	}
	var done *login
	if logout := !q.Expiry.IsZero() && q.Expiry.Before(time.Now()); !logout && q.Followup != "" {
		u, err := url.Parse(q.Followup)
		if err != nil {
			http.Error(w, "bad followup", http.StatusBadRequest)
			return
		}
		if done = l.awaitLogin(r.Context(), u.Path); r.Context().Err() != nil {
			return
		}
	}
	l.mu.Lock()
	a := l.register(&q, machineOf(r), done)
	l.mu.Unlock()
	reply(w, a)
}

// register decides, in the order that matters: logout before any look at a key, a key even if
// the node is known, tags before the key counts as used.
func (l *lab) register(q *tailcfg.RegisterRequest, machine key.MachinePublic, done *login) (a tailcfg.RegisterResponse) {
	known := l.byKey(q.NodeKey)
	if known != nil && known.Machine != machine {
		return tailcfg.RegisterResponse{Error: "node key belongs to another machine"}
	}
	if !q.Expiry.IsZero() && q.Expiry.Before(time.Now()) {
		l.logout(known)
		return
	}

	if l.refusal != "" {
		return tailcfg.RegisterResponse{Error: l.refusal}
	}
	var k *authKey
	switch {
	case done != nil:
		q.Ephemeral = done.ephemeral // the follow-up itself does not say it
	case q.Auth != nil && q.Auth.AuthKey != "":
		var err error
		if k, err = l.checkKey(q.Auth.AuthKey, l.device(q, machine) != nil); err != nil {
			return refuse(q, err)
		}
	case known != nil && known.expired():
		a.NodeKeyExpired = true
		return
	case known != nil:
		return l.accept(known)
	default:
		a.AuthURL = l.base + l.askLogin(q, machine)
		return
	}

	tags, err := l.grantTags(q.Hostinfo.RequestTags, k)
	if err != nil {
		return refuse(q, err)
	}
	n := l.device(q, machine)
	if l.rotates(n, q) {
		a.NodeKeySignature = n.Signature
		return
	}
	fresh := n == nil
	if fresh {
		n = l.newNode()
	}
	if k != nil && !k.Reusable {
		k.Used = true
	}
	if n.Key != q.NodeKey || len(q.NodeKeySignature) > 0 {
		n.Signature = l.signature(q)
	}
	n.Key, n.Machine, n.Cap, n.LockKey = q.NodeKey, machine, q.Version, q.NLKey
	if fresh || n.Hostinfo.Hostname != q.Hostinfo.Hostname {
		l.rename(n, q.Hostinfo.Hostname)
	}
	n.Hostinfo = q.Hostinfo
	n.Ephemeral = k != nil && k.Ephemeral || q.Ephemeral && !l.headscale()
	n.Tags, n.User = tags, userID
	if n.tagged() {
		n.User = taggedID
	}
	n.Expiry = l.nextExpiry(n)
	if fresh {
		n.Authorized = !l.approval || k != nil && k.Preauthorized
	} else if k != nil && k.Preauthorized {
		n.Authorized = true
	}
	l.armRemoval(n, 0)
	l.bump()
	log.Printf("register: %s is node %d", n.Name, n.ID)
	return l.accept(n)
}

// device finds the node that this machine was before, if any.
func (l *lab) device(q *tailcfg.RegisterRequest, machine key.MachinePublic) *node {
	var same *node
	for _, n := range l.sorted() {
		if n.Machine != machine {
			continue
		}
		if n.Key == q.NodeKey || n.Key == q.OldNodeKey {
			return n
		}
		same = n
	}
	return same
}

func (l *lab) logout(n *node) {
	switch {
	case n == nil: // deleted meanwhile: that is as good
	case n.Ephemeral:
		log.Printf("register: %s logs out, removed", n.Name)
		l.remove(n)
	default:
		log.Printf("register: %s logs out", n.Name)
		n.Expiry = time.Now().Add(-time.Second)
		l.bump()
	}
}

// nextExpiry is when n's key ends if it is renewed now; never for a tagged node.
func (l *lab) nextExpiry(n *node) time.Time {
	if n.NoExpiry || n.tagged() {
		return time.Time{}
	}
	return time.Now().AddDate(0, 0, l.opt.KeyDays).UTC().Truncate(time.Second)
}

func refuse(q *tailcfg.RegisterRequest, why error) tailcfg.RegisterResponse {
	log.Printf("register: %q refused: %v", q.Hostinfo.Hostname, why)
	return tailcfg.RegisterResponse{Error: why.Error()}
}

func (l *lab) accept(n *node) tailcfg.RegisterResponse {
	p := profile(n.User)
	return tailcfg.RegisterResponse{
		MachineAuthorized: n.Authorized,
		User:              tailcfg.User{ID: n.User, DisplayName: p.DisplayName},
		Login:             tailcfg.Login{ID: tailcfg.LoginID(n.User), Provider: "lab", LoginName: p.LoginName, DisplayName: p.DisplayName},
	}
}

func profile(id tailcfg.UserID) tailcfg.UserProfile {
	if id == taggedID {
		return tailcfg.UserProfile{ID: id, LoginName: "tagged-devices", DisplayName: "Tagged Devices"}
	}
	return tailcfg.UserProfile{ID: id, LoginName: userLogin, DisplayName: "Lab User"}
}

// marshal is for what is compared, not sent: it cannot fail on our own types.
func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
