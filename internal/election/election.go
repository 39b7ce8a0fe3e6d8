// Package election decides which node owns an address, by rendezvous hashing
// (highest random weight, Thaler and Ravishankar 1998): every node computes
// the same owner from the same candidates without talking to the others, and
// when a candidate goes only the addresses that it had move.
//
// It is pure, and part of the protocol between speakers: two versions that hash
// differently would both claim an address while an upgrade rolls, so the hash
// never changes within an API version.
package election

import (
	"hash/fnv"
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// Owner returns which of the candidates owns the address, and false if there is
// no candidate. Their order does not matter.
func Owner(address netip.Addr, candidates []lb.NodeName) (lb.NodeName, bool) {
	var owner lb.NodeName
	var best uint64
	found := false
	for _, node := range candidates {
		w := weight(address, node)
		// Equal weights are decided by name, so that all nodes agree.
		if !found || w > best || (w == best && node < owner) {
			owner, best, found = node, w, true
		}
	}
	return owner, found
}

// weight is FNV-1a (64 bit) over the 16 byte form of the address, a zero byte
// and the node's name, followed by the finalizer of MurmurHash3: FNV alone
// leaves the high bits of short inputs too much alike.
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
