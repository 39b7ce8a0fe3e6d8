package membership

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/netlimit"
)

const (
	// largestDatagram is what UDP can carry.
	largestDatagram = 1 << 16
	// receiveBuffer is how much the kernel keeps for this process, in bytes.
	receiveBuffer = 2 << 20
)

// again is the pause after nothing could be received, such as when there are too many open
// files.
var again = backoff.Exponential{First: 50 * time.Millisecond, Last: time.Second}

// transport is memberlist's way to the network: UDP and TCP on one address. Its own
// takes 64 KiB of memory for each datagram; beats have a hundred bytes and come many
// times a second. Datagrams that are no memberlist's go to own, from the goroutine that
// reads; own must not keep them. Quiet ones wait in a socket of their own until they are
// asked for.
type transport struct {
	own     func(datagram []byte)
	peers   sources
	quiet   *quietSocket
	address netip.AddrPort
	udp     *net.UDPConn
	tcp     net.Listener
	packets chan *memberlist.Packet
	streams chan net.Conn
	over    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
}

var _ memberlist.Transport = (*transport)(nil)

// listen opens both sockets.
func listen(address netip.AddrPort, own func(datagram []byte)) (*transport, error) {
	t := &transport{own: own, address: address, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn)}
	tcp, err := net.Listen("tcp", address.String())
	if err != nil {
		return nil, err
	}
	t.tcp = netlimit.NewListener(tcp, netlimit.Limits{Connections: mostStreams, Bytes: streamBytes, Allow: t.peers.has})
	if t.udp, t.quiet, err = listenUDP(address); err != nil {
		return nil, errors.Join(err, t.tcp.Close())
	}
	if err := t.filter(); err != nil {
		return nil, errors.Join(err, t.udp.Close(), t.quiet.Close(), t.tcp.Close())
	}
	// A smaller one is no reason not to start.
	_ = t.udp.SetReadBuffer(receiveBuffer)
	t.over, t.end = context.WithCancel(context.Background())
	t.running.Go(t.readPackets)
	t.running.Go(t.acceptStreams)
	return t, nil
}

// setPeers says where datagrams and connections may come from; before, all are dropped.
func (t *transport) setPeers(addresses map[netip.Addr]bool) error {
	if !t.peers.set(addresses) {
		return nil
	}
	return t.filter()
}

func (t *transport) filter() error {
	raw, err := t.udp.SyscallConn()
	if err != nil {
		return fmt.Errorf("filtering what comes to %s: %w", t.address, err)
	}
	var wrong error
	err = raw.Control(func(fd uintptr) { wrong = t.peers.filter(int(fd)) })
	if err = errors.Join(err, wrong, t.quiet.filter(&t.peers)); err != nil {
		return fmt.Errorf("filtering what comes to %s: %w", t.address, err)
	}
	return nil
}

func (t *transport) readPackets() {
	buffer := make([]byte, largestDatagram)
	failures := 0
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buffer)
		if err != nil {
			if failures++; !t.pause(failures) {
				return
			}
			continue
		}
		failures = 0
		if n == 0 || !t.peers.has(from.Addr()) {
			continue
		}
		if isSealed(buffer[:n]) {
			t.own(buffer[:n])
			continue
		}
		packet := &memberlist.Packet{Buf: slices.Clone(buffer[:n]), From: net.UDPAddrFromAddrPort(from), Timestamp: time.Now()}
		select {
		case t.packets <- packet:
		case <-t.over.Done():
			return
		}
	}
}

func (t *transport) acceptStreams() {
	failures := 0
	for {
		conn, err := t.tcp.Accept()
		if err != nil {
			if failures++; !t.pause(failures) {
				return
			}
			continue
		}
		failures = 0
		select {
		case t.streams <- conn:
		case <-t.over.Done():
			_ = conn.Close()
			return
		}
	}
}

// pause waits after so many errors in a row, and returns false when all is over.
func (t *transport) pause(failures int) bool {
	select {
	case <-t.over.Done():
		return false
	case <-time.After(again.After(failures)):
		return true
	}
}

// FinalAdvertiseAddr implements memberlist.Transport: it is the address that it
// listens on.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.address.Addr().AsSlice(), int(t.address.Port()), nil
}

// WriteTo implements memberlist.Transport. memberlist gives addresses, no names.
func (t *transport) WriteTo(packet []byte, to string) (time.Time, error) {
	address, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return time.Time{}, fmt.Errorf("sending to %s: %w", to, err)
	}
	_, err = t.udp.WriteToUDP(packet, address)
	return time.Now(), err
}

// send sends a datagram of ours.
func (t *transport) send(datagram []byte, to netip.AddrPort, quiet bool) error {
	if quiet && t.quiet.send(datagram, to) {
		return nil
	}
	_, err := t.udp.WriteToUDPAddrPort(datagram, to)
	return err
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	return t.dialer(timeout).Dial("tcp", to)
}

// dialer connects from the address that others know this node by.
func (t *transport) dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.address.Addr(), 0))}
}

// Shutdown implements memberlist.Transport. It returns when nothing is received any
// more.
func (t *transport) Shutdown() error {
	t.end()
	err := errors.Join(t.udp.Close(), t.tcp.Close(), t.quiet.Close())
	t.running.Wait()
	return err
}
