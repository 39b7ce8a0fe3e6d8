// Package reports combines the reports of all speakers: which node has an address, which foreign hosts
// use an address, and which routes were announced to routers. The report of a node that died stays as it
// was, so reports can contradict each other. The package uses no Kubernetes types, sockets or clock.
package reports

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// Report is what the speaker of one node reports.
type Report struct {
	// Node of the speaker.
	Node lb.NodeName
	// Owned are the addresses that the node has.
	Owned []OwnedAddress
	// Foreign are hosts that use an address of the cluster too: hosts outside of the cluster, or
	// kernels of nodes.
	Foreign []ForeignHost
	// Sessions are the sessions that the node should have with routers.
	Sessions []Session
	// Missing are the nodes, by name, whose speakers should run and from which this speaker receives
	// nothing.
	Missing []lb.NodeName
	// Stopped means that the speaker has ended as intended.
	Stopped bool
	// MissingBounded: Missing has the maximum length, so further nodes may be missing.
	MissingBounded bool
	// MinoritySince is when the speaker came into a minority: it receives from at most half of the
	// speakers that should be there. Zero: it is in no minority.
	MinoritySince time.Time
	// Isolated means that the speaker is in a minority and announces nothing. Either it receives from no
	// host on the links of its addresses, or half of the other speakers receive nothing from it.
	Isolated bool
	// Ended means that no speaker runs on the node, and that no speaker is about to start there.
	Ended bool
	// Confirmed: the kubelet of the node does not answer. If only one other speaker misses this speaker,
	// that confirms that this speaker does not run. See Confirm.
	Confirmed bool
	// Unready: the kubelet of the node has reported for a while that the process of the speaker runs but
	// does not answer. See PartitionedNodes.
	Unready bool
	// Dead: the node is not ready, and its kubelet does not answer. If one speaker misses this speaker,
	// this speaker then counts as silent, whatever other speakers report. See Confirm and SilentNodes.
	Dead bool
	// Standby is why the node takes no address, as a clause; empty: the node takes addresses.
	Standby string
	// Links that the node can announce on. LinksBounded: Links has the maximum length, so the node may
	// have more.
	Links        []Link
	LinksBounded bool
}

// Session is a BGP session that a node should have.
type Session struct {
	// Peer is the name of the router's BGPPeer.
	Peer bgp.PeerName
	// Established means that the session is up, so that routes are exchanged.
	Established bool
	// State of the session, as RFC 4271 names it.
	State string
	// LastError is the reason why the session last ended, or why it does not begin; it may be empty.
	LastError string
	// Problem is the problem of the peer on the node; zero: there is none.
	Problem bgp.Problem
	// Flaps is how often the session has ended since it was last stable.
	Flaps int
	// IPv4 and IPv6: the session carries routes of the family.
	IPv4, IPv6 bool
	// Retry is the longest time until the next attempt to connect; 0: no attempt has failed, or only the
	// router connects.
	Retry time.Duration
}

// Carries reports whether routes of a family go over the session.
func (s Session) Carries(f lb.Family) bool {
	return s.Established && (f == lb.IPv4 && s.IPv4 || f == lb.IPv6 && s.IPv6)
}

// SameSession reports whether two sessions are the same, apart from Retry.
func SameSession(x, y Session) bool {
	x.Retry, y.Retry = 0, 0
	return x == y
}

// IsFlapping reports whether the session ends again and again after it was established.
func (s Session) IsFlapping() bool { return s.Flaps >= bgp.FlappingThreshold }

// WhyDown returns why the session is not established, as far as it is known.
func (s Session) WhyDown() string { return cmp.Or(s.LastError, s.State) }

// Route is a prefix that a node announces.
type Route struct {
	Prefix netip.Prefix
	// Peers that the prefix was announced to, in order; there is at least one.
	Peers []bgp.PeerName
	// Since is the time since which a router has had the prefix from the node; zero: not known.
	Since time.Time
}

// Same reports whether two routes are the same.
func (r Route) Same(other Route) bool {
	return r.Prefix == other.Prefix && slices.Equal(r.Peers, other.Peers) && r.Since.Equal(other.Since)
}

// BGPPath is a route by which a node announces an address.
type BGPPath struct {
	// Node that announces the route.
	Node lb.NodeName
	// Route that the address is in.
	Route
}

// OwnedAddress is an address that a node reports as its own.
type OwnedAddress struct {
	Address netip.Addr
	Node    lb.NodeName
	// Interfaces on which the address is announced.
	Interfaces []string
	// Since is the time since which the node has had the address.
	Since time.Time
	// Epoch of the ownership: it grows with every change of the owner.
	Epoch int64
}

// ForeignHost is a host outside of the cluster, or the kernel of a node, that uses an address of a
// Service.
type ForeignHost struct {
	Address netip.Addr
	// Node and Interface that received messages from the host.
	Node      lb.NodeName
	Interface string
	// MAC of the host.
	MAC string
	// HostNode is the node whose kernel uses the address; empty: the host is not a node.
	HostNode lb.NodeName
	// InUse means that the node announces the address nevertheless.
	InUse bool
	// Since is when the first message of the host arrived.
	Since time.Time
}

// Describe returns a part of a sentence that names the host and the node that reports it. last means
// that the host is no longer reported.
func (f ForeignHost) Describe(last bool) string {
	when := "reported"
	if last {
		when = "last reported"
	}
	switch {
	case f.HostNode == "":
		return fmt.Sprintf("a foreign host with the MAC %s (%s by the node %q on %s)", f.MAC, when, f.Node, f.Interface)
	case f.HostNode == f.Node:
		return fmt.Sprintf("the kernel of the node %q (its interface %s, MAC %s)", f.HostNode, f.Interface, f.MAC)
	}
	return fmt.Sprintf("the kernel of the node %q (MAC %s, %s by the node %q on %s)", f.HostNode, f.MAC, when, f.Node, f.Interface)
}

// Remedy returns what to do about the host, as part of a sentence.
func (f ForeignHost) Remedy() string {
	if f.HostNode == "" {
		return "turn that host off or give it another address"
	}
	return fmt.Sprintf("if another load balancer, such as MetalLB, announces the address from there, turn that off; otherwise remove the address from the interfaces of the node %q, or exclude the address in the pool (if kube-proxy has added the address to an interface, set ipvs.strictARP of kube-proxy)", f.HostNode)
}

// OwnerOf returns the owner of an address, given all claims to it: the claim with the highest epoch. If
// several claims have that epoch, it returns the latest of them, and if several are equally late, the
// claim of the first node by name.
func OwnerOf(claims []OwnedAddress) (OwnedAddress, bool) {
	if len(claims) == 0 {
		return OwnedAddress{}, false
	}
	return slices.MaxFunc(claims, func(x, y OwnedAddress) int {
		return cmp.Or(cmp.Compare(x.Epoch, y.Epoch), x.Since.Compare(y.Since), -cmp.Compare(x.Node, y.Node))
	}), true
}

// HostOf returns the foreign host that uses an address, given all reports about the address. If the
// address has an owner, HostOf ignores reports that other nodes made before the owner had the address.
// If the host were still there, the owner would report it too. HostOf prefers the report of the owner,
// then the latest report.
func HostOf(reported []ForeignHost, owner OwnedAddress, owned bool) (ForeignHost, bool) {
	var valid []ForeignHost
	for _, f := range reported {
		if !owned || f.Node == owner.Node || f.Since.After(owner.Since) {
			valid = append(valid, f)
		}
	}
	if len(valid) == 0 {
		return ForeignHost{}, false
	}
	byOwner := func(f ForeignHost) int {
		if owned && f.Node == owner.Node {
			return 1
		}
		return 0
	}
	return slices.MaxFunc(valid, func(x, y ForeignHost) int {
		return cmp.Or(cmp.Compare(byOwner(x), byOwner(y)), x.Since.Compare(y.Since), -cmp.Compare(x.Node, y.Node))
	}), true
}

// MergedReports has the owner and the foreign host of each address, derived from all reports.
type MergedReports struct {
	Owners map[netip.Addr]OwnedAddress
	Hosts  map[netip.Addr]ForeignHost
}

// Merge combines the reports of all speakers.
func Merge(list []Report) MergedReports {
	claims, reported := map[netip.Addr][]OwnedAddress{}, map[netip.Addr][]ForeignHost{}
	for _, r := range list {
		for _, o := range r.Owned {
			claims[o.Address] = append(claims[o.Address], o)
		}
		for _, f := range r.Foreign {
			reported[f.Address] = append(reported[f.Address], f)
		}
	}
	p := MergedReports{Owners: map[netip.Addr]OwnedAddress{}, Hosts: map[netip.Addr]ForeignHost{}}
	for address, list := range claims {
		p.Owners[address], _ = OwnerOf(list)
	}
	for address, list := range reported {
		owner, owned := p.Owners[address]
		if f, ok := HostOf(list, owner, owned); ok {
			p.Hosts[address] = f
		}
	}
	return p
}
