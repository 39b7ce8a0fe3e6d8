package migrate

import (
	"fmt"
	"strings"
	"testing"
)

// TestImport_CiliumItemsThatDoNotFit: what a stack cannot have, and what cannot be parsed, is reported with the reason.
func TestImport_CiliumItemsThatDoNotFit(t *testing.T) {
	many := func(format string, n int) string {
		items := make([]string, 0, n)
		for i := range n {
			items = append(items, fmt.Sprintf(format, i))
		}
		return strings.Join(items, ", ")
	}
	pool := func(blocks string) string {
		return "apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: pool}\nspec: {blocks: [" + blocks + "]}"
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
		{"a block that is one too many", pool(many("{cidr: 10.0.0.%d/32}", 129)), "spec.blocks[128].cidr", "it is left out: a pool can have 128 blocks: make it two pools"},
		{"a block that cannot be parsed", pool("{cidr: 10.0.0.0/32}, {cidr: 10.0.0}"), "spec.blocks[1].cidr", "it is left out: correct it: "},
		{"a community that is one too many", advertisement(many(`"65000:%d"`, 33)), "spec.advertisements[0].attributes.communities.standard[32]", "it is left out: an advertisement can have 32 communities: make it two"},
		{"a community that cannot be parsed", advertisement(`"65000:1:2:3:4"`), "spec.advertisements[0].attributes.communities.standard[0]", "it is left out: write it as 65000:100: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, err := Read("input", strings.NewReader(tt.input))
			if err != nil {
				t.Fatal(err)
			}
			result := Import(objects, "")
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
