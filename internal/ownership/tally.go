package ownership

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// group is a set of nodes that some addresses can be given to.
type group struct {
	key   string // the indices in nodes, encoded
	nodes []int  // sorted indices in Index.nodes
	used  int    // number of addresses that can be given to these nodes
}

// reset sets the sums over all addresses to zero.
func (b *Index) reset() {
	b.loads, b.takers, b.shared = make([]int, len(b.nodes)), make([]int, len(b.nodes)), 0
	b.groups, b.open = map[string]*group{}, map[netip.Addr]*entry{}
}

// uncount takes an entry out of the sums. It must be called before the entry changes.
func (b *Index) uncount(e *entry) {
	delete(b.open, e.Address.Address)
	if !e.wanted {
		return
	}
	if e.holder.exists() {
		b.loads[e.holder.node]--
	}
	if e.holder.exists() || e.able != nil {
		b.shared--
	}
	if g := e.able; g != nil {
		e.able = nil
		if g.used--; g.used == 0 {
			delete(b.groups, g.key)
			b.add(g, -1)
		}
	}
}

// count adds an entry to the sums, and finds the nodes that can be given it. It must be called after
// the entry has changed.
func (b *Index) count(e *entry) {
	if !e.wanted {
		return
	}
	if e.holder.exists() {
		if e.epoch = max(e.epoch, e.holder.epoch); e.epoch >= MaxEpoch {
			e.epoch = e.holder.epoch // the numbers may begin anew
		}
		b.loads[e.holder.node]++
	}
	e.able = b.groupOf(e)
	if e.holder.exists() || e.able != nil {
		b.shared++
	}
	if !b.settled(e) {
		b.open[e.Address.Address] = e
	}
}

// groupOf returns the group of nodes that can be given an address, and counts the address in it; nil:
// there are none.
func (b *Index) groupOf(e *entry) *group {
	var nodes []int
	for j := range e.Candidates {
		c := &e.Candidates[j]
		if i, lives := b.index[c.Node]; lives && e.counts(&b.nodes[i]) && b.nodes[i].Able(c, e.Address.Address) {
			nodes = append(nodes, i)
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	slices.Sort(nodes)
	var key []byte
	for _, i := range nodes {
		key = binary.AppendUvarint(key, uint64(i))
	}
	g := b.groups[string(key)]
	if g == nil {
		g = &group{key: string(key), nodes: nodes}
		b.groups[g.key] = g
		b.add(g, 1)
	}
	g.used++
	return g
}

func (b *Index) add(g *group, n int) {
	for _, i := range g.nodes {
		b.takers[i] += n
	}
}

// share returns the fair share of addresses for each node that can be given any.
func (b *Index) share() int {
	nodes := 0
	for _, groups := range b.takers {
		if groups > 0 {
			nodes++
		}
	}
	return election.Share(b.shared, nodes)
}

// settled reports whether the decision about a wanted address stays the same, whatever happens to
// other addresses.
func (b *Index) settled(e *entry) bool {
	if !e.holder.exists() {
		return e.able == nil
	}
	return b.mayKeep(e) && !b.moves(e) && !(e.holder.contested && b.nameOf(e.holder) == b.self)
}

// mayKeep reports whether the holder of an address may own it.
func (b *Index) mayKeep(e *entry) bool {
	n := &b.nodes[e.holder.node]
	return n.takes() && e.can(n)
}

// moves reports whether an address is to move to the node that an administrator asks for.
func (b *Index) moves(e *entry) bool {
	asked := b.asked(e)
	return asked != nobody && asked != e.holder.node
}

// asked returns the index of the node that an administrator asks for, if it can be given the address; nobody: there is none.
func (b *Index) asked(e *entry) int {
	for j := range e.Candidates {
		c := &e.Candidates[j]
		if i, alive := b.index[c.Node]; c.Requested && alive && b.nodes[i].takes() && b.nodes[i].Able(c, e.Address.Address) {
			return i
		}
	}
	return nobody
}

// counts reports whether a node may be given the address. A starting one may if no node ever had the
// address, so that nodes which start together share such addresses.
func (e *entry) counts(n *Node) bool {
	return n.takes() || n.Phase == Starting && !n.Drained && e.epoch == 0
}

// can reports whether a node is a candidate with a link for the address.
func (e *entry) can(n *Node) bool {
	c := e.candidate(n.Name)
	return c != nil && n.Able(c, e.Address.Address)
}

// candidate returns the candidate for a node; nil: it is none.
func (e *entry) candidate(node lb.NodeName) *Candidate {
	for j := range e.Candidates {
		if c := &e.Candidates[j]; c.Node == node {
			return c
		}
	}
	return nil
}
