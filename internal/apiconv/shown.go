package apiconv

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// HeldAddresses returns the addresses that these Services hold according to these claims, sorted. It leaves out
// invalid claims. See eligibility.ClaimHolder.
func HeldAddresses(services []corev1.Service, claims []v1beta1.IPAddressClaim) []eligibility.Address {
	balanced := make(map[lb.ServiceKey]*corev1.Service, len(services))
	for i := range services {
		if svc := &services[i]; svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			balanced[KeyOf(svc)] = svc
		}
	}
	var held []eligibility.Address
	for i := range claims {
		claim := &claims[i]
		address, err := ClaimAddress(claim)
		if err != nil {
			continue
		}
		if holders := servicesHolding(claim, address, balanced); len(holders) > 0 {
			held = append(held, eligibility.Address{Address: address, Pool: lb.PoolName(claim.Spec.Pool), Holders: holders, AnnounceFrom: AnnounceFromNode(claim)})
		}
	}
	slices.SortFunc(held, func(x, y eligibility.Address) int { return x.Address.Compare(y.Address) })
	return held
}

func servicesHolding(claim *v1beta1.IPAddressClaim, address netip.Addr, services map[lb.ServiceKey]*corev1.Service) []lb.ServiceKey {
	var holders []lb.ServiceKey
	for _, h := range claim.Spec.Holders {
		named := AdvertisedHolder(h)
		svc := services[named.Key]
		if svc != nil && named.Holds(string(svc.UID), slices.Contains(StatusAddresses(svc), address)) {
			holders = append(holders, named.Key)
		}
	}
	return holders
}

// AdvertisedHolder converts a holder of a claim to the type that decides whether the holder's address is
// announced.
func AdvertisedHolder(h v1beta1.ClaimHolder) eligibility.ClaimHolder {
	return eligibility.ClaimHolder{Key: HolderKey(h), UID: string(h.UID)}
}

// AdvertisedService returns the fields of a Service that decide how its addresses are announced. The
// parameter namespace has the labels of the Service's namespace.
func AdvertisedService(svc *corev1.Service, namespace map[string]string, endpoints ServiceEndpoints) eligibility.Service {
	key := KeyOf(svc)
	return eligibility.Service{
		Key: key, Labels: svc.Labels, NamespaceLabels: namespace, Endpoints: endpoints[key],
		Local: svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
}

// AdvertisedPool returns the fields of a pool that decide how its addresses are announced. It leaves out
// invalid ranges, which the condition Ready of the pool reports.
func AdvertisedPool(pool *v1beta1.IPAddressPool) eligibility.Pool {
	listed, _ := parseRanges(pool.Spec.Addresses, "spec.addresses")
	excluded, _ := parseRanges(pool.Spec.ExcludeAddresses, "spec.excludeAddresses")
	return eligibility.Pool{
		Name: lb.PoolName(pool.Name), Labels: pool.Labels,
		Listed: lb.Union(listed...), Excluded: lb.Union(excluded...),
	}
}
