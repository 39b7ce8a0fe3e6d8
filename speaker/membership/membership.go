// Package membership lets speakers hear each other. What they say and who counts as
// alive is internal/mesh's business; here are the clock that drives it and the
// sockets, which are those of github.com/hashicorp/memberlist: one port, encryption
// with one key, the finding of each other, and a second, slower opinion about who
// is dead.
package membership

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/watchdog"
)

// KeySize is the length of the key in bytes: AES-256.
const KeySize = 32

const (
	// largestPacket is up to what size a message goes by UDP alone: it must fit into the
	// MTU of an Ethernet with what encryption and tunnels add.
	largestPacket = 1200
	// largestInPieces is up to what size it goes by UDP as well as over a connection, of
	// which there may be none: the kernel sends it in pieces, all of which must arrive.
	largestInPieces = 60_000
)

// Config is what a Mesh needs to start.
type Config struct {
	// Node is this node's name, unique in the mesh.
	Node lb.NodeName
	// Address to listen on and to be reached at, UDP and TCP.
	Address netip.AddrPort
	// Key that all speakers share; KeySize bytes.
	Key []byte
	// Profile is how soon the death of a speaker is noticed.
	Profile Profile
	// Tell takes what is known of the others, after each change; it must not block.
	Tell func(mesh.View)
	// Log of the gossip, at debug level. The key is never in it.
	Log logr.Logger
	// Metrics count messages.
	Metrics *Metrics
	// Passes marks those of the goroutine that sends heartbeats; nil: nothing does.
	Passes *watchdog.Loop
}

// Mesh is this speaker among the others. Make it with Start.
type Mesh struct {
	*runner
	config  Config
	sealer  sealer
	lanes   *lanes
	network atomic.Pointer[transport]
	list    atomic.Pointer[memberlist.Memberlist]
	wanted  chan map[lb.NodeName]netip.Addr
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex
	addresses map[lb.NodeName]netip.Addr // where the others should be
	members   map[lb.NodeName]netip.Addr // where memberlist has found them
}

// Start begins to listen. Nobody is called before Join.
func Start(config Config) (*Mesh, error) {
	if len(config.Key) != KeySize {
		return nil, fmt.Errorf("the key of the mesh has %d bytes, it needs %d", len(config.Key), KeySize)
	}
	m := &Mesh{config: config, wanted: make(chan map[lb.NodeName]netip.Addr, 1), members: map[lb.NodeName]netip.Addr{}}
	// Time grows from one process to the next, also when the clock is set back a
	// little: a process lives for longer than that.
	incarnation := uint64(time.Now().UnixMilli())
	m.runner = newRunner(mesh.New(config.Node, incarnation, config.Profile.timing()), config.Profile.timing(), m.send, config.Tell)
	m.clock, m.passes = bootTime, config.Passes
	m.lanes = &lanes{log: config.Log, deliver: m.reliably, lane: map[lb.NodeName][]letter{}}
	m.quiet, m.alarm = m.readQuiet, newAlarm()
	m.stalls = config.Metrics.Stalls.Inc
	var err error
	if m.sealer, err = newSealer(config.Key); err != nil {
		return nil, fmt.Errorf("starting the mesh: %w", err)
	}
	network, err := listen(config.Address, m.datagram)
	if err != nil {
		return nil, fmt.Errorf("listening on %s, UDP and TCP: %w", config.Address, err)
	}
	m.network.Store(network)
	list, err := memberlist.Create(m.memberlistConfig(network))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the mesh: %w", err), network.Shutdown())
	}
	m.list.Store(list)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.running.Go(func() { m.keepJoining(ctx) })
	m.running.Go(func() { m.keepRunning(ctx) })
	m.running.Go(func() { m.attend(ctx) })
	return m, nil
}

// Stop ends it at once: what the others should know has been said before.
func (m *Mesh) Stop() error {
	m.cancel()
	m.running.Wait()
	if err := m.list.Load().Shutdown(); err != nil {
		return fmt.Errorf("stopping the mesh: %w", err)
	}
	return nil
}

// send sends a message, without waiting.
func (m *Mesh) send(s mesh.Send) {
	network := m.network.Load()
	host, ok := m.addressOf(s.To)
	if !ok || network == nil {
		return // it will be asked for
	}
	address := netip.AddrPortFrom(host, m.config.Address.Port())
	packet := wire.Encode(s.Message)
	m.config.Metrics.Sent.Inc()
	datagram, quiet, stream := carriers(s, len(packet))
	if datagram {
		if err := network.send(m.sealer.seal(packet, quiet), address, quiet); err != nil {
			m.config.Log.V(1).Info("a message was not sent", "to", s.To, "why", err.Error())
		}
	}
	if stream {
		m.config.Metrics.Streamed.Inc()
		m.lanes.send(letter{s.To, address, wire.Encode(s.Streamed())})
	}
}

// carriers says by which ways a message of a size goes: in a datagram, one that may be
// quiet, and over a connection.
func carriers(s mesh.Send, size int) (datagram, quiet, stream bool) {
	fits := size <= largestPacket
	return size <= largestInPieces, s.Quiet && fits, s.Stream || !fits
}

func (m *Mesh) addressOf(node lb.NodeName) (netip.Addr, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if address, ok := m.members[node]; ok {
		return address, true
	}
	address, ok := m.addresses[node]
	return address, ok
}

// datagram takes a datagram that is no memberlist's.
func (m *Mesh) datagram(datagram []byte) {
	if msg := m.open(datagram); msg != nil {
		m.do(func(now time.Time, machine *mesh.Machine) []mesh.Send { return machine.Receive(now, msg) })
	}
}

// readQuiet returns the quiet messages that have come since it was called last.
func (m *Mesh) readQuiet() (list []arrival) {
	network := m.network.Load()
	if network == nil {
		return nil
	}
	network.quiet.read(func(datagram []byte, at time.Time) {
		if msg := m.open(datagram); msg != nil {
			list = append(list, arrival{at, msg})
		}
	})
	return list
}

// open reads a datagram that is no memberlist's. Nothing of it is kept; nil: it means
// nothing, which is counted.
func (m *Mesh) open(datagram []byte) *wire.Message {
	packet, err := m.sealer.open(datagram)
	if err != nil {
		m.skip(err)
		return nil
	}
	return m.decode(packet)
}

func (m *Mesh) decode(packet []byte) *wire.Message {
	msg, err := wire.Decode(packet)
	if err != nil {
		m.skip(err)
		return nil
	}
	m.config.Metrics.Received.Inc()
	return msg
}

func (m *Mesh) skip(why error) {
	m.config.Metrics.Malformed.Inc()
	m.config.Log.V(1).Info("a message was skipped", "why", why.Error())
}

// receive takes a message that memberlist brings. Nothing of the packet is kept.
func (m *Mesh) receive(packet []byte) {
	if msg := m.decode(packet); msg != nil {
		m.do(func(now time.Time, machine *mesh.Machine) []mesh.Send { return machine.Receive(now, msg) })
	}
}
