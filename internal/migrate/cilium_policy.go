package migrate

import (
	"fmt"
	"math"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// noPodAddressesReason is why what Cilium announces of the networks of pods is not mapped.
const noPodAddressesReason = "lbstack announces addresses of Services, and none of pods"

// mapPeeringPolicy maps a CiliumBGPPeeringPolicy, the kind that CiliumBGPClusterConfig has replaced. Cilium has both kinds up to
// version 1.17, and on a node that both select it follows this one. After an update it can be left over, so that the newer kind
// counts if the input has both.
func (in *importer) mapPeeringPolicy(o *sourceObject, root field) {
	if in.survey.hasCiliumCluster {
		root.markRefused("the input has a CiliumBGPClusterConfig as well, which was imported: if the nodes follow this policy (Cilium up to 1.17), remove the CiliumBGPClusterConfig from the input and import again")
		return
	}
	in.hasPeeringPolicy = true
	for _, router := range root.at("spec").at("virtualRouters").items() {
		if router.at("exportPodCIDR").flag() {
			router.at("exportPodCIDR").markUnmapped(noPodAddressesReason)
		}
		router.at("exportPodCIDR").markIgnored("is off")
		router.at("podIPPoolSelector").markUnmapped(noPodAddressesReason)
		kinds := router.at("serviceAdvertisements")
		announces := readServiceAddresses(kinds) || kinds.isEmpty() // Cilium's default: addresses of load balancers
		for _, f := range router.at("neighbors").items() {
			in.mapNeighbor(o.name, root.at("spec").at("nodeSelector"), router, f, announces)
			f.at("advertisedPathAttributes").markUnread("no address of a load balancer is announced to this neighbor")
		}
		router.at("serviceSelector").markUnread("no address of a load balancer is announced to a neighbor of the stack")
	}
}

// mapNeighbor maps a neighbor of a CiliumBGPPeeringPolicy to a peer and, if it announces addresses of load balancers, an
// advertisement to this peer.
func (in *importer) mapNeighbor(policy string, nodes, router, f field, announces bool) {
	address, _, _ := strings.Cut(f.at("peerAddress").text(), "/") // Cilium has a CIDR, of one address
	original := fmt.Sprintf("%s-%s-%s", policy, router.at("localASN").text(), address)
	name := in.names.nameOf(listBGPPeers, original)
	f = f.setItem(itemPath(listBGPPeers, name))
	p := v1beta1.StackBGPPeer{Name: v1beta1.ObjectName(name)}
	if n, ok := router.at("localASN").number(1, math.MaxUint32); ok {
		p.MyASN = n
		router.at("localASN").setItem(f.item).markMapped("myASN")
	}
	readPeerASN(f.at("peerASN"), &p.BGPPeerSpec)
	p.PeerAddress = canonicalAddress(address)
	f.at("peerAddress").markMapped("peerAddress")
	if !nodes.isEmpty() {
		p.NodeSelectors = []metav1.LabelSelector{objectSelectorKeys.readSelector(nodes.setItem(f.item), "nodeSelectors")}
	}
	ciliumSession{timers: f, peerPort: f.at("peerPort"), multihop: f.at("eBGPMultihopTTL"), restart: f.at("gracefulRestart"), secret: f.at("authSecretRef")}.read(&p.BGPPeerSpec)
	announced := readNeighborFamilies(f.at("families"))
	carried := setCarriedFamilies(&p.BGPPeerSpec, announced)
	if !in.addPeer(f, p) || !announces || !router.at("serviceSelector").has() || announced == (familySet{}) {
		return
	}
	only := announced
	if announced == carried {
		only = familySet{}
	}
	services, attributes := router.at("serviceSelector"), f.at("advertisedPathAttributes")
	refused := []field{services, attributes}
	problem := in.addCiliumAdvertisement(services, original, []v1beta1.ObjectName{p.Name}, only, func(services field, a *v1beta1.BGPAdvertisementSpec) string {
		if problem := readPathAttributes(attributes.setItem(services.item), a); problem != "" {
			refused = []field{attributes} // other neighbors may have the same Services
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

// readNeighborFamilies returns the families whose routes Cilium announces to a neighbor: both if the list is empty.
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
			f.at(key).markMapped("dualStackAddressFamily")
		}
	}
	return families
}

// readPathAttributes reads the attributes of the routes to a neighbor. Attributes for a part of the pools are a problem: an
// advertisement of a stack has the same ones for all of its routes, and without them routers could propagate the routes further.
func readPathAttributes(list field, a *v1beta1.BGPAdvertisementSpec) (problem string) {
	found := false
	for _, f := range list.items() {
		if f.at("selectorType").text() != "CiliumLoadBalancerIPPool" {
			f.markUnmapped(noPodAddressesReason)
			continue
		}
		if found || !f.at("selector").isEmpty() {
			return "its routes have different attributes for each pool: add an item to spec.bgpAdvertisements for each set of pools"
		}
		found = true
		f.at("selectorType").markMapped("communities")
		f.at("selector").markMapped("communities")
		if problem := readCiliumAttributes(f, a); problem != "" {
			return problem
		}
	}
	return ""
}
