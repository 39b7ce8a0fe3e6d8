package migrate

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// mapCiliumAdvertisements maps the items of a CiliumBGPAdvertisement for the peers whose families select it.
func (in *importer) mapCiliumAdvertisements(o *sourceObject, root field) {
	own, set := labels.Set{}, root.child("metadata").child("labels")
	for _, key := range set.keys() {
		own[key] = set.child(key).text()
	}
	peers := map[familySet][]v1beta1.ObjectName{} // by the families to which the advertisement must be restricted; an empty set means no restriction
	for i := range in.ciliumPeers {
		p := &in.ciliumPeers[i]
		switch announced := p.announcedFamilies(own); announced {
		case familySet{}:
		case p.carried:
			peers[familySet{}] = append(peers[familySet{}], p.name)
		default:
			peers[announced] = append(peers[announced], p.name)
		}
	}
	for i, f := range root.child("spec").child("advertisements").items() {
		if len(peers) == 0 {
			f.markRefused("no peer in the input receives this advertisement: import the CiliumBGPClusterConfig, and the CiliumBGPPeerConfig with a family that selects the advertisement")
			continue
		}
		for _, only := range []familySet{{}, {ipv4: true}, {ipv6: true}} {
			if len(peers[only]) == 0 {
				continue
			}
			if problem := in.addCiliumAdvertisement(f, fmt.Sprintf("%s-%d", o.name, i+1), peers[only], only, readCiliumAdvertisement); problem != "" {
				f.markRefused(problem)
			}
		}
	}
}

// addCiliumAdvertisement adds a BGPAdvertisement for the given peers to the stack. If the set named only is
// not empty, the advertisement names the pools with addresses of these families. The function read fills in
// the other fields; it returns the reason why a stack cannot have the advertisement, or an empty string. If
// the advertisement is left out, the result problem is a sentence with the reason.
func (in *importer) addCiliumAdvertisement(from field, original string, peers []v1beta1.ObjectName, only familySet, read func(field, *v1beta1.BGPAdvertisementSpec) string) (problem string) {
	if only != (familySet{}) {
		original += "-" + only.String()
	}
	name := in.names.nameOf(listBGPAdvertisements, original)
	from = from.withItem(itemPath(listBGPAdvertisements, name))
	a := v1beta1.StackBGPAdvertisement{Name: v1beta1.ObjectName(name)}
	a.Peers = peers
	problem = read(from, &a.BGPAdvertisementSpec)
	if problem == "" && only != (familySet{}) {
		a.IPAddressPools, problem = in.ciliumPoolsOf(only)
	}
	if problem != "" {
		return fmt.Sprintf("the advertisement to %s is left out: %s", joinNames(peers), problem)
	}
	if in.addBGPAdvertisement(from, a) && only != (familySet{}) {
		in.report.Notes = append(in.report.Notes, fmt.Sprintf("%s names the pools with %s addresses, since Cilium announces no other addresses to its peers: when you add such a pool, add its name to the advertisement.", from.item, only))
	}
	return ""
}

// joinNames returns names as a phrase.
func joinNames(names []v1beta1.ObjectName) string {
	texts := make([]string, 0, len(names))
	for _, name := range names {
		texts = append(texts, string(name))
	}
	return strings.Join(texts, ", ")
}

// readCiliumAdvertisement reads an item of a CiliumBGPAdvertisement. The result problem is the reason why a
// stack cannot have it; it is empty if a stack can.
func readCiliumAdvertisement(f field, a *v1beta1.BGPAdvertisementSpec) (problem string) {
	service, selector := f.child("service"), f.child("selector")
	hasAddresses := readServiceAddresses(service.child("addresses"))
	switch {
	case f.child("advertisementType").text() != "Service" || !hasAddresses:
		return "it is not for addresses of load balancers, and lbstack announces nothing else"
	case !selector.hasValue():
		return "it has no selector, so it selects no Service in Cilium either"
	}
	f.child("advertisementType").markMapped("name")
	if problem := readAdvertisedServices(selector, a); problem != "" {
		return problem
	}
	if problem := readCiliumAttributes(f.child("attributes"), a); problem != "" {
		return problem
	}
	for key, to := range map[string]*int32{"aggregationLengthIPv4": &a.AggregationLength, "aggregationLengthIPv6": &a.AggregationLengthV6} {
		most := map[string]int64{"aggregationLengthIPv4": 32, "aggregationLengthIPv6": 128}[key]
		if n, ok := service.child(key).number(1, most); ok {
			if service.child(key).markMapped("aggregationLength"); n != most {
				*to = int32(n)
			}
		}
	}
	return ""
}

// readServiceAddresses reports whether a list of address kinds has the kind LoadBalancerIP. It marks the
// other kinds as not mapped.
func readServiceAddresses(list field) (found bool) {
	for _, kind := range list.items() {
		if kind.text() == "LoadBalancerIP" {
			found = true
			kind.markMapped("name")
			continue
		}
		kind.markUnmapped("lbstack announces addresses of load balancers only, and no " + kind.text())
	}
	return found
}

// readAdvertisedServices reads the selector of the Services whose addresses are announced.
func readAdvertisedServices(selector field, a *v1beta1.BGPAdvertisementSpec) (problem string) {
	if selector.isEmpty() {
		selector.markMapped("name")
		return ""
	}
	services, namespaces, problem := ciliumSelector(selector, "serviceSelectors")
	if problem != "" {
		return problem
	}
	if services != nil {
		a.ServiceSelectors = []metav1.LabelSelector{*services}
	}
	if namespaces != nil {
		a.NamespaceSelectors = []metav1.LabelSelector{*namespaces}
	}
	return ""
}

// readCiliumAttributes reads the attributes of routes. The result problem is not empty if a stack cannot have
// one of the communities (for the same reason as in readCommunities).
func readCiliumAttributes(f field, a *v1beta1.BGPAdvertisementSpec) (problem string) {
	if n, ok := f.child("localPreference").number(0, math.MaxUint32); ok {
		a.LocalPref = &n
		f.child("localPreference").markMapped("localPref")
	}
	for _, key := range []string{"standard", "wellKnown", "large"} {
		for _, c := range f.child("communities").child(key).items() {
			reference, err := ciliumCommunity(key, c.text())
			switch {
			case err != nil:
				return fmt.Sprintf("%s: %v", c.path, err)
			case slices.Contains(a.Communities, reference):
			case len(a.Communities) == maxAdvertisementCommunities:
				return fmt.Sprintf("it has more than %d communities, and without one of them routers could propagate the routes further: split the advertisement into two", maxAdvertisementCommunities)
			default:
				a.Communities = append(a.Communities, reference)
			}
			c.markMapped("communities")
		}
	}
	slices.Sort(a.Communities)
	return ""
}

// ciliumCommunities has the values of the well-known communities that have a name in Cilium but not in
// lbstack.
var ciliumCommunities = map[string]string{
	"internet": "0:0", "planned-shut": "65535:0", "route-filter-translated-v4": "65535:2", "route-filter-v4": "65535:3",
	"route-filter-translated-v6": "65535:4", "route-filter-v6": "65535:5",
}

// ciliumCommunity converts a community to the notation of a stack. The parameter key is the name of Cilium's
// list that has the community: standard, wellKnown or large. In Cilium, a standard community can also be a
// single number of 32 bits.
func ciliumCommunity(key, text string) (v1beta1.CommunityReference, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	switch isNumber := err == nil; {
	case key == "large":
		text = "large:" + text
	case key == "wellKnown" && ciliumCommunities[text] != "":
		text = ciliumCommunities[text]
	case isNumber:
		text = fmt.Sprintf("%d:%d", n>>16, n&math.MaxUint16)
	}
	c, err := apiconv.ParseCommunity(text)
	if err != nil || strings.Contains(text, ":") {
		return v1beta1.CommunityReference(c.String()), err
	}
	return v1beta1.CommunityReference(text), nil
}
