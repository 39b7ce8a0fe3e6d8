package membership

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/watchdog"
)

// runner gives a machine its clock, one caller at a time, and a way to be heard.
type runner struct {
	timing mesh.Timing
	send   func(mesh.Send)
	tell   func(mesh.View)

	mu      sync.Mutex
	machine *mesh.Machine
	told    uint64 // version of the view that was told last
	since   uint64 // version from which on the view is newer than the last stall

	quiet  func() []arrival // reads the quiet messages that have come; may be nil
	doubts chan struct{}    // holds one token when kernels are to be asked

	alarm   alarm
	alive   atomic.Int64 // when this process ran last, by the clock
	clock   func() time.Duration
	stalled atomic.Bool
	stalls  func()
	passes  *watchdog.Loop // of keepRunning
}

// arrival is a message and when it came.
type arrival struct {
	at  time.Time
	msg *wire.Message
}

func newRunner(machine *mesh.Machine, timing mesh.Timing, send func(mesh.Send), tell func(mesh.View)) *runner {
	return &runner{timing: timing, send: send, tell: tell, machine: machine, clock: since(time.Now()), doubts: make(chan struct{}, 1), alarm: goAlarm{}}
}

// since is a clock that starts at a time.
func since(start time.Time) func() time.Duration {
	return func() time.Duration { return time.Since(start) }
}

// do has the machine do something, sends what it says, and tells of what changed.
func (r *runner) do(fn func(time.Time, *mesh.Machine) []mesh.Send) {
	r.mu.Lock()
	now := time.Now()
	sends := r.machine.Ways(now, fn(now, r.machine))
	if r.machine.Introduced() && r.machine.Version() != r.told {
		r.told = r.machine.Version()
		r.tell(r.machine.View())
		if len(r.machine.Doubtful()) > 0 {
			select {
			case r.doubts <- struct{}{}:
			default: // there is a token
			}
		}
	}
	r.mu.Unlock()
	for _, s := range sends {
		r.send(s)
	}
}

// Publish implements speaker.Mesh.
func (r *runner) Publish(s wire.State) {
	r.do(func(now time.Time, m *mesh.Machine) []mesh.Send { return m.Publish(now, s) })
}

// Acted implements speaker.Mesh. A speaker that stood still answers again when it
// has acted on what the others have said since.
func (r *runner) Acted(v mesh.View) {
	r.do(func(now time.Time, m *mesh.Machine) []mesh.Send {
		if v.Checked && v.Version >= r.since {
			r.stalled.Store(false)
		}
		return m.Acted(now, v)
	})
}

// Heeded waits until all others have acted on what this speaker said last, or the
// context ends.
func (r *runner) Heeded(ctx context.Context) {
	poll := time.NewTicker(r.timing.Beat / 8)
	defer poll.Stop()
	for {
		r.mu.Lock()
		heeded := r.machine.Heeded()
		r.mu.Unlock()
		if heeded {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

func (r *runner) own() *wire.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Own(time.Now())
}

// keepRunning has the machine do what is due, and notices when this process stood
// still, because its processor was taken away or its machine moved: then it asks the
// others anew. It is the only clock of the mesh: each wakes the processor for more
// than the work that it does.
func (r *runner) keepRunning(ctx context.Context) {
	defer context.AfterFunc(ctx, r.alarm.end)()
	r.alive.Store(int64(r.clock()))
	for ctx.Err() == nil {
		r.passes.Begin()
		if r.stoodStill() {
			r.recheck()
		}
		r.alive.Store(int64(r.clock()))
		next := r.tick()
		r.passes.End()
		r.alarm.wait(ctx, max(time.Millisecond, min(time.Until(next), r.timing.Beat)))
	}
}

// tick has the machine do what is due, after it has heard all that has come, and returns
// when there is something to do again.
func (r *runner) tick() (next time.Time) {
	var heard []arrival
	if r.quiet != nil {
		heard = r.quiet()
	}
	r.do(func(now time.Time, m *mesh.Machine) (sends []mesh.Send) {
		for _, a := range heard {
			sends = append(sends, m.Receive(a.at, a.msg)...)
		}
		sends = append(sends, m.Tick(now)...)
		next = m.Next(now)
		return sends
	})
	return next
}

// longest is how long this process may stand still before the others may have
// replaced it: it is noticed well before they would.
func (r *runner) longest() time.Duration { return r.timing.Silence / 2 }

func (r *runner) recheck() {
	r.stalled.Store(true)
	r.do(func(now time.Time, m *mesh.Machine) []mesh.Send {
		sends := m.Recheck(now)
		r.since = m.Version()
		return sends
	})
	if r.stalls != nil {
		r.stalls()
	}
}

func (r *runner) stoodStill() bool {
	return r.clock()-time.Duration(r.alive.Load()) > r.longest()
}

// MayAnswer says whether this speaker may answer for what it owns: not if it stood
// still until a moment ago, and has not asked the others since.
func (r *runner) MayAnswer() bool { return !r.stalled.Load() && !r.stoodStill() }
