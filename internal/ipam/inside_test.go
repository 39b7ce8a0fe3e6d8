package ipam

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

// tester is a testing.T or a rapid.T.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkDecision checks the invariants of every decision: it is recorded, keeps and
// drops nothing twice, and is the same if asked again.
func checkDecision(t tester, a *Allocator, req Request, d Decision) {
	t.Helper()
	checkInside(t, a)
	seen := map[netip.Addr]bool{}
	for _, h := range slices.Concat(d.Keep, d.Drop) {
		if h.Service != req.Service || !a.holds(h.Address, h.Service) {
			t.Errorf("%s@%s of the decision for %s: got it of %s, want it held by the Service", h.Address, h.Pool, req.Service, h.Service)
		}
		if seen[h.Address] {
			t.Errorf("the decision for %s has %s twice", req.Service, h.Address)
		}
		seen[h.Address] = true
	}
	for _, l := range d.Lost {
		if l.Why == "" || !slices.Contains(d.Drop, l.Holding) {
			t.Errorf("lost: got %v, want a reason, and it in %v", l, d.Drop)
		}
	}
	for _, r := range []*Refusal{d.Refusal, d.Missing} {
		if r != nil && (r.Reason == "" || r.Message == "" || r.Error() != r.Message) {
			t.Errorf("refusal: got %+v, want a reason and a message", r)
		}
	}
	if again := a.Assign(req); outcome(again) != outcome(d) && !takenUpAgainstPolicy(a, d) {
		t.Errorf("%s asks again before anything was released: got %q, want %q as before", req.Service, outcome(again), outcome(d))
	}
	checkInside(t, a)
}

// takenUpAgainstPolicy reports whether a Service took up what its pool takes away: an
// administrator handed it out although the pool evicts.
func takenUpAgainstPolicy(a *Allocator, d Decision) bool {
	return slices.ContainsFunc(d.Keep, func(h Holding) bool { return a.sourcePool(h.Address).Evict })
}

// inside has all the data that an allocator stores twice: the values of its indexes.
type inside struct {
	ByKey     map[string][]netip.Addr
	Shared    map[netip.Addr]int // holders after the first
	Ports     map[netip.Addr][]lb.Port
	Origin    map[netip.Addr]lb.PoolName
	Held      map[lb.PoolName]int
	Used      map[lb.PoolName][2]int64
	Namespace map[lb.PoolName]map[string]int
}

// checkInside compares the indexes of an allocator with the accounts,
// counted without the indexes.
func checkInside(t tester, a *Allocator) {
	t.Helper()
	holders := map[netip.Addr][]*account{}
	for c := range a.accounts.all() {
		last := netip.Addr{}
		for address := range c.addresses() {
			if !address.IsValid() || !last.Less(address) {
				t.Errorf("account of %s: got %s after %s, want addresses in order", c.key, address, last)
			}
			last = address
			holders[address] = append(holders[address], c)
		}
		if !c.first.IsValid() {
			t.Errorf("account of %s: holds nothing and is still there", c.key)
		}
		if a.accounts.get(c.key) != c {
			t.Errorf("account of %s: is there twice", c.key)
		}
	}
	for _, e := range a.heldEntries() { // what is reserved is in no account
		if e.first == a.nobody {
			holders[e.address] = nil
		}
	}
	want := recount(a, holders)
	got := inside{
		ByKey: a.byKey, Shared: map[netip.Addr]int{}, Ports: map[netip.Addr][]lb.Port{}, Origin: map[netip.Addr]lb.PoolName{},
		Held: map[lb.PoolName]int{}, Used: map[lb.PoolName][2]int64{}, Namespace: map[lb.PoolName]map[string]int{},
	}
	for address, used := range a.ports {
		got.Ports[address] = portsIn(used)
	}
	for address, list := range a.shared {
		got.Shared[address] = len(list)
	}
	for address, p := range a.origin {
		got.Origin[address] = p.Name
	}
	for name, p := range a.pools {
		got.Held[name], got.Used[name] = p.held, p.used
		if p.byNamespace != nil {
			counts := maps.Clone(p.byNamespace)
			maps.DeleteFunc(counts, func(_ string, n int) bool { return n == 0 })
			got.Namespace[name] = counts
		}
		if name != p.Name || (!p.exists && p.held == 0) {
			t.Errorf("pool %q: is known as %q, exists: %v, holds %d", p.Name, name, p.exists, p.held)
		}
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
	if len(a.heldEntries()) != len(holders) {
		t.Errorf("entries: got %d, want %d", len(a.heldEntries()), len(holders))
	}
	for at := range a.reservedFor {
		checkMarks(t, a, at, "reserved")
	}
	for at := range a.outside {
		checkMarks(t, a, at, "outside")
	}
	for at, terms := range a.sharing {
		checkMarks(t, a, at, "sharing")
		if terms.Key == "" {
			t.Errorf("sharing: got terms without a key for %s of %s", at.address, at.service)
		}
	}
	for _, p := range a.order {
		for _, s := range p.slots {
			checkSlots(t, a, s)
		}
	}
}

// portsIn are the ports of a set, found by asking for each of the words that have any.
func portsIn(s *portSet) (list []lb.Port) {
	for i, protocol := range []lb.Protocol{"TCP", "UDP", "SCTP"} {
		for n, page := range s.pages[i] {
			for word := 0; page != nil && word < len(page); word++ {
				for bit := 0; page[word] != 0 && bit < 64; bit++ {
					if p := (lb.Port{Protocol: protocol, Number: uint16(n<<12 + word<<6 + bit)}); s.has(p) {
						list = append(list, p)
					}
				}
			}
		}
	}
	slices.SortFunc(list, lb.Port.Compare)
	if len(list) != s.len() {
		return nil // which differs from what is expected
	}
	return list
}

func checkMarks(t tester, a *Allocator, at assignment, what string) {
	t.Helper()
	if !a.holds(at.address, at.service) {
		t.Errorf("%s: got %s of %s, which does not hold it", what, at.address, at.service)
	}
}

func recount(a *Allocator, holders map[netip.Addr][]*account) inside {
	want := inside{
		ByKey: map[string][]netip.Addr{}, Shared: map[netip.Addr]int{}, Ports: map[netip.Addr][]lb.Port{}, Origin: map[netip.Addr]lb.PoolName{},
		Held: map[lb.PoolName]int{}, Used: map[lb.PoolName][2]int64{}, Namespace: map[lb.PoolName]map[string]int{},
	}
	for name, p := range a.pools {
		want.Held[name], want.Used[name] = 0, [2]int64{}
		if p.exists && p.MaxPerNamespace > 0 {
			want.Namespace[name] = map[string]int{}
		}
	}
	for _, address := range slices.SortedFunc(maps.Keys(holders), netip.Addr.Compare) {
		list := holders[address]
		if len(list) > 1 {
			want.Shared[address] = len(list) - 1
		}
		p := naiveGiver(a, address)
		if p == nil {
			p = a.origin[address]
			want.Origin[address] = p.Name
		} else {
			used := want.Used[p.Name]
			used[familyIndex(lb.FamilyOf(address))]++
			want.Used[p.Name] = used
		}
		want.Held[p.Name]++
		namespaces, keys := map[string]bool{}, map[string]bool{}
		for _, c := range list {
			namespaces[c.key.Namespace] = true
			terms := a.termsOf(address, c)
			keys[terms.Key] = true
			if terms.Ports != nil {
				want.Ports[address] = append(want.Ports[address], terms.Ports...) // no two holders have one
				slices.SortFunc(want.Ports[address], lb.Port.Compare)
			}
		}
		for n := range namespaces {
			if counts := want.Namespace[p.Name]; counts != nil {
				counts[n]++
			}
		}
		for key := range keys {
			if key != "" {
				want.ByKey[key] = append(want.ByKey[key], address)
			}
		}
	}
	return want
}

func naiveGiver(a *Allocator, address netip.Addr) *pool {
	for _, p := range a.order {
		for _, r := range p.Gives {
			if r.Contains(address) && !(p.AvoidBuggy && endsBuggy(address)) {
				return p
			}
		}
	}
	return nil
}

// endsBuggy is buggy, decided by the text of the address.
func endsBuggy(address netip.Addr) bool {
	var a, b, c, last int
	n, _ := fmt.Sscanf(address.String(), "%d.%d.%d.%d", &a, &b, &c, &last)
	return n == 4 && (last == 0 || last == 255)
}

// checkSlots checks that the free slots in memory are free addresses, and that
// no slot in memory is stored elsewhere as well.
func checkSlots(t tester, a *Allocator, s *familySlots) {
	t.Helper()
	if s == nil {
		return
	}
	for i, c := range s.holders {
		address := s.address(uint64(i))
		if _, ok := a.far[address]; ok {
			t.Errorf("slot %d: %s is in memory and far", i, address)
		}
		if got, want := hasBit(&s.free, uint64(i)), c == nil && !(s.avoid && endsBuggy(address)); got != want {
			t.Errorf("slot %d (%s): got free %v, want %v", i, address, got, want)
		}
	}
}

func hasBit(b *bitset, i uint64) bool {
	return uint64(len(b[0])) > i/64 && b[0][i/64]&(1<<(i%64)) != 0
}

// checkEmpty checks that no data is left of released addresses.
func checkEmpty(t tester, a *Allocator) {
	t.Helper()
	checkInside(t, a)
	left := map[string]int{
		"accounts": len(a.accounts.heads), "far": len(a.far), "origin": len(a.origin), "shared": len(a.shared),
		"byKey": len(a.byKey), "reserved": len(a.reservedFor), "outside": len(a.outside), "sharing": len(a.sharing), "ports": len(a.ports),
	}
	for _, p := range a.pools {
		left["namespaces of "+string(p.Name)] = len(p.byNamespace)
	}
	for what, n := range left {
		if n != 0 {
			t.Errorf("%s: got %d left after everything was released, want none", what, n)
		}
	}
}
