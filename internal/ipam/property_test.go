package ipam

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

// TestNeverTwice runs random histories of assignments, releases and pool edits
// against a plain model: a map from address to Service.
func TestNeverTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := New()
		model := map[netip.Addr]lb.ServiceKey{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			service := lb.ServiceKey{Namespace: "n", Name: fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "service"))}
			switch rapid.SampledFrom([]string{"pools", "assign", "assign", "assign", "wanted", "release"}).Draw(t, "step") {
			case "pools":
				a.SetPools(drawPools(t))
			case "assign":
				check(t, a, model, Request{Service: service, Families: v64})
			case "wanted":
				want := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 15).Draw(t, "wanted"))})
				check(t, a, model, Request{Service: service, Address: want, Families: v4})
			case "release":
				for _, h := range a.HeldBy(service) {
					a.Release(h.Address, service)
					delete(model, h.Address)
				}
			}
		}
		for address, service := range model {
			if h, ok := a.Holder(address); !ok || h.Service != service {
				t.Fatalf("%s: got %v, want it held by %s", address, h, service)
			}
		}
	})
}

func check(t *rapid.T, a *Allocator, model map[netip.Addr]lb.ServiceKey, req Request) {
	h, refusal := a.Assign(req)
	if refusal != nil {
		return
	}
	if owner, ok := model[h.Address]; ok && owner != req.Service {
		t.Fatalf("%s was given to %s while %s has it", h.Address, req.Service, owner)
	}
	if _, had := model[h.Address]; !had {
		if name, in := a.PoolOf(h.Address); !in || name != h.Pool {
			t.Fatalf("%s was given from the pool %q but is in %q", h.Address, h.Pool, name)
		}
	}
	model[h.Address] = req.Service
}

func drawPools(t *rapid.T) []Pool {
	first := byte(rapid.IntRange(0, 7).Draw(t, "first"))
	return []Pool{
		{Name: "a", AutoAssign: true, Ranges: []lb.Range{{First: netip.AddrFrom4([4]byte{10, 0, 0, first}), Last: netip.AddrFrom4([4]byte{10, 0, 0, first + 3})}}},
		{Name: "b", AutoAssign: true, Ranges: []lb.Range{{First: netip.AddrFrom4([4]byte{10, 0, 0, first + 4}), Last: netip.AddrFrom4([4]byte{10, 0, 0, 15})}}},
	}
}

// TestSameHistorySameAnswer shows that the order in which holdings are learned
// does not matter for what is given next.
func TestSameHistorySameAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := rapid.SliceOfDistinct(rapid.IntRange(0, 15), func(i int) int { return i }).Draw(t, "held")
		order := rapid.Permutation(held).Draw(t, "order")
		give := func(list []int) (Holding, *Refusal) {
			a := New()
			a.SetPools([]Pool{{Name: "p", AutoAssign: true, Ranges: []lb.Range{{First: addr("10.0.0.0"), Last: addr("10.0.0.15")}}}})
			for _, i := range list {
				a.Hold(Holding{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Pool: "p", Service: lb.ServiceKey{Name: fmt.Sprint(i)}})
			}
			return a.Assign(Request{Service: web, Families: v4})
		}
		x, xr := give(held)
		y, yr := give(order)
		if x != y || (xr == nil) != (yr == nil) {
			t.Fatalf("order %v gives %v (%v), order %v gives %v (%v)", held, x, xr, order, y, yr)
		}
	})
}
