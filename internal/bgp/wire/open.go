package wire

import (
	"fmt"
	"time"

	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/lbstack/lbstack/internal/bgp"
)

// forwardingFlag is the Forwarding State bit of a family in the graceful restart capability (RFC 4724
// section 3): the side forwarded packets of the family while it restarted.
const forwardingFlag = 0x80

// restartFlag is the Restart State bit of the graceful restart capability (RFC 4724 section 3).
const restartFlag = 0x08

func decodeOpen(body []byte) any {
	var open packet.BGPOpen
	if err := open.DecodeFromBytes(body); err != nil {
		return toMalformed(err)
	}
	if open.Version != 4 {
		return newMalformed(bgp.OpenError, 1, []byte{0, 4})
	}
	o := bgp.Open{ASN: bgp.ASN(open.MyAS), Hold: time.Duration(open.HoldTime) * time.Second, RouterID: open.ID}
	listed := false // whether a capability lists families; otherwise IPv4 is implied
	for _, parameter := range open.OptParams {
		capabilities, ok := parameter.(*packet.OptionParameterCapability)
		if !ok {
			return newMalformed(bgp.OpenError, 4, nil)
		}
		for _, capability := range capabilities.Capability {
			if c, is := capability.(*packet.CapFourOctetASNumber); is {
				o.ASN, o.Capabilities.FourOctetASN = bgp.ASN(c.CapValue), true
			}
			listed = noteCapability(&o.Capabilities, capability) || listed
		}
	}
	if !listed {
		o.Capabilities.IPv4 = true
	}
	return o
}

// noteCapability records a capability, and reports whether it lists an address family.
func noteCapability(to *bgp.Capabilities, capability packet.ParameterCapabilityInterface) bool {
	switch c := capability.(type) {
	case *packet.CapMultiProtocol:
		to.IPv4 = to.IPv4 || c.CapValue == packet.RF_IPv4_UC
		to.IPv6 = to.IPv6 || c.CapValue == packet.RF_IPv6_UC
		return true
	case *packet.CapRouteRefresh:
		to.RouteRefresh = true
	case *packet.CapExtendedNexthop:
		for _, t := range c.Tuples {
			if t.NLRIAFI == packet.AFI_IP && t.NLRISAFI == packet.SAFI_UNICAST && t.NexthopAFI == packet.AFI_IP6 {
				to.ExtendedNextHop = true
			}
		}
	case *packet.CapGracefulRestart:
		g := &bgp.GracefulRestart{Restarting: c.Flags&restartFlag != 0, Time: time.Duration(c.Time) * time.Second}
		for _, t := range c.Tuples {
			kept := t.SAFI == packet.SAFI_UNICAST && t.Flags&forwardingFlag != 0
			g.IPv4 = g.IPv4 || kept && t.AFI == packet.AFI_IP
			g.IPv6 = g.IPv6 || kept && t.AFI == packet.AFI_IP6
		}
		to.GracefulRestart = g
	}
	return false
}

// EncodeOpen writes an OPEN.
func EncodeOpen(o bgp.Open) ([]byte, error) {
	asn := uint16(packet.AS_TRANS)
	if o.ASN <= 0xffff {
		asn = uint16(o.ASN)
	}
	parameter := packet.NewOptionParameterCapability(encodeCapabilities(o))
	m, err := packet.NewBGPOpenMessage(asn, uint16(o.Hold/time.Second), o.RouterID, []packet.OptionParameterInterface{parameter})
	if err != nil {
		return nil, fmt.Errorf("encoding an OPEN with the BGP identifier %s: %w", o.RouterID, err)
	}
	return m.Serialize()
}

func encodeCapabilities(o bgp.Open) []packet.ParameterCapabilityInterface {
	c := o.Capabilities
	list := []packet.ParameterCapabilityInterface{packet.NewCapFourOctetASNumber(uint32(o.ASN))}
	families := encodeFamilies(c.IPv4, c.IPv6)
	for _, f := range families {
		list = append(list, packet.NewCapMultiProtocol(f))
	}
	if c.RouteRefresh {
		list = append(list, packet.NewCapRouteRefresh())
	}
	if c.ExtendedNextHop {
		list = append(list, packet.NewCapExtendedNexthop([]*packet.CapExtendedNexthopTuple{
			packet.NewCapExtendedNexthopTuple(packet.RF_IPv4_UC, packet.AFI_IP6),
		}))
	}
	if g := c.GracefulRestart; g != nil {
		var tuples []*packet.CapGracefulRestartTuple
		for _, f := range families {
			tuples = append(tuples, packet.NewCapGracefulRestartTuple(f, f == packet.RF_IPv4_UC && g.IPv4 || f == packet.RF_IPv6_UC && g.IPv6))
		}
		list = append(list, packet.NewCapGracefulRestart(g.Restarting, false, uint16(g.Time/time.Second), tuples))
	}
	return list
}

func encodeFamilies(v4, v6 bool) []packet.Family {
	var list []packet.Family
	if v4 {
		list = append(list, packet.RF_IPv4_UC)
	}
	if v6 {
		list = append(list, packet.RF_IPv6_UC)
	}
	return list
}

// EncodeNotification writes a NOTIFICATION.
func EncodeNotification(n *bgp.Notification) ([]byte, error) {
	return packet.NewBGPNotificationMessage(uint8(n.Code), n.Subcode, n.Data).Serialize()
}

// EncodeKeepalive writes a KEEPALIVE.
func EncodeKeepalive() ([]byte, error) { return packet.NewBGPKeepAliveMessage().Serialize() }
