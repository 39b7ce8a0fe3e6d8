package arp

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// etherTypeARP is ARP's EtherType (RFC 826).
const etherTypeARP = 0x0806

// Request is an ARP request that was received.
type Request struct {
	// Target is the address that is asked for.
	Target netip.Addr
	packet *arp.Packet
}

// Conn answers and announces on one interface. Reading and writing may happen
// at the same time.
type Conn struct {
	client *arp.Client
	socket *watched
}

// Listen opens a connection on an interface that has an IPv4 address and is
// Ethernet. It needs the capability NET_RAW. The kernel hands over requests
// only, and none of those that this machine sends.
func Listen(ifi *net.Interface) (*Conn, error) {
	filter, err := bpf.Assemble(requestsOnly())
	if err != nil {
		return nil, fmt.Errorf("assembling the packet filter: %w", err)
	}
	socket, err := packet.Listen(ifi, packet.Raw, etherTypeARP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket on %s: %w", ifi.Name, err)
	}
	if err := ignoreOutgoing(socket); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("setting up the packet socket on %s: %w", ifi.Name, err)
	}
	conn, err := newConn(ifi, socket)
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("preparing ARP on %s: %w", ifi.Name, err)
	}
	return conn, nil
}

func newConn(ifi *net.Interface, socket net.PacketConn) (*Conn, error) {
	w := &watched{PacketConn: socket}
	client, err := arp.New(ifi, w)
	if err != nil {
		return nil, err
	}
	return &Conn{client: client, socket: w}, nil
}

// Read waits for the next packet. It returns ok false for one that is
// malformed or no request: skip it. An error means that the socket is of no
// more use.
func (c *Conn) Read() (req Request, ok bool, err error) {
	p, _, err := c.client.Read()
	switch {
	case err != nil && c.socket.failed:
		return Request{}, false, fmt.Errorf("reading ARP: %w", err)
	case err != nil, p.Operation != arp.OperationRequest, !p.TargetIP.Is4(), !p.SenderIP.Is4(), len(p.SenderHardwareAddr) != 6:
		return Request{}, false, nil
	}
	return Request{Target: p.TargetIP, packet: p}, true, nil
}

// Answer tells who asked that the address is here.
func (c *Conn) Answer(req Request) error {
	if err := c.client.Reply(req.packet, c.client.HardwareAddr(), req.Target); err != nil {
		return fmt.Errorf("answering for %s: %w", req.Target, err)
	}
	return nil
}

// Announce tells everybody that the address is here.
func (c *Conn) Announce(address netip.Addr) error { return announce(c.client, address) }

// Close ends Read with an error.
func (c *Conn) Close() error { return c.client.Close() }

// watched remembers whether reading from the socket itself failed: the ARP
// client returns that and packets that it cannot parse in the same way.
type watched struct {
	net.PacketConn
	failed bool // touched by the reading goroutine only
}

// ReadFrom implements net.PacketConn.
func (w *watched) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := w.PacketConn.ReadFrom(b)
	w.failed = err != nil
	return n, from, err
}

// requestsOnly is a filter program that passes ARP requests: the operation is
// the fourth 16 bit word of an ARP packet, after 14 bytes of Ethernet header.
func requestsOnly() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 20, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(arp.OperationRequest), SkipFalse: 1},
		bpf.RetConstant{Val: 128},
		bpf.RetConstant{Val: 0},
	}
}

// ignoreOutgoing keeps what this machine sends away from the socket; kernels
// before 4.20 do not know the option, and then Read sees such packets too.
func ignoreOutgoing(socket *packet.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}); err != nil {
		return err
	}
	if failed == unix.ENOPROTOOPT {
		return nil
	}
	return failed
}
