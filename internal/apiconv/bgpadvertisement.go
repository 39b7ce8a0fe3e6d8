package apiconv

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/routes"
)

const (
	// singleIPv4Bits is the prefix length of one IPv4 address, and the default of aggregationLength.
	singleIPv4Bits = 32
	// singleIPv6Bits is the prefix length of one IPv6 address, and the default of aggregationLengthV6.
	singleIPv6Bits = 128
	// maxPrepend is the maximum of asPathPrepend.
	maxPrepend = 10
)

// ParseBGPAdvertisement reads a BGPAdvertisement. The error names the invalid field. Speakers keep the last
// valid configuration of an invalid advertisement.
func ParseBGPAdvertisement(object *v1beta1.BGPAdvertisement, aliases CommunityAliases) (routes.Advertisement, *SpecError) {
	spec := &object.Spec
	scope, err := parseScope(object.Name, scopeFields{
		pools: spec.IPAddressPools, poolLabels: spec.IPAddressPoolSelectors, nodes: spec.NodeSelectors,
		services: spec.ServiceSelectors, namespaces: spec.NamespaceSelectors,
	})
	if err != nil {
		return routes.Advertisement{}, &SpecError{Reason: v1beta1.ReasonInvalidSelector, err: err}
	}
	ad := routes.Advertisement{Scope: scope}
	for _, name := range spec.Peers {
		ad.Peers = append(ad.Peers, bgp.PeerName(name))
	}
	if err := parseLengths(spec, &ad); err != nil {
		return routes.Advertisement{}, err
	}
	attributes, wrong := parseAttributes(spec, aliases)
	if wrong != nil {
		return routes.Advertisement{}, wrong
	}
	ad.Attributes = attributes
	return ad, nil
}

// BGPAdvertisementScope returns which addresses a BGPAdvertisement may announce. For an invalid
// advertisement it returns a scope that matches all addresses: speakers use the last valid
// configuration, which the object does not contain.
func BGPAdvertisementScope(object *v1beta1.BGPAdvertisement, aliases CommunityAliases) eligibility.Scope {
	ad, err := ParseBGPAdvertisement(object, aliases)
	if err != nil {
		return eligibility.Scope{Name: object.Name}
	}
	return ad.Scope
}

func parseLengths(spec *v1beta1.BGPAdvertisementSpec, ad *routes.Advertisement) *SpecError {
	for _, length := range []struct {
		field string
		value int32
		whole int32
		to    *uint8
	}{
		{"spec.aggregationLength", spec.AggregationLength, singleIPv4Bits, &ad.Length},
		{"spec.aggregationLengthV6", spec.AggregationLengthV6, singleIPv6Bits, &ad.LengthV6},
	} {
		value := cmp.Or(length.value, length.whole)
		if value < 1 || value > length.whole {
			return specError(v1beta1.ReasonInvalidAdvertisement, length.field, fmt.Errorf("%d is not a length from 1 to %d", value, length.whole))
		}
		if value != length.whole && len(spec.ServiceSelectors)+len(spec.NamespaceSelectors) > 0 {
			return specError(v1beta1.ReasonInvalidAdvertisement, length.field, fmt.Errorf("must be %d if serviceSelectors or namespaceSelectors are set, since a shorter prefix also contains addresses of other Services", length.whole))
		}
		*length.to = uint8(value)
	}
	return nil
}

func parseAttributes(spec *v1beta1.BGPAdvertisementSpec, aliases CommunityAliases) (routes.Attributes, *SpecError) {
	var a routes.Attributes
	for _, number := range []struct {
		field string
		from  *int64
		to    *routes.OptionalNumber
	}{{"spec.localPref", spec.LocalPref, &a.LocalPref}, {"spec.med", spec.MED, &a.MED}} {
		if number.from == nil {
			continue
		}
		if *number.from < 0 || *number.from > math.MaxUint32 {
			return a, specError(v1beta1.ReasonInvalidAdvertisement, number.field, fmt.Errorf("%d is not a number from 0 to %d", *number.from, uint32(math.MaxUint32)))
		}
		*number.to = routes.OptionalNumber{Value: uint32(*number.from), Set: true}
	}
	if spec.ASPathPrepend < 0 || spec.ASPathPrepend > maxPrepend {
		return a, specError(v1beta1.ReasonInvalidAdvertisement, "spec.asPathPrepend", fmt.Errorf("%d is not a number from 0 to %d", spec.ASPathPrepend, maxPrepend))
	}
	a.Prepend = uint8(spec.ASPathPrepend)
	for i, item := range spec.Communities {
		value, err := aliases.resolve(item)
		if err != nil {
			return a, specError(err.Reason, fmt.Sprintf("spec.communities[%d]", i), errors.Unwrap(err))
		}
		if value.IsLarge {
			a.Large = append(a.Large, value.Large)
		} else {
			a.Communities = append(a.Communities, value.Standard)
		}
	}
	// The list may have a community twice: as numbers, and as an alias.
	slices.Sort(a.Communities)
	a.Communities = slices.Compact(a.Communities)
	slices.SortFunc(a.Large, func(x, y routes.LargeCommunity) int {
		return cmp.Or(cmp.Compare(x.Global, y.Global), cmp.Compare(x.Local1, y.Local1), cmp.Compare(x.Local2, y.Local2))
	})
	a.Large = slices.Compact(a.Large)
	return a, nil
}
