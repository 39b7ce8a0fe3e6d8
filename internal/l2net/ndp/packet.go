package ndp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/ndp"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

// frameBuilder makes the frames that an interface sends. hardware and linkLocal are the addresses of the
// interface.
type frameBuilder struct {
	hardware  packet.MAC
	linkLocal netip.Addr
}

// answerFrame returns the frame that answers a solicitation with a hardware address (RFC 4861 section
// 7.2.4). The Override flag is set: the hardware address replaces a cached one. A host that probes has
// no address yet. The answer to a probe therefore goes to all nodes, unsolicited, which defends the
// address (RFC 4862 section 5.4.3). Any other answer has the address itself as its source, like the
// answer of a kernel that has the address: some hosts accept no other source.
func (s frameBuilder) answerFrame(m packet.Message, at packet.MAC) ([]byte, error) {
	from, to, frameTo, solicited := m.Asks, m.From, m.Sender, true
	if m.Probe {
		from, to, solicited = s.linkLocal, netip.IPv6LinkLocalAllNodes(), false
		frameTo = groupMAC(to)
	}
	return s.wrapMessage(frameTo, from, to, newAdvertisement(m.Asks, at, solicited))
}

// announcementFrames returns the frames that announce an address at this interface. One is an
// unsolicited advertisement to all nodes (RFC 4861 section 7.2.6). The other is an unsolicited
// advertisement to all routers, which may then create a cache entry for the address (RFC 9131 section
// 6.1.2).
func (s frameBuilder) announcementFrames(address netip.Addr) ([2][]byte, error) {
	var frames [2][]byte
	for i, to := range []netip.Addr{netip.IPv6LinkLocalAllNodes(), netip.IPv6LinkLocalAllRouters()} {
		b, err := s.wrapMessage(groupMAC(to), s.linkLocal, to, newAdvertisement(address, s.hardware, false))
		if err != nil {
			return frames, err
		}
		frames[i] = b
	}
	return frames, nil
}

// probeFrame returns the frame that asks whether an address is in use (RFC 4862 section 5.4.2). The nonce
// distinguishes a probe of this connection that is looped back from the probe of another host (RFC 7527
// section 4.1).
func (s frameBuilder) probeFrame(address netip.Addr, nonce *ndp.Nonce) ([]byte, error) {
	group := SolicitedGroup(address)
	return s.wrapMessage(groupMAC(group), netip.IPv6Unspecified(), group, &ndp.NeighborSolicitation{
		TargetAddress: address, Options: []ndp.Option{nonce},
	})
}

func newAdvertisement(address netip.Addr, at packet.MAC, solicited bool) ndp.Message {
	return &ndp.NeighborAdvertisement{
		Solicited: solicited, Override: true, TargetAddress: address,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: at.Hardware()}},
	}
}

// groupMAC returns the hardware address of a group (RFC 2464 section 7).
func groupMAC(group netip.Addr) packet.MAC {
	b := group.As16()
	return packet.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// wrapMessage puts the headers of IPv6 and Ethernet around a message.
func (s frameBuilder) wrapMessage(frameTo packet.MAC, from, to netip.Addr, message ndp.Message) ([]byte, error) {
	icmp, err := ndp.MarshalMessageChecksum(message, from, to)
	if err != nil {
		return nil, fmt.Errorf("marshalling a message of type %s: %w", message.Type(), err)
	}
	b := make([]byte, offsetICMP, offsetICMP+len(icmp))
	copy(b[0:6], frameTo[:])
	copy(b[6:12], s.hardware[:])
	binary.BigEndian.PutUint16(b[12:14], etherType)
	ip := b[ethernetLength:]
	ip[0] = 6 << 4
	binary.BigEndian.PutUint16(ip[4:6], uint16(len(icmp)))
	ip[6], ip[7] = nextHeaderICMP, hopLimit
	source, destination := from.As16(), to.As16()
	copy(ip[8:24], source[:])
	copy(ip[24:40], destination[:])
	return append(b, icmp...), nil
}
