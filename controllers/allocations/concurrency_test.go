package allocations

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestConcurrentRequestsGetDifferentAddresses(t *testing.T) {
	l := with(t, "10.0.0.0/24")
	var group sync.WaitGroup
	for i := range 256 {
		group.Go(func() { l.Assign(request(i)) })
	}
	group.Wait()
	noneTwice(t, l, 256, 256)
}

// noneTwice checks that the Services hold one address each at most, together this
// number, and no address twice.
func noneTwice(t *testing.T, l *View, services, want int) {
	t.Helper()
	seen := map[netip.Addr]lb.ServiceKey{}
	for i := range services {
		held, _ := l.HeldBy(key(i))
		if len(held) > 1 {
			t.Fatalf("%s holds %v, want one address at most", key(i), held)
		}
		for _, h := range held {
			if other, ok := seen[h.Address]; ok {
				t.Fatalf("%s: both %s and %s hold it", h.Address, other, key(i))
			}
			seen[h.Address] = key(i)
		}
	}
	if len(seen) != want {
		t.Errorf("addresses in use: got %d, want %d", len(seen), want)
	}
}

// Sixteen workers serve Services that come and go, twice as many as there are
// addresses, while other goroutines read.
func TestManyServicesThatComeAndGoShareTheAddresses(t *testing.T) {
	const services, workers, rounds = 64, 16, 50
	l := with(t, "10.0.0.0/27") // 32 addresses
	l.OnChange(func(lb.ServiceKey) {})
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for round := range rounds {
				for i := w; i < services; i += workers {
					l.Assign(request(i))
					if held, _ := l.HeldBy(key(i)); len(held) > 0 && (round+i)%3 == 0 {
						l.Release(held[0].Address, key(i))
						l.Forget(key(i))
					}
				}
			}
		})
	}
	group.Go(func() { // pools and metrics look on
		for range rounds {
			l.PoolStates()
			l.CountWaiting()
			l.SetPools(plan(t, nil, "10.0.0.0/27"))
			l.Holders(addr("10.0.0.1"))
		}
	})
	group.Wait()
	for i := range services { // all want one again
		l.Assign(request(i))
	}
	noneTwice(t, l, services, 32)
	if got := l.CountWaiting(); got["PoolExhausted"] != services-32 {
		t.Errorf("pending: got %v, want %d", got, services-32)
	}
}

// One Service after the other releases its address, and the Service that is woken takes it. At the
// end every Service has had an address.
func TestAddressesArePassedOnUntilNobodyWaits(t *testing.T) {
	const services = 200
	l := with(t, "10.0.0.0/30")
	var queue []lb.ServiceKey
	l.OnChange(func(k lb.ServiceKey) { queue = append(queue, k) })
	for i := range services {
		l.Assign(request(i))
	}
	for i := range 4 {
		queue = append(queue, key(i))
	}
	served := 0
	for ; len(queue) > 0; queue = queue[1:] {
		req := request(0)
		req.Service = queue[0]
		o := l.Assign(req)
		if o.Refusal != nil {
			continue
		}
		served++
		for _, h := range o.Keep {
			l.Release(h.Address, h.Service)
		}
		l.Forget(req.Service)
	}
	if served < services {
		t.Errorf("served: got %d, want all %d", served, services)
	}
}
