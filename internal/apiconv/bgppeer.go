package apiconv

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// Defaults of fields of a BGPPeer, in seconds. The CRD has the same defaults.
const (
	defaultHoldSeconds         = 30
	defaultConnectRetrySeconds = 2
	defaultRestartSeconds      = 120
	defaultShutdownSeconds     = 2
)

// Limits of fields of a BGPPeer.
const (
	minHoldSeconds     = 3
	maxSecurityHops    = 254
	maxRestartSeconds  = 4095
	maxShutdownSeconds = 60
	// maxPasswordBytes is the maximum length of a TCP MD5 key on Linux, in bytes
	// (TCP_MD5SIG_MAXKEYLEN).
	maxPasswordBytes = 80
)

// BGPPeer has the fields of a BGPPeer object. The caller reads the objects that the BGPPeer names.
type BGPPeer struct {
	// Peer has all fields of the session except Password and BFD, which are in other objects.
	bgp.Peer
	// NodeSelectors select the nodes that have a session with the router; empty: all nodes have one.
	NodeSelectors []eligibility.Selector
	// PasswordSecret is the name of the Secret with the password; empty: the session has no password.
	PasswordSecret string
	// Created is the creation time of the object.
	Created time.Time
}

// SelectsNode reports whether a node with these labels has a session with the router.
func (p *BGPPeer) SelectsNode(labels map[string]string) bool {
	for _, selects := range p.NodeSelectors {
		if selects(labels) {
			return true
		}
	}
	return len(p.NodeSelectors) == 0
}

// ParseBGPPeer reads a BGPPeer. The error names the invalid field. No new session with an invalid peer is
// opened, and an existing session keeps its last valid configuration.
func ParseBGPPeer(object *v1beta1.BGPPeer) (BGPPeer, *SpecError) {
	spec := &object.Spec
	r := fieldReader{}
	p := BGPPeer{Peer: bgp.Peer{
		Name:         bgp.PeerName(object.Name),
		ASN:          r.readASN("spec.myASN", spec.MyASN),
		Interface:    string(spec.Interface),
		Port:         uint16(r.readNumber("spec.peerPort", cmp.Or(spec.PeerPort, bgp.Port), 1, math.MaxUint16)),
		VRF:          string(spec.VRF),
		Hold:         r.readSeconds("spec.holdTimeSeconds", valueOr(spec.HoldTimeSeconds, defaultHoldSeconds), 0, math.MaxUint16),
		Keepalive:    r.readSeconds("spec.keepaliveTimeSeconds", spec.KeepaliveTimeSeconds, 0, math.MaxUint16),
		ConnectRetry: r.readSeconds("spec.connectRetrySeconds", cmp.Or(spec.ConnectRetrySeconds, defaultConnectRetrySeconds), 1, math.MaxUint16),
		Multihop:     spec.EBGPMultiHop,
		SecurityHops: uint8(r.readNumber("spec.ttlSecurityHops", spec.TTLSecurityHops, 0, maxSecurityHops)),
		Passive:      spec.PassiveMode,
		ShutdownWait: r.readSeconds("spec.gracefulShutdownSeconds", valueOr(spec.GracefulShutdownSeconds, defaultShutdownSeconds), 0, maxShutdownSeconds),
		DualStack:    spec.DualStackAddressFamily,
		BFDProfile:   string(spec.BFDProfile),
		StrictBFD:    spec.StrictBFD,
	}, Created: object.CreationTimestamp.Time}
	if spec.LocalASN != 0 {
		p.ASN = r.readASN("spec.localASN", spec.LocalASN)
	}
	if restart := spec.GracefulRestart; restart != nil {
		p.RestartTime = r.readSeconds("spec.gracefulRestart.restartTimeSeconds", cmp.Or(restart.RestartTimeSeconds, defaultRestartSeconds), 1, maxRestartSeconds)
	}
	if spec.PasswordSecret != nil {
		p.PasswordSecret = spec.PasswordSecret.Name
		r.check(p.PasswordSecret != "", "spec.passwordSecret.name", "is missing")
	}
	r.readRouter(spec, &p.Peer)
	r.checkCombinations(&p.Peer)
	selectors, err := compileSelectors(spec.NodeSelectors, "spec.nodeSelectors")
	p.NodeSelectors = selectors
	if err := cmp.Or(r.err, err); err != nil {
		return BGPPeer{}, &SpecError{Reason: v1beta1.ReasonInvalidPeer, err: err}
	}
	return p, nil
}

// readRouter reads the ASN and the address of the router, and the addresses that this node uses.
func (r *fieldReader) readRouter(spec *v1beta1.BGPPeerSpec, p *bgp.Peer) {
	r.check((spec.PeerASN != 0) != (spec.DynamicASN != ""), "spec.peerASN", "exactly one of peerASN and dynamicASN must be set")
	switch spec.DynamicASN {
	case "":
		p.Remote.ASN = r.readASN("spec.peerASN", spec.PeerASN)
	case v1beta1.DynamicASNInternal:
		p.Remote.Kind = bgp.InternalPeer
	case v1beta1.DynamicASNExternal:
		p.Remote.Kind = bgp.ExternalPeer
	default:
		r.check(false, "spec.dynamicASN", "%q is neither Internal nor External", spec.DynamicASN)
	}
	r.check((spec.PeerAddress != "") != (spec.Interface != ""), "spec.peerAddress", "exactly one of peerAddress and interface must be set")
	p.Address = r.readAddress("spec.peerAddress", spec.PeerAddress)
	if a := p.Address; a.IsValid() {
		local := a.IsLoopback() || (a.Is4() && a.IsLinkLocalUnicast())
		r.check(a.IsGlobalUnicast() || local, "spec.peerAddress", "%s is not the address of one host; in place of an IPv6 link-local address set interface", a)
	}
	p.Source = r.readAddress("spec.sourceAddress", spec.SourceAddress)
	p.RouterID = r.readAddress("spec.routerID", spec.RouterID)
	r.check(!p.RouterID.IsValid() || (p.RouterID.Is4() && !p.RouterID.IsUnspecified()), "spec.routerID", "must look like an IPv4 address and not be 0.0.0.0")
}

// checkCombinations refuses combinations of fields that are not allowed.
func (r *fieldReader) checkCombinations(p *bgp.Peer) {
	r.check(p.Hold == 0 || p.Hold >= minHoldSeconds*time.Second, "spec.holdTimeSeconds", "must be 0 or at least %d", minHoldSeconds)
	r.check(p.Keepalive <= p.Hold, "spec.keepaliveTimeSeconds", "must not be more than holdTimeSeconds")
	if p.Source.IsValid() {
		r.check(p.Interface == "", "spec.sourceAddress", "cannot be set together with interface")
		r.check(!p.Address.IsValid() || p.Source.Is4() == p.Address.Is4(), "spec.sourceAddress", "must be of the family of peerAddress")
	}
	if p.Multihop {
		r.check(p.Remote.Kind != bgp.InternalPeer && p.Remote.ASN != p.ASN, "spec.ebgpMultiHop", "is for routers in another autonomous system only")
		r.check(p.SecurityHops == 0, "spec.ebgpMultiHop", "cannot be set together with ttlSecurityHops")
		r.check(p.Interface == "", "spec.ebgpMultiHop", "cannot be set together with interface")
	}
	r.check(!p.StrictBFD || p.BFDProfile != "", "spec.strictBFD", "needs bfdProfile")
}

// ParseBFDProfile reads a BFDProfile. The error names the invalid field. No new session uses an invalid
// profile, and an existing session keeps the last valid profile.
func ParseBFDProfile(object *v1beta1.BFDProfile) (bfd.Profile, *SpecError) {
	spec := &object.Spec
	r := fieldReader{}
	const shortest, longest = 10, 60000
	interval := func(field string, n int32) time.Duration {
		n = cmp.Or(n, int32(bfd.DefaultInterval/time.Millisecond))
		return time.Duration(r.readNumber(field, n, shortest, longest)) * time.Millisecond
	}
	p := bfd.Profile{
		Receive:    interval("spec.receiveIntervalMilliseconds", spec.ReceiveIntervalMilliseconds),
		Transmit:   interval("spec.transmitIntervalMilliseconds", spec.TransmitIntervalMilliseconds),
		Multiplier: uint8(r.readNumber("spec.detectMultiplier", cmp.Or(spec.DetectMultiplier, bfd.DefaultMultiplier), 2, math.MaxUint8)),
		Passive:    spec.PassiveMode,
		MinimumTTL: uint8(r.readNumber("spec.minimumTTL", cmp.Or(spec.MinimumTTL, bfd.DefaultMinimumTTL), 1, math.MaxUint8-1)),
	}
	if r.err != nil {
		return bfd.Profile{}, &SpecError{Reason: v1beta1.ReasonInvalidProfile, err: r.err}
	}
	return p, nil
}

// ParsePassword reads the password in the Secret that a BGPPeer names. The text of the error follows the name
// of the Secret in a sentence, and must not contain data of the Secret.
func ParsePassword(secret *corev1.Secret) (bgp.Password, error) {
	if secret.Type != corev1.SecretTypeBasicAuth {
		return "", fmt.Errorf("is of type %q and not %s", secret.Type, corev1.SecretTypeBasicAuth)
	}
	password := secret.Data[corev1.BasicAuthPasswordKey]
	if len(password) == 0 {
		return "", fmt.Errorf("has no password: its entry %q is missing or empty", corev1.BasicAuthPasswordKey)
	}
	if n := len(password); n > maxPasswordBytes {
		return "", fmt.Errorf("has a password of %d bytes, but at most %d bytes are allowed", n, maxPasswordBytes)
	}
	return bgp.Password(password), nil
}

// fieldReader reads fields, and stores the first error. The schema of the CRD has most of these checks
// as well. But the API server does not apply a check to objects that were stored before the schema had
// it.
type fieldReader struct{ err error }

func (r *fieldReader) check(ok bool, field, format string, args ...any) {
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...))
	}
}

func (r *fieldReader) readNumber(field string, n, least, most int32) int32 {
	r.check(n >= least && n <= most, field, "%d is not a number from %d to %d", n, least, most)
	return n
}

func (r *fieldReader) readSeconds(field string, n, least, most int32) time.Duration {
	return time.Duration(r.readNumber(field, n, least, most)) * time.Second
}

func (r *fieldReader) readASN(field string, n int64) bgp.ASN {
	r.check(n >= 1 && n <= math.MaxUint32, field, "%d is not an autonomous system number from 1 to %d", n, uint32(math.MaxUint32))
	return bgp.ASN(n)
}

// readAddress reads the address of a host. For an empty field it returns the zero address.
func (r *fieldReader) readAddress(field, s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err == nil && a.Zone() != "" {
		err = errors.New("it has a zone")
	}
	if err != nil {
		r.check(false, field, "%q is not an IP address without zone", s)
		return netip.Addr{}
	}
	return a.Unmap()
}

func valueOr(n *int32, otherwise int32) int32 {
	if n == nil {
		return otherwise
	}
	return *n
}
