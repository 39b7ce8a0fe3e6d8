package eligibility_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

var two = one.Next()

// holder is a Service that shows addresses, and has endpoints on the node n1.
func holder(addresses ...netip.Addr) *eligibility.Holder {
	return &eligibility.Holder{Service: eligibility.Service{Labels: labels{"app": "web"}, Endpoints: on("n1")}, Shown: addresses}
}

// heldBy is a claim that names Services which have not taken it up yet.
func heldBy(keys ...lb.ServiceKey) *eligibility.Claim {
	return &eligibility.Claim{Pool: "gold", Holders: named(keys...)}
}

func named(keys ...lb.ServiceKey) (list []eligibility.ClaimHolder) {
	for _, key := range keys {
		list = append(list, eligibility.ClaimHolder{Key: key})
	}
	return list
}

// takenUp is a claim that the Service of that UID has taken up.
func takenUp(key lb.ServiceKey, uid string) *eligibility.Claim {
	return &eligibility.Claim{Pool: "gold", Holders: []eligibility.ClaimHolder{{Key: key, UID: uid}}}
}

func withUID(uid string, h *eligibility.Holder) *eligibility.Holder {
	h.UID = uid
	return h
}

// planner has three nodes, the first address, which the Service web shows, and was asked
// for its changes.
func planner(ads ...ad) *eligibility.Planner {
	p := eligibility.NewPlanner()
	p.SetConfig(ads, gold(), nodes())
	p.SetService(web, holder(one))
	p.SetClaim(one, heldBy(web))
	p.Changes()
	return p
}

func TestChangesOfAddresses(t *testing.T) {
	type (
		change    = eligibility.Change
		addresses = []ownership.Address
	)
	everyone := []eligibility.Candidate{{Node: "n1"}, {Node: "n2"}, {Node: "n3"}}
	tests := []struct {
		name string
		do   func(*eligibility.Planner)
		want change
	}{
		{"nothing, when nothing happens", func(*eligibility.Planner) {}, change{}},
		{"nothing, when all is as before", func(p *eligibility.Planner) {
			p.SetConfig([]ad{{}}, gold(), nodes())
			p.SetService(web, holder(one))
			p.SetClaim(one, heldBy(web))
		}, change{}},
		{"nothing, when it changes and changes back", func(p *eligibility.Planner) {
			p.SetService(web, nil)
			p.SetClaim(one, nil)
			p.SetClaim(one, heldBy(web))
			p.SetService(web, holder(one))
		}, change{}},
		{"who may announce it, when a node is asked for", func(p *eligibility.Planner) {
			claim := heldBy(web)
			claim.AnnounceFrom = "n2"
			p.SetClaim(one, claim)
		}, change{Addresses: addresses{{Address: one, Candidates: []eligibility.Candidate{{Node: "n1"}, {Node: "n2", Requested: true}, {Node: "n3"}}}}}},
		{"nothing, when a node is asked for that may not announce", func(p *eligibility.Planner) {
			claim := heldBy(web)
			claim.AnnounceFrom = "n9"
			p.SetClaim(one, claim)
		}, change{}},
		{"nothing, when a Service changes that holds nothing", func(p *eligibility.Planner) { p.SetService(dns, holder(one)) }, change{}},
		{"nothing, when an address is claimed that nobody shows", func(p *eligibility.Planner) {
			p.SetClaim(two, heldBy(web, dns))
			p.SetConfig([]ad{{}}, append(gold(), pool("tin", nil)), nodes())
		}, change{}},
		{"an address that a Service shows", func(p *eligibility.Planner) {
			p.SetClaim(two, heldBy(dns))
			p.SetService(dns, holder(two))
		}, change{Addresses: addresses{{Address: two, Candidates: everyone}}}},
		{"an address that is claimed later", func(p *eligibility.Planner) {
			p.SetService(web, holder(two, one))
			p.SetClaim(two, heldBy(web))
		}, change{Addresses: addresses{{Address: two, Candidates: everyone}}}},
		{"an address without endpoints is wanted, and nobody may announce it", func(p *eligibility.Planner) {
			s := holder(one)
			s.Endpoints = nil
			p.SetService(web, s)
		}, change{Addresses: addresses{{Address: one}}}},
		{"an address without an advertisement is wanted, and nobody may announce it", func(p *eligibility.Planner) { p.SetConfig(nil, gold(), nodes()) },
			change{Addresses: addresses{{Address: one}}}},
		{"a claim that the Service has taken up is enough", func(p *eligibility.Planner) {
			p.SetService(dns, withUID("d", holder()))
			p.SetClaim(two, takenUp(dns, "d"))
		}, change{Addresses: addresses{{Address: two, Candidates: everyone}}}},
		{"a claim that another Service of the name has taken up is not", func(p *eligibility.Planner) {
			p.SetService(dns, withUID("d2", holder()))
			p.SetClaim(two, takenUp(dns, "d"))
		}, change{}},
		{"a claim without UID is not taken up by a Service without UID", func(p *eligibility.Planner) {
			p.SetService(dns, holder())
			p.SetClaim(two, heldBy(dns))
		}, change{}},
		{"nothing, when another writer replaces the status of a Service that has taken its claim up", func(p *eligibility.Planner) {
			p.SetClaim(one, takenUp(web, "w"))
			p.SetService(web, withUID("w", holder(one)))
			p.SetService(web, withUID("w", holder(six)))
		}, change{}},
		{"an address that is only reserved for its Service and not shown any more goes", func(p *eligibility.Planner) { p.SetService(web, holder(two)) }, change{Gone: []netip.Addr{one}}},
		{"an address whose Service is gone goes", func(p *eligibility.Planner) { p.SetService(web, nil) }, change{Gone: []netip.Addr{one}}},
		{"an address whose claim is gone goes", func(p *eligibility.Planner) { p.SetClaim(one, nil) }, change{Gone: []netip.Addr{one}}},
		{"an address that somebody else holds goes", func(p *eligibility.Planner) { p.SetClaim(one, heldBy(dns)) }, change{Gone: []netip.Addr{one}}},
		{"all go when they are forgotten", func(p *eligibility.Planner) { p.RemoveAll() }, change{Gone: []netip.Addr{one}}},
		{"a claim after all was forgotten counts", func(p *eligibility.Planner) {
			p.RemoveAll()
			p.SetService(web, holder(one))
			p.SetClaim(one, heldBy(web))
		}, change{}},
		{"local traffic leaves the nodes with endpoints", func(p *eligibility.Planner) {
			s := holder(one)
			s.Local = true
			p.SetService(web, s)
		}, change{Addresses: addresses{{Address: one, Candidates: everyone[:1]}}}},
		{"a node that is excluded leaves the others", func(p *eligibility.Planner) {
			all := nodes()
			all[0].Excluded = "has the label x"
			p.SetConfig([]ad{{}}, gold(), all)
		}, change{Addresses: addresses{{Address: one, Candidates: everyone[:2]}}}},
		{"changes are ordered", func(p *eligibility.Planner) {
			p.SetClaim(two, heldBy(web))
			p.SetClaim(six, heldBy(web))
			p.SetClaim(one, heldBy(web))
			p.SetService(web, holder(six, two))
		}, change{Addresses: addresses{{Address: two, Candidates: everyone}, {Address: six}}, Gone: []netip.Addr{one}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := planner(ad{})
			tt.do(p)
			if diff := cmp.Diff(tt.want, p.Changes(), byValue); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(change{}, p.Changes(), byValue); diff != "" {
				t.Errorf("changes, when asked again (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCandidatesAreSharedWithThoseOfLongAgo(t *testing.T) {
	p := eligibility.NewPlanner()
	p.SetService(web, holder(one, two))
	p.SetClaim(one, heldBy(web))
	p.SetConfig([]ad{{}}, gold(), nodes())
	first := p.Changes().Addresses
	p.SetConfig([]ad{{}}, append(gold(), pool("tin", nil)), nodes())
	p.SetClaim(two, heldBy(web))
	second := p.Changes().Addresses
	if len(first) != 1 || len(second) != 1 || len(first[0].Candidates) != 3 || &first[0].Candidates[0] != &second[0].Candidates[0] {
		t.Errorf("got %+v, then %+v, want two addresses with one list of candidates", first, second)
	}
}

// TestUnusedEntriesCostNoMemory moves endpoints from node to node, so that the candidates
// change all the time.
func TestUnusedEntriesCostNoMemory(t *testing.T) {
	p := eligibility.NewPlanner()
	var all []eligibility.Node
	for i := range 20 {
		all = append(all, eligibility.Node{Name: lb.NodeName(fmt.Sprint("node-", i))})
	}
	p.SetConfig([]ad{{}}, gold(), all)
	p.SetClaim(one, heldBy(web))
	before := inUse()
	for i := range 10000 {
		var at []lb.NodeName
		for n := range all {
			if (i+1)>>n&1 == 1 {
				at = append(at, all[n].Name)
			}
		}
		p.SetService(web, &eligibility.Holder{Service: local(web, at...), Shown: []netip.Addr{one}})
		if got := p.Changes().Addresses; len(got) != 1 || len(got[0].Candidates) != len(at) {
			t.Fatalf("endpoints on %v: got %+v, want these as candidates", at, got)
		}
	}
	if used := inUse() - before; used > 200_000 {
		t.Errorf("10000 lists of candidates that are not in use: got %d bytes, want at most 200000", used)
	}
	runtime.KeepAlive(p)
}
