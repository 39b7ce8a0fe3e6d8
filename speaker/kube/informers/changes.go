package informers

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// Changes are the changes that one reader has not read yet. They are valid only while Reader.Read runs.
type Changes struct {
	// First means that this is the first read of the reader: all objects count as changed.
	First bool
	// Since is when the oldest change arrived; zero: there is no change.
	Since time.Time

	store    *Store
	services map[lb.ServiceKey]bool
	claims   map[netip.Addr]bool
	kinds    map[reflect.Type]bool // kinds of the other objects that have changed
}

// Planner receives the parsed Services and claims that have changed; nil: the object does not exist any more.
type Planner interface {
	SetService(lb.ServiceKey, *eligibility.Holder)
	SetClaim(netip.Addr, *eligibility.Claim)
}

// HasChanged reports whether an object of these kinds has changed. It ignores Services, EndpointSlices,
// claims and namespaces, whose changes Apply passes on.
func (c Changes) HasChanged(kinds ...client.Object) bool {
	return c.First || slices.ContainsFunc(kinds, func(k client.Object) bool { return c.kinds[reflect.TypeOf(k)] })
}

// Apply passes the Services and claims that have changed to a planner.
func (c Changes) Apply(p Planner) {
	if c.First {
		c.ApplyAll(p)
		return
	}
	for key := range c.services {
		p.SetService(key, c.store.holderFacts(key))
	}
	for address := range c.claims {
		p.SetClaim(address, c.store.claimFacts(address))
	}
}

// ApplyAll passes all Services and claims to a planner.
func (c Changes) ApplyAll(p Planner) {
	for key := range c.store.services {
		p.SetService(key, c.store.holderFacts(key))
	}
	for address := range c.store.claims {
		p.SetClaim(address, c.store.claimFacts(address))
	}
}

// Nodes returns the nodes of the cluster, ordered by name. All readers share the list: do not change
// it.
func (c Changes) Nodes() []eligibility.Node {
	if c.store.parsed == nil {
		policy := apiconv.ParseDrainPolicy(Get[*v1beta1.LoadBalancerStack](c, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}))
		for _, object := range All[*corev1.Node](c) {
			c.store.parsed = append(c.store.parsed, apiconv.ParseNode(object, policy))
		}
	}
	return c.store.parsed
}

// Pools returns the pools of the cluster, ordered by name.
func (c Changes) Pools() (list []eligibility.Pool) {
	for _, object := range All[*v1beta1.IPAddressPool](c) {
		list = append(list, apiconv.AdvertisedPool(object))
	}
	return list
}

// All returns the objects of a kind, ordered by namespace and name.
func All[T client.Object](c Changes) []T {
	of := c.store.others[reflect.TypeFor[T]()]
	list := make([]T, 0, len(of))
	for _, key := range slices.SortedFunc(maps.Keys(of), compareKeys) {
		list = append(list, of[key].(T)) // putOther stores objects by their type
	}
	return list
}

func compareKeys(x, y client.ObjectKey) int {
	return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
}

// Get returns an object of a kind; nil: the object does not exist.
func Get[T client.Object](c Changes, key client.ObjectKey) T {
	object, _ := c.store.others[reflect.TypeFor[T]()][key].(T)
	return object
}

// holderFacts returns a parsed Service; nil: the Service does not exist, or is not of type LoadBalancer.
func (s *Store) holderFacts(key lb.ServiceKey) *eligibility.Holder {
	svc := s.services[key]
	if svc == nil || svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	if holder := s.holders[key]; holder != nil {
		return holder
	}
	list := make([]discoveryv1.EndpointSlice, 0, len(s.slices[key]))
	for _, slice := range s.slices[key] {
		list = append(list, *slice)
	}
	s.holders[key] = &eligibility.Holder{
		Service: apiconv.AdvertisedService(svc, s.namespaces[key.Namespace], apiconv.ParseEndpoints(list, s.nodes)),
		UID:     string(svc.UID), Shown: apiconv.StatusAddresses(svc),
	}
	return s.holders[key]
}

// claimFacts returns the parsed claim of an address; nil: there is none.
func (s *Store) claimFacts(address netip.Addr) *eligibility.Claim {
	object := s.claims[address]
	if object == nil {
		return nil
	}
	claim := &eligibility.Claim{Pool: lb.PoolName(object.Spec.Pool), AnnounceFrom: apiconv.AnnounceFromNode(object)}
	for _, h := range object.Spec.Holders {
		claim.Holders = append(claim.Holders, apiconv.AdvertisedHolder(h))
	}
	return claim
}
