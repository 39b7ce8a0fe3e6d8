package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

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
	take  func(from netip.Addr, datagram []byte)
}

// listen opens the socket. take must not keep the datagram.
func listen(address netip.AddrPort, take func(netip.Addr, []byte)) (*socket, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	s := &socket{udp: udp, take: take}
	if err := s.accept(nil); err != nil {
		return nil, errors.Join(err, udp.Close())
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
	raw, err := s.udp.SyscallConn()
	if err != nil {
		return fmt.Errorf("filtering datagrams by their source: %w", err)
	}
	var wrong error
	err = raw.Control(func(fd uintptr) { wrong = s.peers.filter(int(fd)) })
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

func (s *socket) send(datagram []byte, to netip.AddrPort) error {
	_, err := s.udp.WriteToUDPAddrPort(datagram, to)
	return err
}

func (s *socket) close() error { return s.udp.Close() }
