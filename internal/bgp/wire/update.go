package wire

import (
	"fmt"
	"net/netip"
	"slices"

	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// Session is what decides how routes are written for a router.
type Session struct {
	// ASN of this side.
	ASN bgp.ASN
	// Internal: the router is in the same autonomous system.
	Internal bool
	// FourOctetASN: the router takes ASNs of four octets.
	FourOctetASN bool
	// NextHop4 and NextHop6 are where the router sends the packets of the families'
	// routes: NextHop4 is an IPv6 address where the router takes that (RFC 8950).
	NextHop4, NextHop6 NextHop
}

// NextHop is where packets go. Invalid, routes of the family cannot be announced.
type NextHop = bgp.NextHop

// Of returns the next hop of a family.
func (s Session) Of(f lb.Family) NextHop {
	if f == lb.IPv4 {
		return s.NextHop4
	}
	return s.NextHop6
}

// overhead is what an UPDATE has besides its attributes and prefixes: the header, two
// lengths, and the next hops of both families with what is around them.
const overhead = headerLength + 4 + 64

// roomLeft is what prefixes may take of an UPDATE with these attributes.
func roomLeft(attributes []packet.PathAttributeInterface, o *packet.MarshallingOption) (int, error) {
	room := maxLength - overhead
	for _, a := range attributes {
		octets, err := a.Serialize(o)
		if err != nil {
			return 0, err
		}
		room -= len(octets)
	}
	if room < 64 {
		return 0, fmt.Errorf("the communities and other attributes take %d octets, and an UPDATE has %d: have the BGPAdvertisements add fewer communities", maxLength-room, maxLength)
	}
	return room, nil
}

// Announce writes the UPDATEs for routes of one family that have the same attributes.
func (s Session) Announce(f lb.Family, prefixes []netip.Prefix, a *routes.Attributes) ([]byte, error) {
	attributes, hop := s.attributes(a), s.Of(f)
	room, err := roomLeft(attributes, s.options())
	if err != nil {
		return nil, err
	}
	return pack(prefixes, room, func(list []packet.PathNLRI) (*packet.BGPMessage, error) {
		if f == lb.IPv4 && hop.Address.Is4() {
			next, err := packet.NewPathAttributeNextHop(hop.Address)
			if err != nil {
				return nil, err
			}
			return packet.NewBGPUpdateMessage(nil, append(slices.Clip(attributes), next), list), nil
		}
		reach, err := packet.NewPathAttributeMpReachNLRI(family(f), list, hop.Address.WithZone(""), hop.LinkLocal.WithZone(""))
		if err != nil {
			return nil, err
		}
		// First of all, as RFC 7606 section 5.1 asks.
		return packet.NewBGPUpdateMessage(nil, append([]packet.PathAttributeInterface{reach}, attributes...), nil), nil
	}, s.options())
}

// Withdraw writes the UPDATEs that take routes of one family back.
func (s Session) Withdraw(f lb.Family, prefixes []netip.Prefix) ([]byte, error) {
	return pack(prefixes, maxLength-overhead, func(list []packet.PathNLRI) (*packet.BGPMessage, error) {
		if f == lb.IPv4 {
			return packet.NewBGPUpdateMessage(list, nil, nil), nil
		}
		unreach, err := packet.NewPathAttributeMpUnreachNLRI(family(f), list)
		if err != nil {
			return nil, err
		}
		return packet.NewBGPUpdateMessage(nil, []packet.PathAttributeInterface{unreach}, nil), nil
	}, s.options())
}

// EndOfRIB writes the marker after the first routes of a family (RFC 4724 section 2).
func EndOfRIB(f lb.Family) ([]byte, error) { return packet.NewEndOfRib(family(f)).Serialize() }

// pack writes as many prefixes into one message as fit.
func pack(prefixes []netip.Prefix, room int, message func([]packet.PathNLRI) (*packet.BGPMessage, error), o *packet.MarshallingOption) ([]byte, error) {
	var out []byte
	var list []packet.PathNLRI
	used := 0
	flush := func() error {
		if len(list) == 0 {
			return nil
		}
		m, err := message(list)
		if err != nil {
			return err
		}
		octets, err := m.Serialize(o)
		if err != nil {
			return err
		}
		out, list, used = append(out, octets...), nil, 0
		return nil
	}
	for _, prefix := range prefixes {
		nlri, err := packet.NewIPAddrPrefix(prefix)
		if err != nil {
			return nil, fmt.Errorf("writing the route %s: %w", prefix, err)
		}
		if used+nlri.Len() > room {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		list = append(list, packet.PathNLRI{NLRI: nlri})
		used += nlri.Len()
	}
	return out, flush()
}

// attributes are those of a route, without its next hop.
func (s Session) attributes(a *routes.Attributes) []packet.PathAttributeInterface {
	list := []packet.PathAttributeInterface{packet.NewPathAttributeOrigin(0), s.path(a)}
	if a.MED.Set {
		list = append(list, packet.NewPathAttributeMultiExitDisc(a.MED.Value))
	}
	if s.Internal {
		preference := uint32(100)
		if a.LocalPref.Set {
			preference = a.LocalPref.Value
		}
		list = append(list, packet.NewPathAttributeLocalPref(preference))
	}
	if len(a.Communities) > 0 {
		values := make([]uint32, 0, len(a.Communities))
		for _, c := range a.Communities {
			values = append(values, uint32(c))
		}
		list = append(list, packet.NewPathAttributeCommunities(values))
	}
	if len(a.Large) > 0 {
		values := make([]*packet.LargeCommunity, 0, len(a.Large))
		for _, c := range a.Large {
			values = append(values, &packet.LargeCommunity{ASN: c.Global, LocalData1: c.Local1, LocalData2: c.Local2})
		}
		list = append(list, packet.NewPathAttributeLargeCommunities(values))
	}
	if s.ASN > 0xffff && !s.FourOctetASN && !s.Internal {
		list = append(list, packet.NewPathAttributeAs4Path([]*packet.As4PathParam{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, s.sequence(a))}))
	}
	return list
}

// path is empty inside of an autonomous system (RFC 4271 section 5.1.2).
func (s Session) path(a *routes.Attributes) packet.PathAttributeInterface {
	switch sequence := s.sequence(a); {
	case s.Internal:
		return packet.NewPathAttributeAsPath(nil)
	case s.FourOctetASN:
		return packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, sequence)})
	default:
		short := make([]uint16, 0, len(sequence))
		for _, asn := range sequence {
			if asn > 0xffff {
				asn = packet.AS_TRANS
			}
			short = append(short, uint16(asn))
		}
		return packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAsPathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, short)})
	}
}

func (s Session) sequence(a *routes.Attributes) []uint32 {
	list := make([]uint32, 1+int(a.Prepend))
	for i := range list {
		list[i] = uint32(s.ASN)
	}
	return list
}

func (s Session) options() *packet.MarshallingOption {
	return &packet.MarshallingOption{Use2ByteAS: !s.FourOctetASN}
}

func family(f lb.Family) packet.Family {
	if f == lb.IPv4 {
		return packet.RF_IPv4_UC
	}
	return packet.RF_IPv6_UC
}
