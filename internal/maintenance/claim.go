package maintenance

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Reserve returns a claim that reserves an address of a pool. If service is the zero key, no Service can
// get the address. Otherwise only that Service can get it, which does not have to exist yet. existing is
// the present claim of the address; nil: there is none. Reserve returns the existing claim if there is
// one, with an error unless that claim already reserves the address in this way.
func Reserve(address netip.Addr, pool lb.PoolName, service lb.ServiceKey, existing *v1beta1.IPAddressClaim) (*v1beta1.IPAddressClaim, error) {
	if existing != nil {
		return existing, checkReserved(existing, service)
	}
	if pool == "" {
		return nil, fmt.Errorf("%s: no pool gives this address, so that a claim would reserve nothing: pass an address of a pool (kubectl lbstack status lists the pools)", address)
	}
	claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: apiconv.ClaimName(address)}}
	claim.Spec = v1beta1.IPAddressClaimSpec{Address: address.String(), Pool: v1beta1.ObjectName(pool), State: v1beta1.ClaimReserved}
	if service != (lb.ServiceKey{}) {
		claim.Spec.Holders = []v1beta1.ClaimHolder{{Namespace: service.Namespace, Name: service.Name}}
	}
	return claim, nil
}

// checkReserved returns an error unless a claim reserves its address for the given Service alone. If
// service is the zero key, the claim must name no Service.
func checkReserved(claim *v1beta1.IPAddressClaim, service lb.ServiceKey) error {
	var want []lb.ServiceKey
	if service != (lb.ServiceKey{}) {
		want = []lb.ServiceKey{service}
	}
	switch holders := holdersOf(claim); {
	case claim.Spec.State == v1beta1.ClaimReserved && slices.Equal(holders, want):
		return nil
	case claim.Spec.State == v1beta1.ClaimInUse:
		return fmt.Errorf("%s is in use by %s: to give the address to another Service, change spec.holders of its IPAddressClaim and set takeOver: true in the same change", claim.Spec.Address, holderPhrase(holders))
	default:
		return fmt.Errorf("%s is already %s for %s: run kubectl lbstack release %s first", claim.Spec.Address, strings.ToLower(string(claim.Spec.State)), holderPhrase(holders), claim.Spec.Address)
	}
}

// CheckRelease returns why a claim must not be deleted to free its address. It returns nil if the
// claim only reserves or retains the address.
func CheckRelease(address netip.Addr, claim *v1beta1.IPAddressClaim) error {
	switch {
	case claim == nil:
		return fmt.Errorf("%s is neither reserved nor retained", address)
	case claim.Spec.State == v1beta1.ClaimInUse:
		return fmt.Errorf("%s is in use by %s, and the controller would create a deleted claim again: delete the Service, or have the Service request another address", address, holderPhrase(holdersOf(claim)))
	}
	return nil
}

func holdersOf(claim *v1beta1.IPAddressClaim) (keys []lb.ServiceKey) {
	for _, h := range claim.Spec.Holders {
		keys = append(keys, apiconv.HolderKey(h))
	}
	return keys
}

// holderPhrase returns a phrase for Services: the first one, and the number of the others.
func holderPhrase(keys []lb.ServiceKey) string {
	switch len(keys) {
	case 0:
		return "no Service"
	case 1:
		return "the Service " + keys[0].String()
	}
	return fmt.Sprintf("the Service %s and %d others", keys[0], len(keys)-1)
}
