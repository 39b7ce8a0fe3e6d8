package eligibility

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lb"
)

// maxNamedObjects is how many objects a sentence names. Further objects are only counted.
const maxNamedObjects = 3

// reasonMessage returns the reason of a decision in a sentence; empty if a node may announce.
func (r *resolver) reasonMessage(a Address, d addressDecision) string {
	switch d.reason {
	case NoAdvertisement:
		return r.whyNoAdvertisement(a)
	case NoEndpoints:
		return whyNoEndpoints(a)
	case NoNode:
		return r.whyNoNode(a, d.ads, d.local)
	}
	return ""
}

func (r *resolver) whyNoAdvertisement(a Address) string {
	if len(r.ads) == 0 {
		return WhyNoneExists(a.Pool, r.kind)
	}
	if ads := r.adsForPool(a.Pool); len(ads) > 0 {
		fields, labeled := r.selectorFields(ads)
		return fmt.Sprintf("%s of %s, which %s the pool %q, do not match the labels of %s%s: change the labels or the selectors",
			fields, r.advertisementNames(ads), verbFor(ads, "selects", "select"), a.Pool, labeled, decidingServicePhrase(a))
	}
	return fmt.Sprintf("no %s selects the pool %q: add the pool to spec.ipAddressPools of an existing one (%s), or create another one",
		r.kind, a.Pool, r.advertisementNames(allIndexes(len(r.ads))))
}

// decidingServicePhrase names the Service by which advertisements select an address.
func decidingServicePhrase(a Address) string {
	switch {
	case a.inSeveralNamespaces():
		return fmt.Sprintf("the Service that has had the address longest (%d Services, of several namespaces, share it)", len(a.Holders))
	case len(a.Holders) > 1:
		return fmt.Sprintf("the Service %s, which has had the address longest of those that share it", a.Holders[0])
	}
	return servicesPhrase(a)
}

// selectorFields returns the names of the fields by which the advertisements select Services. labeled
// names the objects whose labels these fields match, as words before the name of the Service.
func (r *resolver) selectorFields(ads []int) (fields, labeled string) {
	byService := slices.ContainsFunc(ads, func(i int) bool { return len(r.ads[i].ServiceSelectors) > 0 })
	byNamespace := slices.ContainsFunc(ads, func(i int) bool { return len(r.ads[i].NamespaceSelectors) > 0 })
	switch {
	case byService && byNamespace:
		return "spec.serviceSelectors and spec.namespaceSelectors", "the namespace and of "
	case byNamespace:
		return "spec.namespaceSelectors", "the namespace of "
	}
	return "spec.serviceSelectors", ""
}

// WhyNoneExists returns the message for an address of the pool if there are no advertisements
// of these kinds at all.
func WhyNoneExists(pool lb.PoolName, kinds ...AdvertisementKind) string {
	words := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		words = append(words, "no "+string(kind))
	}
	return fmt.Sprintf("there is %s, so nothing is announced: create one that selects the pool %q", strings.Join(words, " and "), pool)
}

func whyNoEndpoints(a Address) string {
	return fmt.Sprintf("%s %s no ready %s endpoint, so traffic would go nowhere: check that the pods run and are ready, and that spec.selector selects them",
		servicesPhrase(a), verbFor(a.Holders, "has", "have"), lb.FamilyOf(a.Address))
}

// whyNoNode returns why there is no candidate: because of the node selectors, the exclusions of nodes,
// or the endpoints.
func (r *resolver) whyNoNode(a Address, ads []int, local *localHolder) string {
	covered := r.coveredNodes(ads)
	if len(r.nodes) == 0 {
		return "the cluster has no node"
	}
	if len(covered) == 0 {
		return fmt.Sprintf("spec.nodeSelectors of %s match none of the %d nodes: change the selectors or the labels of the nodes",
			r.advertisementNames(ads), len(r.nodes))
	}
	if local != nil {
		return r.whyNotLocal(a, ads, covered, local)
	}
	return fmt.Sprintf("no node that %s %s may announce: %s", r.advertisementNames(ads), verbFor(ads, "selects", "select"), r.whyExcluded(covered))
}

func (r *resolver) whyNotLocal(a Address, ads, covered []int, h *localHolder) string {
	name := "the Service " + h.key.String()
	if a.inSeveralNamespaces() {
		name = "a Service that shares the address"
	}
	if len(h.nodes) == 0 {
		return fmt.Sprintf("spec.externalTrafficPolicy of %s is Local, and none of its endpoints is on a node of the cluster: set externalTrafficPolicy to Cluster", name)
	}
	why := fmt.Sprintf("spec.externalTrafficPolicy of %s is Local, and its ready endpoints are only on %s, which may not announce the address",
		name, Enumerate(nodeWord(len(h.nodes)), slices.Sorted(maps.Keys(h.nodes))))
	excluded := slices.DeleteFunc(r.servingNodes(h), func(i int) bool { return !slices.Contains(covered, i) })
	if len(excluded) > 0 {
		return why + ": " + r.whyExcluded(excluded)
	}
	names := make([]string, 0, len(covered))
	for _, i := range covered {
		names = append(names, string(r.nodes[i].Name))
	}
	return fmt.Sprintf("%s: %s %s %s; run a pod of the Service on such a node, or change spec.nodeSelectors",
		why, r.advertisementNames(ads), verbFor(ads, "selects", "select"), Enumerate(nodeWord(len(names)), names))
}

// coveredNodes returns the indexes of the nodes that one of the advertisements selects, including
// excluded nodes.
func (r *resolver) coveredNodes(ads []int) []int {
	var nodes []int
	for n := range r.nodes {
		if slices.ContainsFunc(ads, func(i int) bool { return r.reach[i].covers[n] }) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (r *resolver) servingNodes(local *localHolder) []int {
	var nodes []int
	for n := range r.nodes {
		if local.serves(r.nodes[n].Name) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// whyExcluded returns why the first maxNamedObjects of the nodes may not announce, and counts the others.
func (r *resolver) whyExcluded(nodes []int) string {
	parts := make([]string, 0, maxNamedObjects+1)
	for _, i := range nodes[:min(len(nodes), maxNamedObjects)] {
		parts = append(parts, fmt.Sprintf("%s %s", r.nodes[i].Name, r.nodes[i].Excluded))
	}
	if more := len(nodes) - maxNamedObjects; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more nodes are excluded as well", more))
	}
	return strings.Join(parts, "; ")
}

func (r *resolver) advertisementNames(ads []int) string {
	names := make([]string, 0, len(ads))
	for _, i := range ads {
		names = append(names, fmt.Sprintf("%q", r.ads[i].Name))
	}
	if len(names) == 1 {
		return fmt.Sprintf("the %s %s", r.kind, names[0])
	}
	slices.Sort(names)
	return Enumerate(fmt.Sprintf("the %ss", r.kind), names)
}

// inSeveralNamespaces reports whether Services of more than one namespace hold the address. The
// sentence then names no Service: all of these Services get the same sentence, and users of one
// namespace must not learn the names of Services in another namespace.
func (a Address) inSeveralNamespaces() bool {
	return slices.ContainsFunc(a.Holders, func(k lb.ServiceKey) bool { return k.Namespace != a.Holders[0].Namespace })
}

func servicesPhrase(a Address) string {
	if a.inSeveralNamespaces() {
		return fmt.Sprintf("the %d Services of several namespaces that share the address", len(a.Holders))
	}
	names := make([]string, 0, len(a.Holders))
	for _, key := range a.Holders {
		names = append(names, key.String())
	}
	if len(names) == 1 {
		return "the Service " + names[0]
	}
	slices.Sort(names)
	return Enumerate("the Services", names)
}

// Enumerate returns the words, followed by the first names of a list and the number of further names.
func Enumerate[T ~string](words string, names []T) string {
	return words + " " + bounded.Names(names, maxNamedObjects)
}

func verbFor[T any](list []T, one, many string) string {
	if len(list) == 1 {
		return one
	}
	return many
}

func nodeWord(n int) string {
	if n == 1 {
		return "the node"
	}
	return "the nodes"
}

func allIndexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
