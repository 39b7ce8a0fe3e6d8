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

// Encoding defines how routes are written for one router. Its values are those of the session.
type Encoding struct {
	// ASN of this side.
	ASN bgp.ASN
	// Internal: the router is in the same autonomous system.
	Internal bool
	// FourOctetASN: the router supports ASNs of four octets.
	FourOctetASN bool
	// NextHop4 and NextHop6 are the next hops of IPv4 and of IPv6 routes. NextHop4 may be an IPv6 address
	// if the router supports that (RFC 8950).
	NextHop4, NextHop6 NextHop
}

// NextHop is the next hop of routes. If its Address is invalid, no routes of the family can be announced.
type NextHop = bgp.NextHop

// NextHop returns the next hop of a family.
func (e Encoding) NextHop(f lb.Family) NextHop {
	if f == lb.IPv4 {
		return e.NextHop4
	}
	return e.NextHop6
}

// updateOverheadOctets is an upper bound, in octets, of an UPDATE without its attributes and prefixes: the header,
// two lengths (4), and 64 for NEXT_HOP, or for MP_REACH_NLRI with one next hop.
const updateOverheadOctets = headerOctets + 4 + 64

// octetsLeft returns how many octets of an UPDATE with these attributes are left for prefixes.
func octetsLeft(attributes []packet.PathAttributeInterface, o *packet.MarshallingOption) (int, error) {
	room := maxMessageOctets - updateOverheadOctets
	for _, a := range attributes {
		octets, err := a.Serialize(o)
		if err != nil {
			return 0, err
		}
		room -= len(octets)
	}
	if room < 64 {
		return 0, fmt.Errorf("the communities and other attributes of the route take %d octets, too many for an UPDATE of %d octets: set fewer communities in the BGPAdvertisements", maxMessageOctets-room, maxMessageOctets)
	}
	return room, nil
}

// EncodeRoutes writes the UPDATEs for routes of one family that have the same attributes.
func (e Encoding) EncodeRoutes(f lb.Family, prefixes []netip.Prefix, a *routes.Attributes) ([]byte, error) {
	attributes, hop := e.pathAttributes(a), e.NextHop(f)
	room, err := octetsLeft(attributes, e.marshalOptions())
	if err != nil {
		return nil, err
	}
	return encodeUpdates(prefixes, room, func(list []packet.PathNLRI) (*packet.BGPMessage, error) {
		if f == lb.IPv4 && hop.Address.Is4() {
			next, err := packet.NewPathAttributeNextHop(hop.Address)
			if err != nil {
				return nil, err
			}
			return packet.NewBGPUpdateMessage(nil, append(slices.Clip(attributes), next), list), nil
		}
		reach, err := packet.NewPathAttributeMpReachNLRI(wireFamily(f), list, hop.Address.WithZone(""), hop.LinkLocal.WithZone(""))
		if err != nil {
			return nil, err
		}
		// MP_REACH_NLRI is the first attribute (RFC 7606 section 5.1).
		return packet.NewBGPUpdateMessage(nil, append([]packet.PathAttributeInterface{reach}, attributes...), nil), nil
	}, e.marshalOptions())
}

// EncodeWithdrawals writes the UPDATEs that withdraw routes of one family.
func (e Encoding) EncodeWithdrawals(f lb.Family, prefixes []netip.Prefix) ([]byte, error) {
	return encodeUpdates(prefixes, maxMessageOctets-updateOverheadOctets, func(list []packet.PathNLRI) (*packet.BGPMessage, error) {
		if f == lb.IPv4 {
			return packet.NewBGPUpdateMessage(list, nil, nil), nil
		}
		unreach, err := packet.NewPathAttributeMpUnreachNLRI(wireFamily(f), list)
		if err != nil {
			return nil, err
		}
		return packet.NewBGPUpdateMessage(nil, []packet.PathAttributeInterface{unreach}, nil), nil
	}, e.marshalOptions())
}

// EncodeEndOfRIB writes the End-of-RIB marker, which follows the first routes of a family (RFC 4724
// section 2).
func EncodeEndOfRIB(f lb.Family) ([]byte, error) {
	return packet.NewEndOfRib(wireFamily(f)).Serialize()
}

// encodeUpdates writes prefixes into as few messages as possible.
func encodeUpdates(prefixes []netip.Prefix, room int, message func([]packet.PathNLRI) (*packet.BGPMessage, error), o *packet.MarshallingOption) ([]byte, error) {
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
			return nil, fmt.Errorf("encoding the route %s: %w", prefix, err)
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

// pathAttributes returns the path attributes of a route, without its next hop.
func (e Encoding) pathAttributes(a *routes.Attributes) []packet.PathAttributeInterface {
	list := []packet.PathAttributeInterface{packet.NewPathAttributeOrigin(0), e.asPath(a)}
	if a.MED.Set {
		list = append(list, packet.NewPathAttributeMultiExitDisc(a.MED.Value))
	}
	if e.Internal {
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
	if e.ASN > 0xffff && !e.FourOctetASN && !e.Internal {
		list = append(list, packet.NewPathAttributeAs4Path([]*packet.As4PathParam{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, e.asSequence(a))}))
	}
	return list
}

// asPath returns the AS_PATH, which is empty for routers of the same autonomous system (RFC 4271 section
// 5.1.2).
func (e Encoding) asPath(a *routes.Attributes) packet.PathAttributeInterface {
	switch sequence := e.asSequence(a); {
	case e.Internal:
		return packet.NewPathAttributeAsPath(nil)
	case e.FourOctetASN:
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

func (e Encoding) asSequence(a *routes.Attributes) []uint32 {
	list := make([]uint32, 1+int(a.Prepend))
	for i := range list {
		list[i] = uint32(e.ASN)
	}
	return list
}

func (e Encoding) marshalOptions() *packet.MarshallingOption {
	return &packet.MarshallingOption{Use2ByteAS: !e.FourOctetASN}
}

func wireFamily(f lb.Family) packet.Family {
	if f == lb.IPv4 {
		return packet.RF_IPv4_UC
	}
	return packet.RF_IPv6_UC
}
