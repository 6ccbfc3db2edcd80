// Interactive login: a URL that the node shows, and somebody who opens it.
package main

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const loginPath = "/a/"

type login struct {
	path      string
	hostname  string
	machine   key.MachinePublic
	node      key.NodePublic
	ephemeral bool
	asked     time.Time
	approved  chan struct{} // closed when somebody has approved
}

func (g *login) pending() bool {
	select {
	case <-g.approved:
		return false
	default:
		return true
	}
}

// askLogin remembers who wants in and returns the path to open; asked again, it is the same one.
func (l *lab) askLogin(q *tailcfg.RegisterRequest, machine key.MachinePublic) string {
	for _, g := range l.logins {
		if g.node == q.NodeKey && g.machine == machine && g.pending() {
			return g.path
		}
	}
	if len(l.logins) >= 1000 {
		clear(l.logins)
	}
	g := &login{
		path:      loginPath + randomHex(14),
		hostname:  q.Hostinfo.Hostname,
		machine:   machine,
		node:      q.NodeKey,
		ephemeral: q.Ephemeral,
		asked:     time.Now(),
		approved:  make(chan struct{}),
	}
	l.logins[g.path] = g
	return g.path
}

// awaitLogin waits until the login at path is approved; nil if there is none, or ctx is over.
func (l *lab) awaitLogin(ctx context.Context, path string) *login {
	l.mu.Lock()
	g := l.logins[path]
	l.mu.Unlock()
	if g == nil {
		return nil
	}
	select {
	case <-g.approved:
		return g
	case <-ctx.Done():
		return nil
	}
}

// approveLogins approves the pending logins of that hostname or path, all of them if what is empty.
func (l *lab) approveLogins(what string) int {
	n := 0
	for _, g := range l.pendingLogins() {
		if what == "" || what == g.hostname || strings.HasSuffix(what, g.path) {
			close(g.approved)
			n++
		}
	}
	return n
}

func (l *lab) pendingLogins() []*login {
	var all []*login
	for _, g := range l.logins {
		if g.pending() {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b *login) int { return a.asked.Compare(b.asked) })
	return all
}

// servePage is what a browser would see; approving is done through `lab ctl`.
func (l *lab) servePage(w http.ResponseWriter, r *http.Request) {
	text := "Devices are approved with: lab ctl DIR approve NODE"
	if strings.HasPrefix(r.URL.Path, loginPath) {
		l.mu.Lock()
		g := l.logins[r.URL.Path]
		l.mu.Unlock()
		if g == nil {
			http.NotFound(w, r)
			return
		}
		text = g.hostname + " wants to log in. Approve with: lab ctl DIR login approve " + g.hostname
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>lab</title><p>%s\n", html.EscapeString(text))
}
