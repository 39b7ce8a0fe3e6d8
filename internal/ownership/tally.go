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
	key   string
	nodes []int
	used  int // by how many addresses
}

// reset forgets what all addresses come to.
func (b *Index) reset() {
	b.loads, b.takers, b.shared = make([]int, len(b.nodes)), make([]int, len(b.nodes)), 0
	b.groups, b.open = map[string]*group{}, map[netip.Addr]*entry{}
}

// uncount takes an entry out of what all addresses come to, before it changes.
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

// count adds an entry to what all addresses come to, after it has changed.
func (b *Index) count(e *entry) {
	if !e.wanted {
		return
	}
	if e.holder.exists() {
		if e.epoch = max(e.epoch, e.holder.epoch); e.epoch >= MaxEpoch {
			e.epoch = e.holder.epoch // it is numbered anew
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

// groupOf returns those who can be given an address; nil: nobody can.
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

// share is the fair share of those who can be given addresses.
func (b *Index) share() int {
	nodes := 0
	for _, groups := range b.takers {
		if groups > 0 {
			nodes++
		}
	}
	return election.Share(b.shared, nodes)
}

// settled reports whether nothing is to be done about a wanted address but what is done
// already, whatever happens to others.
func (b *Index) settled(e *entry) bool {
	if !e.holder.exists() {
		return e.able == nil
	}
	return b.mayKeep(e) && !b.moves(e) && !(e.holder.contested && b.nameOf(e.holder) == b.self)
}

// mayKeep reports whether a holder may own what it has.
func (b *Index) mayKeep(e *entry) bool {
	n := &b.nodes[e.holder.node]
	return n.takes() && e.can(n)
}

// moves reports whether an address is to move to the node that an administrator asks for, which can be given it.
func (b *Index) moves(e *entry) bool {
	asked := b.asked(e)
	return asked != nobody && asked != e.holder.node
}

// asked returns the node that an administrator asks for and that can be given the address; nobody: there is none.
func (b *Index) asked(e *entry) int {
	for j := range e.Candidates {
		c := &e.Candidates[j]
		if i, lives := b.index[c.Node]; c.Requested && lives && b.nodes[i].takes() && b.nodes[i].Able(c, e.Address.Address) {
			return i
		}
	}
	return nobody
}

// counts reports whether a node may be given the address. Those that start together share
// what nobody ever had.
func (e *entry) counts(n *Node) bool {
	return n.takes() || n.Phase == Starting && !n.Drained && e.epoch == 0
}

// can reports whether a node is a candidate with a link for the address.
func (e *entry) can(n *Node) bool {
	c := e.candidate(n.Name)
	return c != nil && n.Able(c, e.Address.Address)
}

// candidate returns what a node may do with the address; nil: it is no candidate.
func (e *entry) candidate(node lb.NodeName) *Candidate {
	for j := range e.Candidates {
		if c := &e.Candidates[j]; c.Node == node {
			return c
		}
	}
	return nil
}
