package apiconv

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/lb"
)

// ShownAddresses returns the addresses that are claimed for Services and that
// these really show, ordered: kube-proxy serves what stands in the status, not
// what is claimed. A claim that means nothing is left out.
func ShownAddresses(services []corev1.Service, claims []v1beta1.IPAddressClaim) []advertise.Address {
	told := make(map[lb.ServiceKey][]netip.Addr, len(services))
	for i := range services {
		if svc := &services[i]; svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			told[KeyOf(svc)] = StatusAddresses(svc)
		}
	}
	var shown []advertise.Address
	for i := range claims {
		claim := &claims[i]
		address, err := ClaimAddress(claim)
		if err != nil {
			continue
		}
		if holders := showing(claim, address, told); len(holders) > 0 {
			shown = append(shown, advertise.Address{Address: address, Pool: lb.PoolName(claim.Spec.Pool), Holders: holders})
		}
	}
	slices.SortFunc(shown, func(x, y advertise.Address) int { return x.Address.Compare(y.Address) })
	return shown
}

func showing(claim *v1beta1.IPAddressClaim, address netip.Addr, told map[lb.ServiceKey][]netip.Addr) []lb.ServiceKey {
	var holders []lb.ServiceKey
	for _, h := range claim.Spec.Holders {
		if key := HolderKey(h); slices.Contains(told[key], address) {
			holders = append(holders, key)
		}
	}
	return holders
}

// AdvertisedService returns what counts of a Service, in a namespace with these labels,
// when its addresses are announced.
func AdvertisedService(svc *corev1.Service, namespace map[string]string, endpoints ServiceEndpoints) advertise.Service {
	key := KeyOf(svc)
	return advertise.Service{
		Key: key, Labels: svc.Labels, NamespaceLabels: namespace, Endpoints: endpoints[key],
		Local: svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
}

// AdvertisedPool returns what counts of a pool when its addresses are announced.
// Ranges that cannot be parsed are left out: the pool's own condition reports them.
func AdvertisedPool(pool *v1beta1.IPAddressPool) advertise.Pool {
	listed, _ := parseRanges(pool.Spec.Addresses, "spec.addresses")
	excluded, _ := parseRanges(pool.Spec.ExcludeAddresses, "spec.excludeAddresses")
	return advertise.Pool{
		Name: lb.PoolName(pool.Name), Labels: pool.Labels,
		Listed: lb.Union(listed...), Excluded: lb.Union(excluded...),
	}
}
