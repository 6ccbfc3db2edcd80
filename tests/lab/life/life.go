// Package life is how a lab's server comes up, is found again and ends: it is
// detached, says when it is ready, and dies with its directory or its time.
package life

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readyFD  = 3
	doorFD   = 4
	logBound = 4 << 20 // one file; with the one before it 8 MiB
)

// Vars are the values that a shell gets to see, in order.
type Vars [][2]string

// A Process is a server that was started: a pid alone is not proof enough.
type Process struct {
	PID   int
	Start string // field 22 of /proc/PID/stat
}

// Detach runs program with args in a session of its own, its output in dir's log, and
// returns what it says when it is ready. If door is a listener, the program gets it.
func Detach(dir string, door *os.File, program string, args ...string) (Vars, error) {
	logFile, err := os.OpenFile(filepath.Join(dir, "lab.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = []*os.File{w}
	if door != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, door)
		cmd.Env = append(os.Environ(), "LAB_DOOR=open")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	w.Close()

	var vars Vars
	if err := json.NewDecoder(r).Decode(&vars); err != nil {
		cmd.Wait()
		return nil, fmt.Errorf("the server did not start: %s", lastLine(filepath.Join(dir, "lab.log")))
	}
	p, err := find(cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	record, _ := json.Marshal(p)
	return vars, os.WriteFile(filepath.Join(dir, "pid"), append(record, '\n'), 0o600)
}

// Listen opens port of host beside whoever listens there in the same way, for a server to come.
func Listen(host string, port int) (*os.File, error) {
	ln, err := shared.Listen(context.Background(), "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	return ln.(*net.TCPListener).File()
}

// Door is the server's side of it: the listener that was handed over, or one of its own.
func Door(host string, port int) (net.Listener, error) {
	if os.Getenv("LAB_DOOR") != "open" {
		return shared.Listen(context.Background(), "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	}
	f := os.NewFile(doorFD, "door")
	defer f.Close()
	return net.FileListener(f)
}

var shared = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}}

// Ready tells whoever called Detach that the server can be used.
func Ready(vars Vars) {
	f := os.NewFile(readyFD, "ready")
	json.NewEncoder(f).Encode(vars)
	f.Close()
}

// Wait returns when the server should end: by signal, when dir is gone, or after max.
func Wait(dir string, max time.Duration) string {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	born, err := os.Stat(dir)
	if err != nil {
		return "its directory is gone"
	}
	end := time.After(max)
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case s := <-signals:
			return s.String()
		case <-end:
			return "its time is over"
		case <-look.C:
			if now, err := os.Stat(dir); err != nil || !os.SameFile(born, now) {
				return "its directory is gone"
			}
		}
	}
}

// Find returns the server that was started in dir, if it still lives.
func Find(dir string) (Process, bool) {
	var p Process
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil || json.Unmarshal(text, &p) != nil {
		return p, false
	}
	now, err := find(p.PID)
	return p, err == nil && now == p
}

// Signal sends sig to the server that was started in dir, to no other process.
func Signal(dir string, sig syscall.Signal) error {
	p, fd, err := hold(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		return fmt.Errorf("pid %d: %w", p.PID, err)
	}
	return nil
}

var ErrGone = errors.New("no lab is running there")

// Stop ends the server that was started in dir and waits until it is gone.
func Stop(dir string) error {
	_, fd, err := hold(dir)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0)
	unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0) // a paused one would not hear it
	if !gone(fd, 5*time.Second) {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		if !gone(fd, 5*time.Second) {
			return errors.New("it does not end")
		}
	}
	return nil
}

func hold(dir string) (Process, int, error) {
	p, alive := Find(dir)
	if !alive {
		return p, -1, ErrGone
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return p, -1, ErrGone
	}
	// Looked at again now that the descriptor holds the process: the pid could have changed hands.
	if _, alive := Find(dir); !alive {
		unix.Close(fd)
		return p, -1, ErrGone
	}
	return p, fd, nil
}

func gone(fd int, patience time.Duration) bool {
	end := time.Now().Add(patience)
	for {
		left := time.Until(end).Milliseconds()
		if left <= 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
		if n > 0 || err != nil && err != unix.EINTR {
			return true
		}
	}
}

func find(pid int) (Process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, err
	}
	// The name, in brackets, may hold anything; what follows the last bracket starts with field 3.
	rest := string(text[strings.LastIndexByte(string(text), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return Process{}, ErrGone
	}
	return Process{PID: pid, Start: fields[19]}, nil
}

func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "no log"
	}
	defer f.Close()
	f.Seek(-4096, io.SeekEnd)
	last := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Text() != "" {
			last = s.Text()
		}
	}
	return last
}

// Log sends the log package's output to lab.log, and starts a new file before it grows too big.
func Log() { log.SetFlags(log.LstdFlags | log.Lmicroseconds); log.SetOutput(&bounded{}) }

type bounded struct {
	mu      sync.Mutex
	written int64
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written == 0 {
		if st, err := os.Stderr.Stat(); err == nil {
			b.written = st.Size()
		}
	}
	if b.written += int64(len(p)); b.written > logBound {
		os.Rename("lab.log", "lab.log.1")
		if f, err := os.OpenFile("lab.log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err == nil {
			unix.Dup3(int(f.Fd()), 2, 0) // a panic's text should land there too
			unix.Dup3(int(f.Fd()), 1, 0)
			f.Close()
		}
		b.written = int64(len(p))
	}
	return os.Stderr.Write(p)
}
