package migrate

import (
	"fmt"
	"strings"
	"testing"
)

func importText(t *testing.T, text string) Result {
	t.Helper()
	objects, err := Read("input", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return Import(objects, "")
}

// TestImport_CiliumItemsThatDoNotFit: what a stack cannot have, and what cannot be parsed, is reported with the reason.
func TestImport_CiliumItemsThatDoNotFit(t *testing.T) {
	many := func(format string, n int) string {
		items := make([]string, 0, n)
		for i := range n {
			items = append(items, fmt.Sprintf(format, i))
		}
		return strings.Join(items, ", ")
	}
	pool := func(blocks string, more ...string) string {
		return "apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: pool}\nspec: {blocks: [" + blocks + "]" + strings.Join(more, "") + "}"
	}
	advertisement := func(communities string) string {
		return `apiVersion: cilium.io/v2
kind: CiliumBGPClusterConfig
metadata: {name: c}
spec: {bgpInstances: [{name: i, localASN: 65000, peers: [{name: tor, peerASN: 65001, peerAddress: 192.0.2.1, peerConfigRef: {name: p}}]}]}
---
apiVersion: cilium.io/v2
kind: CiliumBGPPeerConfig
metadata: {name: p}
spec: {families: [{afi: ipv4, safi: unicast, advertisements: {matchLabels: {advertise: bgp}}}]}
---
apiVersion: cilium.io/v2
kind: CiliumBGPAdvertisement
metadata: {name: a, labels: {advertise: bgp}}
spec: {advertisements: [{advertisementType: Service, service: {addresses: [LoadBalancerIP]}, selector: {}, attributes: {communities: {standard: [` + communities + `]}}}]}`
	}
	for _, tt := range []struct{ name, input, path, note string }{
		{"a block that is one too many", pool(many("{cidr: 10.0.0.%d/32}", 129)), "spec.blocks[128].cidr", "it is left out: a pool can have at most 128 blocks: split the pool into two"},
		{"a block that cannot be parsed", pool("{cidr: 10.0.0.0/32}, {cidr: 10.0.0}"), "spec.blocks[1].cidr", "left out of the stack until you correct it: "},
		{"a CIDR whose ends are too many to exclude", pool(many("{cidr: 10.0.%d.0/24}", 65), ", allowFirstLastIPs: 'No'"), "spec.blocks[64].cidr", "it is left out: a pool can exclude the first and the last address of at most 64 CIDRs: split the pool into two"},
		{"a community that is one too many", advertisement(many(`"65000:%d"`, 33)), "spec.advertisements[0].advertisementType", "the advertisement to c-i-tor is left out: it has more than 32 communities, "},
		{"no-export after as many others as there can be", advertisement(many(`"65000:%d"`, 32) + "], wellKnown: [no-export"), "spec.advertisements[0].advertisementType", "the advertisement to c-i-tor is left out: it has more than 32 communities, "},
		{"a community that cannot be parsed", advertisement(`"65000:1:2:3:4"`), "spec.advertisements[0].advertisementType", "the advertisement to c-i-tor is left out: spec.advertisements[0].attributes.communities.standard[0]: "},
		{"a well-known community with no such name", advertisement(`], wellKnown: [no-exports`), "spec.advertisements[0].advertisementType", "the advertisement to c-i-tor is left out: spec.advertisements[0].attributes.communities.wellKnown[0]: "},
		{"a kind about load balancers that is not known", "apiVersion: cilium.io/v3\nkind: CiliumBGPRoute\nmetadata: {name: r}\nspec: {announce: all}", "spec.announce", "the import does not know this kind: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result := importText(t, tt.input)
			for _, e := range result.Report.Entries {
				if e.Path != tt.path {
					continue
				}
				if e.Outcome != Unmapped || !strings.HasPrefix(e.Note, tt.note) || strings.Contains(e.Note, "<nil>") {
					t.Errorf("the report has %q (%s), want %q", e.Note, e.Outcome, tt.note)
				}
				return
			}
			t.Errorf("the report has no entry for %s: %+v", tt.path, result.Report.Entries)
		})
	}
}
