package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// SpeakerGroup is a group of speakers that run and receive from each other.
type SpeakerGroup struct {
	// First is the first node of the group by name.
	First lb.NodeName
	// Size is how many nodes the group has.
	Size int
}

// PartitionedNodes returns the nodes whose speakers are in a minority and are cut off from a larger
// group of running speakers. The value is the larger group.
//
// A speaker misses another one if its Report.Missing contains the node of the other one. A speaker is
// cut off from a group only if it misses a member that misses it too. A member that died before does
// not: its last report does not name the speaker, from which it still received. The size of the group is
// then the number of all members that the speaker misses. This includes members that do not miss the
// speaker. They receive from a running member, so they run as well, and their reports may be old because
// their nodes do not reach the API server. Of two groups of the same size, the one with the first
// node by name counts as larger, so that the result never has speakers of the largest group.
//
// PartitionedNodes ignores stale reports and reports of isolated speakers. The process of an unready
// speaker (Report.Unready) may hang: the speaker then announces nothing, and its report is out of date.
// Such a speaker is in no group, and every group from which it is cut off counts as larger, since other
// speakers announce its addresses meanwhile. When the process continues, the speaker reads this result
// before it has a majority again.
func PartitionedNodes(all map[lb.NodeName]Report, stale map[lb.NodeName]Staleness) map[lb.NodeName]SpeakerGroup {
	p, minority := partition{missing: missedNodes(all), lists: map[lb.NodeName]lb.NodeName{}}, false
	var unready [][]*Report
	for node, r := range all {
		switch {
		case stale[node] != NotStale || r.Isolated:
			continue
		case r.Unready:
			unready = append(unready, []*Report{&r})
		default:
			p.nodes = append(p.nodes, &r)
		}
		minority = minority || !r.MinoritySince.IsZero()
	}
	if !minority {
		return nil
	}
	slices.SortFunc(p.nodes, func(x, y *Report) int { return cmp.Compare(x.Node, y.Node) })
	p.compareLists()
	cut, groups := map[lb.NodeName]SpeakerGroup{}, p.groups()
	for _, own := range append(unready, groups...) {
		for _, other := range groups {
			full := p.speakersWithFullList(own, other)
			for _, r := range own {
				if r.MinoritySince.IsZero() {
					continue
				}
				if g := p.missedMembers(r, other, full); g.isLargerThan(cut[r.Node]) && (r.Unready || g.isLargerThan(SpeakerGroup{own[0].Node, len(own)})) {
					cut[r.Node] = g
				}
			}
		}
	}
	return cut
}

// partition is the working state of PartitionedNodes.
type partition struct {
	nodes   []*Report // by name
	missing map[lb.NodeName]map[lb.NodeName]bool
	lists   map[lb.NodeName]lb.NodeName // by node with a full list of missing nodes: the first node that has the same list
}

// compareLists finds which speakers with a full list of missing nodes have the same list.
func (p *partition) compareLists() {
	first := map[string]lb.NodeName{}
	for _, r := range p.nodes {
		if !r.MissingBounded {
			continue
		}
		list := fmt.Sprint(r.Missing)
		if _, known := first[list]; !known {
			first[list] = r.Node
		}
		p.lists[r.Node] = first[list]
	}
}

// isLargerThan reports whether a group counts as larger than another group.
func (g SpeakerGroup) isLargerThan(other SpeakerGroup) bool {
	return g.Size > other.Size || g.Size == other.Size && g.First < other.First
}

// groups returns the connected components of the speakers that receive from each other. Each component is
// ordered by name.
func (p *partition) groups() (groups [][]*Report) {
	rest := p.nodes
	for len(rest) > 0 {
		group := []*Report{rest[0]}
		rest = rest[1:]
		for i := 0; i < len(group); i++ {
			others := rest[:0:0]
			for _, r := range rest {
				if p.areConnected(group[i], r) {
					group = append(group, r)
				} else {
					others = append(others, r)
				}
			}
			rest = others
		}
		slices.SortFunc(group, func(x, y *Report) int { return cmp.Compare(x.Node, y.Node) })
		groups = append(groups, group)
	}
	return groups
}

// areConnected reports whether neither of two speakers misses the other. A full list may leave out
// nodes. If one of the two has a full list, they are therefore connected only if both have the same
// list. All speakers on one side of a partition miss the same nodes.
func (p *partition) areConnected(x, y *Report) bool {
	return p.lists[x.Node] == p.lists[y.Node] && !p.missing[x.Node][y.Node] && !p.missing[y.Node][x.Node]
}

// speakersWithFullList returns which of the speakers in other have a full list of missing nodes that
// names one of the speakers in own. Such a speaker may miss more speakers in own than the list names.
func (p *partition) speakersWithFullList(own, other []*Report) map[lb.NodeName]bool {
	full := map[lb.NodeName]bool{}
	for _, o := range other {
		full[o.Node] = o.MissingBounded && slices.ContainsFunc(own, func(x *Report) bool { return p.missing[o.Node][x.Node] })
	}
	return full
}

// missedMembers returns those members of another group that the speaker misses. The result is empty if
// none of these members misses the speaker, or if none of them takes addresses.
func (p *partition) missedMembers(r *Report, other []*Report, full map[lb.NodeName]bool) (g SpeakerGroup) {
	takes, mutual, missing := false, false, p.missing[r.Node]
	for _, o := range other {
		if !missing[o.Node] && !r.MissingBounded {
			continue
		}
		if g.Size++; g.Size == 1 {
			g.First = o.Node
		}
		mutual = mutual || p.missing[o.Node][r.Node] || full[o.Node]
		takes = takes || o.Standby == ""
	}
	if !takes || !mutual {
		return SpeakerGroup{}
	}
	return g
}
