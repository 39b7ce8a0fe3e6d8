package migrate

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// The names of the lists in the spec of a LoadBalancerStack, with the maximum number of items of each list.
// The other constants are the maximum lengths of lists within an item.
const (
	listPools, maxPools                         = "ipAddressPools", 64
	listL2Advertisements, maxL2Advertisements   = "l2Advertisements", 128
	listBGPPeers, maxPeers                      = "bgpPeers", 64
	listBGPAdvertisements, maxBGPAdvertisements = "bgpAdvertisements", 128
	listBFDProfiles, maxProfiles                = "bfdProfiles", 64
	listCommunities, maxCommunities             = "communities", 64
	maxAddresses, maxReferences                 = 128, 128
	maxSelectors, maxLabels                     = 32, 32
	maxAdvertisementCommunities, maxInterfaces  = 32, 32
)

// itemPath returns the path of an item of the stack, such as spec.bgpPeers[tor-1].
func itemPath(list, name string) string { return "spec." + list + "[" + name + "]" }

// registerItem records an item of a list of the stack and returns true. If problem is not nil, if the list
// already has an item of this name, or if the list is full, it returns false. It then marks the field from
// which the item was made (from) as refused.
func (in *importer) registerItem(from field, list, name string, length, most int, problem error) bool {
	item := itemPath(list, name)
	other, taken := in.items[item]
	switch {
	case problem != nil:
		from.markRefused(fmt.Sprintf("the item %s would be invalid: correct it and import again: %v", item, problem))
	case taken:
		from.markRefused(fmt.Sprintf("%s has an item of this name already, from %s: rename one of the two", "spec."+list, other))
	case length >= most:
		from.markRefused(fmt.Sprintf("spec.%s can have at most %d items: create this item as an object outside of the stack", list, most))
	default:
		in.items[item], in.owners[item], in.roots[item] = from.o.where, in.owner, from
		return true
	}
	return false
}

func (in *importer) addPool(from field, p v1beta1.StackIPAddressPool) bool {
	list := &in.stack.Spec.IPAddressPools
	object := &v1beta1.IPAddressPool{Spec: p.IPAddressPoolSpec}
	object.Name = string(p.Name)
	_, wrong := apiconv.ParsePool(object)
	problem := asError(wrong)
	if len(p.Addresses) == 0 && problem == nil {
		problem = fmt.Errorf("the pool has no address")
	}
	ok := in.registerItem(from, listPools, string(p.Name), len(*list), maxPools, problem)
	if ok {
		*list = append(*list, p)
	}
	return ok
}

func (in *importer) addL2(from field, a v1beta1.StackL2Advertisement) bool {
	list := &in.stack.Spec.L2Advertisements
	_, wrong := apiconv.ParseAdvertisement(&v1beta1.L2Advertisement{Spec: a.L2AdvertisementSpec})
	ok := in.registerItem(from, listL2Advertisements, string(a.Name), len(*list), maxL2Advertisements, asError(wrong))
	if ok {
		*list = append(*list, a)
	}
	return ok
}

func (in *importer) addPeer(from field, p v1beta1.StackBGPPeer) bool {
	list := &in.stack.Spec.BGPPeers
	_, wrong := apiconv.ParseBGPPeer(&v1beta1.BGPPeer{Spec: p.BGPPeerSpec})
	ok := in.registerItem(from, listBGPPeers, string(p.Name), len(*list), maxPeers, asError(wrong))
	if ok {
		*list = append(*list, p)
	}
	return ok
}

func (in *importer) addBGPAdvertisement(from field, a v1beta1.StackBGPAdvertisement) bool {
	list := &in.stack.Spec.BGPAdvertisements
	// The aliases of the stack are known only when the stack is complete. Here every name is accepted as an
	// alias, so that the parser checks the other fields.
	aliases := apiconv.CommunityAliases{}
	for _, c := range a.Communities {
		aliases[string(c)] = apiconv.AnyCommunity{}
	}
	_, wrong := apiconv.ParseBGPAdvertisement(&v1beta1.BGPAdvertisement{Spec: a.BGPAdvertisementSpec}, aliases)
	problem := asError(wrong)
	if wide := a.AggregationLength%32 != 0 || a.AggregationLengthV6%128 != 0; problem == nil && wide && len(a.ServiceSelectors)+len(a.NamespaceSelectors) > 0 {
		problem = fmt.Errorf("an advertisement with selectors of Services needs aggregationLength 32 and aggregationLengthV6 128")
	}
	ok := in.registerItem(from, listBGPAdvertisements, string(a.Name), len(*list), maxBGPAdvertisements, problem)
	if ok {
		*list = append(*list, a)
	}
	return ok
}

func (in *importer) addProfile(from field, p v1beta1.StackBFDProfile) bool {
	list := &in.stack.Spec.BFDProfiles
	_, wrong := apiconv.ParseBFDProfile(&v1beta1.BFDProfile{Spec: p.BFDProfileSpec})
	ok := in.registerItem(from, listBFDProfiles, string(p.Name), len(*list), maxProfiles, asError(wrong))
	if ok {
		*list = append(*list, p)
	}
	return ok
}

func (in *importer) addCommunities(from field, c v1beta1.StackCommunity) {
	list := &in.stack.Spec.Communities
	if in.registerItem(from, listCommunities, string(c.Name), len(*list), maxCommunities, nil) {
		*list = append(*list, c)
	}
}

// asError converts a pointer to an error. It returns nil for a nil pointer, unlike a plain conversion.
func asError[E interface {
	comparable
	error
}](e E) error {
	var none E
	if e == none {
		return nil
	}
	return e
}

// readItems calls read for each item of a list and returns the values without duplicates. It leaves out items
// for which read returns false. If there are more values than the maximum (most), it reports the rest as not
// mapped.
func readItems[T comparable](list field, target string, most int, read func(field) (T, bool)) (all []T) {
	for _, item := range list.items() {
		v, ok := read(item)
		switch {
		case !ok:
		case slices.Contains(all, v):
			item.markMapped(target)
		case len(all) >= most:
			item.markUnmapped(fmt.Sprintf("%s can have at most %d items", target, most))
		default:
			item.markMapped(target)
			all = append(all, v)
		}
	}
	return all
}

// selectorKeys are the names of a label selector's fields in one of the input formats.
type selectorKeys struct{ labels, expressions string }

var (
	objectSelectorKeys    = selectorKeys{"matchLabels", "matchExpressions"}
	configMapSelectorKeys = selectorKeys{"match-labels", "match-expressions"}
)

// readSelector reads a label selector.
func (k selectorKeys) readSelector(f field, target string) (s metav1.LabelSelector) {
	if f.isEmpty() {
		f.markMapped(target)
	}
	labels := f.child(k.labels)
	for _, key := range labels.keys() {
		if s.MatchLabels == nil {
			s.MatchLabels = map[string]string{}
		}
		s.MatchLabels[key] = labels.child(key).text()
		labels.child(key).markMapped(target)
	}
	for _, e := range f.child(k.expressions).items() {
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: e.child("key").text(), Operator: metav1.LabelSelectorOperator(e.child("operator").text()), Values: e.child("values").texts(),
		})
		for _, key := range []string{"key", "operator", "values"} {
			e.child(key).markMapped(target)
		}
	}
	return s
}

// readSelectors reads a list of label selectors. A list with more items than a stack can have is an error: the first items alone
// would select fewer objects.
func (k selectorKeys) readSelectors(list field, target string) (all []metav1.LabelSelector, err error) {
	for _, item := range list.items() {
		all = append(all, k.readSelector(item, target))
	}
	if len(all) > maxSelectors {
		return nil, fmt.Errorf("%s has %d items, but can have at most %d", target, len(all), maxSelectors)
	}
	return all, nil
}
