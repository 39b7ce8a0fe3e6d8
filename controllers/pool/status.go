package pool

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/validity"
)

const (
	// maxImpactEntries is the maximum number of entries in status.impact.
	maxImpactEntries = 64
	// fewFreeDivisor defines when a pool is nearly exhausted: when at most one in fewFreeDivisor of its
	// addresses is free.
	fewFreeDivisor = 10
)

// desiredStatus returns the status that a pool should have. It starts from the present status, so that a
// condition that does not change keeps its transition time.
func desiredStatus(object *v1beta1.IPAddressPool, result validity.PoolResult, state ipam.PoolState) v1beta1.IPAddressPoolStatus {
	next := *object.Status.DeepCopy()
	next.ObservedGeneration = object.Generation
	next.IPv4 = addressUsage(state.Usage, lb.IPv4)
	next.IPv6 = addressUsage(state.Usage, lb.IPv6)
	next.Claims = int64(state.Held)
	next.Outside = int64(len(state.OutsidePool))
	next.Impact = poolImpact(state.OutsidePool)
	next.Foreign = result.Foreign
	next.ForeignLosses = nil
	for _, at := range result.Losses {
		next.ForeignLosses = append(next.ForeignLosses, metav1.NewTime(at.Truncate(time.Second)))
	}
	set := func(kind string, is bool, reason, message string) {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: bounded.Message(message), ObservedGeneration: object.Generation}
		if is {
			c.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&next.Conditions, c)
	}
	set(v1beta1.ConditionReady, result.IsReady(), result.Reason, result.Message)

	const more = "add addresses to spec.addresses, or delete Services that have an address of the pool (kubectl get lbip lists them)"
	none, few := scarceFamilies(state.Usage)
	if hasNothingToGive(state.Usage) {
		set(v1beta1.ConditionExhausted, false, v1beta1.ReasonNothingToGive, "the pool gives no addresses at all: see the condition Ready")
		set(v1beta1.ConditionNearlyExhausted, false, v1beta1.ReasonNothingToGive, "the pool gives no addresses at all: see the condition Ready")
	} else {
		setScarce(set, v1beta1.ConditionExhausted, v1beta1.ReasonNoneFree, none, "every %s address of the pool is in use: "+more)
		setScarce(set, v1beta1.ConditionNearlyExhausted, v1beta1.ReasonFewFree, few, "at most one in ten %s addresses is free: "+more)
	}

	is, reason, message := conflictCondition(result.Conflicts)
	message = commonMACMessage(result.Foreign) + message
	set(v1beta1.ConditionConflict, is, reason, message)
	if n := len(state.OutsidePool); n > 0 {
		set(v1beta1.ConditionAddressesOutsidePool, true, v1beta1.ReasonKept,
			fmt.Sprintf("the pool no longer gives %d addresses that Services have: each Service keeps its address until the Service requests another one or is deleted: see status.impact, or set spec.outsidePoolPolicy to Evict to take the addresses away", n))
	} else {
		set(v1beta1.ConditionAddressesOutsidePool, false, v1beta1.ReasonNoneOutside, "no Service has an address that the pool no longer gives")
	}
	return next
}

// commonMACMessage returns the beginning of a message about the MAC address whose host uses the most
// addresses; empty if each host uses only one.
func commonMACMessage(list []v1beta1.ForeignAddress) string {
	uses, most := map[string]int{}, ""
	for _, f := range list {
		uses[f.HardwareAddress]++
		if n := uses[f.HardwareAddress] - uses[most]; n > 0 || n == 0 && f.HardwareAddress < most {
			most = f.HardwareAddress
		}
	}
	if uses[most] < 2 {
		return ""
	}
	return fmt.Sprintf("the host with the MAC %s uses %d of the %d addresses in status.foreign: ", most, uses[most], len(list))
}

// conflictCondition returns the condition Conflict, for addresses of the pool that foreign hosts, nodes or
// other pools have. The message names foreign hosts first, since an administrator does not expect them.
// Addresses that no host can have, such as the network address of a subnet, are in the message but are no
// conflict.
func conflictCondition(conflicts []ipam.Conflict) (is bool, reason, message string) {
	var hosts, given, overlaps, unconfirmed, edges []ipam.Conflict
	for _, c := range conflicts {
		switch {
		case c.ReportedOnly && !c.Foreign:
			unconfirmed = append(unconfirmed, c)
		case c.ReportedOnly:
			given = append(given, c)
		case c.Foreign:
			hosts = append(hosts, c)
		case c.As != "":
			edges = append(edges, c)
		default:
			overlaps = append(overlaps, c)
		}
	}
	var sentences []string
	if len(hosts) > 0 {
		sentences = append(sentences, fmt.Sprintf("%s: the pool gives an address again 10 minutes after the last report about its host; turn the host off, or add the address to spec.excludeAddresses; if the host is a node, turn off another load balancer, such as MetalLB, that announces the address from there, or else remove the address from the interfaces of the node", joinItems(hosts)))
	}
	if len(given) > 0 {
		sentences = append(sentences, fmt.Sprintf("%s: the pool gives these addresses nevertheless, since a pool loses at most %d addresses, and at most half of its addresses, to foreign hosts within an hour. While a host answers for an address that is not in use yet, the address is not announced. Turn the host off, or set spec.layer2.conflictDetection of the LoadBalancerStack to Report", joinItems(given), ipam.MaxLosses))
	}
	if len(overlaps) > 0 {
		sentences = append(sentences, fmt.Sprintf("%s: the pool gives no address that belongs to something else; correct spec.addresses, or add these addresses to spec.excludeAddresses", joinItems(overlaps)))
	}
	if len(unconfirmed) > 0 {
		sentences = append(sentences, fmt.Sprintf("%s: the pool gives these addresses nevertheless, since other nodes do not confirm this podCIDR, or the pool is older than the Node; correct spec.podCIDRs of the Node, or, if the podCIDR is right, add the addresses to spec.excludeAddresses", joinItems(unconfirmed)))
	}
	if len(edges) > 0 {
		sentences = append(sentences, fmt.Sprintf("%s: no host can have such an address, and no Service gets one", joinItems(edges)))
	}
	switch message = strings.Join(sentences, ". Besides, "); {
	case len(hosts)+len(given) > 0:
		return true, v1beta1.ReasonForeignHost, message
	case len(overlaps)+len(unconfirmed) > 0:
		return true, v1beta1.ReasonOverlap, message
	case len(edges) > 0:
		return false, v1beta1.ReasonSubnetAddresses, message
	}
	return false, v1beta1.ReasonNoConflict, "no address of the pool is known to belong to something else"
}

func setScarce(set func(kind string, is bool, reason, message string), kind, reason string, families []string, message string) {
	if len(families) > 0 {
		set(kind, true, reason, fmt.Sprintf(message, strings.Join(families, " and ")))
		return
	}
	set(kind, false, v1beta1.ReasonAddressesFree, "there are free addresses")
}

func hasNothingToGive(usage map[lb.Family]ipam.Usage) bool {
	for _, u := range usage {
		if u.Total.Sign() > 0 {
			return false
		}
	}
	return true
}

// scarceFamilies returns the address families of which no address is free (none), and those of which few or
// no addresses are free (few).
func scarceFamilies(usage map[lb.Family]ipam.Usage) (none, few []string) {
	for _, f := range []lb.Family{lb.IPv4, lb.IPv6} {
		u, ok := usage[f]
		if !ok || u.Total.Sign() == 0 {
			continue
		}
		free := u.Free()
		if free.Sign() == 0 {
			none = append(none, f.String())
		}
		if new(big.Int).Mul(free, big.NewInt(fewFreeDivisor)).Cmp(u.Total) <= 0 {
			few = append(few, f.String())
		}
	}
	return none, few
}

func poolImpact(kept []ipam.OutsideHolding) (list []v1beta1.PoolImpact) {
	for _, k := range kept[:min(maxImpactEntries, len(kept))] {
		list = append(list, v1beta1.PoolImpact{Namespace: k.Service.Namespace, Name: k.Service.Name, Address: k.Address.String(), Why: k.Why})
	}
	return list
}

func addressUsage(usage map[lb.Family]ipam.Usage, family lb.Family) *v1beta1.AddressUsage {
	u, ok := usage[family]
	if !ok {
		return nil
	}
	return &v1beta1.AddressUsage{Total: u.Total.String(), Used: u.Used, Free: u.Free().String()}
}

// maxListedItems is how many items a message lists; for the rest it gives their number.
const maxListedItems = 8

// joinItems joins items into a sentence.
func joinItems[T fmt.Stringer](items []T) string {
	var words []string
	for _, item := range items[:min(maxListedItems, len(items))] {
		words = append(words, item.String())
	}
	if n := len(items) - maxListedItems; n > 0 {
		words = append(words, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(words, "; ")
}
