package main

import (
	"net/http"
	"time"

	"tailscale.com/tailcfg"
)

type credential struct {
	ID      string
	Text    string
	Kind    string // api, client, oauthtok
	Scopes  []string
	Tags    []string
	User    tailcfg.UserID
	Created time.Time
	Expires time.Time
}

func (l *lab) addCredential(c *credential) *credential {
	c.ID = l.keyID(c.Text)
	c.Created = time.Now()
	l.creds[c.Text] = c
	return c
}

func (l *lab) api() http.Handler { return http.NotFoundHandler() }
