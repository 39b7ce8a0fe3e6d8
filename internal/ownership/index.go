package ownership

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/lbstack/lbstack/internal/delta"
	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// Index has the addresses and their owners, as one node has received them. The cost of changing one
// address, and of deciding again, does not depend on the number of addresses, except when nodes change
// or an address may move (DecisionTerms.MoveOne). Make it with NewIndex; it is not safe for concurrent
// use.
type Index struct {
	self    lb.NodeName
	nodes   []Node // ordered by name
	index   map[lb.NodeName]int
	entries map[netip.Addr]*addressEntry // of addresses that are wanted, or claimed by a node
	ordered []*addressEntry              // wanted entries, sorted by address; nil: inOrder makes the list again

	loads       []int                      // how many wanted addresses each node has
	groups      map[string]*candidateGroup // groups of nodes that can be given the same addresses, by key
	memberships []int                      // in how many groups each node is
	shared      int                        // number of wanted addresses that a node has, or that can be given to a node

	open    map[netip.Addr]*addressEntry // entries that are not settled (see isSettled): each decision examines them
	touched map[netip.Addr]struct{}      // addresses that changed since the last decision
}

// addressEntry is the state of an address.
type addressEntry struct {
	Address
	wanted bool
	// epoch is the highest epoch that the address has had since it became wanted. Epochs start again at
	// 1 after MaxEpoch: once epoch is MaxEpoch, addToSums sets it to the epoch of the present holder.
	epoch  Epoch
	holder addressHolder
	able   *candidateGroup // the nodes that can be given the address; nil: none
}

// noNode is the index that stands for no node.
const noNode = -1

// addressHolder is the node that has an address: the one with the best claim (see betterHolder).
type addressHolder struct {
	node      int // index in nodes; noNode: no node claims the address
	epoch     Epoch
	held      bool // the node does not announce the address
	contested bool // another node claims it as well
}

func (h addressHolder) exists() bool { return h.node != noNode }

// MovedAddress is an address whose owner has changed.
type MovedAddress struct {
	// Address that moved.
	Address netip.Addr
	// From is the previous owner; empty: there was none.
	From lb.NodeName
	// To is the new owner; empty: there is none.
	To lb.NodeName
}

// NewIndex returns the index of a node. Nothing is wanted, and no node is alive.
func NewIndex(self lb.NodeName) *Index {
	b := &Index{self: self, index: map[lb.NodeName]int{}, entries: map[netip.Addr]*addressEntry{}, touched: map[netip.Addr]struct{}{}}
	b.resetSums()
	return b
}

// Want records that an address is wanted, and which nodes may own it.
func (b *Index) Want(a Address) {
	e := b.entryOf(a.Address)
	b.removeFromSums(e)
	if !e.wanted {
		e.wanted, b.ordered = true, nil
	}
	e.Candidates = a.Candidates
	b.addToSums(e)
	b.touch(e)
}

// Unwant records that an address is not wanted any more, and resets its epoch.
func (b *Index) Unwant(address netip.Addr) {
	e := b.entries[address]
	if e == nil || !e.wanted {
		return
	}
	b.removeFromSums(e)
	e.wanted, e.Candidates, e.epoch, b.ordered = false, nil, 0, nil
	b.touch(e)
}

// WantedCandidates reports whether an address is wanted, and returns the nodes that may own it.
func (b *Index) WantedCandidates(address netip.Addr) (candidates []Candidate, wanted bool) {
	if e := b.entries[address]; e != nil && e.wanted {
		return e.Candidates, true
	}
	return nil, false
}

// WantedAddresses returns the addresses that are wanted, sorted.
func (b *Index) WantedAddresses() []Address {
	list := make([]Address, 0, len(b.entries))
	for _, e := range b.inOrder() {
		list = append(list, e.Address)
	}
	return list
}

// RaiseEpoch records an epoch that a wanted address had before. It has an effect only if that epoch is
// higher than the recorded one.
func (b *Index) RaiseEpoch(address netip.Addr, epoch Epoch) {
	if e := b.entries[address]; e != nil && e.wanted && epoch > e.epoch {
		b.removeFromSums(e)
		e.epoch = epoch
		b.addToSums(e)
		b.touch(e)
	}
}

// Owner returns the owner of an address, the node with the best claim; empty: there is none.
func (b *Index) Owner(address netip.Addr) lb.NodeName {
	if e := b.entries[address]; e != nil {
		return b.nameOf(e.holder)
	}
	return ""
}

// SetNodes sets the nodes whose speakers are alive, including this node, sorted by name. It returns
// which addresses have moved. It compares the claims of a node only if their map was replaced. Node.Held must
// be replaced, not changed. When
// nodes come or go, or their phase, drained state or links change, the next decision examines all
// addresses.
func (b *Index) SetNodes(nodes []Node) []MovedAddress {
	if !slices.EqualFunc(b.nodes, nodes, hasSameAbilities) {
		return b.setAllNodes(nodes)
	}
	var moved []MovedAddress
	changed := map[netip.Addr]struct{}{}
	for i := range nodes {
		noteDifference(b.nodes[i].Claims, nodes[i].Claims, changed)
		noteHeldDifference(b.nodes[i].Held, nodes[i].Held, changed)
	}
	b.nodes = nodes
	for address := range changed {
		e := b.entryOf(address)
		before := b.nameOf(e.holder)
		b.removeFromSums(e)
		e.holder = b.holderOf(address)
		b.addToSums(e)
		b.touch(e)
		moved = appendMoved(moved, address, before, b.nameOf(e.holder))
	}
	return moved
}

// hasSameAbilities reports whether a node can be given the same addresses as before.
func hasSameAbilities(x, y Node) bool {
	return x.Name == y.Name && x.Phase == y.Phase && x.Drained == y.Drained && x.Links == y.Links
}

// noteDifference adds to the set changed all addresses in which two sets of claims differ.
func noteDifference(before, now Claims, changed map[netip.Addr]struct{}) {
	if reflect.ValueOf(before).UnsafePointer() == reflect.ValueOf(now).UnsafePointer() {
		return
	}
	d := delta.Compute(before, now, func(x, y Epoch) bool { return x == y })
	for _, claims := range []Claims{d.Add, d.Change, d.Remove} {
		for address := range claims {
			changed[address] = struct{}{}
		}
	}
}

// noteHeldDifference adds to the set changed all addresses that only one of two nodes' states has in Held.
func noteHeldDifference(before, now []netip.Addr, changed map[netip.Addr]struct{}) {
	if slices.Equal(before, now) {
		return
	}
	for _, address := range slices.Concat(before, now) {
		_, was := slices.BinarySearchFunc(before, address, netip.Addr.Compare)
		if _, is := slices.BinarySearchFunc(now, address, netip.Addr.Compare); was != is {
			changed[address] = struct{}{}
		}
	}
}

// setAllNodes replaces the nodes, and computes the holders of all addresses and all sums again.
func (b *Index) setAllNodes(nodes []Node) []MovedAddress {
	before := make(map[netip.Addr]lb.NodeName, len(b.entries))
	for address, e := range b.entries {
		before[address], e.holder, e.able = b.nameOf(e.holder), addressHolder{node: noNode}, nil
	}
	b.nodes, b.index = nodes, make(map[lb.NodeName]int, len(nodes))
	b.resetSums()
	for i := range nodes {
		b.index[nodes[i].Name] = i
		for address, epoch := range nodes[i].Claims {
			e := b.entryOf(address)
			e.holder = b.betterHolder(address, e.holder, i, epoch)
		}
	}
	var moved []MovedAddress
	for address, e := range b.entries {
		b.addToSums(e)
		b.touch(e)
		moved = appendMoved(moved, address, before[address], b.nameOf(e.holder))
	}
	return moved
}

func appendMoved(moved []MovedAddress, address netip.Addr, from, to lb.NodeName) []MovedAddress {
	if from == to {
		return moved
	}
	return append(moved, MovedAddress{address, from, to})
}

func (b *Index) entryOf(address netip.Addr) *addressEntry {
	e := b.entries[address]
	if e == nil {
		e = &addressEntry{Address: Address{Address: address}, holder: addressHolder{node: noNode}}
		b.entries[address] = e
	}
	return e
}

// Reexamine makes the next decision examine an address.
func (b *Index) Reexamine(address netip.Addr) {
	if e := b.entries[address]; e != nil {
		b.touch(e)
	}
}

// touch makes the next decision examine an address, and removes the entry of an address that is
// neither wanted nor claimed.
func (b *Index) touch(e *addressEntry) {
	b.touched[e.Address.Address] = struct{}{}
	if !e.wanted && !e.holder.exists() {
		delete(b.entries, e.Address.Address)
	}
}

func (b *Index) nameOf(h addressHolder) lb.NodeName {
	if !h.exists() {
		return ""
	}
	return b.nodes[h.node].Name
}

// holderOf returns the node with the best claim for an address.
func (b *Index) holderOf(address netip.Addr) addressHolder {
	h := addressHolder{node: noNode}
	for i := range b.nodes {
		if epoch, claims := b.nodes[i].Claims[address]; claims {
			h = b.betterHolder(address, h, i, epoch)
		}
	}
	return h
}

// betterHolder compares a holder with a node that claims the address too, and returns the better one as
// holder. The better one has the higher epoch. Of equal epochs, the node that announces the address is
// better: clients send to that node. Two nodes have the same epoch if one did not receive that the other had the
// address, for example when all speakers start at the same time. Otherwise the better one comes first in the
// order of election.
func (b *Index) betterHolder(address netip.Addr, h addressHolder, node int, epoch Epoch) addressHolder {
	_, held := slices.BinarySearchFunc(b.nodes[node].Held, address, netip.Addr.Compare)
	next := addressHolder{node: node, epoch: epoch, held: held}
	switch {
	case !h.exists():
		return next
	case epoch > h.epoch,
		epoch == h.epoch && h.held && !held,
		epoch == h.epoch && held == h.held && election.ComesBefore(address, b.nodes[node].Name, b.nodes[h.node].Name):
		h = next
	}
	h.contested = true
	return h
}

// inOrder returns the entries of wanted addresses, sorted by address.
func (b *Index) inOrder() []*addressEntry {
	if b.ordered != nil {
		return b.ordered
	}
	b.ordered = make([]*addressEntry, 0, len(b.entries))
	for _, e := range b.entries {
		if e.wanted {
			b.ordered = append(b.ordered, e)
		}
	}
	slices.SortFunc(b.ordered, func(x, y *addressEntry) int { return x.Address.Address.Compare(y.Address.Address) })
	return b.ordered
}
