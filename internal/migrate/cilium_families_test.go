package migrate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestImport_CiliumFamilies: no route of a family is announced to a router for an advertisement by which Cilium does not announce it.
func TestImport_CiliumFamilies(t *testing.T) {
	const (
		four  = "{cidr: 192.0.2.0/28}"
		six   = "{cidr: '2001:db8::/120'}"
		none  = ""
		byA   = "advertisements: {matchLabels: {name: a}}"
		byB   = "advertisements: {matchLabels: {name: b}}"
		ipv4  = "{afi: ipv4, safi: unicast, "
		ipv6  = "{afi: ipv6, safi: unicast, "
		multi = "{afi: ipv4, safi: multicast, "
	)
	pool := func(name, blocks string) string {
		if blocks == none {
			return ""
		}
		return "apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: " + name + "}\nspec: {blocks: [" + blocks + "]}\n---\n"
	}
	advertisement := func(name string) string {
		return "---\napiVersion: cilium.io/v2\nkind: CiliumBGPAdvertisement\nmetadata: {name: " + name + ", labels: {name: " + name + `}}
spec: {advertisements: [{advertisementType: Service, service: {addresses: [LoadBalancerIP]}, selector: {}}]}
`
	}
	type pools = []v1beta1.ObjectName
	for _, tt := range []struct {
		name, families, first, second string
		dualStack                     bool
		// want has the pools that each advertisement names; none: all pools.
		want map[string]pools
	}{
		{"family of the address", ipv4 + byA + "}", four, six, false, map[string]pools{"a-1": nil}},
		{"both families by one advertisement", ipv4 + byA + "}, " + ipv6 + byA + "}", four, six, true, map[string]pools{"a-1": nil}},
		{"the other family only", ipv6 + byA + "}", four, six, true, map[string]pools{"a-1-ipv6": {"second"}}},
		{"each family by an advertisement of its own", ipv4 + byA + "}, " + ipv6 + byB + "}", four, six, true, map[string]pools{"a-1-ipv4": {"first"}, "b-1-ipv6": {"second"}}},
		{"a family more in one of two", ipv4 + byA + "}, " + ipv6 + "advertisements: {}}", four, six, true, map[string]pools{"a-1": nil, "b-1-ipv6": {"second"}}},
		{"a family that selects nothing", ipv4 + byA + "}, {afi: ipv6, safi: unicast}", four, six, false, map[string]pools{"a-1": nil}},
		{"no pool of the other family", ipv4 + byA + "}, " + ipv6 + byB + "}", four, none, true, map[string]pools{"a-1-ipv4": {"first"}}},
		{"a pool of both families", ipv6 + byA + "}", four + ", " + six, six, true, map[string]pools{}},
		{"multicast", multi + byA + "}", four, six, false, map[string]pools{}},
		{"a family twice", ipv4 + byA + "}, " + ipv4 + byB + "}", four, six, false, map[string]pools{"b-1": nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := importText(t, pool("first", tt.first)+pool("second", tt.second)+`apiVersion: cilium.io/v2
kind: CiliumBGPClusterConfig
metadata: {name: c}
spec: {bgpInstances: [{name: i, localASN: 65000, peers: [{name: tor, peerASN: 65001, peerAddress: 10.0.0.1, peerConfigRef: {name: p}}]}]}
---
apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: {name: p}
spec: {families: [`+tt.families+"]}\n"+advertisement("a")+advertisement("b"))
			got := map[string]pools{}
			for _, a := range result.Stack.Spec.BGPAdvertisements {
				got[string(a.Name)] = a.IPAddressPools
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("advertisements and their pools (-want +got):\n%s", diff)
			}
			peers := result.Stack.Spec.BGPPeers
			if len(peers) != 1 || peers[0].DualStackAddressFamily != tt.dualStack {
				t.Errorf("got the peers %+v, want one with dualStackAddressFamily %t", peers, tt.dualStack)
			}
			for _, name := range []string{"a", "b"} {
				expected := false
				for item := range tt.want {
					expected = expected || strings.HasPrefix(item, name)
				}
				for _, e := range result.Report.Entries {
					if e.Object == "CiliumBGPAdvertisement "+name && strings.HasPrefix(e.Path, "spec.") && (e.Outcome == Unmapped) == expected {
						t.Errorf("%s of %s is %s (%s); it is in the stack: %t", e.Path, e.Object, e.Outcome, e.Note, expected)
					}
				}
			}
		})
	}
}
