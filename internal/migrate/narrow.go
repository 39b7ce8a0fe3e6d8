package migrate

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// itemOwner is the configuration from which an item was made. An advertisement that names no pools and peers applies to all pools
// and peers of its own load balancer. In a stack it would apply to the pools and peers of other load balancers as well, so narrowAdvertisements restricts it.
type itemOwner string

const (
	ownerMetalLB itemOwner = "MetalLB"
	// ownerOldPools is the owner of pools of MetalLB with the field protocol, and of the advertisements made from these pools.
	// No other advertisement applies to such a pool.
	ownerOldPools itemOwner = "pools of MetalLB that name a protocol"
	ownerCilium   itemOwner = "Cilium"
	ownerKubeVIP  itemOwner = "kube-vip"
)

func ownerOf(o *sourceObject) itemOwner {
	switch {
	case o.group == "cilium.io":
		return ownerCilium
	case o.group == "metallb.io" && o.kind != "AddressPool":
		return ownerMetalLB
	case o.group == "" && o.rootField().child("data").child("config").hasValue(), o.group == "metallb.io":
		return ownerOldPools
	}
	return ownerKubeVIP
}

// loadBalancer returns the same owner for all configurations of a load balancer: MetalLB has the same peers
// for all of its formats.
func (o itemOwner) loadBalancer() itemOwner {
	if o == ownerOldPools {
		return ownerMetalLB
	}
	return o
}

// narrowAdvertisements restricts each advertisement to the pools and peers to which it applied in the other
// load balancer. It names these pools and peers in the advertisement if the stack has pools or peers of
// another owner. It also does so if selectors use labels that pools in a stack do not have. An advertisement
// that would apply to no pool or no peer is removed from the stack.
func (in *importer) narrowAdvertisements() {
	spec := &in.stack.Spec
	for i := range spec.L2Advertisements {
		a := &spec.L2Advertisements[i]
		in.narrowPools(itemPath(listL2Advertisements, string(a.Name)), &a.IPAddressPools, &a.IPAddressPoolSelectors)
	}
	for i := range spec.BGPAdvertisements {
		a := &spec.BGPAdvertisements[i]
		item := itemPath(listBGPAdvertisements, string(a.Name))
		in.narrowPools(item, &a.IPAddressPools, &a.IPAddressPoolSelectors)
		in.narrowPeers(item, &a.Peers)
	}
	left := func(list string, name v1beta1.ObjectName) bool { return in.items[itemPath(list, string(name))] == "" }
	spec.L2Advertisements = slices.DeleteFunc(spec.L2Advertisements, func(a v1beta1.StackL2Advertisement) bool { return left(listL2Advertisements, a.Name) })
	spec.BGPAdvertisements = slices.DeleteFunc(spec.BGPAdvertisements, func(a v1beta1.StackBGPAdvertisement) bool { return left(listBGPAdvertisements, a.Name) })
}

func (in *importer) narrowPools(item string, names *[]v1beta1.ObjectName, selectors *[]metav1.LabelSelector) {
	if len(*names) > 0 && len(*selectors) == 0 {
		return
	}
	own, others, matching := in.owners[item], false, slices.Clone(*names)
	for _, p := range in.stack.Spec.IPAddressPools {
		if in.owners[itemPath(listPools, string(p.Name))] != own {
			others = true
		} else if isSelected(*selectors, in.poolLabels[p.Name]) && !slices.Contains(matching, p.Name) {
			matching = append(matching, p.Name)
		}
	}
	installed := slices.ContainsFunc(*selectors, selectsInstallation)
	if !others && !installed {
		return
	}
	why := "the stack also has pools of another configuration"
	if installed {
		why = "its selectors use labels that lbstack sets on pools itself"
	}
	if len(matching) == 0 {
		in.refuseItem(item, fmt.Sprintf("the advertisement is left out: it applies to no pool of %s in the input, and without names of pools it would apply to all pools of the stack", own))
		return
	}
	slices.Sort(matching)
	*names, *selectors = matching, nil
	in.report.Notes = append(in.report.Notes, fmt.Sprintf("%s names the pools that it applies to, since %s: when you add a pool, add its name to the advertisement.", item, why))
}

func (in *importer) narrowPeers(item string, names *[]v1beta1.ObjectName) {
	if len(*names) > 0 || in.items[item] == "" {
		return
	}
	own, others := in.owners[item].loadBalancer(), false
	var peers []v1beta1.ObjectName
	for _, p := range in.stack.Spec.BGPPeers {
		if in.owners[itemPath(listBGPPeers, string(p.Name))].loadBalancer() != own {
			others = true
		} else {
			peers = append(peers, p.Name)
		}
	}
	switch {
	case !others:
	case len(peers) == 0:
		in.refuseItem(item, fmt.Sprintf("the advertisement is left out: no peer of %s is in the input, and without names of peers it would apply to all peers of the stack", own))
	default:
		*names = peers
		in.report.Notes = append(in.report.Notes, item+" names its peers, since the stack has peers of another configuration: when you add a peer, add its name to the advertisement.")
	}
}

// refuseItem refuses the field from which an item was made. narrowAdvertisements then removes the item from the stack.
func (in *importer) refuseItem(item, why string) {
	in.roots[item].markRefused(why)
	delete(in.items, item)
}

// isSelected reports whether one of the selectors matches the labels in set. An empty list selects everything.
func isSelected(selectors []metav1.LabelSelector, set map[string]string) bool {
	return len(selectors) == 0 || slices.ContainsFunc(selectors, func(s metav1.LabelSelector) bool {
		selector, err := metav1.LabelSelectorAsSelector(&s)
		return err == nil && selector.Matches(labels.Set(set))
	})
}

// selectsInstallation reports whether a selector uses labels that describe how an object was installed. lbstack sets such
// labels on its pools itself, with other values.
func selectsInstallation(s metav1.LabelSelector) bool {
	for key := range s.MatchLabels {
		if isInstallationKey(key) {
			return true
		}
	}
	return slices.ContainsFunc(s.MatchExpressions, func(e metav1.LabelSelectorRequirement) bool { return isInstallationKey(e.Key) })
}

func isInstallationKey(key string) bool {
	return strings.HasPrefix(key, "app.kubernetes.io/") || strings.HasPrefix(key, "helm.sh/")
}
