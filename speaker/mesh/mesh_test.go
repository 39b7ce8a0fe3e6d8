package mesh

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// port of the meshes of these tests, on loopback addresses of their own.
const port = 17946

// member is a mesh and its latest view.
type member struct {
	*Mesh
	latest atomic.Pointer[machine.View]
}

func start(t *testing.T, number byte, keys ...session.Key) *member {
	t.Helper()
	m := &member{}
	var err error
	m.Mesh, err = Start(Config{
		Node: lb.NodeName(fmt.Sprintf("node%d", number)), Address: netip.AddrPortFrom(loopback(number), port), Keys: keys, Profile: ProfileDefault,
		View: func(v machine.View) { m.latest.Store(&v) }, Log: logr.Discard(), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func loopback(number byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 9, 4, number}) }

// join sets all members as the peers of each.
func join(members ...*member) {
	all := map[lb.NodeName]netip.Addr{}
	for _, m := range members {
		all[m.config.Node] = m.config.Address.Addr()
	}
	for _, m := range members {
		m.SetPeers(all)
	}
}

// has waits until the view of a member has this number of peers alive, and this number of claims of
// those peers.
func (m *member) has(t *testing.T, others, claims int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		count, sum := 0, 0
		if v := m.latest.Load(); v != nil {
			for i := range v.Peers {
				count, sum = count+1, sum+len(v.Peers[i].State.Claims)
			}
		}
		if count == others && sum == claims {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s has %d others with %d claims, want %d with %d", m.config.Node, count, sum, others, claims)
		case <-poll.C:
		}
	}
}

func claims(n int) ownership.Claims {
	c := ownership.Claims{}
	for i := range n {
		c[netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})] = 1
	}
	return c
}

func TestMesh_SpeakersReceiveStatesOfAll(t *testing.T) {
	one, two, three := start(t, 1, simulatedKey(7)), start(t, 2, simulatedKey(7)), start(t, 3, simulatedKey(7))
	stopped := false
	t.Cleanup(func() {
		_ = one.Stop()
		_ = two.Stop()
		if !stopped {
			_ = three.Stop()
		}
	})
	join(one, two, three)
	for _, m := range []*member{one, two, three} {
		m.Publish(wire.State{Phase: ownership.Active, Claims: claims(3)})
	}
	for _, m := range []*member{one, two, three} {
		m.has(t, 2, 6)
	}
	// These claims need more than one datagram.
	three.Publish(wire.State{Phase: ownership.Active, Claims: claims(5000)})
	one.has(t, 2, 5003)
	stopped = true
	if err := three.Stop(); err != nil {
		t.Error(err)
	}
	one.has(t, 1, 3)
	// Claims stay while a speaker restarts, since its kernel still answers.
	two.Publish(wire.State{Phase: ownership.Restarting, Back: time.Minute, Claims: claims(3)})
	acknowledged, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go one.actUntil(acknowledged)
	two.WaitAcknowledged(acknowledged)
	if acknowledged.Err() != nil {
		t.Error("no peer acknowledges that the speaker restarts")
	}
	one.has(t, 1, 3)
}

// actUntil acts on every view, as an engine does, until the context ends.
func (m *member) actUntil(ctx context.Context) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			m.Acted(*m.latest.Load())
		}
	}
}

func TestMesh_KeysAreReplacedWithoutASplit(t *testing.T) {
	one, two, three := start(t, 4, simulatedKey(1)), start(t, 5, simulatedKey(1)), start(t, 6, simulatedKey(2))
	t.Cleanup(func() { _, _, _ = one.Stop(), two.Stop(), three.Stop() })
	join(one, two, three)
	for _, m := range []*member{one, two, three} {
		m.Publish(wire.State{Phase: ownership.Active, Claims: claims(1)})
	}
	one.has(t, 1, 1)
	two.has(t, 1, 1)
	three.has(t, 0, 0)
	before := one.latest.Load().Peers[0].Since
	one.SetKeys([]session.Key{simulatedKey(2), simulatedKey(1)})
	one.has(t, 2, 2)
	two.SetKeys([]session.Key{simulatedKey(2), simulatedKey(1)})
	two.has(t, 2, 2)
	one.SetKeys([]session.Key{simulatedKey(2)})
	two.SetKeys([]session.Key{simulatedKey(2)})
	two.Publish(wire.State{Phase: ownership.Active, Claims: claims(4)})
	one.has(t, 2, 5)
	for _, p := range one.latest.Load().Peers {
		if p.Node == "node5" && !p.Since.Equal(before) {
			t.Error("node5 was lost while the keys were replaced")
		}
	}
}

func TestMesh_PortThatIsTakenIsAnError(t *testing.T) {
	address := netip.AddrPortFrom(loopback(107), port)
	taken, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if m, err := Start(Config{Node: "node1", Address: address, Profile: ProfileDefault, Keys: []session.Key{simulatedKey(1)}}); err == nil {
		_ = m.Stop()
		t.Fatal("it listens on a port that is taken")
	}
}

func TestStart_RefusesAnUnknownProfile(t *testing.T) {
	for _, profile := range []Profile{"", "Fast"} {
		if m, err := Start(Config{Node: "node1", Address: netip.AddrPortFrom(loopback(108), 0), Profile: profile}); err == nil {
			_ = m.Stop()
			t.Errorf("profile %q: it starts, want an error", profile)
		}
	}
}
