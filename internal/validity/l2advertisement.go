package validity

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// L2AdvertisementResults returns the result for each advertisement, by name.
func L2AdvertisementResults(o *Objects) map[string]Result {
	results, around := map[string]Result{}, newL2Input(o)
	for i := range o.L2Advertisements {
		object := &o.L2Advertisements[i]
		ad, err := apiconv.ParseAdvertisement(object)
		if err != nil {
			results[object.Name] = Result{Reason: err.Reason, Message: err.Error() + ": correct the field; until then the advertisement has no effect"}
			continue
		}
		results[object.Name] = around.check(&ad)
	}
	return results
}

// l2Input has the objects on which the results of valid L2Advertisements depend.
type l2Input struct {
	pools []eligibility.Pool
	nodes []eligibility.Node
	// links has, for each node with a running speaker, the interfaces that the speaker can announce on.
	links map[lb.NodeName]nodeLinks
}

// nodeLinks has the interfaces of a node.
type nodeLinks struct {
	names map[string]bool
	// subnets are the subnets of the interfaces.
	subnets []lb.Range
	// truncated means that the node may have further interfaces: the list has the maximum length of a
	// SpeakerState.
	truncated bool
}

func newL2Input(o *Objects) l2Input {
	s := l2Input{nodes: o.Nodes, links: map[lb.NodeName]nodeLinks{}}
	for i := range o.Pools {
		s.pools = append(s.pools, apiconv.AdvertisedPool(&o.Pools[i]))
	}
	for i := range o.States {
		state := &o.States[i]
		if !isRunning(state) {
			continue
		}
		list, truncated := apiconv.SpeakerLinks(state)
		known := nodeLinks{names: map[string]bool{}, truncated: truncated}
		for _, l := range list {
			known.names[l.Name] = true
			for _, subnet := range l.Subnets {
				known.subnets = append(known.subnets, lb.RangeOf(subnet))
			}
		}
		s.links[lb.NodeName(state.Name)] = known
	}
	return s
}

// check returns the result for an advertisement whose own fields are valid.
func (s *l2Input) check(ad *eligibility.Advertisement) Result {
	if v := checkScope(&ad.Scope, s.pools, s.nodes); v.Reason != "" {
		return v
	}
	if names, checked := s.missingInterfaces(ad); len(names) > 0 {
		return Result{Reason: v1beta1.ReasonUnknownInterface, Message: fmt.Sprintf(
			"%s, but none of the selected nodes can announce on such an interface (%s): correct the name, or check that the interface is up; on other interfaces the advertisement is in effect",
			eligibility.Enumerate("spec.interfaces names", names), eligibility.Enumerate("checked:", checked))}
	}
	if pool, checked := s.poolWithoutSubnet(ad); len(checked) > 0 {
		return Result{Reason: v1beta1.ReasonNoSubnet, Message: fmt.Sprintf(
			"spec.requireSubnet is set, but none of the selected nodes has an interface in a subnet of the pool %q (%s), so that the addresses of the pool are not announced. Give the nodes an address of such a subnet, or set requireSubnet: false. For other pools the advertisement is in effect",
			pool, eligibility.Enumerate("checked:", checked))}
	}
	return Result{Ready: true, Reason: v1beta1.ReasonAdvertisementValid, Message: "the advertisement is in effect"}
}

// poolWithoutSubnet returns the first pool, by name, that an advertisement with requireSubnet cannot
// announce: no address of the pool is in a subnet of the checked nodes. It also returns the checked
// nodes. If there is no such pool, it returns no nodes. An advertisement that neither names nor selects
// pools applies to all pools, and some of these may be for BGP only. For such an advertisement it is
// enough if it can announce one pool.
func (s *l2Input) poolWithoutSubnet(ad *eligibility.Advertisement) (lb.PoolName, []lb.NodeName) {
	if !ad.RequireSubnet {
		return "", nil
	}
	checked := s.checkedNodes(ad)
	var subnets []lb.Range
	for _, name := range checked {
		subnets = append(subnets, s.links[name].subnets...)
	}
	subnets = lb.Union(subnets...)
	var without lb.PoolName
	for i := range s.pools {
		p := &s.pools[i]
		switch {
		case len(p.Listed) == 0 || !ad.CoversPool(p.Name, p):
		case len(lb.Intersect(p.Listed, subnets)) > 0:
			if len(ad.Pools)+len(ad.PoolSelectors) == 0 {
				return "", nil
			}
		case without == "" || p.Name < without:
			without = p.Name
		}
	}
	if without == "" {
		return "", nil
	}
	return without, checked
}

// missingInterfaces returns the interfaces in spec.interfaces that none of the checked nodes reports, and the
// checked nodes.
func (s *l2Input) missingInterfaces(ad *eligibility.Advertisement) (names []string, checked []lb.NodeName) {
	if checked = s.checkedNodes(ad); len(checked) == 0 {
		return nil, nil
	}
	for _, name := range ad.Interfaces {
		if !slices.ContainsFunc(checked, func(n lb.NodeName) bool { return s.links[n].names[name] }) {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	return names, checked
}

// checkedNodes returns the nodes that the advertisement selects, that are not excluded, and whose speakers
// report interfaces. If the list of interfaces of such a node is truncated, it returns no nodes, since it is
// not known then which interfaces are missing.
func (s *l2Input) checkedNodes(ad *eligibility.Advertisement) (checked []lb.NodeName) {
	for _, n := range s.nodes {
		known, reports := s.links[n.Name]
		switch {
		case n.Excluded != "" || !reports || !ad.CoversNode(n.Labels):
		case known.truncated:
			return nil
		default:
			checked = append(checked, n.Name)
		}
	}
	slices.Sort(checked) // the cache lists nodes in any order, but the message must not change without a reason
	return checked
}
