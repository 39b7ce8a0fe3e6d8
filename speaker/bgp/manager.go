// Package bgp runs the BGP sessions of this node (RFC 4271): it connects and listens, sends the routes
// that the Manager is given, and reports the state of each session. The state machine of a session is in
// internal/bgp/session.
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
	// RouterID is the BGP Identifier of this node (RFC 6286), for peers without a RouterID of their own.
	RouterID netip.Addr
	// Metrics of the sessions.
	Metrics *Metrics
	// Changed is called when the status of a session has changed. It must not block.
	Changed func()
	// ListenPort is the port to which the routers of passive peers connect; 0: bgp.Port.
	ListenPort uint16
	// Discover looks for the router on an interface until the context ends, and calls found whenever
	// the router changes. established reports whether there is a session with the router that was found
	// last. If Discover is nil, the routers of unnumbered peers are not found.
	Discover func(ctx context.Context, device string, found func(netip.Addr), established func() bool)
	// Addresses returns the addresses of the node; nil: they are read from the kernel.
	Addresses func() ([]bgp.NodeAddress, error)
	// Watch calls set with the addresses of the node, at first and whenever they change, until the context
	// ends. It runs while there are peers. If Watch is nil, the Manager does not notice changes.
	Watch func(ctx context.Context, set func([]bgp.NodeAddress))
	// Paths watches the paths to the routers with BFD.
	Paths Paths
	// Watchdog watches the goroutines of the peers; may be nil.
	Watchdog *watchdog.Watchdog
}

// Manager runs the sessions. Its methods may be called from any goroutine. Make it with New.
type Manager struct {
	Options
	ctx   context.Context
	begun time.Time
	// openWithin is session.Config.OpenWithin. Only tests set it.
	openWithin time.Duration

	mu        sync.Mutex
	peers     map[bgp.PeerName]*runningPeer
	parting   map[*runningPeer]bool // removed peers whose sessions have not ended yet
	draining  bool
	drains    int // how often draining has changed
	listeners listeners
	addresses []bgp.NodeAddress // of the node; set while there are peers
	unwatch   context.CancelFunc
	internal  []netip.Addr

	// findings are the results of BFD that followPaths has not handled yet. found has a token when there
	// are findings. findingsMu guards findings, and is never held while waiting.
	findingsMu sync.Mutex
	findings   map[speakerbfd.Key]pathFinding
	found      chan struct{}

	// statusMu guards statuses. A peer may report its status while another goroutine holds mu and waits
	// for that peer, so mu cannot guard statuses.
	statusMu sync.Mutex
	statuses map[bgp.PeerName]Status
}

// DownAfter is how long a session has to come up before it counts as down.
const DownAfter = 10 * time.Second

// runningPeer is a peer whose goroutine runs.
type runningPeer struct {
	*peer
	config bgp.Peer
	end    context.CancelFunc
	retire func() // makes storeStatus ignore the peer from now on

	waitingConns atomic.Int32 // connections that wait for the goroutine of the peer

	discovered    netip.Addr // the router of an unnumbered peer; invalid: not found yet
	stopDiscovery context.CancelFunc

	path    speakerbfd.Key
	watched bool // BFD watches the path
	failed  bool // the last result of BFD is that the path failed
}

// New returns a manager without sessions. When the context ends, sessions end without a
// NOTIFICATION: call Leave before that.
func New(ctx context.Context, o Options) *Manager {
	if o.ListenPort == 0 {
		o.ListenPort = bgp.Port
	}
	if o.Addresses == nil {
		o.Addresses = readNodeAddresses
	}
	m := &Manager{Options: o, ctx: ctx, begun: time.Now(), peers: map[bgp.PeerName]*runningPeer{}, parting: map[*runningPeer]bool{}, statuses: map[bgp.PeerName]Status{}}
	m.findings, m.found = map[speakerbfd.Key]pathFinding{}, make(chan struct{}, 1)
	m.listeners = newListeners(ctx, o, m.handOverConn, m.reportListening)
	go m.followPaths()
	return m
}

// SetPeers replaces the peers. For a new peer, table returns the first routes of the session.
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
			m.peers[config.Name] = m.beginPeer(config, table(config.Name))
		case hasSameConfig(r.config, config):
			r.config = config // its BFD profile may have changed
		default:
			elsewhere := r.config.Interface != config.Interface
			r.config = config
			if elsewhere {
				m.startDiscovery(r)
			}
			r.enqueue(func(now time.Time) []session.Action { return r.changeConfig(now, config) })
		}
	}
	for name, r := range m.peers {
		if !wanted[name] {
			delete(m.peers, name)
			m.parting[r] = true
			r.retire()
			m.forgetPeer(name)
			go m.removePeer(name, r)
		}
	}
	m.updateListeners()
	m.watchPaths()
	m.watchAddresses()
	m.Changed()
}

// hasSameConfig compares two configurations without their BFD profiles.
func hasSameConfig(x, y bgp.Peer) bool {
	x.BFD, y.BFD, x.BFDProfile, y.BFDProfile = nil, nil, "", ""
	return x == y
}

func (m *Manager) beginPeer(config bgp.Peer, table routes.Table) *runningPeer {
	ctx, end := context.WithCancel(m.ctx)
	// A router retains the routes of the previous speaker process of this node for the restart time.
	restarted := time.Since(m.begun) < config.RestartTime
	p := &peer{
		ctx: ctx, log: m.Log.WithValues("peer", config.Name), events: make(chan peerEvent, 16), ended: make(chan struct{}), metrics: m.Metrics.metricsOf(config.Name),
		config: config, machine: session.New(time.Now(), sessionConfig(config, restarted, m.openWithin)), links: map[session.Side]*link{},
		table: newRouteTable(table), router: config.Address, restarted: restarted, openWithin: m.openWithin,
		nodeAddresses: m.Addresses, addresses: m.addresses, internal: m.internal,
		passes: m.Watchdog.AddLoop("the BGP session of the BGPPeer " + string(config.Name)),
	}
	p.table.leaving, p.table.withdrawn = m.draining, m.draining
	var retired atomic.Bool
	var late *time.Timer
	p.onStatus = func(s Status) { late = m.storeStatus(s, &retired, p.metrics, late) }
	go p.run()
	p.enqueue(p.machine.Start)
	r := &runningPeer{peer: p, config: config, end: end, retire: func() { retired.Store(true) }, stopDiscovery: func() {}}
	m.startDiscovery(r)
	return r
}

func (m *Manager) removePeer(name bgp.PeerName, r *runningPeer) {
	r.endForGood(m.ctx, r.config.ShutdownWait, false, bgp.NewCease(bgp.PeerDeconfigured, ""), "the BGPPeer was deleted, or is not in effect on this node any more")
	r.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.parting, r)
	m.watchPaths()
	if m.peers[name] == nil {
		m.Metrics.forgetPeer(name)
	}
}

func (m *Manager) forgetPeer(name bgp.PeerName) {
	m.statusMu.Lock()
	defer m.statusMu.Unlock()
	delete(m.statuses, name)
}

// storeStatus stores the status of a session, unless the peer is retired. The argument late is the
// result of the previous call for this peer, at first nil. It is a timer: if the session does not come
// up, the timer calls Changed once more when the session counts as down.
func (m *Manager) storeStatus(s Status, retired *atomic.Bool, metrics peerMetrics, late *time.Timer) *time.Timer {
	m.statusMu.Lock()
	before := m.statuses[s.Peer]
	if !retired.Load() {
		m.statuses[s.Peer] = s
		metrics.setStatus(s)
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

// SetRoutes changes the routes that a router should have from this node. The time seen, for the latency
// metric, is when the speaker observed the cause of the change; zero: the latency is not measured.
func (m *Manager) SetRoutes(peer bgp.PeerName, announce routes.Table, withdraw []netip.Prefix, seen time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.peers[peer]; r != nil {
		r.setRoutes(announce, withdraw, seen)
	}
}

// watchAddresses watches the addresses of the node while there are peers. When the addresses change,
// the next hops are chosen again, and the sessions stay. The caller holds m.mu.
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

// updateAll calls a function with each peer, and makes each peer choose its next hops again. The caller
// holds m.mu.
func (m *Manager) updateAll(set func(*peer)) {
	for _, r := range m.peers {
		r.enqueue(func(time.Time) []session.Action {
			set(r.peer)
			r.renewNextHops()
			return nil
		})
	}
}

// reportListening records at the peers of a place whether connections of their routers are accepted
// there.
func (m *Manager) reportListening(at listenPlace, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.peers {
		if r.config.Passive && at.isPlaceOf(r.config) {
			r.enqueue(func(time.Time) []session.Action { r.closed = listenProblem(m.ListenPort, err); return nil })
		}
	}
}

// SetDraining starts or stops draining. Draining marks all routes, so that routers prefer other nodes,
// and withdraws them after the graceful shutdown time of each peer. The end of draining announces the
// routes again. The sessions stay.
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
		r.enqueue(func(time.Time) []session.Action { r.table.setLeaving(draining, false); return nil })
		if draining {
			time.AfterFunc(r.config.ShutdownWait, func() { m.withdrawMarked(r, drain) })
		}
	}
}

// withdrawMarked withdraws the marked routes, unless draining has changed meanwhile.
func (m *Manager) withdrawMarked(r *runningPeer, drain int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drains == drain {
		r.enqueue(func(time.Time) []session.Action { r.table.setLeaving(true, true); return nil })
	}
}

// Leave ends all sessions. Unless the node is draining, no routes are withdrawn from peers with graceful
// restart: their routers retain the routes for the next speaker. Leave returns when the sessions have
// ended, or when the context has ended.
func (m *Manager) Leave(ctx context.Context) {
	m.mu.Lock()
	draining := m.draining
	leaving := m.peers
	m.peers = map[bgp.PeerName]*runningPeer{}
	for _, r := range leaving {
		m.parting[r] = true
	}
	m.listeners.set(nil)
	m.mu.Unlock()
	var all sync.WaitGroup
	for _, r := range leaving {
		all.Go(func() {
			r.endForGood(ctx, r.config.ShutdownWait, r.config.RestartTime > 0 && !draining, bgp.NewCease(bgp.AdminShutdown, "the speaker of this node ends"), "the speaker ends")
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
		list = append(list, s.withoutOldFlaps(now))
	}
	slices.SortFunc(list, func(x, y Status) int { return strings.Compare(string(x.Peer), string(y.Peer)) })
	return list
}

// handOverConn hands a connection to the peer whose router made it, or closes it. For an unnumbered peer
// only the discovered router is accepted, and no other host of the link.
func (m *Manager) handOverConn(conn net.Conn, vrf string) {
	from, local := addrOf(conn.RemoteAddr()), addrOf(conn.LocalAddr())
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.peers {
		config := r.config
		config.Address = m.routerAddress(r)
		if config.VRF != vrf || !config.Passive || !isRouterOf(config, from, local) {
			continue
		}
		if r.waitingConns.Add(1) > maxWaitingConns {
			r.waitingConns.Add(-1)
			break
		}
		if err := adoptConn(conn, config, from); err != nil {
			r.waitingConns.Add(-1)
			r.log.Error(err, "preparing a connection of the router failed; the speaker closes the connection")
			break
		}
		go func() {
			defer r.waitingConns.Add(-1)
			r.handOver(conn, func(now time.Time) []session.Action {
				if r.router != from { // another router was discovered meanwhile
					netlimit.Abort(conn)
					return nil
				}
				return r.handleConn(now, session.TheirSide, conn)
			})
		}()
		return
	}
	netlimit.Abort(conn)
}
