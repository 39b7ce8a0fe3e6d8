package ndp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/bpf"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

// Conn sends and receives NDP on one interface. One goroutine may call Read while others call the other
// methods.
type Conn struct {
	socket socket
	sender frameBuilder
	nonces probeNonces

	mu     sync.Mutex
	groups groupMemberships
}

// socket is the part of packet.Socket that a connection uses.
type socket interface {
	Read() ([]byte, error)
	Write([]byte) error
	Filter(program func(ranges int) []bpf.Instruction) error
	Dropped() uint64
	Close() error
}

// Listen opens a connection on an Ethernet interface, with the link-local address to send from. It needs
// the capability NET_RAW. The connection receives nothing until Watch is called.
func Listen(ifi *net.Interface, linkLocal netip.Addr) (*Conn, error) {
	hardware, err := packet.ToMAC(ifi.HardwareAddr)
	if err != nil {
		return nil, fmt.Errorf("listening to NDP on %s: %w", ifi.Name, err)
	}
	if !linkLocal.Is6() || !linkLocal.IsLinkLocalUnicast() || linkLocal.Zone() != "" {
		return nil, fmt.Errorf("listening to NDP on %s: the address %s is not an IPv6 link-local address without a zone", ifi.Name, linkLocal)
	}
	socket, err := packet.Listen(ifi, etherType)
	if err != nil {
		return nil, fmt.Errorf("listening to NDP: %w", err)
	}
	return newConn(frameBuilder{hardware: hardware, linkLocal: linkLocal}, socket, func() (groupMember, error) { return openMember(ifi.Index) }), nil
}

func newConn(sender frameBuilder, socket socket, open func() (groupMember, error)) *Conn {
	return &Conn{sender: sender, socket: socket, groups: groupMemberships{open: open, joined: map[netip.Addr]int{}}}
}

// Watch sets the addresses about which messages are received, and joins their solicited-node groups. The
// kernel drops all, or most, messages about other addresses. After an error, the next call tries the
// filter and the remaining groups again.
func (c *Conn) Watch(addresses []netip.Addr) error {
	err := c.socket.Filter(func(ranges int) []bpf.Instruction { return filterProgram(addresses, ranges) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = errors.Join(err, c.groups.set(addresses)); err != nil {
		return fmt.Errorf("preparing to receive NDP messages about %d addresses: %w", len(addresses), err)
	}
	return nil
}

// Read waits for the next message. ok is false if the message is malformed. After an error the connection
// is not usable any more. If a probe of this connection was looped back, the message is empty (RFC 7527
// section 4.2).
func (c *Conn) Read() (m packet.Message, ok bool, err error) {
	b, err := c.socket.Read()
	if err != nil {
		return packet.Message{}, false, err
	}
	r, malformed := parseFrame(b)
	if malformed != nil {
		return packet.Message{}, false, nil
	}
	m = r.toMessage()
	if m.Probe && c.nonces.isOwn(r.nonce) {
		return packet.Message{}, true, nil
	}
	return m, true, nil
}

// Answer answers a solicitation: it sends a hardware address to the host that asks. The hardware address
// may belong to another node. The source of the frame is still this interface, so that switches do not
// learn the other node's hardware address on this port.
func (c *Conn) Answer(m packet.Message, at packet.MAC) error {
	b, err := c.sender.answerFrame(m, at)
	if err == nil {
		err = c.socket.Write(b)
	}
	if err != nil {
		return fmt.Errorf("answering for %s: %w", m.Asks, err)
	}
	return nil
}

// Announce announces to all hosts that the address is at this interface.
func (c *Conn) Announce(address netip.Addr) error {
	frames, err := c.sender.announcementFrames(address)
	if err != nil {
		return fmt.Errorf("announcing %s: %w", address, err)
	}
	for _, b := range frames {
		if err := c.socket.Write(b); err != nil {
			return fmt.Errorf("announcing %s: %w", address, err)
		}
	}
	return nil
}

// Probe sends a solicitation that asks whether any host uses the address.
func (c *Conn) Probe(address netip.Addr) error {
	b, err := c.sender.probeFrame(address, c.nonces.newNonce())
	if err == nil {
		err = c.socket.Write(b)
	}
	if err != nil {
		return fmt.Errorf("probing %s: %w", address, err)
	}
	return nil
}

// Dropped returns how many packets were lost because they were not read in time.
func (c *Conn) Dropped() uint64 { return c.socket.Dropped() }

// Close ends Read with an error, and leaves the groups.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.socket.Close(), c.groups.close())
}
