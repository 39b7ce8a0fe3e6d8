// Package bfd watches paths to routers with BFD (RFC 5880, 5881 and 5883). It has the sockets and the
// timers; the state machine is in internal/bfd/session.
//
// One goroutine owns all sessions; each socket has a goroutine that reads from it. Sockets are opened
// only when a session needs them. If another program of the host uses the port, the sessions report
// that as their Problem, and the engine tries again later.
package bfd

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/watchdog"
)

const (
	// adminDownRepeats is how many times a session that ends sends AdminDown.
	adminDownRepeats = 3
	// adminDownInterval is the time between two of these packets.
	adminDownInterval = 100 * time.Millisecond
	// lateTickDelay is the delay above which the metrics count a timer event of a session as late.
	lateTickDelay = 20 * time.Millisecond
)

// reopenBackoff is the back-off between attempts to open sockets. It starts again when a packet has
// been sent.
var reopenBackoff = backoff.Exponential{First: 3 * time.Second, Last: 10 * time.Second}

// Key identifies the path that a session watches. No two sessions have the same key.
type Key struct {
	// Peer is the other side. A link-local address has its zone, or Interface is set.
	Peer netip.Addr
	// Local is the address from which packets are sent and at which they must arrive; invalid: the kernel
	// chooses one.
	Local netip.Addr
	// Interface is the interface by which packets of a single-hop session leave and on which they must
	// arrive; empty: any interface. Multihop sessions ignore it.
	Interface string
	// VRF is the VRF device of the session; empty: none.
	VRF string
	// Multihop: there may be routers on the path (RFC 5883).
	Multihop bool
}

// Status is the status of a session.
type Status struct {
	bfd.Status
	// Problem is why the session cannot work as it should, and what to do; empty: the session works.
	// The operation that failed is tried again after 3 s, and then at growing intervals of up to 10 s.
	Problem string
}

// Options are the options of an engine.
type Options struct {
	// Log receives messages for administrators.
	Log logr.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// Changed is called when State, Problem, Failed or the result of IsRemoteAdminDown has changed for a
	// wanted session. The engine's goroutine calls it: it must not block. It may be nil.
	Changed func(Key, Status)
	// Network opens the sockets; nil: they are sockets of the kernel.
	Network Network
	// Passes records the passes of the engine's goroutine; nil: they are not recorded.
	Passes *watchdog.Loop
}

// Engine runs the sessions. Its methods may be called from any goroutine.
type Engine struct {
	options      Options
	cancel       context.CancelFunc
	wake         chan struct{}
	arrived      chan arrivedPacket
	socketErrors chan socketError
	stopSent     chan struct{} // closed when Stop has sent the first AdminDown of each session
	done         chan struct{} // closed when the goroutine has ended

	mu              sync.Mutex
	wanted          map[Key]bfd.Profile
	wantedChanged   bool // wanted has changed
	stopping        bool
	sessions        map[Key]*watchedSession
	byDiscriminator map[uint32]*watchedSession // by our discriminator
	listeners       map[PacketClass]*listener
	queue           queue
	changes         []statusChange
}

type statusChange struct {
	key    Key
	status Status
}

// New starts an engine without sessions. When the context ends, the engine stops at once and
// sends nothing to the other sides; use Stop to send AdminDown.
func New(ctx context.Context, o Options) *Engine {
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if o.Network == nil {
		o.Network = NewKernelNetwork()
	}
	if o.Changed == nil {
		o.Changed = func(Key, Status) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &Engine{
		options: o, cancel: cancel,
		wake: make(chan struct{}, 1), arrived: make(chan arrivedPacket, 64), socketErrors: make(chan socketError),
		stopSent: make(chan struct{}), done: make(chan struct{}),
		sessions: map[Key]*watchedSession{}, byDiscriminator: map[uint32]*watchedSession{}, listeners: map[PacketClass]*listener{},
	}
	go e.run(ctx)
	return e
}

// Set replaces the wanted sessions. New sessions begin. Sessions that are not wanted any more end with
// AdminDown. Sessions whose profile has changed apply it without going down. Set returns at once.
func (e *Engine) Set(sessions map[Key]bfd.Profile) {
	e.mu.Lock()
	if !e.stopping {
		e.wanted, e.wantedChanged = maps.Clone(sessions), true
	}
	e.mu.Unlock()
	e.poke()
}

// Status returns the status of a session; false: the session is not wanted.
func (e *Engine) Status(key Key) (Status, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w, known := e.sessions[key]; known && w.adminDownsLeft == 0 {
		return w.status(), true
	}
	return Status{}, false
}

// Stop ends all sessions with AdminDown, and then the engine. Stop sends AdminDown at least once. It
// returns when each session has sent AdminDown adminDownRepeats times, or when the context ends before
// that.
func (e *Engine) Stop(ctx context.Context) {
	e.mu.Lock()
	e.wanted, e.wantedChanged, e.stopping = nil, true, true
	e.mu.Unlock()
	e.poke()
	select {
	case <-e.stopSent:
	case <-e.done:
	}
	select {
	case <-ctx.Done():
	case <-e.done:
	}
	e.cancel()
	<-e.done
}

func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
