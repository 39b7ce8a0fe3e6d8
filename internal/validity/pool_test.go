package validity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// object is a pool of that age in hours.
func object(name string, age int, addresses ...v1beta1.AddressRange) v1beta1.IPAddressPool {
	return v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 4, CreationTimestamp: metav1.NewTime(start.Add(-time.Duration(age) * time.Hour))},
		Spec:       v1beta1.IPAddressPoolSpec{Addresses: addresses},
	}
}

// edited is the same with another spec.
func edited(p v1beta1.IPAddressPool, edit func(*v1beta1.IPAddressPoolSpec)) v1beta1.IPAddressPool {
	edit(&p.Spec)
	return p
}

func of(t *testing.T, text, by string) ipam.TakenRange {
	t.Helper()
	r, err := apiconv.ParseRange(text)
	if err != nil {
		t.Fatal(err)
	}
	return ipam.TakenRange{Range: r, By: by}
}

func TestPools(t *testing.T) {
	type objects = []v1beta1.IPAddressPool
	const ready, overlap, nothing = v1beta1.ReasonPoolReady, v1beta1.ReasonOverlap, v1beta1.ReasonNothingToGive
	bad := []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like"}}}}
	wrong := func(s *v1beta1.IPAddressPoolSpec) {
		s.ServiceAllocation = &v1beta1.ServiceAllocation{ServiceSelectors: bad}
	}
	drain := func(s *v1beta1.IPAddressPoolSpec) { s.State = v1beta1.PoolDraining }
	// Each pool as: reason, what it gives, and its conflicts.
	type result struct {
		Reason    string
		Gives     []string
		Conflicts []string
	}
	tests := []struct {
		name    string
		objects objects
		taken   []ipam.TakenRange
		want    map[lb.PoolName]result
	}{
		{name: "no pools"},
		{name: "pools apart are ready", objects: objects{object("a", 2, "10.0.0.0/24"), object("b", 1, "10.0.1.0/24")},
			want: map[lb.PoolName]result{"a": {ready, []string{"10.0.0.0-10.0.0.255"}, nil}, "b": {ready, []string{"10.0.1.0-10.0.1.255"}, nil}}},
		{name: "of two that overlap the older one keeps the addresses, and the rest of the younger is given", objects: objects{object("a", 1, "10.0.0.0/28"), object("b", 2, "10.0.0.8-10.0.0.20")},
			want: map[lb.PoolName]result{"a": {overlap, []string{"10.0.0.0-10.0.0.7"}, []string{`10.0.0.8-10.0.0.15 belongs to the older pool "b"`}}, "b": {ready, []string{"10.0.0.8-10.0.0.20"}, nil}}},
		{name: "of two of the same age the name decides", objects: objects{object("b", 1, "10.0.0.9"), object("a", 1, "10.0.0.9")},
			want: map[lb.PoolName]result{"a": {ready, []string{"10.0.0.9"}, nil}, "b": {nothing, nil, []string{`10.0.0.9 belongs to the older pool "a"`}}}},
		{name: "a reversed range is reported and disturbs no other pool", objects: objects{object("a", 2, "10.0.0.9-10.0.0.1"), object("b", 1, "10.0.0.0/30")},
			want: map[lb.PoolName]result{"a": {v1beta1.ReasonInvalidAddresses, nil, nil}, "b": {ready, []string{"10.0.0.0-10.0.0.3"}, nil}}},
		{name: "a pool with an invalid selector still owns its addresses", objects: objects{edited(object("a", 2, "10.0.0.0/31"), wrong), object("b", 1, "10.0.0.0/30")},
			want: map[lb.PoolName]result{"a": {v1beta1.ReasonInvalidSelector, []string{"10.0.0.0-10.0.0.1"}, nil}, "b": {overlap, []string{"10.0.0.2-10.0.0.3"}, []string{`10.0.0.0-10.0.0.1 belongs to the older pool "a"`}}}},
		{name: "a node's address is not given", objects: objects{object("a", 1, "10.0.0.0/30")}, taken: []ipam.TakenRange{of(t, "10.0.0.1", `the node "n1"`), of(t, "10.9.0.0/16", "pods")},
			want: map[lb.PoolName]result{"a": {overlap, []string{"10.0.0.0", "10.0.0.2-10.0.0.3"}, []string{`10.0.0.1 belongs to the node "n1"`}}}},
		{name: "a network of the cluster is not given", objects: objects{object("a", 1, "10.96.0.0/30", "2001:db8::/127")}, taken: []ipam.TakenRange{of(t, "10.96.0.0/12", "the Services"), of(t, "2001:db8::/108", "the pods")},
			want: map[lb.PoolName]result{"a": {nothing, nil, []string{"10.96.0.0-10.96.0.3 belongs to the Services", "2001:db8::-2001:db8::1 belongs to the pods"}}}},
		{name: "a pool that lists an address which no host of a subnet can have is ready", objects: objects{object("a", 1, "10.0.0.0/30")}, taken: []ipam.TakenRange{{Range: of(t, "10.0.0.3", "").Range, By: "the subnet", As: "the broadcast address", Node: true}},
			want: map[lb.PoolName]result{"a": {ready, []string{"10.0.0.0-10.0.0.2"}, []string{"10.0.0.3 is the broadcast address of the subnet"}}}},
		{name: "podCIDR that is only reported leaves a pool ready, although the subnet of the nodes keeps its first address", objects: objects{object("a", 1, "10.0.0.0/30")},
			taken: []ipam.TakenRange{{Range: of(t, "10.0.0.0/30", "").Range, By: "the pods", Node: true, ReportedOnly: true}, {Range: of(t, "10.0.0.0", "").Range, By: "the subnet", As: "the network address", Node: true}},
			want:  map[lb.PoolName]result{"a": {ready, []string{"10.0.0.1-10.0.0.3"}, []string{"10.0.0.0 is the network address of the subnet", "10.0.0.0-10.0.0.3 belongs to the pods"}}}},
		{name: "an address that a foreign host uses is not given", objects: objects{object("a", 1, "10.0.0.0/31")},
			taken: []ipam.TakenRange{{Range: of(t, "10.0.0.0", "").Range, By: "a host", Foreign: true}},
			want:  map[lb.PoolName]result{"a": {v1beta1.ReasonForeignHost, []string{"10.0.0.1"}, []string{"10.0.0.0 is used by a host"}}}},
		{name: "a foreign host that is only reported leaves the pool ready", objects: objects{object("a", 1, "10.0.0.0/31")},
			taken: []ipam.TakenRange{{Range: of(t, "10.0.0.0", "").Range, By: "a host", Foreign: true, ReportedOnly: true}},
			want:  map[lb.PoolName]result{"a": {ready, []string{"10.0.0.0-10.0.0.1"}, []string{"10.0.0.0 is used by a host"}}}},
		{name: "podCIDR of one node that is younger than the pool leaves the pool ready", objects: objects{object("a", 1, "10.0.0.0/30")},
			taken: []ipam.TakenRange{{Range: of(t, "10.0.0.0/30", "").Range, By: "the pods", Node: true, PodsOf: "new", Since: start}},
			want:  map[lb.PoolName]result{"a": {ready, []string{"10.0.0.0-10.0.0.3"}, []string{"10.0.0.0-10.0.0.3 belongs to the pods"}}}},
		{name: "podCIDR of one node that is older than the pool is held back", objects: objects{object("a", 1, "10.0.0.0/30")},
			taken: []ipam.TakenRange{{Range: of(t, "10.0.0.0/31", "").Range, By: "the pods", Node: true, PodsOf: "old", Since: start.Add(-2 * time.Hour)}},
			want:  map[lb.PoolName]result{"a": {overlap, []string{"10.0.0.2-10.0.0.3"}, []string{"10.0.0.0-10.0.0.1 belongs to the pods"}}}},
		{name: "what is excluded is nobody's conflict", objects: objects{edited(object("a", 1, "10.0.0.0/30"), func(s *v1beta1.IPAddressPoolSpec) { s.ExcludeAddresses = []v1beta1.AddressRange{"10.0.0.1"} })}, taken: []ipam.TakenRange{of(t, "10.0.0.1", "the node")},
			want: map[lb.PoolName]result{"a": {ready, []string{"10.0.0.0", "10.0.0.2-10.0.0.3"}, nil}}},
		{name: "a pool of which all is excluded has nothing to give", objects: objects{edited(object("a", 1, "10.0.0.0/30"), func(s *v1beta1.IPAddressPoolSpec) { s.ExcludeAddresses = []v1beta1.AddressRange{"10.0.0.0/8"} })},
			want: map[lb.PoolName]result{"a": {nothing, nil, nil}}},
		{name: "a pool of which avoidBuggyIPs holds everything back has nothing to give", objects: objects{edited(object("a", 1, "10.0.0.255-10.0.1.0"), func(s *v1beta1.IPAddressPoolSpec) { s.AvoidBuggyIPs = true })},
			want: map[lb.PoolName]result{"a": {nothing, []string{"10.0.0.255-10.0.1.0"}, nil}}},
		{name: "a pool that drains is as it should be", objects: objects{edited(object("a", 1, "10.0.0.0/31"), drain)}, want: map[lb.PoolName]result{"a": {v1beta1.ReasonDraining, []string{"10.0.0.0-10.0.0.1"}, nil}}},
		{name: "a draining pool without free addresses reports that", objects: objects{edited(object("a", 1, "127.0.0.1"), drain)}, want: map[lb.PoolName]result{"a": {nothing, nil, []string{"127.0.0.1 belongs to the loopback range (RFC 1122)"}}}},
		{name: "what no host can have is not given", objects: objects{object("a", 1, "0.0.0.1", "169.254.1.1", "223.255.255.255-224.0.0.1", "255.255.255.255", "::/127", "fe80::1", "feff::1", "ff02::1")},
			want: map[lb.PoolName]result{"a": {overlap, []string{"223.255.255.255", "feff::1"}, []string{
				"0.0.0.1 belongs to the range 0.0.0.0/8 for \"this network\" (RFC 791)", "169.254.1.1 belongs to the link-local range (RFC 3927)", "224.0.0.0-224.0.0.1 belongs to the multicast range (RFC 5771)", "255.255.255.255 belongs to the reserved range with the broadcast address (RFC 1112)",
				":: belongs to no host (RFC 4291)", "::1 belongs to the loopback range (RFC 4291)", "fe80::1 belongs to the link-local range (RFC 4291)", "ff02::1 belongs to the multicast range (RFC 4291)"}}}},
		{name: "IPv4 mapped into IPv6 is not given", objects: objects{object("a", 1, "::fffe:ffff:fffe-::1:0:0:0")}, want: map[lb.PoolName]result{"a": {overlap, []string{"::fffe:ffff:fffe-::fffe:ffff:ffff", "::1:0:0:0"}, []string{"::ffff:0.0.0.0-::ffff:255.255.255.255 belongs to the range of IPv4 addresses mapped into IPv6 (RFC 4291)"}}}},
		{name: "addresses that a pool lists twice are given once, and reported", objects: objects{object("a", 1, "10.0.0.0/30", "10.0.0.2")}, want: map[lb.PoolName]result{"a": {ready, []string{"10.0.0.0-10.0.0.3"}, []string{`10.0.0.2 belongs to the pool "a" twice`}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.objects)
			pools, results := Pools(tt.objects, tt.taken)
			got := map[lb.PoolName]result{}
			for i, p := range pools {
				v := result{Reason: results[p.Name].Reason}
				for _, r := range p.Gives {
					v.Gives = append(v.Gives, r.String())
				}
				for _, c := range results[p.Name].Conflicts {
					v.Conflicts = append(v.Conflicts, c.String())
				}
				got[p.Name] = v
				if i > 0 && pools[i-1].Name >= p.Name {
					t.Errorf("order: got %s before %s, want them by name", pools[i-1].Name, p.Name)
				}
				if wrong := p.Unusable != ""; wrong != strings.HasPrefix(v.Reason, "Invalid") {
					t.Errorf("pool %s: got unusable %q with the reason %s", p.Name, p.Unusable, v.Reason)
				}
			}
			if tt.want == nil {
				tt.want = map[lb.PoolName]result{}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pools (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.objects); diff != "" {
				t.Errorf("the list that was passed has changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestPools_AnInvalidOneNamesTheRemedy(t *testing.T) {
	_, results := Pools([]v1beta1.IPAddressPool{object("a", 1, "10.0.0.9-10.0.0.1")}, nil)
	want := "spec.addresses[0]: 10.0.0.9-10.0.0.1: the first address is after the last one: correct it; until then the pool gives no addresses, and Services keep the addresses that they have"
	if got := results["a"]; got.Message != want || got.IsReady() {
		t.Errorf("got %q, ready %v, want %q", got.Message, got.IsReady(), want)
	}
	for reason, want := range map[string]bool{v1beta1.ReasonPoolReady: true, v1beta1.ReasonDraining: true, v1beta1.ReasonNothingToGive: false} {
		if got := (PoolResult{Reason: reason}).IsReady(); got != want {
			t.Errorf("ready with the reason %s: got %v, want %v", reason, got, want)
		}
	}
}

func TestPools_InAnyOrder(t *testing.T) {
	objects := []v1beta1.IPAddressPool{object("c", 1, "10.0.0.0/28"), object("a", 3, "10.0.0.4"), object("b", 2, "10.0.0.0/29")}
	pools, results := Pools(objects, nil)
	slices.Reverse(objects)
	again, resultsAgain := Pools(objects, nil)
	if diff := cmp.Diff(fmt.Sprint(pools, results), fmt.Sprint(again, resultsAgain)); diff != "" {
		t.Errorf("plan (-first +second):\n%s", diff)
	}
}
