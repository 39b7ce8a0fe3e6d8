package apiconv

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
)

// ClaimName returns the name of the IPAddressClaim for an address. For an IPv4 address it is the address
// itself. For an IPv6 address it is the full form of the address, with dashes instead of colons. Different
// addresses have different names.
func ClaimName(a netip.Addr) string {
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	return strings.ReplaceAll(a.StringExpanded(), ":", "-")
}

// AddressFromClaimName returns the address whose claim has the name.
func AddressFromClaimName(name string) (netip.Addr, error) {
	a, err := ParseAddress(strings.ReplaceAll(name, "-", ":"))
	if err != nil || ClaimName(a) != name {
		return netip.Addr{}, fmt.Errorf("%q is not the name of a claim", name)
	}
	return a, nil
}

// ClaimAddress returns the address of a claim. It returns an error if the name of the claim does not match the
// address: the name is the guarantee that an address has at most one claim.
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

// AnnounceFromNode returns the node in the annotation lbstack.io/announce-from of a claim, which should announce
// the address; empty: the claim has no such annotation.
func AnnounceFromNode(claim *v1beta1.IPAddressClaim) lb.NodeName {
	return lb.NodeName(bounded.Cut(claim.Annotations[v1beta1.AnnotationAnnounceFrom], maxNodeNameBytes))
}

// maxNodeNameBytes is the maximum length of a node's name, in bytes.
const maxNodeNameBytes = 253

// HolderKey returns the key of the Service that a claim names as a holder.
func HolderKey(h v1beta1.ClaimHolder) lb.ServiceKey {
	return lb.ServiceKey{Namespace: h.Namespace, Name: h.Name}
}

// HolderTerms returns the terms on which a holder shares the address of a claim. It returns an error if the
// ports of the holder are invalid: then it is not known which Services may share the address.
func HolderTerms(claim *v1beta1.IPAddressClaim, h v1beta1.ClaimHolder) (lb.Sharing, error) {
	if claim.Spec.SharingKey == "" {
		return lb.Sharing{}, nil
	}
	ports, err := parsePorts(h.Ports)
	if err != nil {
		return lb.Sharing{}, fmt.Errorf("the holder %s: %w", HolderKey(h), err)
	}
	return lb.Sharing{Key: claim.Spec.SharingKey, Traffic: h.TrafficPolicy, Ports: ports}, nil
}

// ClaimHolderOf returns the item of spec.holders for a Service that shares the address on these terms.
func ClaimHolderOf(svc *corev1.Service, terms lb.Sharing) v1beta1.ClaimHolder {
	return v1beta1.ClaimHolder{
		Namespace: svc.Namespace, Name: svc.Name, UID: svc.UID,
		Ports: portStrings(terms.Ports), TrafficPolicy: terms.Traffic,
	}
}
