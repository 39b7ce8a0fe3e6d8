// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	tests := []struct{ name, host, v4, v6 string }{
		{"the router is the first of the LAN", Router, "192.168.1.1", "fd00:192:168:1::1"},
		{"the control plane is ten", ControlPlane, "192.168.1.10", "fd00:192:168:1::10"},
		{"the first node follows the control plane", "node1", "192.168.1.11", "fd00:192:168:1::11"},
		{"the tenth node keeps its digits in both families", "node10", "192.168.1.20", "fd00:192:168:1::20"},
		{"the client is far from the nodes", Client, "192.168.1.200", "fd00:192:168:1::200"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, ok := FindHost(10, test.host)
			if !ok || h.V4 != netip.MustParseAddr(test.v4) || h.V6 != netip.MustParseAddr(test.v6) {
				t.Errorf("host %s: got %s and %s (found %t), want %s and %s", test.host, h.V4, h.V6, ok, test.v4, test.v6)
			}
		})
	}
}

func TestNothingIsTwiceInTheLargestCluster(t *testing.T) {
	seen := map[any]string{}
	for _, h := range Hosts(MaxNodes) {
		keys := []any{h.Name, h.V4, h.V6, h.MAC()}
		if h.IsNode() {
			keys = append(keys, h.PodsV4(), h.PodsV6())
		}
		for _, key := range keys {
			if other, taken := seen[key]; taken {
				t.Errorf("%v: got it for %s and %s, want it once", key, other, h.Name)
			}
			seen[key] = h.Name
		}
	}
}

func TestRangesLieWithinTheirNetworks(t *testing.T) {
	for _, h := range Hosts(MaxNodes) {
		if !LANv4.Contains(h.V4) || !LANv6.Contains(h.V6) {
			t.Errorf("host %s: got %s and %s, want them in %s and %s", h.Name, h.V4, h.V6, LANv4, LANv6)
		}
		if h.IsNode() && (!PodsV4.Contains(h.PodsV4().Addr()) || !PodsV6.Contains(h.PodsV6().Addr())) {
			t.Errorf("node %s: got pods in %s and %s, want them in %s and %s", h.Name, h.PodsV4(), h.PodsV6(), PodsV4, PodsV6)
		}
	}
}

func TestAHostThatIsNotThere(t *testing.T) {
	if h, ok := FindHost(3, "node4"); ok {
		t.Errorf("node4 of three nodes: got %+v, want none", h)
	}
}
