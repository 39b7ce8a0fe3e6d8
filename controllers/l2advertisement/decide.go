package l2advertisement

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/scope"
	"github.com/lbstack/lbstack/controllers/validity"
	"github.com/lbstack/lbstack/internal/advertise"
	"github.com/lbstack/lbstack/internal/lb"
)

// surroundings are what decides whether advertisements mean something.
type surroundings struct {
	pools []advertise.Pool
	nodes []advertise.Node
	// links that the speakers which run can announce on.
	links map[lb.NodeName]links
}

// links of a node.
type links struct {
	names map[string]bool
	// more: there may be others as well, since not all can be listed.
	more bool
}

// decide says how an advertisement is that means something by itself.
func (s *surroundings) decide(ad *advertise.Advertisement) validity.Verdict {
	if v := scope.Judge(&ad.Scope, s.pools, s.nodes); v.Reason != "" {
		return v
	}
	if missing, asked := s.missing(ad); len(missing) > 0 {
		return validity.Verdict{Reason: v1beta1.ReasonUnknownInterface, Message: fmt.Sprintf(
			"%s, on which no node can announce that the advertisement selects (%s): correct the name, or look whether the interface is up; on others the advertisement is in effect",
			advertise.Named("spec.interfaces names", missing), advertise.Named("asked:", asked))}
	}
	return validity.Verdict{Ready: true, Reason: v1beta1.ReasonAdvertisementValid, Message: "the advertisement is in effect"}
}

// missing returns which of the interfaces that are named no node has that the advertisement
// selects, as far as their speakers report, and these nodes.
func (s *surroundings) missing(ad *advertise.Advertisement) (names []string, asked []lb.NodeName) {
	for _, n := range s.nodes {
		known, reports := s.links[n.Name]
		switch {
		case n.Excluded != "" || !reports || !ad.CoversNode(n.Labels):
		case known.more:
			return nil, nil
		default:
			asked = append(asked, n.Name)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	slices.Sort(asked) // the cache lists nodes in any order, and the sentence must be the same
	for _, name := range ad.Interfaces {
		if !slices.ContainsFunc(asked, func(n lb.NodeName) bool { return s.links[n].names[name] }) {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	return names, asked
}
