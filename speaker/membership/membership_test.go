package membership

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// port of the meshes of these tests, on loopback addresses of their own.
const port = 17946

// member is a mesh and what it was told last.
type member struct {
	*Mesh
	view atomic.Pointer[mesh.View]
}

func start(t *testing.T, number byte, key []byte) *member {
	t.Helper()
	m := &member{}
	var err error
	m.Mesh, err = Start(Config{
		Node: lb.NodeName(fmt.Sprintf("node%d", number)), Address: netip.AddrPortFrom(loopback(number), port), Key: key, Profile: Default,
		Tell: func(v mesh.View) { m.view.Store(&v) }, Log: logr.Discard(), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func loopback(number byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 9, 4, number}) }

// join has each member look for all.
func join(members ...*member) {
	all := map[lb.NodeName]netip.Addr{}
	for _, m := range members {
		all[m.config.Node] = m.config.Address.Addr()
	}
	for _, m := range members {
		m.Join(all)
	}
}

// sees waits until a member sees so many others alive, and so many addresses
// claimed by them.
func (m *member) sees(t *testing.T, others, claims int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		count, sum := 0, 0
		if v := m.view.Load(); v != nil {
			for i := range v.Peers {
				count, sum = count+1, sum+len(v.Peers[i].State.Claims)
			}
		}
		if count == others && sum == claims {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s sees %d others with %d claims, want %d with %d", m.config.Node, count, sum, others, claims)
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

func TestSpeakersFindEachOtherAndHearWhatEachOwns(t *testing.T) {
	key := bytes.Repeat([]byte{7}, KeySize)
	one, two, three := start(t, 1, key), start(t, 2, key), start(t, 3, key)
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
		m.sees(t, 2, 6)
	}
	// More than a packet holds.
	three.Publish(wire.State{Phase: ownership.Active, Claims: claims(5000)})
	one.sees(t, 2, 5003)
	stopped = true
	if err := three.Stop(); err != nil {
		t.Error(err)
	}
	one.sees(t, 1, 3)
	// What was claimed stays while a speaker says that it restarts: its kernel is there.
	two.Publish(wire.State{Phase: ownership.Restarting, Back: time.Minute, Claims: claims(3)})
	heeded, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go one.actUntil(heeded)
	two.Heeded(heeded)
	if heeded.Err() != nil {
		t.Error("nobody heeds that a speaker restarts")
	}
	one.sees(t, 1, 3)
}

// actUntil acts on all that is seen, as an engine does, until the context ends.
func (m *member) actUntil(ctx context.Context) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			m.Acted(*m.view.Load())
		}
	}
}

func TestASpeakerWithAnotherKeyIsNotHeard(t *testing.T) {
	one, two := start(t, 4, bytes.Repeat([]byte{1}, KeySize)), start(t, 5, bytes.Repeat([]byte{2}, KeySize))
	three := start(t, 6, bytes.Repeat([]byte{1}, KeySize))
	t.Cleanup(func() { _, _, _ = one.Stop(), two.Stop(), three.Stop() })
	join(one, two, three)
	for _, m := range []*member{one, two, three} {
		m.Publish(wire.State{Phase: ownership.Active, Claims: claims(1)})
	}
	one.sees(t, 1, 1)
	three.sees(t, 1, 1)
	two.sees(t, 0, 0)
}

func TestAKeyOfTheWrongSizeIsRefused(t *testing.T) {
	if _, err := Start(Config{Node: "node1", Key: []byte("short")}); err == nil {
		t.Error("it was taken")
	}
}

func TestParseProfile(t *testing.T) {
	for name, ok := range map[string]bool{"relaxed": true, "default": true, "fast": true, "Fast": false, "": false} {
		if _, err := ParseProfile(name); (err == nil) != ok {
			t.Errorf("%q: got the error %v, want one: %v", name, err, !ok)
		}
	}
}
