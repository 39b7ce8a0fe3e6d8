package layer2

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// Link is a network interface of a node that addresses can be announced on:
// Ethernet, up, with a carrier, and with an address to speak from.
type Link struct {
	// Name of the interface.
	Name string
	// Index of the interface in the kernel; 0 for links of other nodes.
	Index int
	// Hardware is its MAC address.
	Hardware net.HardwareAddr
	// Internal says that the interface leads to the node's own pods or containers,
	// not to a network of the machine.
	Internal bool
	// IPv4 says that it has an IPv4 address, so that ARP can be spoken on it.
	IPv4 bool
	// LinkLocal is its IPv6 link-local address, without a zone; invalid if it has
	// none that is usable (RFC 4862: tentative and duplicate ones are not), so that
	// NDP cannot be spoken on it.
	LinkLocal netip.Addr
	// Prefixes are the subnets of its addresses, of both families, masked and
	// ordered, link-local ones left out.
	Prefixes []netip.Prefix
	// Addresses are its own, at most MaxAddresses of both families, ordered, link-local ones
	// and those of dummy interfaces left out. Unset for links of other nodes.
	Addresses []netip.Addr
}

// MaxAddresses bounds the addresses of a Link.
const MaxAddresses = 32

// Speaks says whether an address of this family can be announced on the link.
func (l Link) Speaks(address netip.Addr) bool {
	if address.Is4() {
		return l.IPv4
	}
	return l.LinkLocal.IsValid()
}

// Reaches says whether the address is in a subnet of the link.
func (l Link) Reaches(address netip.Addr) bool {
	return slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// Owned is how this node serves an address.
type Owned struct {
	// Interfaces that it is announced on, in order.
	Interfaces []string
	// First says that nobody has announced the address before: it is announced only
	// after no foreign host has answered for it.
	First bool
	// For is not empty when another node owns the address and restarts: requests
	// are answered on an interface with the hardware address that stands here for
	// it, and nothing is announced.
	For map[string]net.HardwareAddr
	// Returned says that the restart of that node is over: Engine.AddAnnounced is called once the
	// node has announced the address, or has answered for it. It is asked meanwhile, each second
	// at first and each 30 s after 10 s.
	Returned bool
}

// Same says whether two ways of serving are the same. Whether it was the first
// time makes no difference afterwards.
func (o Owned) Same(other Owned) bool {
	return o.Returned == other.Returned && o.SameAnswers(other)
}

// SameAnswers reports whether the answers are the same on each interface.
func (o Owned) SameAnswers(other Owned) bool {
	same := func(x, y net.HardwareAddr) bool { return slices.Equal(x, y) }
	return maps.EqualFunc(o.For, other.For, same) && slices.Equal(o.Interfaces, other.Interfaces)
}

// Announcer makes the network send traffic for addresses to this node.
type Announcer interface {
	// SetLinks says which links there are. What is owned is announced on a link that
	// comes up.
	SetLinks([]Link)
	// SetOwned says which addresses this node serves from now on. What is no longer
	// there is not answered for when it returns. What is new has been announced once
	// when it returns, unless it is to be probed first; the rest of the announcement
	// follows. The map is not kept: it changes afterwards.
	SetOwned(map[netip.Addr]Owned)
	// Repeat announces addresses that this node owns once more, from the beginning:
	// somebody may have learned something else meanwhile. None means all.
	Repeat(...netip.Addr)
	// Ask has the segments of the links asked, from now on, whether this node receives from
	// them at all, and these questions. The results go to Engine.SetSegment. Nil ends it. What
	// is handed over is never changed.
	Ask(*Questions)
	// SetOurs says which hardware addresses are those of the cluster's nodes: they
	// are never foreign.
	SetOurs([]net.HardwareAddr)
	// SetDetection says what is done about foreign hosts from now on. An address that is
	// announced stays so; one that waits because of a foreign host is announced if that is
	// no reason any more.
	SetDetection(Detection)
}

// Questions are what the segments of the links are asked.
type Questions struct {
	// Addresses that this node wants to take: which hosts answer for them, each on its
	// interfaces.
	Addresses map[netip.Addr][]string
	// Nodes are addresses of other nodes, ordered: which hardware addresses answer for them.
	Nodes []netip.Addr
	// Awaited are addresses, ordered, that nothing is asked about: a host that asks for one of
	// them shows that this node receives from the segment.
	Awaited []netip.Addr
}

// Detection is what is done about foreign hosts that use addresses of this node.
type Detection string

const (
	// Enforce probes an address that nobody has announced before, and does not announce it
	// while a foreign host has it. It is the default.
	Enforce Detection = ""
	// ReportOnly probes too, and announces it all the same.
	ReportOnly Detection = "report"
	// Off neither probes nor reports.
	Off Detection = "off"
)

// Unserved is an interface that addresses should be announced on, and cannot.
type Unserved struct {
	// Interface by name.
	Interface string
	// IPv6 or IPv4 addresses.
	IPv6 bool
	// Problem says why.
	Problem string
}

// Conflict is an address that this node owns and that another host uses, or the kernel of a node.
type Conflict struct {
	// Address that both use.
	Address netip.Addr
	// Interface on which the other was heard.
	Interface string
	// Hardware address of the other.
	Hardware net.HardwareAddr
	// Node whose kernel has the address, this one or another one; empty: the host is no node
	// of the cluster.
	Node lb.NodeName
	// Announced says that this node announces the address all the same, since it was
	// in use already.
	Announced bool
	// Since when the other has been heard.
	Since time.Time
}
