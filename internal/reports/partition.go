package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Group are speakers that run and receive from each other.
type Group struct {
	// First of its nodes, by name.
	First lb.NodeName
	// Size is how many nodes it has.
	Size int
}

// Partitioned returns the nodes whose speakers are in a minority and cut from a larger group
// of speakers that run, with that group. A group counts for a speaker if one of it and the speaker report that
// they miss each other: a speaker that died reports it of none that it still received from. All of it
// count then that the speaker misses: those that receive from one that runs run as well, though their
// own report may be of before, since their nodes do not reach the API server.
// Of two groups of the same size the one with the first name counts as the larger one, so that
// the speakers of the largest group of all are never among the result.
//
// Reports that are stale do not count, nor do those of speakers that announce nothing. A speaker that is
// Unready may stand still: it announces nothing then, and reports whom it missed before. It is in no
// group, and any that it is cut from is larger: when its process goes on it reads the result before it
// has a majority again, and others announce meanwhile.
func Partitioned(all map[lb.NodeName]Report, stale map[lb.NodeName]Staleness) map[lb.NodeName]Group {
	p, minority := partition{missing: missing(all), lists: map[lb.NodeName]lb.NodeName{}}, false
	var unready [][]*Report
	for node, r := range all {
		switch {
		case stale[node] != Fresh || r.Isolated:
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
	cut, groups := map[lb.NodeName]Group{}, p.groups()
	for _, own := range append(unready, groups...) {
		for _, other := range groups {
			full := p.fullAgainst(own, other)
			for _, r := range own {
				if r.MinoritySince.IsZero() {
					continue
				}
				if g := p.facing(r, other, full); g.larger(cut[r.Node]) && (r.Unready || g.larger(Group{own[0].Node, len(own)})) {
					cut[r.Node] = g
				}
			}
		}
	}
	return cut
}

// partition is what Partitioned works with.
type partition struct {
	nodes   []*Report // by name
	missing map[lb.NodeName]map[lb.NodeName]bool
	lists   map[lb.NodeName]lb.NodeName // of full lists: the first node that has the same
}

// compareLists finds which speakers with a full list have the same.
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

// larger returns whether a group counts as the larger one.
func (g Group) larger(other Group) bool {
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
				if p.connected(group[i], r) {
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

// connected returns whether neither of two speakers misses the other. Where lists are full,
// speakers of one side have the same.
func (p *partition) connected(x, y *Report) bool {
	return p.lists[x.Node] == p.lists[y.Node] && !p.missing[x.Node][y.Node] && !p.missing[y.Node][x.Node]
}

// fullAgainst returns which speakers of another group have a full list that names one of a
// group: what they miss of it may be more than is listed.
func (p *partition) fullAgainst(own, other []*Report) map[lb.NodeName]bool {
	full := map[lb.NodeName]bool{}
	for _, o := range other {
		full[o.Node] = o.MissingBounded && slices.ContainsFunc(own, func(x *Report) bool { return p.missing[o.Node][x.Node] })
	}
	return full
}

// facing returns those of another group that the speaker and they are cut from. It is empty if
// none of them takes addresses.
func (p *partition) facing(r *Report, other []*Report, full map[lb.NodeName]bool) (g Group) {
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
		return Group{}
	}
	return g
}
