package apiconv

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// PoolError is an error in an IPAddressPool. The pool gives no addresses until the error is corrected.
type PoolError struct {
	// Reason is the reason of the pool's condition Ready.
	Reason string
	err    error
}

// Error returns a text with the field and the error in it.
func (e *PoolError) Error() string { return e.err.Error() }

// Unwrap returns the error with the same text.
func (e *PoolError) Unwrap() error { return e.err }

// ParsePool reads an IPAddressPool. If a field is invalid, it returns an error, and a pool that has the valid
// fields and the text of the error in Unusable.
func ParsePool(object *v1beta1.IPAddressPool) (ipam.Pool, *PoolError) {
	spec := &object.Spec
	p := ipam.Pool{
		Name:                  lb.PoolName(object.Name),
		Created:               object.CreationTimestamp.Time,
		AutoAssign:            spec.AutoAssign == nil || *spec.AutoAssign,
		AvoidBuggy:            spec.AvoidBuggyIPs,
		Draining:              spec.State == v1beta1.PoolDraining,
		Evict:                 spec.OutsidePoolPolicy == v1beta1.EvictOutsidePool,
		ShareAcrossNamespaces: spec.SharingScope == v1beta1.SharingInCluster,
	}
	p.MaxPerService = max(1, int(spec.MaxAddressesPerService))
	if spec.Quota != nil {
		p.MaxPerNamespace = int(spec.Quota.MaxAddressesPerNamespace)
	}
	refuse := func(reason string, err error) (ipam.Pool, *PoolError) {
		p.Unusable = err.Error()
		return p, &PoolError{Reason: reason, err: err}
	}
	var err, wrong error
	p.Listed, err = parseRanges(spec.Addresses, "spec.addresses")
	p.Excluded, wrong = parseRanges(spec.ExcludeAddresses, "spec.excludeAddresses")
	if err := cmp.Or(err, wrong); err != nil {
		return refuse(v1beta1.ReasonInvalidAddresses, err)
	}
	if spec.ServiceAllocation != nil {
		if p.Selection, err = parseAllocation(spec.ServiceAllocation); err != nil {
			return refuse(v1beta1.ReasonInvalidSelector, err)
		}
	}
	return p, nil
}

// parseRanges returns the valid ranges, and the first error. The valid ranges of an invalid pool still belong
// to that pool.
func parseRanges(items []v1beta1.AddressRange, field string) (ranges []lb.Range, err error) {
	ranges = make([]lb.Range, 0, len(items))
	for i, item := range items {
		r, e := ParseRange(string(item))
		if e == nil {
			ranges = append(ranges, r)
		} else if err == nil {
			err = fmt.Errorf("%s[%d]: %w", field, i, e)
		}
	}
	return ranges, err
}

func parseAllocation(spec *v1beta1.ServiceAllocation) (*ipam.Selection, error) {
	selection := &ipam.Selection{Priority: spec.Priority}
	for _, name := range spec.Namespaces {
		selection.Namespaces = append(selection.Namespaces, string(name))
	}
	var err error
	if selection.NamespaceSelectors, err = parseSelectors(spec.NamespaceSelectors, "spec.serviceAllocation.namespaceSelectors"); err != nil {
		return nil, err
	}
	if selection.ServiceSelectors, err = parseSelectors(spec.ServiceSelectors, "spec.serviceAllocation.serviceSelectors"); err != nil {
		return nil, err
	}
	return selection, nil
}

func parseSelectors(list []metav1.LabelSelector, field string) ([]ipam.Matcher, error) {
	var parsed []ipam.Matcher
	for i := range list {
		s, err := metav1.LabelSelectorAsSelector(&list[i])
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		parsed = append(parsed, selectorMatcher{s})
	}
	return parsed, nil
}

// selectorMatcher implements ipam.Matcher with a label selector.
type selectorMatcher struct{ selector labels.Selector }

// Matches implements ipam.Matcher.
func (m selectorMatcher) Matches(set map[string]string) bool {
	return m.selector.Matches(labels.Set(set))
}
