package claim

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

const at = "10.0.0.1"

func key(name string) lb.ServiceKey { return lb.ServiceKey{Namespace: "n", Name: name} }

func keys(names ...string) (list []lb.ServiceKey) {
	for _, name := range names {
		list = append(list, key(name))
	}
	return list
}

func claim(address string, holders ...string) *v1beta1.IPAddressClaim {
	c := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: address, Generation: 4}, Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: "p"}}
	for _, h := range holders {
		c.Spec.Holders = append(c.Spec.Holders, v1beta1.ClaimHolder{Namespace: "n", Name: h})
	}
	return c
}

func TestJudge(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	tests := []struct {
		name    string
		facts   claimFacts
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		{name: "it keeps the address for nobody", facts: claimFacts{pool: "p"}, status: yes, reason: v1beta1.ReasonClaimReserves,
			message: "the address is reserved, and no Service may have it: to give it to a Service, name the Service in spec.holders"},
		{name: "it keeps it for a Service", facts: claimFacts{pool: "p", holders: keys("a"), reserved: keys("a")}, status: yes, reason: v1beta1.ReasonClaimReserves,
			message: "the address is reserved for the Service n/a, which does not use it yet"},
		{name: "a Service has it", facts: claimFacts{pool: "p", holders: keys("a")}, status: yes, reason: v1beta1.ReasonClaimInUse, message: "the address is in use by the Service n/a"},
		{name: "a Service has it, of a pool that is gone", facts: claimFacts{holders: keys("a")}, status: no, reason: v1beta1.ReasonClaimOutsidePools,
			message: "no pool gives 10.0.0.1 any more, and the address is still in use by the Service n/a: add the address to a pool, or let the Service request another address"},
		{name: "it names a pool that is not the address's", facts: claimFacts{pool: "q"}, status: no, reason: v1beta1.ReasonClaimWrongPool,
			message: `10.0.0.1 is an address of the pool "q", but spec.pool is "p": the address stays reserved: correct spec.pool`},
		{name: "two have it", facts: claimFacts{pool: "p", holders: keys("a", "b")}, status: yes, reason: v1beta1.ReasonClaimInUse, message: "the address is in use by the Service n/a and the Service n/b"},
		{name: "one has it and it is kept for another", facts: claimFacts{pool: "p", holders: keys("a", "b"), reserved: keys("b")}, status: yes, reason: v1beta1.ReasonClaimInUse, message: "the address is in use by the Service n/a and the Service n/b"},
		{name: "no pool gives it", status: no, reason: v1beta1.ReasonClaimOutsidePools,
			message: "no pool gives 10.0.0.1, so the claim reserves nothing: add the address to a pool, or delete the claim"},
		{name: "no pool gives an address that is reserved for a Service", facts: claimFacts{holders: keys("a"), reserved: keys("a")}, status: no, reason: v1beta1.ReasonClaimOutsidePools,
			message: "no pool gives 10.0.0.1, so the claim reserves nothing: add the address to a pool, or delete the claim"},
		{name: "one of two cannot have it", facts: claimFacts{pool: "p", holders: keys("a"), refused: keys("b")}, status: no, reason: v1beta1.ReasonClaimHolderRefused,
			message: "the Service n/b cannot have the address together with the Service n/a: remove one of these Services from spec.holders, or let the Services share the address (annotation lbstack.io/allow-shared-ip)"},
		{name: "one of two that it is kept for cannot have it", facts: claimFacts{pool: "p", holders: keys("a"), reserved: keys("a"), refused: keys("b")}, status: no, reason: v1beta1.ReasonClaimHolderRefused,
			message: "the Service n/b cannot have the address together with the Service n/a: remove one of these Services from spec.holders, or let the Services share the address (annotation lbstack.io/allow-shared-ip)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := metav1.Condition{Type: v1beta1.ConditionReady, Status: tt.status, Reason: tt.reason, Message: tt.message, ObservedGeneration: 4}
			if diff := cmp.Diff(want, readyCondition(claim(at), tt.facts)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheMessageFitsIntoAStatus(t *testing.T) {
	var many []lb.ServiceKey
	for i := range 256 {
		many = append(many, lb.ServiceKey{Namespace: strings.Repeat("n", 63), Name: fmt.Sprintf("%0253d", i)})
	}
	for name, f := range map[string]claimFacts{
		"of many that have it":          {pool: "p", holders: many},
		"of many that it is kept for":   {pool: "p", holders: many, reserved: many},
		"of many that cannot have it":   {pool: "p", holders: many[:1], refused: many[1:]},
		"of one that cannot join many":  {pool: "p", holders: many[1:], refused: many[:1]},
		"of many that cannot join many": {pool: "p", holders: many[:128], refused: many[128:]},
	} {
		t.Run(name, func(t *testing.T) {
			c := readyCondition(claim(at), f)
			if got := len(c.Message); got > 32768 {
				t.Errorf("got %d bytes, want what the API server takes", got)
			}
		})
	}
}

func TestGather(t *testing.T) {
	observed := func(l *allocations.View, holders ...allocations.Holder) {
		l.RecordClaim(allocations.ClaimContent{}, allocations.ClaimContent{Address: netip.MustParseAddr(at), Pool: "p", Holders: holders})
	}
	tests := []struct {
		name  string
		fill  func(*allocations.View)
		claim *v1beta1.IPAddressClaim
		want  claimFacts
	}{
		{name: "a reservation", fill: func(l *allocations.View) { observed(l) }, claim: claim(at), want: claimFacts{pool: "p"}},
		{name: "one that the view does not know yet", fill: func(*allocations.View) {}, claim: claim(at, "a"), want: claimFacts{pool: "p"}},
		{name: "one outside of the pools", fill: func(*allocations.View) {}, claim: claim("192.0.2.1")},
		{name: "one that is kept", fill: func(l *allocations.View) { observed(l, allocations.Holder{Service: key("a"), Reserved: true}) }, claim: claim(at, "a"), want: claimFacts{pool: "p", holders: keys("a"), reserved: keys("a")}},
		{name: "one that is taken up", fill: func(l *allocations.View) { observed(l, allocations.Holder{Service: key("a")}) }, claim: claim(at, "a"), want: claimFacts{pool: "p", holders: keys("a")}},
		{name: "one of whose holders one cannot have it", fill: func(l *allocations.View) {
			observed(l, allocations.Holder{Service: key("a")}, allocations.Holder{Service: key("b")})
		},
			claim: claim(at, "a", "b"), want: claimFacts{pool: "p", holders: keys("a"), refused: keys("b")}},
		{name: "what else the holders have does not count", fill: func(l *allocations.View) {
			observed(l, allocations.Holder{Service: key("a")})
			two := netip.MustParseAddr("10.0.0.2")
			l.RecordClaim(allocations.ClaimContent{}, allocations.ClaimContent{Address: two, Holders: []allocations.Holder{{Service: key("c")}, {Service: key("a")}}})
			l.RecordClaim(allocations.ClaimContent{}, allocations.ClaimContent{Address: netip.MustParseAddr("10.0.0.3"), Holders: []allocations.Holder{{Service: key("a"), Reserved: true}}})
		}, claim: claim(at, "a"), want: claimFacts{pool: "p", holders: keys("a")}},
		{name: "one whose name is not its address", fill: func(*allocations.View) {}, claim: &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: v1beta1.IPAddressClaimSpec{Address: at}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := allocations.New()
			pools := []ipam.Pool{{Name: "p", AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/30"))}}}
			ipam.Resolve(pools, nil)
			l.Load(pools, nil)
			tt.fill(l)
			got := (&Reconciler{Allocations: l}).gatherFacts(tt.claim)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(claimFacts{})); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// The claim of a Service has the condition only while no pool gives the address.
func TestClaim_ReportsThatNoPoolGivesItsAddress(t *testing.T) {
	pools := func(cidr string) []ipam.Pool {
		list := []ipam.Pool{{Name: "p", AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix(cidr))}}}
		ipam.Resolve(list, nil)
		return list
	}
	l := allocations.New()
	l.Load(pools("10.0.0.0/30"), []allocations.ClaimContent{{Address: netip.MustParseAddr(at), Pool: "p", Holders: []allocations.Holder{{Service: key("a")}}}})
	r := &Reconciler{Allocations: l}
	c := claim(at, "a")
	c.Labels = map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController}
	if r.needsStatus(c) {
		t.Error("concerned: got true, want false for an address that its pool gives")
	}
	l.SetPools(pools("10.9.0.0/30"))
	if !r.needsStatus(c) {
		t.Fatal("concerned: got false, want true for an address that no pool gives")
	}
	c = r.desiredClaim(c)
	if n := len(c.Status.Conditions); n != 1 || c.Status.Conditions[0].Reason != v1beta1.ReasonClaimOutsidePools {
		t.Fatalf("conditions: got %v, want OutsidePools alone", c.Status.Conditions)
	}
	l.SetPools(pools("10.0.0.0/30"))
	if !r.needsStatus(c) {
		t.Fatal("concerned: got false, want true while the claim has the condition")
	}
	if c = r.desiredClaim(c); len(c.Status.Conditions) != 0 || r.needsStatus(c) {
		t.Errorf("conditions: got %v, want none", c.Status.Conditions)
	}
}

func TestByAdministrator(t *testing.T) {
	tests := []struct {
		name    string
		labels  map[string]string
		holders []v1beta1.ClaimHolder
		want    bool
	}{
		{name: "without labels", want: true},
		{name: "of another program", labels: map[string]string{"app.kubernetes.io/managed-by": "helm"}, want: true},
		{name: "of the controller", labels: map[string]string{"app.kubernetes.io/managed-by": "lbstack-controller"}, holders: []v1beta1.ClaimHolder{{Namespace: "n", Name: "web"}}},
		{name: "of the controller, but somebody took its holders away", labels: map[string]string{"app.kubernetes.io/managed-by": "lbstack-controller"}, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := claim(at)
			c.Labels, c.Spec.Holders = tt.labels, tt.holders
			if got := isAdministratorClaim(c); got != tt.want {
				t.Errorf("an administrator's: got %v, want %v", got, tt.want)
			}
		})
	}
}
