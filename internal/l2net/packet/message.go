// Package packet is what ARP and NDP have in common: the message that either
// brings, hardware addresses as values, and a packet socket on one interface with
// a filter in the kernel that passes what is about some addresses and nothing
// else.
package packet

import (
	"fmt"
	"net"
	"net/netip"
)

// MAC is an Ethernet address. It is a value, so that a map can be asked for it
// without an allocation.
type MAC [6]byte

// Broadcast reaches everybody.
func Broadcast() MAC { return MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// ParseMAC turns what the net package has into a value.
func ParseMAC(hardware net.HardwareAddr) (MAC, error) {
	if len(hardware) != len(MAC{}) {
		return MAC{}, fmt.Errorf("%q is no Ethernet address", hardware)
	}
	return MAC(hardware), nil
}

// IsZero reports whether it is no address at all.
func (m MAC) IsZero() bool { return m == MAC{} }

// Hardware returns the address as the net package has it.
func (m MAC) Hardware() net.HardwareAddr { return net.HardwareAddr(m[:]) }

// String returns the usual notation.
func (m MAC) String() string { return m.Hardware().String() }

// Message is the content of one packet. A packet that does not concern us has neither
// an address that it asks for nor one that it claims.
type Message struct {
	// Asks is the address that the sender wants to reach; invalid if it asks for none.
	Asks netip.Addr
	// Claims is the address that the sender claims as its own; invalid if it does not.
	Claims netip.Addr
	// Probe means that the sender asks because it wants to use the address itself
	// (RFC 5227 section 2.1.1, RFC 4862 section 5.4).
	Probe bool
	// Sender is the source of the frame for a message that asks, to which an answer goes, and
	// the hardware address in the packet for one that only claims.
	Sender MAC
	// Via is the source of the frame if it is another than Sender: a host that answers with the
	// hardware address of another one. Zero: it is the same.
	Via MAC
	// From is the protocol address of the sender, which an answer goes to.
	From netip.Addr
}
