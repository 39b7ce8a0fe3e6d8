// Package ndp sends and receives Neighbor Discovery (RFC 4861) on one interface: answers, announcements
// and probes. It skips malformed input. github.com/mdlayher/ndp parses and marshals the messages; this
// package adds the headers around them. It reads from a packet socket: a solicitation that is sent to the
// load balancer address itself never reaches an ICMPv6 socket, since no interface has that address.
package ndp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/ndp"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

const (
	// etherType is the EtherType of IPv6 (RFC 2464).
	etherType = 0x86dd
	// ethernetLength is the length of the Ethernet header.
	ethernetLength = 14
	// ipLength is the length of the IPv6 header (RFC 8200 section 3).
	ipLength = 40
	// fixedMessageLength is the length of a solicitation or an advertisement without options (RFC 4861 sections
	// 4.3, 4.4).
	fixedMessageLength = 24
	// offsetICMP is where ICMPv6 begins in a frame.
	offsetICMP = ethernetLength + ipLength
	// nextHeaderICMP is the Next Header value of ICMPv6 (RFC 4443).
	nextHeaderICMP = 58
	// hopLimit means that no router has forwarded a message (RFC 4861 section 3.1).
	hopLimit = 255
	// The types of the messages (RFC 4861 section 4).
	typeSolicitation, typeAdvertisement = 135, 136
	// The types of the options that are parsed (RFC 4861 section 4.6, RFC 3971 section 5.3).
	optionSource, optionTarget, optionNonce = 1, 2, 14
	// maxOptions is how many options a message may have: it bounds the work for one message.
	maxOptions = 16
)

// solicitedPrefix is the beginning of each multicast group that a host joins for one of its addresses
// (RFC 4291 section 2.7.1).
var solicitedPrefix = [13]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff}

// SolicitedGroup returns the solicited-node multicast address of an address.
func SolicitedGroup(address netip.Addr) netip.Addr {
	b := address.As16()
	copy(b[:], solicitedPrefix[:])
	return netip.AddrFrom16(b)
}

// receivedMessage is a message with the fields of the headers around it.
type receivedMessage struct {
	frameSource              packet.MAC
	source, destination      netip.Addr
	message                  ndp.Message
	sourceLayer, targetLayer packet.MAC // the addresses in the options; zero: there is no such option
	nonce                    *ndp.Nonce
}

// parseFrame parses a frame. A message that breaks a rule of RFC 4861 section 7.1.1 or 7.1.2 MUST be
// discarded; the error names the rule.
func parseFrame(b []byte) (receivedMessage, error) {
	var r receivedMessage
	if len(b) < offsetICMP+fixedMessageLength {
		return r, errors.New("the frame is too short")
	}
	r.frameSource = packet.MAC(b[6:12])
	ip := b[ethernetLength:]
	length := int(binary.BigEndian.Uint16(ip[4:6]))
	switch {
	case ip[0]>>4 != 6 || ip[6] != nextHeaderICMP:
		return r, errors.New("the packet is not ICMPv6")
	case ip[7] != hopLimit:
		return r, fmt.Errorf("the hop limit is %d, so that a router has forwarded the message", ip[7])
	case length < fixedMessageLength || length > len(ip)-ipLength:
		return r, fmt.Errorf("the payload length, %d bytes, is invalid", length)
	}
	r.source, r.destination = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	icmp := ip[ipLength : ipLength+length]
	if sum := checksum(ip[8:40], icmp); sum != 0 {
		return r, errors.New("the checksum is wrong")
	}
	if icmp[1] != 0 || (icmp[0] != typeSolicitation && icmp[0] != typeAdvertisement) {
		return r, fmt.Errorf("ICMPv6 type %d with code %d is not handled", icmp[0], icmp[1])
	}
	known, err := withKnownOptions(icmp)
	if err != nil {
		return r, err
	}
	if r.message, err = ndp.ParseMessage(known); err != nil {
		return r, fmt.Errorf("parsing a message: %w", err)
	}
	return r, r.validate()
}

// withKnownOptions returns a message with only the options that this package uses. RFC 4861 section 4.6:
// an option with a length of zero makes the message invalid; unknown options MUST be ignored, whatever
// their content.
func withKnownOptions(icmp []byte) ([]byte, error) {
	known := append(make([]byte, 0, len(icmp)), icmp[:fixedMessageLength]...)
	options := icmp[fixedMessageLength:]
	for n := 0; len(options) > 0; n++ {
		if n == maxOptions {
			return nil, errors.New("the message has too many options")
		}
		if len(options) < 2 || options[1] == 0 || int(options[1])*8 > len(options) {
			return nil, errors.New("the length of an option is invalid")
		}
		length := int(options[1]) * 8
		switch options[0] {
		case optionSource, optionTarget, optionNonce:
			known = append(known, options[:length]...)
		}
		options = options[length:]
	}
	return known, nil
}

// validate checks the rules about addresses and options, and stores the options in r.
func (r *receivedMessage) validate() error {
	switch m := r.message.(type) {
	case *ndp.NeighborSolicitation:
		r.readOptions(m.Options)
		if m.TargetAddress.IsMulticast() {
			return errors.New("the target of the solicitation is a multicast address")
		}
		if r.source.IsUnspecified() && (r.destination != SolicitedGroup(m.TargetAddress) || !r.sourceLayer.IsZero()) {
			return errors.New("the solicitation comes from the unspecified address and is not a valid probe")
		}
	case *ndp.NeighborAdvertisement:
		r.readOptions(m.Options)
		if m.TargetAddress.IsMulticast() {
			return errors.New("the target of the advertisement is a multicast address")
		}
		if r.destination.IsMulticast() && m.Solicited {
			return errors.New("the advertisement is solicited, and was sent to a multicast address")
		}
	}
	if r.source.IsMulticast() {
		return errors.New("the source of the message is a multicast address")
	}
	if (r.frameSource[0]|r.sourceLayer[0]|r.targetLayer[0])&1 != 0 {
		return errors.New("a hardware address in the message is a multicast address")
	}
	return nil
}

func (r *receivedMessage) readOptions(list []ndp.Option) {
	for _, option := range list {
		switch o := option.(type) {
		case *ndp.LinkLayerAddress:
			if o.Direction == ndp.Source {
				r.sourceLayer = packet.MAC(o.Addr)
			} else {
				r.targetLayer = packet.MAC(o.Addr)
			}
		case *ndp.Nonce:
			r.nonce = o
		}
	}
}

// toMessage returns the content of the message.
func (r *receivedMessage) toMessage() packet.Message {
	switch m := r.message.(type) {
	case *ndp.NeighborSolicitation:
		// The answer goes to the source of the frame: a forged option could name any host, which would
		// then receive the answers.
		return packet.Message{Asks: m.TargetAddress, Probe: r.source.IsUnspecified(), From: r.source, Sender: r.frameSource}
	case *ndp.NeighborAdvertisement:
		claim := packet.Message{Claims: m.TargetAddress, From: r.source, Sender: optionOrFrameMAC(r.targetLayer, r.frameSource)}
		if r.frameSource != claim.Sender {
			claim.Via = r.frameSource
		}
		return claim
	}
	return packet.Message{}
}

func optionOrFrameMAC(option, frame packet.MAC) packet.MAC {
	if option.IsZero() {
		return frame
	}
	return option
}

// checksum returns zero if the checksum of a message is correct (RFC 4443 section 2.3, RFC 8200 section
// 8.1). addresses are the two addresses in the IPv6 header.
func checksum(addresses, icmp []byte) uint16 {
	sum := uint32(len(icmp)) + nextHeaderICMP
	for _, part := range [][]byte{addresses, icmp} {
		for ; len(part) >= 2; part = part[2:] {
			sum += uint32(part[0])<<8 | uint32(part[1])
		}
		if len(part) == 1 {
			sum += uint32(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
