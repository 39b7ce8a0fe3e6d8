// Package protocol has the lines that the program bgpspeaker reads and writes.
package protocol

import (
	"encoding/json"
	"net/netip"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
)

// Config is a line that bgpspeaker reads: the whole configuration from then on.
type Config struct {
	Peers []bgp.Peer
	// Passwords of the peers, since a peer is written without its password.
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

// Report is a line that bgpspeaker writes after each change.
type Report struct {
	Sessions []speakerbgp.Status
	Paths    map[bgp.PeerName]speakerbfd.Status
}

// Parse decodes a line.
func Parse[T any](line []byte) (v T, err error) {
	err = json.Unmarshal(line, &v)
	return v, err
}
