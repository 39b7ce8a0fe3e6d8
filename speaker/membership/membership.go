// Package membership knows which speakers are alive and which links they have,
// by SWIM gossip between them (github.com/hashicorp/memberlist): no API server is
// needed to notice that a node is gone. All traffic is encrypted with one key.
//
// A speaker is a member only once it can answer for addresses: it joins when it
// knows its links and has seen the cluster, so that the others do not count on
// one that is not ready.
package membership

import (
	"bytes"
	"context"
	"fmt"
	stdlog "log"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

// KeySize is the length of the key in bytes: AES-256.
const KeySize = 32

// Config is what a Mesh needs to start.
type Config struct {
	// Node is this node's name, unique in the mesh.
	Node lb.NodeName
	// Address to listen on and to be reached at, UDP and TCP.
	Address netip.AddrPort
	// Key that all speakers share; KeySize bytes.
	Key []byte
	// Log of the gossip, at debug level. The key is never in it.
	Log logr.Logger
}

// Mesh is this speaker's view of the others. Make it with Start.
type Mesh struct {
	config  *memberlist.Config
	log     logr.Logger
	port    uint16
	changed chan struct{} // holds one token when the members may have changed
	wanted  chan []netip.Addr
	relink  chan struct{} // holds one token when the links have changed
	stop    chan struct{}
	stopped sync.WaitGroup

	mu      sync.Mutex
	list    *memberlist.Memberlist // nil until this speaker is ready to be a member
	members map[lb.NodeName]member // what memberlist hands out itself changes while it is read
	links   []speaker.Link
	linked  bool
	joined  bool
}

type member struct {
	speaker.Peer
	address string
}

// profile sets the timing. With a probe every 100 ms and a suspicion of 3
// probe intervals, a crash among up to ten nodes is noticed after
//
//	0..100 ms until somebody probes it, 50 ms of silence,
//	3 x max(1, log10 n) x 100 ms of suspicion: 0.35 to 0.5 s,
//
// at the cost of some 20 packets a second and node. The maximum of suspicion
// and of the awareness multiplier bound how far a lonely or slow prober
// stretches that.
func profile(c *memberlist.Config) {
	c.ProbeInterval = 100 * time.Millisecond
	c.ProbeTimeout = 50 * time.Millisecond
	c.IndirectChecks = 3
	c.SuspicionMult = 3
	c.SuspicionMaxTimeoutMult = 3
	c.AwarenessMaxMultiplier = 3
	c.GossipInterval = 30 * time.Millisecond
	c.GossipNodes = 3
	c.RetransmitMult = 4
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = time.Second
	// A node that was replaced under its name may come from another address.
	c.DeadNodeReclaimTime = time.Second
}

// Start checks the configuration. Nothing is heard and nobody is told anything
// before SetLinks and Join have been called.
func Start(config Config) (*Mesh, error) {
	if len(config.Key) != KeySize {
		return nil, fmt.Errorf("the key of the mesh has %d bytes, it needs %d", len(config.Key), KeySize)
	}
	m := &Mesh{
		log: config.Log, port: config.Address.Port(), changed: make(chan struct{}, 1),
		wanted: make(chan []netip.Addr, 1), relink: make(chan struct{}, 1), stop: make(chan struct{}),
		members: map[lb.NodeName]member{},
	}
	c := memberlist.DefaultLANConfig()
	profile(c)
	c.Name = string(config.Node)
	c.BindAddr, c.BindPort = config.Address.Addr().String(), int(config.Address.Port())
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, c.BindPort
	c.SecretKey = config.Key
	c.Events, c.Delegate = events{m}, delegate{m}
	c.Logger = stdlog.New(lines{config.Log}, "", 0)
	m.config = c
	m.stopped.Go(m.keepJoining)
	return m, nil
}

// SetLinks says which links this node has; the others are told.
func (m *Mesh) SetLinks(links []speaker.Link) {
	m.mu.Lock()
	m.links, m.linked = links, true
	m.mu.Unlock()
	select {
	case m.relink <- struct{}{}:
	default:
	}
}

// Live returns the speakers that are alive, this one included, by name. It
// returns false before the first attempt to reach the others has ended.
func (m *Mesh) Live() ([]speaker.Peer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	peers := make([]speaker.Peer, 0, len(m.members))
	for _, node := range slices.Sorted(maps.Keys(m.members)) {
		peers = append(peers, m.members[node].Peer)
	}
	return peers, m.joined
}

// Changed gets a token when Live may answer something else.
func (m *Mesh) Changed() <-chan struct{} { return m.changed }

// Tell passes on who is alive, from the first attempt to reach the others until
// the context ends.
func (m *Mesh) Tell(ctx context.Context, tell func([]speaker.Peer)) {
	for {
		if live, joined := m.Live(); joined {
			tell(live)
		}
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
		}
	}
}

// Leave tells the others that this speaker goes, and stops. They have taken
// over, or the time is up, when it returns.
func (m *Mesh) Leave(within time.Duration) error {
	close(m.stop)
	m.stopped.Wait()
	m.mu.Lock()
	list := m.list
	m.mu.Unlock()
	if list == nil {
		return nil
	}
	if err := list.Leave(within); err != nil {
		m.log.V(1).Info("leaving the mesh was not heard by all", "why", err.Error())
	}
	if err := list.Shutdown(); err != nil {
		return fmt.Errorf("stopping the mesh: %w", err)
	}
	return nil
}

func (m *Mesh) signal() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// events notes who is a member. memberlist holds its locks while it calls, so
// nothing is asked here.
type events struct{ mesh *Mesh }

func (e events) NotifyJoin(n *memberlist.Node)   { e.note(n) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.note(n) }

func (e events) note(n *memberlist.Node) {
	p := speaker.Peer{Node: lb.NodeName(n.Name)}
	p.Links, p.More = decodeLinks(n.Meta)
	e.mesh.mu.Lock()
	e.mesh.members[p.Node] = member{Peer: p, address: n.Addr.String()}
	e.mesh.mu.Unlock()
	e.mesh.signal()
}

func (e events) NotifyLeave(n *memberlist.Node) {
	e.mesh.mu.Lock()
	delete(e.mesh.members, lb.NodeName(n.Name))
	e.mesh.mu.Unlock()
	e.mesh.signal()
}

// delegate tells the others which links this node has, and nothing else.
type delegate struct{ mesh *Mesh }

// NodeMeta implements memberlist.Delegate.
func (d delegate) NodeMeta(limit int) []byte {
	d.mesh.mu.Lock()
	defer d.mesh.mu.Unlock()
	return encodeLinks(d.mesh.links, limit)
}

func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

// lines is a writer that logs each line at debug level.
type lines struct{ log logr.Logger }

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l.log.V(1).Info(string(bytes.TrimSpace(p)))
	return len(p), nil
}
