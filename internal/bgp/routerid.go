package bgp

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
)

// RouterIDOf returns the BGP Identifier of a node: the node's IPv4 address or, if the address is IPv6, a
// hash of the node's name. RFC 6286 requires only that the identifier is not zero and is unique in the
// autonomous system. Some routers also refuse identifiers that are no unicast address, so the hash is
// never in 0/8, 127/8 or 224/3 (multicast, reserved and broadcast).
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
