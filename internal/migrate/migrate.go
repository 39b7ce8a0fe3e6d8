// Package migrate turns the configuration of another load balancer into one LoadBalancerStack, and
// reports the outcome of each field. It maps all formats of MetalLB, the address pools of kube-vip,
// and the kinds of Cilium that have an equivalent in a stack.
//
// It is pure: objects in, a stack and a report out. It reads no file and no cluster, and links no
// code of other load balancers, only the field names of their formats. The kubectl plugin calls it.
// A field that no mapping reads is reported as not mapped, so that nothing is lost without a
// line in the report (see markRest in field.go).
package migrate

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Result is the outcome of an import.
type Result struct {
	// Stack has a spec and no status. Its lists are sorted by name.
	Stack v1beta1.LoadBalancerStack
	// Report has an entry for each field of the input.
	Report Report
	// origins has the object of the input that each item of the stack is from, as a phrase. The key is the path of the item
	// (itemPath).
	origins map[string]string
}

// Empty reports whether the input has nothing that a stack could have.
func (r *Result) Empty() bool {
	return r.Report.Count(Mapped)+r.Report.Count(Changed)+len(r.origins) == 0
}

// Import maps objects. Their order does not change the result. An object that is in the input twice with the same content
// counts once. namespace is the one in which MetalLB runs: MetalLB ignores objects of its kinds in other namespaces. If it is
// empty, Import uses the namespace of MetalLB's workloads in the input, if all of them are in one.
func Import(objects []Object, namespace string) Result {
	in := &importer{
		names: newItemNames(), values: map[string]string{}, aliased: map[string]bool{}, items: map[string]string{},
		owners: map[string]itemOwner{}, roots: map[string]field{}, poolLabels: map[v1beta1.ObjectName]map[string]string{},
	}
	in.stack.APIVersion, in.stack.Kind = v1beta1.GroupVersion.String(), "LoadBalancerStack"
	in.stack.ObjectMeta = metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}
	sources := sortSources(objects)
	in.survey = newSurvey(sources, namespace)
	in.reserveNames(sources)
	for _, o := range sources {
		o.ignoreIdentity()
		if first := o.conflictsWith; first != nil {
			o.rootField().markRefused("another object of this kind and name is in the input, with other content: remove one of the two (" + first.where + " is the one that was used)")
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
	// values are the communities of those aliases whose name a stack cannot have, by name.
	values map[string]string
	// aliased are the names of the community aliases that the stack has.
	aliased map[string]bool
	// items has the object of the input that each item of the stack is from, as a phrase. The key of items, owners and roots
	// is the path of the item.
	items map[string]string
	// owners has the configuration that each item of the stack is from. owner is the one of the object that is mapped now.
	owners map[string]itemOwner
	owner  itemOwner
	// roots has the field of the input that is refused if an item is removed from the stack again.
	roots map[string]field
	// readPoolLabels are the labels of MetalLB's IPAddressPools in the input, including those that the stack leaves out.
	poolLabels map[v1beta1.ObjectName]map[string]string
	survey     inputSurvey
	// avoidsControlPlanes means that a DaemonSet of MetalLB's speaker does not tolerate the taint of control planes.
	avoidsControlPlanes bool
	// vip means that the stack announces pools of kube-vip on the local network.
	vip bool
	// peerConfigs are the objects CiliumBGPPeerConfig of the input; ciliumPeers are the peers that come from Cilium.
	peerConfigs []*sourceObject
	ciliumPeers []ciliumPeer
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
		if o.kind != "FRRConfiguration" || o.name == "metallb-"+root.at("spec").at("nodeSelector").at("matchLabels").at("kubernetes.io/hostname").text() {
			root.markIgnored(ignoredState)
			return
		}
		root.markUnmapped("lbstack speaks BGP itself and has no configuration of FRR: set what it holds in spec.bgpPeers and spec.bgpAdvertisements, and keep FRR for what else it does")
	default:
		root.markIgnored(ignoredOther)
	}
}

// Reasons for which fields are ignored.
const (
	ignoredName    = "identifies the object"
	ignoredState   = "is state, and no configuration"
	ignoredOther   = "is no configuration of a load balancer"
	ignoredRuntime = "is about how the pods of the other load balancer run"
	ignoredEmpty   = "is empty"
)

func (in *importer) mapCore(o *sourceObject, root field) {
	data := root.at("data")
	switch {
	case o.kind == "ConfigMap" && data.at("config").has():
		in.mapConfigMap(data)
	case o.kind == "ConfigMap" && data.at("excludel2.yaml").has():
		in.mapExcludedInterfaces(data.at("excludel2.yaml"))
	case o.kind == "ConfigMap" && o.name == "metallb-memberlist-config":
		data.markUnmapped("lbstack finds failures in another way, within 0.4 s: set spec.layer2.failureDetection if that is too soon or too late")
	case o.kind == "ConfigMap" && o.name == "bgpextras":
		data.markUnmapped("lbstack speaks BGP itself and has no configuration of FRR: look in spec.bgpPeers and spec.bgpAdvertisements for what these lines do")
	case o.kind == "ConfigMap" && isKubeVIP(o.name, data):
		in.mapKubeVIP(data)
	default:
		root.markIgnored(ignoredOther)
	}
}

// completeStack does what needs all items of the stack: it sorts them, narrows advertisements, and adds notes.
func (in *importer) completeStack() {
	spec := &in.stack.Spec
	slices.SortFunc(spec.IPAddressPools, func(a, b v1beta1.StackIPAddressPool) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.L2Advertisements, func(a, b v1beta1.StackL2Advertisement) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.BGPPeers, func(a, b v1beta1.StackBGPPeer) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.BGPAdvertisements, func(a, b v1beta1.StackBGPAdvertisement) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.BFDProfiles, func(a, b v1beta1.StackBFDProfile) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(spec.Communities, func(a, b v1beta1.StackCommunity) int { return cmp.Compare(a.Name, b.Name) })
	in.narrowAdvertisements()
	in.noteDifferences()
}

// noteDifferences adds notes on differences that no field of the input shows.
func (in *importer) noteDifferences() {
	spec, note := &in.stack.Spec, func(text string) { in.report.Notes = append(in.report.Notes, text) }
	if len(spec.IPAddressPools) > 0 {
		note("Services of different namespaces share an address only if its pool has sharingScope: Cluster (MetalLB asks for the same key alone).")
		note("A Service keeps an address that its pool no longer gives, unless the pool has outsidePoolPolicy: Evict (MetalLB takes it away).")
	}
	in.survey.noteNamespaces(note)
	if in.avoidsControlPlanes {
		note("MetalLB's speakers do not tolerate the taint of control planes, and those of lbstack do: to announce nothing from there, set spec.speaker.nodeSelector, or nodeSelectors in the advertisements.")
	}
	if in.lacksFamily() {
		note("A session carries routes of the family of its addresses only, unless the peer has dualStackAddressFamily: true (MetalLB 0.13 with FRR announced both families on each session).")
	}
	if in.vip {
		note("kube-vip's ConfigMap does not say how addresses are announced: the stack announces them on the local network. If kube-vip speaks BGP, set spec.bgpPeers and spec.bgpAdvertisements, and remove spec.l2Advertisements.")
	}
	if len(spec.IPAddressPools) > 0 && len(spec.L2Advertisements)+len(spec.BGPAdvertisements) == 0 {
		note("Nothing is announced: the input has pools, and no advertisement. Add one to spec.l2Advertisements or spec.bgpAdvertisements.")
	}
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return p.HoldTimeSeconds == nil }) {
		note("The hold time of a peer that sets none is 30 s (MetalLB: 90 s in native mode, 180 s with FRR; Cilium: 90 s).")
	}
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return !p.EBGPMultiHop }) {
		note("A router of another autonomous system that is more than one hop away needs ebgpMultiHop (MetalLB's native mode connects without it).")
	}
	in.noteMissing(note)
}

// noteMissing adds a note for each pool, peer and BFD profile that an item names and the stack does not have.
func (in *importer) noteMissing(note func(string)) {
	check := func(item, list string, names ...v1beta1.ObjectName) {
		for _, name := range names {
			if name != "" && in.items[itemPath(list, string(name))] == "" {
				note(fmt.Sprintf("%s names %s, which is not in the stack: import it as well, or remove the name.", item, itemPath(list, string(name))))
			}
		}
	}
	for _, a := range in.stack.Spec.L2Advertisements {
		check(itemPath(listL2Advertisements, string(a.Name)), listPools, a.IPAddressPools...)
	}
	for _, a := range in.stack.Spec.BGPAdvertisements {
		check(itemPath(listBGPAdvertisements, string(a.Name)), listPools, a.IPAddressPools...)
		check(itemPath(listBGPAdvertisements, string(a.Name)), listBGPPeers, a.Peers...)
	}
	for _, p := range in.stack.Spec.BGPPeers {
		check(itemPath(listBGPPeers, string(p.Name)), listBFDProfiles, p.BFDProfile)
	}
}

// lacksFamily reports whether the pools have addresses of both families and a peer from MetalLB gets routes of one family
// only.
func (in *importer) lacksFamily() bool {
	families := map[lb.Family]bool{}
	for _, p := range in.stack.Spec.IPAddressPools {
		for _, text := range p.Addresses {
			if r, err := apiconv.ParseRange(string(text)); err == nil {
				families[lb.FamilyOf(r.First)] = true
			}
		}
	}
	return len(families) == 2 && slices.ContainsFunc(in.stack.Spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool {
		return !p.DualStackAddressFamily && in.owners[itemPath(listBGPPeers, string(p.Name))].product() == ownerMetalLB
	})
}
