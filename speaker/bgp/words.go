package bgp

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/lbstack/lbstack/internal/bgp"
)

// dialMessage returns a sentence with the reason why a connection was not made, and what to check.
func dialMessage(to netip.AddrPort, p bgp.Peer, err error) string {
	why := err.Error()
	var network net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "the connection was refused: check that the router runs BGP on this port, and that this node is configured there as a neighbour"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		why = "this node has no route to the router: check the routes and links of this node"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		why = fmt.Sprintf("this node does not have the address %s, which sourceAddress names", p.Source)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Sprintf("connecting to the router: this node does not have the device %s", cmp.Or(p.VRF, p.Interface))
	case errors.As(err, &network) && network.Timeout():
		why = "no answer: check that the router is up and reachable from this node, and whether it requires a password"
		switch {
		case p.Password != "":
			why = "no answer: check that the router is up, and that it has the same password"
		case p.SecurityHops > 0:
			why = fmt.Sprintf("no answer: check that the router is up, at most %d hops away (ttlSecurityHops), and that it sends with the highest hop limit (ttl-security)", p.SecurityHops)
		}
	}
	return fmt.Sprintf("connecting to %s: %s", to, why)
}

// notConnectedMessage returns a sentence for a passive peer whose router has not connected yet.
func notConnectedMessage(p bgp.Peer) string {
	why := "the router has not connected to this node yet, and with passiveMode this node does not connect: check that this node is configured there as a neighbour, and that the router reaches the node's BGP port"
	if p.Password != "" {
		why += "; a router with another password cannot connect"
	}
	return why
}

// lostConnMessage returns a sentence with the reason why an existing connection was lost.
func lostConnMessage(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the router closed the connection and gave no reason"
	case errors.Is(err, syscall.ECONNRESET):
		return "the router reset the connection: check that this node is configured there as a neighbour"
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTUNREACH):
		return "the router does not answer any more"
	}
	return "the connection was lost: " + err.Error()
}
