// Package migrate turns the configuration of another load balancer into one LoadBalancerStack, and
// reports the outcome of each field. It maps all formats of MetalLB, the address pools of kube-vip,
// and the kinds of Cilium that have an equivalent in a stack.
//
// It is pure: objects in, a stack and a report out. It reads no file and no cluster, and links no
// code of other load balancers, only the field names of their formats. The kubectl plugin calls it.
// A field that no mapping reads is reported as not mapped (see markRest in field.go), so that
// nothing is lost silently.
package migrate

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// Result is the outcome of an import.
type Result struct {
	// Stack has a spec and no status. Its lists are sorted by name.
	Stack v1beta1.LoadBalancerStack
	// Report has an entry for each field of the input.
	Report Report
	// origins has, for each item of the stack, the object of the input from which it was made (see
	// importer.items).
	origins map[string]string
}

// IsEmpty reports whether nothing of the input is in the stack.
func (r *Result) IsEmpty() bool {
	return r.Report.Count(Mapped)+r.Report.Count(Changed)+len(r.origins) == 0
}

// Import maps objects. Their order does not change the result. An object that is in the input twice with the
// same content counts once. The parameter namespace is the namespace of MetalLB, since MetalLB ignores
// objects of its kinds in other namespaces. If it is empty, Import uses the namespace of MetalLB's workloads
// in the input, if all of them are in one.
func Import(objects []Object, namespace string) Result {
	in := &importer{
		names: newItemNames(), values: map[string]string{}, aliased: map[string]bool{}, items: map[string]string{},
		owners: map[string]itemOwner{}, roots: map[string]field{}, poolLabels: map[v1beta1.ObjectName]map[string]string{}, oneFamily: map[string]bool{},
	}
	in.stack.APIVersion, in.stack.Kind = v1beta1.GroupVersion.String(), "LoadBalancerStack"
	in.stack.ObjectMeta = metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}
	sources := sortSources(objects)
	in.survey = newSurvey(sources, namespace)
	in.reserveNames(sources)
	for _, o := range sources {
		o.ignoreIdentity()
		if o.isConflict {
			o.rootField().markRefused("the input has two objects of this kind and name with different content, and the other one was used: remove one of the two")
			continue
		}
		in.owner = ownerOf(o)
		in.mapObject(o)
	}
	in.completeStack()
	for _, o := range sources {
		o.rootField().markRest()
		in.report.Entries = append(in.report.Entries, o.sortedEntries()...)
	}
	return Result{Stack: in.stack, Report: in.report, origins: in.items}
}

// importer is the state of one import.
type importer struct {
	stack  v1beta1.LoadBalancerStack
	report Report
	names  itemNames
	// values maps an alias of a community to the community. It has only the aliases whose name a stack cannot have.
	values map[string]string
	// aliased are the names of the community aliases that the stack has.
	aliased map[string]bool
	// items maps the path of each item of the stack (itemPath) to a phrase that names the object of the input from which the
	// item was made.
	items map[string]string
	// owners maps the path of each item of the stack to the configuration to which its object belongs.
	owners map[string]itemOwner
	// owner is the configuration to which the object that is being mapped belongs.
	owner itemOwner
	// roots maps the path of each item of the stack to the field from which it was made. refuseItem refuses this field.
	roots map[string]field
	// poolLabels are the labels of MetalLB's IPAddressPools in the input. They include labels that the pools of the stack do not
	// have.
	poolLabels map[v1beta1.ObjectName]map[string]string
	survey     inputSurvey
	// oneFamily has the paths of those peers from MetalLB whose disableMP restricts the session to one family.
	oneFamily map[string]bool
	// avoidsControlPlanes means that a DaemonSet of MetalLB's speaker does not tolerate the taint of control planes.
	avoidsControlPlanes bool
	// vip means that the stack announces pools of kube-vip on the local network.
	vip bool
	// peerConfigs are the objects CiliumBGPPeerConfig of the input.
	peerConfigs []*sourceObject
	// nodeOverrides are the objects CiliumBGPNodeConfigOverride of the input.
	nodeOverrides []*sourceObject
	// ciliumPeers are the peers of the stack that come from a CiliumBGPClusterConfig.
	ciliumPeers []ciliumPeer
	// hasNodePeers means that the stack has peers for single nodes, from a CiliumBGPNodeConfigOverride.
	hasNodePeers bool
	// hasPeeringPolicy means that the stack has peers from a CiliumBGPPeeringPolicy.
	hasPeeringPolicy bool
	// givesEnds means that a pool of Cilium gives the first and the last address of its CIDRs because it does not set
	// allowFirstLastIPs.
	givesEnds bool
}

// mapObject maps an object by its kind.
func (in *importer) mapObject(o *sourceObject) {
	root := o.rootField()
	if _, component := metalLBContainer(o); o.group == "metallb.io" || component != "" || isMetalLBConfig(o) {
		if why := in.survey.otherNamespaceReason(o); why != "" {
			root.markRefused(why)
			return
		}
	}
	switch o.group {
	case "metallb.io":
		in.mapMetalLB(o, root)
	case "cilium.io":
		in.mapCilium(o, root)
	case "":
		in.mapCore(o, root)
	case "apps":
		in.mapWorkload(o, root)
	case "frrk8s.metallb.io":
		mapFRRK8s(o, root)
	default:
		root.markIgnored(ignoredOther)
	}
}

// mapFRRK8s reports an object of FRR-K8s, the program that runs the BGP sessions in one of MetalLB's modes.
func mapFRRK8s(o *sourceObject, root field) {
	switch o.kind {
	case "FRRConfiguration":
		if o.name == "metallb-"+root.child("spec").child("nodeSelector").child("matchLabels").child(hostnameLabel).text() { // MetalLB writes one for each node
			root.markIgnored(ignoredState)
			return
		}
		root.markUnmapped("lbstack speaks BGP itself and runs no FRR: set the sessions and routes of this object in spec.bgpPeers and spec.bgpAdvertisements, and keep FRR running for other purposes")
	case "FRRNodeState", "BGPSessionState":
		root.markIgnored(ignoredState)
	case "FRRK8sConfiguration":
		root.markIgnored(ignoredRuntime)
	default:
		root.markUnmapped(unknownKindReason)
	}
}

// unknownKindReason is the reason why an object is not mapped if the import does not support its kind.
const unknownKindReason = "the import does not know this kind: look in the documentation of the other load balancer for what it configures"

// Reasons for which fields are ignored.
const (
	ignoredName    = "identifies the object"
	ignoredState   = "is state, and no configuration"
	ignoredOther   = "is no configuration of a load balancer"
	ignoredRuntime = "is about how the pods of the other load balancer run"
	ignoredEmpty   = "is empty"
)

func (in *importer) mapCore(o *sourceObject, root field) {
	data := root.child("data")
	switch {
	case o.kind == "ConfigMap" && data.child("config").hasValue():
		in.mapConfigMap(data)
	case o.kind == "ConfigMap" && data.child("excludel2.yaml").hasValue():
		in.mapExcludedInterfaces(data.child("excludel2.yaml"))
	case o.kind == "ConfigMap" && o.name == "metallb-memberlist-config":
		data.markUnmapped("lbstack detects failures in another way, within 0.4 s: set spec.layer2.failureDetection if this is too fast or too slow")
	case o.kind == "ConfigMap" && o.name == "bgpextras":
		data.markUnmapped("lbstack speaks BGP itself and runs no FRR: look in spec.bgpPeers and spec.bgpAdvertisements for fields that have the effect of these lines")
	case o.kind == "ConfigMap" && isKubeVIPConfig(o.name, data):
		in.mapKubeVIP(data)
	default:
		root.markIgnored(ignoredOther)
	}
}

// completeStack does the steps that need all items of the stack: it sorts them, restricts advertisements to
// their own pools and peers, and adds notes.
func (in *importer) completeStack() {
	spec := &in.stack.Spec
	slices.SortFunc(spec.IPAddressPools, func(a, b v1beta1.StackIPAddressPool) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.L2Advertisements, func(a, b v1beta1.StackL2Advertisement) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.BGPPeers, func(a, b v1beta1.StackBGPPeer) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.BGPAdvertisements, func(a, b v1beta1.StackBGPAdvertisement) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.BFDProfiles, func(a, b v1beta1.StackBFDProfile) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.Communities, func(a, b v1beta1.StackCommunity) int { return cmp.Compare(a.Name, b.Name) })
	in.narrowAdvertisements()
	in.markUnusedOverrides()
	in.noteDifferences()
}

// noteDifferences adds notes on differences that no field of the input shows.
func (in *importer) noteDifferences() {
	spec, note := &in.stack.Spec, func(text string) { in.report.Notes = append(in.report.Notes, text) }
	if len(spec.IPAddressPools) > 0 {
		note("Services of different namespaces share an address only if its pool has sharingScope: Cluster (in MetalLB the same sharing key is enough).")
		note("A Service keeps an address that its pool no longer gives, unless the pool has outsidePoolPolicy: Evict (MetalLB takes such an address from the Service).")
	}
	in.survey.noteNamespaces(note)
	if in.avoidsControlPlanes {
		note("MetalLB's speakers do not tolerate the taint of control planes, but the speakers of lbstack do: to announce nothing from control planes, set spec.speaker.nodeSelector, or nodeSelectors in the advertisements.")
	}
	in.noteOneFamily(note)
	in.noteCilium(note)
	if in.vip {
		note("The stack announces the addresses of kube-vip on the local network, since kube-vip's ConfigMap has no field for how they are announced. If kube-vip speaks BGP, set spec.bgpPeers and spec.bgpAdvertisements, and remove spec.l2Advertisements.")
	}
	if len(spec.IPAddressPools) > 0 && len(spec.L2Advertisements)+len(spec.BGPAdvertisements) == 0 {
		note("Nothing is announced: the input has pools, but no advertisement. Add one to spec.l2Advertisements or spec.bgpAdvertisements.")
	}
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return p.HoldTimeSeconds == nil }) {
		note("The hold time of a peer that sets none is 30 s (MetalLB: 90 s in native mode, 180 s with FRR; Cilium: 90 s).")
	}
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return !p.EBGPMultiHop }) {
		note("A router of another autonomous system that is more than one hop away needs ebgpMultiHop (MetalLB's native mode connects without it).")
	}
	in.noteMissing(note)
}

// noteMissing adds a note for each pool, peer, BFD profile and alias of a community that an item names and the stack does not have.
func (in *importer) noteMissing(note func(string)) {
	check := func(item, list string, names ...v1beta1.ObjectName) {
		for _, name := range names {
			if name != "" && in.items[itemPath(list, string(name))] == "" {
				note(fmt.Sprintf("%s names %s, which the stack does not have: import this item as well, or remove the name.", item, itemPath(list, string(name))))
			}
		}
	}
	for _, a := range in.stack.Spec.L2Advertisements {
		check(itemPath(listL2Advertisements, string(a.Name)), listPools, a.IPAddressPools...)
	}
	for _, a := range in.stack.Spec.BGPAdvertisements {
		check(itemPath(listBGPAdvertisements, string(a.Name)), listPools, a.IPAddressPools...)
		check(itemPath(listBGPAdvertisements, string(a.Name)), listBGPPeers, a.Peers...)
		for _, name := range a.Communities {
			if _, err := apiconv.ParseCommunity(string(name)); err != nil && !in.aliased[string(name)] {
				note(fmt.Sprintf("%s names the community %s, which the stack does not have: import the Community with this name as well, or write the community in numbers.", itemPath(listBGPAdvertisements, string(a.Name)), name))
			}
		}
	}
	for _, p := range in.stack.Spec.BGPPeers {
		check(itemPath(listBGPPeers, string(p.Name)), listBFDProfiles, p.BFDProfile)
	}
}

// noteOneFamily adds a note if the session of a peer from MetalLB carries routes of one family only, and
// pools from MetalLB have addresses of the other family. MetalLB up to 0.14 with FRR announced both families
// on each session.
func (in *importer) noteOneFamily(note func(string)) {
	var pools familySet
	for i := range in.stack.Spec.IPAddressPools {
		p := &in.stack.Spec.IPAddressPools[i]
		if in.owners[itemPath(listPools, string(p.Name))].loadBalancer() == ownerMetalLB {
			families := poolFamilies(p)
			pools.ipv4, pools.ipv6 = pools.ipv4 || families.ipv4, pools.ipv6 || families.ipv6
		}
	}
	var names []v1beta1.ObjectName
	for _, p := range in.stack.Spec.BGPPeers {
		item, carried := itemPath(listBGPPeers, string(p.Name)), addressFamilies(p.PeerAddress)
		if p.DualStackAddressFamily || p.PeerAddress == "" || in.oneFamily[item] || in.owners[item].loadBalancer() != ownerMetalLB {
			continue
		}
		if pools.ipv4 && !carried.ipv4 || pools.ipv6 && !carried.ipv6 {
			names = append(names, p.Name)
		}
	}
	if len(names) > 0 {
		note(fmt.Sprintf("A session carries only routes of the family of peerAddress, unless the peer has dualStackAddressFamily: true. This is as in MetalLB since 0.15; up to 0.14, MetalLB with FRR announced both families on each session. If MetalLB did, set dualStackAddressFamily in these peers: %s.", joinNames(names)))
	}
}
