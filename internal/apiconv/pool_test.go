package apiconv

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func ranges(t *testing.T, list ...string) []lb.Range {
	t.Helper()
	parsed := []lb.Range{}
	for _, s := range list {
		r, err := ParseRange(s)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, r)
	}
	return parsed
}

func TestParsePool(t *testing.T) {
	no, yes := false, true
	type spec = v1beta1.IPAddressPoolSpec
	listed := ranges(t, "10.0.0.0/24")
	tests := []struct {
		name string
		spec spec
		want ipam.Pool
	}{
		{name: "a plain pool gives to everybody", want: ipam.Pool{AutoAssign: true}},
		{name: "autoAssign: true", spec: spec{AutoAssign: &yes}, want: ipam.Pool{AutoAssign: true}},
		{name: "autoAssign can be false", spec: spec{AutoAssign: &no}},
		{name: "avoidBuggyIPs", spec: spec{AvoidBuggyIPs: true}, want: ipam.Pool{AutoAssign: true, AvoidBuggy: true}},
		{name: "state Active", spec: spec{State: v1beta1.PoolActive}, want: ipam.Pool{AutoAssign: true}},
		{name: "state Draining", spec: spec{State: v1beta1.PoolDraining}, want: ipam.Pool{AutoAssign: true, Draining: true}},
		{name: "outsidePoolPolicy Keep", spec: spec{OutsidePoolPolicy: v1beta1.KeepOutsidePool}, want: ipam.Pool{AutoAssign: true}},
		{name: "outsidePoolPolicy Evict", spec: spec{OutsidePoolPolicy: v1beta1.EvictOutsidePool}, want: ipam.Pool{AutoAssign: true, Evict: true}},
		{name: "sharingScope Namespace", spec: spec{SharingScope: v1beta1.SharingInNamespace}, want: ipam.Pool{AutoAssign: true}},
		{name: "sharingScope Cluster", spec: spec{SharingScope: v1beta1.SharingInCluster}, want: ipam.Pool{AutoAssign: true, ShareAcrossNamespaces: true}},
		{name: "a quota without a number is no bound", spec: spec{Quota: &v1beta1.PoolQuota{}}, want: ipam.Pool{AutoAssign: true}},
		{name: "a quota", spec: spec{Quota: &v1beta1.PoolQuota{MaxAddressesPerNamespace: 3}}, want: ipam.Pool{AutoAssign: true, MaxPerNamespace: 3}},
		{name: "addresses of a Service", spec: spec{MaxAddressesPerService: 4}, want: ipam.Pool{AutoAssign: true, MaxPerService: 4}},
		{name: "excludeAddresses", spec: spec{ExcludeAddresses: []v1beta1.AddressRange{"10.0.0.1", "10.0.0.8-10.0.0.9"}},
			want: ipam.Pool{AutoAssign: true, Excluded: ranges(t, "10.0.0.1", "10.0.0.8-10.0.0.9")}},
		{name: "serviceAllocation without anything is for all, and goes first", spec: spec{ServiceAllocation: &v1beta1.ServiceAllocation{}},
			want: ipam.Pool{AutoAssign: true, Selection: &ipam.Selection{}}},
		{name: "serviceAllocation by priority and namespace", spec: spec{ServiceAllocation: &v1beta1.ServiceAllocation{Priority: 7, Namespaces: []v1beta1.ObjectName{"a", "b"}}},
			want: ipam.Pool{AutoAssign: true, Selection: &ipam.Selection{Priority: 7, Namespaces: []string{"a", "b"}}}},
		{name: "reclaim is not the allocator's", spec: spec{Reclaim: &v1beta1.PoolReclaim{Policy: v1beta1.ReclaimRetain}}, want: ipam.Pool{AutoAssign: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Addresses = []v1beta1.AddressRange{"10.0.0.0/24"}
			tt.want.Name, tt.want.Listed = "p", listed
			if tt.want.MaxPerService == 0 {
				tt.want.MaxPerService = 1
			}
			if tt.want.Excluded == nil {
				tt.want.Excluded = []lb.Range{}
			}
			got, err := ParsePool(&v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: tt.spec})
			if err != nil {
				t.Fatalf("ParsePool: %v", err)
			}
			if diff := cmp.Diff(tt.want, got, byValue); diff != "" {
				t.Errorf("pool (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddressesOfAPoolAreInTheirOrder(t *testing.T) {
	spec := v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.1.0/30", "2001:db8::/64", "10.0.0.7"}}
	got, err := ParsePool(&v1beta1.IPAddressPool{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ranges(t, "10.0.1.0/30", "2001:db8::/64", "10.0.0.7"), got.Listed, byValue); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

// in selects labels whose key has the value.
func in(key, value string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}}}}
}

func TestSelectorsOfAPoolMatchAsKubernetesDoes(t *testing.T) {
	got, err := ParsePool(&v1beta1.IPAddressPool{Spec: v1beta1.IPAddressPoolSpec{ServiceAllocation: &v1beta1.ServiceAllocation{
		NamespaceSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"team": "a"}}, in("team", "b")},
		ServiceSelectors:   []metav1.LabelSelector{in("tier", "front"), {}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	type set = map[string]string
	tests := []struct {
		name   string
		which  ipam.Matcher
		labels set
		want   bool
	}{
		{"a label", got.Selection.NamespaceSelectors[0], set{"team": "a", "x": "y"}, true},
		{"another value", got.Selection.NamespaceSelectors[0], set{"team": "b"}, false},
		{"no labels", got.Selection.NamespaceSelectors[0], nil, false},
		{"an expression", got.Selection.NamespaceSelectors[1], set{"team": "b"}, true},
		{"of Services", got.Selection.ServiceSelectors[0], set{"tier": "front"}, true},
		{"of Services, not of namespaces", got.Selection.ServiceSelectors[0], set{"team": "a"}, false},
		{"an empty one matches all", got.Selection.ServiceSelectors[1], nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.which.Matches(tt.labels); got != tt.want {
				t.Errorf("matches %v: got %v, want %v", tt.labels, got, tt.want)
			}
		})
	}
}

func TestInvalidPoolNamesFieldAndReason(t *testing.T) {
	allocation := func(a v1beta1.ServiceAllocation) v1beta1.IPAddressPoolSpec {
		return v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.0.1"}, ServiceAllocation: &a}
	}
	bad := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like", Values: []string{"a"}}}}
	good := in("team", "a")
	tests := []struct {
		name   string
		spec   v1beta1.IPAddressPoolSpec
		reason string
		want   string
	}{
		{name: "an address", spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.0.1", "web"}},
			reason: v1beta1.ReasonInvalidAddresses, want: `spec.addresses[1]: "web" is not an IP address`},
		{name: "a range that runs backwards", spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.0.9-10.0.0.1"}},
			reason: v1beta1.ReasonInvalidAddresses, want: `spec.addresses[0]: 10.0.0.9-10.0.0.1: the first address is after the last one`},
		{name: "an excluded address", spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.0.0.1"}, ExcludeAddresses: []v1beta1.AddressRange{"10.0.0.1", "10.0.0.2", "10.0.0.0/99"}},
			reason: v1beta1.ReasonInvalidAddresses, want: `spec.excludeAddresses[2]: "10.0.0.0/99" is not a CIDR`},
		{name: "a selector of namespaces", spec: allocation(v1beta1.ServiceAllocation{NamespaceSelectors: []metav1.LabelSelector{good, bad}}),
			reason: v1beta1.ReasonInvalidSelector, want: `spec.serviceAllocation.namespaceSelectors[1]: "Like" is not a valid label selector operator`},
		{name: "a selector of Services", spec: allocation(v1beta1.ServiceAllocation{ServiceSelectors: []metav1.LabelSelector{bad}}),
			reason: v1beta1.ReasonInvalidSelector, want: `spec.serviceAllocation.serviceSelectors[0]: "Like" is not a valid label selector operator`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.State = v1beta1.PoolDraining
			got, err := ParsePool(&v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: tt.spec})
			if err == nil {
				t.Fatalf("got %+v, want the error %s", got, tt.want)
			}
			if err.Reason != tt.reason || err.Error() != tt.want {
				t.Errorf("got %s: %s\nwant %s: %s", err.Reason, err, tt.reason, tt.want)
			}
			if inner := errors.Unwrap(err); inner == nil || inner.Error() != tt.want {
				t.Errorf("what is wrapped: got %v, want %s", inner, tt.want)
			}
			if got.Name != "p" || !got.AutoAssign || !got.Draining || got.Unusable != tt.want {
				t.Errorf("got %+v, want the pool p, draining, with the reason why it is unusable", got)
			}
		})
	}
}

// A pool whose selectors or excludes are wrong goes on to own its addresses, so
// that a younger pool does not take them over for the time being.
func TestInvalidPoolStillOwnsItsAddresses(t *testing.T) {
	bad := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like"}}}
	tests := []struct {
		name string
		spec v1beta1.IPAddressPoolSpec
	}{
		{name: "when a selector is wrong", spec: v1beta1.IPAddressPoolSpec{ServiceAllocation: &v1beta1.ServiceAllocation{ServiceSelectors: []metav1.LabelSelector{bad}}}},
		{name: "when excludeAddresses is wrong", spec: v1beta1.IPAddressPoolSpec{ExcludeAddresses: []v1beta1.AddressRange{"10.0.0.9-10.0.0.1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Addresses = []v1beta1.AddressRange{"10.0.0.0/24"}
			got, err := ParsePool(&v1beta1.IPAddressPool{Spec: tt.spec})
			if err == nil {
				t.Fatal("got no error, want one")
			}
			if diff := cmp.Diff(ranges(t, "10.0.0.0/24"), got.Listed, byValue); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
		})
	}
}
