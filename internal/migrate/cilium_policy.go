package migrate

import (
	"fmt"
	"math"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// noPodAddressesReason is the reason why fields for announcing the addresses of pods are not mapped.
const noPodAddressesReason = "lbstack announces addresses of Services, and none of pods"

// mapPeeringPolicy maps a CiliumBGPPeeringPolicy, the kind that CiliumBGPClusterConfig has replaced. Cilium
// up to version 1.17 has both kinds. If objects of both kinds select a node, Cilium uses the
// CiliumBGPPeeringPolicy there. After an update of Cilium, the cluster can still have a
// CiliumBGPPeeringPolicy that is no longer used. So the import uses the newer kind if the input has both.
func (in *importer) mapPeeringPolicy(o *sourceObject, root field) {
	if in.survey.hasCiliumCluster {
		root.markRefused("the input has a CiliumBGPClusterConfig as well, which was imported: if the nodes follow this policy (Cilium up to 1.17), remove the CiliumBGPClusterConfig from the input and import again")
		return
	}
	in.hasPeeringPolicy = true
	for _, router := range root.child("spec").child("virtualRouters").items() {
		if router.child("exportPodCIDR").flag() {
			router.child("exportPodCIDR").markUnmapped(noPodAddressesReason)
		}
		router.child("exportPodCIDR").markIgnored("is off")
		router.child("podIPPoolSelector").markUnmapped(noPodAddressesReason)
		kinds := router.child("serviceAdvertisements")
		announces := readServiceAddresses(kinds) || kinds.isEmpty() // Cilium's default: addresses of load balancers
		for _, f := range router.child("neighbors").items() {
			in.mapNeighbor(o.name, root.child("spec").child("nodeSelector"), router, f, announces)
			f.child("advertisedPathAttributes").markUnread("no address of a load balancer is announced to this neighbor")
		}
		router.child("serviceSelector").markUnread("no address of a load balancer is announced to a neighbor of the stack")
	}
}

// mapNeighbor maps a neighbor of a CiliumBGPPeeringPolicy to a peer and, if it announces addresses of load balancers, an
// advertisement to this peer.
func (in *importer) mapNeighbor(policy string, nodes, router, f field, announces bool) {
	address, _, _ := strings.Cut(f.child("peerAddress").text(), "/") // Cilium writes the address as a CIDR
	original := fmt.Sprintf("%s-%s-%s", policy, router.child("localASN").text(), address)
	name := in.names.nameOf(listBGPPeers, original)
	f = f.withItem(itemPath(listBGPPeers, name))
	p := v1beta1.StackBGPPeer{Name: v1beta1.ObjectName(name)}
	if n, ok := router.child("localASN").number(1, math.MaxUint32); ok {
		p.MyASN = n
		router.child("localASN").withItem(f.item).markMapped("myASN")
	}
	readPeerASN(f.child("peerASN"), &p.BGPPeerSpec)
	p.PeerAddress = canonicalAddress(address)
	f.child("peerAddress").markMapped("peerAddress")
	if !nodes.isEmpty() {
		p.NodeSelectors = []metav1.LabelSelector{objectSelectorKeys.readSelector(nodes.withItem(f.item), "nodeSelectors")}
	}
	ciliumSession{timers: f, peerPort: f.child("peerPort"), multihop: f.child("eBGPMultihopTTL"), restart: f.child("gracefulRestart"), secret: f.child("authSecretRef")}.read(&p.BGPPeerSpec)
	announced := readNeighborFamilies(f.child("families"))
	carried := setCarriedFamilies(&p.BGPPeerSpec, announced)
	if !in.addPeer(f, p) || !announces || !router.child("serviceSelector").hasValue() || announced == (familySet{}) {
		return
	}
	only := announced
	if announced == carried {
		only = familySet{}
	}
	services, attributes := router.child("serviceSelector"), f.child("advertisedPathAttributes")
	refused := []field{services, attributes}
	problem := in.addCiliumAdvertisement(services, original, []v1beta1.ObjectName{p.Name}, only, func(services field, a *v1beta1.BGPAdvertisementSpec) string {
		if problem := readPathAttributes(attributes.withItem(services.item), a); problem != "" {
			refused = []field{attributes} // not the selector of Services, which other neighbors may use
			return problem
		}
		return readAdvertisedServices(services, a)
	})
	if problem == "" {
		return
	}
	for _, part := range refused {
		part.markRefused(problem)
	}
}

// readNeighborFamilies returns the families whose routes Cilium announces to a neighbor. An empty list means
// both.
func readNeighborFamilies(list field) (families familySet) {
	items := list.items()
	if len(items) == 0 {
		return bothFamilies
	}
	for _, f := range items {
		family := ciliumFamily(f)
		if family == 0 {
			continue
		}
		families.add(family)
		for _, key := range []string{"afi", "safi"} {
			f.child(key).markMapped("dualStackAddressFamily")
		}
	}
	return families
}

// readPathAttributes reads the attributes of the routes to a neighbor. The result problem is not empty if
// some attributes are only for a part of the pools. In a stack, an advertisement has the same attributes for
// all of its routes. Without the attributes, routers could propagate the routes further than in Cilium.
func readPathAttributes(list field, a *v1beta1.BGPAdvertisementSpec) (problem string) {
	found := false
	for _, f := range list.items() {
		if f.child("selectorType").text() != "CiliumLoadBalancerIPPool" {
			f.markUnmapped(noPodAddressesReason)
			continue
		}
		if found || !f.child("selector").isEmpty() {
			return "its routes have different attributes for each pool: add an item to spec.bgpAdvertisements for each set of pools"
		}
		found = true
		f.child("selectorType").markMapped("communities")
		f.child("selector").markMapped("communities")
		if problem := readCiliumAttributes(f, a); problem != "" {
			return problem
		}
	}
	return ""
}
