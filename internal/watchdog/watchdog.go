// Package watchdog ends a program of which a part hangs, so that the kubelet starts it
// again. A loop marks the begin and the end of each of its passes; a pass that does not end
// while the process itself runs for Bound is a hang. A loop that waits for work is idle and
// may do so for ever: nothing has to happen in the cluster or on the network.
//
// That the whole process stood still (SIGSTOP, a suspended machine, no processor time) is not
// a hang. The mesh of the speakers notices that (speaker/mesh), within parts of a second.
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
	// Bound is how long a pass may take.
	Bound = ticks * every
	// every is the time between two ticks of the watchdog.
	every = 5 * time.Second
	ticks = 12
	// late is by how much a tick may be late and still count. The process had no processor if it is
	// later.
	late = 100 * time.Millisecond
)

// Watchdog has the loops of a program. Its zero value is ready for use; nil has no loops.
type Watchdog struct {
	mu     sync.Mutex
	loops  map[*Loop]bool
	checks []func() []string
}

// Loop counts the passes of one loop. Only one goroutine at a time may call Begin and End. They do
// nothing if Loop is nil.
type Loop struct {
	name  string
	marks atomic.Uint64 // odd: a pass is under way
	dog   *Watchdog
}

// Loop adds a loop; the name completes the sentence "NAME hangs".
func (w *Watchdog) Loop(name string) *Loop {
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

// Ended removes a loop that has ended.
func (l *Loop) Ended() {
	if l == nil {
		return
	}
	l.dog.mu.Lock()
	defer l.dog.mu.Unlock()
	delete(l.dog.loops, l)
}

// Check adds a function that returns the names of what seems to hang. A name that it returns at each
// tick for Bound hangs. It must not block, and not return what waits for the API server. Call it before
// Run.
func (w *Watchdog) Check(check func() []string) { w.checks = append(w.checks, check) }

// Run checks the passes until the context ends or something hangs: then it calls hung once, with an
// error that names it, and returns.
func (w *Watchdog) Run(ctx context.Context, hung func(error)) {
	var c counter
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		if names := c.tick(time.Since(began), w.passes()); len(names) > 0 {
			hung(fmt.Errorf("%s hangs: no progress for over %s: the program ends, to be started again: report it with the goroutines in the log of the container",
				strings.Join(names, " and "), Bound))
			return
		}
	}
}

// passes returns the passes that are under way, and the names that checks return.
func (w *Watchdog) passes() (list []pass) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.loops {
		if marks := l.marks.Load(); marks%2 == 1 {
			list = append(list, pass{loop: l, name: l.name, number: marks})
		}
	}
	for _, check := range w.checks {
		for _, name := range check() {
			list = append(list, pass{name: name})
		}
	}
	return list
}
