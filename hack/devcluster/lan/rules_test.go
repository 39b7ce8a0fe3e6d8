// SPDX-License-Identifier: Apache-2.0

package lan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

func TestRoutes(t *testing.T) {
	tests := []struct {
		name, host string
		want       []string
	}{
		{"the client knows the router only", plan.Client, []string{
			"0.0.0.0/0 via 192.168.1.1", "::/0 via fd00:192:168:1::1",
		}},
		{"the router has no way out, but knows the pods", plan.Router, []string{
			"10.244.1.0/24 via 192.168.1.11", "fd44:0:0:1::/64 via fd00:192:168:1::11",
			"10.244.2.0/24 via 192.168.1.12", "fd44:0:0:2::/64 via fd00:192:168:1::12",
		}},
		{"a node knows the other node's pods, not its own", "node1", []string{
			"0.0.0.0/0 via 192.168.1.1", "::/0 via fd00:192:168:1::1",
			"10.244.2.0/24 via 192.168.1.12", "fd44:0:0:2::/64 via fd00:192:168:1::12",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host, ok := plan.FindHost(2, test.host)
			if !ok {
				t.Fatalf("no host %s", test.host)
			}
			var got []string
			for _, r := range Routes(host, plan.Nodes(2)) {
				got = append(got, r.To.String()+" via "+r.Via.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("routes of %s (-want +got):\n%s", test.host, diff)
			}
		})
	}
}

func TestClientHasDefaultNeighbourSettingsAndDoesNotForward(t *testing.T) {
	client, _ := plan.FindHost(1, plan.Client)
	for _, s := range hostSysctls(client) {
		switch s.name {
		case "ipv4/ip_forward", "ipv6/conf/all/forwarding":
			t.Errorf("%s: got %s, want it not set", s.name, s.value)
		}
	}
}

func TestNamespacesOfClustersDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, cluster := range []string{DefaultCluster, "two", "node1"} {
		for _, host := range []string{"lan", plan.Client, plan.ControlPlane, "node1"} {
			name := NamespaceName(cluster, host)
			if seen[name] {
				t.Errorf("namespace %s: got it twice, want it once", name)
			}
			seen[name] = true
		}
	}
}
