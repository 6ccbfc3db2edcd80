// The control server's outer side: what is answered before Noise, what goes into
// it, and the small requests inside. register.go and netmap.go are the big ones.
package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"tailscale.com/control/controlhttp/controlhttpserver"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const bodyBound = 4 << 20

// noHTTP2 keeps a TLS server to HTTP/1.1, where a connection can be taken over.
var noHTTP2 = map[string]func(*http.Server, *tls.Conn, http.Handler){}

// outside is what anybody can ask for over plain HTTP or TLS.
func (l *lab) outside() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/key", l.serveKey)
	mux.HandleFunc("/ts2021", l.serveNoise)
	if !l.headscale() {
		mux.HandleFunc("/derpmap/default", l.serveDERPMap)
	}
	mux.HandleFunc(loginPath, l.servePage)
	mux.HandleFunc("/admin", l.servePage)
	mux.HandleFunc("/generate_204", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.Handle("/api/", l.api())
	handleIdentities(mux)
	return l.watched(mux)
}

// inside is what a machine can ask for through Noise.
func (l *lab) inside() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /machine/register", l.serveRegister)
	mux.HandleFunc("POST /machine/map", l.serveMap)
	if l.headscale() {
		for _, path := range []string{"set-dns", "id-token", "feature/query", "update-health", "audit-log", "set-device-attr", "whoami"} {
			mux.HandleFunc("/machine/"+path, func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, "not implemented", http.StatusNotImplemented)
			})
		}
		return l.watched(mux)
	}
	l.handleLock(mux)
	mux.HandleFunc("POST /machine/set-dns", l.serveSetDNS)
	mux.HandleFunc("POST /machine/id-token", l.serveIDToken)
	mux.HandleFunc("POST /machine/feature/query", l.serveFeature)
	mux.HandleFunc("POST /machine/update-health", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /machine/ssh/action/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, tailcfg.SSHAction{Accept: true})
	})
	return l.watched(mux)
}

// watched counts a request, sets the clock's Date and plays the fault that was ordered.
func (l *lab) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, bodyBound)
		l.mu.Lock()
		if _, known := l.counts[r.URL.Path]; known || len(l.counts) < 1000 {
			l.counts[r.URL.Path]++
		}
		f := l.takeFault(r.URL.Path)
		if f == nil && strings.HasPrefix(r.URL.Path, "/api/") && !l.limit.allows(time.Now()) {
			f = &fault{kind: "429", wait: time.Second}
		}
		date := time.Now().Add(l.skew)
		l.mu.Unlock()
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		if f == nil || f.play(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// serveDERPMap is what Tailscale tells everybody, and headscale nobody.
func (l *lab) serveDERPMap(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	m := l.derpMap()
	l.mu.Unlock()
	reply(w, m)
}

func (l *lab) serveKey(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("v") == "" {
		io.WriteString(w, l.keep.Legacy.Public().UntypedHexString())
		return
	}
	reply(w, tailcfg.OverTLSPublicKeyResponse{LegacyPublicKey: l.keep.Legacy.Public(), PublicKey: l.keep.Noise.Public()})
}

// A peer is who speaks, as Noise has proved it, and through which connection.
type peer struct {
	machine key.MachinePublic
	conn    net.Conn
}

type peerKey struct{}

func machineOf(r *http.Request) key.MachinePublic {
	p, _ := r.Context().Value(peerKey{}).(peer)
	return p.machine
}

func (l *lab) serveNoise(w http.ResponseWriter, r *http.Request) {
	conn, err := controlhttpserver.AcceptHTTP(r.Context(), w, r, l.keep.Noise, nil)
	if err != nil {
		log.Printf("ts2021: %v", err)
		return
	}
	defer conn.Close()
	ctx := context.WithValue(r.Context(), peerKey{}, peer{conn.Peer(), conn})
	var h2 http2.Server
	h2.ServeConn(conn, &http2.ServeConnOpts{Context: ctx, BaseConfig: &http.Server{Handler: l.inside(), ErrorLog: log.Default()}})
}

func (l *lab) serveSetDNS(w http.ResponseWriter, r *http.Request) {
	var q tailcfg.SetDNSRequest
	if !take(w, r, &q) {
		return
	}
	l.mu.Lock()
	if len(l.txt) < 1000 {
		l.txt[q.Name] = q.Value
	}
	l.mu.Unlock()
	reply(w, tailcfg.SetDNSResponse{})
}

// serveIDToken gives a token that looks right and that nobody has signed.
func (l *lab) serveIDToken(w http.ResponseWriter, r *http.Request) {
	var q tailcfg.TokenRequest
	if !take(w, r, &q) {
		return
	}
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	reply(w, tailcfg.TokenResponse{IDToken: part(map[string]string{"alg": "none"}) + "." +
		part(map[string]any{"aud": q.Audience, "iss": l.base, "exp": time.Now().Add(5 * time.Minute).Unix()}) + ".bm9uZQ"})
}

func (l *lab) serveFeature(w http.ResponseWriter, r *http.Request) {
	var q tailcfg.QueryFeatureRequest
	if !take(w, r, &q) {
		return
	}
	l.mu.Lock()
	on := l.https
	l.mu.Unlock()
	if on {
		reply(w, tailcfg.QueryFeatureResponse{Complete: true})
		return
	}
	feature := strings.ToUpper(q.Feature[:min(1, len(q.Feature))]) + q.Feature[min(1, len(q.Feature)):]
	reply(w, tailcfg.QueryFeatureResponse{
		Text: feature + " is not enabled on your tailnet.\nTo enable, visit:\n",
		URL:  l.base + "/f/" + q.Feature,
	})
}

// take reads the request's JSON; if it cannot, it has answered.
func take(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		http.Error(w, fmt.Sprintf("bad request: %v", err), http.StatusBadRequest)
		return false
	}
	return true
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// connections is a listener that knows its connections, those that were taken over too.
type connections struct {
	net.Listener
	mu   sync.Mutex
	open map[*connection]bool
}

type connection struct {
	net.Conn
	from *connections
}

func (c *connections) Accept() (net.Conn, error) {
	plain, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &connection{plain, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*connection]bool{}
	}
	c.open[conn] = true
	return conn, nil
}

func (c *connection) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// cut ends every connection and says how many there were.
func (c *connections) cut() int {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		conn.Conn.Close()
	}
	return len(open)
}
