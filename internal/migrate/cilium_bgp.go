package migrate

import (
	"fmt"
	"math"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// ciliumPeer is a peer of the stack, with the selectors of the CiliumBGPAdvertisements for it.
type ciliumPeer struct {
	name           v1beta1.ObjectName
	advertisements []labels.Selector
}

// mapCiliumCluster maps the peers of a CiliumBGPClusterConfig.
func (in *importer) mapCiliumCluster(o *sourceObject, root field) {
	spec := root.at("spec")
	for _, instance := range spec.at("bgpInstances").items() {
		instance.at("name").markIgnored(ignoredName)
		if port := instance.at("localPort"); port.has() {
			port.markUnmapped("the nodes connect to the router and do not listen, unless a peer has passiveMode; then on port 179")
		}
		for _, f := range instance.at("peers").items() {
			name := in.names.nameOf(listBGPPeers, o.name+"-"+instance.at("name").text()+"-"+f.at("name").text())
			f = f.setItem(itemPath(listBGPPeers, name))
			f.at("name").markIgnored(ignoredName)
			p := v1beta1.StackBGPPeer{Name: v1beta1.ObjectName(name)}
			asn := func(f field, target string, to *int64) {
				if n, ok := f.at(target).number(0, math.MaxUint32); ok {
					*to = n
					f.at(target).markMapped(target)
				}
			}
			if n, ok := instance.at("localASN").number(1, math.MaxUint32); ok {
				p.MyASN = n
				instance.at("localASN").setItem(f.item).markMapped("myASN")
			}
			asn(f, "peerASN", &p.PeerASN)
			p.PeerAddress = canonicalAddress(f.at("peerAddress").text())
			f.at("peerAddress").markMapped("peerAddress")
			f.at("autoDiscovery").markUnmapped("lbstack finds routers by their router advertisements only: set peerAddress, or interface in place of it")
			if n := spec.at("nodeSelector"); n.has() && !n.isEmpty() {
				p.NodeSelectors = []metav1.LabelSelector{objectSelectorKeys.readSelector(n.setItem(f.item), "nodeSelectors")}
			}
			advertisements := in.mapPeerConfig(f.at("peerConfigRef"), &p.BGPPeerSpec)
			if in.addPeer(f, p) {
				in.ciliumPeers = append(in.ciliumPeers, ciliumPeer{p.Name, advertisements})
			}
		}
	}
}

// mapPeerConfig maps a CiliumBGPPeerConfig, which several peers can share, and returns the selectors of its
// advertisements.
func (in *importer) mapPeerConfig(ref field, p *v1beta1.BGPPeerSpec) (advertisements []labels.Selector) {
	for _, key := range []string{"group", "kind"} {
		ref.at(key).markIgnored(ignoredName)
	}
	i := slices.IndexFunc(in.peerConfigs, func(o *sourceObject) bool { return o.name == ref.at("name").text() })
	if i < 0 {
		ref.at("name").markUnmapped("the CiliumBGPPeerConfig is not in the input: import it as well")
		return nil
	}
	ref.at("name").markMapped("name")
	spec := in.peerConfigs[i].rootField().at("spec").setItem("spec." + listBGPPeers + "[]")
	seconds := func(f field, key, target string, least, most int64) int32 {
		n, ok := f.at(key).number(least, most)
		if ok {
			f.at(key).markMapped(target)
		}
		return int32(n)
	}
	timers := spec.at("timers")
	if hold := seconds(timers, "holdTimeSeconds", "holdTimeSeconds", 3, math.MaxUint16); hold != 0 {
		p.HoldTimeSeconds = &hold
	}
	p.KeepaliveTimeSeconds = seconds(timers, "keepAliveTimeSeconds", "keepaliveTimeSeconds", 1, math.MaxUint16)
	p.ConnectRetrySeconds = seconds(timers, "connectRetryTimeSeconds", "connectRetrySeconds", 1, math.MaxUint16)
	if p.HoldTimeSeconds == nil && p.KeepaliveTimeSeconds != 0 {
		hold := min(3*p.KeepaliveTimeSeconds, math.MaxUint16)
		p.HoldTimeSeconds = &hold
	}
	p.PeerPort = seconds(spec.at("transport"), "peerPort", "peerPort", 1, math.MaxUint16)
	spec.at("transport").at("sourceInterface").markUnmapped("a session is from the address that the routes of the node give, or from sourceAddress")
	spec.at("transport").at("localPort").markUnmapped("the nodes connect to the router and do not listen, unless a peer has passiveMode; then on port 179")
	if hops, ok := spec.at("ebgpMultihop").number(1, 255); ok {
		p.EBGPMultiHop = hops > 1
		spec.at("ebgpMultihop").markMapped("ebgpMultiHop")
	}
	if restart := spec.at("gracefulRestart"); restart.at("enabled").flag() {
		p.GracefulRestart = &v1beta1.BGPGracefulRestart{RestartTimeSeconds: seconds(restart, "restartTimeSeconds", "gracefulRestart.restartTimeSeconds", 1, 4095)}
		restart.at("enabled").markMapped("gracefulRestart")
	} else {
		restart.markIgnored("is off")
	}
	if secret := spec.at("authSecretRef"); secret.text() != "" && len(secret.text()) <= maxObjectName {
		p.PasswordSecret = &v1beta1.PasswordSecret{Name: secret.text()}
		secret.markChanged("passwordSecret.name", "the Secret must be of type kubernetes.io/basic-auth in the namespace of lbstack (lbstack-system): copy it there")
	}
	return in.mapFamilies(spec.at("families"), p)
}

// mapFamilies maps the address families of a session, and returns the selectors of the advertisements of all families.
func (in *importer) mapFamilies(list field, p *v1beta1.BGPPeerSpec) (advertisements []labels.Selector) {
	seen := map[string]bool{}
	for _, f := range list.items() {
		if seen[f.at("afi").text()] = true; f.at("safi").text() != "unicast" {
			f.at("safi").markUnmapped("lbstack announces unicast routes only")
		}
		for _, key := range []string{"afi", "safi"} {
			f.at(key).markMapped("dualStackAddressFamily")
		}
		s := objectSelectorKeys.readSelector(f.at("advertisements"), "name")
		if selector, err := metav1.LabelSelectorAsSelector(&s); err == nil && f.at("advertisements").has() {
			advertisements = append(advertisements, selector)
		}
	}
	p.DualStackAddressFamily = seen["ipv4"] && seen["ipv6"]
	return advertisements
}

// mapCiliumAdvertisements maps the items of a CiliumBGPAdvertisement for the peers whose families select it.
func (in *importer) mapCiliumAdvertisements(o *sourceObject, root field) {
	set := root.at("metadata").at("labels")
	var peers []v1beta1.ObjectName
	for _, p := range in.ciliumPeers {
		own := labels.Set{}
		for _, key := range set.keys() {
			own[key] = set.at(key).text()
		}
		if slices.ContainsFunc(p.advertisements, func(s labels.Selector) bool { return s.Matches(own) }) {
			peers = append(peers, p.name)
		}
	}
	for i, f := range root.at("spec").at("advertisements").items() {
		if len(peers) == 0 || len(peers) > maxReferences {
			f.markRefused("no peer of the input gets it: import the CiliumBGPClusterConfig and the CiliumBGPPeerConfig whose families select it")
			continue
		}
		name := in.names.nameOf(listBGPAdvertisements, fmt.Sprintf("%s-%d", o.name, i+1))
		f = f.setItem(itemPath(listBGPAdvertisements, name))
		a := v1beta1.StackBGPAdvertisement{Name: v1beta1.ObjectName(name)}
		a.Peers = peers
		if problem := in.readCiliumAdvertisement(f, &a.BGPAdvertisementSpec); problem != "" {
			f.markRefused("the advertisement is left out: " + problem)
			continue
		}
		in.addBGPAdvertisement(f, a)
	}
}

func (in *importer) readCiliumAdvertisement(f field, a *v1beta1.BGPAdvertisementSpec) (problem string) {
	service, found := f.at("service"), false
	for _, kind := range service.at("addresses").items() {
		if kind.text() == "LoadBalancerIP" {
			found = true
			kind.markMapped("name")
			continue
		}
		kind.markUnmapped("lbstack announces addresses that it has given, and no " + kind.text())
	}
	selector := f.at("selector")
	switch {
	case f.at("advertisementType").text() != "Service" || !found:
		return "it is not about addresses of load balancers, and a stack announces nothing else"
	case !selector.has():
		return "it has no selector, and so selects no Service in Cilium either"
	}
	f.at("advertisementType").markMapped("name")
	if selector.isEmpty() {
		selector.markMapped("name")
	} else {
		services, namespaces, problem := ciliumSelector(selector, "serviceSelectors")
		if problem != "" {
			return problem
		}
		if services != nil {
			a.ServiceSelectors = []metav1.LabelSelector{*services}
		}
		if namespaces != nil {
			a.NamespaceSelectors = []metav1.LabelSelector{*namespaces}
		}
	}
	attributes := f.at("attributes")
	if n, ok := attributes.at("localPreference").number(0, math.MaxUint32); ok {
		a.LocalPref = &n
		attributes.at("localPreference").markMapped("localPref")
	}
	for _, key := range []string{"standard", "wellKnown", "large"} {
		prefix := map[string]string{"large": "large:"}[key]
		for _, c := range attributes.at("communities").at(key).items() {
			reference, err := in.communityReference(prefix + c.text())
			if err != nil {
				c.markUnmapped("it is left out: write it as 65000:100: " + err.Error())
				continue
			}
			if len(a.Communities) == maxAdCommunities {
				c.markUnmapped(fmt.Sprintf("it is left out: an advertisement can have %d communities: make it two", maxAdCommunities))
				continue
			}
			c.markMapped("communities")
			if !slices.Contains(a.Communities, v1beta1.CommunityReference(reference)) {
				a.Communities = append(a.Communities, v1beta1.CommunityReference(reference))
			}
		}
	}
	slices.Sort(a.Communities)
	for key, to := range map[string]*int32{"aggregationLengthIPv4": &a.AggregationLength, "aggregationLengthIPv6": &a.AggregationLengthV6} {
		most := map[string]int64{"aggregationLengthIPv4": 32, "aggregationLengthIPv6": 128}[key]
		if n, ok := service.at(key).number(1, most); ok {
			if service.at(key).markMapped("aggregationLength"); n != most {
				*to = int32(n)
			}
		}
	}
	return ""
}
