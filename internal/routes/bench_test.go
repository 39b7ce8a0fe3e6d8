package routes_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// sizes are numbers of Services, of one address each.
var sizes = []int{100, 1000, 10000}

// large has 20 advertisements of which some are about each Service.
func large(services, peers int) setup {
	s := setup{
		config:   routes.Config{Node: eligibility.Node{Name: "n1"}, Pools: []eligibility.Pool{pool("gold", nil)}},
		services: make(map[lb.ServiceKey]*eligibility.Holder, services), claims: make(map[netip.Addr]*eligibility.Claim, services),
	}
	for i := range peers {
		s.config.Peers = append(s.config.Peers, bgp.PeerName(fmt.Sprint("peer-", i)))
	}
	for i := range 20 {
		s.config.Advertisements = append(s.config.Advertisements, ad{Scope: scope{Name: fmt.Sprint("ad-", i), ServiceSelectors: anyOf(has("app", fmt.Sprint(i%7)))}, Attributes: routes.Attributes{Communities: []routes.Community{routes.Community(i)}, LocalPref: number(100)}})
	}
	address := netip.MustParseAddr("10.0.0.0")
	for i := range services {
		key := lb.ServiceKey{Namespace: "default", Name: fmt.Sprint("service-", i)}
		s.services[key] = &eligibility.Holder{
			Service: eligibility.Service{Labels: labels{"app": fmt.Sprint(i % 7)}, Endpoints: map[lb.Family]eligibility.Endpoints{lb.IPv4: on("n1", "n2", "n3")}},
			Shown:   []netip.Addr{address},
		}
		s.claims[address] = &eligibility.Claim{Pool: "gold", Holders: named(key)}
		address = address.Next()
	}
	return s
}

// BenchmarkRoutesOneServiceChange: a Service loses its endpoints, or gets them back, and 8
// the changes of the peers. It must not matter how many other Services there are.
func BenchmarkRoutesOneServiceChange(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			s := large(n, 8)
			p := s.planner()
			p.Changes()
			key := lb.ServiceKey{Namespace: "default", Name: "service-50"}
			up := s.services[key]
			down := *up
			down.Endpoints = nil
			for i := 0; b.Loop(); i++ {
				p.SetService(key, []*eligibility.Holder{&down, up}[i%2])
				if got := len(p.Changes()); got != 8 {
					b.Fatalf("got changes for %d peers, want 8", got)
				}
			}
		})
	}
}

// BenchmarkSetConfig: another advertisement, which changes every route.
func BenchmarkSetConfig(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			s := large(n, 8)
			p := s.planner()
			p.Changes()
			other := s.config
			other.Advertisements = append([]ad{{Scope: scope{Name: "other"}, Attributes: routes.Attributes{Prepend: 1}}}, s.config.Advertisements...)
			for i := 0; b.Loop(); i++ {
				p.SetConfig([]routes.Config{other, s.config}[i%2])
				if got := len(p.Changes()); got != 8 {
					b.Fatalf("got changes for %d peers, want 8", got)
				}
			}
		})
	}
}

// BenchmarkTable: a copy for a session that begins.
func BenchmarkTable(b *testing.B) {
	p := large(1000, 8).planner()
	for b.Loop() {
		p.Table("peer-3")
	}
}

// TestPeersCostNoMemory measures what the planner keeps of 1000 addresses, beside
// what it was given.
func TestPeersCostNoMemory(t *testing.T) {
	const addresses = 1000
	for _, peers := range []int{1, 8} {
		s := large(addresses, peers)
		before := inUse()
		p := s.planner()
		if got := len(p.Changes()); got != peers {
			t.Fatalf("got changes for %d peers, want %d", got, peers)
		}
		used := inUse() - before
		t.Logf("%d addresses and %d peers: %d bytes, %d for each address", addresses, peers, used, used/addresses)
		if limit := int64(700 * addresses); used > limit {
			t.Errorf("%d addresses and %d peers: got %d bytes, want at most %d", addresses, peers, used, limit)
		}
		runtime.KeepAlive(s)
		runtime.KeepAlive(p)
	}
}

// TestDeletedRoutesCostNoMemory has many addresses come and go.
func TestDeletedRoutesCostNoMemory(t *testing.T) {
	s := large(1, 8)
	p := s.planner()
	key := lb.ServiceKey{Namespace: "default", Name: "service-0"}
	service := *s.services[key]
	before := inUse()
	address := netip.MustParseAddr("10.1.0.0")
	for range 10000 {
		service.Shown = []netip.Addr{address}
		p.SetService(key, &service)
		p.SetClaim(address, &eligibility.Claim{Pool: "gold", Holders: named(key)})
		p.Changes()
		p.SetClaim(address, nil)
		p.Changes()
		address = address.Next()
	}
	if used := inUse() - before; used > 100_000 {
		t.Errorf("10000 addresses that are gone: got %d bytes, want at most 100000", used)
	}
	runtime.KeepAlive(p)
}

func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
