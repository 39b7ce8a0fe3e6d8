// Package watchdog detects that a part of a program hangs. The caller then ends the program, so that the
// kubelet starts it again. A loop marks the beginning and the end of each of its passes. A pass hangs if it
// has not ended after the process has run for HangTimeout. A loop that waits for work is between two passes,
// and may wait forever: it is normal that nothing happens in the cluster or on the network.
//
// A stop of the whole process does not count as a hang. Causes are SIGSTOP, a suspended machine, or a lack of
// processor time. In a speaker, package speaker/mesh detects such a stop within a second.
package watchdog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// HangTimeout is how long a pass may take.
	HangTimeout = ticksToHang * tickInterval
	// tickInterval is the time between two ticks of the watchdog.
	tickInterval = 5 * time.Second
	// ticksToHang is the number of ticks after which a pass counts as hanging.
	ticksToHang = 12
	// maxTickDelay is the maximum delay of a tick that counts. A longer delay means that the process had no
	// processor time.
	maxTickDelay = 100 * time.Millisecond
)

// Watchdog monitors the loops of a program. Its zero value is ready to use. A nil Watchdog tracks no loops.
type Watchdog struct {
	mu     sync.Mutex
	loops  map[*Loop]bool
	checks []func() []string
}

// Loop marks the passes of one loop. Only one goroutine at a time may call Begin and End. The methods of a
// nil Loop do nothing.
type Loop struct {
	name  string
	marks atomic.Uint64 // number of calls of Begin and End; odd: a pass is under way
	dog   *Watchdog
}

// AddLoop adds a loop. Its name is the subject of the sentence "NAME hangs".
func (w *Watchdog) AddLoop(name string) *Loop {
	if w == nil {
		return nil
	}
	l := &Loop{name: name, dog: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loops == nil {
		w.loops = map[*Loop]bool{}
	}
	w.loops[l] = true
	return l
}

// Begin marks the beginning of a pass.
func (l *Loop) Begin() {
	if l != nil {
		l.marks.Add(1)
	}
}

// End marks the end of the pass.
func (l *Loop) End() {
	if l != nil {
		l.marks.Add(1)
	}
}

// Remove removes the loop. It is called when the loop has ended.
func (l *Loop) Remove() {
	if l == nil {
		return
	}
	l.dog.mu.Lock()
	defer l.dog.mu.Unlock()
	delete(l.dog.loops, l)
}

// AddCheck adds a function that returns the names of parts of the program that seem to hang. A part hangs if the
// function returns its name at each tick for HangTimeout. The function must not block. It must not return a
// part that waits for the API server. AddCheck must be called before Run.
func (w *Watchdog) AddCheck(check func() []string) { w.checks = append(w.checks, check) }

// Run checks the passes until the context ends or a part hangs. If a part hangs, Run calls hung with an error
// that names the part, and returns.
func (w *Watchdog) Run(ctx context.Context, hung func(error)) {
	var c passCounter
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(tickInterval):
		}
		if names := c.countTick(time.Since(began), w.runningPasses()); len(names) > 0 {
			hung(fmt.Errorf("%s hangs: no progress for over %s. The program ends, and the kubelet starts it again. Report this problem to the lbstack project, with the goroutines in the log of the container",
				strings.Join(names, " and "), HangTimeout))
			return
		}
	}
}

// runningPasses returns the passes of loops that are under way, and one pass for each name that a check returns.
func (w *Watchdog) runningPasses() (list []loopPass) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.loops {
		if marks := l.marks.Load(); marks%2 == 1 {
			list = append(list, loopPass{loop: l, name: l.name, number: marks})
		}
	}
	for _, check := range w.checks {
		for _, name := range check() {
			list = append(list, loopPass{name: name})
		}
	}
	return list
}
