package migrate

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// mapMetalLB maps an object of MetalLB's group.
func (in *importer) mapMetalLB(o *sourceObject, root field) {
	spec, name := root.child("spec"), root.child("metadata").child("name")
	if list := metalLBLists[o.kind]; list != "" {
		in.reportRename(name, list, o.name)
	}
	switch o.kind {
	case "IPAddressPool":
		in.mapPool(o, root)
	case "AddressPool":
		in.mapOldPool(root, spec, objectPoolKeys, o.name)
	case "L2Advertisement":
		in.mapL2Advertisement(o, root)
	case "BGPAdvertisement":
		in.mapBGPAdvertisement(o, root)
	case "BGPPeer":
		in.mapPeer(root, spec, objectPeerKeys, o.name)
	case "BFDProfile":
		in.mapProfile(root, spec, objectProfileKeys, o.name)
	case "Community":
		in.mapCommunity(root, o.name)
	case "MetalLB":
		in.mapOperatorObject(spec)
	case "ServiceL2Status", "ServiceBGPStatus", "ConfigurationState":
		root.markIgnored(ignoredState)
	default:
		root.markUnmapped(unknownKindReason)
	}
}

// metalLBLists has, for each kind of MetalLB, the list of a stack to which the kind is mapped.
var metalLBLists = map[string]string{
	"IPAddressPool": listPools, "AddressPool": listPools, "L2Advertisement": listL2Advertisements, "BGPAdvertisement": listBGPAdvertisements,
	"BGPPeer": listBGPPeers, "BFDProfile": listBFDProfiles, "Community": listCommunities,
}

// mapPool maps an IPAddressPool.
func (in *importer) mapPool(o *sourceObject, root field) {
	name := in.names.nameOf(listPools, o.name)
	spec := root.child("spec").withItem(itemPath(listPools, name))
	p := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
	labels := root.child("metadata").withItem(spec.item).child("labels")
	p.Labels = readPoolLabels(labels)
	p.Addresses = readAddresses(spec.child("addresses"))
	if auto := spec.child("autoAssign"); auto.hasValue() {
		v := auto.flag()
		auto.markMapped("autoAssign")
		p.AutoAssign = &v
	}
	p.AvoidBuggyIPs = spec.child("avoidBuggyIPs").flag()
	spec.child("avoidBuggyIPs").markMapped("avoidBuggyIPs")
	var err error
	if p.ServiceAllocation, err = in.readAllocation(spec.child("serviceAllocation")); err != nil {
		root.markRefused("the pool is left out: " + err.Error())
		return
	}
	if a := spec.child("serviceAllocation"); a.hasValue() && len(p.ServiceAllocation.Namespaces)+len(p.ServiceAllocation.NamespaceSelectors)+len(p.ServiceAllocation.ServiceSelectors) == 0 {
		no := false
		p.AutoAssign, p.ServiceAllocation = &no, nil
		a.markChanged("autoAssign", "it selects no Services, and MetalLB then gives addresses of the pool only to Services that name the pool: so autoAssign becomes false")
	}
	if in.addPool(root, p) {
		in.poolLabels[p.Name] = map[string]string{}
		for _, key := range labels.keys() {
			in.poolLabels[p.Name][key] = labels.child(key).text()
		}
	}
}

// readPoolLabels returns the labels that the pool of the stack gets, for selectors in advertisements.
func readPoolLabels(f field) (labels map[string]string) {
	for _, key := range f.keys() {
		label := f.child(key)
		switch {
		case isInstallationKey(key):
			label.markIgnored("is about how the object was installed")
		case strings.HasPrefix(key, "lbstack.io/"):
			label.markUnmapped("labels of lbstack.io are set by lbstack")
		case len(labels) == maxLabels:
			label.markUnmapped(fmt.Sprintf("labels can have at most %d items", maxLabels))
		default:
			if labels == nil {
				labels = map[string]string{}
			}
			labels[key] = label.text()
			label.markMapped("labels")
		}
	}
	return labels
}

// readAddresses reads CIDRs and ranges. Invalid ones are left out and reported.
func readAddresses(list field) []v1beta1.AddressRange {
	return readItems(list, "addresses", maxAddresses, func(f field) (v1beta1.AddressRange, bool) {
		text := strings.TrimSpace(f.text())
		parsed, err := apiconv.ParseRange(text)
		if err != nil {
			f.markUnmapped("left out of the stack until you correct it: " + err.Error())
			return "", false
		}
		if !strings.Contains(text, "/") {
			text = parsed.String()
		}
		return v1beta1.AddressRange(text), true
	})
}

func (in *importer) readAllocation(f field) (*v1beta1.ServiceAllocation, error) {
	if !f.hasValue() {
		return nil, nil
	}
	a := &v1beta1.ServiceAllocation{}
	if f.isEmpty() {
		f.markMapped("serviceAllocation")
	}
	if n, ok := f.child("priority").number(0, 1<<31-1); ok {
		a.Priority = int32(n)
		f.child("priority").markMapped("serviceAllocation.priority")
	}
	namespaces, err := f.child("namespaces"), error(nil)
	for i, ns := range namespaces.items() {
		if i >= maxReferences || !isDNSLabel(ns.text()) {
			return nil, fmt.Errorf("serviceAllocation.namespaces[%d]: at most %d names of namespaces are possible", i, maxReferences)
		}
	}
	a.Namespaces = readItems(namespaces, "serviceAllocation.namespaces", maxReferences, func(f field) (v1beta1.ObjectName, bool) {
		return v1beta1.ObjectName(f.text()), true
	})
	if a.NamespaceSelectors, err = objectSelectorKeys.readSelectors(f.child("namespaceSelectors"), "serviceAllocation.namespaceSelectors"); err != nil {
		return nil, err
	}
	a.ServiceSelectors, err = objectSelectorKeys.readSelectors(f.child("serviceSelectors"), "serviceAllocation.serviceSelectors")
	return a, err
}

// reportRename reports the name that an item gets if the stack cannot have its original name. The parameter
// name is the field with the original name.
func (in *importer) reportRename(name field, list, original string) {
	given := in.names.nameOf(list, original)
	if given == original || !name.hasValue() {
		return
	}
	note := fmt.Sprintf("the name becomes %s: names are DNS labels", given)
	if list == listPools {
		note += "; correct the annotation address-pool of Services that name this pool"
	}
	delete(name.o.entries, name.path)
	name.withItem(itemPath(list, given)).markChanged("name", note)
}

// adSelectors are the pools, nodes and Services that an L2Advertisement or a BGPAdvertisement selects.
type adSelectors struct {
	pools                                      []v1beta1.ObjectName
	poolSelectors, nodeSelectors, svcSelectors []metav1.LabelSelector
}

func (in *importer) readAdSelectors(spec field) (s adSelectors, err error) {
	if s.pools, err = in.readReferences(spec.child("ipAddressPools"), listPools); err != nil {
		return s, err
	}
	var errs [3]error
	s.poolSelectors, errs[0] = objectSelectorKeys.readSelectors(spec.child("ipAddressPoolSelectors"), "ipAddressPoolSelectors")
	s.nodeSelectors, errs[1] = objectSelectorKeys.readSelectors(spec.child("nodeSelectors"), "nodeSelectors")
	s.svcSelectors, errs[2] = objectSelectorKeys.readSelectors(spec.child("serviceSelectors"), "serviceSelectors")
	return s, errors.Join(errs[:]...)
}

// readReferences reads names of items in a list of the stack (to). It is an error if there are more names
// than a stack can have: without some of them, the advertisement would apply to fewer pools or peers than in
// MetalLB.
func (in *importer) readReferences(list field, to string) (names []v1beta1.ObjectName, err error) {
	if n := len(list.items()); n > maxReferences {
		return nil, fmt.Errorf("%s has %d items, but can have at most %d", list.path, n, maxReferences)
	}
	target := map[string]string{listPools: "ipAddressPools", listBGPPeers: "peers"}[to]
	return readItems(list, target, maxReferences, func(f field) (v1beta1.ObjectName, bool) {
		return v1beta1.ObjectName(in.names.nameOf(to, f.text())), true
	}), nil
}

// mapL2Advertisement maps an L2Advertisement.
func (in *importer) mapL2Advertisement(o *sourceObject, root field) {
	name := in.names.nameOf(listL2Advertisements, o.name)
	spec := root.child("spec").withItem(itemPath(listL2Advertisements, name))
	s, err := in.readAdSelectors(spec)
	a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(name)}
	a.IPAddressPools, a.IPAddressPoolSelectors, a.NodeSelectors, a.ServiceSelectors = s.pools, s.poolSelectors, s.nodeSelectors, s.svcSelectors
	if err == nil {
		a.Interfaces, err = in.readInterfaces(spec.child("interfaces"))
	}
	if err == nil {
		a.PreferredNodeSelectors, err = readPreferredNodes(spec.child("preferredNodeSelectors"))
	}
	if err != nil {
		root.markRefused("the advertisement is left out: " + err.Error())
		return
	}
	in.addL2(root, a)
}

// readInterfaces returns the interfaces of an advertisement without those that metallb-excludel2 excludes. It is an error if none
// is left. It is also an error if the advertisement is for all interfaces and metallb-excludel2 has custom patterns.
func (in *importer) readInterfaces(list field) ([]v1beta1.InterfaceName, error) {
	items := list.items()
	if len(items) == 0 && in.survey.hasCustomExclusions {
		return nil, errors.New(exclusionConflictReason)
	}
	for _, f := range items {
		if name := f.text(); !isInterface(name) {
			return nil, fmt.Errorf("%s: %q is not a possible name of an interface", f.path, name)
		}
	}
	if len(items) > maxInterfaces {
		return nil, fmt.Errorf("%s has %d items, but can have at most %d", list.path, len(items), maxInterfaces)
	}
	names := readItems(list, "interfaces", maxInterfaces, func(f field) (v1beta1.InterfaceName, bool) {
		if in.survey.isExcluded(f.text()) {
			f.markUnmapped("it is left out: metallb-excludel2 excludes the interface")
			return "", false
		}
		return v1beta1.InterfaceName(f.text()), true
	})
	if len(names) == 0 && len(items) > 0 {
		return nil, errors.New("metallb-excludel2 excludes all of its interfaces")
	}
	return names, nil
}

// exclusionConflictReason is why an advertisement for all interfaces is left out if metallb-excludel2 has custom patterns.
const exclusionConflictReason = "it is for all interfaces that metallb-excludel2 does not exclude, and a stack cannot exclude interfaces by pattern: name the interfaces in the field interfaces of the advertisement, and import again"

// isInterface reports whether Linux can have an interface of that name (v1beta1.InterfaceName).
func isInterface(name string) bool {
	return name != "" && len(name) <= 15 && !strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsSpace(r) })
}

func readPreferredNodes(list field) (all []v1beta1.PreferredNodeSelector, err error) {
	for _, f := range list.items() {
		weight, ok := f.child("weight").number(1, 100)
		if !ok || len(all) == maxSelectors {
			return nil, fmt.Errorf("%s: at most %d preferences, each with a weight of 1 to 100, are possible", f.path, maxSelectors)
		}
		f.child("weight").markMapped("preferredNodeSelectors")
		all = append(all, v1beta1.PreferredNodeSelector{Weight: int32(weight), Preference: objectSelectorKeys.readSelector(f.child("preference"), "preferredNodeSelectors")})
	}
	return all, nil
}
