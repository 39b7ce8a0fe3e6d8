package routes_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// randomSeeds is how many stories are played by default. LBSTACK_SEEDS sets another number;
// LBSTACK_SEED plays the story of one seed.
const randomSeeds = 200

func seedsToPlay(t *testing.T) []uint64 {
	t.Helper()
	number := func(variable string) (uint64, bool) {
		text := os.Getenv(variable)
		if text == "" {
			return 0, false
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n, true
	}
	if seed, ok := number("LBSTACK_SEED"); ok {
		return []uint64{seed}
	}
	n, ok := number("LBSTACK_SEEDS")
	if !ok {
		n = randomSeeds
	}
	var list []uint64
	for seed := range n {
		list = append(list, seed)
	}
	return list
}

// TestAnyStoryEndsWhereItsFactsLead plays random changes, and compares the planner
// after each change with the naive model and with a new planner of the same facts.
func TestAnyStoryEndsWhereItsFactsLead(t *testing.T) {
	failed := 0
	for _, seed := range seedsToPlay(t) {
		if t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { play(t, seed) }) {
			continue
		}
		if failed++; failed == 3 {
			t.Fatal("three stories went wrong: the others are not played")
		}
	}
}

func play(t *testing.T, seed uint64) {
	s := &story{Rand: rand.New(rand.NewPCG(seed, 7)), setup: setup{services: map[lb.ServiceKey]*eligibility.Holder{}, claims: map[netip.Addr]*eligibility.Claim{}, admitted: map[netip.Addr]bool{}}}
	p := routes.NewPlanner()
	sum := map[bgp.PeerName]table{}
	for step := range 60 {
		did := s.change(p)
		s.admit()
		for _, peer := range s.config.Peers {
			same(t, "table of "+string(peer), s.table(peer), p.Table(peer))
			same(t, "table of "+string(peer)+" of a new planner", s.planner().Table(peer), p.Table(peer))
		}
		same(t, "conflicts", s.conflicts(), p.Conflicts())
		if s.IntN(3) > 0 {
			s.apply(t, sum, p.Changes())
		}
		if t.Failed() {
			t.Fatalf("seed %d, step %d: %s; play it with LBSTACK_SEED=%d", seed, step, did, seed)
		}
	}
}

// apply adds changes to the sum of the changes before.
func (s *story) apply(t *testing.T, sum map[bgp.PeerName]table, changes map[bgp.PeerName]routes.Change) {
	for peer := range sum {
		if !slices.Contains(s.config.Peers, peer) {
			delete(sum, peer)
		}
	}
	for peer, change := range changes {
		if len(change.Announce)+len(change.Withdraw) == 0 || !slices.Contains(s.config.Peers, peer) {
			t.Errorf("%s: got the change %v, want none", peer, change)
		}
		if sum[peer] == nil {
			sum[peer] = table{}
		}
		for prefix, attributes := range change.Announce {
			if had := sum[peer][prefix]; had != nil && had.Equal(*attributes) {
				t.Errorf("%s: the unchanged route %s is announced again", peer, prefix)
			}
			sum[peer][prefix] = attributes
		}
		for _, prefix := range change.Withdraw {
			if sum[peer][prefix] == nil {
				t.Errorf("%s: the route %s, which was not announced, is withdrawn", peer, prefix)
			}
			delete(sum[peer], prefix)
		}
		if !slices.IsSortedFunc(change.Withdraw, netip.Prefix.Compare) {
			t.Errorf("%s: withdrawn without order: %v", peer, change.Withdraw)
		}
	}
	for _, peer := range s.config.Peers {
		want := s.table(peer)
		if sum[peer] == nil {
			sum[peer] = table{}
		}
		same(t, "routes of "+string(peer), want, sum[peer])
	}
}

// table computes the routes of a peer naively: each advertisement by itself, from
// the result of advertise for the whole cluster.
func (s *story) table(peer bgp.PeerName) table {
	want := table{}
	for prefix, ads := range s.speaking(peer) {
		a := routes.Attributes{}
		for _, ad := range ads {
			if n := ad.Attributes.LocalPref; n.Set && (!a.LocalPref.Set || n.Value > a.LocalPref.Value) {
				a.LocalPref = n
			}
			if n := ad.Attributes.MED; n.Set && (!a.MED.Set || n.Value < a.MED.Value) {
				a.MED = n
			}
			a.Prepend = max(a.Prepend, ad.Attributes.Prepend)
			for _, c := range ad.Attributes.Communities {
				if !slices.Contains(a.Communities, c) {
					a.Communities = append(a.Communities, c)
				}
			}
		}
		slices.Sort(a.Communities)
		want[prefix] = &a
	}
	return want
}

// speaking returns the advertisements that apply to each prefix of a peer.
func (s *story) speaking(peer bgp.PeerName) map[netip.Prefix]map[string]ad {
	found := map[netip.Prefix]map[string]ad{}
	in := s.input()
	for _, a := range s.config.Advertisements {
		if len(a.Peers) > 0 && !slices.Contains(a.Peers, peer) {
			continue
		}
		in.Advertisements = []eligibility.Advertisement{{Scope: a.Scope}}
		for _, r := range eligibility.Resolve(in) {
			if len(r.Candidates) == 0 {
				continue
			}
			length, all := int(a.Length), 32
			if r.Address.Is6() {
				length, all = int(a.LengthV6), 128
			}
			if length == 0 {
				length = all
			}
			if c := s.claims[r.Address]; c != nil && !slices.ContainsFunc(s.config.Pools, func(p eligibility.Pool) bool { return p.Name == c.Pool }) {
				length = all // pools of stories list all addresses, and a deleted pool lists none
			}
			prefix := netip.PrefixFrom(r.Address, length).Masked()
			if found[prefix] == nil {
				found[prefix] = map[string]ad{}
			}
			found[prefix][a.Name] = a
		}
	}
	return found
}

func (s *story) input() eligibility.Input {
	in := eligibility.Input{Nodes: []eligibility.Node{s.config.Node}, Pools: s.config.Pools}
	for key, service := range s.services {
		in.Services = append(in.Services, eligibility.Service{Key: key, Labels: service.Labels, Local: service.Local, Endpoints: service.Endpoints})
	}
	for address, claim := range s.claims {
		shown := eligibility.Address{Address: address, Pool: claim.Pool}
		for _, h := range claim.Holders {
			if service := s.services[h.Key]; service != nil && (slices.Contains(service.Shown, address) || h.UID != "" && h.UID == service.UID) {
				shown.Holders = append(shown.Holders, h.Key)
			}
		}
		if len(shown.Holders) > 0 && s.admitted[address] {
			in.Addresses = append(in.Addresses, shown)
		}
	}
	return in
}

// admit records the claimed addresses that may be announced: addresses of an existing pool, and
// addresses of a pool that existed at any time since the claim.
func (s *story) admit() {
	for address := range s.admitted {
		if c := s.claims[address]; c == nil || len(c.Holders) == 0 {
			delete(s.admitted, address)
		}
	}
	for address, claim := range s.claims {
		if len(claim.Holders) > 0 && slices.ContainsFunc(s.config.Pools, func(p eligibility.Pool) bool { return p.Name == claim.Pool }) {
			s.admitted[address] = true
		}
	}
}

func (s *story) conflicts() []routes.Conflict {
	var want []routes.Conflict
	for _, peer := range s.config.Peers {
		for prefix, ads := range s.speaking(peer) {
			var used *routes.Preference
			for _, name := range slices.Sorted(maps.Keys(ads)) {
				if n := ads[name].Attributes.LocalPref; n.Set && (used == nil || n.Value > used.LocalPref) {
					used = &routes.Preference{Advertisement: name, LocalPref: n.Value}
				}
			}
			for name, ad := range ads {
				if n := ad.Attributes.LocalPref; n.Set && n.Value != used.LocalPref {
					want = append(want, routes.Conflict{Prefix: prefix, Peer: peer, Used: *used, Ignored: routes.Preference{Advertisement: name, LocalPref: n.Value}})
				}
			}
		}
	}
	slices.SortFunc(want, func(x, y routes.Conflict) int {
		if c := x.Prefix.Compare(y.Prefix); c != 0 {
			return c
		}
		return compare(x.Peer, x.Ignored.Advertisement, y.Peer, y.Ignored.Advertisement)
	})
	return want
}
