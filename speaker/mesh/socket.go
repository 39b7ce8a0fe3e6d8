package mesh

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/session"
)

// receiveBufferBytes is the size of the receive buffer that this process requests from the kernel, in
// bytes. It has room for the answers of a thousand speakers that are greeted at once. net.core.rmem_max
// often allows less.
const receiveBufferBytes = 2 << 20

// socket is the UDP socket of the mesh. It reads only datagrams of peers: the kernel drops all other
// datagrams before they take room in the buffer.
//
// The sockets are not registered with the poller of the Go runtime. The poller would wake up the
// process for each datagram that arrives, and each time the kernel frees the memory of a datagram that
// was sent. Only arrivals is registered: it wakes up the process only for datagrams that arrive while
// they are not held (see setHeld).
type socket struct {
	peers sources
	udp   *descriptor
	// greetings sends the first datagrams of handshakes, from another port. Datagrams for dead nodes stay
	// in the kernel until address resolution has failed: they would fill the send buffer of udp. This
	// socket receives nothing: the kernel drops all that comes to its port.
	greetings *descriptor
	// arrivals is an epoll instance that watches only udp.
	arrivals *descriptor
	take     func(from netip.Addr, datagram []byte)
}

// openSocket opens the socket. take is called with each datagram, and must not retain it.
func openSocket(address netip.AddrPort, take func(netip.Addr, []byte)) (*socket, error) {
	s := &socket{peers: sources{ipv4: address.Addr().Unmap().Is4()}, take: take}
	var err error
	if s.udp, err = newUDPSocket(address); err != nil {
		return nil, err
	}
	if s.greetings, err = newUDPSocket(netip.AddrPortFrom(address.Addr(), 0)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.arrivals, err = newEpoll(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := errors.Join(filterSources(s.greetings, &sources{}), s.setPeers(nil), s.setEvents(unix.EPOLL_CTL_ADD, unix.EPOLLIN)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	// The mesh works with a smaller buffer too.
	_ = s.udp.use(func(fd uintptr) error {
		return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBufferBytes)
	})
	return s, nil
}

// setEvents sets for which events arrivals wakes up the process.
func (s *socket) setEvents(operation int, events uint32) error {
	return s.arrivals.use(func(epoll uintptr) error {
		return s.udp.use(func(fd uintptr) error {
			return os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epoll), operation, int(fd), &unix.EpollEvent{Events: events, Fd: int32(fd)}))
		})
	})
}

// setHeld(true) makes arriving datagrams wait in the kernel's buffer. After setHeld(false), they are
// read. The event of a datagram stays in arrivals after the datagram was read, and arrivals reports no
// new event as long as it has an old one. So setHeld(true) removes the old event (ep_modify in
// fs/eventpoll.c).
func (s *socket) setHeld(is bool) {
	if !is {
		_ = s.setEvents(unix.EPOLL_CTL_MOD, unix.EPOLLIN) // fails only once the socket is closed
		return
	}
	_ = s.setEvents(unix.EPOLL_CTL_MOD, 0)
	_ = s.arrivals.raw.Control(forgetEvents)
}

// setPeers sets the peers from whose addresses datagrams are accepted.
func (s *socket) setPeers(peers map[netip.Addr]lb.NodeName) error {
	if !s.peers.set(peers) {
		return nil
	}
	return filterSources(s.udp, &s.peers)
}

// filterSources makes the kernel drop datagrams that do not come from the given sources.
func filterSources(udp *descriptor, from *sources) error {
	if err := udp.use(func(fd uintptr) error { return from.filter(int(fd)) }); err != nil {
		return fmt.Errorf("filtering datagrams by their source: %w", err)
	}
	return nil
}

// read passes on datagrams until the socket is closed. After a failure, such as a lack of memory, it goes
// on when the next datagram arrives.
func (s *socket) read() {
	buffer := make([]byte, session.MaxDatagramBytes+1)
	var err error
	one := func(fd uintptr) {
		var n int
		var from netip.Addr
		if n, from, err = receiveFrom(fd, buffer); err == nil && s.peers.has(from) {
			s.take(from, buffer[:n])
		}
	}
	_ = s.arrivals.raw.Read(func(uintptr) bool { // false: wait for more
		for s.udp.raw.Control(one) == nil && err == nil {
		}
		return false
	})
}

// send sends a datagram to a peer from which this speaker has received one. It does not wait: a
// datagram that cannot be sent at once is lost, as datagrams on the network can be.
func (s *socket) send(datagram []byte, to netip.AddrPort) error { return s.udp.send(datagram, to) }

// greet sends a datagram to a peer that may be dead.
func (s *socket) greet(datagram []byte, to netip.AddrPort) error {
	return s.greetings.send(datagram, to)
}

func (d *descriptor) send(datagram []byte, to netip.AddrPort) error {
	return os.NewSyscallError("sendto", d.use(func(fd uintptr) error { return sendTo(fd, datagram, to) }))
}

func (s *socket) close() (err error) {
	for _, d := range []*descriptor{s.arrivals, s.udp, s.greetings} {
		if d != nil {
			err = errors.Join(err, d.close())
		}
	}
	return err
}
