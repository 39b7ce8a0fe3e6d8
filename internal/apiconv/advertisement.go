package apiconv

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/lb"
)

// ParseAdvertisement reads an L2Advertisement. The error names the field that
// means nothing; such an advertisement announces nothing.
func ParseAdvertisement(object *v1beta1.L2Advertisement) (advertise.Advertisement, error) {
	spec := &object.Spec
	ad := advertise.Advertisement{Name: object.Name, RequireSubnet: spec.RequireSubnet}
	for _, name := range spec.IPAddressPools {
		ad.Pools = append(ad.Pools, lb.PoolName(name))
	}
	for _, name := range spec.Interfaces {
		ad.Interfaces = append(ad.Interfaces, string(name))
	}
	lists := []struct {
		field string
		from  []metav1.LabelSelector
		to    *[]advertise.Selector
	}{
		{"spec.ipAddressPoolSelectors", spec.IPAddressPoolSelectors, &ad.PoolSelectors},
		{"spec.nodeSelectors", spec.NodeSelectors, &ad.NodeSelectors},
		{"spec.serviceSelectors", spec.ServiceSelectors, &ad.ServiceSelectors},
	}
	for _, list := range lists {
		parsed, err := compile(list.from, list.field)
		if err != nil {
			return advertise.Advertisement{}, err
		}
		*list.to = parsed
	}
	preferred, err := compile(preferences(spec.PreferredNodeSelectors), "spec.preferredNodeSelectors")
	if err != nil {
		return advertise.Advertisement{}, err
	}
	for i, selector := range preferred {
		ad.Preferred = append(ad.Preferred, advertise.Preference{Weight: spec.PreferredNodeSelectors[i].Weight, Selector: selector})
	}
	return ad, nil
}

func preferences(list []v1beta1.PreferredNodeSelector) []metav1.LabelSelector {
	selectors := make([]metav1.LabelSelector, 0, len(list))
	for i := range list {
		selectors = append(selectors, list[i].Preference)
	}
	return selectors
}

func compile(list []metav1.LabelSelector, field string) ([]advertise.Selector, error) {
	parsed, err := parseSelectors(list, field)
	if err != nil {
		return nil, err
	}
	var selectors []advertise.Selector
	for _, m := range parsed {
		selectors = append(selectors, m.Matches)
	}
	return selectors, nil
}
