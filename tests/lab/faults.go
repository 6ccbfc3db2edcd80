// Misbehaviour on demand: a path, what it does, and how often.
package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

var (
	faultKinds = []string{"429", "500", "503", "hang", "close", "slow", "junk"}
	faultPaths = map[string]string{
		"key":      "/key",
		"ts2021":   "/ts2021",
		"register": "/machine/register",
		"map":      "/machine/map",
		"api":      "/api/v2",
	}
)

type fault struct {
	path  string // and everything below it
	kind  string
	left  int // -1: until it is taken away
	wait  time.Duration
	ended chan struct{}
}

// takeFault finds the fault that path has coming, the newest one first, and counts it.
func (l *lab) takeFault(path string) *fault {
	for i := len(l.faults) - 1; i >= 0; i-- {
		f := l.faults[i]
		if path != f.path && !strings.HasPrefix(path, strings.TrimSuffix(f.path, "/")+"/") || f.left == 0 {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		return f
	}
	return nil
}

func (l *lab) addFault(path, kind string, times int, wait time.Duration) error {
	path = strings.TrimPrefix(path, "api:")
	if known := faultPaths[path]; known != "" {
		path = known
	}
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%s is no path: key, ts2021, register, map, api or one that begins with /", path)
	}
	if !slices.Contains(faultKinds, kind) {
		return fmt.Errorf("%s is no fault: %s", kind, strings.Join(faultKinds, ", "))
	}
	l.dropFaults(path)
	l.faults = append(l.faults, &fault{path, kind, times, wait, make(chan struct{})})
	return nil
}

// dropFaults takes away the faults of path, all if it is empty, and lets go of what hangs.
func (l *lab) dropFaults(path string) {
	l.faults = slices.DeleteFunc(l.faults, func(f *fault) bool {
		if path != "" && f.path != path {
			return false
		}
		close(f.ended)
		return true
	})
}

// play does what the fault does, and says whether the request goes on after it.
func (f *fault) play(w http.ResponseWriter, r *http.Request) bool {
	switch f.kind {
	case "429":
		w.Header().Set("Retry-After", fmt.Sprint(int(f.wait.Seconds())))
		http.Error(w, "too many requests", http.StatusTooManyRequests)
	case "500":
		http.Error(w, "internal server error", http.StatusInternalServerError)
	case "503":
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
	case "junk":
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html><body>Please sign in to this network</body></html>\n")
	case "slow":
		select {
		case <-time.After(f.wait):
		case <-f.ended:
		case <-r.Context().Done():
		}
		return r.Context().Err() == nil
	case "hang":
		// The body is read first: only then does the server notice that the client has gone.
		body := r.Body
		if r.URL.Path != "/ts2021" {
			io.Copy(io.Discard, body)
		}
		select {
		case <-f.ended:
		case <-r.Context().Done():
		}
		hangUp(r)
	case "close":
		hangUp(r)
	}
	return false
}

// hangUp ends the whole connection without an answer.
func hangUp(r *http.Request) {
	if p, ok := r.Context().Value(peerKey{}).(peer); ok {
		p.conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// A limit lets so many API requests a second through, and refuses the others with 429.
type limit struct {
	rate float64 // 0: none
	left float64
	last time.Time

	began             time.Time
	second            int64
	now, most         int // requests within this second; within any, but for the first five
	answered, refused int
}

func (l *limit) allows(now time.Time) bool {
	if l.rate == 0 {
		return true
	}
	if now.Unix() != l.second {
		l.second, l.now = now.Unix(), 0
	}
	l.now++
	if l.began.IsZero() {
		l.began = now
	}
	if now.Sub(l.began) > 5*time.Second {
		l.most = max(l.most, l.now)
	}
	l.left = min(l.rate, l.left+l.rate*now.Sub(l.last).Seconds())
	l.last = now
	if l.left < 1 {
		l.refused++
		return false
	}
	l.left--
	l.answered++
	return true
}
