package mesh

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/watchdog"
)

// runner gives the machine and the sessions a clock, one caller at a time, and a way to send.
type runner struct {
	timing machine.Timing
	send   func(to lb.NodeName, datagram []byte)
	// sendGreeting sends what a peer has not asked for, which may be dead.
	sendGreeting func(to lb.NodeName, datagram []byte)
	view         func(machine.View)
	// hold has datagrams that arrive wait, or ends that; nil: they do not.
	hold    func(is bool)
	metrics *Metrics // nil: nothing is counted

	mu       sync.Mutex // guards what follows
	machine  *machine.Machine
	sessions *session.Table
	viewed   uint64 // version of the view that was handed over last
	members  uint64 // of the machine, that the sessions have
	since    uint64 // version from which on the view is newer than the last stall
	received wire.Message
	encoded  []byte
	lastSent *wire.Message // what encoded is

	probes  chan struct{}        // has one token when there are kernels to be probed
	alive   atomic.Int64         // when this process ran last, by the clock
	clock   func() time.Duration // of this process, which may go on while the machine is suspended
	now     func() time.Time
	stalled atomic.Bool
	passes  *watchdog.Loop // of keepRunning
}

func newRunner(self lb.NodeName, timing machine.Timing, instance wire.Instance, random func([]byte), send func(lb.NodeName, []byte), view func(machine.View)) *runner {
	start := time.Now()
	return &runner{
		timing: timing, send: send, sendGreeting: send, view: view,
		machine: machine.New(self, timing), sessions: session.New(self, instance, random),
		clock: func() time.Duration { return time.Since(start) }, now: time.Now, probes: make(chan struct{}, 1),
	}
}

func randomInstance() (i wire.Instance) {
	randomBytes(i[:])
	return i
}

// randomBytes never fails: the program ends instead.
func randomBytes(b []byte) { _, _ = rand.Read(b) }

// do has the machine do something, sends what comes of it, and hands over the view if it has
// changed. Datagrams are sent in the order of their numbers.
func (r *runner) do(fn func(time.Time) []machine.Send) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doLocked(fn)
}

func (r *runner) doLocked(fn func(time.Time) []machine.Send) {
	now := r.now()
	for _, s := range fn(now) {
		r.sendMessage(s)
	}
	r.lastSent = nil
	for _, node := range r.machine.Lost() {
		r.sessions.Reset(now, node)
	}
	if members := r.machine.Members(); members != r.members {
		r.members = members
		r.sessions.SetPeers(now, r.machine.Peers())
	}
	if !r.sessions.Next(now).After(now) {
		r.greet(now)
	}
	if !r.machine.Introduced() || r.machine.Version() == r.viewed {
		return
	}
	r.viewed = r.machine.Version()
	r.view(r.machine.View())
	r.haveProbed()
}

// haveProbed has kernels probed if there are some to be probed.
func (r *runner) haveProbed() {
	if len(r.machine.Probed()) > 0 {
		select {
		case r.probes <- struct{}{}:
		default: // there is a token
		}
	}
}

// sendMessage sends a message if there is a session with its receiver.
func (r *runner) sendMessage(s machine.Send) {
	if s.Message != r.lastSent {
		r.encoded, r.lastSent = wire.Append(r.encoded[:0], s.Message), s.Message
	}
	if datagram, met := r.sessions.Seal(s.To, r.encoded); met {
		r.metrics.sent()
		r.send(s.To, datagram)
	}
}

// receive takes a datagram of a node.
func (r *runner) receive(from lb.NodeName, datagram []byte) {
	r.do(func(now time.Time) (sends []machine.Send) {
		opened := r.sessions.Open(now, from, datagram)
		for _, reply := range opened.Replies {
			r.send(from, reply)
		}
		if opened.Greeted {
			r.machine.Greeted(now, from, opened.Instance, opened.Silent)
		}
		if opened.Met {
			sends = r.machine.Met(now, from, opened.Instance)
		}
		switch {
		case opened.Err != nil:
			r.metrics.refused()
		case opened.Message == nil:
		case wire.Decode(opened.Message, &r.received) != nil:
			r.metrics.refused()
		default:
			r.metrics.received()
			sends = append(sends, r.machine.Receive(now, from, opened.Instance, &r.received)...)
		}
		return sends
	})
}

// SetKeys replaces the keys, the newest first.
func (r *runner) SetKeys(keys []session.Key) {
	r.do(func(now time.Time) []machine.Send { r.sessions.SetKeys(now, keys); return nil })
}

// greet sends the greetings that are due.
func (r *runner) greet(now time.Time) {
	for _, g := range r.sessions.Tick(now) {
		r.sendGreeting(g.To, g.Datagram)
	}
}

// Peers returns the speakers that there should be, and those that are alive.
func (r *runner) Peers() []lb.NodeName {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Peers()
}

// Publish implements speaker.Mesh.
func (r *runner) Publish(s wire.State) {
	r.do(func(now time.Time) []machine.Send {
		r.sessions.SetSilent(now, s.Phase == ownership.Isolated)
		return r.machine.Publish(now, s)
	})
}

// Acted implements speaker.Mesh. A speaker that stood still answers again when it has acted
// on what the others have published since.
func (r *runner) Acted(v machine.View) {
	r.do(func(now time.Time) []machine.Send {
		if v.Checked && v.Version >= r.since {
			r.stalled.Store(false)
		}
		return r.machine.Acted(now, v)
	})
}

// Acknowledged waits until all others have acted on what this speaker published last, or the
// context ends.
func (r *runner) Acknowledged(ctx context.Context) {
	poll := time.NewTicker(r.timing.Interval / 8)
	defer poll.Stop()
	for {
		r.mu.Lock()
		acknowledged := r.machine.Acknowledged()
		r.mu.Unlock()
		if acknowledged {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// gathering is for how long heartbeats are gathered that others send at the same moment as this
// speaker: as long as clocks of nodes differ and a network delays, at most.
const gathering = 2 * time.Millisecond

// keepRunning has the machines do what is due, and notices when this process stood still,
// because its processor was taken away or its machine moved: then it asks the others anew.
// After each heartbeat it has those of others gathered, so that they wake up the process once,
// but not while it is to be decided whether a peer is dead. It ends when wait, which waits for a time,
// returns false.
func (r *runner) keepRunning(wait func(time.Duration) bool) {
	r.alive.Store(int64(r.clock()))
	for due := time.Duration(0); wait(due); {
		next, gather := r.pass()
		if gather {
			r.hold(true)
			if !wait(gathering) {
				return
			}
			r.hold(false)
		}
		due = max(time.Millisecond, min(next.Sub(r.now()), r.timing.Interval))
	}
}

// pass does what is due. It returns when there is something to do again, and whether heartbeats of
// others are to be gathered.
func (r *runner) pass() (next time.Time, gather bool) {
	r.passes.Begin()
	defer r.passes.End()
	if r.stoodStill() {
		r.recheck()
	}
	r.alive.Store(int64(r.clock()))
	next, calm := r.tick()
	return next, calm && r.hold != nil
}

// tick has the machines do what is due, and returns when there is something to do again, and
// whether heartbeats were sent while no peer is suspected.
func (r *runner) tick() (next time.Time, calm bool) {
	r.do(func(now time.Time) []machine.Send {
		before := r.machine.Heartbeat()
		sends := r.machine.Tick(now)
		calm = !r.machine.Heartbeat().Equal(before) && !r.machine.Suspects()
		r.haveProbed()
		next = r.machine.Next(now)
		if at := r.sessions.Next(now); at.Before(next) {
			next = at
		}
		return sends
	})
	return next, calm
}

// longest is how long this process may stand still before the others may have replaced it: it
// is noticed well before.
func (r *runner) longest() time.Duration { return r.timing.Timeout / 2 }

func (r *runner) recheck() {
	r.stalled.Store(true)
	r.do(func(now time.Time) []machine.Send {
		sends := r.machine.Recheck(now)
		r.since = r.machine.Version()
		return sends
	})
	r.metrics.stalled()
}

func (r *runner) stoodStill() bool {
	return r.clock()-time.Duration(r.alive.Load()) > r.longest()
}

// MayAnswer returns whether this speaker may answer for what it owns: not if it stood still
// until a moment ago, and has not asked the others since.
func (r *runner) MayAnswer() bool { return !r.stalled.Load() && !r.stoodStill() }
