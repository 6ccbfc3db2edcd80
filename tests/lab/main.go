// lab is a tailnet in a box: Tailscale's control protocol, a relay and the v2
// API on loopback, for real tailscaled processes to join. See README.md.
//
// This file is the program's outside: start, stop and what a shell gets to see.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"moorbox/tests/lab/life"
)

// options are what `lab start` can be told; they are kept in DIR for a restart.
type options struct {
	TLS              bool
	IPv6             bool
	TestControl      bool
	Dialect          string
	Suffix           string
	EphemeralTimeout float64
	KeyDays          int
	Life             int
	Approval         bool
	NoHTTPS          bool
	SSH              bool

	// The programs that the script built; not flags.
	Tailscaled, Tailscale string
}

// host is where control and relay listen.
func (o *options) host() string {
	if o.IPv6 {
		return "::1"
	}
	return "127.0.0.1"
}

func (o *options) flags(out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("lab start DIR", flag.ContinueOnError)
	f.SetOutput(out)
	f.BoolVar(&o.TLS, "tls", false, "control over https, with a CA of its own")
	f.BoolVar(&o.IPv6, "ipv6", false, "control and relay on ::1, and only there")
	f.BoolVar(&o.TestControl, "testcontrol", false, "Tailscale's own test server instead of the lab's")
	f.StringVar(&o.Dialect, "dialect", "saas", "how to talk: saas or headscale")
	f.StringVar(&o.Suffix, "suffix", "lab.ts.net", "MagicDNS suffix")
	f.Float64Var(&o.EphemeralTimeout, "ephemeral-timeout", 30, "seconds offline after which an ephemeral node is removed")
	f.IntVar(&o.KeyDays, "key-days", 180, "days until the node key of an untagged node expires")
	f.IntVar(&o.Life, "life", 7200, "seconds after which the lab ends by itself")
	f.BoolVar(&o.Approval, "approval", false, "devices need approval")
	f.BoolVar(&o.NoHTTPS, "no-https", false, "HTTPS is off for the tailnet")
	f.BoolVar(&o.SSH, "ssh", false, "policy lets everybody ssh to every node")
	return f
}

func main() {
	if len(os.Args) < 3 {
		fail(2, "usage: lab start|stop|restart|pause|resume|ctl DIR ...")
	}
	verb, rest := os.Args[1], os.Args[2:]
	var err error
	switch verb {
	case "start":
		err = start(rest)
	case "serve":
		err = serve(rest[0])
	case "ctl":
		os.Exit(ask(rest[0], rest[1:]))
	case "stop":
		err = life.Stop(rest[0])
	case "restart":
		err = restart(rest[0], rest[1:])
	case "pause":
		err = life.Signal(rest[0], syscall.SIGSTOP)
	case "resume":
		err = life.Signal(rest[0], syscall.SIGCONT)
	default:
		fail(2, "%s: no such verb", verb)
	}
	if err != nil {
		fail(1, "%s: %v", rest[0], err)
	}
}

func fail(status int, format string, a ...any) {
	fmt.Fprintf(os.Stderr, "lab: "+format+"\n", a...)
	os.Exit(status)
}

func start(args []string) error {
	var o options
	f := o.flags(os.Stderr)
	dir := ""
	for len(args) > 0 {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			os.Exit(0)
		} else if err != nil {
			os.Exit(2)
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		if dir != "" {
			fail(2, "one directory only, not %s as well", args[0])
		}
		dir, args = args[0], args[1:]
	}
	switch {
	case dir == "":
		fail(2, "start: which directory?")
	case o.Dialect != "saas" && o.Dialect != "headscale":
		fail(2, "--dialect is saas or headscale, not %s", o.Dialect)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, alive := life.Find(dir); alive {
		return errors.New("a lab is running there already")
	}
	// A start is a new lab, whatever lived in dir before; restart is for the same one.
	for _, old := range []string{keepFile, tablesFile, "ca.pem", "control.pem", "control.key"} {
		if err := os.Remove(filepath.Join(dir, old)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	o.Tailscaled, o.Tailscale = os.Getenv("LAB_TAILSCALED"), os.Getenv("LAB_TAILSCALE")
	if err := writeJSON(filepath.Join(dir, "options.json"), o); err != nil {
		return err
	}
	return launch(dir, o, nil)
}

func restart(dir string, args []string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var o options
	if err := readJSON(filepath.Join(dir, "options.json"), &o); err != nil {
		return err
	}
	// Who comes between the two servers waits in our queue, and is not turned away.
	var k keep
	if err := readJSON(filepath.Join(dir, keepFile), &k); err != nil {
		return err
	}
	door, err := life.Listen(o.host(), k.Port)
	if err != nil {
		return err
	}
	defer door.Close()
	if err := life.Stop(dir); err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "--forget" {
		os.Remove(filepath.Join(dir, tablesFile))
	}
	return launch(dir, o, door)
}

// launch starts the server that o asks for, at the door if there is one already, and prints what a
// shell can eval.
func launch(dir string, o options, door *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	link := filepath.Join(dir, "server")
	os.Remove(link)
	if err := os.Symlink(self, link); err != nil {
		return err
	}
	program, args := self, []string{"serve", dir}
	if o.TestControl {
		program, args = filepath.Join(filepath.Dir(self), "testcontrol"), []string{dir, fmt.Sprint(o.Life), o.Suffix}
	}
	vars, err := life.Detach(dir, door, program, args...)
	if err != nil {
		return err
	}
	p, _ := life.Find(dir)
	vars = append(vars, life.Vars{
		{"LAB_TAILSCALED", o.Tailscaled},
		{"LAB_TAILSCALE", o.Tailscale},
		{"LAB_PID", fmt.Sprint(p.PID)},
		{"LAB_DIR", dir},
	}...)
	var text strings.Builder
	for _, v := range vars {
		fmt.Fprintf(&text, "%s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	_, err = os.Stdout.WriteString(text.String())
	return err
}

// serve is the server itself; its working directory is the lab's.
func serve(dir string) error {
	life.Log()
	syscall.Umask(0o077) // secrets and the admin socket are for this user
	var o options
	if err := readJSON("options.json", &o); err != nil {
		return err
	}
	l, err := newLab(o)
	if err != nil {
		return err
	}
	ln, err := life.Door(o.host(), l.keep.Port)
	if err != nil {
		return err
	}
	l.keep.Port = ln.Addr().(*net.TCPAddr).Port
	l.base = "http://" + net.JoinHostPort(o.host(), fmt.Sprint(l.keep.Port))
	web := &http.Server{Handler: l.outside(), ErrorLog: log.Default()}
	held := &connections{Listener: ln}
	l.conns = held
	var tlsVars life.Vars
	if o.TLS {
		l.base = "https" + strings.TrimPrefix(l.base, "http")
		if web.TLSConfig, err = l.certificate(); err != nil {
			return err
		}
		web.TLSNextProto = noHTTP2
		tlsVars = life.Vars{{"LAB_CA", filepath.Join(dir, "ca.pem")}}
	}
	admin, err := l.listenAdmin()
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := l.keepIdentity(); err != nil {
		return err
	}
	go func() {
		if o.TLS {
			web.ServeTLS(held, "", "")
		} else {
			web.Serve(held)
		}
	}()
	log.Printf("lab: %s, dialect %s", l.base, o.Dialect)
	life.Ready(append(life.Vars{
		{"LAB_CONTROL", l.base},
		{"LAB_API", l.base},
		{"LAB_KEY", l.keep.Key},
		{"LAB_TOKEN", l.keep.Token},
		{"LAB_CLIENT", l.keep.Client},
		{"LAB_SUFFIX", o.Suffix},
		{"LAB_DERP_PORT", fmt.Sprint(l.keep.DERPPort)},
	}, tlsVars...))

	why := life.Wait(dir, time.Duration(o.Life)*time.Second)
	log.Printf("lab: ends: %s", why)
	l.save()
	held.cut()
	return nil
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
