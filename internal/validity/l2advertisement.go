package validity

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// L2Advertisements returns by name whether each of the advertisements is in effect.
func L2Advertisements(o *Objects) map[string]Result {
	results, around := map[string]Result{}, newL2Input(o)
	for i := range o.L2Advertisements {
		object := &o.L2Advertisements[i]
		ad, err := apiconv.ParseAdvertisement(object)
		if err != nil {
			results[object.Name] = Result{Reason: err.Reason, Message: err.Error() + ": correct it; until then nothing is announced by the advertisement"}
			continue
		}
		results[object.Name] = around.check(&ad)
	}
	return results
}

// l2Input are what decides whether L2Advertisements are in effect.
type l2Input struct {
	pools []eligibility.Pool
	nodes []eligibility.Node
	// links that the speakers which run can announce on.
	links map[lb.NodeName]links
}

// links of a node.
type links struct {
	names map[string]bool
	// subnets of their addresses.
	subnets []lb.Range
	// more: there may be others as well, since not all can be listed.
	more bool
}

func newL2Input(o *Objects) l2Input {
	s := l2Input{nodes: o.Nodes, links: map[lb.NodeName]links{}}
	for i := range o.Pools {
		s.pools = append(s.pools, apiconv.AdvertisedPool(&o.Pools[i]))
	}
	for i := range o.States {
		state := &o.States[i]
		if !runs(state) {
			continue
		}
		list, more := apiconv.SpeakerLinks(state)
		known := links{names: map[string]bool{}, more: more}
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
	if names, asked := s.missingInterfaces(ad); len(names) > 0 {
		return Result{Reason: v1beta1.ReasonUnknownInterface, Message: fmt.Sprintf(
			"%s, on which no node can announce that the advertisement selects (%s): correct the name, or look whether the interface is up; on others the advertisement is in effect",
			eligibility.Named("spec.interfaces names", names), eligibility.Named("asked:", asked))}
	}
	if pool, asked := s.withoutSubnet(ad); len(asked) > 0 {
		return Result{Reason: v1beta1.ReasonNoSubnet, Message: fmt.Sprintf(
			"spec.requireSubnet is set, and no interface of the nodes that the advertisement selects is in a subnet of the pool %q (%s): its addresses are not announced by the advertisement: give the nodes an address of the subnet, or set requireSubnet: false; for other pools the advertisement is in effect",
			pool, eligibility.Named("asked:", asked))}
	}
	return Result{Ready: true, Reason: v1beta1.ReasonAdvertisementValid, Message: "the advertisement is in effect"}
}

// withoutSubnet returns the first pool of an advertisement that requires a subnet of whose
// addresses no selected node has one, and these nodes; no nodes: there is no such pool. An
// advertisement that selects no pools is about all, of which some may be for routers only:
// one that it can announce is enough.
func (s *l2Input) withoutSubnet(ad *eligibility.Advertisement) (lb.PoolName, []lb.NodeName) {
	if !ad.RequireSubnet {
		return "", nil
	}
	asked := s.checkedNodes(ad)
	var subnets []lb.Range
	for _, name := range asked {
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
	return without, asked
}

// missingInterfaces returns which of the interfaces that are named no node has that the advertisement
// selects, as far as their speakers report, and these nodes.
func (s *l2Input) missingInterfaces(ad *eligibility.Advertisement) (names []string, asked []lb.NodeName) {
	if asked = s.checkedNodes(ad); len(asked) == 0 {
		return nil, nil
	}
	for _, name := range ad.Interfaces {
		if !slices.ContainsFunc(asked, func(n lb.NodeName) bool { return s.links[n].names[name] }) {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	return names, asked
}

// checkedNodes returns the nodes that the advertisement selects and that report all their
// interfaces; none if one of them has more than it can list.
func (s *l2Input) checkedNodes(ad *eligibility.Advertisement) (asked []lb.NodeName) {
	for _, n := range s.nodes {
		known, reports := s.links[n.Name]
		switch {
		case n.Excluded != "" || !reports || !ad.CoversNode(n.Labels):
		case known.more:
			return nil
		default:
			asked = append(asked, n.Name)
		}
	}
	slices.Sort(asked) // the cache lists nodes in any order, and the sentence must be the same
	return asked
}
