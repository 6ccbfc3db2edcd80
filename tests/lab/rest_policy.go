// The v2 API's policy file: read, replaced under an ETag, checked.
package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

func getPolicy(q *call) (any, error) {
	p := &q.lab.policy
	q.head.Set("ETag", p.etag())
	if q.URL.Query().Get("details") == "1" && !q.lab.headscale() {
		return map[string]any{"acl": p.text, "warnings": []string{}, "errors": nil}, nil
	}
	accept := q.Header.Get("Accept")
	switch {
	case strings.Contains(accept, "application/hujson"):
		return raw{"application/hujson", p.text}, nil
	case q.lab.headscale():
		return raw{"application/json", p.text}, nil
	case strings.Contains(accept, "application/json"):
		return raw{"application/json", p.standard()}, nil
	}
	return raw{"application/hujson", p.text}, nil
}

func setPolicy(q *call) (any, error) {
	now := &q.lab.policy
	if match := q.Header.Get("If-Match"); match != "" && match != now.etag() && (match != `"ts-default"` || now.edited) {
		return nil, refusal(http.StatusPreconditionFailed, "precondition failed, invalid old hash")
	}
	next, err := checkPolicy(q.body, q.lab.headscale())
	if err != nil {
		return nil, refusal(http.StatusBadRequest, "%v", err)
	}
	q.lab.policy = *next
	return getPolicy(q)
}

// validatePolicy answers 200 whatever it finds; a message says that something is wrong.
func validatePolicy(q *call) (any, error) {
	if body := bytes.TrimSpace(q.body); len(body) > 0 && body[0] == '[' {
		var tests []map[string]any
		if err := json.Unmarshal(body, &tests); err != nil {
			return map[string]any{"message": err.Error()}, nil
		}
		return map[string]any{}, nil // tests are not evaluated here
	}
	if _, err := checkPolicy(q.body, q.lab.headscale()); err != nil {
		return map[string]any{"message": err.Error()}, nil
	}
	return map[string]any{}, nil
}
