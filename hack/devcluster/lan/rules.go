// SPDX-License-Identifier: Apache-2.0

package lan

import (
	"net/netip"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// Route is a route of a host.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Routes returns the routes of a host, except for the route to the LAN. A host has routes
// to the pods of all other nodes, and the router is its default gateway. The client is
// outside of the cluster and has only the default gateway. The router has no default
// gateway.
func Routes(host plan.Host, nodes []plan.Host) []Route {
	var routes []Route
	if host.Name != plan.Router {
		router, _ := plan.FindHost(0, plan.Router)
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

// hostSysctls returns the settings of a host below /proc/sys/net. Duplicate address
// detection is off, since package plan gives no address twice and hosts must use their
// addresses at once. The settings of neighbour tables keep the kernel's defaults, since
// tests depend on these defaults.
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
			// No ICMP redirects: a host on the LAN would keep using the redirect after
			// the route has changed.
			sysctl{"ipv4/conf/all/send_redirects", "0"}, sysctl{"ipv4/conf/default/send_redirects", "0"},
			// The choice between equal routes depends on the ports of a connection too, not
			// only on its addresses.
			sysctl{"ipv4/fib_multipath_hash_policy", "1"}, sysctl{"ipv6/fib_multipath_hash_policy", "1"})
	}
	return append(settings,
		sysctl{"ipv4/ip_forward", "1"}, sysctl{"ipv6/conf/all/forwarding", "1"}, sysctl{"ipv6/conf/default/forwarding", "1"},
		// Packets between pods of one node through a Service must pass the node's
		// rules in both directions.
		sysctl{"bridge/bridge-nf-call-iptables", "1"}, sysctl{"bridge/bridge-nf-call-ip6tables", "1"})
}
