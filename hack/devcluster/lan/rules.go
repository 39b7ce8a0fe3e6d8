// SPDX-License-Identifier: Apache-2.0

package lan

import (
	"net/netip"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// Route of a host.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Routes returns what a host knows besides the LAN: the way to each other node's
// pods, and the router as default gateway. The client, which is outside of the
// cluster, and knows no pods, has the latter only; the router has no way out.
func Routes(host plan.Host, nodes []plan.Host) []Route {
	var routes []Route
	if host.Name != plan.Router {
		router, _ := plan.Find(0, plan.Router)
		routes = append(routes,
			Route{netip.PrefixFrom(netip.IPv4Unspecified(), 0), router.V4},
			Route{netip.PrefixFrom(netip.IPv6Unspecified(), 0), router.V6})
	}
	if host.Name == plan.Client {
		return routes
	}
	for _, node := range nodes {
		if node.Name != host.Name {
			routes = append(routes, Route{node.PodsV4(), node.V4}, Route{node.PodsV6(), node.V6})
		}
	}
	return routes
}

type sysctl struct{ name, value string }

// hostSysctls returns the settings of a host below /proc/sys/net. Duplicate
// address detection is off so that addresses can be used at once: the plan has no
// duplicates. What concerns neighbours stays as the kernel has it, since that is
// what the test bed is there to test.
func hostSysctls(host plan.Host) []sysctl {
	settings := []sysctl{
		{"ipv6/conf/all/accept_dad", "0"}, {"ipv6/conf/default/accept_dad", "0"},
		{"ipv6/conf/all/dad_transmits", "0"}, {"ipv6/conf/default/dad_transmits", "0"},
		{"ipv6/conf/all/accept_ra", "0"}, {"ipv6/conf/default/accept_ra", "0"},
	}
	switch host.Name {
	case plan.Client:
		return settings
	case plan.Router:
		settings = append(settings,
			// Who is on the same LAN is not told a shorter way: it would keep it when the
			// route changes.
			sysctl{"ipv4/conf/all/send_redirects", "0"}, sysctl{"ipv4/conf/default/send_redirects", "0"},
			// Connections, and not only hosts, are spread over equal routes.
			sysctl{"ipv4/fib_multipath_hash_policy", "1"}, sysctl{"ipv6/fib_multipath_hash_policy", "1"})
	}
	return append(settings,
		sysctl{"ipv4/ip_forward", "1"}, sysctl{"ipv6/conf/all/forwarding", "1"}, sysctl{"ipv6/conf/default/forwarding", "1"},
		// Pods of one node that talk through a Service pass the node's rules both
		// ways.
		sysctl{"bridge/bridge-nf-call-iptables", "1"}, sysctl{"bridge/bridge-nf-call-ip6tables", "1"})
}
