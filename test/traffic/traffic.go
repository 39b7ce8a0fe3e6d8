// Package traffic measures from the client host of a test bed how long an
// address does not answer: a stream of new connections, one every few
// milliseconds, each on its own.
package traffic

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
)

// Attempt is one connection.
type Attempt struct {
	// Begun and Ended are when the connection was tried and how long that took.
	Begun, Ended time.Time
	// OK: the connection was established. Why is the error if it was not.
	OK  bool
	Why string `json:",omitempty"`
	// Cut: the connection was established, and reset before the client knew of that: a SYN
	// that nobody takes is refused, and only a connection is reset.
	Cut bool `json:",omitempty"`
}

// Build builds the program that runs on the client host and returns its path.
func Build(ctx context.Context, repo string) (string, error) {
	path := filepath.Join(repo, "bin", "test", "connect")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./traffic/connect")
	cmd.Dir = filepath.Join(repo, "test")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the client program: %w\n%s", err, out)
	}
	return path, nil
}

// Fetch gets a page from the client host.
func Fetch(ctx context.Context, c *cluster.Cluster, program, url string) (string, error) {
	out, err := c.Exec(ctx, "client", program, "-get", url)
	if err != nil {
		return "", fmt.Errorf("fetching %s from the client: %w", url, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Stream is a running stream of connections.
type Stream struct {
	cancel   context.CancelFunc
	done     chan struct{}
	failed   error
	mu       sync.Mutex
	attempts []Attempt
}

// eagerly runs a program with real-time priority if it may have that: all hosts share the
// processors, and a client that waits for one takes that for a silence of the address.
const eagerly = `chrt --fifo 1 true 2>/dev/null && set -- chrt --fifo 1 "$@"; exec "$@"`

// Start begins a stream to host:port that lasts until Stop.
func Start(ctx context.Context, c *cluster.Cluster, program, address string) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := c.Command(ctx, "client", "sh", "-c", eagerly, "connect", program, "-address", address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, fmt.Errorf("starting connections: %w", err)
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("starting connections: %w", err)
	}
	s := &Stream{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var a Attempt
			if err := json.Unmarshal(lines.Bytes(), &a); err == nil {
				s.mu.Lock()
				s.attempts = append(s.attempts, a)
				s.mu.Unlock()
			}
		}
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			s.failed = fmt.Errorf("connections ended: %w: %s", err, complaint.String())
		}
	}()
	return s, nil
}

// Stop ends the stream and returns its connections in the order in which they
// ended.
func (s *Stream) Stop() ([]Attempt, error) {
	s.cancel()
	<-s.done
	return s.Seen(), s.failed
}

// Seen returns the connections until now, in the order in which they ended.
func (s *Stream) Seen() []Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := slices.Clone(s.attempts)
	slices.SortFunc(seen, func(x, y Attempt) int { return x.Ended.Compare(y.Ended) })
	return seen
}

// Recovered returns when the first connection was established that was begun
// after the address had been silent for a moment: after the event, a gap in the
// established connections of at least silence.
func Recovered(attempts []Attempt, event time.Time, silence time.Duration) (time.Time, bool) {
	last := event
	for _, a := range attempts {
		if !a.OK || a.Ended.Before(event) {
			continue
		}
		if a.Ended.Sub(last) >= silence {
			return a.Ended, true
		}
		last = a.Ended
	}
	return time.Time{}, false
}

// LastLost returns when the last connection was begun after an event that was not
// established, or took as long as silence.
func LastLost(attempts []Attempt, event time.Time, silence time.Duration) (last time.Time, any bool) {
	for _, a := range attempts {
		lost := !a.OK || a.Ended.Sub(a.Begun) >= silence
		if lost && a.Ended.After(event) && a.Begun.After(last) {
			last, any = a.Begun, true
		}
	}
	return last, any
}

// LongestGap returns the longest time between two established connections.
func LongestGap(attempts []Attempt) time.Duration {
	var longest time.Duration
	var last time.Time
	for _, a := range attempts {
		if !a.OK {
			continue
		}
		if gap := a.Ended.Sub(last); !last.IsZero() && gap > longest {
			longest = gap
		}
		last = a.Ended
	}
	return longest
}
