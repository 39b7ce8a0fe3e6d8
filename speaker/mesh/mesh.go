// Package mesh connects a speaker with the other speakers. It has one UDP socket and a clock, and runs the
// machines of internal/mesh (which speakers are alive, and what each publishes) and of
// internal/mesh/session (keys and authentication). It decides nothing itself.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/watchdog"
)

// Config is what a Mesh needs to start.
type Config struct {
	// Node is this node's name, unique in the cluster.
	Node lb.NodeName
	// Address is the UDP address to listen on and to send from. Peers listen on the same port.
	Address netip.AddrPort
	// Keys are the keys that all speakers share, the newest first. SetKeys replaces the keys.
	Keys []session.Key
	// Profile is how soon the death of a speaker is detected.
	Profile Profile
	// View is called with what is known of the other speakers, after each change. A lock of the Mesh is
	// held meanwhile: View must not block, nor call the Mesh.
	View func(machine.View)
	// Log never contains a key.
	Log logr.Logger
	// Metrics count messages; nil: nothing is counted.
	Metrics *Metrics
	// Passes marks the passes of keepRunning, for the watchdog; nil: there is none.
	Passes *watchdog.Loop
}

// Mesh connects this speaker with the others. Make it with Start.
type Mesh struct {
	*runner
	config  Config
	socket  *socket
	timer   kernelTimer
	cancel  context.CancelFunc
	running sync.WaitGroup

	join  sync.Mutex                 // one call of SetPeers at a time
	mu    sync.Mutex                 // guards what follows
	nodes map[netip.Addr]lb.NodeName // by the address that their speakers send from
	hosts map[lb.NodeName]netip.Addr // the reverse of nodes
}

// Start begins to listen. Nothing is sent before SetPeers.
func Start(config Config) (*Mesh, error) {
	timing, known := timings[config.Profile]
	if !known {
		return nil, fmt.Errorf("%q is not a profile of failure detection: use %s, %s or %s", config.Profile, ProfileDefault, ProfileFast, ProfileRelaxed)
	}
	m := &Mesh{config: config}
	m.runner = newRunner(config.Node, timing, randomInstance(), randomBytes, m.send, config.View)
	m.clock, m.passes, m.sendGreeting = bootTime, config.Passes, m.sendHandshake
	m.metrics, m.address = config.Metrics, config.Address.Addr().Unmap()
	m.SetKeys(config.Keys)
	var err error
	if m.socket, err = openSocket(config.Address, m.receiveDatagram); err != nil {
		return nil, fmt.Errorf("listening on UDP address %s: %w", config.Address, err)
	}
	if m.timer, err = newKernelTimer(); err != nil {
		return nil, errors.Join(fmt.Errorf("creating the timer for heartbeats: %w", err), m.socket.close())
	}
	m.hold = m.socket.setHeld
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.running.Go(m.socket.read)
	m.running.Go(func() { m.keepRunning(m.timer.wait) })
	m.running.Go(func() { m.keepProbing(ctx) })
	return m, nil
}

// Stop ends the mesh at once. The caller must publish before Stop all that the other speakers should
// still receive.
func (m *Mesh) Stop() error {
	m.cancel()
	err := errors.Join(m.socket.close(), m.timer.close())
	m.running.Wait()
	if err != nil {
		return fmt.Errorf("stopping the mesh: %w", err)
	}
	return nil
}

// SetPeers sets which other speakers are expected, and their addresses. A speaker that is alive and not
// expected any more stays until it is found dead.
func (m *Mesh) SetPeers(peers map[lb.NodeName]netip.Addr) {
	m.join.Lock()
	defer m.join.Unlock()
	alive := m.Peers()
	m.mu.Lock()
	hosts := make(map[lb.NodeName]netip.Addr, len(peers))
	from := make(map[netip.Addr]lb.NodeName, len(peers))
	// Two nodes may have the same address, for example after a node got another name. Then the address
	// belongs to the node that is expected.
	for _, node := range slices.Concat(slices.Sorted(maps.Keys(peers)), alive) {
		host, expected := peers[node]
		if !expected {
			host = m.hosts[node]
		}
		if _, taken := from[host.Unmap()]; host.IsValid() && !taken && node != m.config.Node {
			hosts[node], from[host.Unmap()] = host, node
		}
	}
	m.hosts, m.nodes = hosts, from
	m.mu.Unlock()
	if err := m.socket.setPeers(from); err != nil {
		m.config.Log.Error(err, "the filter for datagrams from other speakers was not updated: the kernel may drop datagrams from new speakers")
	}
	nodes := slices.Sorted(maps.Keys(peers))
	m.withMachine(func(now time.Time) []machine.OutgoingMessage { m.machine.SetPeers(now, nodes); return nil })
}

// send sends a datagram to a peer from which this speaker has received one.
func (m *Mesh) send(to lb.NodeName, datagram []byte) { m.sendWith((*socket).send, to, datagram) }

// sendHandshake sends the first datagram of a handshake to a peer, which may be dead.
func (m *Mesh) sendHandshake(to lb.NodeName, datagram []byte) {
	m.sendWith((*socket).greet, to, datagram)
}

// sendWith sends a datagram, without waiting.
func (m *Mesh) sendWith(send func(*socket, []byte, netip.AddrPort) error, to lb.NodeName, datagram []byte) {
	host, known := m.hostOf(to)
	if !known || m.socket == nil {
		return // the session will send the greeting again
	}
	if err := send(m.socket, datagram, netip.AddrPortFrom(host, m.config.Address.Port())); err != nil {
		m.config.Log.V(1).Info("a datagram to another speaker was not sent", "node", to, "error", err.Error())
	}
}

func (m *Mesh) hostOf(node lb.NodeName) (netip.Addr, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	host, known := m.hosts[node]
	return host, known
}

// receiveDatagram receives a datagram from an address. It does not retain the datagram.
func (m *Mesh) receiveDatagram(from netip.Addr, datagram []byte) {
	m.mu.Lock()
	node, known := m.nodes[from.Unmap()]
	m.mu.Unlock()
	if known {
		m.receive(node, datagram)
	}
}
