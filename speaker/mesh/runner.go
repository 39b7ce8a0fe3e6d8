package mesh

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
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

// runner connects the machine and the sessions with a clock and a way to send, and serializes their callers.
type runner struct {
	timing machine.Timing
	send   func(to lb.NodeName, datagram []byte)
	// sendGreeting sends the first datagram of a handshake to a peer, which may be dead.
	sendGreeting func(to lb.NodeName, datagram []byte)
	view         func(machine.View)
	// hold sets whether arriving datagrams wait; nil: they never wait.
	hold    func(is bool)
	metrics *Metrics // nil: nothing is counted
	// address is what this speaker sends from; invalid: it is not known, as in some tests.
	address netip.Addr

	mu       sync.Mutex // guards what follows
	machine  *machine.Machine
	sessions *session.Table
	viewed   uint64 // version of the view that was passed on last
	members  uint64 // MembersVersion of the machine when its peers were passed to the sessions
	since    uint64 // views from this version on are newer than the last stall
	received wire.Message
	encoded  []byte
	onLink   bool          // a state that this speaker published had the link of the mesh: see isSilent
	lastSent *wire.Message // the message that is encoded in the field encoded

	probes  chan struct{}        // has a token when there are kernels to probe
	alive   atomic.Int64         // when this process last ran a pass; the time is that of clock
	clock   func() time.Duration // used to detect that this process stood still; see bootTime
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

// randomBytes never fails: crypto/rand ends the program instead.
func randomBytes(b []byte) { _, _ = rand.Read(b) }

// withMachine calls fn for the machine, sends the messages that it returns, and passes on the view
// if it has changed. All of this is done under the lock, so that datagrams are sent in the order of
// their numbers.
func (r *runner) withMachine(fn func(time.Time) []machine.OutgoingMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.withMachineLocked(fn)
}

func (r *runner) withMachineLocked(fn func(time.Time) []machine.OutgoingMessage) {
	now := r.now()
	for _, s := range fn(now) {
		r.sendMessage(s)
	}
	r.lastSent = nil
	for _, node := range r.machine.TakeLost() {
		r.sessions.Reset(now, node)
	}
	if members := r.machine.MembersVersion(); members != r.members {
		r.members = members
		r.sessions.SetPeers(now, r.machine.Peers())
	}
	if !r.sessions.Next(now).After(now) {
		r.greet(now)
	}
	if !r.machine.HasPeerList() || r.machine.Version() == r.viewed {
		return
	}
	r.viewed = r.machine.Version()
	r.view(r.machine.View())
	r.wakeProber()
}

// wakeProber wakes the goroutine that probes kernels, if there are kernels to probe.
func (r *runner) wakeProber() {
	if len(r.machine.ProbedNodes()) > 0 {
		select {
		case r.probes <- struct{}{}:
		default: // there is a token
		}
	}
}

// sendMessage sends a message if there is a session with its receiver.
func (r *runner) sendMessage(s machine.OutgoingMessage) {
	if s.Message != r.lastSent {
		r.encoded, r.lastSent = wire.AppendMessage(r.encoded[:0], s.Message), s.Message
	}
	if datagram, met := r.sessions.Seal(s.To, r.encoded); met {
		r.metrics.countSent()
		r.send(s.To, datagram)
	}
}

// receive opens a datagram of a node and passes its message to the machine.
func (r *runner) receive(from lb.NodeName, datagram []byte) {
	r.withMachine(func(now time.Time) (sends []machine.OutgoingMessage) {
		opened := r.sessions.Open(now, from, datagram)
		for _, reply := range opened.Replies {
			r.send(from, reply)
		}
		if opened.Greeted {
			r.machine.NoteGreeted(now, from, opened.Instance, opened.Silent)
		}
		if opened.Met {
			sends = r.machine.NoteMet(now, from, opened.Instance)
		}
		switch {
		case opened.Err != nil:
			r.metrics.countRefused()
		case opened.Message == nil:
		case wire.Decode(opened.Message, &r.received) != nil:
			r.metrics.countRefused()
		default:
			r.metrics.countReceived()
			sends = append(sends, r.machine.Receive(now, from, opened.Instance, &r.received)...)
		}
		return sends
	})
}

// SetKeys replaces the keys, the newest first.
func (r *runner) SetKeys(keys []session.Key) {
	r.withMachine(func(now time.Time) []machine.OutgoingMessage { r.sessions.SetKeys(now, keys); return nil })
}

// greet sends the greetings that are due.
func (r *runner) greet(now time.Time) {
	for _, g := range r.sessions.Tick(now) {
		r.sendGreeting(g.To, g.Datagram)
	}
}

// Peers returns the nodes whose speakers are expected or alive.
func (r *runner) Peers() []lb.NodeName {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Peers()
}

// Publish implements layer2.Mesh.
func (r *runner) Publish(s wire.State) {
	r.withMachine(func(now time.Time) []machine.OutgoingMessage {
		r.sessions.SetSilent(now, r.isSilent(s))
		return r.machine.Publish(now, s)
	})
}

// isSilent reports whether this speaker answers for no address on the link of the mesh, which its
// datagrams use. It is isolated, or it has ceased to announce on that link, for example because no host
// answers there. While it is silent, it does not take over addresses on that link from a speaker from
// which it receives nothing. So that speaker can keep its addresses.
func (r *runner) isSilent(s wire.State) bool {
	on := slices.ContainsFunc(s.Links, func(l wire.Link) bool {
		return slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Contains(r.address) })
	})
	r.onLink = r.onLink || on
	return s.Phase == ownership.Isolated || r.onLink && !on
}

// Acted implements layer2.Mesh. After this process stood still, it may answer for its addresses again
// once it has acted on a view with the answers of the other speakers to Recheck.
func (r *runner) Acted(v machine.View) {
	r.withMachine(func(now time.Time) []machine.OutgoingMessage {
		if v.Checked && v.Version >= r.since {
			r.stalled.Store(false)
		}
		return r.machine.NoteActed(now, v)
	})
}

// WaitAcknowledged waits until all other speakers have acted on what this speaker published last, or the
// context ends.
func (r *runner) WaitAcknowledged(ctx context.Context) {
	poll := time.NewTicker(r.timing.Interval / 8)
	defer poll.Stop()
	for {
		r.mu.Lock()
		acknowledged := r.machine.IsAcknowledged()
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

// gatherTime is for how long arriving datagrams wait after this speaker has sent its heartbeats. Other
// speakers send their heartbeats at the same time, so theirs arrive within a short time. Only the
// difference between the clocks and the delay of the network separate them.
const gatherTime = 2 * time.Millisecond

// keepRunning does what is due for the machine and the sessions. It detects that this process stood
// still, for example because the machine was suspended or moved to another host, and then asks the
// other speakers for their states anew. After each heartbeat it makes arriving datagrams wait for a
// moment, so that the heartbeats of other speakers wake up the process only once. While a peer is
// suspected, datagrams do not wait. keepRunning ends when wait returns false.
func (r *runner) keepRunning(wait func(time.Duration) bool) {
	r.alive.Store(int64(r.clock()))
	for due := time.Duration(0); wait(due); {
		next, gather := r.runPass()
		if gather {
			r.hold(true)
			if !wait(gatherTime) {
				return
			}
			r.hold(false)
		}
		due = max(time.Millisecond, min(next.Sub(r.now()), r.timing.Interval))
	}
}

// runPass does what is due. It returns when the next pass is due, and whether arriving datagrams should
// wait now.
func (r *runner) runPass() (next time.Time, gather bool) {
	r.passes.Begin()
	defer r.passes.End()
	if stood := r.sinceLastPass(); stood > r.maxStall() {
		r.recheck(stood)
	}
	r.alive.Store(int64(r.clock()))
	next, calm := r.tick()
	return next, calm && r.hold != nil
}

// tick does what is due for the machine and the sessions. It returns when something is due next, and
// whether heartbeats were sent while no peer is suspected.
func (r *runner) tick() (next time.Time, calm bool) {
	r.withMachine(func(now time.Time) []machine.OutgoingMessage {
		before := r.machine.NextHeartbeat()
		sends := r.machine.Tick(now)
		calm = !r.machine.NextHeartbeat().Equal(before) && !r.machine.HasSuspects()
		r.wakeProber()
		next = r.machine.Next(now)
		if at := r.sessions.Next(now); at.Before(next) {
			next = at
		}
		return sends
	})
	return next, calm
}

// maxStall returns how long this process may stand still before it has to ask the other speakers for
// their states. It is half the timeout, since after the timeout they may take over its addresses.
func (r *runner) maxStall() time.Duration { return r.timing.Timeout / 2 }

// recheck asks the other speakers for their states anew. The fields stalled and since change under the same
// lock: otherwise Acted could mistake a view from before the stall for a newer view. Until runPass sets
// alive, hasStoodStill returns true, so that MayAnswer returns false even before stalled is set.
func (r *runner) recheck(stood time.Duration) {
	r.withMachine(func(now time.Time) []machine.OutgoingMessage {
		sends := r.machine.Recheck(now, stood)
		r.since = r.machine.Version()
		r.stalled.Store(true)
		return sends
	})
	r.metrics.countStalled()
}

// sinceLastPass returns for how long this process has not run a pass.
func (r *runner) sinceLastPass() time.Duration { return r.clock() - time.Duration(r.alive.Load()) }

func (r *runner) hasStoodStill() bool { return r.sinceLastPass() > r.maxStall() }

// MayAnswer reports whether this speaker may answer for its addresses. After this process stood still, it
// may not answer until the other speakers have sent their states and it has acted on them. MayAnswer is
// safe for concurrent use.
func (r *runner) MayAnswer() bool { return !r.stalled.Load() && !r.hasStoodStill() }
