package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestFieldsOfAPoolAreRefusedWithASentence(t *testing.T) {
	c := administrator(t)
	type spec = v1beta1.IPAddressPoolSpec
	tests := []struct {
		name string
		edit func(*spec)
		want string // part of the refusal; empty: it is accepted
	}{
		{name: "excluded addresses of all forms are accepted", edit: excluding("10.0.0.0/28", "10.0.1.1-10.0.1.9", "10.0.2.1", "2001:db8::/120")},
		{name: "an excluded word is refused", edit: excluding("banana"), want: "must be a CIDR such as"},
		{name: "an excluded range of two families is refused", edit: excluding("10.0.0.1-2001:db8::1"), want: "must be of the same family"},
		{name: "an excluded address twice is refused", edit: excluding("10.0.0.1", "10.0.0.1"), want: "Duplicate value"},
		{name: "129 excluded addresses are refused", edit: func(s *spec) {
			for i := range 129 {
				s.ExcludeAddresses = append(s.ExcludeAddresses, v1beta1.AddressRange(fmt.Sprintf("10.0.0.%d", i)))
			}
		}, want: "must have at most 128 items"},
		{name: "an unknown state is refused", edit: func(s *spec) { s.State = "Paused" }, want: `supported values: "Active", "Draining"`},
		{name: "an unknown scope is refused", edit: func(s *spec) { s.SharingScope = "World" }, want: `supported values: "Namespace", "Cluster"`},
		{name: "an unknown policy is refused", edit: func(s *spec) { s.OutsidePoolPolicy = "Ask" }, want: `supported values: "Keep", "Evict"`},
		{name: "an unknown reclaim policy is refused", edit: func(s *spec) { s.Reclaim = &v1beta1.PoolReclaim{Policy: "Burn"} }, want: `supported values: "Release", "Retain"`},
		{name: "a negative time is refused", edit: retaining(-1), want: "should be greater than or equal to 0"},
		{name: "more than a year is refused", edit: retaining(31536001), want: "should be less than or equal to 31536000"},
		{name: "a year is accepted", edit: retaining(31536000)},
		{name: "to retain addresses without a quota is refused", edit: func(s *spec) { s.Reclaim = &v1beta1.PoolReclaim{Policy: v1beta1.ReclaimRetain} }, want: "reclaim.policy Retain needs quota.maxAddressesPerNamespace"},
		{name: "a quota of 0 is none", edit: func(s *spec) {
			retaining(0)(s)
			s.Quota.MaxAddressesPerNamespace = 0
		}, want: "reclaim.policy Retain needs quota.maxAddressesPerNamespace"},
		{name: "33 addresses of a Service are refused", edit: func(s *spec) { s.MaxAddressesPerService = 33 }, want: "should be less than or equal to 32"},
		{name: "a negative quota is refused", edit: func(s *spec) { s.Quota = &v1beta1.PoolQuota{MaxAddressesPerNamespace: -1} }, want: "should be greater than or equal to 0"},
		{name: "a negative priority is refused", edit: allocation(v1beta1.ServiceAllocation{Priority: -1}), want: "should be greater than or equal to 0"},
		{name: "a namespace twice is refused", edit: allocation(v1beta1.ServiceAllocation{Namespaces: []v1beta1.ObjectName{"a", "a"}}), want: "Duplicate value"},
		{name: "a namespace that cannot exist is refused", edit: allocation(v1beta1.ServiceAllocation{Namespaces: []v1beta1.ObjectName{"No Name"}}), want: "spec.serviceAllocation.namespaces[0]"},
		{name: "33 selectors are refused", edit: allocation(v1beta1.ServiceAllocation{ServiceSelectors: make([]metav1.LabelSelector, 33)}), want: "must have at most 32 items"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec{Addresses: []v1beta1.AddressRange{"10.0.0.0/24"}}}
			tt.edit(&pool.Spec)
			accepts(t, c.Create(context.Background(), pool, client.DryRunAll), tt.want)
		})
	}
}

func TestFieldsOfAClaimAreRefusedWithASentence(t *testing.T) {
	c := administrator(t)
	type spec = v1beta1.IPAddressClaimSpec
	holding := func(h ...v1beta1.ClaimHolder) func(*spec) { return func(s *spec) { s.Holders = h } }
	web := v1beta1.ClaimHolder{Namespace: "default", Name: "web"}
	tests := []struct {
		name string
		edit func(*spec)
		want string
	}{
		{name: "a holder without a UID is accepted", edit: holding(web)},
		{name: "a holder with ports is accepted", edit: holding(v1beta1.ClaimHolder{Namespace: "default", Name: "web", Ports: []string{"80/TCP", "53/UDP"}})},
		{name: "a holder twice is refused", edit: holding(web, web), want: "Duplicate value"},
		{name: "a holder without a name is refused", edit: holding(v1beta1.ClaimHolder{Namespace: "default"}), want: "spec.holders[0].name"},
		{name: "a port that is none is refused", edit: holding(v1beta1.ClaimHolder{Namespace: "default", Name: "web", Ports: []string{"http"}}), want: "spec.holders[0].ports[0]"},
		{name: "an unknown state is refused", edit: func(s *spec) { s.State = "Lost" }, want: `supported values: "Reserved", "InUse", "Retained"`},
		{name: "a claim without a pool is refused", edit: func(s *spec) { s.Pool = "" }, want: "spec.pool"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claim := claimOf("10.55.0.1", nil)
			tt.edit(&claim.Spec)
			accepts(t, c.Create(context.Background(), claim, client.DryRunAll), tt.want)
		})
	}
}

func TestDefaultsOfAPoolAreWrittenDown(t *testing.T) {
	b := newBed(t)
	pool := b.poolWith("pool", "10.9.0.1", func(s *v1beta1.IPAddressPoolSpec) { s.Reclaim = &v1beta1.PoolReclaim{} })
	s := pool.Spec
	if s.AutoAssign == nil || !*s.AutoAssign || s.State != v1beta1.PoolActive || s.SharingScope != v1beta1.SharingInNamespace ||
		s.OutsidePoolPolicy != v1beta1.KeepOutsidePool || s.MaxAddressesPerService != 1 || s.Reclaim.Policy != v1beta1.ReclaimRelease {
		t.Errorf("got %+v, want true, Active, Namespace, Keep, 1, Release", s)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"addresses":[]}}`))
	accepts(t, b.Patch(context.Background(), pool, patch), "spec.addresses")
}

func accepts(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v, want it accepted", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want a refusal with %q", err, want)
	}
}
