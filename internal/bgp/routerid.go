package bgp

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
)

// RouterIDOf returns the BGP Identifier of a node: its address or, where that is an IPv6
// address, a number made of its name. RFC 6286 asks only for one that is not zero and that
// no other speaker of the autonomous system has; routers refuse some that are no unicast
// address all the same, so that none is made of 0/8, 127/8, or 224/3 (multicast, reserved
// and broadcast).
func RouterIDOf(node string, address netip.Addr) netip.Addr {
	if address.Is4() {
		return address
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(node)) // never fails
	for {
		id := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, h.Sum32())))
		if first := id.As4()[0]; first != 0 && first != 127 && first < 224 {
			return id
		}
		_, _ = h.Write([]byte{0})
	}
}
