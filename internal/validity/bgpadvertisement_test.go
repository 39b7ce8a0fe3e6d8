package validity

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// has selects what has the label.
func has(key string) []eligibility.Selector {
	return []eligibility.Selector{func(labels map[string]string) bool { return labels[key] != "" }}
}

func prefers(name string, localPref uint32, edits ...func(*routes.Advertisement)) routes.Advertisement {
	ad := routes.Advertisement{Scope: eligibility.Scope{Name: name}, Attributes: routes.Attributes{LocalPref: routes.OptionalNumber{Value: localPref, Set: true}}}
	for _, edit := range edits {
		edit(&ad)
	}
	return ad
}

func TestDecide(t *testing.T) {
	labelled := func(key string) map[string]string { return map[string]string{key: "x"} }
	in := bgpInput{
		pools: []eligibility.Pool{
			{Name: "a", Labels: map[string]string{"zone": "a"}, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("192.0.2.0/25"))}},
			{Name: "b", Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("2001:db8::/120"))}},
			{Name: "c", Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix("198.51.100.0/24"))}, Excluded: []lb.Range{lb.RangeOf(netip.MustParsePrefix("198.51.100.77/32"))}},
		},
		listed: map[lb.PoolName][]lb.Range{
			"a": {lb.RangeOf(netip.MustParsePrefix("192.0.2.0/25"))},
			"b": {lb.RangeOf(netip.MustParsePrefix("2001:db8::/120"))},
		},
		peers: map[bgp.PeerName]*bgp.Peer{
			"tor-a": {ASN: 64512, Remote: bgp.RemoteASN{ASN: 64512}}, "tor-b": {ASN: 64512, Remote: bgp.RemoteASN{Kind: bgp.InternalPeer}}, "odd": nil,
			"isp-a": {ASN: 64512, Remote: bgp.RemoteASN{ASN: 64513}}, "isp-b": {ASN: 64512, Remote: bgp.RemoteASN{Kind: bgp.ExternalPeer}},
		},
		nodes: []eligibility.Node{{Name: "n1", Labels: labelled("left")}, {Name: "n2", Labels: labelled("right")}}, services: []eligibility.Service{{Labels: labelled("red")}, {Labels: labelled("blue")}},
	}
	ofNodes := func(key string) func(*routes.Advertisement) {
		return func(ad *routes.Advertisement) { ad.NodeSelectors = has(key) }
	}
	ofServices := func(key string) func(*routes.Advertisement) {
		return func(ad *routes.Advertisement) { ad.ServiceSelectors = has(key) }
	}
	to := func(peers ...bgp.PeerName) func(*routes.Advertisement) {
		return func(ad *routes.Advertisement) { ad.Peers = peers }
	}
	of := func(name lb.PoolName) func(*routes.Advertisement) {
		return func(ad *routes.Advertisement) { ad.Pools = []lb.PoolName{name} }
	}
	as := func(length uint8) func(*routes.Advertisement) {
		return func(ad *routes.Advertisement) { ad.Length = length }
	}
	for _, tt := range []struct {
		name   string
		ads    []routes.Advertisement // of the first
		reason string
		part   string
	}{
		{"one about everything", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x"}}}, v1beta1.ReasonAdvertisementValid, "in effect"},
		{"a pool that is not there", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x", Pools: []lb.PoolName{"a", "none"}}}}, v1beta1.ReasonUnknownPool, `spec.ipAddressPools names the IPAddressPool "none", which does not exist`},
		{"labels that no node has", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x", NodeSelectors: has("top")}}}, v1beta1.ReasonNoNodes, "spec.nodeSelectors match none of the 2 nodes"},
		{"peers that are not there", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x"}, Peers: []bgp.PeerName{"p", "tor-a", "q"}}}, v1beta1.ReasonUnknownPeer, `spec.peers names the BGPPeers "p" and "q", which do not exist`},
		{"an aggregate that is the pool", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x", Pools: []lb.PoolName{"a"}}, Length: 25}}, v1beta1.ReasonAdvertisementValid,
			`the advertisement is in effect; packets to unused addresses of an aggregate such as 192.0.2.0/25 loop between routers and nodes unless the nodes drop them: see "Packets that no Service takes" in docs/routing.md`},
		{"one that is wider", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x"}, Length: 24}}, v1beta1.ReasonAggregateTooWide, `spec.aggregationLength is 24, but the pool "a" does not list all addresses of the aggregate 192.0.2.0/24`},
		{"one of IPv6", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x"}, LengthV6: 64}}, v1beta1.ReasonAggregateTooWide, `spec.aggregationLengthV6 is 64, but the pool "b" does not list all addresses of the aggregate 2001:db8::/64`},
		{"one that holds an address which the pool excludes", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x", Pools: []lb.PoolName{"c"}}, Length: 24}}, v1beta1.ReasonAggregateTooWide,
			`spec.aggregationLength is 24, but the pool "c" does not list all addresses of the aggregate 198.51.100.0/24. The pool's addresses in this aggregate are announced as single routes`},
		{"a wide one of another pool", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x", PoolSelectors: has("zone")}, LengthV6: 64}}, v1beta1.ReasonAdvertisementValid, ""},
		{"another preference", []routes.Advertisement{prefers("x", 100), prefers("y", 200)}, v1beta1.ReasonLocalPrefConflict,
			`spec.localPref is 100, but the BGPAdvertisement "y" sets localPref to 200 for some of the same routes: these routes get 200`},
		{"the other side of it", []routes.Advertisement{prefers("y", 200), prefers("x", 100)}, v1beta1.ReasonLocalPrefConflict, "sets localPref to 100 for some of the same routes: these routes get 200"},
		{"of several the highest is named", []routes.Advertisement{prefers("x", 100), prefers("y", 200), prefers("z", 300)}, v1beta1.ReasonLocalPrefConflict, "these routes get 300"},
		{"a preference for external peers", []routes.Advertisement{prefers("x", 100, to("isp-b", "isp-a"))}, v1beta1.ReasonAttributeIgnored,
			"spec.localPref has no effect: all peers of the advertisement (BGPPeer isp-b and isp-a) are in other autonomous systems, to which LOCAL_PREF is not sent; remove the field, or use med, asPathPrepend or communities"},
		{"a preference for one external peer", []routes.Advertisement{prefers("x", 100, to("isp-a"))}, v1beta1.ReasonAttributeIgnored, "(BGPPeer isp-a) are in other autonomous systems"},
		{"a preference for an internal peer as well", []routes.Advertisement{prefers("x", 100, to("isp-a", "tor-b"))}, v1beta1.ReasonAdvertisementValid, ""},
		{"a preference for a peer that is invalid", []routes.Advertisement{prefers("x", 100, to("isp-a", "odd"))}, v1beta1.ReasonAdvertisementValid, ""},
		{"a preference for all peers", []routes.Advertisement{prefers("x", 100)}, v1beta1.ReasonAdvertisementValid, ""},
		{"no preference for external peers", []routes.Advertisement{{Scope: eligibility.Scope{Name: "x"}, Peers: []bgp.PeerName{"isp-a"}}}, v1beta1.ReasonAdvertisementValid, ""},
		{"a longer path for internal peers", []routes.Advertisement{prepends("x", "tor-a", "tor-b")}, v1beta1.ReasonAttributeIgnored,
			"spec.asPathPrepend has no effect: all peers of the advertisement (BGPPeer tor-a and tor-b) are in the same autonomous system as the nodes, and get an empty AS_PATH; remove the field, or use localPref or med"},
		{"a longer path for an external peer as well", []routes.Advertisement{prepends("x", "tor-a", "isp-a")}, v1beta1.ReasonAdvertisementValid, ""},
		{"the same preference", []routes.Advertisement{prefers("x", 100), prefers("y", 100)}, v1beta1.ReasonAdvertisementValid, ""},
		{"one that has none", []routes.Advertisement{prefers("x", 100), {Scope: eligibility.Scope{Name: "y"}}}, v1beta1.ReasonAdvertisementValid, ""},
		{"of other pools", []routes.Advertisement{prefers("x", 100, of("a")), prefers("y", 200, of("b"))}, v1beta1.ReasonAdvertisementValid, ""},
		{"to other peers", []routes.Advertisement{prefers("x", 100, to("tor-a")), prefers("y", 200, to("tor-b"))}, v1beta1.ReasonAdvertisementValid, ""},
		{"from other nodes", []routes.Advertisement{prefers("x", 100, ofNodes("left")), prefers("y", 200, ofNodes("right"))}, v1beta1.ReasonAdvertisementValid, ""},
		{"from some of the same nodes", []routes.Advertisement{prefers("x", 100, ofNodes("left")), prefers("y", 200)}, v1beta1.ReasonLocalPrefConflict, ""},
		{"of other Services", []routes.Advertisement{prefers("x", 100, ofServices("red")), prefers("y", 200, ofServices("blue"))}, v1beta1.ReasonAdvertisementValid, ""},
		{"of some of the same Services", []routes.Advertisement{prefers("x", 100, ofServices("red")), prefers("y", 200)}, v1beta1.ReasonLocalPrefConflict, ""},
		{"of other lengths", []routes.Advertisement{prefers("x", 100, of("a")), prefers("y", 200, as(25))}, v1beta1.ReasonAdvertisementValid, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := in
			in.ads = tt.ads
			got := in.check()[tt.ads[0].Name]
			ready := tt.reason == v1beta1.ReasonAdvertisementValid || tt.reason == v1beta1.ReasonAttributeIgnored
			if got.Reason != tt.reason || got.Ready != ready || !strings.Contains(got.Message, tt.part) {
				t.Errorf("got %+v, want %s and %q", got, tt.reason, tt.part)
			}
		})
	}
}

// prepends is an advertisement with a longer path for some peers.
func prepends(name string, peers ...bgp.PeerName) routes.Advertisement {
	return routes.Advertisement{Scope: eligibility.Scope{Name: name}, Peers: peers, Attributes: routes.Attributes{Prepend: 2}}
}
