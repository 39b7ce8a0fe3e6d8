package routes

import (
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
)

// Change is the difference between the routes that a router had and the routes that it should have.
type Change struct {
	// Announce are the routes that are new or have other attributes.
	Announce Table
	// Withdraw are the prefixes that the router should not have any more, ordered.
	Withdraw []netip.Prefix
}

// prefixEntry is the state of a prefix. Its size does not depend on the number of peers.
type prefixEntry struct {
	members  []groupMember
	now      *advertisementGroup // the union of all members' groups; nil: the prefix is not announced
	reported *advertisementGroup // the group whose routes Changes returned last, perhaps of an earlier configuration; nil: none
	dirty    bool
}

// groupMember is a group that announces the prefix, with the number of addresses for which it does so.
type groupMember struct {
	group *advertisementGroup
	count int
}

// addCount adds n to the number of addresses that the group announces with the prefix.
func (p *Planner) addCount(prefix netip.Prefix, g *advertisementGroup, n int) {
	e := p.prefixes[prefix]
	if e == nil {
		e = &prefixEntry{}
		p.prefixes[prefix] = e
	}
	i := slices.IndexFunc(e.members, func(m groupMember) bool { return m.group == g })
	switch {
	case i < 0:
		e.members = append(e.members, groupMember{g, n})
	case e.members[i].count+n == 0:
		e.members = slices.Delete(e.members, i, i+1)
	default:
		e.members[i].count += n
		return
	}
	if now := p.plan.unionGroup(e.members); now != e.now {
		e.now = now
		p.markDirty(prefix, e)
	}
}

// unionGroup returns the group with the advertisements of all members.
func (p *preparedConfig) unionGroup(members []groupMember) *advertisementGroup {
	switch len(members) {
	case 0:
		return nil
	case 1:
		return members[0].group
	}
	var ads []int
	for _, m := range members {
		ads = append(ads, m.group.ads...)
	}
	slices.Sort(ads)
	return p.groupOf(slices.Compact(ads))
}

// markDirty makes Changes compare the routes of a prefix, since they may have changed. It also records
// whether the prefix has conflicts.
func (p *Planner) markDirty(prefix netip.Prefix, e *prefixEntry) {
	if e.now != nil && len(e.now.conflicts) > 0 {
		p.disputed[prefix] = struct{}{}
	} else {
		delete(p.disputed, prefix)
	}
	if !e.dirty {
		e.dirty = true
		p.dirty = append(p.dirty, prefix)
	}
}

// Changes returns the changes since the last call, for each peer that has changes. A peer that was not
// in the configuration at the last call gets all its routes. A peer that is not in the configuration any
// more is left out.
func (p *Planner) Changes() map[bgp.PeerName]Change {
	changes := map[bgp.PeerName]Change{}
	for _, prefix := range p.dirty {
		e := p.prefixes[prefix]
		for _, peer := range p.plan.peers {
			had, has := e.reported.attributesFor(peer), e.now.attributesFor(peer)
			switch c := changes[peer]; {
			case has == nil && had != nil:
				c.Withdraw = append(c.Withdraw, prefix)
				changes[peer] = c
			case has != nil && (had == nil || had != has && !had.Equal(*has)):
				if c.Announce == nil {
					c.Announce = Table{}
				}
				c.Announce[prefix] = has
				changes[peer] = c
			}
		}
		e.dirty, e.reported = false, e.now
		if e.now == nil {
			delete(p.prefixes, prefix)
		}
	}
	p.dirty = nil
	for _, c := range changes {
		slices.SortFunc(c.Withdraw, netip.Prefix.Compare)
	}
	return changes
}

// Table returns all routes that a peer should have.
func (p *Planner) Table(peer bgp.PeerName) Table {
	table := Table{}
	for prefix, e := range p.prefixes {
		if attributes := e.now.attributesFor(peer); attributes != nil {
			table[prefix] = attributes
		}
	}
	return table
}

// Conflicts returns the conflicts between advertisements, ordered.
func (p *Planner) Conflicts() []Conflict {
	var list []Conflict
	for prefix := range p.disputed {
		for _, c := range p.prefixes[prefix].now.conflicts {
			c.Prefix = prefix
			list = append(list, c)
		}
	}
	slices.SortFunc(list, Conflict.compare)
	return list
}
