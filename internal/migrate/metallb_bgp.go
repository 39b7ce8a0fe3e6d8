package migrate

import (
	"fmt"
	"math"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// mapBGPAdvertisement maps a BGPAdvertisement.
func (in *importer) mapBGPAdvertisement(o *sourceObject, root field) {
	name := in.names.nameOf(listBGPAdvertisements, o.name)
	spec := root.child("spec").withItem(itemPath(listBGPAdvertisements, name))
	s, err := in.readAdSelectors(spec)
	a := v1beta1.StackBGPAdvertisement{Name: v1beta1.ObjectName(name)}
	a.IPAddressPools, a.IPAddressPoolSelectors, a.NodeSelectors, a.ServiceSelectors = s.pools, s.poolSelectors, s.nodeSelectors, s.svcSelectors
	if err == nil {
		a.Peers, err = in.readReferences(spec.child("peers"), listBGPPeers)
	}
	if err == nil {
		err = in.readAttributes(spec, objectAttributeKeys, &a.BGPAdvertisementSpec)
	}
	if err != nil {
		root.markRefused("the advertisement is left out: " + err.Error())
		return
	}
	in.addBGPAdvertisement(root, a)
}

// attributeKeys are the names of the fields for route attributes in one of the input formats.
type attributeKeys struct{ length, lengthV6, localPref string }

var (
	objectAttributeKeys    = attributeKeys{"aggregationLength", "aggregationLengthV6", "localPref"}
	configMapAttributeKeys = attributeKeys{"aggregation-length", "aggregation-length-v6", "localpref"}
)

// readAttributes reads the attributes of routes.
func (in *importer) readAttributes(f field, k attributeKeys, a *v1beta1.BGPAdvertisementSpec) error {
	for key, to := range map[string]*int32{k.length: &a.AggregationLength, k.lengthV6: &a.AggregationLengthV6} {
		most, target := int64(32), "aggregationLength"
		if key == k.lengthV6 {
			most, target = 128, "aggregationLengthV6"
		}
		n, ok := f.child(key).number(1, most)
		if f.child(key).hasValue() && !ok {
			return fmt.Errorf("%s must be a number from 1 to %d", key, most)
		}
		if f.child(key).markMapped(target); ok && n != most {
			*to = int32(n)
		}
	}
	if n, ok := f.child(k.localPref).number(0, math.MaxUint32); ok {
		if f.child(k.localPref).markMapped("localPref"); n != 0 { // in MetalLB 0 means unset
			a.LocalPref = &n
		}
	}
	return in.readCommunities(f.child("communities"), a)
}

// readCommunities reads the communities of routes. It is an error if a stack cannot have one of the
// communities: without a community such as no-export, routers would propagate the routes further than with
// MetalLB.
func (in *importer) readCommunities(list field, a *v1beta1.BGPAdvertisementSpec) (err error) {
	different := map[string]bool{}
	for _, item := range list.items() {
		reference, problem := in.communityReference(item.text())
		if different[reference] = true; problem != nil {
			return fmt.Errorf("%s: %w", item.path, problem)
		}
	}
	if len(different) > maxAdvertisementCommunities {
		return fmt.Errorf("%s has %d items, but can have at most %d", list.path, len(different), maxAdvertisementCommunities)
	}
	a.Communities = readItems(list, "communities", maxAdvertisementCommunities, func(f field) (v1beta1.CommunityReference, bool) {
		reference, err := in.communityReference(f.text())
		return v1beta1.CommunityReference(reference), err == nil
	})
	return nil
}

// communityReference returns a community as lbstack prints it, or the name of an alias. If a stack cannot have this name, it
// returns the value of the alias.
func (in *importer) communityReference(text string) (string, error) {
	if value, ok := in.values[text]; ok {
		return value, nil
	}
	if strings.Contains(text, ":") {
		c, err := apiconv.ParseCommunity(text)
		if err != nil {
			return "", err
		}
		return c.String(), nil
	}
	if !aliasPattern.MatchString(text) || len(text) > maxNameLength {
		return "", fmt.Errorf("%q is neither a community nor the name of one", text)
	}
	return text, nil
}

var (
	objectProfileKeys    = profileKeys{"receiveInterval", "transmitInterval", "detectMultiplier", "echoInterval", "echoMode", "passiveMode", "minimumTtl"}
	configMapProfileKeys = profileKeys{"receive-interval", "transmit-interval", "detect-multiplier", "echo-interval", "echo-mode", "passive-mode", "minimum-ttl"}
)

// profileKeys are the names of a BFD profile's fields in one of the input formats.
type profileKeys struct{ receive, transmit, multiplier, echo, echoMode, passive, ttl string }

// mapProfile maps a BFD profile.
func (in *importer) mapProfile(from, spec field, k profileKeys, original string) {
	name := in.names.nameOf(listBFDProfiles, original)
	spec = spec.withItem(itemPath(listBFDProfiles, name))
	p := v1beta1.StackBFDProfile{Name: v1beta1.ObjectName(name)}
	for _, n := range []struct {
		key, target string
		least, most int64
		to          *int32
	}{
		{k.receive, "receiveIntervalMilliseconds", 10, 60000, &p.ReceiveIntervalMilliseconds},
		{k.transmit, "transmitIntervalMilliseconds", 10, 60000, &p.TransmitIntervalMilliseconds},
		{k.multiplier, "detectMultiplier", 2, 255, &p.DetectMultiplier},
		{k.ttl, "minimumTTL", 1, 254, &p.MinimumTTL},
	} {
		if v, ok := spec.child(n.key).number(n.least, n.most); ok {
			*n.to = int32(v)
			spec.child(n.key).markMapped(n.target)
		}
	}
	p.PassiveMode = spec.child(k.passive).flag()
	spec.child(k.passive).markMapped("passiveMode")
	if spec.child(k.echoMode).flag() {
		spec.child(k.echoMode).markUnmapped("lbstack sends no echo packets: how soon a lost path is noticed depends on transmitIntervalMilliseconds and receiveIntervalMilliseconds")
		spec.child(k.echo).markUnmapped("lbstack sends no echo packets")
	}
	spec.child(k.echoMode).markIgnored("is off")
	spec.child(k.echo).markIgnored("has no effect without echo mode")
	in.addProfile(from, p)
}

// peerKeys are the names of a peer's fields in one of the input formats.
type peerKeys struct {
	myASN, peerASN, address, source, port, hold, keepalive, routerID, nodeSelectors, bfdProfile, multihop string
	selectors                                                                                             selectorKeys
	// zeroIsUnset means that a timer of 0 counts as not set, as in MetalLB 0.13.
	zeroIsUnset bool
}

var objectPeerKeys = peerKeys{"myASN", "peerASN", "peerAddress", "sourceAddress", "peerPort", "holdTime", "keepaliveTime", "routerID", "nodeSelectors", "bfdProfile", "ebgpMultiHop", objectSelectorKeys, true}

var configMapPeerKeys = peerKeys{"my-asn", "peer-asn", "peer-address", "source-address", "peer-port", "hold-time", "keepalive-time", "router-id", "node-selectors", "bfd-profile", "ebgp-multihop", configMapSelectorKeys, false}

// mapPeer maps a router.
func (in *importer) mapPeer(from, spec field, k peerKeys, original string) {
	name := in.names.nameOf(listBGPPeers, original)
	spec = spec.withItem(itemPath(listBGPPeers, name))
	p := v1beta1.StackBGPPeer{Name: v1beta1.ObjectName(name)}
	text := func(key, target string) string {
		spec.child(key).markMapped(target)
		return strings.TrimSpace(spec.child(key).text())
	}
	flag := func(key, target string) bool { spec.child(key).markMapped(target); return spec.child(key).flag() }
	number := func(key, target string, least, most int64) int64 {
		n, ok := spec.child(key).number(least, most)
		if ok {
			spec.child(key).markMapped(target)
		}
		return n
	}
	p.MyASN = number(k.myASN, "myASN", 1, math.MaxUint32)
	p.PeerASN = number(k.peerASN, "peerASN", 0, math.MaxUint32)
	p.PeerAddress = canonicalAddress(text(k.address, "peerAddress"))
	p.SourceAddress = canonicalAddress(text(k.source, "sourceAddress"))
	p.PeerPort = int32(number(k.port, "peerPort", 0, math.MaxUint16))
	p.RouterID = canonicalAddress(text(k.routerID, "routerID"))
	p.EBGPMultiHop = flag(k.multihop, "ebgpMultiHop")
	if profile := text(k.bfdProfile, "bfdProfile"); profile != "" {
		p.BFDProfile = v1beta1.ObjectName(in.names.nameOf(listBFDProfiles, profile))
	}
	in.readTimers(spec, k, &p.BGPPeerSpec)
	in.readPassword(spec, name, &p.BGPPeerSpec)
	var err error
	if k.selectors == objectSelectorKeys {
		err = in.readObjectPeer(spec, &p.BGPPeerSpec)
	}
	if err == nil {
		p.NodeSelectors, err = k.selectors.readSelectors(spec.child(k.nodeSelectors), "nodeSelectors")
	}
	if err != nil {
		from.markRefused("the peer is left out: " + err.Error())
		return
	}
	in.addPeer(from, p)
}

// canonicalAddress returns an address as lbstack prints it. It returns any other text unchanged; addPeer then refuses the peer.
func canonicalAddress(text string) string {
	if a, err := apiconv.ParseAddress(text); err == nil {
		return a.String()
	}
	return text
}

// readObjectPeer reads the fields that only BGPPeer objects have, not the peers of the ConfigMap.
func (in *importer) readObjectPeer(spec field, p *v1beta1.BGPPeerSpec) error {
	const dropped = "MetalLB's default mode (frr-k8s) ignores this field, and lbstack uses it: remove the field from the stack if the sessions worked without it"
	if n, ok := spec.child("localASN").number(0, math.MaxUint32); ok && n != 0 {
		p.LocalASN = n
		spec.child("localASN").markChanged("localASN", dropped)
	}
	if p.SourceAddress != "" {
		spec.child("sourceAddress").markChanged("sourceAddress", dropped)
	}
	switch asn := spec.child("dynamicASN"); asn.text() {
	case "internal":
		p.DynamicASN = v1beta1.DynamicASNInternal
		asn.markMapped("dynamicASN")
	case "external":
		p.DynamicASN = v1beta1.DynamicASNExternal
		asn.markMapped("dynamicASN")
	}
	for key, to := range map[string]*v1beta1.InterfaceName{"interface": &p.Interface, "vrf": &p.VRF} {
		*to = v1beta1.InterfaceName(spec.child(key).text())
		spec.child(key).markMapped(key)
		if *to != "" && !isInterface(string(*to)) {
			return fmt.Errorf("%s: %q is not a possible name of an interface", key, *to)
		}
	}
	p.DualStackAddressFamily = spec.child("dualStackAddressFamily").flag()
	spec.child("dualStackAddressFamily").markMapped("dualStackAddressFamily")
	in.readDisableMP(spec.child("disableMP"), p)
	if n, ok := spec.child("connectTime").seconds("connectRetrySeconds", 1, math.MaxUint16); ok {
		p.ConnectRetrySeconds = int32(n)
	}
	if restart := spec.child("enableGracefulRestart"); restart.flag() {
		p.GracefulRestart = &v1beta1.BGPGracefulRestart{}
		restart.markMapped("gracefulRestart")
	}
	spec.child("enableGracefulRestart").markIgnored("is off")
	return nil
}

// readDisableMP reads the field disableMP of MetalLB 0.14. If it is true, the session carries only routes of
// the family of its address. Since 0.15, MetalLB uses the field dualStackAddressFamily instead, as a stack
// does.
func (in *importer) readDisableMP(f field, p *v1beta1.BGPPeerSpec) {
	switch {
	case !f.flag():
		f.markIgnored("is off")
	case p.DualStackAddressFamily:
		f.markIgnored("has no effect in versions of MetalLB that have dualStackAddressFamily")
	default:
		in.oneFamily[f.item] = true
		f.markMapped("dualStackAddressFamily")
	}
}

// readTimers reads the hold time and the keepalive time. If only one is set, MetalLB derives the other: the
// hold time is three times the keepalive time. Since lbstack derives only the keepalive time, readTimers
// derives the hold time.
func (in *importer) readTimers(spec field, k peerKeys, p *v1beta1.BGPPeerSpec) {
	hold, hasHold := spec.child(k.hold).seconds("holdTimeSeconds", 0, math.MaxUint16)
	keepalive, hasKeepalive := spec.child(k.keepalive).seconds("keepaliveTimeSeconds", 0, math.MaxUint16)
	if k.zeroIsUnset && hasHold && hold == 0 {
		spec.child(k.hold).markChanged("holdTimeSeconds", "in MetalLB 0.13 0s means 90 s; in later versions the session never times out. The stack sets no hold time, which means 30 s: set holdTimeSeconds: 0 if the session is never to time out")
	}
	if k.zeroIsUnset {
		hasHold, hasKeepalive = hasHold && hold != 0, hasKeepalive && keepalive != 0
	}
	if !hasHold && hasKeepalive {
		hold, hasHold = min(3*keepalive, math.MaxUint16), true
	}
	if hasHold {
		n := int32(hold)
		p.HoldTimeSeconds = &n
	}
	if hasKeepalive {
		p.KeepaliveTimeSeconds = int32(keepalive)
	}
}

// maxObjectNameLength is the maximum length of the name of an object.
const maxObjectNameLength = 253

// readPassword sets the name of the Secret with the password of a peer. It reports that the user must create
// or copy this Secret, since a stack does not contain passwords.
func (in *importer) readPassword(spec field, name string, p *v1beta1.BGPPeerSpec) {
	const namespace = "the namespace of lbstack (lbstack-system)"
	if secret := spec.child("passwordSecret"); len(secret.child("name").text()) > maxObjectNameLength {
		secret.markUnmapped("no Secret can have this name")
	} else if secret.child("name").text() != "" {
		p.PasswordSecret = &v1beta1.PasswordSecret{Name: secret.child("name").text()}
		secret.child("name").markChanged("passwordSecret.name", "the Secret must be in "+namespace+": copy it there")
		secret.child("namespace").markIgnored("is the namespace of the other load balancer")
	}
	if password := spec.child("password"); password.text() != "" {
		p.PasswordSecret = &v1beta1.PasswordSecret{Name: name + "-password"}
		password.markChanged("passwordSecret.name", fmt.Sprintf("a stack has no passwords: create the Secret %s-password of type kubernetes.io/basic-auth in %s, with this password as its entry password", name, namespace))
	}
}
