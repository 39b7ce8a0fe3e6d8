package lb

import (
	"cmp"
	"strconv"
)

// Protocol of a port: "TCP", "UDP" or "SCTP".
type Protocol string

// Port is a port of a Service.
type Port struct {
	Protocol Protocol
	Number   uint16
}

// String returns number/protocol, such as "443/TCP".
func (p Port) String() string { return strconv.Itoa(int(p.Number)) + "/" + string(p.Protocol) }

// Compare orders ports by number, then by protocol.
func (p Port) Compare(other Port) int {
	return cmp.Or(cmp.Compare(p.Number, other.Number), cmp.Compare(p.Protocol, other.Protocol))
}

// Sharing is the terms on which a Service shares its addresses with other Services. Two
// Services can share an address if they have the same key, no port in common, and the same
// nodes serve them. The zero value: the Service does not share its addresses.
type Sharing struct {
	// Key that Services must have in common to share an address; empty: the Service does
	// not share.
	Key string
	// Traffic identifies the nodes that serve the Service: empty for all nodes, otherwise an
	// opaque text that is equal for two Services only if the same nodes serve both.
	Traffic string
	// Ports of the Service, sorted and without duplicates.
	Ports []Port
}
