package service

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// cached reads the claim and the Service of a stale cache, and everything else from the cluster. It writes to the cluster.
type cached struct {
	*cluster
	claim *v1beta1.IPAddressClaim
	svc   *corev1.Service
}

func (c cached) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	switch o := o.(type) {
	case *v1beta1.IPAddressClaim:
		if c.claim != nil && c.claim.Name == key.Name {
			c.claim.DeepCopyInto(o)
			return nil
		}
	case *corev1.Service:
		if c.svc != nil {
			c.svc.DeepCopyInto(o)
			return nil
		}
	}
	return c.cluster.Get(ctx, key, o, opts...)
}

// reconciledWithStaleClaim reconciles the Service web once, while the cache and the view still have the claim
// was, which the API server does not have any more. It returns the reconciler and the claim in the view.
func reconciledWithStaleClaim(t *testing.T, api *cluster, was *v1beta1.IPAddressClaim) (*Reconciler, allocations.ClaimContent) {
	t.Helper()
	api.svc = service()
	r := on(t, clusterOf())
	r.Reader, r.Client = api, cached{cluster: api, claim: was}
	recorded, _ := parseClaim(was)
	r.Allocations.RecordClaim(allocations.ClaimContent{}, recorded)
	res, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(api.svc)})
	t.Log(res, err, api.wrote)
	return r, recorded
}

func TestReservationThatOnlyTheCacheHasIsNotTakenUp(t *testing.T) {
	const at = "10.0.0.1"
	was, is := claim(at, at, web), claim(at, at, other)
	api := clusterOf(is) // the administrator has just given the address to other
	r, recorded := reconciledWithStaleClaim(t, api, was)
	if got := apiconv.StatusAddresses(api.svc); slices.Contains(got, addr(at)) {
		t.Errorf("web shows %v; the claim in the cluster names %v", got, api.claims[at].Spec.Holders)
	}
	// now the event arrives
	now, _ := parseClaim(is)
	r.Allocations.RecordClaim(recorded, now)
	o := service()
	o.Name = "other"
	d := decideService(r.Allocations, o, nil).dropUntilFree(r.Allocations, o)
	if len(d.Keep) != 1 || d.Keep[0].Address != addr(at) {
		t.Errorf("other keeps %v, want the address that was given to it", d.Keep)
	}
}

func TestReservationWhoseClaimWasDeletedIsNotTakenUp(t *testing.T) {
	const at = "10.0.0.0"
	was := claim(at, at, web)
	api := clusterOf()
	r, recorded := reconciledWithStaleClaim(t, api, was)
	if got := apiconv.StatusAddresses(api.svc); len(got) > 0 {
		t.Errorf("web shows %v; claims in the cluster: %v", got, api.claims)
	}
	r.Allocations.RecordClaimDeletion(recorded)
	o := service()
	o.Name = "other"
	d := decideService(r.Allocations, o, nil).dropUntilFree(r.Allocations, o)
	if len(d.Keep) != 1 || d.Keep[0].Address != addr(at) || d.handOver {
		t.Errorf("other keeps %v and waits: %v, want the address, which is free", d.Keep, d.handOver)
	}
}

func TestReleaseThatOnlyTheCacheHasIsNotTrusted(t *testing.T) {
	const at = "10.0.1.1"
	svc := service(v1beta1.AnnotationAddressPool, "nosuch")
	api := clusterOf(taken(claim(at, at, web)))
	r := on(t, api)
	// what the cache has: refused, shows nothing, as before web was given the address
	empty := allocations.New()
	empty.Load(pools3(), nil)
	before := desiredService(svc, decideService(empty, svc, nil))
	api.svc = shows(before.DeepCopy(), at) // what really is (simplified)
	r.Client = cached{cluster: api, svc: before}
	x, _ := parseClaim(taken(claim(at, at, web)))
	y, _ := parseClaim(claim(at, at, other))
	r.Allocations.RecordClaim(x, y)
	_, leaving := r.Allocations.WakePreviousService(addr(at), other)
	res, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(svc)})
	_, still := r.Allocations.WakePreviousService(addr(at), other)
	t.Log(res, err, api.wrote, leaving, still)
	if !still {
		t.Errorf("web shows %v, and other need not wait", apiconv.StatusAddresses(api.svc))
	}
}

func TestAsManyShareAnAddressAsGoIntoItsClaim(t *testing.T) {
	l := allocations.New()
	l.Load(pools3(), nil)
	n := 0
	for i := range 257 {
		svc := service(v1beta1.AnnotationAllowSharedIP, "k")
		svc.Name = fmt.Sprint("s", i)
		svc.Spec.Ports = []corev1.ServicePort{{Port: int32(1000 + i)}}
		if d := decideService(l, svc, nil); d.Keep[0].Address == addr("10.0.0.0") {
			n++
		}
	}
	if n != 256 {
		t.Errorf("%d share the address, want 256, which is what its claim takes", n)
	}
}

// web has .2; the administrator reserves .1 for web, and then takes the reservation back.
func TestReservationThatIsTakenBackLeavesTheServiceAsItWas(t *testing.T) {
	const at, old = "10.0.0.1", "10.0.0.2"
	was, is := claim(at, at, web), claim(at, at, other)
	had := taken(claim(old, old, web))
	api := clusterOf(is, had)
	api.svc = showing(service(), given(old))
	r := on(t, clusterOf(had, was))
	r.Reader, r.Client = api, cached{cluster: api, claim: was}
	key := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(api.svc)}
	_, err := r.Reconcile(t.Context(), key)
	t.Log(err, api.wrote)
	_, ok := api.claims[old]
	if !ok {
		t.Errorf("web has lost %s, and shows %v, which the claim has for other", old, apiconv.StatusAddresses(api.svc))
	}
}

func TestAddressOfAServiceWithAnInvalidRequestIsNotGivenToAnother(t *testing.T) {
	l := allocations.New()
	var woken []string
	l.Load(nil, nil)
	o := shows(service(v1beta1.AnnotationLoadBalancerIPs, "bogus"), "10.0.0.0")
	do := decideService(l, o, nil)
	o = desiredService(o, do)
	n := service()
	n.Name = "other"
	n = desiredService(n, decideService(l, n, nil))
	l.OnChange(func(k lb.ServiceKey) { woken = append(woken, k.String()) })
	l.SetPools(pools3())
	d := decideService(l, n, nil).dropUntilFree(l, n)
	t.Logf("woken %v", woken)
	if len(d.Keep) > 0 && d.Keep[0].Address.String() == o.Status.LoadBalancer.Ingress[0].IP {
		t.Errorf("both show %s; woken: %v", d.Keep[0].Address, woken)
	}
}
