// Package bgp holds the BGP sessions of this node (RFC 4271): it dials and listens,
// sends the routes that it is given, and reports the state of each session. The decisions of a
// session are those of internal/bgp/session.
package bgp

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/netlimit"
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/internal/watchdog"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
)

// Options of a Manager.
type Options struct {
	// Log records when sessions begin and end.
	Log logr.Logger
	// RouterID of this node, for peers that name none (RFC 6286).
	RouterID netip.Addr
	// Metrics of the sessions.
	Metrics *Metrics
	// Changed is called when the status of a session has changed; it must not block.
	Changed func()
	// ListenPort is the port for connections of routers of passive peers; 0: that of BGP.
	ListenPort uint16
	// Discover looks for the router on an interface until the context ends, and calls found
	// whenever the router changes. established reports whether there is a session with the
	// router that was found last. Nil: the routers of unnumbered peers are not found.
	Discover func(ctx context.Context, device string, found func(netip.Addr), established func() bool)
	// Addresses returns those of the node; nil: the kernel's.
	Addresses func() ([]bgp.NodeAddress, error)
	// Watch calls set with the addresses of the node, at first and when they change, until the context
	// ends. It runs while there are peers. Nil: changes are not noticed.
	Watch func(ctx context.Context, set func([]bgp.NodeAddress))
	// Paths are watched by BFD.
	Paths Paths
	// Watchdog watches the goroutines of the peers; may be nil.
	Watchdog *watchdog.Watchdog
}

// Manager runs the sessions. Its methods may be called from any goroutine. Make it with New.
type Manager struct {
	Options
	ctx   context.Context
	begun time.Time
	// openWithin is as in session.Config. Tests set it.
	openWithin time.Duration

	mu        sync.Mutex
	peers     map[bgp.PeerName]*running
	parting   map[*running]bool // peers that were removed, and whose sessions have not ended yet
	draining  bool
	drains    int // how often draining has changed
	listeners listeners
	addresses []bgp.NodeAddress // of the node; set while there are peers
	unwatch   context.CancelFunc
	internal  []netip.Addr

	// Results of BFD that followPaths has not handled yet. found is locked only to read or write them.
	found    sync.Mutex
	findings map[speakerbfd.Key]finding
	finds    chan struct{}

	// statusMu guards statuses. A peer reports its status while another goroutine holds mu and waits
	// for that peer: mu cannot guard them.
	statusMu sync.Mutex
	statuses map[bgp.PeerName]Status
}

// DownAfter is how long a session has to come up before it counts as down.
const DownAfter = 10 * time.Second

// running is a peer whose goroutine runs.
type running struct {
	*peer
	config bgp.Peer
	end    context.CancelFunc
	retire func() // from now on its status is not stored any more

	waitingConns atomic.Int32 // connections that wait for the peer

	found  netip.Addr // the router, of an unnumbered peer
	search context.CancelFunc

	path    speakerbfd.Key
	watched bool // its path is watched by BFD
	failed  bool // the path has failed, as BFD reported last
}

// New returns a manager without sessions. When the context ends, sessions end without a
// NOTIFICATION: call Leave before that.
func New(ctx context.Context, o Options) *Manager {
	if o.ListenPort == 0 {
		o.ListenPort = bgp.Port
	}
	if o.Addresses == nil {
		o.Addresses = nodeAddresses
	}
	m := &Manager{Options: o, ctx: ctx, begun: time.Now(), peers: map[bgp.PeerName]*running{}, parting: map[*running]bool{}, statuses: map[bgp.PeerName]Status{}}
	m.findings, m.finds = map[speakerbfd.Key]finding{}, make(chan struct{}, 1)
	m.listeners = newListeners(ctx, o, m.accepted, m.listens)
	go m.followPaths()
	return m
}

// SetPeers replaces the peers. table returns the routes that the session of a new peer begins with.
func (m *Manager) SetPeers(list []bgp.Peer, table func(bgp.PeerName) routes.Table) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := map[bgp.PeerName]bool{}
	for _, config := range list {
		if !config.RouterID.IsValid() {
			config.RouterID = m.RouterID
		}
		wanted[config.Name] = true
		r := m.peers[config.Name]
		switch {
		case r == nil:
			m.peers[config.Name] = m.begin(config, table(config.Name))
		case sameConfig(r.config, config):
			r.config = config // its BFD profile may have changed
		default:
			elsewhere := r.config.Interface != config.Interface
			r.config = config
			if elsewhere {
				m.discover(r)
			}
			r.do(func(now time.Time) []session.Action { return r.change(now, config) })
		}
	}
	for name, r := range m.peers {
		if !wanted[name] {
			delete(m.peers, name)
			m.parting[r] = true
			r.retire()
			m.forget(name)
			go m.remove(name, r)
		}
	}
	m.listen()
	m.watch()
	m.watchAddresses()
	m.Changed()
}

// sameConfig compares two configurations without their BFD profiles.
func sameConfig(x, y bgp.Peer) bool {
	x.BFD, y.BFD, x.BFDProfile, y.BFDProfile = nil, nil, "", ""
	return x == y
}

func (m *Manager) begin(config bgp.Peer, table routes.Table) *running {
	ctx, end := context.WithCancel(m.ctx)
	// The router retains the routes of the speaker before this one for its restart time.
	restarted := time.Since(m.begun) < config.RestartTime
	p := &peer{
		ctx: ctx, log: m.Log.WithValues("peer", config.Name), events: make(chan event, 16), ended: make(chan struct{}), metrics: m.Metrics.of(config.Name),
		config: config, machine: session.New(time.Now(), sessionConfig(config, restarted, m.openWithin)), links: map[session.Side]*link{},
		table: newTable(table), router: config.Address, restarted: restarted, openWithin: m.openWithin,
		nodeAddresses: m.Addresses, addresses: m.addresses, internal: m.internal,
		passes: m.Watchdog.Loop("the BGP session of the BGPPeer " + string(config.Name)),
	}
	p.table.leaving, p.table.withdrawn = m.draining, m.draining
	var retired atomic.Bool
	var late *time.Timer
	p.onStatus = func(s Status) { late = m.show(s, &retired, p.metrics, late) }
	go p.run()
	p.do(p.machine.Start)
	r := &running{peer: p, config: config, end: end, retire: func() { retired.Store(true) }, search: func() {}}
	m.discover(r)
	return r
}

func (m *Manager) remove(name bgp.PeerName, r *running) {
	r.leave(m.ctx, r.config.ShutdownWait, false, bgp.Ceased(bgp.PeerDeconfigured, ""), "the BGPPeer was deleted")
	r.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.parting, r)
	m.watch()
	if m.peers[name] == nil {
		m.Metrics.forget(name)
	}
}

func (m *Manager) forget(name bgp.PeerName) {
	m.statusMu.Lock()
	defer m.statusMu.Unlock()
	delete(m.statuses, name)
}

// show stores the status of a session, unless the peer is retired. late is the timer of the peer for
// when a session that does not come up counts as down.
func (m *Manager) show(s Status, retired *atomic.Bool, metrics peerMetrics, late *time.Timer) *time.Timer {
	m.statusMu.Lock()
	before := m.statuses[s.Peer]
	if !retired.Load() {
		m.statuses[s.Peer] = s
		metrics.note(s)
	}
	m.statusMu.Unlock()
	switch within := DownAfter + time.Second; {
	case s.State == session.Established, s.Since.Equal(before.Since) && late != nil:
	case late == nil:
		late = time.AfterFunc(within, m.Changed)
	default:
		late.Reset(within)
	}
	m.Changed()
	return late
}

// SetRoutes changes which routes a router should have from this node. seen is when the cause of the
// change was seen, for the latency metric; zero: it is not measured.
func (m *Manager) SetRoutes(peer bgp.PeerName, announce routes.Table, withdraw []netip.Prefix, seen time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.peers[peer]; r != nil {
		r.setRoutes(announce, withdraw, seen)
	}
}

// watchAddresses watches the addresses of the node while there are peers. When they change, next hops
// change, and sessions stay. The caller holds m.mu.
func (m *Manager) watchAddresses() {
	switch {
	case m.Watch == nil:
	case len(m.peers) > 0 && m.unwatch == nil:
		ctx, cancel := context.WithCancel(m.ctx)
		m.unwatch = cancel
		go m.Watch(ctx, func(list []bgp.NodeAddress) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if ctx.Err() == nil {
				m.addresses = list
				m.updateAll(func(p *peer) { p.addresses = list })
			}
		})
	case len(m.peers) == 0 && m.unwatch != nil:
		m.unwatch()
		m.unwatch, m.addresses = nil, nil
	}
}

// SetInternalIPs sets the InternalIPs of the Node object, which are preferred as next hops.
func (m *Manager) SetInternalIPs(list []netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.internal = list
	m.updateAll(func(p *peer) { p.internal = list })
}

// updateAll changes in all peers what next hops depend on. The caller holds m.mu.
func (m *Manager) updateAll(set func(*peer)) {
	for _, r := range m.peers {
		r.do(func(time.Time) []session.Action {
			set(r.peer)
			r.renewNextHops()
			return nil
		})
	}
}

// listens passes on to its peers whether connections of routers are accepted at a place.
func (m *Manager) listens(at place, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.peers {
		if r.config.Passive && at.isFor(r.config) {
			r.do(func(time.Time) []session.Action { r.closed = listenProblem(m.ListenPort, err); return nil })
		}
	}
}

// SetDraining marks all routes, so that routers prefer other nodes, and withdraws them after the
// graceful shutdown time of each peer; or announces them again. The sessions stay.
func (m *Manager) SetDraining(draining bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining == draining {
		return
	}
	m.draining = draining
	m.drains++
	drain := m.drains
	for _, r := range m.peers {
		r.do(func(time.Time) []session.Action { r.table.depart(draining, false); return nil })
		if draining {
			time.AfterFunc(r.config.ShutdownWait, func() { m.withdraw(r, drain) })
		}
	}
}

// withdraw withdraws the marked routes, unless draining has changed meanwhile.
func (m *Manager) withdraw(r *running, drain int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drains == drain {
		r.do(func(time.Time) []session.Action { r.table.depart(true, true); return nil })
	}
}

// Leave ends all sessions. Unless the node is drained, routers of peers with graceful restart retain
// the routes for the next speaker. It returns when all messages were sent, or the context ends.
func (m *Manager) Leave(ctx context.Context) {
	m.mu.Lock()
	draining := m.draining
	leaving := m.peers
	m.peers = map[bgp.PeerName]*running{}
	for _, r := range leaving {
		m.parting[r] = true
	}
	m.listeners.set(nil)
	m.mu.Unlock()
	var all sync.WaitGroup
	for _, r := range leaving {
		all.Go(func() {
			r.leave(ctx, r.config.ShutdownWait, r.config.RestartTime > 0 && !draining, bgp.Ceased(bgp.AdminShutdown, "the speaker of this node ends"), "the speaker ends")
		})
	}
	all.Wait()
}

// Statuses returns the status of all sessions, in order of the peers.
func (m *Manager) Statuses() []Status {
	m.statusMu.Lock()
	defer m.statusMu.Unlock()
	list := make([]Status, 0, len(m.statuses))
	now := time.Now()
	for _, s := range m.statuses {
		list = append(list, s.settled(now))
	}
	slices.SortFunc(list, func(x, y Status) int { return strings.Compare(string(x.Peer), string(y.Peer)) })
	return list
}

// accepted hands a connection to the peer whose router made it, or closes it. The router of an
// unnumbered peer is the one that was found, and no other host of the link.
func (m *Manager) accepted(conn net.Conn, vrf string) {
	from, local := addrOf(conn.RemoteAddr()), addrOf(conn.LocalAddr())
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.peers {
		config := r.config
		config.Address = m.router(r)
		if config.VRF != vrf || !config.Passive || !isRouterOf(config, from, local) {
			continue
		}
		if r.waitingConns.Add(1) > maxOffered {
			r.waitingConns.Add(-1)
			break
		}
		if err := adopt(conn, config, from); err != nil {
			r.waitingConns.Add(-1)
			r.log.Error(err, "preparing a connection of the router")
			break
		}
		go func() {
			defer r.waitingConns.Add(-1)
			r.handOver(conn, func(now time.Time) []session.Action {
				if r.router != from { // another router was discovered meanwhile
					netlimit.Abort(conn)
					return nil
				}
				return r.connected(now, session.Theirs, conn)
			})
		}()
		return
	}
	netlimit.Abort(conn)
}
