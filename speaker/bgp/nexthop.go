package bgp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// isOnLocalNetwork reports whether an address is in a network of an interface.
func isOnLocalNetwork(address netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(list, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		return ok && network.Contains(address.AsSlice())
	})
}

// renewNextHops chooses the next hops of an established session again. Routes whose next hop has
// changed are sent again, which replaces them (RFC 4271 section 9.1.4). Routes of a family that has no
// next hop any more are withdrawn.
func (p *peer) renewNextHops() {
	if p.up == nil {
		if p.unrouted.Reason == bgp.NoNextHop { // the addresses have changed since the problem was found
			p.unrouted = bgp.Problem{}
		}
		return
	}
	device, direct := outgoingInterface(p.config, p.router, p.local, p.addresses)
	path := bgp.SessionPath{
		Local: p.local, Outgoing: device, Direct: direct, Unnumbered: p.config.Interface != "", ExtendedNextHop: p.up.ExtendedNextHop,
		Addresses: p.addresses, Internal: p.internal,
	}
	p.hops = path.NextHops(p.hops)
	var without []string
	for _, f := range []struct {
		family lb.Family
		can    bool
		hop    bgp.NextHop
		to     *bgp.NextHop
	}{{lb.IPv4, p.up.IPv4, p.hops.IPv4, &p.wire.NextHop4}, {lb.IPv6, p.up.IPv6, p.hops.IPv6, &p.wire.NextHop6}} {
		if !f.can {
			continue
		}
		if !f.hop.Address.IsValid() && p.config.HasFamily(f.family) {
			without = append(without, f.family.String())
		}
		if *f.to != f.hop {
			p.log.Info("the next hop of the routes of a family has changed", "family", f.family.String(), "address", f.hop.Address, "linkLocalAddress", f.hop.LinkLocal, "formerAddress", f.to.Address)
			*f.to = f.hop
			p.table.resendFamily(f.family)
		}
	}
	p.unrouted = p.routeProblem(without, path)
}

// routeProblem returns why an established session does not announce the routes of a family; the zero
// Problem: it announces the routes of all families. The argument without has the names of the families
// that have no next hop. An unnumbered session requests both families even if the BGPPeer does not. So
// in an unnumbered session it is no problem if the router does not negotiate a family.
func (p *peer) routeProblem(without []string, path bgp.SessionPath) bgp.Problem {
	if len(without) > 0 {
		return noNextHopProblem(strings.Join(without, " or "), path)
	}
	if err := p.whyNotAnnounced(*p.up); err != nil && p.config.Interface == "" {
		return bgp.Problem{Reason: bgp.AddressFamilyMissing, Message: err.Error()}
	}
	return bgp.Problem{}
}

func noNextHopProblem(families string, path bgp.SessionPath) bgp.Problem {
	where := "the interface that leads to the router"
	if path.Outgoing != "" {
		where = "the interface " + path.Outgoing
	}
	return bgp.Problem{Reason: bgp.NoNextHop, Message: fmt.Sprintf(
		"the node has no %s address that the router could send packets to, so it announces no %s routes to the router: give %s a stable global %s address, or give the Node an InternalIP of this family that is on an interface of the node", families, families, where, families)}
}

// dialProblem returns why connecting failed, if the cause is on this node. Otherwise it returns the
// zero Problem.
func dialProblem(config bgp.Peer, err error) bgp.Problem {
	field, name := "spec.interface", config.Interface
	if config.VRF != "" {
		field, name = "spec.vrf", config.VRF
	}
	if name == "" || !errors.Is(err, syscall.ENODEV) {
		return bgp.Problem{}
	}
	return bgp.Problem{Reason: bgp.UnknownInterface, Message: fmt.Sprintf(
		"the node has no device %s, which %s names, so it has no session: correct %s, or select only nodes that have the device", name, field, field)}
}

// listenProblem returns why this node does not accept connections for a passive peer; the zero Problem:
// it accepts them.
func listenProblem(port uint16, err error) bgp.Problem {
	if err == nil {
		return bgp.Problem{}
	}
	why, remedy := fmt.Sprintf("listening failed (%v)", err), "look at the log of the speaker"
	switch {
	case errors.Is(err, syscall.EACCES):
		why, remedy = "the speaker lacks the capability NET_BIND_SERVICE", "move the peer into spec.bgpPeers of the LoadBalancerStack, where the operator grants the capability for passive peers, or remove spec.passiveMode"
	case errors.Is(err, syscall.EADDRINUSE):
		why, remedy = "another program listens on this port", "stop that program, or remove spec.passiveMode"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		why, remedy = "the node does not have the address of spec.sourceAddress", "correct spec.sourceAddress, or select only nodes that have the address"
	case errors.Is(err, syscall.ENODEV):
		why, remedy = "the node has no device with the name in spec.vrf", "correct spec.vrf, or select only nodes that have the device"
	}
	return bgp.Problem{Reason: bgp.PortClosed, Message: fmt.Sprintf("the router cannot connect to port %d, since %s: %s", port, why, remedy)}
}
