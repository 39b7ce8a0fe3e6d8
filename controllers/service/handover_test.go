package service

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestAddressThatAnotherServiceShowsIsTakenUpLater(t *testing.T) {
	type list = []ipam.Holding
	const at = "10.0.0.1"
	old, handed := holding("10.0.0.3", "auto", web), holding(at, "auto", web)
	lost := kept(handed)
	lost.Drop, lost.Lost = list{old}, []ipam.OutsideHolding{{Holding: old, Why: "it conflicts"}}
	replaced := kept(handed)
	replaced.Drop = list{old}
	tests := []struct {
		name       string
		svc        *corev1.Service
		d          serviceDecision
		leaves     lb.ServiceKey
		keep, drop list
		waits      bool
	}{
		{name: "nobody shows it", svc: service(), d: replaced, keep: list{handed}, drop: list{old}},
		{name: "the Service itself shows it", svc: service(), d: kept(handed), leaves: web, keep: list{handed}},
		{name: "another shows it, and the Service too", svc: shows(service(), at), d: kept(handed), leaves: other, keep: list{handed}},
		{name: "another shows it", svc: service(), d: kept(handed), leaves: other, waits: true},
		{name: "another shows it, and the Service keeps what it has so long", svc: shows(service(), "10.0.0.3"), d: replaced, leaves: other, keep: list{old}, waits: true},
		{name: "another shows it, and the Service may not keep what it has", svc: shows(service(), "10.0.0.3"), d: lost, leaves: other, waits: true},
		{name: "another shows one of two", svc: service(), d: kept(holding("10.0.0.0", "auto", web), handed), leaves: other, keep: list{holding("10.0.0.0", "auto", web)}, waits: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := filled(t, handed)
			if tt.leaves != (lb.ServiceKey{}) {
				l.RecordReadStatus(tt.leaves, []netip.Addr{addr(at)})
			}
			got := tt.d.dropUntilFree(l, tt.svc)
			if diff := cmp.Diff(tt.keep, got.Keep, byAddr); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.drop, got.Drop, byAddr); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
			if got.handOver != tt.waits {
				t.Errorf("waits: got %v, want %v", got.handOver, tt.waits)
			}
			if !tt.waits {
				return
			}
			want := "the Service gets 10.0.0.1 when the address is no longer in the status of the Service default/other"
			if got.Refusal == nil || got.Refusal.Message != want {
				t.Errorf("refusal: got %v, want %s", got.Refusal, want)
			}
		})
	}
}

// An administrator lets two Services swap their addresses: if each waited for the
// other to write first, both would wait for ever.
func TestTwoServicesThatSwapTheirAddressesBothGetThere(t *testing.T) {
	one, two := "10.0.0.1", "10.0.0.2"
	l := filled(t, holding(one, "auto", web), holding(two, "auto", other))
	l.RecordClaim(recorded(holding(one, "auto", web)), recorded(holding(one, "auto", other)))
	l.RecordClaim(recorded(holding(two, "auto", other)), recorded(holding(two, "auto", web)))
	first, second := showing(service(), given(one)), showing(service(), given(two))
	second.Name = other.Name

	round := func(svc *corev1.Service) (next *corev1.Service) {
		d := decideService(l, svc, nil).dropUntilFree(l, svc)
		next = desiredService(svc, d)
		l.RecordWrittenStatus(apiconv.KeyOf(svc), apiconv.StatusAddresses(next))
		return next
	}
	for range 3 {
		first = round(first)
		if x, y := first.Status.LoadBalancer.Ingress, second.Status.LoadBalancer.Ingress; len(x) > 0 && len(y) > 0 && x[0].IP == y[0].IP {
			t.Fatalf("both show %s", x[0].IP)
		}
		second = round(second)
		if x, y := first.Status.LoadBalancer.Ingress, second.Status.LoadBalancer.Ingress; len(x) > 0 && len(y) > 0 && x[0].IP == y[0].IP {
			t.Fatalf("both show %s", x[0].IP)
		}
	}
	if diff := cmp.Diff([]corev1.LoadBalancerIngress{given(two)}, first.Status.LoadBalancer.Ingress); diff != "" {
		t.Errorf("the first one shows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.LoadBalancerIngress{given(one)}, second.Status.LoadBalancer.Ingress); diff != "" {
		t.Errorf("the second one shows (-want +got):\n%s", diff)
	}
}

// A Service that was moved here from another load balancer waits, and shows what it
// had there. When a pool with this address is added, the Service gets this address.
func TestAServiceThatWaitsGetsTheAddressThatItShowsWhenAPoolComesThatHasIt(t *testing.T) {
	l := allocations.New()
	svc := shows(service(), "10.0.1.2")
	if d := decideService(l, svc, nil); d.Refusal == nil {
		t.Fatalf("without pools: got %v, want a refusal", d.Keep)
	}
	pools := pools3()
	pools[1].AutoAssign = true
	l.SetPools(pools)
	want := []ipam.Holding{holding("10.0.1.2", "manual", web)}
	if diff := cmp.Diff(want, decideService(l, svc, nil).Keep, byAddr); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}
