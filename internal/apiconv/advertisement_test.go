package apiconv

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func labelled(key, value string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func TestParseAdvertisementReadsAllFields(t *testing.T) {
	object := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "rack"}, Spec: v1beta1.L2AdvertisementSpec{
		IPAddressPools:         []v1beta1.ObjectName{"gold"},
		IPAddressPoolSelectors: []metav1.LabelSelector{labelled("of", "pool")},
		NodeSelectors:          []metav1.LabelSelector{labelled("of", "node"), labelled("of", "rack")},
		ServiceSelectors:       []metav1.LabelSelector{labelled("of", "service")},
		PreferredNodeSelectors: []v1beta1.PreferredNodeSelector{{Weight: 7, Preference: labelled("of", "choice")}},
		RequireSubnet:          true,
		Interfaces:             []v1beta1.InterfaceName{"eth1", "eth0"},
	}}
	ad, err := ParseAdvertisement(object)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"eth1", "eth0"}, ad.Interfaces); diff != "" || ad.Name != "rack" || !ad.RequireSubnet || !slices.Equal(ad.Pools, []lb.PoolName{"gold"}) {
		t.Errorf("got %+v, want the fields of %+v", ad, object.Spec)
	}
	if len(ad.PoolSelectors) != 1 || len(ad.NodeSelectors) != 2 || len(ad.ServiceSelectors) != 1 || len(ad.Preferred) != 1 || ad.Preferred[0].Weight != 7 {
		t.Fatalf("got %+v, want the selectors of %+v", ad, object.Spec)
	}
	for value, selects := range map[string]func(map[string]string) bool{
		"pool": ad.PoolSelectors[0], "node": ad.NodeSelectors[0], "rack": ad.NodeSelectors[1], "service": ad.ServiceSelectors[0], "choice": ad.Preferred[0].Selector,
	} {
		if !selects(map[string]string{"of": value}) || selects(map[string]string{"of": "other"}) {
			t.Errorf("the selector of=%s selects wrongly", value)
		}
	}
}

func TestInvalidSelectorIsNamed(t *testing.T) {
	broken := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}
	fine := labelled("a", "b")
	tests := []struct {
		name string
		spec v1beta1.L2AdvertisementSpec
		want string
	}{
		{"of pools", v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: []metav1.LabelSelector{broken}}, "spec.ipAddressPoolSelectors[0]: "},
		{"of nodes", v1beta1.L2AdvertisementSpec{NodeSelectors: []metav1.LabelSelector{fine, broken}}, "spec.nodeSelectors[1]: "},
		{"of namespaces", v1beta1.L2AdvertisementSpec{NamespaceSelectors: []metav1.LabelSelector{broken}}, "spec.namespaceSelectors[0]: "},
		{"of Services", v1beta1.L2AdvertisementSpec{ServiceSelectors: []metav1.LabelSelector{broken}}, "spec.serviceSelectors[0]: "},
		{"of preferred nodes", v1beta1.L2AdvertisementSpec{PreferredNodeSelectors: []v1beta1.PreferredNodeSelector{{Weight: 1, Preference: broken}}}, "spec.preferredNodeSelectors[0]: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseAdvertisement(&v1beta1.L2Advertisement{Spec: tt.spec}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got the error %v, want one that begins with %q", err, tt.want)
			}
		})
	}
}

func FuzzParseAdvertisement(f *testing.F) {
	f.Add("zone", "a", "In")
	f.Add("", "a b", "Exists")
	f.Add("a/b/c", "", "Like")
	f.Fuzz(func(t *testing.T, key, value, operator string) {
		selector := metav1.LabelSelector{
			MatchLabels:      map[string]string{key: value},
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: []string{value}}},
		}
		ad, err := ParseAdvertisement(&v1beta1.L2Advertisement{Spec: v1beta1.L2AdvertisementSpec{NodeSelectors: []metav1.LabelSelector{selector}}})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "spec.nodeSelectors[0]: ") {
				t.Errorf("got the error %v, want one that names the field", err)
			}
			return
		}
		if ad.NodeSelectors[0](map[string]string{}) {
			t.Errorf("key %q, value %q, operator %q: a node without labels is selected", key, value, operator)
		}
	})
}
