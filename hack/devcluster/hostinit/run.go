// SPDX-License-Identifier: Apache-2.0

package hostinit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// restartDelay keeps a program that fails at once from using up the
	// processors.
	restartDelay = time.Second
	// addressTimeout is how long the start of a program waits for the address that the
	// program needs. After that the program is started in any case, so that its log
	// shows what is wrong.
	addressTimeout = 30 * time.Second
	// pollInterval is the time between two checks of an address or a process.
	pollInterval = 20 * time.Millisecond
)

// ProgramStatus is the state of a program of a host.
type ProgramStatus struct {
	Name string `json:"name"`
	// PID is the process id in the host's process namespace; 0 if the program does not run.
	PID int `json:"pid"`
	// Stopped means that the program was stopped by a request.
	Stopped bool `json:"stopped"`
	// Restarts counts how often the program was restarted after it had ended by
	// itself.
	Restarts int `json:"restarts"`
}

// supervisor starts the host's programs and restarts a program that ends. It runs in
// process 1, which also inherits orphans, so it waits for any child.
type supervisor struct {
	mu       sync.Mutex // guards the status of each program
	programs []*supervisedProgram
}

type supervisedProgram struct {
	program Program
	status  ProgramStatus
}

// Run starts and supervises the host's programs. It returns only if it fails.
func Run() error {
	spec, err := readSpec(bootedSpecPath)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(LogDir, 0o755); err != nil {
		return fmt.Errorf("making the log folder: %w", err)
	}
	s := &supervisor{}
	for _, p := range spec.Programs {
		s.programs = append(s.programs, &supervisedProgram{program: p, status: ProgramStatus{Name: p.Name}})
	}
	listener, err := net.Listen("unix", SocketPath)
	if err != nil {
		return fmt.Errorf("listening on the host's control socket: %w", err)
	}
	for _, p := range s.programs {
		go s.startWhenReady(p)
	}
	go s.reapChildren()
	return s.serveRequests(listener)
}

func (s *supervisor) startWhenReady(p *supervisedProgram) {
	awaitAddress(p.program.Needs)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startProgram(p)
}

// startProgram starts the program unless it runs or is stopped. The caller must hold
// s.mu.
func (s *supervisor) startProgram(p *supervisedProgram) {
	if p.status.PID != 0 || p.status.Stopped {
		return
	}
	log, err := os.OpenFile(filepath.Join(LogDir, p.program.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintf(os.Stderr, "opening the log of %s: %v\n", p.program.Name, err)
		return
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		fmt.Fprintf(os.Stderr, "opening "+os.DevNull+" as the input of %s: %v\n", p.program.Name, err)
		return
	}
	defer func() { _ = null.Close() }()
	child, err := os.StartProcess(p.program.Args[0], p.program.Args, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{null, log, log}, Sys: &unix.SysProcAttr{Setsid: true},
	})
	if err != nil {
		_, _ = fmt.Fprintf(log, "host-init: starting %s: %v\n", p.program.Name, err)
		time.AfterFunc(restartDelay, func() { s.startWhenReady(p) })
		return
	}
	p.status.PID = child.Pid
	_ = child.Release()
}

// reapChildren waits for children in an endless loop. If a child was a program of the
// host, the program is restarted, unless a request has stopped it.
func (s *supervisor) reapChildren() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.ECHILD) {
			time.Sleep(pollInterval) // there is no child at the moment
			continue
		}
		if err == nil {
			s.noteEnded(pid, status)
		}
	}
}

func (s *supervisor) noteEnded(pid int, status unix.WaitStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.programs {
		if p.status.PID != pid {
			continue
		}
		p.status.PID = 0
		fmt.Fprintf(os.Stderr, "%s %s ended: exit code %d, signal %d\n",
			time.Now().Format(time.RFC3339), p.program.Name, status.ExitStatus(), status.Signal())
		if !p.status.Stopped {
			p.status.Restarts++
			time.AfterFunc(restartDelay, func() { s.startWhenReady(p) })
		}
	}
}

// awaitAddress waits until the address accepts connections, but not longer than
// addressTimeout. The parameter has the format of Program.Needs.
func awaitAddress(needs string) {
	network, address, ok := strings.Cut(needs, ":")
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), addressTimeout)
	defer cancel()
	for ctx.Err() == nil {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(pollInterval)
	}
}
