package apiconv

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// ClaimName returns the name of the IPAddressClaim for an address: an IPv4
// address as it is, an IPv6 address in full with dashes for colons. One
// address has one name and the reverse.
func ClaimName(a netip.Addr) string {
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	return strings.ReplaceAll(a.StringExpanded(), ":", "-")
}

// ClaimAddress returns the address of a claim. A claim whose name does not
// belong to its address claims nothing: the name is what makes an address
// unique.
func ClaimAddress(claim *v1beta1.IPAddressClaim) (netip.Addr, error) {
	a, err := ParseAddress(claim.Spec.Address)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("spec.address: %w", err)
	}
	if want := ClaimName(a); claim.Name != want {
		return netip.Addr{}, fmt.Errorf("the claim for %s must have the name %s", a, want)
	}
	return a, nil
}

// HolderKey returns the Service that a claim's holder is.
func HolderKey(h v1beta1.ClaimHolder) lb.ServiceKey {
	return lb.ServiceKey{Namespace: h.Namespace, Name: h.Name}
}
