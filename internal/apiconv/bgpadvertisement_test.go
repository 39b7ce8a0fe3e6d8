package apiconv

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

func TestParseBGPAdvertisementReadsAllFields(t *testing.T) {
	object := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "edge"}, Spec: v1beta1.BGPAdvertisementSpec{
		IPAddressPools:         []v1beta1.ObjectName{"gold"},
		IPAddressPoolSelectors: []metav1.LabelSelector{labelled("of", "pool")},
		NodeSelectors:          []metav1.LabelSelector{labelled("of", "node")},
		Peers:                  []v1beta1.ObjectName{"tor-b", "tor-a"},
		AggregationLength:      24, AggregationLengthV6: 64,
		LocalPref: new(int64(200)), MED: new(int64(0)), ASPathPrepend: 3,
		Communities: []v1beta1.CommunityReference{"no-export", "mine", "65000:1", "65535:65281", "large:2:0:0", "large:1:9:9", "big"},
	}}
	aliases := CommunityAliases{"mine": {Standard: 65000<<16 | 7}, "big": {IsLarge: true, Large: routes.LargeCommunity{Global: 2}}}
	ad, err := ParseBGPAdvertisement(object, aliases)
	if err != nil {
		t.Fatal(err)
	}
	for value, selectors := range map[string][]eligibility.Selector{"pool": ad.PoolSelectors, "node": ad.NodeSelectors} {
		if len(selectors) != 1 || !selectors[0](map[string]string{"of": value}) || selectors[0](map[string]string{"of": "other"}) {
			t.Errorf("the selector of=%s selects wrongly", value)
		}
	}
	ad.PoolSelectors, ad.NodeSelectors = nil, nil
	want := routes.Advertisement{Scope: eligibility.Scope{Name: "edge", Pools: []lb.PoolName{"gold"}}, Peers: []bgp.PeerName{"tor-b", "tor-a"}, Length: 24, LengthV6: 64, Attributes: routes.Attributes{
		LocalPref: routes.OptionalNumber{Value: 200, Set: true}, MED: routes.OptionalNumber{Set: true}, Prepend: 3,
		Communities: []routes.Community{65000<<16 | 1, 65000<<16 | 7, 0xFFFFFF01},
		Large:       []routes.LargeCommunity{{Global: 1, Local1: 9, Local2: 9}, {Global: 2}},
	}}
	if diff := cmp.Diff(want, ad); diff != "" {
		t.Errorf("read wrongly (-want +got):\n%s", diff)
	}
}

func TestAnEmptyBGPAdvertisementHasTheDefaults(t *testing.T) {
	ad, err := ParseBGPAdvertisement(&v1beta1.BGPAdvertisement{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(routes.Advertisement{Length: 32, LengthV6: 128}, ad); diff != "" {
		t.Errorf("read wrongly (-want +got):\n%s", diff)
	}
}

func TestInvalidFieldOfABGPAdvertisementIsNamed(t *testing.T) {
	broken := []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}}
	fine := []metav1.LabelSelector{labelled("a", "b")}
	tests := []struct {
		name         string
		spec         v1beta1.BGPAdvertisementSpec
		reason, want string
	}{
		{"a selector of pools", v1beta1.BGPAdvertisementSpec{IPAddressPoolSelectors: broken}, v1beta1.ReasonInvalidSelector, `spec.ipAddressPoolSelectors[0]: "Like" is not a valid label selector operator`},
		{"a selector of nodes", v1beta1.BGPAdvertisementSpec{NodeSelectors: slices.Concat(fine, broken)}, v1beta1.ReasonInvalidSelector, `spec.nodeSelectors[1]: "Like" is not a valid label selector operator`},
		{"a selector of Services", v1beta1.BGPAdvertisementSpec{ServiceSelectors: broken}, v1beta1.ReasonInvalidSelector, `spec.serviceSelectors[0]: "Like" is not a valid label selector operator`},
		{"Services of an aggregate", v1beta1.BGPAdvertisementSpec{ServiceSelectors: fine, AggregationLengthV6: 64}, v1beta1.ReasonInvalidAdvertisement,
			"spec.aggregationLengthV6: must be 128 if serviceSelectors or namespaceSelectors are set, since a shorter prefix also contains addresses of other Services"},
		{"too long a prefix", v1beta1.BGPAdvertisementSpec{AggregationLength: 33}, v1beta1.ReasonInvalidAdvertisement, "spec.aggregationLength: 33 is not a length from 1 to 32"},
		{"a negative prefix", v1beta1.BGPAdvertisementSpec{AggregationLengthV6: -1}, v1beta1.ReasonInvalidAdvertisement, "spec.aggregationLengthV6: -1 is not a length from 1 to 128"},
		{"too large a preference", v1beta1.BGPAdvertisementSpec{LocalPref: new(int64(1 << 32))}, v1beta1.ReasonInvalidAdvertisement, "spec.localPref: 4294967296 is not a number from 0 to 4294967295"},
		{"a negative MED", v1beta1.BGPAdvertisementSpec{MED: new(int64(-1))}, v1beta1.ReasonInvalidAdvertisement, "spec.med: -1 is not a number from 0 to 4294967295"},
		{"too long a path", v1beta1.BGPAdvertisementSpec{ASPathPrepend: 11}, v1beta1.ReasonInvalidAdvertisement, "spec.asPathPrepend: 11 is not a number from 0 to 10"},
		{"a name that nobody gave", v1beta1.BGPAdvertisementSpec{Communities: []v1beta1.CommunityReference{"1:1", "transit"}}, v1beta1.ReasonUnknownCommunity,
			`spec.communities[1]: "transit" is neither a name in a Community nor a well-known community`},
		{"half a community", v1beta1.BGPAdvertisementSpec{Communities: []v1beta1.CommunityReference{"1:"}}, v1beta1.ReasonInvalidCommunity,
			`spec.communities[0]: "1:" is not a community: "" is not a number from 0 to 65535`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ad, err := ParseBGPAdvertisement(&v1beta1.BGPAdvertisement{Spec: tt.spec}, CommunityAliases{})
			if err == nil || err.Error() != tt.want || err.Reason != tt.reason {
				t.Errorf("got %+v, %v; want %s: %s", ad, err, tt.reason, tt.want)
			}
		})
	}
}

func TestBGPAdvertisementScope(t *testing.T) {
	rack := func(operator metav1.LabelSelectorOperator) []metav1.LabelSelector {
		return []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: operator}}}}
	}
	everything := [2]bool{true, true}
	for name, tt := range map[string]struct {
		edit func(*v1beta1.BGPAdvertisementSpec)
		want [2]bool // is about the pool "other", and about a node without the label rack
	}{
		"valid":                        {func(*v1beta1.BGPAdvertisementSpec) {}, [2]bool{}},
		"unknown community":            {func(s *v1beta1.BGPAdvertisementSpec) { s.Communities = []v1beta1.CommunityReference{"nosuch"} }, everything},
		"length that is none":          {func(s *v1beta1.BGPAdvertisementSpec) { s.AggregationLength = 33 }, everything},
		"node selector that is none":   {func(s *v1beta1.BGPAdvertisementSpec) { s.NodeSelectors = rack("Like") }, everything},
		"selector of every other node": {func(s *v1beta1.BGPAdvertisementSpec) { s.NodeSelectors = rack(metav1.LabelSelectorOpDoesNotExist) }, [2]bool{false, true}},
	} {
		object := &v1beta1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "ad"}, Spec: v1beta1.BGPAdvertisementSpec{
			IPAddressPools: []v1beta1.ObjectName{"first"}, NodeSelectors: rack(metav1.LabelSelectorOpExists),
		}}
		tt.edit(&object.Spec)
		scope := BGPAdvertisementScope(object, CommunityAliases{})
		if got := [2]bool{scope.CoversPool("other", &eligibility.Pool{Name: "other"}), scope.CoversNode(nil)}; got != tt.want {
			t.Errorf("%s: is about another pool, and another node: got %v, want %v", name, got, tt.want)
		}
	}
}
