// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progressLog writes progress lines. Each line begins with the seconds since newProgressLog.
type progressLog struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
}

func newProgressLog(out io.Writer) *progressLog {
	if out == nil {
		out = io.Discard
	}
	return &progressLog{out: out, began: time.Now()}
}

func (p *progressLog) logStep(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The error is ignored: a cluster comes up even if the terminal is closed.
	_, _ = fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// Write writes each line of b as a step.
func (p *progressLog) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			p.logStep("%s", line)
		}
	}
	return len(b), nil
}
