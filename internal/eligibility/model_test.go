package eligibility_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// facts are the input of a planner.
type facts struct {
	ads      []ad
	pools    []eligibility.Pool
	nodes    []eligibility.Node
	services map[lb.ServiceKey]*eligibility.Holder
	claims   map[netip.Addr]*eligibility.Claim
	admitted map[netip.Addr]bool
}

// admit records the claimed addresses that may be announced: addresses that their pool lists, and
// addresses that their pool listed at any time since the claim.
func (f *facts) admit() {
	for address := range f.admitted {
		if c := f.claims[address]; c == nil || len(c.Holders) == 0 {
			delete(f.admitted, address)
		}
	}
	for address, claim := range f.claims {
		listed := slices.ContainsFunc(f.pools, func(p eligibility.Pool) bool { return p.Name == claim.Pool && len(p.Listed) > 0 })
		if listed && len(claim.Holders) > 0 {
			f.admitted[address] = true
		}
	}
}

// wanted returns the result of Resolve for all facts.
func (f *facts) wanted() map[netip.Addr][]eligibility.Candidate {
	in := eligibility.Input{Advertisements: f.ads, Pools: f.pools, Nodes: f.nodes}
	for key, s := range f.services {
		service := s.Service
		service.Key = key
		in.Services = append(in.Services, service)
	}
	for address, claim := range f.claims {
		shown := eligibility.Address{Address: address, Pool: claim.Pool}
		for _, h := range claim.Holders {
			if s := f.services[h.Key]; s != nil && (slices.Contains(s.Shown, address) || h.UID != "" && h.UID == s.UID) {
				shown.Holders = append(shown.Holders, h.Key)
			}
		}
		if len(shown.Holders) > 0 && f.admitted[address] {
			in.Addresses = append(in.Addresses, shown)
		}
	}
	want := map[netip.Addr][]eligibility.Candidate{}
	for _, r := range eligibility.Resolve(in) {
		want[r.Address] = r.Candidates
	}
	return want
}

var (
	someKeys      = []lb.ServiceKey{web, dns, {Namespace: "other", Name: "web"}}
	someAddresses = []netip.Addr{one, two, two.Next(), six, six.Next()}
	someSelectors = [][]eligibility.Selector{nil, nil, anyOf(has("zone", "a")), anyOf(has("zone", "b"), has("fast", "yes"))}
	someServices  = [][]eligibility.Selector{nil, nil, anyOf(has("app", "web")), anyOf(has("app", "db"))}
	someEndpoints = []map[lb.Family]eligibility.Endpoints{nil, on("n1"), on("n1", "n3"), on("n2"), {lb.IPv4: {Serving: 1}},
		{lb.IPv6: on("n2", "n3")[lb.IPv4]}, {lb.IPv4: on("n1")[lb.IPv4], lb.IPv6: on("n1")[lb.IPv4]}}
)

var someUIDs = []string{"", "first", "second"}

func drawHolder(t *rapid.T) eligibility.ClaimHolder {
	return eligibility.ClaimHolder{Key: rapid.SampledFrom(someKeys).Draw(t, "holder"), UID: rapid.SampledFrom(someUIDs).Draw(t, "uid")}
}

func drawAd(t *rapid.T) ad {
	return ad{
		Scope: scope{
			Pools:            rapid.SampledFrom([][]lb.PoolName{nil, nil, {"gold"}, {"tin", "gone"}}).Draw(t, "pools of it"),
			ServiceSelectors: rapid.SampledFrom(someServices).Draw(t, "its Services"),
			NodeSelectors:    rapid.SampledFrom(someSelectors).Draw(t, "its nodes"),
		},
		Interfaces:    rapid.SampledFrom([][]string{nil, {"eth0"}, {"eth1", "eth0"}}).Draw(t, "interfaces"),
		RequireSubnet: rapid.Bool().Draw(t, "requires a subnet"),
		Preferred:     rapid.SampledFrom([][]eligibility.Preference{nil, {{Weight: 7, Selector: has("zone", "a")}}}).Draw(t, "preferred"),
	}
}

func (f *facts) config(t *rapid.T) {
	f.nodes = nodes()[:rapid.IntRange(0, 3).Draw(t, "nodes")]
	for i := range f.nodes {
		f.nodes[i].Excluded = rapid.SampledFrom([]string{"", "", "", "is away"}).Draw(t, "excluded")
	}
	f.pools = rapid.SampledFrom([][]eligibility.Pool{nil, gold(), {{Name: "gold"}}, {pool("gold", nil), pool("tin", nil)}}).Draw(t, "pools")
	f.ads = nil
	for range rapid.IntRange(0, 3).Draw(t, "advertisements") {
		f.ads = append(f.ads, drawAd(t))
	}
}

// change makes one change, and passes it to the planner.
func (f *facts) change(t *rapid.T, p *eligibility.Planner) {
	switch rapid.SampledFrom([]string{"config", "Service", "Service", "Service", "claim", "claim", "all forgotten"}).Draw(t, "change") {
	case "config":
		f.config(t)
		p.SetConfig(f.ads, f.pools, f.nodes)
	case "Service":
		key := rapid.SampledFrom(someKeys).Draw(t, "Service")
		if delete(f.services, key); rapid.IntRange(0, 4).Draw(t, "gone") > 0 {
			f.services[key] = &eligibility.Holder{
				Service: eligibility.Service{
					Labels: labels{"app": rapid.SampledFrom([]string{"web", "db"}).Draw(t, "app")},
					Local:  rapid.Bool().Draw(t, "local"), Endpoints: rapid.SampledFrom(someEndpoints).Draw(t, "endpoints"),
				},
				UID:   rapid.SampledFrom(someUIDs).Draw(t, "uid"),
				Shown: rapid.SliceOfN(rapid.SampledFrom(someAddresses), 0, 4).Draw(t, "shown"),
			}
		}
		p.SetService(key, f.services[key])
	case "claim":
		address := rapid.SampledFrom(someAddresses).Draw(t, "address")
		if delete(f.claims, address); rapid.IntRange(0, 4).Draw(t, "free") > 0 {
			f.claims[address] = &eligibility.Claim{
				Pool:    rapid.SampledFrom([]lb.PoolName{"gold", "tin", "gone"}).Draw(t, "pool"),
				Holders: rapid.SliceOfN(rapid.Custom(drawHolder), 0, 3).Draw(t, "holders"),
			}
		}
		p.SetClaim(address, f.claims[address])
	default:
		clear(f.services)
		clear(f.claims)
		p.RemoveAll()
	}
}

// apply adds a change to the sum of the changes before, and fails if the change repeats something.
func apply(t *rapid.T, sum map[netip.Addr][]eligibility.Candidate, c eligibility.Change) {
	for _, a := range c.Addresses {
		if before, known := sum[a.Address]; known && cmp.Equal(before, a.Candidates) {
			t.Errorf("%s is in a change again, with the same candidates %+v", a.Address, before)
		}
		sum[a.Address] = a.Candidates
	}
	for _, address := range c.Gone {
		if _, known := sum[address]; !known {
			t.Errorf("%s is gone, and was not there", address)
		}
		delete(sum, address)
	}
}

func TestSumOfChangesEqualsResolve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &facts{services: map[lb.ServiceKey]*eligibility.Holder{}, claims: map[netip.Addr]*eligibility.Claim{}, admitted: map[netip.Addr]bool{}}
		p, sum := eligibility.NewPlanner(), map[netip.Addr][]eligibility.Candidate{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			f.change(t, p)
			f.admit()
			if rapid.IntRange(0, 2).Draw(t, "asked") == 0 {
				continue
			}
			apply(t, sum, p.Changes())
			if diff := cmp.Diff(f.wanted(), sum, byValue); diff != "" {
				t.Fatalf("wanted (-Resolve +sum of changes):\n%s", diff)
			}
			for x, y := range sum {
				for other, list := range sum {
					if len(y) > 0 && cmp.Equal(y, list) && &y[0] != &list[0] {
						t.Errorf("%s and %s do not share their candidates", x, other)
					}
				}
			}
		}
	})
}
