package arp

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"golang.org/x/net/bpf"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

// Conn sends and receives ARP on one interface. One goroutine may call Read and Answer while others
// call the other methods.
type Conn struct {
	socket   socket
	hardware packet.MAC
	answer   [headerLength + 28]byte // for the reading goroutine; the parts that are the same in all answers are already set
}

// socket is the part of packet.Socket that a connection uses.
type socket interface {
	Read() ([]byte, error)
	Write([]byte) error
	Filter(program func(ranges int) []bpf.Instruction) error
	Dropped() uint64
	Close() error
}

// Listen opens a connection on an Ethernet interface. It needs the capability NET_RAW. The connection
// receives nothing until Watch is called.
func Listen(ifi *net.Interface) (*Conn, error) {
	hardware, err := packet.ToMAC(ifi.HardwareAddr)
	if err != nil {
		return nil, fmt.Errorf("listening to ARP on %s: %w", ifi.Name, err)
	}
	socket, err := packet.Listen(ifi, etherType)
	if err != nil {
		return nil, fmt.Errorf("listening to ARP: %w", err)
	}
	c, err := newConn(hardware, socket)
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("listening to ARP on %s: %w", ifi.Name, err)
	}
	return c, nil
}

func newConn(hardware packet.MAC, socket socket) (*Conn, error) {
	nobody := netip.IPv4Unspecified()
	reply, err := broadcastFrame(arp.OperationReply, hardware, nobody, packet.MAC{}, nobody)
	if err != nil {
		return nil, fmt.Errorf("preparing ARP answers: %w", err)
	}
	c := &Conn{socket: socket, hardware: hardware}
	copy(c.answer[:], reply)
	return c, nil
}

// Watch sets the addresses about which messages are received. The kernel drops all, or most, messages
// about other addresses.
func (c *Conn) Watch(addresses []netip.Addr) error {
	if err := c.socket.Filter(func(ranges int) []bpf.Instruction { return filterProgram(addresses, ranges) }); err != nil {
		return fmt.Errorf("preparing to receive ARP messages about %d addresses: %w", len(addresses), err)
	}
	return nil
}

// Read waits for the next packet. ok is false if the packet is malformed. After an error the connection
// is not usable any more.
func (c *Conn) Read() (m packet.Message, ok bool, err error) {
	b, err := c.socket.Read()
	if err != nil {
		return packet.Message{}, false, err
	}
	m, malformed := parseFrame(b)
	return m, malformed == nil, nil
}

// Answer answers a request: it sends a hardware address to the host that asks. The hardware address may
// belong to another node. The source of the frame is still this interface, so that switches do not learn
// the other node's hardware address on this port. Only the goroutine that calls Read may call Answer.
func (c *Conn) Answer(m packet.Message, at packet.MAC) error {
	body := c.answer[headerLength:]
	copy(c.answer[:6], m.Sender[:])
	copy(body[8:14], at[:])
	address, from := m.Asks.As4(), m.From.As4()
	copy(body[14:18], address[:])
	copy(body[18:24], m.Sender[:])
	copy(body[24:28], from[:])
	if err := c.socket.Write(c.answer[:]); err != nil {
		return fmt.Errorf("answering for %s: %w", m.Asks, err)
	}
	return nil
}

// Announce announces to all hosts that the address is at this interface.
func (c *Conn) Announce(address netip.Addr) error {
	frames, err := announcementFrames(address, c.hardware)
	if err != nil {
		return err
	}
	for _, b := range frames {
		if err := c.socket.Write(b); err != nil {
			return fmt.Errorf("announcing %s: %w", address, err)
		}
	}
	return nil
}

// Probe sends a request that asks whether any host uses the address.
func (c *Conn) Probe(address netip.Addr) error {
	b, err := probeFrame(address, c.hardware)
	if err != nil {
		return err
	}
	if err := c.socket.Write(b); err != nil {
		return fmt.Errorf("probing %s: %w", address, err)
	}
	return nil
}

// Dropped returns how many packets were lost because they were not read in time.
func (c *Conn) Dropped() uint64 { return c.socket.Dropped() }

// Close ends Read with an error.
func (c *Conn) Close() error { return c.socket.Close() }
