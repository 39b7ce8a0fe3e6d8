// Package membership knows which speakers are alive, by SWIM gossip between
// them (github.com/hashicorp/memberlist): no API server is needed to notice
// that a node is gone. All traffic is encrypted with one key.
package membership

import (
	"bytes"
	"context"
	"fmt"
	stdlog "log"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"

	"github.com/lbstack/lbstack/internal/lb"
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
	list    *memberlist.Memberlist
	log     logr.Logger
	port    uint16
	changed chan struct{} // holds one token when the members may have changed
	wanted  chan []netip.Addr
	stop    chan struct{}
	stopped sync.WaitGroup

	mu     sync.Mutex
	joined bool
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

// Start joins nobody yet: Join says whom to look for.
func Start(config Config) (*Mesh, error) {
	if len(config.Key) != KeySize {
		return nil, fmt.Errorf("the key of the mesh has %d bytes, it needs %d", len(config.Key), KeySize)
	}
	m := &Mesh{
		log: config.Log, port: config.Address.Port(),
		changed: make(chan struct{}, 1), wanted: make(chan []netip.Addr, 1), stop: make(chan struct{}),
	}
	c := memberlist.DefaultLANConfig()
	profile(c)
	c.Name = string(config.Node)
	c.BindAddr, c.BindPort = config.Address.Addr().String(), int(config.Address.Port())
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, c.BindPort
	c.SecretKey = config.Key
	c.Events = events{m}
	c.Logger = stdlog.New(lines{config.Log}, "", 0)
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, fmt.Errorf("starting the mesh on %s: %w", config.Address, err)
	}
	m.list = list
	m.stopped.Go(m.keepJoining)
	return m, nil
}

// Live returns the speakers that are alive, this one included, by name. It
// returns false before the first attempt to reach the others has ended.
func (m *Mesh) Live() ([]lb.NodeName, bool) {
	m.mu.Lock()
	joined := m.joined
	m.mu.Unlock()
	var nodes []lb.NodeName
	for _, member := range m.list.Members() {
		nodes = append(nodes, lb.NodeName(member.Name))
	}
	slices.Sort(nodes)
	return nodes, joined
}

// Changed gets a token when Live may answer something else.
func (m *Mesh) Changed() <-chan struct{} { return m.changed }

// Tell passes on who is alive, from the first attempt to reach the others until
// the context ends.
func (m *Mesh) Tell(ctx context.Context, tell func([]lb.NodeName)) {
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
	if err := m.list.Leave(within); err != nil {
		m.log.V(1).Info("leaving the mesh was not heard by all", "why", err.Error())
	}
	if err := m.list.Shutdown(); err != nil {
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

// events passes on that something happened. memberlist holds its locks while it
// calls, so nothing is asked here.
type events struct{ mesh *Mesh }

func (e events) NotifyJoin(*memberlist.Node)   { e.mesh.signal() }
func (e events) NotifyLeave(*memberlist.Node)  { e.mesh.signal() }
func (e events) NotifyUpdate(*memberlist.Node) { e.mesh.signal() }

// lines is a writer that logs each line at debug level.
type lines struct{ log logr.Logger }

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l.log.V(1).Info(string(bytes.TrimSpace(p)))
	return len(p), nil
}
