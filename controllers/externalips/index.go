package externalips

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// maxIndexedAddresses is the maximum number of addresses in the index. A full index takes some 10 MiB of
// memory.
const maxIndexedAddresses = 1 << 15

// serviceEntry has the externalIPs of a Service. The Services in the index are not of type LoadBalancer.
type serviceEntry struct {
	uid        types.UID
	generation int64
	addresses  []netip.Addr
	more       bool // the Service has more than apiconv.MaxExternalIPs externalIPs
	over       int  // how many addresses the Service lists if the index has no room for them; otherwise 0
	// condition is its present condition about externalIPs; nil: it has none.
	condition *metav1.Condition
}

// service returns a Service object for the entry, for events and for writes of the condition.
func (e serviceEntry) service(key lb.ServiceKey) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: e.uid, Generation: e.generation}}
	if e.condition != nil {
		svc.Status.Conditions = []metav1.Condition{*e.condition}
	}
	return svc
}

func newServiceEntry(svc *corev1.Service) serviceEntry {
	e := serviceEntry{uid: svc.UID, generation: svc.Generation}
	e.addresses, e.more = apiconv.ExternalIPs(svc)
	if c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceExternalIPConflict); c != nil {
		e.condition = c.DeepCopy()
	}
	return e
}

// isEmpty reports whether the index needs no entry for the Service.
func (e serviceEntry) isEmpty() bool {
	return len(e.addresses) == 0 && e.condition == nil && e.over == 0
}

// serviceIndex has the Services that are not of type LoadBalancer and have externalIPs, or the
// condition about them. It is safe for concurrent use; make it with newIndex.
//
// The number of addresses is bounded. When there is no room, the index leaves out addresses of the
// namespace that lists the most: the Services of one tenant cannot displace those of other tenants.
type serviceIndex struct {
	mu         sync.Mutex
	services   map[lb.ServiceKey]serviceEntry
	listedBy   map[netip.Addr]map[lb.ServiceKey]struct{}
	namespaces map[string]*namespaceShare
	over       map[lb.ServiceKey]struct{} // Services whose addresses the index leaves out
	count      int                        // number of addresses in all entries
	most       int                        // maximum of count
	listed     bool                       // the reflector has passed all Services to the index once
}

// namespaceShare is the part of the index that the Services of one namespace use.
type namespaceShare struct {
	count    int
	services map[lb.ServiceKey]struct{} // the Services of the namespace with addresses in the index
}

func newServiceIndex(most int) *serviceIndex {
	return &serviceIndex{
		services: map[lb.ServiceKey]serviceEntry{}, listedBy: map[netip.Addr]map[lb.ServiceKey]struct{}{},
		namespaces: map[string]*namespaceShare{}, over: map[lb.ServiceKey]struct{}{}, most: most,
	}
}

// put replaces the entry of a Service. If there is no room, it leaves out the addresses of this
// Service, or those of other Services, which it returns as evicted. touched are the addresses of
// all these entries before and after the call.
func (x *serviceIndex) put(key lb.ServiceKey, next serviceEntry) (touched []netip.Addr, evicted []lb.ServiceKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	touched = x.removeEntry(key)
	for x.count+len(next.addresses) > x.most {
		most := x.largestNamespace(key.Namespace, len(next.addresses))
		if most == key.Namespace {
			next.over, next.addresses = len(next.addresses), nil
			break
		}
		other := x.largestService(most)
		gone := x.services[other]
		touched = append(touched, x.removeEntry(other)...)
		gone.over, gone.addresses = len(gone.addresses), nil
		x.addEntry(other, gone)
		evicted = append(evicted, other)
	}
	x.addEntry(key, next)
	return append(touched, next.addresses...), evicted
}

// readmit adds the addresses of a Service that the index left out before. It does so only if there is room,
// and if the entry is still of the same object and generation. It reports whether it added them.
func (x *serviceIndex) readmit(key lb.ServiceKey, next serviceEntry) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	was, has := x.services[key]
	if !has || was.uid != next.uid || was.generation != next.generation || was.over == 0 || x.count+len(next.addresses) > x.most {
		return false
	}
	x.removeEntry(key)
	x.addEntry(key, next)
	return true
}

// servicesToReadmit returns Services whose addresses the index left out before and has room for now.
func (x *serviceIndex) servicesToReadmit() (keys []lb.ServiceKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	room := x.most - x.count
	for key := range x.over {
		if need := x.services[key].over; need <= room {
			room -= need
			keys = append(keys, key)
		}
	}
	return keys
}

// hasRoomFor reports whether the index has room for the addresses of a Service that it left out before.
func (x *serviceIndex) hasRoomFor(e serviceEntry) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count+e.over <= x.most
}

// largestNamespace returns the namespace with the most addresses. The parameter own is the namespace of a
// Service that is about to be added. The number of addresses of this Service, more, is added to those of its
// namespace.
func (x *serviceIndex) largestNamespace(own string, more int) string {
	most, count := own, more
	if s := x.namespaces[own]; s != nil {
		count += s.count
	}
	for name, s := range x.namespaces {
		if s.count > count {
			most, count = name, s.count
		}
	}
	return most
}

// largestService returns the Service with the most addresses in a namespace; of several, the first by name.
func (x *serviceIndex) largestService(namespace string) lb.ServiceKey {
	return slices.MinFunc(slices.Collect(maps.Keys(x.namespaces[namespace].services)), func(a, b lb.ServiceKey) int {
		return cmp.Or(cmp.Compare(len(x.services[b].addresses), len(x.services[a].addresses)), a.Compare(b))
	})
}

// remove removes the entry of a Service, and returns the addresses that it listed.
func (x *serviceIndex) remove(key lb.ServiceKey) []netip.Addr {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.removeEntry(key)
}

// addEntry adds the entry of a Service that has none. The caller ensures that there is room.
func (x *serviceIndex) addEntry(key lb.ServiceKey, e serviceEntry) {
	if e.isEmpty() {
		return
	}
	x.services[key] = e
	if e.over > 0 {
		x.over[key] = struct{}{}
	}
	if len(e.addresses) == 0 {
		return
	}
	x.count += len(e.addresses)
	s := x.namespaces[key.Namespace]
	if s == nil {
		s = &namespaceShare{services: map[lb.ServiceKey]struct{}{}}
		x.namespaces[key.Namespace] = s
	}
	s.count += len(e.addresses)
	s.services[key] = struct{}{}
	for _, a := range e.addresses {
		if x.listedBy[a] == nil {
			x.listedBy[a] = map[lb.ServiceKey]struct{}{}
		}
		x.listedBy[a][key] = struct{}{}
	}
}

func (x *serviceIndex) removeEntry(key lb.ServiceKey) []netip.Addr {
	before := x.services[key].addresses
	for _, a := range before {
		if delete(x.listedBy[a], key); len(x.listedBy[a]) == 0 {
			delete(x.listedBy, a)
		}
	}
	x.count -= len(before)
	if s := x.namespaces[key.Namespace]; s != nil {
		s.count -= len(before)
		if delete(s.services, key); len(s.services) == 0 {
			delete(x.namespaces, key.Namespace)
		}
	}
	delete(x.over, key)
	delete(x.services, key)
	return slices.Clone(before)
}

// setListed records that the reflector has passed all Services to the index once.
func (x *serviceIndex) setListed() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.listed = true
}

// isListed reports whether the reflector has passed all Services to the index once.
func (x *serviceIndex) isListed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed
}

// get returns the entry of a Service.
func (x *serviceIndex) get(key lb.ServiceKey) (serviceEntry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.services[key]
	return e, ok
}

// servicesListing returns the Services that list an address.
func (x *serviceIndex) servicesListing(address netip.Addr) []lb.ServiceKey {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.listedBy[address]))
}

// serviceKeys returns all Services of the index.
func (x *serviceIndex) serviceKeys() []lb.ServiceKey {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.services))
}
