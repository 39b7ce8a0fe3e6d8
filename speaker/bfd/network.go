package bfd

import "net/netip"

// The destination ports (RFC 5881 section 4, RFC 5883 section 5).
const (
	singleHopPort = 3784
	multihopPort  = 4784
)

// Network opens sockets. Its methods may be called while other sockets are read.
type Network interface {
	// Listen opens the socket on which the packets of a class arrive. Its error wraps syscall.EADDRINUSE if
	// another program uses the port.
	Listen(PacketClass) (Receiver, error)
	// Dial opens the socket that a session's packets are sent from. Its error wraps
	// syscall.EADDRINUSE if the port is taken.
	Dial(key Key, port uint16) (Sender, error)
}

// PacketClass is a class of BFD packets: all packets of a class arrive on one socket.
type PacketClass struct {
	// IPv6 means that the packets are IPv6, else they are IPv4.
	IPv6 bool
	// Multihop means that the packets belong to multihop sessions, else they belong to single-hop sessions.
	Multihop bool
	// VRF is the VRF device on which the packets arrive; empty: none.
	VRF string
}

func (c PacketClass) port() uint16 {
	if c.Multihop {
		return multihopPort
	}
	return singleHopPort
}

// Arrival is a datagram that has arrived.
type Arrival struct {
	// Packet is valid until the next Read.
	Packet []byte
	// From is the address of the sender, without a zone.
	From netip.Addr
	// To is the address to which the datagram was sent, without a zone.
	To netip.Addr
	// Interface is the index of the interface on which the datagram arrived.
	Interface int
	// TTL is the TTL or hop limit with which the datagram arrived.
	TTL int
}

// Receiver is a socket to read from.
type Receiver interface {
	// Read waits for a datagram. Its error is net.ErrClosed after Close.
	Read(buffer []byte) (Arrival, error)
	// Admit sets the addresses from which datagrams are accepted. An implementation drops datagrams from
	// other addresses as far as it can: Read may still return some of them.
	Admit(sources []netip.Addr) error
	// Close ends Read.
	Close() error
}

// Sender is a socket to send from.
type Sender interface {
	// Send never waits.
	Send(packet []byte) error
	// Interface returns the index of the interface that packets leave by; 0: any.
	Interface() int
	// Close frees the port.
	Close() error
}
