// Package election chooses which node owns an address. It uses rendezvous hashing with bounded loads (highest
// random weight: Thaler and Ravishankar 1998; bounded loads: Mirrokni, Thorup and Zadimoghaddam 2016). All
// nodes compute the same owner from the same candidates and loads, without messages.
//
// The choice is part of the protocol between speakers: if the speakers of two versions hashed differently,
// two nodes would own an address during an upgrade. The hash therefore never changes within an API version.
// The package is pure: it reads no clock, sockets or objects.
package election

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// Candidate is a node that can own an address.
type Candidate struct {
	// Node is the name of the node.
	Node lb.NodeName
	// Preference ranks the candidates: only those with the highest preference can be chosen.
	Preference int32
	// Load is how many addresses the node owns.
	Load int
}

// Choose returns the candidate that should own the address. It considers only the candidates with the highest
// preference, in the order of ComesBefore. It returns the first candidate whose load would still be below the
// fair share (share) with one more address. If there is none, it returns the first whose load is below the
// share now. If all loads have reached the share, it returns the candidate with the least load. It returns
// false if there is no candidate. The order of the candidates does not matter.
func Choose(address netip.Addr, candidates []Candidate, share int) (lb.NodeName, bool) {
	if len(candidates) == 0 {
		return "", false
	}
	most := slices.MaxFunc(candidates, func(x, y Candidate) int { return cmp.Compare(x.Preference, y.Preference) }).Preference
	best, least, bestRoom := -1, -1, false
	for i, c := range candidates {
		if c.Preference != most {
			continue
		}
		// The share is rounded up. If each node filled its share, the last nodes would get too little: with
		// 4 addresses for 3 nodes, two nodes would get 2 each, and the third none.
		room := c.Load < share-1
		if c.Load < share && (best < 0 || room && !bestRoom || room == bestRoom && ComesBefore(address, c.Node, candidates[best].Node)) {
			best, bestRoom = i, room
		}
		if least < 0 || c.Load < candidates[least].Load ||
			c.Load == candidates[least].Load && ComesBefore(address, c.Node, candidates[least].Node) {
			least = i
		}
	}
	if best < 0 {
		best = least
	}
	return candidates[best].Node, true
}

// FairShare returns how many addresses each node gets if they are shared evenly, rounded up.
func FairShare(addresses, nodes int) int {
	if nodes == 0 {
		return 0
	}
	return (addresses + nodes - 1) / nodes
}

// ComesBefore reports whether node x comes before node y in the order for an address. If the weights are
// equal, the names decide, so that all nodes agree.
func ComesBefore(address netip.Addr, x, y lb.NodeName) bool {
	wx, wy := weight(address, x), weight(address, y)
	return wx > wy || wx == wy && x < y
}

// weight is FNV-1a (64 bit) over the 16 byte form of the address, a zero byte and the node's name, followed
// by the finalizer of MurmurHash3. With FNV alone, the high bits of the hashes of short inputs would be too
// similar.
func weight(address netip.Addr, node lb.NodeName) uint64 {
	h := fnv.New64a()
	bytes := address.As16()
	// Writing to a hash never fails.
	_, _ = h.Write(bytes[:])
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(node))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}
