// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// Names of the router's programs, which are part of FRR.
const (
	Zebra = "zebra"
	BGPd  = "bgpd"
	BFDd  = "bfdd"
)

// Numbers of the autonomous systems of the router and of the nodes.
const (
	RouterASN = 64513
	NodesASN  = 64512
)

// RouterRunDir is the folder of the sockets of the router's programs, within the router.
// vtysh needs it in --vty_socket.
const RouterRunDir = "/run/frr"

const zebraSocket = RouterRunDir + "/zserv.api"

// routerPrograms returns the programs of FRR. They drop root privileges and need a folder
// that belongs to the user frr. Their priority is the same as in Debian's frr.service; see
// also plan.Host.Weight.
func routerPrograms() []hostinit.Program {
	frr := func(name, needs string, more ...string) hostinit.Program {
		args := append([]string{
			"exec", "nice", "-n", "-5", "/usr/lib/frr/" + name, "--config_file", RouterRunDir + "/" + name + ".conf", "--pid_file", RouterRunDir + "/" + name + ".pid",
			"--socket", zebraSocket, "--vty_socket", RouterRunDir, "--vty_port", "0", "--log", "stdout",
		}, more...)
		prepare := "install -d -o frr -g frr " + RouterRunDir + " && install -o frr -g frr -m 640 " + configPath(name+".conf") + " " + RouterRunDir + " && "
		return hostinit.Program{Name: name, Needs: needs, Args: []string{"/bin/sh", "-c", prepare + strings.Join(args, " ")}}
	}
	return []hostinit.Program{
		frr(Zebra, ""), frr(BFDd, "unix:"+zebraSocket, "--bfdctl", RouterRunDir+"/bfdd.sock"), frr(BGPd, "unix:"+zebraSocket),
	}
}

// routerFiles returns the configuration of the router's programs. The router accepts BGP
// sessions from every host of the LAN and balances traffic over the nodes that announce
// the same prefix. It detects failures with BFD if the node uses BFD.
func routerFiles(host plan.Host) map[string]string {
	var b strings.Builder
	fmt.Fprintf(&b, `router bgp %d
 bgp router-id %s
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp bestpath as-path multipath-relax
 neighbor NODES peer-group
 neighbor NODES remote-as %d
 neighbor NODES bfd profile nodes
`, RouterASN, host.V4, NodesASN)
	for _, lan := range []fmt.Stringer{plan.LANv4, plan.LANv6} {
		fmt.Fprintf(&b, " bgp listen range %s peer-group NODES\n", lan)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		fmt.Fprintf(&b, " address-family %s unicast\n  neighbor NODES activate\n  maximum-paths 16\n exit-address-family\n", family)
	}
	return map[string]string{
		Zebra + ".conf": "hostname " + host.Name + "\n",
		BFDd + ".conf":  "bfd\n profile nodes\n  transmit-interval 100\n  receive-interval 100\n  detect-multiplier 3\n",
		BGPd + ".conf":  b.String(),
	}
}
