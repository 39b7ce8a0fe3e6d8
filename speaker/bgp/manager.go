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
	"github.com/lbstack/lbstack/internal/routes"
	"github.com/lbstack/lbstack/internal/watchdog"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
)

// Options are what a Manager works with.
type Options struct {
	// Log records when sessions begin and end.
	Log logr.Logger
	// RouterID of this node, for peers that name none (RFC 6286).
	RouterID netip.Addr
	// Metrics count what happens.
	Metrics *Metrics
	// Changed is called when a status is another one than before; it must not block.
	Changed func()
	// ListenPort is where passive peers are listened for; 0: the port of BGP.
	ListenPort uint16
	// Discover finds the router on an interface, until the context ends, and calls found
	// each time that it is another one. Established reports whether there is a session with
	// the one that was found last. Nil: unnumbered peers find none.
	Discover func(ctx context.Context, device string, found func(netip.Addr), established func() bool)
	// Addresses returns those of the node; nil: the kernel's.
	Addresses func() ([]bgp.NodeAddress, error)
	// Watch calls set with the addresses of the node, at first and when they change, until the context
	// ends. It runs while there are peers. Nil: changes are not noticed.
	Watch func(ctx context.Context, set func([]bgp.NodeAddress))
	// Paths are watched by BFD.
	Paths Paths
	// Watchdog watches the goroutines of the peers; nil: nothing does.
	Watchdog *watchdog.Watchdog
}

// Manager has the sessions. Make it with New.
type Manager struct {
	Options
	ctx   context.Context
	begun time.Time
	// openWithin is as in session.Config. Tests set it.
	openWithin time.Duration

	mu        sync.Mutex
	peers     map[bgp.PeerName]*running
	parting   map[*running]bool // from their routers, which still have routes
	draining  bool
	drains    int // how often that has changed
	listeners listeners
	addresses []bgp.NodeAddress // known while there are peers
	unwatch   context.CancelFunc
	internal  []netip.Addr

	// What BFD has found, and followPaths has not taken up; found is held for no more than a look.
	found    sync.Mutex
	findings map[speakerbfd.Key]finding
	finds    chan struct{}

	// A peer shows its status while others wait for it, with mu held: this one is held
	// for no more than the look at the map.
	statusMu sync.Mutex
	statuses map[bgp.PeerName]Status
}

// DownAfter is how long a session may need to come up before it counts as down.
const DownAfter = 10 * time.Second

// running is a peer that runs.
type running struct {
	*peer
	config bgp.Peer
	end    context.CancelFunc
	retire func() // its status is of no interest any more

	waitingConns atomic.Int32 // connections that wait for the peer

	found  netip.Addr // the router, of an unnumbered peer
	search context.CancelFunc

	path    speakerbfd.Key
	watched bool // by BFD
	failed  bool // as BFD reported last
}

// New returns a manager without sessions. They end, without a word, with the context:
// call Leave before that.
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

// SetPeers sets which sessions there should be. One that is new has its routes from the
// beginning; table returns those.
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
			r.config = config // its BFD may be another one
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

// sameConfig compares two configurations. Of the profile of BFD nothing counts here.
func sameConfig(x, y bgp.Peer) bool {
	x.BFD, y.BFD, x.BFDProfile, y.BFDProfile = nil, nil, "", ""
	return x == y
}

func (m *Manager) begin(config bgp.Peer, table routes.Table) *running {
	ctx, end := context.WithCancel(m.ctx)
	// Routes of a speaker before this one are kept for as long as the router was asked
	// to.
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

// show takes what a session is now, unless there is a later one of that name. The timer is that of
// the peer, for when a session that does not come up counts as down.
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

// SetRoutes changes what a router should have from this node. The reason was seen at a time,
// from which it is measured how long the router waits; zero: that is not measured.
func (m *Manager) SetRoutes(peer bgp.PeerName, announce routes.Table, withdraw []netip.Prefix, seen time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.peers[peer]; r != nil {
		r.setRoutes(announce, withdraw, seen)
	}
}

// watchAddresses watches the addresses of the node while there are peers. Next hops follow them while
// sessions stay. m.mu is held.
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

// SetInternalIPs reports the InternalIPs of the Node object, which next hops are by preference.
func (m *Manager) SetInternalIPs(list []netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.internal = list
	m.updateAll(func(p *peer) { p.internal = list })
}

// updateAll changes what next hops depend on. m.mu is held.
func (m *Manager) updateAll(set func(*peer)) {
	for _, r := range m.peers {
		r.do(func(time.Time) []session.Action {
			set(r.peer)
			r.renewNextHops()
			return nil
		})
	}
}

// listens records whether connections of routers are accepted somewhere.
func (m *Manager) listens(at place, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.peers {
		if r.config.Passive && at.isFor(r.config) {
			r.do(func(time.Time) []session.Action { r.closed = listenProblem(m.ListenPort, err); return nil })
		}
	}
}

// SetDraining has routers prefer other nodes, and after a while takes all routes back;
// or announces them again. The sessions stay.
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

// withdraw takes back what is marked, unless the node is to be drained no more.
func (m *Manager) withdraw(r *running, drain int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drains == drain {
		r.do(func(time.Time) []session.Action { r.table.depart(true, true); return nil })
	}
}

// Leave ends all sessions. Routers of peers with graceful restart keep the routes, for a
// speaker that is back soon; unless the node is drained. It returns when all has been
// said, or the context ends.
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

// Statuses returns how all sessions are, ordered by peer.
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
				if r.router != from { // another one was found meanwhile
					refuse(conn)
					return nil
				}
				return r.connected(now, session.Theirs, conn)
			})
		}()
		return
	}
	refuse(conn)
}
