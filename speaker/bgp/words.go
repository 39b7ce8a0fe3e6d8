package bgp

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"

	"github.com/lbstack/lbstack/internal/bgp"
)

// dialWords says in words why a connection was not made, and what to look at.
func dialWords(to netip.AddrPort, p bgp.Peer, err error) string {
	why := err.Error()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "the connection was refused: does the router run BGP on this port, and does it know this node as a neighbour?"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		why = "no answer"
		if p.Password != "" {
			why += ": is the router up, and has it the same password?"
		} else {
			why += ": is the router up and reachable from this node, and does it ask for a password?"
		}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		why = "there is no way to it from this node: look at the node's routes and links"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		why = fmt.Sprintf("this node does not have the address %s of sourceAddress", p.Source)
	case errors.Is(err, syscall.ENODEV):
		why = fmt.Sprintf("this node does not have the device %s%s", p.VRF, p.Interface)
	}
	return fmt.Sprintf("connecting to %s: %s", to, why)
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
