package routes

import (
	"fmt"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
)

// whyNoPeer returns a sentence: why the nodes that may announce an address have no peer to announce it
// to. The nodes have no peers at all, or no peer that the advertisements name.
func whyNoPeer(candidates []eligibility.Candidate, known map[lb.NodeName][]bgp.PeerName) string {
	var nodes []lb.NodeName
	var asks, has []string
	for _, c := range candidates {
		nodes = append(nodes, c.Node)
		for _, peer := range requestedPeers(c) {
			asks = append(asks, fmt.Sprintf("%q", peer))
		}
		for _, peer := range known[c.Node] {
			has = append(has, fmt.Sprintf("%q", peer))
		}
	}
	asks, has = sortUnique(asks), sortUnique(has)
	who := eligibility.Enumerate(singularOrPlural(len(nodes), "the node"), nodes)
	if len(has) == 0 {
		return fmt.Sprintf("no BGPPeer selects %s, where the address may be announced: create a BGPPeer, or change spec.nodeSelectors of one", who)
	}
	verb := "have"
	if len(nodes) == 1 {
		verb = "has"
	}
	return fmt.Sprintf("spec.peers of the BGPAdvertisements names %s, but %s, where the address may be announced, %s only %s: change spec.peers, or spec.nodeSelectors of the BGPPeers",
		eligibility.Enumerate(singularOrPlural(len(asks), "the BGPPeer"), asks), who, verb, eligibility.Enumerate(singularOrPlural(len(has), "the BGPPeer"), has))
}

func sortUnique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func singularOrPlural(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}
