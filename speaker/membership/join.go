package membership

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// rejoin is how often a peer that is no member is called again.
const rejoin = 2 * time.Second

// Join says which other speakers there should be, and where. Those that are no
// members are called until they are; the call does not wait.
func (m *Mesh) Join(peers map[lb.NodeName]netip.Addr) {
	m.mu.Lock()
	m.addresses = maps.Clone(peers)
	if m.addresses == nil {
		m.addresses = map[lb.NodeName]netip.Addr{}
	}
	m.mu.Unlock()
	m.setPeers()
	for {
		select {
		case m.wanted <- peers:
			return
		case <-m.wanted: // what was said before counts no more
		}
	}
}

// setPeers tells the machine who there is: who should be, and who was found.
func (m *Mesh) setPeers() {
	m.mu.Lock()
	if m.addresses == nil {
		m.mu.Unlock()
		return // it is not known yet who should be there
	}
	all := map[lb.NodeName]netip.Addr{}
	from := map[netip.Addr]bool{}
	for _, known := range []map[lb.NodeName]netip.Addr{m.members, m.addresses} {
		maps.Copy(all, known)
		for _, address := range known {
			from[address.Unmap()] = true
		}
	}
	err := m.network.Load().setPeers(from)
	m.mu.Unlock()
	if err != nil {
		m.config.Log.Error(err, "accepting what other speakers send")
	}
	nodes := slices.Sorted(maps.Keys(all))
	m.do(func(now time.Time, machine *mesh.Machine) []mesh.Send { return machine.SetPeers(now, nodes) })
}

func (m *Mesh) keepJoining(ctx context.Context) {
	var peers map[lb.NodeName]netip.Addr
	again := time.NewTicker(rejoin)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case peers = <-m.wanted:
		case <-again.C:
		}
		m.call(peers)
	}
}

// call calls those of the peers that are no members, all at once: one that is
// gone costs a time-out, which must not keep the others waiting.
func (m *Mesh) call(peers map[lb.NodeName]netip.Addr) {
	var calls sync.WaitGroup
	for node, address := range peers {
		m.mu.Lock()
		_, member := m.members[node]
		m.mu.Unlock()
		if member || node == m.config.Node {
			continue
		}
		calls.Go(func() {
			target := net.JoinHostPort(address.String(), strconv.Itoa(int(m.config.Address.Port())))
			if _, err := m.list.Load().Join([]string{target}); err != nil {
				m.config.Log.V(1).Info("a speaker does not answer", "node", node, "address", target, "why", err.Error())
			}
		})
	}
	calls.Wait()
}

// events notes who is a member. memberlist holds its locks while it calls, so
// nothing is asked of it here, and nothing sent.
type events struct{ mesh *Mesh }

// NotifyJoin implements memberlist.EventDelegate.
func (e events) NotifyJoin(n *memberlist.Node) { e.note(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (e events) NotifyUpdate(n *memberlist.Node) { e.note(n) }

func (e events) note(n *memberlist.Node) {
	address, ok := netip.AddrFromSlice(n.Addr)
	if !ok || n.Name == string(e.mesh.config.Node) {
		return
	}
	e.mesh.mu.Lock()
	e.mesh.members[lb.NodeName(n.Name)] = address.Unmap()
	e.mesh.mu.Unlock()
	go e.mesh.setPeers()
}

// NotifyLeave implements memberlist.EventDelegate.
func (e events) NotifyLeave(n *memberlist.Node) {
	node := lb.NodeName(n.Name)
	e.mesh.mu.Lock()
	delete(e.mesh.members, node)
	e.mesh.mu.Unlock()
	go func() {
		e.mesh.do(func(now time.Time, machine *mesh.Machine) []mesh.Send { machine.Gone(now, node); return nil })
		e.mesh.setPeers()
	}()
}

// delegate carries messages, and the state of this speaker whenever memberlist
// compares what two members know.
type delegate struct{ mesh *Mesh }

// NodeMeta implements memberlist.Delegate.
func (delegate) NodeMeta(int) []byte { return nil }

// NotifyMsg implements memberlist.Delegate.
func (d delegate) NotifyMsg(packet []byte) { d.mesh.receive(packet) }

// GetBroadcasts implements memberlist.Delegate.
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (d delegate) LocalState(bool) []byte {
	msg := d.mesh.own()
	return wire.Encode(msg)
}

// MergeRemoteState implements memberlist.Delegate.
func (d delegate) MergeRemoteState(packet []byte, _ bool) { d.mesh.receive(packet) }
