package externalips

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
)

// maxNamedItems is how many listed addresses, how many shared addresses, and how many Services for each
// address a message names. For the others it gives their number.
const maxNamedItems = 3

// serviceFacts are the facts about a Service that decide its condition.
type serviceFacts struct {
	// namespace is the namespace of the Service. A message names no Service of another namespace.
	namespace string
	// listed are the addresses in its spec.externalIPs that belong to a pool.
	listed []listedAddress
	// shared are the addresses that the Service has from a pool and that other Services list.
	shared []sharedAddress
	// more means that its spec.externalIPs has more than apiconv.MaxExternalIPs items. The further ones are
	// not read.
	more bool
	// over means that none of its spec.externalIPs are compared, since the index is full and its
	// namespace lists the most addresses.
	over bool
}

// listedAddress is an address in spec.externalIPs that belongs to a pool.
type listedAddress struct {
	address netip.Addr
	pool    lb.PoolName
	holders []lb.ServiceKey // the Services that have the address
}

// sharedAddress is an address that a Service has from a pool, and that other Services list.
type sharedAddress struct {
	address netip.Addr
	by      []lb.ServiceKey
}

// conflictCondition returns the condition of the Service; nil: there is no conflict.
func conflictCondition(f serviceFacts) *metav1.Condition {
	c := &metav1.Condition{Type: v1beta1.ServiceExternalIPConflict, Status: metav1.ConditionTrue}
	var sentences []string
	for _, l := range f.listed[:min(len(f.listed), maxNamedItems)] {
		sentences = append(sentences, l.sentence(f.namespace))
	}
	for _, s := range f.shared[:min(len(f.shared), maxNamedItems)] {
		sentences = append(sentences, s.sentence(f.namespace))
	}
	if n := max(0, len(f.listed)-maxNamedItems) + max(0, len(f.shared)-maxNamedItems); n > 0 {
		sentences = append(sentences, fmt.Sprintf("further addresses with such a conflict: %d", n))
	}
	switch {
	case len(f.listed) > 0:
		c.Reason = v1beta1.ReasonAddressOfPool
	case len(f.shared) > 0:
		c.Reason = v1beta1.ReasonAddressInExternalIPs
	case f.more, f.over:
		c.Status, c.Reason = metav1.ConditionUnknown, v1beta1.ReasonTooManyExternalIPs
	default:
		return nil
	}
	if f.more {
		sentences = append(sentences, fmt.Sprintf("spec.externalIPs has more than %d items: the items after the first %d are not compared with the pools: remove some of the items", apiconv.MaxExternalIPs, apiconv.MaxExternalIPs))
	}
	if f.over {
		sentences = append(sentences, fmt.Sprintf("spec.externalIPs is not compared with the pools: at most %d addresses of all Services are compared, and the Services of this namespace list the most: remove some of these addresses", maxIndexedAddresses))
	}
	c.Message = bounded.Message(strings.Join(sentences, "; "))
	return c
}

func (l listedAddress) sentence(namespace string) string {
	if len(l.holders) == 0 {
		return fmt.Sprintf("spec.externalIPs: %s is an address of the pool %q: if a Service of type LoadBalancer gets the address, kube-proxy sends connections for this address to the Pods of either Service: remove the address from spec.externalIPs", l.address, l.pool)
	}
	return fmt.Sprintf("spec.externalIPs: %s is an address of the pool %q and in use by %s: kube-proxy sends connections for this address to the Pods of either Service: remove the address from spec.externalIPs", l.address, l.pool, describeServices(l.holders, namespace))
}

func (s sharedAddress) sentence(namespace string) string {
	return fmt.Sprintf("%s is also in spec.externalIPs of %s: kube-proxy sends connections for this address to the Pods of either Service: remove the address from that field; a ValidatingAdmissionPolicy can forbid such externalIPs", s.address, describeServices(s.by, namespace))
}

// describeServices names Services of the namespace, and gives the number of the others.
func describeServices(keys []lb.ServiceKey, namespace string) string {
	var parts []string
	unnamed := 0
	for _, key := range slices.SortedFunc(slices.Values(keys), lb.ServiceKey.Compare) {
		if key.Namespace == namespace && len(parts) < maxNamedItems {
			parts = append(parts, key.DescribeTo(namespace))
		} else {
			unnamed++
		}
	}
	switch {
	case unnamed == 1 && len(parts) < maxNamedItems:
		parts = append(parts, lb.ServiceKey{}.DescribeTo(namespace))
	case unnamed > 0:
		parts = append(parts, fmt.Sprintf("%d other Services", unnamed))
	}
	return strings.Join(parts, " and ")
}
