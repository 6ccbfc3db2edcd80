// Identity tokens as CI systems and clouds give them, each by its own interface
// (GitHub's and Buildkite's below /ci, Google's metadata server); signed by nobody.
package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// ciToken is what the job shows to be given an identity token.
const ciToken = "ci-request-token"

type identity struct {
	Issuer    string `json:"iss,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  any    `json:"aud,omitempty"`
	Issued    int64  `json:"iat,omitempty"`
	NotBefore int64  `json:"nbf,omitempty"`
	Expires   int64  `json:"exp,omitempty"`
}

func newIdentity(issuer, subject string, audience any) identity {
	now := time.Now()
	return identity{Issuer: issuer, Subject: subject, Audience: audience, Issued: now.Unix(), Expires: now.Add(5 * time.Minute).Unix()}
}

func (i identity) String() string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(i) + "." + base64.RawURLEncoding.EncodeToString([]byte("signed by nobody"))
}

func handleIdentities(mux *http.ServeMux) {
	const ref = ":ref:refs/heads/main"
	mux.HandleFunc("GET /ci/github", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+ciToken {
			http.Error(w, `{"message":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		i := newIdentity("https://token.actions.githubusercontent.com", "repo:lab/app"+ref, r.FormValue("audience"))
		reply(w, map[string]any{"count": 1, "value": i.String()})
	})
	mux.HandleFunc("POST /ci/buildkite/jobs/{id}/oidc/tokens", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Audience string
			Lifetime int
		}
		if r.Header.Get("Authorization") != "Token "+ciToken {
			http.Error(w, `{"message":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		if json.NewDecoder(r.Body).Decode(&q) != nil || q.Lifetime <= 0 {
			http.Error(w, `{"message":"bad request"}`, http.StatusBadRequest)
			return
		}
		i := newIdentity("https://agent.buildkite.com", "organization:lab:pipeline:app"+ref, q.Audience)
		reply(w, map[string]string{"token": i.String()})
	})
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/identity", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
			return
		}
		w.Header().Set("Metadata-Flavor", "Google")
		w.Write([]byte(newIdentity("https://accounts.google.com", "110169484474386276334", r.FormValue("audience")).String()))
	})
}

// verbJWT prints a token with any claims; an audience with commas is a list.
func (l *lab) verbJWT(w []string) (string, error) {
	w, got, err := takeOptions(w[1:], []string{"issuer", "subject", "audience", "expiry", "issued", "not-before"}, nil)
	if err != nil {
		return "", err
	}
	if len(w) > 0 {
		return "", usage("no operands")
	}
	text := func(name string) string { return strings.Join(got[name], ",") }
	i := newIdentity(text("issuer"), text("subject"), nil)
	if a := text("audience"); strings.Contains(a, ",") {
		i.Audience = strings.Split(a, ",")
	} else if a != "" {
		i.Audience = a
	}
	for name, at := range map[string]*int64{"expiry": &i.Expires, "issued": &i.Issued, "not-before": &i.NotBefore} {
		if got[name] == nil {
			continue
		}
		d, err := seconds(got[name][len(got[name])-1])
		if err != nil {
			return "", err
		}
		*at = time.Now().Add(d).Unix()
	}
	return i.String() + "\n", nil
}
