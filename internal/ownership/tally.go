package ownership

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// candidateGroup is a set of nodes to which the same addresses can be given.
type candidateGroup struct {
	key   string // the indices in nodes, encoded
	nodes []int  // sorted indices in Index.nodes
	used  int    // number of addresses that can be given to these nodes
}

// resetSums sets the sums over all addresses to zero.
func (b *Index) resetSums() {
	b.loads, b.memberships, b.shared = make([]int, len(b.nodes)), make([]int, len(b.nodes)), 0
	b.groups, b.open = map[string]*candidateGroup{}, map[netip.Addr]*addressEntry{}
}

// removeFromSums takes an entry out of the sums. It must be called before the entry changes.
func (b *Index) removeFromSums(e *addressEntry) {
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
			b.addMemberships(g, -1)
		}
	}
}

// addToSums adds an entry to the sums, and finds the nodes to which its address can be given. It must be
// called after the entry has changed.
func (b *Index) addToSums(e *addressEntry) {
	if !e.wanted {
		return
	}
	if e.holder.exists() {
		if e.epoch = max(e.epoch, e.holder.epoch); e.epoch >= MaxEpoch {
			e.epoch = e.holder.epoch // the epochs begin anew
		}
		b.loads[e.holder.node]++
	}
	e.able = b.groupOf(e)
	if e.holder.exists() || e.able != nil {
		b.shared++
	}
	if !b.isSettled(e) {
		b.open[e.Address.Address] = e
	}
}

// groupOf returns the group of nodes that can be given an address, and counts the address in the group;
// nil: there are no such nodes.
func (b *Index) groupOf(e *addressEntry) *candidateGroup {
	var nodes []int
	for j := range e.Candidates {
		c := &e.Candidates[j]
		if i, isAlive := b.index[c.Node]; isAlive && e.mayGoTo(&b.nodes[i]) && b.nodes[i].Able(c, e.Address.Address) {
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
		g = &candidateGroup{key: string(key), nodes: nodes}
		b.groups[g.key] = g
		b.addMemberships(g, 1)
	}
	g.used++
	return g
}

func (b *Index) addMemberships(g *candidateGroup, n int) {
	for _, i := range g.nodes {
		b.memberships[i] += n
	}
}

// fairShare returns the fair share of addresses for each node to which addresses can be given.
func (b *Index) fairShare() int {
	nodes := 0
	for _, groups := range b.memberships {
		if groups > 0 {
			nodes++
		}
	}
	return election.FairShare(b.shared, nodes)
}

// isSettled reports whether the decision about a wanted address stays the same, whatever happens to
// other addresses.
func (b *Index) isSettled(e *addressEntry) bool {
	if !e.holder.exists() {
		return e.able == nil
	}
	return b.mayKeep(e) && !b.movesToRequested(e) && !(e.holder.contested && b.nameOf(e.holder) == b.self)
}

// mayKeep reports whether the holder of an address may own it.
func (b *Index) mayKeep(e *addressEntry) bool {
	n := &b.nodes[e.holder.node]
	return n.takesAddresses() && e.canTake(n)
}

// movesToRequested reports whether an address must move from its owner to the requested node.
func (b *Index) movesToRequested(e *addressEntry) bool {
	asked := b.requestedNode(e)
	return asked != noNode && asked != e.holder.node
}

// requestedNode returns the index of the requested node of an address; noNode: no node is requested, or
// the requested node cannot be given the address.
func (b *Index) requestedNode(e *addressEntry) int {
	for j := range e.Candidates {
		c := &e.Candidates[j]
		if i, alive := b.index[c.Node]; c.Requested && alive && b.nodes[i].takesAddresses() && b.nodes[i].Able(c, e.Address.Address) {
			return i
		}
	}
	return noNode
}

// mayGoTo reports whether the address may be given to a node in its phase. A starting node may be given
// an address that no node ever had, so that nodes which start together share such addresses.
func (e *addressEntry) mayGoTo(n *Node) bool {
	return n.takesAddresses() || n.Phase == Starting && !n.Drained && e.epoch == 0
}

// canTake reports whether a node is a candidate with a link for the address.
func (e *addressEntry) canTake(n *Node) bool {
	c := e.candidateOf(n.Name)
	return c != nil && n.Able(c, e.Address.Address)
}

// candidateOf returns the candidate for a node; nil: the node is no candidate.
func (e *addressEntry) candidateOf(node lb.NodeName) *Candidate {
	for j := range e.Candidates {
		if c := &e.Candidates[j]; c.Node == node {
			return c
		}
	}
	return nil
}
