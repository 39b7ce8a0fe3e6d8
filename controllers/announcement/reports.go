package announcement

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// Reports has the reports of the speakers, indexed by address. The time of a look-up does not grow with the
// number of addresses. It is safe for concurrent use; make it with NewReports.
type Reports struct {
	mu     sync.Mutex
	nodes  map[lb.NodeName]reports.Report
	owned  sourceIndex[netip.Addr, lb.NodeName, reports.OwnedAddress]
	hosts  sourceIndex[netip.Addr, lb.NodeName, reports.ForeignHost]
	silent map[lb.NodeName]bool // see IsSilent
	routes routeIndex
}

// peersWithSession returns the peers in the list with which a node has an established session. A session that
// the report of the node does not list counts as established, since a report lists a limited number of
// sessions.
func (b *Reports) peersWithSession(node lb.NodeName, peers []bgp.PeerName) []bgp.PeerName {
	report, reported := b.nodes[node]
	if !reported {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(peers), func(peer bgp.PeerName) bool {
		return slices.ContainsFunc(report.Sessions, func(s reports.Session) bool { return s.Peer == peer && !s.Established })
	})
}

// NewReports returns a Reports without any report.
func NewReports() *Reports {
	return &Reports{
		nodes:  map[lb.NodeName]reports.Report{},
		owned:  sourceIndex[netip.Addr, lb.NodeName, reports.OwnedAddress]{},
		hosts:  sourceIndex[netip.Addr, lb.NodeName, reports.ForeignHost]{},
		routes: newRouteIndex(),
	}
}

// ReportChanges are the differences between a report and the one before it.
type ReportChanges struct {
	// Addresses are the addresses whose owner or foreign host may have changed, sorted.
	Addresses []netip.Addr
	// Prefixes are the prefixes whose announcement to routers may have changed, sorted.
	Prefixes []netip.Prefix
	// Sessions means that the state or the error of a session has changed, or that a speaker became
	// silent or is not silent any more.
	Sessions bool
	// Waiting means that a node has changed in another way, and may now announce an address that no node
	// announces.
	Waiting bool
	// Left are the nodes that have left or have come back, see Reports.HasLeft.
	Left []lb.NodeName
}

// Put replaces the report of a node, and returns the differences.
func (b *Reports) Put(next reports.Report) (changed ReportChanges) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed = b.replace(next)
	before, had := b.nodes[next.Node]
	if !had || !slices.Equal(peersWithoutSession(before), peersWithoutSession(next)) {
		changed.Prefixes = b.routes.prefixesOf(next.Node)
	}
	if !reports.SameLinks(before.Links, next.Links) || before.Standby != next.Standby {
		changed.Addresses, changed.Waiting = slices.Concat(changed.Addresses, b.addressesOwnedBy(next.Node), b.silentAddresses()), true
	}
	if (before.Standby != "") != (next.Standby != "") {
		changed.Left = append(changed.Left, next.Node)
	}
	b.nodes[next.Node] = next
	b.updateSilent(&changed)
	return changed
}

// peersWithoutSession returns the peers whose sessions are not established.
func peersWithoutSession(r reports.Report) (peers []bgp.PeerName) {
	for _, s := range r.Sessions {
		if !s.Established {
			peers = append(peers, s.Peer)
		}
	}
	return peers
}

// PutRoutes replaces the routes of one SpeakerRouteSlice of a node, and returns the differences.
func (b *Reports) PutRoutes(slice string, node lb.NodeName, next []reports.Route) ReportChanges {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ReportChanges{Prefixes: b.routes.put(slice, node, next)}
}

// Remove deletes the report of a node, and returns the differences.
func (b *Reports) Remove(node lb.NodeName) (changed ReportChanges) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed = b.replace(reports.Report{Node: node})
	changed.Prefixes = b.routes.prefixesOf(node)
	delete(b.nodes, node)
	b.updateSilent(&changed)
	return changed
}

func (b *Reports) replace(next reports.Report) ReportChanges {
	before, touched := b.nodes[next.Node], map[netip.Addr]bool{}
	b.owned.replace(next.Node, before.Owned, next.Owned, touched, isSameOwned, func(o reports.OwnedAddress) netip.Addr { return o.Address })
	b.hosts.replace(next.Node, before.Foreign, next.Foreign, touched, isSameForeign, func(f reports.ForeignHost) netip.Addr { return f.Address })
	return ReportChanges{
		Addresses: slices.SortedFunc(maps.Keys(touched), netip.Addr.Compare),
		Sessions:  !slices.EqualFunc(before.Sessions, next.Sessions, reports.SameSession),
	}
}

// updateSilent computes which speakers are silent. For each speaker that became silent, or is not silent any
// more, it adds the addresses and prefixes of its node to the changes.
func (b *Reports) updateSilent(changed *ReportChanges) {
	silent, other := reports.SilentNodes(b.nodes), false
	for node := range b.nodes {
		if silent[node] != b.silent[node] {
			other = true
			changed.Addresses = append(changed.Addresses, b.addressesOwnedBy(node)...)
			changed.Prefixes = append(changed.Prefixes, b.routes.prefixesOf(node)...)
			changed.Sessions = true
			changed.Left = append(changed.Left, node)
		}
	}
	b.silent = silent
	if other {
		changed.Addresses = append(changed.Addresses, b.silentAddresses()...)
	}
	changed.Addresses = sortUnique(changed.Addresses, netip.Addr.Compare)
	changed.Prefixes = sortUnique(changed.Prefixes, netip.Prefix.Compare)
}

// silentAddresses returns the addresses that nodes with a silent speaker own. Whether such an address counts
// as announced depends on the other nodes, see addressFacts.isAnnounced.
func (b *Reports) silentAddresses() (list []netip.Addr) {
	for node := range b.silent {
		list = append(list, b.addressesOwnedBy(node)...)
	}
	return list
}

// sortUnique sorts the list in place, and returns it without repetitions.
func sortUnique[T comparable](list []T, compare func(x, y T) int) []T {
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

// IsSilent reports whether the speaker of a node does not run, according to the other speakers or to the
// kubelet of the node. The last report of a silent speaker is outdated.
func (b *Reports) IsSilent(node lb.NodeName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.silent[node]
}

func isSameOwned(x, y reports.OwnedAddress) bool {
	return x.Epoch == y.Epoch && x.Since.Equal(y.Since) && slices.Equal(x.Interfaces, y.Interfaces)
}

func isSameForeign(x, y reports.ForeignHost) bool {
	return x.MAC == y.MAC && x.Interface == y.Interface && x.InUse == y.InUse && x.Since.Equal(y.Since)
}

// AddressReport is what the speakers report about an address.
type AddressReport struct {
	// Owner is the entry of the node that owns the address on the local network. It is valid if Owned is
	// set.
	Owner reports.OwnedAddress
	// Owned means that a node owns the address.
	Owned bool
	// Host is a foreign host that uses the address. It is valid if Foreign is set.
	Host reports.ForeignHost
	// Foreign means that a foreign host uses the address.
	Foreign bool
	// Unreachable means that speakers report the subnets of their interfaces, and the address is in none of
	// them.
	Unreachable bool
	// Standby is why the owner accepts no more addresses, as part of a sentence; empty: it accepts them.
	Standby string
	// Paths are the announcements of the address to routers, by node and prefix. They include the last
	// report of a dead node.
	Paths []reports.BGPPath
	// Untrusted means that an untrusted node reports that it announces the address; see trustRules.
	Untrusted bool
}

// ReportingNodes returns the nodes that report anything about an address, sorted.
func (b *Reports) ReportingNodes(address netip.Addr) []lb.NodeName {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.AppendSeq(slices.Collect(maps.Keys(b.owned[address])), maps.Keys(b.hosts[address]))
	for _, path := range b.routes.pathsTo(address) {
		list = append(list, path.Node)
	}
	return sortUnique(list, cmp.Compare[lb.NodeName])
}

// TrustedNodes decides whose reports about an address count: the function layer2 for the local network, the
// function bgp for BGP. The zero value trusts all nodes.
type TrustedNodes struct{ layer2, bgp func(lb.NodeName) bool }

// ReportOnAddress returns what trusted nodes report about an address.
func (b *Reports) ReportOnAddress(address netip.Addr, trusted TrustedNodes) AddressReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	var l AddressReport
	owners := trustedItems(b.owned[address], trusted.layer2)
	l.Owner, l.Owned = reports.OwnerOf(owners)
	l.Untrusted = len(owners) < len(b.owned[address])
	l.Host, l.Foreign = reports.HostOf(trustedItems(b.hosts[address], trusted.layer2), l.Owner, l.Owned)
	if l.Owned {
		owner := b.nodes[l.Owner.Node]
		l.Unreachable, l.Standby = !owner.Reaches(address) && b.isOutsideSubnets(address), owner.Standby
	}
	for _, path := range b.routes.pathsTo(address) {
		if trusted.bgp != nil && !trusted.bgp(path.Node) {
			l.Untrusted = true
			continue
		}
		if path.Peers = b.peersWithSession(path.Node, path.Peers); len(path.Peers) > 0 {
			l.Paths = append(l.Paths, path)
		}
	}
	return l
}

// trustedItems returns the items that trusted nodes report. If trusted is nil, all nodes are trusted.
func trustedItems[T any](all map[lb.NodeName]T, trusted func(lb.NodeName) bool) (list []T) {
	for node, item := range all {
		if trusted == nil || trusted(node) {
			list = append(list, item)
		}
	}
	return list
}

// isOutsideSubnets reports whether speakers report the subnets of their interfaces, and the address is in
// none of them.
func (b *Reports) isOutsideSubnets(address netip.Addr) bool {
	known := false
	for _, r := range b.nodes {
		if r.Reaches(address) {
			return false
		}
		known = known || slices.ContainsFunc(r.Links, func(l reports.Link) bool { return len(l.Subnets) > 0 })
	}
	return known
}

// ReportOf returns the report of a node, and whether there is one.
func (b *Reports) ReportOf(node lb.NodeName) (reports.Report, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.nodes[node]
	return r, ok
}

func (b *Reports) isStopped(node lb.NodeName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nodes[node].Stopped
}

// HasLeft reports whether a node is not expected to announce addresses again soon: it drains or is excluded,
// or its speaker is silent.
func (b *Reports) HasLeft(node lb.NodeName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nodes[node].Standby != "" || b.silent[node]
}

// HasRunningSpeaker reports whether at least one speaker has reported and has not been stopped since then.
func (b *Reports) HasRunningSpeaker() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.nodes {
		if !r.Stopped {
			return true
		}
	}
	return false
}

// HasReported reports whether the speaker of a node has ever reported.
func (b *Reports) HasReported(node lb.NodeName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.nodes[node]
	return ok
}

// OwnedAddresses returns the addresses that a node owns according to its report.
func (b *Reports) OwnedAddresses(node lb.NodeName) []netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addressesOwnedBy(node)
}

func (b *Reports) addressesOwnedBy(node lb.NodeName) (list []netip.Addr) {
	for _, o := range b.nodes[node].Owned {
		list = append(list, o.Address)
	}
	return list
}

// RoutesOf returns the prefixes that a node announces to routers according to its report.
func (b *Reports) RoutesOf(node lb.NodeName) []netip.Prefix {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.routes.prefixesOf(node)
}

// SessionsOf returns the sessions with routers in the report of a node. The caller must not change them.
func (b *Reports) SessionsOf(node lb.NodeName) []reports.Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nodes[node].Sessions
}
