package service

import (
	"context"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// cluster is an API server that has claims, and one Service or none. It records the
// writes in order.
type cluster struct {
	client.Client
	claims map[string]*v1beta1.IPAddressClaim
	svc    *corev1.Service
	wrote  []string
}

// clusterOf returns a cluster with these claims.
func clusterOf(claims ...*v1beta1.IPAddressClaim) *cluster {
	c := &cluster{claims: map[string]*v1beta1.IPAddressClaim{}}
	for _, claim := range claims {
		c.claims[claim.Name] = claim.DeepCopy()
	}
	return c
}

func (c *cluster) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	switch object := object.(type) {
	case *v1beta1.IPAddressClaim:
		if have, ok := c.claims[key.Name]; ok {
			have.DeepCopyInto(object)
			return nil
		}
	case *corev1.Service:
		if c.svc != nil && c.svc.Name == key.Name {
			c.svc.DeepCopyInto(object)
			return nil
		}
	case *metav1.PartialObjectMetadata:
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (c *cluster) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	c.claims[object.GetName()] = object.(*v1beta1.IPAddressClaim).DeepCopy()
	c.wrote = append(c.wrote, "create "+object.GetName())
	return nil
}

func (c *cluster) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	c.claims[object.GetName()] = object.(*v1beta1.IPAddressClaim).DeepCopy()
	c.wrote = append(c.wrote, "update "+object.GetName())
	return nil
}

func (c *cluster) Delete(_ context.Context, object client.Object, _ ...client.DeleteOption) error {
	delete(c.claims, object.GetName())
	c.wrote = append(c.wrote, "delete "+object.GetName())
	return nil
}

func (c *cluster) Status() client.SubResourceWriter { return clusterStatus{c: c} }

type clusterStatus struct {
	client.SubResourceWriter
	c *cluster
}

func (s clusterStatus) Patch(_ context.Context, object client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
	object.SetResourceVersion(strconv.Itoa(len(s.c.wrote) + 1))
	s.c.svc = object.(*corev1.Service).DeepCopy()
	s.c.wrote = append(s.c.wrote, "status")
	return nil
}

// on returns a reconciler whose view has read the claims of the cluster.
func on(t *testing.T, c *cluster) *Reconciler {
	t.Helper()
	var claims []allocations.ClaimContent
	for _, claim := range c.claims {
		recorded, err := parseClaim(claim)
		if err != nil {
			t.Fatal(err)
		}
		claims = append(claims, recorded)
	}
	l := allocations.New()
	l.Load(pools3(), claims)
	return &Reconciler{
		Client: c, Reader: c, Events: &recorder{}, Allocations: l,
		Load: func(context.Context) error { return nil }, Now: func() time.Time { return start },
	}
}

func TestExpire(t *testing.T) {
	const at = "10.0.0.1"
	state := func(s v1beta1.ClaimState, until time.Duration, holders ...lb.ServiceKey) *v1beta1.IPAddressClaim {
		c := claim(at, at, holders...)
		c.Spec.State, c.Spec.SharingKey = s, "k"
		if until != 0 {
			then := metav1.NewTime(start.Add(until))
			c.Spec.RetainUntil = &then
		}
		return c
	}
	tests := []struct {
		name  string
		claim *v1beta1.IPAddressClaim
		wrote []string
		want  v1beta1.ClaimState
		next  time.Duration
	}{
		{name: "what is reserved stays", claim: state(v1beta1.ClaimReserved, 0, web), want: v1beta1.ClaimReserved},
		{name: "what is retained stays for some time", claim: state(v1beta1.ClaimRetained, time.Minute, web), want: v1beta1.ClaimRetained, next: time.Minute},
		{name: "what is retained for ever stays", claim: state(v1beta1.ClaimRetained, 0, web), want: v1beta1.ClaimRetained},
		{name: "what was retained long enough goes", claim: state(v1beta1.ClaimRetained, -time.Second, web), wrote: []string{"delete " + at}},
		{name: "a claim that has a holder which does not use it is reserved", claim: state(v1beta1.ClaimInUse, 0, web), wrote: []string{"update " + at}, want: v1beta1.ClaimReserved},
		{name: "what another has is in use", claim: state(v1beta1.ClaimInUse, 0, other, web), want: v1beta1.ClaimInUse},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := clusterOf(tt.claim)
			r := on(t, c)
			next, err := r.expireRetained(t.Context(), web)
			if err != nil || next != tt.next {
				t.Errorf("got %s, %v, want %s", next, err, tt.next)
			}
			if diff := cmp.Diff(tt.wrote, c.wrote); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			var got v1beta1.ClaimState
			if have, ok := c.claims[at]; ok {
				got = have.Spec.State
			}
			if got != tt.want {
				t.Errorf("state: got %q, want %q", got, tt.want)
			}
			_, kept := r.Allocations.HeldBy(web)
			if (len(kept) > 0) != (tt.want != "") {
				t.Errorf("kept in the view: got %v, want what the cluster has", kept)
			}
		})
	}
}

func TestLeaveRefused(t *testing.T) {
	const at = "10.0.0.1"
	byHand := claim(at, at, other, web)
	tests := []struct {
		name  string
		claim *v1beta1.IPAddressClaim
		wrote []string
		names int
		still bool
	}{
		{name: "the controller's claim loses who cannot have the address", claim: taken(claim(at, at, other, web)), wrote: []string{"update " + at}, names: 1},
		{name: "what an administrator wrote stays", claim: byHand, names: 2, still: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := clusterOf(tt.claim)
			r := on(t, c)
			if err := r.leaveRefusedClaims(t.Context(), web); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.wrote, c.wrote); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if got := len(c.claims[at].Spec.Holders); got != tt.names {
				t.Errorf("named by the claim: got %d, want %d", got, tt.names)
			}
			if got := len(r.Allocations.RefusedAddresses(web)) > 0; got != tt.still {
				t.Errorf("still refused: got %v, want %v", got, tt.still)
			}
		})
	}
}

// A claim that reserves an address for the Service is marked so. Once the claim has the Service as holder,
// it no longer differs from the claim of the address that the Service had before.
func TestTheOrderOfWrites(t *testing.T) {
	const at = "10.0.0.1"
	old := taken(claim("10.0.0.3", "10.0.0.3", web))
	old.Spec.Holders[0].UID = "uid-web"
	tests := []struct {
		name   string
		claims []*v1beta1.IPAddressClaim
		svc    *corev1.Service
		want   []string
	}{
		{name: "a new address: claim, then status", svc: service(), want: []string{"create 10.0.0.0", "status"}},
		{name: "another address: claim, status, and then what it had goes", claims: []*v1beta1.IPAddressClaim{old}, svc: showing(service(addressKey, at), given("10.0.0.3")),
			want: []string{"create " + at, "status", "delete 10.0.0.3"}},
		{name: "one that is kept for it: status, then claim, and then what it had goes", claims: []*v1beta1.IPAddressClaim{old, claim(at, at, web)}, svc: showing(service(), given("10.0.0.3")),
			want: []string{"status", "update " + at, "delete 10.0.0.3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := clusterOf(tt.claims...)
			c.svc = tt.svc
			r := on(t, c)
			for range 2 { // the second time there is nothing to write
				if _, err := r.Reconcile(t.Context(), request.Service(web)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, c.wrote); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			for _, held := range has(r.Allocations, web) {
				if got := c.claims[held.Address.String()]; got == nil || got.Spec.State != v1beta1.ClaimInUse || got.Spec.Holders[0].UID != "uid-web" {
					t.Errorf("claim of %s: got %+v, want one with the Service as holder", held.Address, got)
				}
			}
		})
	}
}

func TestReservedAddressStaysReservedWhileAnotherServiceShowsIt(t *testing.T) {
	const at = "10.0.0.1"
	l := filled(t, holding("10.0.0.3", "auto", web))
	l.RecordClaim(allocations.ClaimContent{}, allocations.ClaimContent{Address: addr(at), Pool: "auto", Holders: []allocations.Holder{{Service: web, Reserved: true}}})
	l.RecordReadStatus(other, []netip.Addr{addr(at)})
	svc := showing(service(), given("10.0.0.3"))
	for range 2 {
		d := decideService(l, svc, nil).dropUntilFree(l, svc)
		if diff := cmp.Diff([]ipam.Holding{holding("10.0.0.3", "auto", web)}, d.Keep, byAddr); diff != "" || !d.handOver {
			t.Errorf("kept so long, waits %v (-want +got):\n%s", d.handOver, diff)
		}
		_, kept := l.HeldBy(web)
		if diff := cmp.Diff([]ipam.Holding{holding(at, "auto", web)}, kept, byAddr); diff != "" {
			t.Errorf("kept for the Service (-want +got):\n%s", diff)
		}
	}
	l.RecordWrittenStatus(other, nil)
	d := decideService(l, svc, nil).dropUntilFree(l, svc)
	if diff := cmp.Diff(addrs(at), d.TakenUp, byAddr); diff != "" {
		t.Errorf("taken up (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]ipam.Holding{holding("10.0.0.3", "auto", web)}, d.Drop, byAddr); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	if got := apiconv.StatusAddresses(desiredService(svc, d)); len(got) != 1 || got[0] != addr(at) {
		t.Errorf("shows: got %v, want %s", got, at)
	}
}
