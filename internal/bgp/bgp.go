// Package bgp has the types and rules of BGP sessions that need no connection: peers, messages, next
// hops and problems. It uses no Kubernetes types, sockets, clock or logger.
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

// RemoteASN is the autonomous system that the router must be in.
type RemoteASN struct {
	// ASN that the router must have; 0: any ASN that Kind allows.
	ASN ASN
	// Kind of the session when ASN is 0.
	Kind PeerKind
}

// PeerKind distinguishes routers in our own autonomous system from routers in others.
type PeerKind uint8

// The kinds of sessions.
const (
	// InternalPeer: the router has our ASN (iBGP).
	InternalPeer PeerKind = iota + 1
	// ExternalPeer: the router has another ASN (eBGP).
	ExternalPeer
)

// Peer is a session that this node should have.
type Peer struct {
	// Name of the BGPPeer.
	Name PeerName
	// ASN that this node presents: localASN of the BGPPeer if it is set, otherwise myASN.
	ASN ASN
	// Remote is the autonomous system that the router must be in.
	Remote RemoteASN
	// Address of the router; invalid if the router is discovered on Interface.
	Address netip.Addr
	// Interface is the interface that leads to the router, if Address is invalid. The session then runs
	// between link-local addresses ("unnumbered").
	Interface string
	// Port that the router listens on.
	Port uint16
	// Source is the address of this node in the session; invalid: the kernel chooses.
	Source netip.Addr
	// RouterID is this node's BGP Identifier, an IPv4 address; invalid: the speaker
	// chooses (RFC 6286).
	RouterID netip.Addr
	// VRF is the Linux VRF device that the session runs in; empty: none.
	VRF string

	// Hold is the time without a message after which the session ends: at least 3 s; 0: the session
	// does not end. The smaller hold time of both sides is used (RFC 4271 section 4.2).
	Hold time.Duration
	// Keepalive is the interval at which this side sends KEEPALIVEs, at most a third of the negotiated
	// hold time; 0: a third of the hold time.
	Keepalive time.Duration
	// ConnectRetry is the time between attempts to connect. It grows after several failures in a row.
	ConnectRetry time.Duration

	// Multihop allows an external router that is not on a local network.
	Multihop bool
	// SecurityHops is the largest number of hops that packets of the router may cross (GTSM, RFC 5082);
	// 0: the hops are not checked.
	SecurityHops uint8
	// Passive: the router connects; this side only listens.
	Passive bool
	// Password of the TCP MD5 signatures (RFC 2385); empty: none.
	Password Password
	// Revoked: the Password is not valid any more. An established session stays until it ends, and no
	// new session begins.
	Revoked bool
	// RestartTime is how long the router should retain our routes while the speaker restarts
	// (RFC 4724); 0: no graceful restart.
	RestartTime time.Duration
	// ShutdownWait is how long routes have the GRACEFUL_SHUTDOWN community before they are withdrawn
	// (RFC 8326); 0: they are withdrawn at once.
	ShutdownWait time.Duration
	// DualStack: the session carries routes of both families. Otherwise it carries only routes of the
	// family of Address. A session with only an Interface always carries both families.
	DualStack bool

	// BFD is the profile by which BFD watches the path to the router; nil: BFD does not watch it.
	BFD *bfd.Profile
	// BFDProfile is the name of the profile.
	BFDProfile string
	// StrictBFD: there is no session unless BFD reports that the path is up.
	StrictBFD bool
}

// Families reports which families of routes the router should get. It gets a family only if it negotiates
// that family.
func (p *Peer) Families() (v4, v6 bool) {
	both := p.DualStack || !p.Address.IsValid()
	return both || p.Address.Is4(), both || p.Address.Is6()
}

// HasFamily reports whether the router should get routes of a family. It gets them only if it negotiates the
// family.
func (p *Peer) HasFamily(f lb.Family) bool {
	v4, v6 := p.Families()
	return f == lb.IPv4 && v4 || f == lb.IPv6 && v6
}

// IsInternal reports whether the router must be in our autonomous system.
func (p *Peer) IsInternal() bool {
	return p.Remote.ASN == p.ASN || p.Remote.ASN == 0 && p.Remote.Kind == InternalPeer
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
