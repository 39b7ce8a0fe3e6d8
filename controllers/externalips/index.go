package externalips

import (
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

// maxAddresses bounds the addresses in the index: some 10 MiB.
const maxAddresses = 1 << 15

// entry holds the externalIPs of a Service that is not of type LoadBalancer.
type entry struct {
	uid        types.UID
	generation int64
	addresses  []netip.Addr
	more       bool // it has more externalIPs than are read
	// condition about the externalIPs that it has now, nil if none.
	condition *metav1.Condition
}

// service returns the entry as an object that events and conditions can be about.
func (e entry) service(key lb.ServiceKey) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: e.uid, Generation: e.generation}}
	if e.condition != nil {
		svc.Status.Conditions = []metav1.Condition{*e.condition}
	}
	return svc
}

func newEntry(svc *corev1.Service) entry {
	e := entry{uid: svc.UID, generation: svc.Generation}
	e.addresses, e.more = apiconv.ExternalIPs(svc)
	if c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceExternalIPConflict); c != nil {
		e.condition = c.DeepCopy()
	}
	return e
}

// empty reports whether nothing is to be kept of the Service.
func (e entry) empty() bool { return len(e.addresses) == 0 && e.condition == nil }

// index has the Services that are not of type LoadBalancer and have externalIPs, or the
// condition about them. It is safe for concurrent use; make it with newIndex.
type index struct {
	mu       sync.Mutex
	services map[lb.ServiceKey]entry
	listedBy map[netip.Addr]map[lb.ServiceKey]struct{}
	count    int // addresses of all entries
	most     int // bound of count
	listed   bool
}

func newIndex(most int) *index {
	return &index{services: map[lb.ServiceKey]entry{}, listedBy: map[netip.Addr]map[lb.ServiceKey]struct{}{}, most: most}
}

// put replaces the entry of a Service, and returns the addresses that it lists now or listed
// before. It reports false, and keeps no addresses of the Service, if there is no room for them.
func (x *index) put(key lb.ServiceKey, next entry) (touched []netip.Addr, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	touched = x.drop(key)
	if ok = x.count+len(next.addresses) <= x.most; !ok {
		next.addresses = nil
	}
	if next.empty() {
		return touched, ok
	}
	x.services[key] = next
	x.count += len(next.addresses)
	for _, a := range next.addresses {
		if x.listedBy[a] == nil {
			x.listedBy[a] = map[lb.ServiceKey]struct{}{}
		}
		x.listedBy[a][key] = struct{}{}
	}
	return append(touched, next.addresses...), ok
}

// remove removes the entry of a Service, and returns the addresses that it listed.
func (x *index) remove(key lb.ServiceKey) []netip.Addr {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.drop(key)
}

func (x *index) drop(key lb.ServiceKey) []netip.Addr {
	before := x.services[key].addresses
	for _, a := range before {
		if delete(x.listedBy[a], key); len(x.listedBy[a]) == 0 {
			delete(x.listedBy, a)
		}
	}
	x.count -= len(before)
	delete(x.services, key)
	return slices.Clone(before)
}

// setListed notes that the index has all Services once.
func (x *index) setListed() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.listed = true
}

// isListed reports whether the index had all Services once.
func (x *index) isListed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed
}

// get returns the entry of a Service.
func (x *index) get(key lb.ServiceKey) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.services[key]
	return e, ok
}

// with returns the Services that list an address.
func (x *index) with(address netip.Addr) []lb.ServiceKey {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.listedBy[address]))
}

// keys returns all Services of the index.
func (x *index) keys() []lb.ServiceKey {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.services))
}
