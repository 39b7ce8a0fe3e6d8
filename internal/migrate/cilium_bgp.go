package migrate

import (
	"math"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// ciliumPeer is a peer of the stack that comes from a CiliumBGPClusterConfig.
type ciliumPeer struct {
	name v1beta1.ObjectName
	// carried are the address families of the routes that lbstack's session with the peer can carry.
	carried familySet
	// selectors select, for each family, the CiliumBGPAdvertisements by which Cilium announces routes to the peer.
	selectors map[lb.Family]labels.Selector
}

// announcedFamilies returns the families of the routes that Cilium announces to the peer for a CiliumBGPAdvertisement with these labels.
func (p *ciliumPeer) announcedFamilies(set labels.Set) (families familySet) {
	for family, selector := range p.selectors {
		if selector.Matches(set) {
			families.add(family)
		}
	}
	return families
}

// noLocalPortReason is the reason why the port on which Cilium listens, or from which it connects, is not
// mapped.
const noLocalPortReason = "lbstack connects to the router from a port that the kernel selects; it listens only for peers with passiveMode, on port 179"

// mapCiliumCluster maps the peers of a CiliumBGPClusterConfig.
func (in *importer) mapCiliumCluster(o *sourceObject, root field) {
	spec := root.child("spec")
	for _, instance := range spec.child("bgpInstances").items() {
		instance.child("name").markIgnored(ignoredName)
		instance.child("localPort").markUnmapped(noLocalPortReason)
		for _, f := range instance.child("peers").items() {
			f.child("name").markIgnored(ignoredName)
			in.mapCiliumPeer(o.name, spec.child("nodeSelector"), instance, f)
		}
	}
}

// mapCiliumPeer maps a peer. If a CiliumBGPNodeConfigOverride changes the peer for a node, the stack gets
// another peer with the same router for this node.
func (in *importer) mapCiliumPeer(cluster string, nodes, instance, f field) {
	original := cluster + "-" + instance.child("name").text() + "-" + f.child("name").text()
	overrides := in.overridesFor(instance.child("name").text(), f.child("name").text())
	in.hasNodePeers = in.hasNodePeers || len(overrides) > 0
	add := func(from field, original string, override *nodeOverride) {
		name := in.names.nameOf(listBGPPeers, original)
		p := v1beta1.StackBGPPeer{Name: v1beta1.ObjectName(name)}
		selectors := in.readCiliumPeer(nodes, instance, f.withItem(itemPath(listBGPPeers, name)), override, &p.BGPPeerSpec)
		if override == nil {
			p.NodeSelectors = withoutNodes(p.NodeSelectors, overrides)
		}
		var announced familySet
		for family := range selectors {
			announced.add(family)
		}
		carried := setCarriedFamilies(&p.BGPPeerSpec, announced)
		if in.addPeer(from, p) {
			in.ciliumPeers = append(in.ciliumPeers, ciliumPeer{p.Name, carried, selectors})
		}
	}
	add(f.withItem(itemPath(listBGPPeers, in.names.nameOf(listBGPPeers, original))), original, nil)
	for i := range overrides {
		add(overrides[i].instance, original+"-"+overrides[i].node, &overrides[i])
	}
}

// readCiliumPeer reads a peer, with the changes of an override if it is not nil. It returns the selectors of the advertisements
// for each family.
func (in *importer) readCiliumPeer(nodes, instance, f field, override *nodeOverride, p *v1beta1.BGPPeerSpec) map[lb.Family]labels.Selector {
	if n, ok := instance.child("localASN").number(1, math.MaxUint32); ok {
		p.MyASN = n
		instance.child("localASN").withItem(f.item).markMapped("myASN")
	}
	readPeerASN(f.child("peerASN"), p)
	p.PeerAddress = canonicalAddress(f.child("peerAddress").text())
	f.child("peerAddress").markMapped("peerAddress")
	f.child("autoDiscovery").markUnmapped("lbstack finds routers only by their router advertisements on an interface: set peerAddress or interface")
	if !nodes.isEmpty() {
		p.NodeSelectors = []metav1.LabelSelector{objectSelectorKeys.readSelector(nodes.withItem(f.item), "nodeSelectors")}
	}
	if override != nil {
		override.apply(p, f.item)
	}
	return in.readPeerConfig(f.child("peerConfigRef"), p)
}

// readPeerASN reads the autonomous system of a router. In Cilium, 0 means any autonomous system. A stack has
// no such value, and addPeer refuses the peer.
func readPeerASN(f field, p *v1beta1.BGPPeerSpec) {
	if n, ok := f.number(0, math.MaxUint32); ok {
		p.PeerASN = n
		f.markMapped("peerASN")
	}
}

// readPeerConfig reads the CiliumBGPPeerConfig of a peer, which several peers can share. It returns the selectors of its
// advertisements for each family.
func (in *importer) readPeerConfig(ref field, p *v1beta1.BGPPeerSpec) map[lb.Family]labels.Selector {
	for _, key := range []string{"group", "kind"} {
		ref.child(key).markIgnored(ignoredName)
	}
	i := slices.IndexFunc(in.peerConfigs, func(o *sourceObject) bool { return o.name == ref.child("name").text() })
	if i < 0 {
		ref.child("name").markUnmapped("the CiliumBGPPeerConfig is not in the input: import it as well")
		return nil
	}
	ref.child("name").markMapped("name")
	spec := in.peerConfigs[i].rootField().child("spec").withItem("spec." + listBGPPeers + "[]")
	transport := spec.child("transport")
	ciliumSession{
		timers: spec.child("timers"), peerPort: transport.child("peerPort"), multihop: spec.child("ebgpMultihop"), restart: spec.child("gracefulRestart"), secret: spec.child("authSecretRef"),
	}.read(p)
	transport.child("sourceInterface").markUnmapped("lbstack connects from the address that the node's routes select: set sourceAddress if the router expects another address")
	transport.child("localPort").markUnmapped(noLocalPortReason)
	return readFamilySelectors(spec.child("families"))
}

// ciliumSession has the fields of a session. Their names and places differ between CiliumBGPPeerConfig and CiliumBGPPeeringPolicy.
type ciliumSession struct {
	// timers has the fields holdTimeSeconds, keepAliveTimeSeconds and connectRetryTimeSeconds.
	timers                              field
	peerPort, multihop, restart, secret field
}

// ciliumHoldSeconds is Cilium's default hold time in seconds.
const ciliumHoldSeconds = 90

// read stores the fields in p. The caller has already set both ASNs of p.
func (s ciliumSession) read(p *v1beta1.BGPPeerSpec) {
	number := func(f field, target string, least, most int64) int32 {
		n, ok := f.number(least, most)
		if ok {
			f.markMapped(target)
		}
		return int32(n)
	}
	if hold := number(s.timers.child("holdTimeSeconds"), "holdTimeSeconds", 3, math.MaxUint16); hold != 0 {
		p.HoldTimeSeconds = &hold
	}
	p.KeepaliveTimeSeconds = number(s.timers.child("keepAliveTimeSeconds"), "keepaliveTimeSeconds", 1, math.MaxUint16)
	p.ConnectRetrySeconds = number(s.timers.child("connectRetryTimeSeconds"), "connectRetrySeconds", 1, math.MaxUint16)
	if p.HoldTimeSeconds == nil && p.KeepaliveTimeSeconds != 0 {
		p.HoldTimeSeconds = new(int32(ciliumHoldSeconds)) // the keepalive time may exceed lbstack's default hold time
	}
	p.PeerPort = number(s.peerPort, "peerPort", 1, math.MaxUint16)
	if hops, ok := s.multihop.number(1, 255); ok {
		if p.PeerASN == p.MyASN {
			s.multihop.markIgnored("Cilium ignores it for a router in the autonomous system of the nodes")
		}
		p.EBGPMultiHop = hops > 1 && p.PeerASN != p.MyASN
		s.multihop.markMapped("ebgpMultiHop")
	}
	if s.restart.child("enabled").flag() {
		p.GracefulRestart = &v1beta1.BGPGracefulRestart{RestartTimeSeconds: number(s.restart.child("restartTimeSeconds"), "gracefulRestart.restartTimeSeconds", 1, 4095)}
		s.restart.child("enabled").markMapped("gracefulRestart")
	} else {
		s.restart.markIgnored("is off")
	}
	if name := s.secret.text(); name != "" && len(name) <= maxObjectNameLength {
		p.PasswordSecret = &v1beta1.PasswordSecret{Name: name}
		s.secret.markChanged("passwordSecret.name", "the Secret must be of type kubernetes.io/basic-auth in the namespace of lbstack (lbstack-system): copy it there")
	}
}
