package allocations_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// world runs a controller's decisions with these allocations, without an API server.
type world struct {
	view     *allocations.View
	services map[lb.ServiceKey]*corev1.Service
	woken    []lb.ServiceKey
}

func newWorld() *world {
	w := &world{view: allocations.New(), services: map[lb.ServiceKey]*corev1.Service{}}
	w.view.OnChange(func(key lb.ServiceKey) {
		if !slices.Contains(w.woken, key) {
			w.woken = append(w.woken, key)
		}
	})
	return w
}

// settle decides woken Services, one after the other, until none is woken.
func (w *world) settle() {
	for len(w.woken) > 0 {
		key := w.woken[0]
		w.woken = w.woken[1:]
		svc := w.services[key]
		if svc == nil {
			continue
		}
		o := w.decide(svc)
		svc.Status.LoadBalancer.Ingress = nil
		for _, h := range o.Keep {
			svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: h.Address.String()})
			w.view.TakeUp(h.Address, key)
		}
		w.view.RecordReadStatus(key, apiconv.StatusAddresses(svc))
		for _, h := range o.Drop {
			w.view.Release(h.Address, key)
		}
	}
}

func (w *world) decide(svc *corev1.Service) allocations.Outcome {
	req, err := apiconv.ParseRequest(svc, nil)
	if err != nil {
		return w.view.RefuseInvalid(req, &ipam.Refusal{Reason: v1beta1.ReasonInvalidRequest, Message: err.Error()})
	}
	return w.view.Assign(req)
}

// addresses that Services have.
func (w *world) addresses() map[string][]netip.Addr {
	all := map[string][]netip.Addr{}
	for key := range w.services {
		has, _ := w.view.HeldBy(key)
		list := []netip.Addr{}
		for _, h := range has {
			list = append(list, h.Address)
		}
		slices.SortFunc(list, netip.Addr.Compare)
		all[key.String()] = list
	}
	return all
}

// claims as the controller writes them.
func (w *world) claims() (claims []v1beta1.IPAddressClaim) {
	byAddress := map[netip.Addr]*v1beta1.IPAddressClaim{}
	for key := range w.services {
		has, _ := w.view.HeldBy(key)
		for _, h := range has {
			byAddress[h.Address] = &v1beta1.IPAddressClaim{
				ObjectMeta: metav1.ObjectMeta{Name: apiconv.ClaimName(h.Address)},
				Spec:       v1beta1.IPAddressClaimSpec{Address: h.Address.String(), Pool: v1beta1.ObjectName(h.Pool), State: v1beta1.ClaimInUse},
			}
		}
	}
	for address, claim := range byAddress {
		holders, _ := w.view.Holders(address)
		for _, h := range holders {
			req, _ := apiconv.ParseRequest(w.services[h.Service], nil)
			claim.Spec.SharingKey = req.Terms.Key
			holder := apiconv.ClaimHolderOf(w.services[h.Service], req.Terms)
			claim.Spec.Holders = append(claim.Spec.Holders, holder)
		}
		claims = append(claims, *claim)
	}
	return claims
}

// randomStack has one to three pools of small ranges.
func randomStack(chance *rand.Rand) *v1beta1.LoadBalancerStack {
	stack := &v1beta1.LoadBalancerStack{}
	first := 1
	for i := range 1 + chance.IntN(3) {
		pool := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(fmt.Sprintf("pool-%d", i))}
		first += chance.IntN(3)
		last := first + chance.IntN(5)
		pool.Addresses = []v1beta1.AddressRange{v1beta1.AddressRange(fmt.Sprintf("192.0.2.%d-192.0.2.%d", first, last))}
		if chance.IntN(3) == 0 {
			pool.Addresses = append(pool.Addresses, v1beta1.AddressRange(fmt.Sprintf("2001:db8::%d-2001:db8::%d", first, last)))
		}
		first = last + 1
		if chance.IntN(2) == 0 {
			pool.OutsidePoolPolicy = v1beta1.EvictOutsidePool
		}
		switch chance.IntN(6) {
		case 0:
			pool.State = v1beta1.PoolDraining
		case 1:
			no := false
			pool.AutoAssign = &no
		case 2:
			pool.ServiceAllocation = &v1beta1.ServiceAllocation{Priority: 1, Namespaces: []v1beta1.ObjectName{"a"}}
		case 3:
			pool.Quota = &v1beta1.PoolQuota{MaxAddressesPerNamespace: 2}
		}
		stack.Spec.IPAddressPools = append(stack.Spec.IPAddressPools, pool)
	}
	return stack
}

func randomService(chance *rand.Rand, i int) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: string(rune('a' + chance.IntN(2))), Name: fmt.Sprintf("service-%02d", i), UID: types.UID(fmt.Sprint(i)),
		Annotations: map[string]string{}, CreationTimestamp: metav1.Unix(int64(i), 0),
	}}
	svc.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Ports: []corev1.ServicePort{{Port: int32(1 + i), Protocol: corev1.ProtocolTCP}}}
	switch chance.IntN(5) {
	case 0:
		svc.Annotations[v1beta1.AnnotationAddressPool] = fmt.Sprintf("pool-%d", chance.IntN(3))
	case 1:
		svc.Annotations[v1beta1.AnnotationLoadBalancerIPs] = fmt.Sprintf("192.0.2.%d", 1+chance.IntN(12))
	case 2:
		svc.Annotations[v1beta1.AnnotationAllowSharedIP] = "key"
	case 3:
		policy := corev1.IPFamilyPolicyPreferDualStack
		svc.Spec.IPFamilyPolicy, svc.Spec.IPFamilies = &policy, append(svc.Spec.IPFamilies, corev1.IPv6Protocol)
	}
	return svc
}

// poolsOf are the pools of a stack, as objects and as the controller has them.
func poolsOf(stack *v1beta1.LoadBalancerStack) (objects []v1beta1.IPAddressPool, pools []ipam.Pool) {
	for _, item := range stack.Spec.IPAddressPools {
		object := v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: string(item.Name)}, Spec: item.IPAddressPoolSpec}
		p, err := apiconv.ParsePool(&object)
		if err != nil {
			p.Unusable = err.Error()
		}
		objects, pools = append(objects, object), append(pools, p)
	}
	ipam.Resolve(pools, ipam.SpecialRanges())
	return objects, pools
}

// TestPlan_AgreesWithWhatTheControllerDoes compares the plan of a random change of pools with what the allocations of the
// controller make of the same change.
func TestPlan_AgreesWithWhatTheControllerDoes(t *testing.T) {
	changed := 0
	for range 1000 {
		seed := rand.Uint64()
		if changed += onePlan(t, seed); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if changed < 500 {
		t.Errorf("%d of 1000 changes had an effect: too few to compare", changed)
	}
}

func onePlan(t *testing.T, seed uint64) (changed int) {
	t.Helper()
	chance := rand.New(rand.NewPCG(seed, 0))
	from, to := randomStack(chance), randomStack(chance)
	objects, pools := poolsOf(from)
	w := newWorld()
	w.view.Load(pools, nil)
	for i := range 3 + chance.IntN(9) {
		svc := randomService(chance, i)
		w.services[apiconv.KeyOf(svc)] = svc
		w.woken = append(w.woken, apiconv.KeyOf(svc))
	}
	w.settle()
	s := &inspect.Snapshot{Stack: from, Pools: objects, Claims: w.claims()}
	for _, key := range slices.SortedFunc(maps.Keys(w.services), lb.ServiceKey.Compare) {
		s.Services = append(s.Services, *w.services[key].DeepCopy())
	}
	before := w.addresses()
	plan, err := inspect.Plan(s, to)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	planned := maps.Clone(before)
	for _, change := range plan.Services {
		if diff := cmp.Diff(before[change.Service], change.Before, byValue); diff != "" {
			t.Errorf("%s has other addresses before than the plan names (-real +plan):\n%s", change.Service, diff)
		}
		planned[change.Service] = change.After
	}
	_, pools = poolsOf(to)
	w.view.SetPools(pools)
	w.settle()
	if diff := cmp.Diff(w.addresses(), planned, byValue); diff != "" {
		t.Errorf("the change made something else of it (-real +plan):\n%s\nfrom %+v\nto %+v", diff, from.Spec.IPAddressPools, to.Spec.IPAddressPools)
	}
	return min(1, len(plan.Services))
}

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
