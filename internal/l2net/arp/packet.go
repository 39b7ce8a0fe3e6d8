// Package arp sends and receives ARP (RFC 826) on one interface: answers, announcements and probes. It
// skips malformed input. github.com/mdlayher/arp parses and marshals the packets.
package arp

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/arp"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

const (
	// etherType is the EtherType of ARP (RFC 826).
	etherType = 0x0806
	// headerLength is the length of an Ethernet header: destination, source, type.
	headerLength = 14
)

// announcementFrames returns the frames that announce an IPv4 address at a hardware address: a
// gratuitous request (RFC 5227 section 2.3) and a gratuitous reply, both broadcast. Some hosts update
// their ARP caches only from requests, others only from replies. The target of the reply has the
// hardware address of the sender: otherwise Linux does not treat the reply as gratuitous.
func announcementFrames(address netip.Addr, hardware packet.MAC) ([2][]byte, error) {
	request, err := broadcastFrame(arp.OperationRequest, hardware, address, packet.MAC{}, address)
	if err != nil {
		return [2][]byte{}, fmt.Errorf("making a gratuitous request for %s: %w", address, err)
	}
	reply, err := broadcastFrame(arp.OperationReply, hardware, address, hardware, address)
	if err != nil {
		return [2][]byte{}, fmt.Errorf("making a gratuitous reply for %s: %w", address, err)
	}
	return [2][]byte{request, reply}, nil
}

// probeFrame returns the frame that asks whether an address is in use, without claiming it. RFC 5227
// section 2.1.1: the sender's IP address MUST be zero, so that no ARP cache learns it; the target's
// hardware address SHOULD be zero.
func probeFrame(address netip.Addr, hardware packet.MAC) ([]byte, error) {
	b, err := broadcastFrame(arp.OperationRequest, hardware, netip.IPv4Unspecified(), packet.MAC{}, address)
	if err != nil {
		return nil, fmt.Errorf("making a probe for %s: %w", address, err)
	}
	return b, nil
}

// broadcastFrame returns a broadcast frame from a hardware address.
func broadcastFrame(operation arp.Operation, sender packet.MAC, senderIP netip.Addr, target packet.MAC, targetIP netip.Addr) ([]byte, error) {
	p, err := arp.NewPacket(operation, sender.Hardware(), senderIP, target.Hardware(), targetIP)
	if err != nil {
		return nil, err
	}
	body, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	everybody := packet.BroadcastMAC()
	b := append(make([]byte, 0, headerLength+len(body)), everybody[:]...)
	b = append(b, sender[:]...)
	b = append(b, etherType>>8, etherType&0xff)
	return append(b, body...), nil
}

var (
	// errNotIPv4OverEthernet reports a hardware or protocol type (RFC 826) other than Ethernet and
	// IPv4.
	errNotIPv4OverEthernet = errors.New("the packet is not ARP for IPv4 over Ethernet")
	errGroupSender         = errors.New("the sender's hardware address is a multicast address")
)

// parseFrame parses a frame.
func parseFrame(b []byte) (packet.Message, error) {
	if len(b) < headerLength {
		return packet.Message{}, errors.New("the frame is too short for an Ethernet header")
	}
	var p arp.Packet
	if err := p.UnmarshalBinary(b[headerLength:]); err != nil {
		return packet.Message{}, fmt.Errorf("parsing ARP: %w", err)
	}
	if p.HardwareType != 1 || p.ProtocolType != 0x0800 || p.HardwareAddrLength != 6 || p.IPLength != 4 {
		return packet.Message{}, errNotIPv4OverEthernet
	}
	if p.SenderHardwareAddr[0]&1 != 0 || b[6]&1 != 0 {
		return packet.Message{}, errGroupSender // RFC 1812 section 3.3.2: MUST not be accepted
	}
	m := packet.Message{Sender: packet.MAC(p.SenderHardwareAddr), From: p.SenderIP}
	if !p.SenderIP.IsUnspecified() {
		m.Claims = p.SenderIP
	}
	switch p.Operation {
	case arp.OperationRequest:
		m.Asks, m.Probe = p.TargetIP, p.SenderIP.IsUnspecified()
		// The answer goes to the source of the frame: a forged body could name any host, which would
		// then receive the answers.
		m.Sender = packet.MAC(b[6:12])
	case arp.OperationReply:
		if source := packet.MAC(b[6:12]); source != m.Sender {
			m.Via = source
		}
	default:
		return packet.Message{}, fmt.Errorf("the ARP operation %d is neither a request nor a reply", p.Operation)
	}
	return m, nil
}
