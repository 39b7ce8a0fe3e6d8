package pool

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestStatus(t *testing.T) {
	long := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	ready := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonPoolReady, Message: "fine"}
	overlap := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonOverlap, Message: "it overlaps"}
	invalid := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonInvalidAddresses, Message: "no address"}
	other := metav1.Condition{Type: "Other", Status: metav1.ConditionTrue, Reason: "Mine", LastTransitionTime: long}
	v64 := new(big.Int).Lsh(big.NewInt(1), 64)
	tests := []struct {
		name   string
		before v1beta1.IPAddressPoolStatus
		says   metav1.Condition
		usage  map[lb.Family]ipam.Usage
		want   v1beta1.IPAddressPoolStatus
		turned bool
	}{
		{name: "a new pool says that it is ready, and counts", says: ready, turned: true,
			usage: map[lb.Family]ipam.Usage{lb.IPv4: {Total: big.NewInt(11), Used: 3}},
			want:  v1beta1.IPAddressPoolStatus{IPv4: &v1beta1.AddressUsage{Total: "11", Used: 3, Free: "8"}, Conditions: []metav1.Condition{ready}}},
		{name: "the families are counted apart, also beyond 64 bits", says: ready, turned: true,
			usage: map[lb.Family]ipam.Usage{lb.IPv4: {Total: big.NewInt(2), Used: 2}, lb.IPv6: {Total: v64, Used: 1}},
			want: v1beta1.IPAddressPoolStatus{
				IPv4:       &v1beta1.AddressUsage{Total: "2", Used: 2, Free: "0"},
				IPv6:       &v1beta1.AddressUsage{Total: "18446744073709551616", Used: 1, Free: "18446744073709551615"},
				Conditions: []metav1.Condition{ready}}},
		{name: "a family that the pool no longer has is not counted", says: ready, turned: true,
			before: v1beta1.IPAddressPoolStatus{IPv4: &v1beta1.AddressUsage{Total: "1"}, IPv6: &v1beta1.AddressUsage{Total: "1"}},
			want:   v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{ready}}},
		{name: "a pool that stays as it is keeps its time", says: ready, before: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{other, ready}},
			want: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{other, ready}}},
		{name: "a pool that gives nothing any more says why, and since when", says: overlap, turned: true, before: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{ready, other}},
			want: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{overlap, other}}},
		{name: "another reason for the same is not another time", says: invalid, before: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{overlap}},
			want: v1beta1.IPAddressPoolStatus{Conditions: []metav1.Condition{invalid}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.before.Conditions {
				tt.before.Conditions[i].LastTransitionTime = long
			}
			object := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 4}, Status: tt.before}
			passed := object.DeepCopy()
			got := status(object, Verdict{Reason: tt.says.Reason, Message: tt.says.Message}, tt.usage)

			if diff := cmp.Diff(passed, object); diff != "" {
				t.Errorf("the pool that was passed has changed (-before +after):\n%s", diff)
			}
			tt.want.ObservedGeneration = 4
			for i := range tt.want.Conditions {
				c := &tt.want.Conditions[i]
				if c.Type != v1beta1.ConditionReady {
					continue
				}
				c.ObservedGeneration = 4
				if turned := !got.Conditions[i].LastTransitionTime.Equal(&long); turned != tt.turned {
					t.Errorf("the condition has a new transition time: got %v, want %v", turned, tt.turned)
				}
				c.LastTransitionTime = got.Conditions[i].LastTransitionTime
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			again := status(&v1beta1.IPAddressPool{ObjectMeta: object.ObjectMeta, Status: got}, Verdict{Reason: tt.says.Reason, Message: tt.says.Message}, tt.usage)
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("looked at again, so that there is something to write (-before +after):\n%s", diff)
			}
		})
	}
}
