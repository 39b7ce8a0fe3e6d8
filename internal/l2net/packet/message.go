// Package packet has what ARP and NDP share: the content of a message, hardware addresses as values,
// and a packet socket on one interface with a filter in the kernel for the addresses of interest.
package packet

import (
	"fmt"
	"net"
	"net/netip"
)

// MAC is an Ethernet address. It is a value, so that it can be the key of a map without an allocation.
type MAC [6]byte

// BroadcastMAC returns the broadcast address.
func BroadcastMAC() MAC { return MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// ToMAC converts a hardware address of package net to a MAC.
func ToMAC(hardware net.HardwareAddr) (MAC, error) {
	if len(hardware) != len(MAC{}) {
		return MAC{}, fmt.Errorf("the hardware address %q is not an Ethernet address", hardware)
	}
	return MAC(hardware), nil
}

// IsZero reports whether the MAC is not set.
func (m MAC) IsZero() bool { return m == MAC{} }

// Hardware converts the MAC to a hardware address of package net.
func (m MAC) Hardware() net.HardwareAddr { return net.HardwareAddr(m[:]) }

// String returns the usual notation.
func (m MAC) String() string { return m.Hardware().String() }

// Message is the content of one packet. If the packet neither asks for an address nor claims one, Asks
// and Claims are both invalid.
type Message struct {
	// Asks is the address whose hardware address the sender requests; invalid: it requests none.
	Asks netip.Addr
	// Claims is the address that the sender claims as its own; invalid: it claims none.
	Claims netip.Addr
	// Probe means that the sender requests the address because it wants to use the address itself
	// (RFC 5227 section 2.1.1, RFC 4862 section 5.4).
	Probe bool
	// Sender is, in a request, the source of the frame, to which an answer is sent. In any other message,
	// it is the hardware address that the message has for the claimed address.
	Sender MAC
	// Via is the source of the frame if it differs from Sender: one host then answers on behalf of
	// another host. Zero: the source is Sender.
	Via MAC
	// From is the IP address of the sender, to which an answer is sent.
	From netip.Addr
}
