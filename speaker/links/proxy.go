package links

import "github.com/vishvananda/netlink"

// ipvsInterface is the interface on which kube-proxy puts the addresses of Services in its IPVS mode.
const ipvsInterface = "kube-ipvs0"

// ProxyBinds reports whether the service proxy of this node puts the addresses of all Services on an
// interface. Then the kernel answers ARP for these addresses on all other interfaces, unless kube-proxy is
// configured with ipvs.strictARP.
func ProxyBinds() bool {
	_, err := netlink.LinkByName(ipvsInterface)
	return err == nil
}
