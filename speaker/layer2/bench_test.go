package layer2

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// discard ignores all calls of the engine.
type discard struct{}

func (discard) SetLinks([]Link)                    {}
func (discard) SetServed(map[netip.Addr]Serving)   {}
func (discard) Repeat(...netip.Addr)               {}
func (discard) SetNodeHardware([]net.HardwareAddr) {}
func (discard) SetDetection(Detection)             {}
func (discard) SetQuestions(*Questions)            {}
func (discard) Publish(wire.State)                 {}
func (discard) Acted(mesh.View)                    {}

// settledEngine returns the engine of one of three nodes that own the same number of addresses each.
func settledEngine(addresses int) (*Engine, Snapshot) {
	e := New(Config{
		Self: "n1", Log: logr.Discard(), Announcer: discard{}, Mesh: discard{}, Metrics: NewMetrics(prometheus.NewRegistry()),
		Report: func(Report) {}, Save: func(Checkpoint) {},
	})
	var want Snapshot
	everyone, claims := []Candidate{{Node: "n1"}, {Node: "n2"}, {Node: "n3"}}, []ownership.Claims{{}, {}, {}}
	for i := range addresses {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		want.Addresses = append(want.Addresses, AnnouncedAddress{Address: a, Candidates: everyone})
		claims[i%3][a] = 1
	}
	e.Resume.Claims = claims[0]
	view := mesh.View{Checked: true}
	for i := 1; i < 3; i++ {
		state := wire.State{Phase: ownership.Active, Claims: claims[i], Links: []wire.Link{{Name: "eth0", IPv4: true}}}
		view.Peers = append(view.Peers, mesh.Peer{Node: lb.NodeName(fmt.Sprintf("n%d", i+1)), State: state})
	}
	e.SetLinks([]Link{{Name: "eth0", IPv4: true, Hardware: net.HardwareAddr{2, 0, 0, 0, 0, 1}}})
	e.SetView(view)
	e.SetSnapshot(want)
	e.runRound(time.Now())
	return e, want
}

// BenchmarkEngineOneChange is what it costs the engine of a node that one address has other
// candidates, which it or another node owns, or that it owns one more or one less.
func BenchmarkEngineOneChange(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		change := func(e *Engine, c Change) {
			e.SetChange(c)
			e.runRound(time.Now())
		}
		for owner, at := range map[string]int{"its own": 0, "another's": 1} {
			b.Run(fmt.Sprintf("%d addresses/%s", n, owner), func(b *testing.B) {
				e, want := settledEngine(n)
				other, one := Change{}, Change{}
				one.Addresses = want.Addresses[at : at+1]
				other.Addresses = []AnnouncedAddress{{Address: want.Addresses[at].Address, Candidates: one.Addresses[0].Candidates[:2]}}
				for i := 0; b.Loop(); i++ {
					change(e, []Change{other, one}[i%2])
				}
			})
		}
		b.Run(fmt.Sprintf("%d addresses/one more or less", n), func(b *testing.B) {
			e, _ := settledEngine(n)
			more := netip.MustParseAddr("10.2.0.1")
			come, leave := Change{}, Change{Gone: []netip.Addr{more}}
			come.Addresses = []AnnouncedAddress{{Address: more, Candidates: []Candidate{{Node: "n1"}}}}
			for i := 0; b.Loop(); i++ {
				change(e, []Change{come, leave}[i%2])
			}
		})
	}
}

// BenchmarkEngineCovering is a round in a cluster of 500 nodes in which this one covers for the last, which
// has restarted and announces none of its addresses.
func BenchmarkEngineCovering(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("%d addresses", n), func(b *testing.B) {
			e, want := settledEngine(3 * n)
			subnet := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
			view := *e.inbox.view
			view.Peers = slices.Clone(view.Peers)
			for i := range view.Peers {
				view.Peers[i].State.Links = []wire.Link{{Name: "eth0", IPv4: true, Prefixes: subnet}}
			}
			last := view.Peers[1]
			for i := range 500 - 3 {
				view.Peers[1+i] = mesh.Peer{Node: lb.NodeName(fmt.Sprintf("m%d", i)), State: wire.State{Phase: ownership.Active, Links: last.State.Links}}
				view.Peers = append(view.Peers, last)
			}
			e.SetLinks([]Link{{Name: "eth0", IPv4: true, Hardware: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Prefixes: subnet}})
			for i := range want.Addresses {
				want.Addresses[i].Candidates = []Candidate{{Node: "n1"}, {Node: "n3"}}
			}
			e.SetSnapshot(want)
			for _, phase := range []ownership.Phase{ownership.Restarting, ownership.Active} {
				view.Peers[len(view.Peers)-1].State.Phase = phase
				view.Peers = slices.Clone(view.Peers)
				view.Version++
				e.SetView(view)
				e.runRound(time.Now())
			}
			if len(e.returned) != n {
				b.Fatalf("it covers for %d addresses, want %d", len(e.returned), n)
			}
			for b.Loop() {
				e.runRound(time.Now())
			}
		})
	}
}
