package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/session"
)

// receiveBuffer is how much the kernel buffers for this process, in bytes: the answers of a
// thousand speakers that are greeted at once.
const receiveBuffer = 2 << 20

// again is the pause after nothing could be received, such as when there are too many open
// files.
var again = backoff.Exponential{First: 50 * time.Millisecond, Last: time.Second}

// socket is the UDP socket of the mesh. It reads only what comes from peers: the kernel drops
// the rest before it takes room in the buffer.
type socket struct {
	peers sources
	udp   *net.UDPConn
	// greetings sends what begins a handshake, from another port: what is for dead nodes stays in
	// the kernel until nobody has answered for their addresses, and would fill the buffer of the
	// rest. It receives nothing: the kernel drops what comes to its port.
	greetings *net.UDPConn
	take      func(from netip.Addr, datagram []byte)
}

// listen opens the socket. take must not keep the datagram.
func listen(address netip.AddrPort, take func(netip.Addr, []byte)) (*socket, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	greetings, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address.Addr(), 0)))
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	s := &socket{peers: sources{ipv4: address.Addr().Unmap().Is4()}, udp: udp, greetings: greetings, take: take}
	if err := errors.Join(filter(greetings, &sources{}), s.accept(nil)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	// A smaller one is no reason not to start.
	_ = udp.SetReadBuffer(receiveBuffer)
	return s, nil
}

// accept sets where datagrams may come from.
func (s *socket) accept(peers map[netip.Addr]lb.NodeName) error {
	if !s.peers.set(peers) {
		return nil
	}
	return filter(s.udp, &s.peers)
}

// filter has the kernel drop what comes to a socket from other sources.
func filter(conn *net.UDPConn, from *sources) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("filtering datagrams by their source: %w", err)
	}
	var wrong error
	err = raw.Control(func(fd uintptr) { wrong = from.filter(int(fd)) })
	if err = errors.Join(err, wrong); err != nil {
		return fmt.Errorf("filtering datagrams by their source: %w", err)
	}
	return nil
}

// read takes datagrams until the context ends. Only a socket that is closed ends it earlier.
func (s *socket) read(ctx context.Context) {
	buffer := make([]byte, session.MaxDatagram+1)
	failures := 0
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buffer)
		switch {
		case err == nil:
			failures = 0
			if s.peers.has(from.Addr()) {
				s.take(from.Addr(), buffer[:n])
			}
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		failures++
		select {
		case <-ctx.Done():
			return
		case <-time.After(again.After(failures)):
		}
	}
}

// send sends a datagram to a peer from which one has come.
func (s *socket) send(datagram []byte, to netip.AddrPort) error { return send(s.udp, datagram, to) }

// greet sends a datagram to a peer that may be dead.
func (s *socket) greet(datagram []byte, to netip.AddrPort) error {
	return send(s.greetings, datagram, to)
}

// send sends a datagram if that can be done at once: heartbeats must not wait. What cannot be sent
// is lost, as on the network.
func send(conn *net.UDPConn, datagram []byte, to netip.AddrPort) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var wrong error
	err = raw.Write(func(fd uintptr) bool {
		wrong = unix.Sendto(int(fd), datagram, unix.MSG_DONTWAIT, sockaddr(to))
		return true
	})
	return errors.Join(err, os.NewSyscallError("sendto", wrong))
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if a := to.Addr().Unmap(); a.Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

func (s *socket) close() error { return errors.Join(s.udp.Close(), s.greetings.Close()) }
