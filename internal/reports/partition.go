package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// SpeakerGroup are speakers that run and receive from each other.
type SpeakerGroup struct {
	// First is the first of its nodes by name.
	First lb.NodeName
	// Size is how many nodes it has.
	Size int
}

// PartitionedNodes returns the nodes whose speakers are in a minority and cut off from a larger group of
// speakers that run, each with that group. A group counts for a speaker only if a member and the
// speaker report that they miss each other: the last report of a member that died does not name
// speakers from which the member still received. The size of the group is then the number of all
// members that the speaker misses. Members count even if they do not report the speaker as missing:
// they receive from a member that runs, so they run as well, and their reports may be old because their
// nodes do not reach the API server. Of two groups of the same size the one with the first name counts
// as the larger one, so that the result never has speakers of the largest group.
//
// Stale reports do not count, nor do those of isolated speakers. An unready speaker may stand still:
// then it announces nothing, and its report names those that it missed before. It is in no group, and
// every group that it is cut off from counts as larger: others announce its addresses meanwhile, and
// when its process goes on it reads the result before it has a majority again.
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
			full := p.fullAgainst(own, other)
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

// partition is what PartitionedNodes works with.
type partition struct {
	nodes   []*Report // by name
	missing map[lb.NodeName]map[lb.NodeName]bool
	lists   map[lb.NodeName]lb.NodeName // by node with a full list: the first node that has the same list
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

// isLargerThan returns whether a group counts as the larger one.
func (g SpeakerGroup) isLargerThan(other SpeakerGroup) bool {
	return g.Size > other.Size || g.Size == other.Size && g.First < other.First
}

// groups returns the connected components of the speakers that receive from each other, each
// by name.
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

// areConnected returns whether neither of two speakers misses the other. A full list leaves nodes
// out, so two speakers of which one has a full list are connected only if both have the same
// one: all speakers on one side of a partition miss the same nodes.
func (p *partition) areConnected(x, y *Report) bool {
	return p.lists[x.Node] == p.lists[y.Node] && !p.missing[x.Node][y.Node] && !p.missing[y.Node][x.Node]
}

// fullAgainst returns which speakers of one group (other) have a full list that names a member of
// another group (own): they may miss more members than the list names.
func (p *partition) fullAgainst(own, other []*Report) map[lb.NodeName]bool {
	full := map[lb.NodeName]bool{}
	for _, o := range other {
		full[o.Node] = o.MissingBounded && slices.ContainsFunc(own, func(x *Report) bool { return p.missing[o.Node][x.Node] })
	}
	return full
}

// missedMembers returns the members of another group that the speaker misses. The result is empty if
// none of them misses the speaker, or if none of them takes addresses.
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
