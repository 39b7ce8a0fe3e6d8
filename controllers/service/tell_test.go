package service

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
)

// recorder remembers events as: type reason note.
type recorder struct{ list []string }

func (r *recorder) Eventf(_, _ runtime.Object, kind, reason, action, format string, args ...any) {
	r.list = append(r.list, fmt.Sprintf("%s %s %s: %s", kind, reason, action, fmt.Sprintf(format, args...)))
}

func TestReportEvents(t *testing.T) {
	mine, gone := holding("10.0.0.1", "auto", web), holding("10.0.0.2", "auto", web)
	refusal := &ipam.Refusal{Reason: ipam.ReasonUnknownPool, Message: "no such pool (100% sure)"}
	with := func(conditions ...metav1.Condition) *corev1.Service {
		svc := service()
		svc.Status.Conditions = conditions
		return svc
	}
	same := func(d serviceDecision) metav1.Condition { return allocatedCondition(service(), d) }
	old := same(kept(gone))
	partly, passed, losing := kept(mine), kept(mine), kept(mine)
	partly.Missing = &ipam.Refusal{Reason: ipam.ReasonPoolExhausted, Message: "no IPv6"}
	passed.PassedPools = []ipam.PoolResult{{Pool: "a", Why: `"a" is draining`}, {Pool: "b", Why: `"b" is full`}}
	losing.Lost = []ipam.OutsideHolding{{Holding: gone, Why: "it is excluded"}, {Holding: holding("10.0.0.3", "auto", web), Why: "it conflicts"}}
	losing.taken = []string{"lbstack removed 10.0.0.9 from the status of the Service, since the address belongs to the Service default/other"}
	annotated := with(same(kept(mine)))
	metav1.SetMetaDataAnnotation(&annotated.ObjectMeta, "lbstack.io/loadBalancerIPs", "10.0.0.7")
	misspelt := with()
	metav1.SetMetaDataAnnotation(&misspelt.ObjectMeta, "lbstack.io/loadBalancerIPs", "10.0.0.7")
	overwritten := kept(mine)
	overwritten.overwriter, overwritten.restoredFrom = "the field manager", "the field manager"
	fled := kept(mine)
	fled.Fled = []ipam.OutsideHolding{{Holding: gone, Why: "a foreign host with the MAC m uses the address"}}
	tests := []struct {
		name string
		svc  *corev1.Service
		d    serviceDecision
		want []string
	}{
		{name: "that it left an address to a foreign host, and for which", svc: with(same(kept(gone))), d: fled, want: []string{
			`Warning AddressConflict AllocateAddress: the Service gave up 10.0.0.2 of the pool "auto", since a foreign host with the MAC m uses the address. The Service has 10.0.0.1 now. Remove 10.0.0.2 from that host, or add the address to spec.excludeAddresses of the pool`,
			`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"`,
		}},
		{name: "nothing of a new Service that gets what it asks for", svc: with(), d: kept(mine)},
		{name: "an address that it waited for", svc: with(same(refused(refusal))), d: kept(mine), want: []string{`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"`}},
		{name: "an annotation of a new Service that is unknown", svc: misspelt, d: kept(mine), want: []string{
			`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"; the annotation "lbstack.io/loadBalancerIPs" is unknown and has no effect: rename it, perhaps to "lbstack.io/load-balancer-ips", or remove it`,
		}},
		{name: "which pools were passed", svc: with(), d: passed, want: []string{`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"; pools tried before: "a" is draining; "b" is full`}},
		{name: "nothing, if nothing changed", svc: with(same(kept(mine))), d: kept(mine)},
		{name: "nothing, if the pools that were passed changed alone", svc: with(same(kept(mine))), d: passed},
		{name: "another address", svc: with(old), d: kept(mine), want: []string{`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"`}},
		{name: "one of two families", svc: with(same(kept(mine))), d: partly, want: []string{`Normal PartlyAllocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"; the Service prefers addresses of both families, but no IPv6`}},
		{name: "a refusal, as it is written", svc: with(old), d: refused(refusal), want: []string{`Warning UnknownPool AllocateAddress: no such pool (100% sure)`}},
		{name: "a refusal has no second event", svc: with(same(refused(refusal))), d: refused(refusal)},
		{name: "a refusal for another reason is", svc: with(same(refused(&ipam.Refusal{Reason: ipam.ReasonNoPool, Message: refusal.Message}))), d: refused(refusal), want: []string{`Warning UnknownPool AllocateAddress: no such pool (100% sure)`}},
		{name: "a condition of another does not count", svc: with(metav1.Condition{Type: "example.com/Other", Reason: old.Reason, Message: same(kept(mine)).Message}), d: passed,
			want: []string{`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"; pools tried before: "a" is draining; "b" is full`}},
		{name: "an annotation that is unknown, once", svc: annotated, d: kept(mine), want: []string{
			`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"; the annotation "lbstack.io/loadBalancerIPs" is unknown and has no effect: rename it, perhaps to "lbstack.io/load-balancer-ips", or remove it`,
		}},
		{name: "another writer, when the status is restored", svc: with(same(kept(mine))), d: overwritten, want: []string{`Warning StatusOverwritten AllocateAddress: ` + overwrittenMessage("the field manager")}},
		{name: "nothing, if another writer has given up", svc: with(same(overwritten)), d: kept(mine)},
		{name: "each loss by itself, before what there is now", svc: with(same(kept(gone))), d: losing, want: []string{
			`Warning AddressLost AllocateAddress: the Service lost 10.0.0.2 of the pool "auto": it is excluded`,
			`Warning AddressLost AllocateAddress: the Service lost 10.0.0.3 of the pool "auto": it conflicts`,
			`Warning AddressLost AllocateAddress: lbstack removed 10.0.0.9 from the status of the Service, since the address belongs to the Service default/other`,
			`Normal Allocated AllocateAddress: the Service has 10.0.0.1 from the pool "auto"`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			recorded := &recorder{}
			(&Reconciler{Events: recorded}).sendEvents(tt.svc, tt.d)
			if diff := cmp.Diff(tt.want, recorded.list); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotesOfEventsAreBounded(t *testing.T) {
	long := strings.Repeat("long ", 1000)
	passed, losing := kept(holding("10.0.0.1", "auto", web)), refused(&ipam.Refusal{Reason: v1beta1.ReasonInvalidRequest, Message: long})
	passed.PassedPools = []ipam.PoolResult{{Why: long}}
	losing.Lost = []ipam.OutsideHolding{{Holding: holding("10.0.0.1", "auto", web), Why: long}}
	losing.taken = []string{long}
	for _, d := range []serviceDecision{passed, losing} {
		recorded := &recorder{}
		(&Reconciler{Events: recorded}).sendEvents(service(), d)
		for _, e := range recorded.list {
			if _, note, _ := strings.Cut(e, ": "); len(note) > 1024 {
				t.Errorf("got a note of %d bytes, want 1024 at most", len(note))
			}
		}
	}
}
