package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

// history runs some steps.
func history(t *rapid.T) (*Allocator, *model) {
	a, m := New(), newModel()
	list := drawPools(t)
	a.SetPools(list)
	m.setPools(list)
	for range rapid.IntRange(0, 15).Draw(t, "steps") {
		step(t, a, m)
	}
	return a, m
}

// TestNeverTwice checks a rule that the model does not have in one place: of two holders of
// an address neither was let in against the rules of sharing.
func TestNeverTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, m := history(t)
		req := drawRequest(t)
		before := map[netip.Addr][]lb.ServiceKey{}
		for address, holders := range m.held {
			before[address] = slices.Clone(holders)
		}
		for _, h := range a.Assign(req).Keep {
			holders, had := before[h.Address]
			if slices.Contains(holders, req.Service) {
				continue
			}
			if had && len(holders) == 0 {
				t.Fatalf("%s is reserved and was given to %s", h.Address, req.Service)
			}
			p := m.named(h.Pool)
			if p == nil || p.Draining || p.Unusable != "" || !isFor(p, req) || m.giver(h.Address) == nil {
				t.Fatalf("%s was given by the pool %+v", h.Address, p)
			}
			for _, other := range holders {
				terms := a.SharingTerms(h.Address, other)
				both := slices.ContainsFunc(req.Terms.Ports, func(p lb.Port) bool { return slices.Contains(terms.Ports, p) })
				if both || terms.Key == "" || terms.Key != req.Terms.Key || terms.Traffic != req.Terms.Traffic {
					t.Fatalf("%s was given to %s on %v and is held by %s on %v", h.Address, req.Service, req.Terms, other, terms)
				}
				if other.Namespace != req.Service.Namespace && !p.ShareAcrossNamespaces {
					t.Fatalf("%s was given to %s and is held by %s", h.Address, req.Service, other)
				}
			}
		}
	})
}

// TestReleaseThenAssignGivesItAgain: of a Service that has what it would get anew.
func TestReleaseThenAssignGivesItAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, m := history(t)
		req := drawRequest(t)
		for _, address := range m.has(req.Service) {
			a.Release(address, req.Service)
		}
		first := a.Assign(req)
		for range 2 {
			for _, h := range first.Keep {
				a.Release(h.Address, req.Service)
			}
			if again := a.Assign(req); outcome(again) != outcome(first) {
				t.Fatalf("%+v: got %q, want %q again", req, outcome(again), outcome(first))
			}
		}
	})
}

// TestOrderOfLearningDoesNotMatter: who holds what in the end, and what is given next,
// is the same in whatever order holdings are learned, if none excludes another one.
func TestOrderOfLearningDoesNotMatter(t *testing.T) {
	type learned struct {
		Holding
		terms lb.Sharing
	}
	rapid.Check(t, func(t *rapid.T) {
		_, m := history(t)
		for i := range m.pools { // who came later is evicted: that is of the order
			m.pools[i].Evict = false
		}
		var list []learned
		for _, address := range universe {
			for _, service := range m.held[address] {
				list = append(list, learned{Holding{address, m.from(address), service}, m.terms[assignment{address, service}]})
			}
		}
		reqs := []Request{drawRequest(t), drawRequest(t), drawRequest(t)}
		describe := func(list []learned) (reported []string) {
			a := New()
			a.SetPools(m.pools)
			for range 2 { // twice is as good as once
				for _, l := range list {
					if !a.Hold(l.Holding, l.terms) {
						t.Fatalf("Hold(%v): got false, want true", l)
					}
				}
			}
			checkInside(t, a)
			for _, req := range reqs {
				reported = append(reported, outcome(a.Assign(req)))
			}
			for _, name := range []string{"m/a", "m/b", "m/c", "m/d", "n/a", "n/b", "n/c", "n/d"} {
				reported = append(reported, name+" "+heldBy(a, name))
			}
			return reported
		}
		if diff := cmp.Diff(describe(list), describe(rapid.Permutation(list).Draw(t, "order"))); diff != "" {
			t.Fatalf("another order (-in order +permuted):\n%s", diff)
		}
	})
}

// TestSetPoolsTakesNothing: pool edits change nobody's addresses, and undone they
// leave no trace.
func TestSetPoolsTakesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, m := history(t)
		before := fmt.Sprint(describeHeld(a))
		was := states(a)
		a.SetPools(drawPools(t))
		checkInside(t, a)
		if got := fmt.Sprint(describeHeld(a)); got != before {
			t.Fatalf("held after the edit: got %s, want %s", got, before)
		}
		a.SetPools(m.pools)
		checkInside(t, a)
		// Where no pool has an address, another pool may have had it in between.
		if diff := cmp.Diff(was, states(a)); diff != "" && len(a.origin) == 0 {
			t.Fatalf("states after the edit was undone (-want +got):\n%s", diff)
		}
	})
}

func describeHeld(a *Allocator) (reported []string) {
	for _, address := range universe {
		holders, taken := a.Holders(address)
		reported = append(reported, fmt.Sprint(address, taken))
		for _, h := range holders {
			reported = append(reported, h.Service.String())
		}
	}
	return reported
}

// TestStatesAreARecount counts from what can be seen from outside.
func TestStatesAreARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, m := history(t)
		got := a.PoolStates()
		if len(got) != len(m.pools) {
			t.Fatalf("states: got %d, want %d", len(got), len(m.pools))
		}
		for _, p := range m.pools {
			held, used, total := 0, map[lb.Family]int64{}, map[lb.Family]int64{}
			for address := range m.held {
				if m.from(address) == p.Name {
					held++
				}
				if giver := m.giver(address); giver != nil && giver.Name == p.Name {
					used[lb.FamilyOf(address)]++
				}
			}
			for _, r := range p.Gives {
				for address := r.First; r.Contains(address); address = address.Next() {
					total[r.Family()] += 1
					if p.AvoidBuggy && endsBuggy(address) {
						total[r.Family()]--
					}
				}
			}
			s := got[p.Name]
			if s.Held != held || len(s.Usage) != len(total) {
				t.Fatalf("%s: got %d held and %d families, want %d and %d", p.Name, s.Held, len(s.Usage), held, len(total))
			}
			for f, n := range total {
				if u := s.Usage[f]; u.Total.Int64() != n || u.Used != used[f] || u.Free().Int64() != n-used[f] {
					t.Fatalf("%s, %s: got %d of %s, want %d of %d", p.Name, f, u.Used, u.Total, used[f], n)
				}
			}
		}
	})
}

// TestExplainAgreesWithAssign: the first pool that Explain reports as able to give one
// does, and if there is none, the request is refused for the same reasons.
func TestExplainAgreesWithAssign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, m := history(t)
		req := drawRequest(t)
		req.Addresses, req.Kept, req.Terms = nil, nil, lb.Sharing{}
		req.Families = req.Families[:1]
		for _, address := range m.has(req.Service) {
			a.Release(address, req.Service)
		}
		results := a.Explain(req, req.Families[0])
		at := slices.IndexFunc(results, func(v PoolResult) bool { return v.Reason == "" })
		switch d := a.Assign(req); {
		case at >= 0 && (d.Refusal != nil || d.Keep[0].Pool != results[at].Pool):
			t.Fatalf("got %q, want one of %v", outcome(d), results[at])
		case at < 0 && (d.Refusal == nil || !slices.Equal(d.Refusal.Pools, results)):
			t.Fatalf("got %q, want a refusal with %v", outcome(d), results)
		case at < 0 && len(results) > 0 && !slices.ContainsFunc(results, func(v PoolResult) bool { return v.Reason == d.Refusal.Reason }):
			t.Fatalf("reason: got %s, want one of %v", d.Refusal.Reason, results)
		}
	})
}

// TestCouldAgreesWithAssign: if one address is the only one free, a Service that has
// nothing and needs one gets it if, and only if, Explain reports that the pool could.
func TestCouldAgreesWithAssign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, m := history(t)
		req := drawRequest(t)
		if len(req.Families) > 1 {
			req.Policy = SingleStack
		}
		if len(req.Addresses) > 1 {
			req.Addresses = req.Addresses[:1]
		}
		for _, address := range m.has(req.Service) {
			a.Release(address, req.Service)
		}
		only := drawAddress(t)
		for _, p := range m.pools {
			for _, r := range p.Gives {
				for address := r.First; r.Contains(address); address = address.Next() {
					if address != only { // and nobody to share with
						for _, h := range holdersList(a, address) {
							a.Release(address, h.Service)
						}
						a.Reserve(address, "")
					}
				}
			}
		}
		could := a.CanGet(req, only)
		if d := a.Assign(req); could != (d.Refusal == nil) {
			t.Fatalf("%+v, and only %s is free: got %v, want as Assign: %q, %v", req, only, could, outcome(d), d.Refusal)
		}
	})
}

func holdersList(a *Allocator, address netip.Addr) []Holding {
	holders, _ := a.Holders(address)
	return holders
}

// TestResolveGivesEachAddressOnce compares Resolve with what is true of each address.
func TestResolveGivesEachAddressOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawPools(t)
		var taken []TakenRange
		for range rapid.IntRange(0, 2).Draw(t, "taken") {
			taken = append(taken, TakenRange{Range: drawRange(t), By: "a node"})
		}
		conflicts := Resolve(list, taken)
		for _, address := range universe {
			owned := false
			for _, p := range list {
				wants := inRanges(p.Listed, address) && !inRanges(p.Excluded, address)
				isTaken := slices.ContainsFunc(taken, func(x TakenRange) bool { return x.Range.Contains(address) })
				if got, want := inRanges(p.Gives, address), wants && !isTaken && !owned; got != want {
					t.Fatalf("%s gives %s: got %v, want %v", p.Name, address, got, want)
				}
				reported := slices.ContainsFunc(conflicts[p.Name], func(c Conflict) bool { return c.Range.Contains(address) })
				if twice := timesIn(p.Listed, address) > 1; reported != (wants && (isTaken || owned) || twice) {
					t.Fatalf("%s has a conflict about %s: got %v, with %v", p.Name, address, reported, conflicts[p.Name])
				}
				owned = owned || wants
			}
		}
	})
}

func timesIn(ranges []lb.Range, address netip.Addr) (n int) {
	for _, r := range ranges {
		if r.Contains(address) {
			n++
		}
	}
	return n
}
