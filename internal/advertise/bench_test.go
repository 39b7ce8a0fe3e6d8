package advertise_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/lb"
)

// BenchmarkResolve: 5000 addresses, 100 nodes, 20 advertisements.
func BenchmarkResolve(b *testing.B) {
	for _, local := range []bool{false, true} {
		b.Run(fmt.Sprintf("local=%t", local), func(b *testing.B) {
			in := large(local)
			for b.Loop() {
				advertise.Resolve(in)
			}
		})
	}
}

func large(local bool) advertise.Input {
	var in advertise.Input
	for i := range 100 {
		in.Nodes = append(in.Nodes, advertise.Node{Name: lb.NodeName(fmt.Sprintf("node-%03d", i)), Labels: labels{"rack": fmt.Sprint(i % 10)}})
	}
	for i := range 20 {
		in.Advertisements = append(in.Advertisements, ad{Scope: scope{Name: fmt.Sprintf("ad-%d", i), NodeSelectors: anyOf(has("rack", fmt.Sprint(i%10))), ServiceSelectors: anyOf(has("app", fmt.Sprint(i%7)), has("app", fmt.Sprint(i%3)))}, Interfaces: []string{fmt.Sprintf("eth%d", i%4)}})
	}
	address := netip.MustParseAddr("10.0.0.0")
	for i := range 5000 {
		key := lb.ServiceKey{Namespace: "default", Name: fmt.Sprintf("service-%d", i)}
		endpoints := on(in.Nodes[i%100].Name, in.Nodes[(i*7)%100].Name, in.Nodes[(i*13)%100].Name)
		in.Services = append(in.Services, advertise.Service{Key: key, Labels: labels{"app": fmt.Sprint(i % 7)}, Local: local, Endpoints: endpoints})
		in.Addresses = append(in.Addresses, advertise.Address{Address: address, Pool: "gold", Holders: []lb.ServiceKey{key}})
		address = address.Next()
	}
	return in
}
