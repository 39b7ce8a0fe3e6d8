package claim

import (
	"net/netip"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// viewWith returns allocations with the pool p, and foreign hosts on addresses of the pool.
func viewWith(hosts map[string]bool) *allocations.View {
	var taken []ipam.TakenRange
	for address, inUse := range hosts {
		a := netip.MustParseAddr(address)
		taken = append(taken, ipam.TakenRange{Range: lb.Range{First: a, Last: a}, By: "a foreign host with the MAC m", Remedy: "turn it off", Foreign: true, InUse: inUse})
	}
	pools := []ipam.Pool{{Name: "p", AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("10.0.0.0/28"))}}}
	ipam.Resolve(pools, taken)
	l := allocations.New()
	l.Load(pools, nil)
	return l
}

// made is a claim that the controller made.
func made(c *v1beta1.IPAddressClaim) *v1beta1.IPAddressClaim {
	c.Labels = map[string]string{v1beta1.LabelManagedBy: v1beta1.ManagedByController}
	return c
}

// conditions returns the conditions of a claim as type=reason.
func conditions(c *v1beta1.IPAddressClaim) string {
	var words []string
	for _, x := range c.Status.Conditions {
		words = append(words, x.Type+"="+x.Reason)
	}
	return strings.Join(words, " ")
}

func TestClaims_ReportForeignHosts(t *testing.T) {
	alone := &Reconciler{Allocations: viewWith(nil)}
	visited := &Reconciler{Allocations: viewWith(map[string]bool{at: false})}
	tests := []struct {
		name  string
		by    *Reconciler
		claim *v1beta1.IPAddressClaim
		want  string
	}{
		{"a claim of the controller has no condition", alone, made(claim(at, "a")), ""},
		{"a claim of the controller reports the host", visited, made(claim(at, "a")), "Conflict=ForeignHost"},
		{"the condition ends when the host has left", alone, visited.desiredClaim(made(claim(at, "a"))), ""},
		{"a claim of an administrator reports its state", alone, claim(at), "Ready=Reserves"},
		{"and of the host", visited, claim(at), "Ready=Reserves Conflict=ForeignHost"},
		{"and when that is gone how it stands", alone, visited.desiredClaim(claim(at)), "Ready=Reserves"},
		{"a host on another address is nothing to it", visited, claim("10.0.0.2"), "Ready=Reserves"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.by.desiredClaim(tt.claim)
			if conditions(got) != tt.want {
				t.Errorf("conditions: got %q, want %q", conditions(got), tt.want)
			}
			if tt.want == "" && got.Status.ObservedGeneration != 0 {
				t.Errorf("status: got %+v, want none", got.Status)
			}
			if diff := cmp.Diff(got, tt.by.desiredClaim(got)); diff != "" {
				t.Errorf("a second look changes it (-first +second):\n%s", diff)
			}
		})
	}
}

func TestClaims_ReportWhetherTheAddressIsAnnounced(t *testing.T) {
	for inUse, want := range map[bool]string{
		false: "a foreign host with the MAC m uses 10.0.0.1. The address is not announced: turn it off",
		true:  "a foreign host with the MAC m also uses 10.0.0.1. The address stays announced, since a Service used it before; traffic can reach that host or the Service: turn it off",
	} {
		got := (&Reconciler{Allocations: viewWith(map[string]bool{at: inUse})}).desiredClaim(claim(at, "a"))
		if c := meta.FindStatusCondition(got.Status.Conditions, v1beta1.ConditionConflict); c == nil || c.Message != want {
			t.Errorf("in use %v: got %+v\nwant %s", inUse, c, want)
		}
	}
}

func TestClaims_ThatAreReconciled(t *testing.T) {
	alone := &Reconciler{Allocations: viewWith(nil)}
	visited := &Reconciler{Allocations: viewWith(map[string]bool{at: false})}
	for name, tt := range map[string]struct {
		by    *Reconciler
		claim *v1beta1.IPAddressClaim
		want  bool
	}{
		"the controller's own":                       {alone, made(claim(at, "a")), false},
		"the controller's own, where a host is":      {visited, made(claim(at, "a")), true},
		"the controller's own, where it was":         {alone, visited.desiredClaim(made(claim(at, "a"))), true},
		"an administrator's":                         {alone, claim(at, "a"), true},
		"the controller's own without a holder":      {alone, made(claim(at)), true},
		"the controller's own, of another's address": {visited, made(claim("10.0.0.2", "a")), false},
	} {
		if got := tt.by.needsStatus(tt.claim); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
