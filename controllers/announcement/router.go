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

// routed is who announces an address to which routers: nobody if it is empty.
type routed struct {
	nodes []lb.NodeName
	peers []bgp.PeerName
	// prefix is the longest one that holds the address.
	prefix netip.Prefix
	// since when a router has it from one of the nodes; zero: not known.
	since time.Time
}

// routedBy sums up how nodes announce an address. Those that are down do not count.
func routedBy(paths []reports.Path, down map[lb.NodeName]bool) (r routed) {
	for _, p := range paths {
		if down[p.Node] {
			continue
		}
		r.nodes, r.peers = append(r.nodes, p.Node), append(r.peers, p.Peers...)
		if p.Prefix.Bits() > r.prefix.Bits() {
			r.prefix = p.Prefix
		}
		r.since = first(r.since, p.Since)
	}
	slices.Sort(r.nodes)
	slices.Sort(r.peers)
	r.nodes, r.peers = slices.Compact(r.nodes), slices.Compact(r.peers)
	return r
}

// first returns the earlier of two times, of which zero is not known.
func first(x, y time.Time) time.Time {
	if x.IsZero() || (!y.IsZero() && y.Before(x)) {
		return y
	}
	return x
}

func (r routed) is() bool { return len(r.nodes) > 0 }

// String returns it as what follows "is announced" in a sentence.
func (r routed) String() string {
	in, to := "", "the peer"
	if !r.prefix.IsSingleIP() {
		in = fmt.Sprintf(" in %s", r.prefix)
	}
	if len(r.peers) > 1 {
		to = "the peers"
	}
	s := fmt.Sprintf("by BGP%s from %s to %s %s", in, named(r.nodes), to, named(r.peers))
	if !r.since.IsZero() {
		s += " since " + r.since.UTC().Format(time.RFC3339)
	}
	return s
}

// router is what is known of announcing an address to routers.
type router struct {
	// plan is who may announce it.
	plan core.Result
	// peers are the BGPPeers that are valid.
	peers map[bgp.PeerName]*bgp.Peer
	// broken are advertisements and peers that are invalid, in sentences.
	broken []string
	// idle are those of the nodes that cannot announce now, and why.
	idle map[lb.NodeName]string
	// sessions that the others have.
	sessions map[lb.NodeName][]reports.Session
}

// concerned reports whether a BGPAdvertisement is about the address.
func (r router) concerned() bool {
	return r.plan.Reason != eligibility.NoAdvertisement && (r.plan.Reason != "" || len(r.plan.Announcers) > 0)
}

// progress orders reasons by how far announcing has come.
var progress = []string{v1beta1.ReasonNoAdvertisement, v1beta1.ReasonNoEndpoints, v1beta1.ReasonNoNode, v1beta1.ReasonNoInterface, v1beta1.ReasonNotAnnounced}

// join returns why nobody announces an address, of which nobody on the local network
// does for that reason. A way that nobody asks for is mentioned only if nobody asks
// for the other one either; of the two reasons the one counts that is closer to
// announcing.
func (r router) join(address netip.Addr, layer2 addressResult) addressResult {
	asked := layer2.reason != v1beta1.ReasonNoAdvertisement
	switch {
	case !r.concerned() && (asked || r.plan.Why == ""):
		return layer2
	case !r.concerned():
		return addressResult{layer2.reason, layer2.message + "; " + r.plan.Why + r.leftOut()}
	}
	reason, why := r.judge(lb.FamilyOf(address))
	if !asked {
		return addressResult{reason, fmt.Sprintf("%s is not announced: %s", address, why)}
	}
	if strings.HasSuffix(layer2.message, why) {
		return layer2
	}
	if slices.Index(progress, reason) < slices.Index(progress, layer2.reason) {
		reason = layer2.reason
	}
	return addressResult{reason, fmt.Sprintf("%s; by BGP: %s", layer2.message, why)}
}

// judge returns why no node announces an address of the family to routers.
func (r router) judge(f lb.Family) (reason, why string) {
	if r.plan.Reason == eligibility.NoEndpoints {
		return v1beta1.ReasonNoEndpoints, r.plan.Why
	}
	if r.plan.Reason != "" {
		return string(r.plan.Reason), r.plan.Why + r.leftOut()
	}
	return v1beta1.ReasonNotAnnounced, r.nobodyDoes(f)
}

func (r router) leftOut() string {
	if len(r.broken) == 0 {
		return ""
	}
	return "; left out: " + strings.Join(r.broken, "; ")
}

// nobodyDoes returns which nodes may announce an address of the family to routers, and what
// keeps them from it.
func (r router) nobodyDoes(f lb.Family) string {
	var able []core.Announcer
	names := make([]string, 0, len(r.plan.Announcers))
	for _, a := range r.plan.Announcers {
		why := r.idle[a.Node]
		if why == "" {
			able = append(able, a)
			names = append(names, string(a.Node))
			continue
		}
		names = append(names, fmt.Sprintf("%s (%s)", a.Node, why))
	}
	may := "nodes that may announce it to routers: " + named(names)
	if len(able) == 0 {
		return may + "; look at these nodes, and at the speaker's pods"
	}
	with := func(is func(reports.Session) bool) int {
		return slices.IndexFunc(able, func(a core.Announcer) bool { return slices.ContainsFunc(r.sessionsOf(a), is) })
	}
	if with(func(s reports.Session) bool { return s.Carries(f) }) >= 0 {
		return may
	}
	if i := with(func(s reports.Session) bool { return s.Established }); i >= 0 {
		return fmt.Sprintf("%s, and no session of theirs carries %s routes; on %s", may, f, r.example(able[i], f))
	}
	first := max(0, with(func(s reports.Session) bool { return s.LastError != "" }))
	return fmt.Sprintf("%s, and no session of theirs is established; on %s", may, r.example(able[first], f))
}

// example returns what keeps the sessions of one node from carrying routes of a family.
func (r router) example(a core.Announcer, f lb.Family) string {
	sessions := r.sessionsOf(a)
	words := make([]string, 0, len(sessions))
	for _, s := range sessions {
		why := s.Why()
		if peer := r.peers[s.Peer]; peer != nil && !peer.Wants(f) {
			why = fmt.Sprintf("is not for %s routes: set spec.dualStackAddressFamily of the BGPPeer", f)
		}
		words = append(words, fmt.Sprintf("%s (%s)", s.Peer, why))
	}
	return fmt.Sprintf("%s: %s", a.Node, named(words))
}

// sessionsOf returns the sessions that a node has, or should have, with the peers that
// it would announce to.
func (r router) sessionsOf(a core.Announcer) []reports.Session {
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
			s = reports.Session{Peer: peer, State: "the speaker does not report it"}
		}
		list = append(list, s)
	}
	return list
}

// neither puts into words that no advertisement of either kind is about an address of
// the pool; layer2 and bgp report whether there are any of the kind.
func (f *facts) neither(pool lb.PoolName, layer2, bgp bool) {
	if f.plan.Reason != eligibility.NoAdvertisement || f.router.plan.Reason != eligibility.NoAdvertisement {
		return
	}
	switch {
	case !layer2 && !bgp:
		f.plan.Why, f.router.plan.Why = eligibility.WhyNone(pool, eligibility.L2, eligibility.BGP), ""
		f.broken, f.router.broken = slices.Concat(f.broken, f.router.broken), nil
	case !layer2:
		f.plan.Why, f.router.plan.Why = f.router.plan.Why, ""
		f.broken, f.router.broken = slices.Concat(f.broken, f.router.broken), nil
	case !bgp:
		f.router.plan.Why = ""
	}
}

// named lists names as part of a sentence: the first of them, and how many more there
// are.
func named[T ~string](names []T) string { return bounded.Names(names, maxNamed) }
