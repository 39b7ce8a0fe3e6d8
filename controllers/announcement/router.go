package announcement

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
	core "github.com/lbstack/lbstack/internal/routes"
)

// bgpAnnouncement has the nodes that announce an address by BGP, and the peers that received the
// announcement. Without nodes the address is not announced.
type bgpAnnouncement struct {
	nodes []lb.NodeName
	peers []bgp.PeerName
	// prefix is the longest announced prefix that contains the address.
	prefix netip.Prefix
	// since is the time since which a router has had the prefix from one of the nodes; zero: not known.
	since time.Time
}

// bgpAnnouncementOf joins the paths of an address. It leaves out the paths of nodes that are down.
func bgpAnnouncementOf(paths []reports.BGPPath, down map[lb.NodeName]bool) (r bgpAnnouncement) {
	for _, p := range paths {
		if down[p.Node] {
			continue
		}
		r.nodes, r.peers = append(r.nodes, p.Node), append(r.peers, p.Peers...)
		if p.Prefix.Bits() > r.prefix.Bits() {
			r.prefix = p.Prefix
		}
		r.since = earlierTime(r.since, p.Since)
	}
	slices.Sort(r.nodes)
	slices.Sort(r.peers)
	r.nodes, r.peers = slices.Compact(r.nodes), slices.Compact(r.peers)
	return r
}

// earlierTime returns the earlier of two times. It ignores a zero time, which stands for a time that is not
// known.
func earlierTime(x, y time.Time) time.Time {
	if x.IsZero() || (!y.IsZero() && y.Before(x)) {
		return y
	}
	return x
}

func (r bgpAnnouncement) exists() bool { return len(r.nodes) > 0 }

// String returns the words that follow "is announced" in a sentence.
func (r bgpAnnouncement) String() string {
	in, to := "", "the peer"
	if !r.prefix.IsSingleIP() {
		in = fmt.Sprintf(" as part of %s", r.prefix)
	}
	if len(r.peers) > 1 {
		to = "the peers"
	}
	s := fmt.Sprintf("by BGP%s from %s to %s %s", in, listNames(r.nodes), to, listNames(r.peers))
	if !r.since.IsZero() {
		s += " since " + r.since.UTC().Format(time.RFC3339)
	}
	return s
}

// bgpFacts has the facts about announcing an address by BGP.
type bgpFacts struct {
	// plan has the nodes that may announce the address.
	plan core.Result
	// peers are the valid BGPPeers.
	peers map[bgp.PeerName]*bgp.Peer
	// invalid has a sentence for each invalid advertisement and peer.
	invalid []string
	// unavailable has, for each node of the plan that announces no address now, the reason.
	unavailable map[lb.NodeName]string
	// sessions has the sessions of each node of the plan.
	sessions map[lb.NodeName][]reports.Session
}

// hasAdvertisement reports whether a BGPAdvertisement selects the address.
func (r bgpFacts) hasAdvertisement() bool {
	return r.plan.Reason != eligibility.NoAdvertisement && (r.plan.Reason != "" || len(r.plan.Announcers) > 0)
}

// joinReasons returns why no node announces an address. The parameter layer2 is the reason for the local
// network, to which joinReasons adds the reason for BGP. If only one kind of advertisement selects the
// address, joinReasons leaves out the reason for the other kind. If both kinds select it, the result has the
// reason that is later in reasonsByUrgency: with that kind the address is closer to being announced.
func (r bgpFacts) joinReasons(address netip.Addr, layer2 addressResult) addressResult {
	asked := layer2.reason != v1beta1.ReasonNoAdvertisement
	switch {
	case !r.hasAdvertisement() && (asked || r.plan.Why == ""):
		return layer2
	case !r.hasAdvertisement():
		return addressResult{layer2.reason, layer2.message + "; " + r.plan.Why + r.invalidObjectsMessage()}
	}
	reason, why := r.whyNotAnnounced(lb.FamilyOf(address))
	if !asked {
		return addressResult{reason, fmt.Sprintf("%s is not announced: %s", address, why)}
	}
	if strings.HasSuffix(layer2.message, why) {
		return layer2
	}
	if reasonRank(reason) < reasonRank(layer2.reason) {
		reason = layer2.reason
	}
	return addressResult{reason, fmt.Sprintf("%s; by BGP: %s", layer2.message, why)}
}

// whyNotAnnounced returns why no node announces an address of the family to routers.
func (r bgpFacts) whyNotAnnounced(f lb.Family) (reason, why string) {
	if r.plan.Reason == eligibility.NoEndpoints {
		return v1beta1.ReasonNoEndpoints, r.plan.Why
	}
	if r.plan.Reason != "" {
		return string(r.plan.Reason), r.plan.Why + r.invalidObjectsMessage()
	}
	return v1beta1.ReasonNotAnnounced, r.candidatesMessage(f)
}

// invalidObjectsMessage returns the end of a sentence, which lists the invalid objects; empty: there are none.
func (r bgpFacts) invalidObjectsMessage() string {
	if len(r.invalid) == 0 {
		return ""
	}
	return "; not in effect: " + strings.Join(r.invalid, "; ")
}

// candidatesMessage returns the sentence for an address of the family that no node announces to routers
// although some nodes may. It names these nodes, and what keeps them from announcing the address.
func (r bgpFacts) candidatesMessage(f lb.Family) string {
	var able []core.Announcer
	names := make([]string, 0, len(r.plan.Announcers))
	for _, a := range r.plan.Announcers {
		why := r.unavailable[a.Node]
		if why == "" {
			able = append(able, a)
			names = append(names, string(a.Node))
			continue
		}
		names = append(names, fmt.Sprintf("%s (%s)", a.Node, why))
	}
	nodes := "nodes that may announce it to routers: " + listNames(names)
	if len(able) == 0 {
		return "no router has received the address; " + nodes + "; look at these nodes, and at the speaker's pods"
	}
	with := func(is func(reports.Session) bool) int {
		return slices.IndexFunc(able, func(a core.Announcer) bool { return slices.ContainsFunc(r.sessionsOf(a), is) })
	}
	if with(func(s reports.Session) bool { return s.Carries(f) }) >= 0 {
		return "no router has received the address yet; " + nodes
	}
	if i := with(func(s reports.Session) bool { return s.Established }); i >= 0 {
		return fmt.Sprintf("no session carries %s routes; %s; sessions of the node %s", f, nodes, r.sessionsMessage(able[i], f))
	}
	first := max(0, with(func(s reports.Session) bool { return s.LastError != "" }))
	return fmt.Sprintf("no session is established; %s; sessions of the node %s", nodes, r.sessionsMessage(able[first], f))
}

// sessionsMessage lists the sessions of one node, each with the reason why it carries no routes of a family.
func (r bgpFacts) sessionsMessage(a core.Announcer, f lb.Family) string {
	sessions := r.sessionsOf(a)
	words := make([]string, 0, len(sessions))
	for _, s := range sessions {
		why := s.WhyDown()
		if peer := r.peers[s.Peer]; peer != nil && !peer.HasFamily(f) {
			why = fmt.Sprintf("the session is not for %s routes: set spec.dualStackAddressFamily of the BGPPeer", f)
		}
		words = append(words, fmt.Sprintf("%s (%s)", s.Peer, why))
	}
	return fmt.Sprintf("%s: %s", a.Node, listNames(words))
}

// sessionsOf returns the sessions of a node with the peers to which it would announce the address. If the
// node does not report one of these sessions, the State of that session is a text about this.
func (r bgpFacts) sessionsOf(a core.Announcer) []reports.Session {
	has := map[bgp.PeerName]reports.Session{}
	for _, s := range r.sessions[a.Node] {
		has[s.Peer] = s
	}
	peers := a.Peers
	if len(peers) == 0 {
		peers = slices.Sorted(maps.Keys(has))
	}
	list := make([]reports.Session, 0, len(peers))
	for _, peer := range peers {
		s, known := has[peer]
		if !known {
			s = reports.Session{Peer: peer, State: "the speaker does not report this session"}
		}
		list = append(list, s)
	}
	return list
}

// mergeReasons changes the explanations of f if no advertisement of either kind selects the addresses of the
// pool, so that the condition has only one explanation. The parameters layer2 and bgp mean that at least one
// advertisement of that kind exists.
func (f *addressFacts) mergeReasons(pool lb.PoolName, layer2, bgp bool) {
	if f.plan.Reason != eligibility.NoAdvertisement || f.router.plan.Reason != eligibility.NoAdvertisement {
		return
	}
	switch {
	case !layer2 && !bgp:
		f.plan.Why, f.router.plan.Why = eligibility.WhyNoneExists(pool, eligibility.KindL2, eligibility.KindBGP), ""
		f.invalid, f.router.invalid = slices.Concat(f.invalid, f.router.invalid), nil
	case !layer2:
		f.plan.Why, f.router.plan.Why = f.router.plan.Why, ""
		f.invalid, f.router.invalid = slices.Concat(f.invalid, f.router.invalid), nil
	case !bgp:
		f.router.plan.Why = ""
	}
}

// listNames lists at most maxListedNames names as part of a sentence, and gives the number of further ones.
func listNames[T ~string](names []T) string { return bounded.Names(names, maxListedNames) }
