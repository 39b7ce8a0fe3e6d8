// Package bgp is the vocabulary of BGP sessions: what a session with a router
// should be like. It knows no Kubernetes, socket, clock or logger.
package bgp

import (
	"net/netip"
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/lb"
)

// PeerName names a BGPPeer.
type PeerName string

// ASN is an autonomous system number of four octets (RFC 6793).
type ASN uint32

// Port is the TCP port of BGP (RFC 4271 section 4.2).
const Port = 179

// RemoteASN defines which autonomous system the router must be in.
type RemoteASN struct {
	// ASN that it must have; 0: any that Kind allows.
	ASN ASN
	// Kind of the session when ASN is 0.
	Kind Kind
}

// Kind is whether a router is in our own autonomous system.
type Kind uint8

// The kinds of sessions.
const (
	// Internal: the router has our ASN (iBGP).
	Internal Kind = iota + 1
	// External: the router has another ASN (eBGP).
	External
)

// Peer is a session that this node should have.
type Peer struct {
	// Name of the BGPPeer.
	Name PeerName
	// ASN that this node presents: the peer's localASN where there is one, myASN
	// otherwise.
	ASN ASN
	// Remote is what the router must present.
	Remote RemoteASN
	// Address of the router; invalid if it is found on Interface.
	Address netip.Addr
	// Interface that leads to the router, when it has no Address: the session runs
	// between link-local addresses ("unnumbered").
	Interface string
	// Port that the router listens on.
	Port uint16
	// Source is the address of this node to speak from; invalid: the kernel chooses.
	Source netip.Addr
	// RouterID is this node's BGP Identifier, an IPv4 address; invalid: the speaker
	// chooses (RFC 6286).
	RouterID netip.Addr
	// VRF is the Linux VRF device that the session runs in; empty: none.
	VRF string

	// Hold is the time without a message after which the session ends; 0: never, at
	// least 3 s otherwise. The smaller one of both sides counts (RFC 4271 section 4.2).
	Hold time.Duration
	// Keepalive is how often this side sends a KEEPALIVE; 0: a third of the hold
	// time that was agreed on.
	Keepalive time.Duration
	// ConnectRetry is how long to wait between attempts to connect.
	ConnectRetry time.Duration

	// Multihop allows an external router that is not on a local network.
	Multihop bool
	// SecurityHops: packets of the router must have come over at most that many hops
	// (GTSM, RFC 5082); 0: it is not looked at.
	SecurityHops uint8
	// Passive: the router connects, this side only listens.
	Passive bool
	// Password of the TCP MD5 signatures (RFC 2385); empty: none.
	Password Password
	// Revoked: the Password was taken back. An established session that has it stays until it
	// ends, and no other begins.
	Revoked bool
	// RestartTime is for how long the router should keep our routes while the speaker
	// restarts (RFC 4724); 0: no graceful restart.
	RestartTime time.Duration
	// ShutdownWait is how long routes that are about to go are marked with the
	// GRACEFUL_SHUTDOWN community first (RFC 8326); 0: they go at once.
	ShutdownWait time.Duration
	// DualStack: routes of both families go over the session. Otherwise those of the
	// family of Address, or of both when there is only an Interface.
	DualStack bool

	// BFD watches the path to the router; nil: nobody does.
	BFD *bfd.Profile
	// BFDProfile is the name of the profile.
	BFDProfile string
	// StrictBFD: there is no session unless BFD reports that the path is up.
	StrictBFD bool
}

// Families returns of which families routes go to the router, if it takes them.
func (p *Peer) Families() (v4, v6 bool) {
	both := p.DualStack || !p.Address.IsValid()
	return both || p.Address.Is4(), both || p.Address.Is6()
}

// Wants reports whether routes of a family go to the router, if it takes them.
func (p *Peer) Wants(f lb.Family) bool {
	v4, v6 := p.Families()
	return f == lb.IPv4 && v4 || f == lb.IPv6 && v6
}

// Internal reports whether the router can only be in our autonomous system.
func (p *Peer) Internal() bool {
	return p.Remote.ASN == p.ASN || p.Remote.ASN == 0 && p.Remote.Kind == Internal
}

// Password is a secret: it is printed as a fixed word.
type Password string

// String hides the password.
func (p Password) String() string {
	if p == "" {
		return "none"
	}
	return "hidden"
}

// GoString hides the password.
func (p Password) GoString() string { return p.String() }

// MarshalJSON hides the password.
func (p Password) MarshalJSON() ([]byte, error) { return []byte(`"` + p.String() + `"`), nil }
