// Package told is what the program bgpspeaker is told, and what it tells.
package told

import (
	"encoding/json"
	"net/netip"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
)

// Config is a line that it is told: all that there should be from then on.
type Config struct {
	Peers []bgp.Peer
	// Passwords are apart: in a peer they are never written.
	Passwords map[bgp.PeerName]string
	Routes    map[bgp.PeerName]map[netip.Prefix]routes.Attributes
	Draining  bool
	// InternalIPs of the node.
	InternalIPs []netip.Addr
}

// WithPasswords returns the peers with their passwords.
func (c Config) WithPasswords() []bgp.Peer {
	list := append([]bgp.Peer(nil), c.Peers...)
	for i := range list {
		list[i].Password = bgp.Password(c.Passwords[list[i].Name])
	}
	return list
}

// Report is a line that it tells whenever something has changed.
type Report struct {
	Sessions []speakerbgp.Status
	Paths    map[bgp.PeerName]speakerbfd.Status
}

// Parse reads a line.
func Parse[T any](line []byte) (v T, err error) {
	err = json.Unmarshal(line, &v)
	return v, err
}
