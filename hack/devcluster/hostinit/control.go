// SPDX-License-Identifier: Apache-2.0

package hostinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The operations of a Request.
const (
	OpStatus = "status" // change nothing
	OpStop   = "stop"   // end the program with SIGTERM, after stopTimeout with SIGKILL, and do not restart it
	OpStart  = "start"  // start a program that was stopped
)

const (
	// callTimeout is the timeout of a request.
	callTimeout = time.Minute
	// stopTimeout is how long a program may take to end after SIGTERM.
	stopTimeout = 8 * time.Second
)

// Request is the request of a client. Each connection carries one request.
type Request struct {
	Op      string `json:"op"`
	Program string `json:"program,omitempty"`
}

// Response is the answer to a Request.
type Response struct {
	// Programs has the state of all programs after the request.
	Programs []ProgramStatus `json:"programs"`
	// Error is empty if the request succeeded.
	Error string `json:"error,omitempty"`
}

// Call sends a request to a host of the test bed and returns the state of the host's
// programs after the request. The host is named by its first process: pid is the id
// of that process outside of the host, in the caller's process namespace.
func Call(pid int, request Request) ([]ProgramStatus, error) {
	conn, err := net.DialTimeout("unix", fmt.Sprintf("/proc/%d/root%s", pid, SocketPath), time.Second)
	if err != nil {
		return nil, fmt.Errorf("connecting to the host: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, fmt.Errorf("setting the timeout of the request to the host: %w", err)
	}
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return nil, fmt.Errorf("sending the request to the host: %w", err)
	}
	var response Response
	if err := json.NewDecoder(conn).Decode(&response); err != nil {
		return nil, fmt.Errorf("reading the host's answer: %w", err)
	}
	if response.Error != "" {
		return nil, errors.New(response.Error)
	}
	return response.Programs, nil
}

func (s *supervisor) serveRequests(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accepting a request: %w", err)
		}
		go s.answerRequest(conn)
	}
}

func (s *supervisor) answerRequest(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var request Request
	if json.NewDecoder(conn).Decode(&request) != nil {
		return // the connection is closed, or the client has sent no valid request
	}
	var response Response
	if err := s.doRequest(request); err != nil {
		response.Error = err.Error()
	}
	s.mu.Lock()
	for _, p := range s.programs {
		response.Programs = append(response.Programs, p.status)
	}
	s.mu.Unlock()
	_ = json.NewEncoder(conn).Encode(response) // an error means that the client has closed the connection
}

func (s *supervisor) doRequest(request Request) error {
	if request.Op == OpStatus {
		return nil
	}
	for _, p := range s.programs {
		if p.program.Name != request.Program {
			continue
		}
		switch request.Op {
		case OpStop:
			return s.stopProgram(p)
		case OpStart:
			s.mu.Lock()
			defer s.mu.Unlock()
			p.status.Stopped = false
			s.startProgram(p)
			return nil
		}
	}
	return fmt.Errorf("operation %q on program %q: want the operation status, stop or start, and a program of this host",
		request.Op, request.Program)
}

func (s *supervisor) stopProgram(p *supervisedProgram) error {
	s.mu.Lock()
	p.status.Stopped = true
	pid := p.status.PID
	s.mu.Unlock()
	for began, signal := time.Now(), unix.SIGTERM; ; {
		// The lock keeps the recorded process id from changing between the check and
		// the signal.
		s.mu.Lock()
		running := pid != 0 && p.status.PID == pid
		var err error
		if running && signal != 0 {
			err = unix.Kill(pid, signal)
		}
		s.mu.Unlock()
		if !running || errors.Is(err, os.ErrProcessDone) || errors.Is(err, unix.ESRCH) {
			return nil
		}
		signal = 0
		if time.Since(began) > stopTimeout {
			signal = unix.SIGKILL
		}
		time.Sleep(pollInterval)
	}
}
