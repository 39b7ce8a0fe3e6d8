package layer2

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// Link is a network interface of a node on which addresses can be announced. It is an Ethernet interface that
// is up, has a carrier, and has an address to send ARP or NDP from.
type Link struct {
	// Name of the interface.
	Name string
	// Index of the interface in the kernel; 0 for links of other nodes.
	Index int
	// Hardware is its MAC address.
	Hardware net.HardwareAddr
	// MTU is the length of the longest packet that the interface sends, in bytes; 0 for links of other nodes.
	MTU int
	// Internal means that the interface leads to the node's own pods or containers,
	// not to a network of the machine.
	Internal bool
	// IPv4 means that the interface has an IPv4 address, so that ARP can be used on it.
	IPv4 bool
	// LinkLocal is the IPv6 link-local address of the interface, without a zone. It is invalid if
	// the interface has no usable one (RFC 4862: tentative and duplicate addresses are not
	// usable); then NDP cannot be used on the interface.
	LinkLocal netip.Addr
	// Prefixes are the subnets of its addresses in both families, masked and sorted. Link-local subnets are
	// left out.
	Prefixes []netip.Prefix
	// Addresses are the addresses of the interface, sorted, at most MaxLinkAddresses. Link-local addresses are
	// left out. The list is empty for dummy interfaces, and for links of other nodes.
	Addresses []netip.Addr
}

// MaxLinkAddresses bounds the Addresses of a Link, both families together.
const MaxLinkAddresses = 32

// CanAnnounce reports whether addresses of the family of this address can be announced on the link.
func (l Link) CanAnnounce(address netip.Addr) bool {
	if address.Is4() {
		return l.IPv4
	}
	return l.LinkLocal.IsValid()
}

// HasSubnetOf reports whether the address is in a subnet of the link.
func (l Link) HasSubnetOf(address netip.Addr) bool {
	return slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// Serving is how this node serves an address.
type Serving struct {
	// Interfaces are the interfaces on which this node announces the address or answers for it, sorted.
	Interfaces []string
	// First means that no node has announced the address before, or that its last owner did not
	// announce it because of a foreign host. Then the announcer probes the address first: see
	// Detection.
	First bool
	// For is set when this node covers for the owner of the address. It maps each interface to the hardware
	// address that the answers on this interface contain. While For is set, the address is not announced.
	For map[string]net.HardwareAddr
	// Returned means that the restart of the covered node is over. The announcer calls Engine.AddAnnounced
	// once that node has announced the address, or has answered for it. Until then the announcer probes the
	// address: every second for 10 s, and then every 30 s.
	Returned bool
}

// IsSame reports whether two ways of serving an address are the same. First is not compared, since it matters
// only when serving begins.
func (o Serving) IsSame(other Serving) bool {
	return o.Returned == other.Returned && o.HasSameAnswers(other)
}

// HasSameAnswers reports whether the answers are the same on each interface.
func (o Serving) HasSameAnswers(other Serving) bool {
	same := func(x, y net.HardwareAddr) bool { return slices.Equal(x, y) }
	return maps.EqualFunc(o.For, other.For, same) && slices.Equal(o.Interfaces, other.Interfaces)
}

// Announcer makes the network send the traffic for owned addresses to this node.
type Announcer interface {
	// SetLinks sets the links of this node. Addresses that this node owns are announced on a link
	// that comes up.
	SetLinks([]Link)
	// SetServed sets which addresses this node serves from now on. When it returns, requests for addresses that
	// are no longer in the map are not answered any more. New addresses have been announced once, unless they
	// are probed first; further announcements follow. The implementation must not keep a reference to the map,
	// since the caller changes it afterwards.
	SetServed(map[netip.Addr]Serving)
	// Repeat starts the series of announcements anew for addresses that this node owns: hosts may have
	// learned another hardware address meanwhile. Without arguments it does so for all addresses.
	Repeat(...netip.Addr)
	// SetQuestions replaces the questions that are sent on the segments of the links. The answers also
	// show whether this node receives from the segments at all. The results go to Engine.SetSegment.
	// Nil: nothing is asked. The caller never changes the questions.
	SetQuestions(*Questions)
	// SetNodeHardware sets the hardware addresses of the cluster's nodes, which are never foreign hosts.
	SetNodeHardware([]net.HardwareAddr)
	// SetDetection sets what is done about foreign hosts from now on. An address that is announced stays
	// announced. An address that is withheld because of a foreign host is announced if the new setting does
	// not withhold it.
	SetDetection(Detection)
}

// Questions are what the segments of the links are asked.
type Questions struct {
	// Addresses are the addresses that this node wants to take, or to announce on further interfaces.
	// Each is mapped to the interfaces on which hosts are asked whether they have it.
	Addresses map[netip.Addr][]string
	// Nodes are IP addresses of other nodes, sorted: the segments are asked which hardware
	// addresses answer for them.
	Nodes []netip.Addr
	// Awaited are addresses, sorted, that are not asked about. If a host requests such an address, this
	// node receives from the segment.
	Awaited []netip.Addr
}

// Detection is what is done about foreign hosts that use addresses of this node.
type Detection string

const (
	// DetectionEnforce probes an address that no node has announced before, and does not announce it while a
	// foreign host has it. It is the default.
	DetectionEnforce Detection = ""
	// DetectionReportOnly also probes the address, but announces it even if a foreign host has it.
	DetectionReportOnly Detection = "report"
	// DetectionOff neither probes addresses nor reports foreign hosts.
	DetectionOff Detection = "off"
)

// UnservedLink is an interface on which this node should announce addresses of one family, and cannot.
type UnservedLink struct {
	// Interface is the name of the interface.
	Interface string
	// IPv6 is true if the family is IPv6, and false if it is IPv4.
	IPv6 bool
	// Problem is why the addresses cannot be announced.
	Problem string
}

// Conflict is an address that this node owns and that a foreign host or the kernel of a node uses too.
type Conflict struct {
	// Address is the address that both use.
	Address netip.Addr
	// Interface is the interface on which frames of the other host arrived.
	Interface string
	// Hardware is the hardware address of the other host.
	Hardware net.HardwareAddr
	// Node is the node whose kernel has the address: this node or another one. It is empty if the other
	// host is not a node of the cluster.
	Node lb.NodeName
	// Announced means that this node announces the address nevertheless.
	Announced bool
	// Unconfirmed means that a node has answered the probes of an address that this node has just taken, for less
	// than a hand-over takes. The node may be the former owner. The address is not announced, and is probed again.
	Unconfirmed bool
	// Since is when the first frame of the other host arrived.
	Since time.Time
}
