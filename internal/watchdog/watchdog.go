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
	// Bound is for how long a pass may last.
	Bound = ticks * every
	// every is the time between two ticks of the watchdog.
	every = 5 * time.Second
	ticks = 12
	// late is by how much a tick may be late and still count: the process had no processor
	// before a tick that is later.
	late = 100 * time.Millisecond
)

// Watchdog has the loops of a program. Its zero value is ready for use; nil has no loops.
type Watchdog struct {
	mu     sync.Mutex
	loops  map[*Loop]bool
	checks []func() []string
}

// Loop marks the passes of one loop. One goroutine at a time calls Begin and End. Nil marks
// nothing.
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

// Begin marks the begin of a pass.
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

// Check adds a function that names what seems to hang; what it names at each tick for Bound
// does. It must not block, and not name what waits for the API server. Call it before Run.
func (w *Watchdog) Check(check func() []string) { w.checks = append(w.checks, check) }

// Run watches until the context ends, or something hangs: then it calls hung, once, with a
// sentence about that, and returns.
func (w *Watchdog) Run(ctx context.Context, hung func(error)) {
	var c count
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		if names := c.tick(time.Since(began), w.suspects()); len(names) > 0 {
			hung(fmt.Errorf("%s hangs: no progress for over %s: the program ends, to be started again: report it with the goroutines in the log of the container",
				strings.Join(names, " and "), Bound))
			return
		}
	}
}

// suspects returns what is under way.
func (w *Watchdog) suspects() (list []suspect) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.loops {
		if pass := l.marks.Load(); pass%2 == 1 {
			list = append(list, suspect{loop: l, name: l.name, pass: pass})
		}
	}
	for _, check := range w.checks {
		for _, name := range check() {
			list = append(list, suspect{name: name})
		}
	}
	return list
}
