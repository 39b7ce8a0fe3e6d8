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

// Conn answers, announces and probes on one interface. One goroutine may read
// while others write.
type Conn struct {
	socket socket
	sender sender
	nonces nonces

	mu     sync.Mutex
	groups groups
}

// socket is what a connection needs of a packet.Socket.
type socket interface {
	Read() ([]byte, error)
	Write([]byte) error
	Filter(program func(ranges int) []bpf.Instruction) error
	Dropped() uint64
	Close() error
}

// Listen opens a connection on an interface that is Ethernet and has a link-local
// address to speak from. It needs the capability NET_RAW, and receives nothing
// before Watch.
func Listen(ifi *net.Interface, linkLocal netip.Addr) (*Conn, error) {
	here, err := packet.ParseMAC(ifi.HardwareAddr)
	if err != nil {
		return nil, fmt.Errorf("listening to NDP on %s: %w", ifi.Name, err)
	}
	if !linkLocal.Is6() || !linkLocal.IsLinkLocalUnicast() || linkLocal.Zone() != "" {
		return nil, fmt.Errorf("listening to NDP on %s: %s is no link-local address", ifi.Name, linkLocal)
	}
	socket, err := packet.Listen(ifi, etherType)
	if err != nil {
		return nil, fmt.Errorf("listening to NDP: %w", err)
	}
	return newConn(sender{here: here, linkLocal: linkLocal}, socket, func() (member, error) { return openMember(ifi.Index) }), nil
}

func newConn(sender sender, socket socket, open func() (member, error)) *Conn {
	return &Conn{sender: sender, socket: socket, groups: groups{open: open, joined: map[netip.Addr]int{}}}
}

// Watch sets which addresses messages are received about. The kernel drops what is about
// others, or most of it, and the network brings what goes to their solicited-node
// groups. What failed is tried again by the next call.
func (c *Conn) Watch(addresses []netip.Addr) error {
	err := c.socket.Filter(func(ranges int) []bpf.Instruction { return filter(addresses, ranges) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = errors.Join(err, c.groups.set(addresses)); err != nil {
		return fmt.Errorf("watching %d addresses: %w", len(addresses), err)
	}
	return nil
}

// Read waits for the next message. It returns ok false for one that is malformed:
// skip it. An error means that the connection is of no more use. A probe of our
// own that comes back is ignored (RFC 7527 section 4.2).
func (c *Conn) Read() (m packet.Message, ok bool, err error) {
	b, err := c.socket.Read()
	if err != nil {
		return packet.Message{}, false, err
	}
	r, malformed := parse(b)
	if malformed != nil {
		return packet.Message{}, false, nil
	}
	m = r.toMessage()
	if m.Probe && c.nonces.own(r.nonce) {
		return packet.Message{}, true, nil
	}
	return m, true, nil
}

// Answer sends to the host that asked that the address is at a hardware address. That may be
// another node's; the frame itself comes from this interface all the same, so
// that no switch looks for the other node here.
func (c *Conn) Answer(m packet.Message, at packet.MAC) error {
	b, err := c.sender.answer(m, at)
	if err == nil {
		err = c.socket.Write(b)
	}
	if err != nil {
		return fmt.Errorf("answering for %s: %w", m.Asks, err)
	}
	return nil
}

// Announce sends to all hosts that the address is here.
func (c *Conn) Announce(address netip.Addr) error {
	frames, err := c.sender.announcement(address)
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

// Probe asks whether somebody uses the address.
func (c *Conn) Probe(address netip.Addr) error {
	b, err := c.sender.probe(address, c.nonces.fresh())
	if err == nil {
		err = c.socket.Write(b)
	}
	if err != nil {
		return fmt.Errorf("probing %s: %w", address, err)
	}
	return nil
}

// Dropped is how many packets were lost because they were not read in time.
func (c *Conn) Dropped() uint64 { return c.socket.Dropped() }

// Close ends Read with an error, and leaves the groups.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.socket.Close(), c.groups.close())
}
