package pool

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/validity"
)

type usage = map[lb.Family]ipam.Usage

func counts(total, used int64) ipam.Usage { return ipam.Usage{Total: big.NewInt(total), Used: used} }

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// object returns a pool of this age in hours.
func object(name string, age int, addresses ...v1beta1.AddressRange) v1beta1.IPAddressPool {
	return v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 4, CreationTimestamp: metav1.NewTime(start.Add(-time.Duration(age) * time.Hour))},
		Spec:       v1beta1.IPAddressPoolSpec{Addresses: addresses},
	}
}

// edited returns the pool with another spec.
func edited(p v1beta1.IPAddressPool, edit func(*v1beta1.IPAddressPoolSpec)) v1beta1.IPAddressPool {
	edit(&p.Spec)
	return p
}

var ready = validity.PoolResult{Reason: v1beta1.ReasonPoolReady, Message: "fine"}

// conditionText returns a condition of a status as: status reason message.
func conditionText(s v1beta1.IPAddressPoolStatus, kind string) string {
	c := meta.FindStatusCondition(s.Conditions, kind)
	if c == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

func TestCounts(t *testing.T) {
	v64, v128 := new(big.Int).Lsh(big.NewInt(1), 64), new(big.Int).Lsh(big.NewInt(1), 128)
	tests := []struct {
		name   string
		before v1beta1.IPAddressPoolStatus
		usage  usage
		v4, v6 *v1beta1.AddressUsage
	}{
		{name: "one family", usage: usage{lb.IPv4: counts(11, 3)}, v4: &v1beta1.AddressUsage{Total: "11", Used: 3, Free: "8"}},
		{name: "both apart, also beyond 64 bits", usage: usage{lb.IPv4: counts(2, 2), lb.IPv6: {Total: v64, Used: 1}},
			v4: &v1beta1.AddressUsage{Total: "2", Used: 2, Free: "0"}, v6: &v1beta1.AddressUsage{Total: "18446744073709551616", Used: 1, Free: "18446744073709551615"}},
		{name: "all of IPv6", usage: usage{lb.IPv6: {Total: v128}}, v6: &v1beta1.AddressUsage{Total: "340282366920938463463374607431768211456", Free: "340282366920938463463374607431768211456"}},
		{name: "a family that the pool no longer has", before: v1beta1.IPAddressPoolStatus{IPv4: &v1beta1.AddressUsage{Total: "1"}, IPv6: &v1beta1.AddressUsage{Total: "1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := object("p", 1)
			p.Status = tt.before
			got := desiredStatus(&p, ready, ipam.PoolState{Usage: tt.usage, Held: 7})
			if diff := cmp.Diff(tt.v4, got.IPv4); diff != "" {
				t.Errorf("IPv4 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.v6, got.IPv6); diff != "" {
				t.Errorf("IPv6 (-want +got):\n%s", diff)
			}
			if got.Claims != 7 || got.ObservedGeneration != 4 {
				t.Errorf("got %d claims and the generation %d, want 7 and 4", got.Claims, got.ObservedGeneration)
			}
		})
	}
}

func TestHowFullAPoolIs(t *testing.T) {
	const free = "False AddressesFree: there are free addresses"
	const nothing = "False NothingToGive: the pool gives no addresses at all: see the condition Ready"
	const remedy = ": add addresses to spec.addresses, or delete Services that have an address of the pool (kubectl get lbip lists them)"
	none := func(f string) string { return "True NoneFree: every " + f + " address of the pool is in use" + remedy }
	few := func(f string) string {
		return "True FewFree: at most one in ten " + f + " addresses is free" + remedy
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 127)
	tests := []struct {
		name         string
		usage        usage
		none, nearly string
	}{
		{name: "a pool without addresses is not full, and has none free", none: nothing, nearly: nothing},
		{name: "a pool that gives none is not full, and has none free", usage: usage{lb.IPv4: counts(0, 0), lb.IPv6: counts(0, 0)}, none: nothing, nearly: nothing},
		{name: "a pool that gives none of one family", usage: usage{lb.IPv4: counts(0, 0), lb.IPv6: counts(4, 0)}, none: free, nearly: free},
		{name: "a pool of one address that is free", usage: usage{lb.IPv4: counts(1, 0)}, none: free, nearly: free},
		{name: "a pool of one address that is in use", usage: usage{lb.IPv4: counts(1, 1)}, none: none("IPv4"), nearly: few("IPv4")},
		{name: "one of nine is free", usage: usage{lb.IPv4: counts(9, 8)}, none: free, nearly: free},
		{name: "one of ten is free", usage: usage{lb.IPv4: counts(10, 9)}, none: free, nearly: few("IPv4")},
		{name: "two of nineteen are free", usage: usage{lb.IPv4: counts(19, 17)}, none: free, nearly: free},
		{name: "two of twenty are free", usage: usage{lb.IPv4: counts(20, 18)}, none: free, nearly: few("IPv4")},
		{name: "one family is full, of the other most are free", usage: usage{lb.IPv4: counts(4, 4), lb.IPv6: {Total: huge, Used: 1 << 40}}, none: none("IPv4"), nearly: few("IPv4")},
		{name: "one is full and the other nearly", usage: usage{lb.IPv4: counts(10, 9), lb.IPv6: counts(4, 4)}, none: none("IPv6"), nearly: few("IPv4 and IPv6")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := object("p", 1)
			got := desiredStatus(&p, ready, ipam.PoolState{Usage: tt.usage})
			if got := conditionText(got, v1beta1.ConditionExhausted); got != tt.none {
				t.Errorf("Exhausted: got %s\nwant %s", got, tt.none)
			}
			if got := conditionText(got, v1beta1.ConditionNearlyExhausted); got != tt.nearly {
				t.Errorf("NearlyExhausted: got %s\nwant %s", got, tt.nearly)
			}
		})
	}
}

// conflicts returns n conflicts with names of the greatest length.
func conflicts(n int) (list []ipam.Conflict) {
	for i := range n {
		r, _ := apiconv.ParseRange(fmt.Sprintf("2001:db8:1111:2222:3333:4444:5555:%x-2001:db8:1111:2222:3333:4444:5555:ffff", i))
		list = append(list, ipam.Conflict{Range: r, With: fmt.Sprintf("the pods of the node %q", strings.Repeat("n", 253))})
	}
	return list
}

func TestPoolStatus(t *testing.T) {
	keep := func(n int) (list []ipam.OutsideHolding) {
		for i := range n {
			list = append(list, ipam.OutsideHolding{Holding: ipam.Holding{Address: conflicts(1)[0].Range.Last, Service: lb.ServiceKey{Namespace: "n", Name: fmt.Sprint(i)}}, Why: "it is excluded"})
		}
		return list
	}
	one := conflicts(1)
	one[0].With = "x"
	tests := []struct {
		name   string
		result validity.PoolResult
		state  ipam.PoolState
		want   map[string]string
		impact int
	}{
		{name: "all is well", result: ready, want: map[string]string{
			"Ready": "True PoolReady: fine", "Conflict": "False NoConflict: no address of the pool is known to belong to something else",
			"AddressesOutsidePool": "False NoneOutside: no Service has an address that the pool no longer gives"}},
		{name: "a pool that drains is ready", result: validity.PoolResult{Reason: v1beta1.ReasonDraining, Message: "drains"}, want: map[string]string{"Ready": "True Draining: drains"}},
		{name: "a pool that is wrong is not", result: validity.PoolResult{Reason: v1beta1.ReasonInvalidAddresses, Message: "wrong"}, want: map[string]string{"Ready": "False InvalidAddresses: wrong"}},
		{name: "a conflict", result: validity.PoolResult{Reason: v1beta1.ReasonPoolReady, Conflicts: one}, want: map[string]string{
			"Ready":    "True PoolReady: ",
			"Conflict": "True Overlap: " + one[0].Range.String() + " belongs to x: the pool gives no address that belongs to something else; correct spec.addresses, or add these addresses to spec.excludeAddresses"}},
		{name: "addresses that no host can have are reported and no conflict", result: validity.PoolResult{Reason: v1beta1.ReasonPoolReady, Conflicts: []ipam.Conflict{{Range: one[0].Range, With: "the subnet", As: "the broadcast address"}}}, want: map[string]string{
			"Conflict": "False SubnetAddresses: " + one[0].Range.String() + " is the broadcast address of the subnet: no host can have such an address, and no Service gets one"}},
		{name: "addresses outside", result: ready, state: ipam.PoolState{OutsidePool: keep(64)}, impact: 64, want: map[string]string{
			"AddressesOutsidePool": "True Kept: the pool no longer gives 64 addresses that Services have: each Service keeps its address until the Service requests another one or is deleted: see status.impact, or set spec.outsidePoolPolicy to Evict to take the addresses away"}},
		{name: "more addresses outside than the message can name", result: ready, state: ipam.PoolState{OutsidePool: keep(65)}, impact: 64, want: map[string]string{
			"AddressesOutsidePool": "True Kept: the pool no longer gives 65 addresses that Services have: each Service keeps its address until the Service requests another one or is deleted: see status.impact, or set spec.outsidePoolPolicy to Evict to take the addresses away"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := object("p", 1)
			got := desiredStatus(&p, tt.result, tt.state)
			for kind, want := range tt.want {
				if got := conditionText(got, kind); got != want {
					t.Errorf("%s: got %s\nwant %s", kind, got, want)
				}
			}
			if len(got.Impact) != tt.impact {
				t.Errorf("impact: got %d, want %d", len(got.Impact), tt.impact)
			}
			if want := (v1beta1.PoolImpact{Namespace: "n", Name: "0", Address: "2001:db8:1111:2222:3333:4444:5555:ffff", Why: "it is excluded"}); tt.impact > 0 && got.Impact[0] != want {
				t.Errorf("impact: got %+v, want %+v", got.Impact[0], want)
			}
		})
	}
}

func TestUnchangedStatusHasTheSameBytes(t *testing.T) {
	since := metav1.NewTime(start)
	other := metav1.Condition{Type: "Other", Status: metav1.ConditionTrue, Reason: "Mine", LastTransitionTime: since}
	p := object("p", 1)
	p.Status.Conditions = []metav1.Condition{other, {Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: "x", LastTransitionTime: since}}
	before := p.DeepCopy()
	result := validity.PoolResult{Reason: v1beta1.ReasonPoolReady, Message: "fine", Conflicts: conflicts(9)}
	state := ipam.PoolState{Usage: usage{lb.IPv4: counts(9, 9), lb.IPv6: counts(1, 0)}, Held: 3, OutsidePool: []ipam.OutsideHolding{{Why: "x"}}}
	first := desiredStatus(&p, result, state)
	if diff := cmp.Diff(before, &p); diff != "" {
		t.Errorf("the pool that was passed has changed (-before +after):\n%s", diff)
	}
	if got := meta.FindStatusCondition(first.Conditions, v1beta1.ConditionReady); !got.LastTransitionTime.Equal(&since) || got.ObservedGeneration != 4 {
		t.Errorf("Ready: got %+v, want the time at which it became True, and the generation 4", got)
	}
	if diff := cmp.Diff(other, first.Conditions[0]); diff != "" {
		t.Errorf("a condition of another (-want +got):\n%s", diff)
	}
	p.Status = first
	x, _ := json.Marshal(first)
	y, _ := json.Marshal(desiredStatus(&p, result, state))
	if diff := cmp.Diff(string(x), string(y)); diff != "" {
		t.Errorf("computed again (-first +second):\n%s", diff)
	}
	turned := desiredStatus(&p, validity.PoolResult{Reason: v1beta1.ReasonNothingToGive}, state)
	if got := meta.FindStatusCondition(turned.Conditions, v1beta1.ConditionReady); got.LastTransitionTime.Equal(&since) {
		t.Errorf("Ready, after it became False: got %+v, want another time", got)
	}
}

func TestTheMessagesOfAPoolFitIntoAStatus(t *testing.T) {
	p := object("p", 1)
	got := desiredStatus(&p, validity.PoolResult{Reason: v1beta1.ReasonPoolReady, Conflicts: conflicts(5000)}, ipam.PoolState{})
	for _, c := range got.Conditions {
		if len(c.Message) > 32768 {
			t.Errorf("%s: got a message of %d bytes, want what the API server takes", c.Type, len(c.Message))
		}
	}
	if got := conditionText(got, v1beta1.ConditionConflict); !strings.Contains(got, "and 4992 more: ") {
		t.Errorf("Conflict: got %s\nwant it to count the rest", got)
	}
	values := make([]string, 4000)
	for i := range values {
		values[i] = strings.Repeat("v", 63)
	}
	wrong := edited(object("p", 1, "10.0.0.1"), func(s *v1beta1.IPAddressPoolSpec) {
		exists := metav1.LabelSelectorRequirement{Key: "team", Operator: metav1.LabelSelectorOpExists, Values: values}
		s.ServiceAllocation = &v1beta1.ServiceAllocation{ServiceSelectors: []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{exists}}}}
	})
	_, results := validity.Pools([]v1beta1.IPAddressPool{wrong}, nil)
	if got := conditionText(desiredStatus(&wrong, results["p"], ipam.PoolState{}), v1beta1.ConditionReady); len(got) > 32768 || !strings.HasPrefix(got, "False ") {
		t.Errorf("Ready: got %d bytes that begin with %.40s, want what the API server takes, and that the pool is not", len(got), got)
	}
}

func TestList(t *testing.T) {
	conflicts := func(n int) (list []ipam.Conflict) {
		for i := range n {
			r, _ := apiconv.ParseRange(fmt.Sprintf("10.0.0.%d", i))
			list = append(list, ipam.Conflict{Range: r, With: "x"})
		}
		return list
	}
	tests := []struct {
		name string
		n    int
		want string
	}{
		{"nothing", 0, ""},
		{"two", 2, "10.0.0.0 belongs to x; 10.0.0.1 belongs to x"},
		{"as many as are listed", 8, "10.0.0.0 belongs to x; 10.0.0.1 belongs to x; 10.0.0.2 belongs to x; 10.0.0.3 belongs to x; 10.0.0.4 belongs to x; 10.0.0.5 belongs to x; 10.0.0.6 belongs to x; 10.0.0.7 belongs to x"},
		{"one more than that", 9, "10.0.0.0 belongs to x; 10.0.0.1 belongs to x; 10.0.0.2 belongs to x; 10.0.0.3 belongs to x; 10.0.0.4 belongs to x; 10.0.0.5 belongs to x; 10.0.0.6 belongs to x; 10.0.0.7 belongs to x; and 1 more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := joinItems(conflicts(tt.n)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}
