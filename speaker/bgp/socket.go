package bgp

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/bgp"
)

// dialTimeout bounds an attempt to connect.
const dialTimeout = 4 * time.Second

// controlTrafficClass is the traffic class of routing protocols: CS6 (RFC 4594 section 3.1).
const controlTrafficClass = 0xc0

// connectTo connects to the router of a peer.
func connectTo(ctx context.Context, p bgp.Peer, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: -1, Control: socketControl(func(fd int) error { return prepareSocket(fd, p, to.Addr()) })}
	if p.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Source, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

func socketControl(set func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error { return runOnSocket(c, set) }
}

func runOnSocket(c syscall.RawConn, set func(fd int) error) error {
	var failed error
	if err := c.Control(func(fd uintptr) { failed = set(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// SourceFor returns the source address that the kernel chooses at present for connections to a router in
// a VRF; invalid: there is no route. SourceFor sends nothing.
func SourceFor(router netip.Addr, vrf string) netip.Addr {
	d := net.Dialer{Control: socketControl(func(fd int) error {
		if vrf == "" {
			return nil
		}
		return unix.BindToDevice(fd, vrf)
	})}
	conn, err := d.Dial("udp", netip.AddrPortFrom(router, bgp.Port).String())
	if err != nil {
		return netip.Addr{}
	}
	defer func() { _ = conn.Close() }()
	udp, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	return udp.AddrPort().Addr().Unmap().WithZone("")
}

// prepareSocket sets the options of a socket before it connects.
func prepareSocket(fd int, p bgp.Peer, router netip.Addr) error {
	if p.VRF != "" {
		if err := unix.BindToDevice(fd, p.VRF); err != nil {
			return fmt.Errorf("entering the VRF %s: %w", p.VRF, err)
		}
	}
	if p.Password != "" {
		if err := setPassword(fd, router, p.Password); err != nil {
			return err
		}
	}
	if router.Is6() && !p.Source.IsValid() {
		// The router is not configured for temporary addresses (RFC 8981), and the session would end when the
		// kernel removes such an address (RFC 5014).
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_ADDR_PREFERENCES, preferPublicSource); err != nil {
			return fmt.Errorf("preferring stable source addresses: %w", err)
		}
	}
	return setHops(fd, p, router)
}

// preferPublicSource is IPV6_PREFER_SRC_PUBLIC of linux/in6.h.
const preferPublicSource = 0x2

// setHops sets the hop limit of sent packets, and the least hop limit of received packets. A peer with
// ttlSecurityHops uses GTSM (RFC 5082). Without it, an external router must be one hop away (RFC 4271
// section 5.1.3).
func setHops(fd int, p bgp.Peer, router netip.Addr) error {
	hops := 0
	switch {
	case p.SecurityHops > 0:
		hops = 255
	case !p.Multihop && !p.IsInternal():
		hops = 1
	}
	level, ttl, class := unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_TCLASS
	if router.Is4() {
		level, ttl, class = unix.IPPROTO_IP, unix.IP_TTL, unix.IP_TOS
	}
	if err := unix.SetsockoptInt(fd, level, class, controlTrafficClass); err != nil {
		return fmt.Errorf("setting the traffic class: %w", err)
	}
	if hops > 0 {
		if err := unix.SetsockoptInt(fd, level, ttl, hops); err != nil {
			return fmt.Errorf("setting the hop limit: %w", err)
		}
	}
	if least := leastHopLimit(p); least > 0 {
		return setLeastHopLimit(fd, router.Is4(), least)
	}
	return nil
}

// leastHopLimit returns the least hop limit that packets of a router may arrive with (RFC 5082); 0: the
// hop limit is not checked.
func leastHopLimit(p bgp.Peer) int {
	if p.SecurityHops == 0 {
		return 0
	}
	return 256 - int(p.SecurityHops)
}

// setLeastHopLimit makes the kernel drop packets that arrive with a hop limit below the given one; 0: the kernel
// drops no packets.
func setLeastHopLimit(fd int, four bool, least int) error {
	level, minimum := unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT
	if four {
		level, minimum = unix.IPPROTO_IP, unix.IP_MINTTL
	}
	if err := unix.SetsockoptInt(fd, level, minimum, least); err != nil {
		return fmt.Errorf("setting the least hop limit: %w", err)
	}
	return nil
}

// setPassword makes the kernel sign segments to a router, and check the signatures of segments from it (RFC
// 2385). An empty password turns signatures off.
func setPassword(fd int, router netip.Addr, password bgp.Password) error {
	sig := unix.TCPMD5Sig{Keylen: uint16(len(password))}
	if len(password) > len(sig.Key) {
		return fmt.Errorf("the password has %d characters, and at most %d are allowed", len(password), len(sig.Key))
	}
	copy(sig.Key[:], password)
	// A sockaddr inside of a sockaddr_storage; the kernel ignores the port.
	if router.Is4() {
		sig.Addr.Family = unix.AF_INET
		a := router.As4()
		copy(sig.Addr.Data[2:], a[:])
	} else {
		sig.Addr.Family = unix.AF_INET6
		a := router.As16()
		copy(sig.Addr.Data[6:], a[:])
		if i, err := net.InterfaceByName(router.Zone()); err == nil {
			binary.NativeEndian.PutUint32(sig.Addr.Data[22:], uint32(i.Index))
		}
	}
	if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig); err != nil {
		return fmt.Errorf("setting the password of %s: %w", router, err)
	}
	return nil
}

// changePassword changes the password of an existing connection.
func changePassword(c net.Conn, router netip.Addr, password bgp.Password) error {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	return runOnSocket(raw, func(fd int) error { return setPassword(fd, router, password) })
}
