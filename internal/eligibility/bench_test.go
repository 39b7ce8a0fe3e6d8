package eligibility_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// BenchmarkResolve: 5000 addresses, 100 nodes, 20 advertisements.
func BenchmarkResolve(b *testing.B) {
	for _, local := range []bool{false, true} {
		b.Run(fmt.Sprintf("local=%t", local), func(b *testing.B) {
			in := large(local)
			for b.Loop() {
				eligibility.Resolve(in)
			}
		})
	}
}

func large(local bool) eligibility.Input {
	in := eligibility.Input{Pools: gold()}
	for i := range 100 {
		in.Nodes = append(in.Nodes, eligibility.Node{Name: lb.NodeName(fmt.Sprintf("node-%03d", i)), Labels: labels{"rack": fmt.Sprint(i % 10)}})
	}
	for i := range 20 {
		in.Advertisements = append(in.Advertisements, ad{Scope: scope{Name: fmt.Sprintf("ad-%d", i), NodeSelectors: anyOf(has("rack", fmt.Sprint(i%10))), ServiceSelectors: anyOf(has("app", fmt.Sprint(i%7)), has("app", fmt.Sprint(i%3)))}, Interfaces: []string{fmt.Sprintf("eth%d", i%4)}})
	}
	address := netip.MustParseAddr("10.0.0.0")
	for i := range 5000 {
		key := lb.ServiceKey{Namespace: "default", Name: fmt.Sprintf("service-%d", i)}
		endpoints := on(in.Nodes[i%100].Name, in.Nodes[(i*7)%100].Name, in.Nodes[(i*13)%100].Name)
		in.Services = append(in.Services, eligibility.Service{Key: key, Labels: labels{"app": fmt.Sprint(i % 7)}, Local: local, Endpoints: endpoints})
		in.Addresses = append(in.Addresses, eligibility.Address{Address: address, Pool: "gold", Holders: []lb.ServiceKey{key}})
		address = address.Next()
	}
	return in
}

// BenchmarkPlannerOneServiceChange: a Service loses its endpoints, or gets them back. It
// must not matter how many other Services there are.
func BenchmarkPlannerOneServiceChange(b *testing.B) {
	for _, services := range []int{100, 1000, 5000} {
		for _, local := range []bool{false, true} {
			b.Run(fmt.Sprintf("services=%d,local=%t", services, local), func(b *testing.B) {
				in := large(local)
				p := plannerOf(in, services)
				up := &eligibility.Holder{Service: in.Services[50], Shown: []netip.Addr{in.Addresses[50].Address}}
				down := &eligibility.Holder{Shown: up.Shown}
				for i := 0; b.Loop(); i++ {
					p.SetService(in.Services[50].Key, []*eligibility.Holder{down, up}[i%2])
					if got := len(p.Changes().Addresses); got != 1 {
						b.Fatalf("got %d addresses, want 1", got)
					}
				}
			})
		}
	}
}

// BenchmarkPlannerSetConfig: all addresses are looked at, and nothing has changed.
func BenchmarkPlannerSetConfig(b *testing.B) {
	for _, services := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			in := large(false)
			p := plannerOf(in, services)
			for b.Loop() {
				p.SetConfig(in.Advertisements, in.Pools, in.Nodes)
				if got := len(p.Changes().Addresses); got != 0 {
					b.Fatalf("got %d addresses, want none", got)
				}
			}
		})
	}
}

// plannerOf returns a planner that has the first Services.
func plannerOf(in eligibility.Input, services int) *eligibility.Planner {
	p := eligibility.NewPlanner()
	p.SetConfig(in.Advertisements, in.Pools, in.Nodes)
	for i, a := range in.Addresses[:services] {
		p.SetService(in.Services[i].Key, &eligibility.Holder{Service: in.Services[i], Shown: []netip.Addr{a.Address}})
		p.SetClaim(a.Address, &eligibility.Claim{Pool: a.Pool, Holders: named(a.Holders...)})
	}
	p.Changes()
	return p
}

// inUse returns how many bytes are in use.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
