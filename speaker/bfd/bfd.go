// Package bfd watches paths to routers with BFD (RFC 5880, 5881 and 5883): it has the
// sockets and the timers, and internal/bfd/session decides.
//
// One goroutine has all sessions, and one for each socket reads. Nothing listens
// unless a session needs it, and a port that another program of the host has is not
// taken from it: the sessions say so, and it is tried again.
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
	// adminDownRepeats is how often the end of a session is sent, and adminDownInterval the time between.
	adminDownRepeats  = 3
	adminDownInterval = 100 * time.Millisecond
	// lateAfter is from when on a tick counts as late.
	lateAfter = 20 * time.Millisecond
)

// reopen is how soon sockets that failed, or could not be opened, are opened again. A packet
// that is sent ends a row of failures.
var reopen = backoff.Exponential{First: 3 * time.Second, Last: 10 * time.Second}

// Key identifies the path that a session watches. No two sessions have the same.
type Key struct {
	// Peer is the other side. A link-local address has its zone, or Interface is set.
	Peer netip.Addr
	// Local is the address that packets are sent from and must arrive at; the kernel
	// chooses if it is not valid.
	Local netip.Addr
	// Interface that packets of a single-hop session leave by and must arrive on; any
	// if it is empty. It means nothing to a multihop one.
	Interface string
	// VRF that the session is in, empty for none.
	VRF string
	// Multihop: routers may be between (RFC 5883).
	Multihop bool
}

// Status is how a session is.
type Status struct {
	bfd.Status
	// Problem is why the session cannot work as it should, and what to do; empty if
	// there is nothing. It is tried again after 3 s, and later each time, up to 10 s.
	Problem string
}

// Options of an engine.
type Options struct {
	// Log gets what an administrator wants to know.
	Log logr.Logger
	// Metrics count what happens; they may be nil.
	Metrics *Metrics
	// Changed is called whenever a session that is wanted changes its state, its
	// Problem, or whether it failed or the other side's administrator took it down. It
	// is called from the engine's goroutine, must not block, and may be nil.
	Changed func(Key, Status)
	// Network opens the sockets; that of the kernel if it is nil.
	Network Network
	// Passes marks those of the engine's goroutine; nil: nothing does.
	Passes *watchdog.Loop
}

// Engine has the sessions.
type Engine struct {
	options      Options
	cancel       context.CancelFunc
	wake         chan struct{}
	arrived      chan arrived
	socketErrors chan socketError
	goodbye      chan struct{} // closed when Stop's first AdminDown is sent
	done         chan struct{} // closed when the goroutine has ended

	mu              sync.Mutex
	wanted          map[Key]bfd.Profile
	wantedChanged   bool // wanted has changed
	stopping        bool
	sessions        map[Key]*watch
	byDiscriminator map[uint32]*watch // by our discriminator
	listeners       map[Class]*listener
	queue           queue
	changes         []change
}

type change struct {
	key    Key
	status Status
}

// New starts an engine without sessions. When the context ends it stops at once and
// sends nothing to the other sides; Stop does.
func New(ctx context.Context, o Options) *Engine {
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if o.Network == nil {
		o.Network = Kernel()
	}
	if o.Changed == nil {
		o.Changed = func(Key, Status) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &Engine{
		options: o, cancel: cancel,
		wake: make(chan struct{}, 1), arrived: make(chan arrived, 64), socketErrors: make(chan socketError),
		goodbye: make(chan struct{}), done: make(chan struct{}),
		sessions: map[Key]*watch{}, byDiscriminator: map[uint32]*watch{}, listeners: map[Class]*listener{},
	}
	go e.run(ctx)
	return e
}

// Set sets which sessions there are to be. Those that are missing are made, the other
// side of those that are no longer wanted is sent AdminDown, and a changed profile changes a
// session while it is Up. It returns at once.
func (e *Engine) Set(sessions map[Key]bfd.Profile) {
	e.mu.Lock()
	if !e.stopping {
		e.wanted, e.wantedChanged = maps.Clone(sessions), true
	}
	e.mu.Unlock()
	e.poke()
}

// Status of a session, if it is wanted.
func (e *Engine) Status(key Key) (Status, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w, known := e.sessions[key]; known && w.adminDownsLeft == 0 {
		return w.status(), true
	}
	return Status{}, false
}

// Stop takes all sessions down, as an administrator does, and ends the engine. The
// other sides are sent AdminDown once before it returns, and again as long as the context lasts.
func (e *Engine) Stop(ctx context.Context) {
	e.mu.Lock()
	e.wanted, e.wantedChanged, e.stopping = nil, true, true
	e.mu.Unlock()
	e.poke()
	select {
	case <-e.goodbye:
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
