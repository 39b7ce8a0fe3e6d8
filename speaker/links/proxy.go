package links

import "github.com/vishvananda/netlink"

// ipvsInterface is where kube-proxy puts the addresses of Services in its IPVS mode.
const ipvsInterface = "kube-ipvs0"

// ProxyBinds returns whether the service proxy of this node puts the addresses of all Services on
// an interface. The kernel answers ARP for them on all other interfaces unless strictARP is set.
func ProxyBinds() bool {
	_, err := netlink.LinkByName(ipvsInterface)
	return err == nil
}
