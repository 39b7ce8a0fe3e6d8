package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestClaimFor(t *testing.T) {
	port := []lb.Port{{Protocol: "TCP", Number: 80}}
	tests := []struct {
		name, address, claim string
		terms                lb.Sharing
		holder               v1beta1.ClaimHolder
	}{
		{name: "an IPv4 address is the name as it is", address: "10.0.0.1", claim: "10.0.0.1", holder: v1beta1.ClaimHolder{Namespace: "default", Name: "web", UID: "uid-web"}},
		{name: "an IPv6 address is in full in the name, and short in the spec", address: "2001:db8::1", claim: "2001-0db8-0000-0000-0000-0000-0000-0001", holder: v1beta1.ClaimHolder{Namespace: "default", Name: "web", UID: "uid-web"}},
		{name: "terms of sharing stand in it", address: "10.0.0.1", claim: "10.0.0.1", terms: lb.Sharing{Key: "k", Traffic: "app=web", Ports: port},
			holder: v1beta1.ClaimHolder{Namespace: "default", Name: "web", UID: "uid-web", Ports: []string{"80/TCP"}, TrafficPolicy: "app=web"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := holding(tt.address, "auto", web)
			got := newClaim(h, apiconv.ClaimHolderOf(service(), tt.terms), tt.terms)
			want := &v1beta1.IPAddressClaim{
				ObjectMeta: metav1.ObjectMeta{Name: tt.claim, Labels: map[string]string{"app.kubernetes.io/managed-by": "lbstack-controller"}},
				Spec:       v1beta1.IPAddressClaimSpec{Address: tt.address, Pool: "auto", State: v1beta1.ClaimInUse, SharingKey: tt.terms.Key, Holders: []v1beta1.ClaimHolder{tt.holder}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
			c, err := parseClaim(got)
			if err != nil {
				t.Fatal(err)
			}
			l := allocations.New()
			l.Load(nil, []allocations.ClaimContent{c})
			if diff := cmp.Diff([]ipam.Holding{h}, has(l, web), byAddr); diff != "" {
				t.Errorf("what a restart reads from the claim (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.terms, l.SharingTerms(h.Address, web)); diff != "" {
				t.Errorf("on what terms (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClaimWith(t *testing.T) {
	const at = "10.0.0.1"
	until := metav1.Now()
	me := v1beta1.ClaimHolder{Namespace: "default", Name: "web", UID: "uid-web", Ports: []string{"80/TCP"}}
	before := v1beta1.ClaimHolder{Namespace: "default", Name: "web"}
	they := v1beta1.ClaimHolder{Namespace: "default", Name: "other", UID: "uid-other", Ports: []string{"81/TCP"}}
	type holders = []v1beta1.ClaimHolder
	spec := func(state v1beta1.ClaimState, key string, list holders) v1beta1.IPAddressClaimSpec {
		return v1beta1.IPAddressClaimSpec{Address: at, Pool: "auto", State: state, SharingKey: key, Holders: list}
	}
	retained := spec(v1beta1.ClaimRetained, "", holders{before})
	retained.RetainUntil = &until
	moved := spec(v1beta1.ClaimInUse, "k", holders{me})
	moved.Pool = "gone"
	joined, stays := spec(v1beta1.ClaimInUse, "k", holders{they, me}), spec(v1beta1.ClaimInUse, "k", holders{me, they})
	joined.Others, stays.Others = "default/web", "default/other"
	handed := spec(v1beta1.ClaimInUse, "k", holders{before})
	handed.Others = "default/gone"
	tests := []struct {
		name       string
		have, want v1beta1.IPAddressClaimSpec
	}{
		{name: "as it is", have: spec(v1beta1.ClaimInUse, "k", holders{me}), want: spec(v1beta1.ClaimInUse, "k", holders{me})},
		{name: "a reservation is taken up", have: spec(v1beta1.ClaimReserved, "", holders{before}), want: spec(v1beta1.ClaimInUse, "k", holders{me})},
		{name: "what was retained is taken up, and does not run out", have: retained, want: spec(v1beta1.ClaimInUse, "k", holders{me})},
		{name: "who shares joins at the end", have: spec(v1beta1.ClaimInUse, "k", holders{they}), want: joined},
		{name: "who is there keeps its place", have: spec(v1beta1.ClaimInUse, "k", holders{before, they}), want: stays},
		{name: "others that somebody took out are named no more", have: handed, want: spec(v1beta1.ClaimInUse, "k", holders{me})},
		{name: "the pool follows its new name", have: moved, want: spec(v1beta1.ClaimInUse, "k", holders{me})},
		{name: "a new key replaces the old one", have: spec(v1beta1.ClaimInUse, "old", holders{me}), want: spec(v1beta1.ClaimInUse, "k", holders{me})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: at, ResourceVersion: "7", Labels: map[string]string{"a": "b"}}, Spec: tt.have}
			passed := have.DeepCopy()
			got := claimWithHolder(have, holding(at, "auto", web), me, lb.Sharing{Key: "k"})
			want := passed.DeepCopy()
			want.Spec = tt.want
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(passed, have); diff != "" {
				t.Errorf("the claim that was passed has changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestClaimedBy(t *testing.T) {
	shared := taken(claim("10.0.0.1", "10.0.0.1", web, other))
	shared.Spec.SharingKey = "k"
	shared.Spec.Holders[0].Ports, shared.Spec.Holders[0].TrafficPolicy = []string{"443/TCP", "80/TCP"}, "app=web"
	shared.Spec.Holders[1].Ports = []string{"nonsense"}
	tests := []struct {
		name  string
		claim *v1beta1.IPAddressClaim
		want  allocations.ClaimContent
		fail  bool
	}{
		{name: "a reservation", claim: claim("10.0.0.1", "10.0.0.1"), want: allocations.ClaimContent{Address: addr("10.0.0.1"), Pool: "auto"}},
		{name: "an address that is kept for a Service, which has no UID", claim: claim("10.0.0.1", "10.0.0.1", web),
			want: allocations.ClaimContent{Address: addr("10.0.0.1"), Pool: "auto", Holders: []allocations.Holder{{Service: web, Reserved: true}}}},
		{name: "an address that a Service has", claim: taken(claim("2001-0db8-0000-0000-0000-0000-0000-0001", "2001:db8::1", web)),
			want: allocations.ClaimContent{Address: addr("2001:db8::1"), Pool: "auto", Holders: []allocations.Holder{{Service: web}}}},
		{name: "an address that two share; a Service with invalid ports shares with none", claim: shared,
			want: allocations.ClaimContent{Address: addr("10.0.0.1"), Pool: "auto", Holders: []allocations.Holder{
				{Service: web, Terms: lb.Sharing{Key: "k", Traffic: "app=web", Ports: []lb.Port{{Protocol: "TCP", Number: 80}, {Protocol: "TCP", Number: 443}}}},
				{Service: other},
			}}},
		{name: "a claim whose name is of another address claims nothing", claim: claim("10.0.0.1", "10.0.0.2", web), fail: true},
		{name: "a claim without an address claims nothing", claim: claim("10.0.0.1", "", web), fail: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseClaim(tt.claim)
			if (err != nil) != tt.fail {
				t.Errorf("error: got %v, want one: %v", err, tt.fail)
			}
			if diff := cmp.Diff(tt.want, got, byAddr); diff != "" {
				t.Errorf("claimed (-want +got):\n%s", diff)
			}
		})
	}
}
