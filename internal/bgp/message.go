package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Open is the OPEN that a side sends when a connection begins (RFC 4271 section 4.2).
type Open struct {
	// ASN of the side.
	ASN ASN
	// Hold is the hold time of the side, in whole seconds.
	Hold time.Duration
	// RouterID is the BGP Identifier of the side.
	RouterID netip.Addr
	// Capabilities that the side has (RFC 5492).
	Capabilities Capabilities
}

// Capabilities are the optional features that a side supports (RFC 5492).
type Capabilities struct {
	// IPv4 and IPv6 routes can be exchanged (RFC 4760).
	IPv4, IPv6 bool
	// FourOctetASN: ASNs have four octets in AS_PATH (RFC 6793).
	FourOctetASN bool
	// RouteRefresh: the side sends all its routes again on request (RFC 2918).
	RouteRefresh bool
	// ExtendedNextHop: IPv4 routes may have IPv6 next hops (RFC 8950).
	ExtendedNextHop bool
	// GracefulRestart is nil if the side does not support it.
	GracefulRestart *GracefulRestart
}

// GracefulRestart defines what happens when a side restarts (RFC 4724 section 3).
type GracefulRestart struct {
	// Restarting: the side has just restarted.
	Restarting bool
	// Time is how long a restart of the side takes at most, in whole seconds, up to 4095.
	Time time.Duration
	// IPv4 and IPv6: the side forwarded packets of the family while it restarted.
	IPv4, IPv6 bool
}

// Names returns the names of the capabilities, for messages.
func (c Capabilities) Names() []string {
	var words []string
	for _, capability := range []struct {
		is   bool
		word string
	}{
		{c.IPv4, "IPv4 unicast"}, {c.IPv6, "IPv6 unicast"}, {c.FourOctetASN, "four-octet ASN"}, {c.RouteRefresh, "route refresh"},
		{c.ExtendedNextHop, "extended next hop"}, {c.GracefulRestart != nil, "graceful restart"},
	} {
		if capability.is {
			words = append(words, capability.word)
		}
	}
	return words
}

// SharedWith returns the capabilities that two sides share. If both sides support graceful restart, the
// result has the GracefulRestart of the other side.
func (c Capabilities) SharedWith(other Capabilities) Capabilities {
	both := Capabilities{
		IPv4: c.IPv4 && other.IPv4, IPv6: c.IPv6 && other.IPv6, FourOctetASN: c.FourOctetASN && other.FourOctetASN,
		RouteRefresh: c.RouteRefresh && other.RouteRefresh, ExtendedNextHop: c.ExtendedNextHop && other.ExtendedNextHop,
	}
	if c.GracefulRestart != nil {
		both.GracefulRestart = other.GracefulRestart
	}
	return both
}

// ErrorCode is the error code of a Notification (RFC 4271 section 4.5).
type ErrorCode uint8

// The codes.
const (
	HeaderError ErrorCode = iota + 1
	OpenError
	UpdateError
	HoldTimerExpired
	StateMachineError
	Cease
)

// The subcodes that this side sends. The first three are subcodes of OpenError (RFC 4271 section 6.2),
// the next three of StateMachineError (RFC 6608), and the others of Cease (RFC 4486, RFC 9384).
const (
	BadPeerASN              uint8 = 2
	BadRouterID             uint8 = 3
	UnacceptableHoldTime    uint8 = 6
	UnexpectedInOpenSent    uint8 = 1
	UnexpectedInOpenConfirm uint8 = 2
	UnexpectedInEstablished uint8 = 3
	AdminShutdown           uint8 = 2
	PeerDeconfigured        uint8 = 3
	AdminReset              uint8 = 4
	ConnectionRejected      uint8 = 5
	ConfigurationChange     uint8 = 6
	ConnectionCollision     uint8 = 7
	BFDDown                 uint8 = 10
)

// Notification ends a connection (RFC 4271 section 4.5).
type Notification struct {
	// Code and Subcode are the reason for the end.
	Code    ErrorCode
	Subcode uint8
	// Data has details; its format depends on the code.
	Data []byte
}

var codeNames = map[ErrorCode]string{
	HeaderError: "message header error", OpenError: "OPEN message error", UpdateError: "UPDATE message error",
	HoldTimerExpired: "hold timer expired", StateMachineError: "state machine error", Cease: "cease",
}

var subcodeNames = map[ErrorCode]map[uint8]string{
	HeaderError: {1: "connection not synchronized", 2: "bad message length", 3: "bad message type"},
	OpenError: {
		1: "unsupported version number", BadPeerASN: "bad peer AS", BadRouterID: "bad BGP identifier", 4: "unsupported optional parameter",
		5: "authentication failure", UnacceptableHoldTime: "unacceptable hold time", 7: "unsupported capability", 11: "role mismatch",
	},
	StateMachineError: {UnexpectedInOpenSent: "in OpenSent", UnexpectedInOpenConfirm: "in OpenConfirm", UnexpectedInEstablished: "in Established"},
	Cease: {
		1: "maximum number of prefixes reached", AdminShutdown: "administrative shutdown", PeerDeconfigured: "peer de-configured",
		AdminReset: "administrative reset", ConnectionRejected: "connection rejected", ConfigurationChange: "other configuration change",
		ConnectionCollision: "connection collision resolution", 8: "out of resources", 9: "hard reset", BFDDown: "BFD down",
	},
}

// maxCommunicationOctets is how many octets of the text in a shutdown or reset are used at most (RFC 9003).
const maxCommunicationOctets = 255

// String describes the notification in words.
func (n Notification) String() string {
	words := codeNames[n.Code]
	if words == "" {
		words = fmt.Sprintf("error code %d", n.Code)
	}
	if sub := subcodeNames[n.Code][n.Subcode]; sub != "" {
		words += ", " + sub
	} else if n.Subcode != 0 {
		words += fmt.Sprintf(", subcode %d", n.Subcode)
	}
	if text := n.shutdownText(); text != "" {
		words += fmt.Sprintf(": %q", text)
	}
	return words
}

// shutdownText returns the text that comes with a shutdown or a reset (RFC 9003).
func (n Notification) shutdownText() string {
	if n.Code != Cease || (n.Subcode != AdminShutdown && n.Subcode != AdminReset) || len(n.Data) < 2 {
		return ""
	}
	text := n.Data[1:]
	if length := int(n.Data[0]); length < len(text) {
		text = text[:length]
	}
	return strings.ToValidUTF8(string(text[:min(len(text), maxCommunicationOctets)]), "?")
}

// NewCease returns a Notification with the code Cease. text must be empty unless the subcode is
// AdminShutdown or AdminReset: other subcodes have no text (RFC 9003).
func NewCease(subcode uint8, text string) *Notification {
	n := &Notification{Code: Cease, Subcode: subcode}
	if text != "" {
		text = text[:min(len(text), maxCommunicationOctets)]
		n.Data = append([]byte{byte(len(text))}, text...)
	}
	return n
}
