package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

// universe has few addresses, so that pools, Services and claims collide: both sides
// of .255 and .0, and some that are far from the start of a large range.
var universe = func() (list []netip.Addr) {
	for _, from := range []string{"10.0.0.251", "2001:db8::fffb"} {
		for a, n := addr(from), 0; n < 10; n++ {
			list = append(list, a)
			a = a.Next()
		}
	}
	return append(list, addr("10.1.0.3"), addr("10.1.0.70"), addr("10.1.1.0"), addr("10.1.3.9"), addr("2001:db8:1::90"), addr("2001:db8:1::2"))
}()

func pick[T any](t *rapid.T, what string, list ...T) T {
	return rapid.SampledFrom(list).Draw(t, what)
}

func chance(t *rapid.T, what string, percent int) bool {
	return rapid.IntRange(1, 100).Draw(t, what) > 100-percent
}

func drawAddress(t *rapid.T) netip.Addr { return pick(t, "address", universe...) }

func drawRange(t *rapid.T) lb.Range {
	at := rapid.IntRange(0, 19).Draw(t, "range")
	end := min(at+rapid.IntRange(0, 5).Draw(t, "length"), at/10*10+9)
	return lb.Range{First: universe[at], Last: universe[end]}
}

func drawPools(t *rapid.T) []Pool {
	var list []Pool
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]lb.PoolName{"a", "b", "c", "d"}), 0, 4, rapid.ID).Draw(t, "pools") {
		p := Pool{
			Name: name, AutoAssign: !chance(t, "manual", 20), Draining: chance(t, "draining", 15), Evict: chance(t, "evict", 20),
			AvoidBuggy: chance(t, "avoid", 30), ShareAcrossNamespaces: chance(t, "across", 50),
		}
		for range rapid.IntRange(1, 3).Draw(t, "ranges") {
			p.Listed = append(p.Listed, drawRange(t))
		}
		if chance(t, "large", 20) {
			p.Listed = append(p.Listed, rangesIn(pick(t, "which", "10.1.0.0/22", "2001:db8:1::/120", "10.1.0.0/22 2001:db8:1::/120"))...)
		}
		if chance(t, "excluding", 25) {
			p.Excluded = append(p.Excluded, drawRange(t))
		}
		if chance(t, "quota", 30) {
			p.MaxPerNamespace = rapid.IntRange(1, 3).Draw(t, "most")
		}
		if chance(t, "selection", 30) {
			p.Selection = &Selection{Priority: pick(t, "priority", int32(0), 1, 2)}
			if chance(t, "namespaces", 50) {
				p.Selection.Namespaces = []string{pick(t, "namespace", "m", "n")}
			}
		}
		if chance(t, "unusable", 5) {
			p.Unusable = "it is wrong"
		}
		list = append(list, p)
	}
	var taken []TakenRange
	if chance(t, "foreign", 30) {
		for range rapid.IntRange(1, 3).Draw(t, "hosts") {
			a := drawAddress(t)
			taken = append(taken, TakenRange{Range: lb.Range{First: a, Last: a}, By: "a host", Foreign: true, InUse: chance(t, "in use", 30)})
		}
	}
	Resolve(list, taken)
	return list
}

func drawService(t *rapid.T) lb.ServiceKey {
	return lb.ServiceKey{Namespace: pick(t, "namespace", "m", "n"), Name: pick(t, "name", "a", "b", "c", "d")}
}

func drawTerms(t *rapid.T) lb.Sharing {
	terms := share(pick(t, "key", "", "k", "k", "k", "x"), rapid.SliceOfNDistinct(rapid.Uint16Range(80, 86), 0, 2, rapid.ID).Draw(t, "ports")...)
	if chance(t, "local", 15) {
		terms.Traffic = "app=a"
	}
	return terms
}

func drawRequest(t *rapid.T) Request {
	req := Request{Service: drawService(t), Families: pick(t, "families", v4, v6, v46, v64), Terms: drawTerms(t)}
	if len(req.Families) > 1 {
		req.Policy = pick(t, "policy", SingleStack, PreferDualStack, RequireDualStack)
	}
	if chance(t, "named pool", 15) {
		req.Pool = pick(t, "pool", lb.PoolName("a"), "b", "c", "nope")
	}
	if chance(t, "named addresses", 30) {
		req.Addresses = rapid.SliceOfNDistinct(rapid.SampledFrom(universe), 1, 3, rapid.ID).Draw(t, "addresses")
	}
	if chance(t, "addresses of before", 30) {
		req.Kept = rapid.SliceOfNDistinct(rapid.SampledFrom(universe), 1, 4, rapid.ID).Draw(t, "kept")
	}
	return req
}

// TestSameAsTheModel runs random histories: after every step the allocator has the result of
// the model, and its indexes are what a recount of its accounts gives.
func TestSameAsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, m := New(), newModel()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			step(t, a, m)
			compare(t, a, m)
		}
		for address, holders := range m.held {
			for _, service := range slices.Clone(holders) {
				a.Release(address, service)
			}
			a.Unreserve(address)
		}
		checkEmpty(t, a)
	})
}

func step(t *rapid.T, a *Allocator, m *model) {
	service, address := drawService(t), drawAddress(t)
	switch pick(t, "step", "assign", "assign", "assign", "settle", "settle", "pools", "release", "hold", "reserve", "unreserve", "reserve for") {
	case "assign":
		assignBoth(t, a, m, drawRequest(t))
	case "settle":
		for _, h := range assignBoth(t, a, m, drawRequest(t)).Drop {
			a.Release(h.Address, h.Service)
			m.release(h.Address, h.Service)
		}
	case "pools":
		list := drawPools(t)
		a.SetPools(list)
		m.setPools(list)
	case "release":
		if held := m.has(service); len(held) > 0 {
			address = pick(t, "which", held...)
		}
		a.Release(address, service)
		m.release(address, service)
	case "hold":
		h, terms := Holding{Address: address, Pool: pick(t, "pool", lb.PoolName("a"), "gone"), Service: service}, drawTerms(t)
		if got, want := a.Hold(h, terms), m.hold(h, terms); got != want {
			t.Fatalf("Hold(%v, %v): got %v, want %v", h, terms, got, want)
		}
	case "reserve":
		if got, want := a.Reserve(address, "gone"), m.reserve(address, "gone"); got != want {
			t.Fatalf("Reserve(%s): got %v, want %v", address, got, want)
		}
	case "unreserve":
		a.Unreserve(address)
		m.unreserve(address)
	case "reserve for":
		if held := m.has(service); len(held) > 0 {
			address = pick(t, "which", held...)
			m.reserved[assignment{address, service}] = true
		}
		a.ReserveFor(address, service)
	}
}

func assignBoth(t *rapid.T, a *Allocator, m *model, req Request) Decision {
	d := a.Assign(req)
	v := m.assign(req)
	var want Decision
	for _, pair := range []struct {
		addresses []netip.Addr
		list      *[]Holding
	}{{v.keep, &want.Keep}, {v.drop, &want.Drop}} {
		for _, address := range pair.addresses {
			*pair.list = append(*pair.list, Holding{Address: address, Pool: m.from(address), Service: req.Service})
		}
	}
	for _, address := range v.lost {
		want.Lost = append(want.Lost, OutsideHolding{Holding: Holding{Address: address, Pool: m.from(address)}})
	}
	got := d
	for i, refused := range []bool{v.refused, v.missing} {
		if r := []*Refusal{d.Refusal, d.Missing}[i]; refused != (r != nil) || refused && (r.Message == "" || r.Reason == "") {
			t.Fatalf("refused or missing for %+v: got %v, want %v", req, r, refused)
		}
	}
	got.Refusal, got.Missing = nil, nil
	byAddress := func(x, y Holding) int { return x.Address.Compare(y.Address) }
	for _, d := range []*Decision{&got, &want} { // only Keep has a promised order
		d.Drop = slices.SortedFunc(slices.Values(d.Drop), byAddress)
	}
	slices.SortFunc(want.Keep, byAddress)
	if v.refused {
		slices.SortFunc(got.Keep, byAddress)
	}
	if x, y := outcome(got), outcome(want); x != y {
		t.Fatalf("%+v: got %q, want %q; refusal %v", req, x, y, d.Refusal)
	}
	return d
}

func compare(t *rapid.T, a *Allocator, m *model) {
	checkInside(t, a)
	for _, address := range universe {
		holders, taken := a.Holders(address)
		var got []lb.ServiceKey
		for _, h := range holders {
			got = append(got, h.Service)
			if h.Pool != m.from(address) {
				t.Fatalf("pool of %s: got %q, want %q", address, h.Pool, m.from(address))
			}
			if at := (assignment{address, h.Service}); a.IsReservedFor(h) != m.reserved[at] {
				t.Fatalf("%s of %s is reserved: got %v, want %v", address, h.Service, a.IsReservedFor(h), m.reserved[at])
			}
		}
		if _, want := m.held[address]; taken != want || !slices.Equal(got, m.held[address]) {
			t.Fatalf("holders of %s: got %v, %v, want %v, %v", address, got, taken, m.held[address], want)
		}
	}
	for at, terms := range m.terms {
		if got := a.SharingTerms(at.address, at.service); fmt.Sprint(got) != fmt.Sprint(terms) && terms.Key != "" {
			t.Fatalf("terms of %s for %s: got %v, want %v", at.service, at.address, got, terms)
		}
	}
}
