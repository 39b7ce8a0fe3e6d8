package apiconv

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// ParseAdvertisement reads an L2Advertisement. The error names the invalid field. Because of an invalid
// advertisement, no address is announced.
func ParseAdvertisement(object *v1beta1.L2Advertisement) (eligibility.Advertisement, *SpecError) {
	spec := &object.Spec
	scope, err := parseScope(object.Name, scopeFields{
		pools: spec.IPAddressPools, poolLabels: spec.IPAddressPoolSelectors, nodes: spec.NodeSelectors,
		services: spec.ServiceSelectors, namespaces: spec.NamespaceSelectors,
	})
	if err != nil {
		return eligibility.Advertisement{}, &SpecError{Reason: v1beta1.ReasonInvalidSelector, err: err}
	}
	ad := eligibility.Advertisement{Scope: scope, RequireSubnet: spec.RequireSubnet}
	for _, name := range spec.Interfaces {
		ad.Interfaces = append(ad.Interfaces, string(name))
	}
	preferred, err := compileSelectors(preferredSelectors(spec.PreferredNodeSelectors), "spec.preferredNodeSelectors")
	if err != nil {
		return eligibility.Advertisement{}, &SpecError{Reason: v1beta1.ReasonInvalidSelector, err: err}
	}
	for i, selector := range preferred {
		ad.Preferred = append(ad.Preferred, eligibility.Preference{Weight: spec.PreferredNodeSelectors[i].Weight, Selector: selector})
	}
	return ad, nil
}

// scopeFields has the fields that L2Advertisements and BGPAdvertisements have in common: they select pools,
// nodes and Services.
type scopeFields struct {
	pools                                   []v1beta1.ObjectName
	poolLabels, nodes, services, namespaces []metav1.LabelSelector
}

// parseScope reads the common fields of an advertisement with the given name. The error names the invalid
// field.
func parseScope(name string, s scopeFields) (eligibility.Scope, error) {
	scope := eligibility.Scope{Name: name}
	for _, pool := range s.pools {
		scope.Pools = append(scope.Pools, lb.PoolName(pool))
	}
	for _, list := range []struct {
		field string
		from  []metav1.LabelSelector
		to    *[]eligibility.Selector
	}{
		{"spec.ipAddressPoolSelectors", s.poolLabels, &scope.PoolSelectors},
		{"spec.nodeSelectors", s.nodes, &scope.NodeSelectors},
		{"spec.serviceSelectors", s.services, &scope.ServiceSelectors},
		{"spec.namespaceSelectors", s.namespaces, &scope.NamespaceSelectors},
	} {
		parsed, err := compileSelectors(list.from, list.field)
		if err != nil {
			return eligibility.Scope{}, err
		}
		*list.to = parsed
	}
	return scope, nil
}

func preferredSelectors(list []v1beta1.PreferredNodeSelector) []metav1.LabelSelector {
	selectors := make([]metav1.LabelSelector, 0, len(list))
	for i := range list {
		selectors = append(selectors, list[i].Preference)
	}
	return selectors
}

func compileSelectors(list []metav1.LabelSelector, field string) ([]eligibility.Selector, error) {
	parsed, err := parseSelectors(list, field)
	if err != nil {
		return nil, err
	}
	var selectors []eligibility.Selector
	for _, m := range parsed {
		selectors = append(selectors, m.Matches)
	}
	return selectors, nil
}
