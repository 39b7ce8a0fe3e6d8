package migrate

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// familySet is a set of address families.
//
// In Cilium, each family of a session has its own selector of advertisements. In a stack, an advertisement
// applies to all families that the session carries. If Cilium announces only one of these families, the
// advertisement in the stack names only pools with addresses of that family.
type familySet struct{ ipv4, ipv6 bool }

var bothFamilies = familySet{ipv4: true, ipv6: true}

func (s *familySet) add(f lb.Family) {
	s.ipv4, s.ipv6 = s.ipv4 || f == lb.IPv4, s.ipv6 || f == lb.IPv6
}

func (s familySet) has(f lb.Family) bool { return f == lb.IPv4 && s.ipv4 || f == lb.IPv6 && s.ipv6 }

// String returns the families as a phrase.
func (s familySet) String() string {
	var names []string
	for _, f := range []lb.Family{lb.IPv4, lb.IPv6} {
		if s.has(f) {
			names = append(names, f.String())
		}
	}
	return strings.Join(names, " and ")
}

// poolFamilies returns the families of the addresses of a pool.
func poolFamilies(p *v1beta1.StackIPAddressPool) (families familySet) {
	for _, text := range p.Addresses {
		if r, err := apiconv.ParseRange(string(text)); err == nil {
			families.add(lb.FamilyOf(r.First))
		}
	}
	return families
}

// addressFamilies returns a set with the family of a router's address. The set is empty if the text is not an
// address.
func addressFamilies(address string) (families familySet) {
	if a, err := apiconv.ParseAddress(address); err == nil {
		families.add(lb.FamilyOf(a))
	}
	return families
}

// setCarriedFamilies configures a peer so that its session carries routes of the announced families. It
// returns all families that the session carries. These always include the family of the router's address.
func setCarriedFamilies(p *v1beta1.BGPPeerSpec, announced familySet) (carried familySet) {
	carried = addressFamilies(p.PeerAddress)
	if announced.ipv4 && !carried.ipv4 || announced.ipv6 && !carried.ipv6 {
		p.DualStackAddressFamily = true
		return bothFamilies
	}
	return carried
}

// ciliumFamily returns the family in an item of Cilium's lists of families. If lbstack announces no routes of
// this family, it returns 0 and marks the item as not mapped.
func ciliumFamily(f field) lb.Family {
	family := map[string]lb.Family{"ipv4": lb.IPv4, "ipv6": lb.IPv6}[f.child("afi").text()]
	if family == 0 || f.child("safi").text() != "unicast" {
		f.markUnmapped("lbstack announces unicast routes of IPv4 and IPv6 only")
		return 0
	}
	return family
}

// readFamilySelectors returns the selectors of the CiliumBGPAdvertisements for each family of a session.
func readFamilySelectors(list field) map[lb.Family]labels.Selector {
	selectors := map[lb.Family]labels.Selector{}
	for _, f := range slices.Backward(list.items()) {
		family, advertisements := ciliumFamily(f), f.child("advertisements").withItem("spec."+listBGPAdvertisements+"[]")
		switch {
		case family == 0:
			continue
		case !advertisements.hasValue():
			f.markIgnored("Cilium announces no routes of this family, since the item selects no advertisements")
			continue
		case selectors[family] != nil:
			f.markIgnored("Cilium uses a later item with the same family instead")
			continue
		}
		s := objectSelectorKeys.readSelector(advertisements, "peers")
		selector, err := metav1.LabelSelectorAsSelector(&s)
		if err != nil {
			f.markUnmapped("its selector is invalid, and nothing is announced: correct it and import again: " + err.Error())
			continue
		}
		for _, key := range []string{"afi", "safi"} {
			f.child(key).markMapped("dualStackAddressFamily")
		}
		selectors[family] = selector
	}
	return selectors
}

// ciliumPoolsOf returns the sorted names of the pools from Cilium whose addresses belong to exactly these
// families. The result problem is the reason why an advertisement cannot be restricted to these families. It
// is empty if that is possible.
func (in *importer) ciliumPoolsOf(only familySet) (names []v1beta1.ObjectName, problem string) {
	for i := range in.stack.Spec.IPAddressPools {
		p := &in.stack.Spec.IPAddressPools[i]
		if in.owners[itemPath(listPools, string(p.Name))] != ownerCilium {
			continue
		}
		switch poolFamilies(p) {
		case only:
			names = append(names, p.Name)
		case bothFamilies:
			return nil, fmt.Sprintf("Cilium announces only %s routes to these peers, and the pool %s has addresses of both families: split the pool into two and import again", only, p.Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Sprintf("Cilium announces only %s routes to these peers, and the input has no CiliumLoadBalancerIPPool with %s addresses", only, only)
	}
	slices.Sort(names)
	return names, ""
}
