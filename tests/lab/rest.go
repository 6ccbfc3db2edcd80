// The v2 API: who may call it, OAuth, and the table of calls. What the calls do
// is in rest_keys.go, rest_devices.go and rest_policy.go; both dialects.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tailscale.com/tailcfg"
)

const tokenLife = time.Hour

// A credential opens the API: an API token, an OAuth client, a federated identity or an access token.
type credential struct {
	ID      string
	Text    string // of a federated identity: its client id
	Kind    string // api, client, federated, access
	Scopes  []string
	Tags    []string
	User    tailcfg.UserID
	Created time.Time
	Expires time.Time // zero: never
	Maker   string    // of an access token: the id of its client

	Description, Issuer, Subject, Audience string
}

func (l *lab) addCredential(c *credential) *credential {
	if c.Kind != "federated" {
		c.ID = l.keyID(c.Text)
	}
	c.Created = time.Now()
	l.creds[c.Text] = c
	return c
}

// may says whether c holds a scope, or may read what it covers.
func (c *credential) may(scope string, write bool) bool {
	return slices.ContainsFunc(c.Scopes, func(s string) bool {
		return s == "all" || s == scope || !write && (s == "all:read" || s == scope+":read")
	})
}

// An apiError is an answer that is not 200.
type apiError struct {
	status  int
	message string
	data    any
}

func (e *apiError) Error() string { return e.message }

func refusal(status int, format string, a ...any) error {
	return &apiError{status: status, message: fmt.Sprintf(format, a...)}
}

var errNoAccess = refusal(http.StatusForbidden, "calling actor does not have enough permissions to perform this function")

// noScope is the refusal for want of a scope: headscale names it.
func (l *lab) noScope(scope string) error {
	if l.headscale() {
		return refusal(http.StatusForbidden, "token is missing the required scope %s", scope)
	}
	return errNoAccess
}

// A call is one request that is allowed; the tables are held while it is answered.
type call struct {
	*http.Request
	lab  *lab
	cred *credential
	body []byte
	head http.Header // of the answer
}

func (q *call) take(v any) error {
	if err := json.Unmarshal(q.body, v); err != nil {
		return refusal(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	return nil
}

// raw is an answer that is not JSON of ours.
type raw struct {
	kind string
	body []byte
}

func (l *lab) api() http.Handler {
	mux := http.NewServeMux()
	// A scope that ends in ":read" suffices for reading; "" leaves the check to the call.
	handle := func(pattern, scope string, run func(*call) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v2/"+path, func(w http.ResponseWriter, r *http.Request) {
			l.serveCall(w, r, scope, run)
		})
	}
	mux.HandleFunc("POST /api/v2/oauth/token", l.serveToken)
	handle("GET tailnet/{tailnet}/keys", "", listKeys)
	handle("POST tailnet/{tailnet}/keys", "", createKey)
	handle("GET tailnet/{tailnet}/keys/{id}", "", getKey)
	handle("DELETE tailnet/{tailnet}/keys/{id}", "", deleteKey)
	handle("GET tailnet/{tailnet}/devices", "devices:core", listDevices)
	handle("GET device/{id}", "devices:core", getDevice)
	handle("DELETE device/{id}", "devices:core", deleteDevice)
	handle("GET device/{id}/routes", "devices:routes", getRoutes)
	handle("POST device/{id}/routes", "devices:routes", setRoutes)
	handle("POST device/{id}/{what}", "devices:core", changeDevice)
	handle("GET tailnet/{tailnet}/acl", "policy_file", getPolicy)
	handle("POST tailnet/{tailnet}/acl", "policy_file", setPolicy)
	handle("GET tailnet/{tailnet}/settings", "", getSettings)
	handle("GET tailnet/{tailnet}/users", "users", listUsers)
	handle("GET users/{id}", "users", getUser)
	if !l.headscale() {
		mux.HandleFunc("POST /api/v2/oauth/token-exchange", l.serveExchange)
		mux.HandleFunc("POST /api/v2/secret-scanning/verify", l.serveVerify)
		handle("POST tailnet/{tailnet}/acl/validate", "policy_file:read", validatePolicy)
		handle("GET tailnet/{tailnet}/dns/preferences", "dns", func(*call) (any, error) {
			return map[string]bool{"magicDNS": true}, nil
		})
	}
	if l.headscale() {
		mux.HandleFunc("GET /api/v1/preauthkey", l.serveOldKeys)
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		l.refuse(w, refusal(http.StatusNotFound, "not found"))
	})
	return mux
}

func (l *lab) serveCall(w http.ResponseWriter, r *http.Request, scope string, run func(*call) (any, error)) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		l.refuse(w, refusal(http.StatusRequestEntityTooLarge, "%v", err))
		return
	}
	q := &call{Request: r, lab: l, body: body, head: w.Header()}
	l.mu.Lock()
	v, err := q.answer(scope, run)
	l.mu.Unlock()
	if err != nil {
		l.refuse(w, err)
		return
	}
	if text, ok := v.(raw); ok {
		w.Header().Set("Content-Type", text.kind)
		w.Write(text.body)
	} else if v != nil {
		reply(w, v)
	}
}

func (q *call) answer(scope string, run func(*call) (any, error)) (any, error) {
	var err error
	if q.cred, err = q.lab.authenticate(q.Request); err != nil {
		return nil, err
	}
	readable, reads := strings.CutSuffix(scope, ":read")
	if scope != "" && !q.cred.may(readable, q.Method != http.MethodGet && !reads) {
		return nil, q.lab.noScope(scope)
	}
	switch q.PathValue("tailnet") {
	case "", "-":
	case q.lab.opt.Suffix, "example.com", userLogin:
		if !q.lab.headscale() {
			break
		}
		fallthrough
	default:
		return nil, refusal(http.StatusNotFound, "tailnet not found")
	}
	return run(q)
}

func (l *lab) authenticate(r *http.Request) (*credential, error) {
	text, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		text, _, _ = r.BasicAuth()
	}
	c := l.creds[text]
	switch {
	case l.headscale() && (c == nil || c.Kind == "client" || !c.Expires.IsZero() && c.Expires.Before(time.Now())):
		return nil, refusal(http.StatusUnauthorized, "unauthorized")
	case c == nil || c.Kind == "federated" || !c.Expires.IsZero() && c.Expires.Before(time.Now()):
		return nil, refusal(http.StatusUnauthorized, "API token invalid")
	case c.Kind == "client": // its secret has to be exchanged first
		return nil, errNoAccess
	}
	return c, nil
}

func (l *lab) refuse(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: http.StatusInternalServerError, message: err.Error()}
	}
	body := map[string]any{"message": e.message}
	if e.data != nil {
		body["data"] = e.data
	}
	if l.headscale() {
		body["status"] = e.status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(body)
}

// refuseOAuth says why there is no token: RFC 6749's way in headscale, a message in Tailscale's.
func (l *lab) refuseOAuth(w http.ResponseWriter, status int, code, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if !l.headscale() {
		l.refuse(w, refusal(status, "%s", text))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": text})
}

// serveToken exchanges an OAuth client's secret for an access token.
func (l *lab) serveToken(w http.ResponseWriter, r *http.Request) {
	secret := r.FormValue("client_secret") // also parses the form
	if _, pass, ok := r.BasicAuth(); ok && secret == "" {
		if secret = pass; strings.Contains(pass, "%") {
			secret, _ = url.QueryUnescape(pass)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.creds[secret]
	if c == nil || c.Kind != "client" {
		text := "API token invalid"
		if l.headscale() {
			text = "invalid client credentials"
		}
		l.refuseOAuth(w, http.StatusUnauthorized, "invalid_client", "%s", text)
		return
	}
	if g := r.FormValue("grant_type"); g != "" && g != "client_credentials" {
		l.refuseOAuth(w, http.StatusBadRequest, "unsupported_grant_type", "unsupported grant type %q", g)
		return
	}
	l.grantToken(w, c, strings.Fields(r.FormValue("scope")), strings.Fields(r.FormValue("tags")))
}

func (l *lab) grantToken(w http.ResponseWriter, c *credential, scopes, tags []string) {
	for _, s := range scopes {
		name, reads := strings.CutSuffix(s, ":read")
		if !c.may(name, !reads) {
			status := http.StatusForbidden
			if l.headscale() {
				status = http.StatusBadRequest
			}
			l.refuseOAuth(w, status, "invalid_scope", "OAuth client cannot grant scopes %q", strings.Join(scopes, " "))
			return
		}
	}
	for _, t := range tags {
		if !slices.Contains(c.Tags, t) {
			l.refuseOAuth(w, http.StatusBadRequest, "invalid_target", "%v", tagError(tags))
			return
		}
	}
	if len(scopes) == 0 {
		scopes = c.Scopes
	}
	if len(tags) == 0 {
		tags = c.Tags
	}
	kind := "api"
	if l.headscale() {
		kind = "oauthtok"
	}
	t := l.addCredential(&credential{Text: l.newKeyText(kind).text, Kind: "access", Scopes: scopes, Tags: tags,
		Expires: time.Now().Add(tokenLife), Maker: c.ID})
	a := map[string]any{
		"access_token": t.Text,
		"token_type":   "Bearer",
		"expires_in":   int(tokenLife.Seconds()),
		"scope":        strings.Join(scopes, " "),
	}
	if len(tags) > 0 {
		a["tags"] = strings.Join(tags, " ")
	}
	reply(w, a)
}

// serveExchange gives an access token for an identity token. The signature is not looked at.
func (l *lab) serveExchange(w http.ResponseWriter, r *http.Request) {
	id, jwt := r.FormValue("client_id"), r.FormValue("jwt")
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.creds[id]
	if c == nil || c.Kind != "federated" {
		l.refuse(w, refusal(http.StatusUnauthorized, "API token invalid"))
		return
	}
	if err := c.accepts(jwt); err != nil {
		l.refuse(w, refusal(http.StatusForbidden, "%v", err))
		return
	}
	l.grantToken(w, c, strings.Fields(r.FormValue("scope")), nil)
}

func (c *credential) accepts(jwt string) error {
	part := strings.Split(jwt, ".")
	if len(part) != 3 {
		return errors.New("invalid token: not a JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(part[1])
	var claims struct {
		Iss, Sub string
		Aud      any
		Exp      int64
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return errors.New("invalid token: its payload cannot be read")
	}
	has := claims.Aud == any(c.Audience)
	if list, ok := claims.Aud.([]any); ok {
		has = slices.Contains(list, any(c.Audience))
	}
	switch {
	case time.Unix(claims.Exp, 0).Before(time.Now()):
		return errors.New("invalid token: expired")
	case !has:
		return errors.New("invalid token: audience does not match")
	case c.Issuer != "" && claims.Iss != c.Issuer:
		return errors.New("invalid token: issuer does not match")
	case !matches(c.Subject, claims.Sub):
		return errors.New("invalid token: subject does not match")
	}
	return nil
}

// matches compares with a pattern where * stands for anything; an empty pattern takes all.
func matches(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	for i := 0; ok && i <= len(text); i++ {
		if rest == "" || matches(rest, text[i:]) {
			return true
		}
	}
	return false
}

// serveVerify is what secret scanners ask: 204 for a live secret, 401 for any other.
func (l *lab) serveVerify(w http.ResponseWriter, r *http.Request) {
	text := r.FormValue("key")
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.creds[text]
	live := c != nil && (c.Expires.IsZero() || c.Expires.After(time.Now()))
	if k, err := l.checkKey(text, false); err == nil && k != nil {
		live = true
	}
	if live {
		w.WriteHeader(http.StatusNoContent)
	} else {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// getSettings shows each field to whom may see it; an absent one means no more than that.
func getSettings(q *call) (any, error) {
	s := map[string]any{}
	if q.cred.may("networking_settings", false) {
		s["httpsEnabled"] = q.lab.https
		if q.lab.headscale() {
			s["httpsEnabled"] = q.lab.opt.TLS // there it speaks of the server
		}
	}
	if q.cred.may("feature_settings", false) {
		s["devicesApprovalOn"] = q.lab.approval
		s["devicesKeyDurationDays"] = q.lab.opt.KeyDays
		s["devicesAutoUpdatesOn"], s["usersApprovalOn"] = false, false
	}
	if len(s) == 0 {
		return nil, errNoAccess
	}
	return s, nil
}

func userObject(l *lab) map[string]any {
	p := profile(userID)
	id := userText(userID)
	if l.headscale() {
		id = fmt.Sprint(int64(userID))
	}
	return map[string]any{
		"id": id, "displayName": p.DisplayName, "loginName": p.LoginName,
		"tailnetId": "lab", "role": l.role, "status": "active", "type": "member",
	}
}

func listUsers(q *call) (any, error) {
	return map[string]any{"users": []any{userObject(q.lab)}}, nil
}

func getUser(q *call) (any, error) {
	if o := userObject(q.lab); o["id"] == q.PathValue("id") {
		return o, nil
	}
	return nil, refusal(http.StatusNotFound, "user not found")
}

// stamp is a time as the API writes it; the empty string for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
