package bfd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/sourcefilter"
)

const (
	maxTTL          = 255     // each router on the path lowers the TTL: only packets of a neighbour arrive with 255 (RFC 5881 section 5)
	trafficClassCS6 = 48 << 2 // the traffic class: DSCP CS6
	socketPriority  = 6       // SO_PRIORITY
)

// NewKernelNetwork returns a Network that opens sockets in the network namespace of the calling thread.
func NewKernelNetwork() Network { return kernelNetwork{} }

type kernelNetwork struct{}

// Listen implements Network. SO_REUSEADDR is not set: with it, the speaker and another BFD program of
// the host, such as bfdd, would take each other's packets.
func (kernelNetwork) Listen(c PacketClass) (Receiver, error) {
	network, wildcard := "udp4", netip.IPv4Unspecified()
	if c.IPv6 {
		network, wildcard = "udp6", netip.IPv6Unspecified()
	}
	control := func(fd int) error {
		err := errors.Join(
			setIPOption(fd, c.IPv6, unix.IP_RECVTTL, unix.IPV6_RECVHOPLIMIT, 1),
			setIPOption(fd, c.IPv6, unix.IP_PKTINFO, unix.IPV6_RECVPKTINFO, 1),
		)
		if err != nil {
			return fmt.Errorf("setting the socket options that report the TTL of packets: %w", err)
		}
		if !c.Multihop {
			if err := setIPOption(fd, c.IPv6, unix.IP_MINTTL, unix.IPV6_MINHOPCOUNT, maxTTL); err != nil {
				return fmt.Errorf("setting the socket option that drops packets with a TTL below 255: %w", err)
			}
		}
		return bindToDevice(fd, c.VRF)
	}
	conn, err := listenPacket(network, netip.AddrPortFrom(wildcard, c.port()), control)
	if err != nil {
		return nil, err
	}
	return &receiver{UDPConn: conn.(*net.UDPConn), ipv4: !c.IPv6}, nil
}

// receiver reads datagrams without allocating memory: any host may send them.
type receiver struct {
	*net.UDPConn
	ipv4    bool
	control [128]byte
}

// Admit implements Receiver.
func (r *receiver) Admit(sources []netip.Addr) error {
	raw, err := r.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = sourcefilter.Attach(int(fd), r.ipv4, sources) }); err != nil {
		return err
	}
	return failed
}

// Read implements Receiver.
func (r *receiver) Read(buffer []byte) (Arrival, error) {
	n, control, _, from, err := r.ReadMsgUDPAddrPort(buffer, r.control[:])
	if err != nil {
		return Arrival{}, err
	}
	a := Arrival{Packet: buffer[:n], From: from.Addr().Unmap().WithZone("")}
	for rest := r.control[:control]; len(rest) >= unix.CmsgLen(0); {
		header, data, after, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break // a missing TTL is 0, and no session accepts a packet with TTL 0
		}
		rest = after
		a.noteControlMessage(header, data)
	}
	return a, nil
}

// noteControlMessage records what a control message of the kernel reports about a datagram.
func (a *Arrival) noteControlMessage(header unix.Cmsghdr, data []byte) {
	number := func(at int) int { return int(int32(binary.NativeEndian.Uint32(data[at:]))) }
	switch kind := [2]int32{header.Level, header.Type}; {
	case kind == [2]int32{unix.IPPROTO_IP, unix.IP_TTL} && len(data) >= 4, kind == [2]int32{unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT} && len(data) >= 4:
		a.TTL = number(0)
	case kind == [2]int32{unix.IPPROTO_IP, unix.IP_PKTINFO} && len(data) >= unix.SizeofInet4Pktinfo:
		a.Interface, a.To = number(0), netip.AddrFrom4([4]byte(data[8:12]))
	case kind == [2]int32{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO} && len(data) >= unix.SizeofInet6Pktinfo:
		a.Interface, a.To = number(16), netip.AddrFrom16([16]byte(data[:16]))
	}
}

// Dial implements Network.
func (kernelNetwork) Dial(key Key, port uint16) (Sender, error) {
	peer, local := key.Peer.Unmap(), key.Local.Unmap()
	link, err := interfaceOf(key)
	if err != nil {
		return nil, err
	}
	network := "udp4"
	if peer.Is6() {
		network = "udp6"
	}
	switch {
	case !local.IsValid() && peer.Is6():
		local = netip.IPv6Unspecified()
	case !local.IsValid():
		local = netip.IPv4Unspecified()
	case local.Is6() != peer.Is6():
		return nil, fmt.Errorf("the local address %s and the peer's address %s are not of the same IP family", local, peer)
	case local.IsLinkLocalUnicast() && local.Is6():
		local = local.WithZone(strconv.Itoa(link.Index))
	}
	device := key.VRF
	if link.Name != "" {
		device = link.Name
	}
	conn, err := listenPacket(network, netip.AddrPortFrom(local, port), func(fd int) error {
		return errors.Join(
			setIPOption(fd, peer.Is6(), unix.IP_TTL, unix.IPV6_UNICAST_HOPS, maxTTL),
			setIPOption(fd, peer.Is6(), unix.IP_TOS, unix.IPV6_TCLASS, trafficClassCS6),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, socketPriority),
			bindToDevice(fd, device),
		)
	})
	if err != nil {
		return nil, err
	}
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	s := &sender{PacketConn: conn, raw: raw, link: link.Index}
	to := PacketClass{Multihop: key.Multihop}.port()
	if peer.Is6() {
		s.to = &unix.SockaddrInet6{Port: int(to), Addr: peer.As16(), ZoneId: zoneID(peer, link)}
	} else {
		s.to = &unix.SockaddrInet4{Port: int(to), Addr: peer.As4()}
	}
	return s, nil
}

func zoneID(peer netip.Addr, link net.Interface) uint32 {
	if peer.IsLinkLocalUnicast() {
		return uint32(link.Index)
	}
	return 0
}

// interfaceOf returns the interface of a session; its name is empty if the session has none.
func interfaceOf(key Key) (net.Interface, error) {
	name := key.Interface
	if name == "" {
		name = key.Peer.Zone()
	}
	switch {
	case key.Multihop && key.Peer.Is6() && key.Peer.IsLinkLocalUnicast():
		return net.Interface{}, fmt.Errorf("the peer's address %s is link-local, and no router is on the path to such an address: use another address of the peer, or a session without multihop", key.Peer)
	case key.Multihop:
		return net.Interface{}, nil
	case name == "" && key.Peer.Is6() && key.Peer.IsLinkLocalUnicast():
		return net.Interface{}, fmt.Errorf("the peer's address %s is link-local, and the session has no interface: set the interface of the peer", key.Peer)
	case name == "":
		return net.Interface{}, nil
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		return net.Interface{}, fmt.Errorf("finding the interface %s: %w", name, err)
	}
	return *link, nil
}

type sender struct {
	net.PacketConn
	raw  syscall.RawConn
	to   unix.Sockaddr
	link int
}

// Send implements Sender.
func (s *sender) Send(packet []byte) error {
	var sent error
	err := s.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), packet, unix.MSG_DONTWAIT, s.to)
		return true
	})
	if err != nil {
		return err
	}
	return sent
}

// Interface implements Sender.
func (s *sender) Interface() int { return s.link }

func listenPacket(network string, at netip.AddrPort, control func(fd int) error) (net.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = control(int(fd)) }); err != nil {
			return err
		}
		return failed
	}}
	return config.ListenPacket(context.Background(), network, at.String())
}

func setIPOption(fd int, six bool, option4, option6, value int) error {
	if six {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, option6, value)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, option4, value)
}

func bindToDevice(fd int, device string) error {
	if device == "" {
		return nil
	}
	if err := unix.BindToDevice(fd, device); err != nil {
		return fmt.Errorf("binding the socket to the device %s: %w", device, err)
	}
	return nil
}
