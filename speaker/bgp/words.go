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

// dialWords says in words why a connection was not made, and what to look at.
func dialWords(to netip.AddrPort, p bgp.Peer, err error) string {
	why := err.Error()
	var network net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "the connection was refused: does the router run BGP on this port, and does it know this node as a neighbour?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		why = "there is no way to it from this node: look at the node's routes and links"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		why = fmt.Sprintf("this node does not have the address %s of sourceAddress", p.Source)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Sprintf("connecting to the router: this node does not have the device %s", cmp.Or(p.VRF, p.Interface))
	case errors.As(err, &network) && network.Timeout():
		why = "no answer: is the router up and reachable from this node, and does it ask for a password?"
		switch {
		case p.Password != "":
			why = "no answer: is the router up, and has it the same password?"
		case p.SecurityHops > 0:
			why = fmt.Sprintf("no answer: is the router up, at most %d hops away as ttlSecurityHops says, and does it send with the highest hop limit (ttl-security)?", p.SecurityHops)
		}
	}
	return fmt.Sprintf("connecting to %s: %s", to, why)
}

// unheardWords says in words that a router which must connect has not done so yet.
func unheardWords(p bgp.Peer) string {
	why := "the router has not connected to this node yet, as passiveMode has it: does it know this node as a neighbour, and may it reach the node's port of BGP?"
	if p.Password != "" {
		why += " With another password it is not heard either."
	}
	return why
}

// lostWords says in words why a connection that was there is gone.
func lostWords(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the router closed the connection without saying why"
	case errors.Is(err, syscall.ECONNRESET):
		return "the router reset the connection: does it know this node as a neighbour?"
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTUNREACH):
		return "the router does not answer any more"
	}
	return "the connection broke: " + err.Error()
}
