package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// mapConfigMap maps MetalLB's configuration before 0.13, a YAML document in a ConfigMap.
func (in *importer) mapConfigMap(data field) {
	config := data.child("config")
	switch _, isText := config.value.(string); {
	case !isMetalLBConfig(config.o):
		data.markIgnored(ignoredOther)
		return
	case in.survey.current:
		config.markRefused("the input also has objects of MetalLB 0.13 or later, and these versions do not read this ConfigMap: remove the ConfigMap from the input, or remove the objects if MetalLB is older")
		return
	case isText:
		config.markUnmapped("this text is not valid YAML, or a map in it has a key twice: correct it and import again")
		return
	}
	in.mapAliases(config.child("bgp-communities"))
	for i, f := range config.child("bfd-profiles").items() {
		name := itemName(f, "profile", i)
		f.child("name").markIgnored(ignoredName)
		in.reportRename(f.child("name"), listBFDProfiles, name)
		in.mapProfile(f, f, configMapProfileKeys, name)
	}
	for i, f := range config.child("peers").items() {
		in.mapPeer(f, f, configMapPeerKeys, fmt.Sprintf("peer-%d", i+1))
	}
	for i, f := range config.child("address-pools").items() {
		name := itemName(f, "pool", i)
		f.child("name").markIgnored(ignoredName)
		in.reportRename(f.child("name"), listPools, name)
		in.mapOldPool(f, f, configMapPoolKeys, name)
	}
	config.child("peer-autodiscovery").markUnmapped("lbstack reads no peers from labels and annotations of nodes: list the peers in spec.bgpPeers, each with nodeSelectors for its nodes")
}

// configKeys are the top-level keys of MetalLB's configuration before 0.13.
var configKeys = []string{"address-pools", "peers", "bgp-communities", "bfd-profiles", "peer-autodiscovery"}

// isMetalLBConfig reports whether an object is a ConfigMap with the configuration of MetalLB before 0.13. A
// ConfigMap whose text cannot be parsed counts if the text has a key of the configuration, or if the
// ConfigMap is in the namespace metallb-system.
func isMetalLBConfig(o *sourceObject) bool {
	config := o.rootField().child("data").child("config")
	if o.group != "" || o.kind != "ConfigMap" || !config.hasValue() {
		return false
	}
	if text, isText := config.value.(string); isText {
		return o.namespace == "metallb-system" || slices.ContainsFunc(configKeys, func(key string) bool { return strings.Contains(text, key+":") })
	}
	return slices.ContainsFunc(config.keys(), func(key string) bool { return slices.Contains(configKeys, key) })
}

// itemName returns the name of an item, or a name from its position in the list if it has none.
func itemName(f field, what string, i int) string {
	if name := f.child("name").text(); name != "" {
		return name
	}
	return fmt.Sprintf("%s-%d", what, i+1)
}

// poolKeys are the names of the fields of a pool with the field protocol, in one of the input formats.
type poolKeys struct {
	autoAssign, avoidBuggy, advertisements string
	attributes                             attributeKeys
}

var (
	objectPoolKeys    = poolKeys{"autoAssign", "avoidBuggyIPs", "bgpAdvertisements", objectAttributeKeys}
	configMapPoolKeys = poolKeys{"auto-assign", "avoid-buggy-ips", "bgp-advertisements", configMapAttributeKeys}
)

// mapOldPool maps a pool with the field protocol to a pool and its advertisements.
func (in *importer) mapOldPool(from, spec field, k poolKeys, original string) {
	name := in.names.nameOf(listPools, original)
	spec = spec.withItem(itemPath(listPools, name))
	p := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
	p.Addresses = readAddresses(spec.child("addresses"))
	if auto := spec.child(k.autoAssign); auto.hasValue() {
		v := auto.flag()
		auto.markMapped("autoAssign")
		p.AutoAssign = &v
	}
	p.AvoidBuggyIPs = spec.child(k.avoidBuggy).flag()
	spec.child(k.avoidBuggy).markMapped("avoidBuggyIPs")
	if !in.addPool(from, p) {
		return
	}
	switch protocol := spec.child("protocol"); protocol.text() {
	case "layer2", "arp":
		if in.survey.hasCustomExclusions {
			protocol.markUnmapped("the addresses are not announced: the advertisement is left out: " + exclusionConflictReason)
			return
		}
		protocol.withItem(itemPath(listL2Advertisements, in.names.nameOf(listL2Advertisements, original))).markMapped("ipAddressPools")
		a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(in.names.nameOf(listL2Advertisements, original))}
		a.IPAddressPools = []v1beta1.ObjectName{p.Name}
		in.addL2(protocol, a)
		spec.child(k.advertisements).markUnmapped("a pool with the protocol layer2 has no BGP advertisements")
	case "bgp":
		in.mapOldAdvertisements(spec, k, original, p.Name)
	default:
		protocol.markUnmapped("this is neither layer2 nor bgp, so that nothing announces the pool: add an item to spec.l2Advertisements or spec.bgpAdvertisements")
	}
}

// mapOldAdvertisements maps the BGP advertisements in a pool. If the pool has none, MetalLB announces each address as its own
// route.
func (in *importer) mapOldAdvertisements(spec field, k poolKeys, original string, pool v1beta1.ObjectName) {
	list, protocol := spec.child(k.advertisements).items(), spec.child("protocol")
	add := func(from field, name string, read func(field, *v1beta1.BGPAdvertisementSpec) error) {
		name = in.names.nameOf(listBGPAdvertisements, name)
		from = from.withItem(itemPath(listBGPAdvertisements, name))
		protocol.withItem(from.item).markMapped("ipAddressPools")
		a := v1beta1.StackBGPAdvertisement{Name: v1beta1.ObjectName(name)}
		a.IPAddressPools = []v1beta1.ObjectName{pool}
		if err := read(from, &a.BGPAdvertisementSpec); err != nil {
			from.markRefused("the advertisement is left out: " + err.Error())
			return
		}
		in.addBGPAdvertisement(from, a)
	}
	if len(list) == 0 {
		add(protocol, original, func(field, *v1beta1.BGPAdvertisementSpec) error { return nil })
	}
	for i, f := range list {
		name := original
		if len(list) > 1 {
			name = fmt.Sprintf("%s-%d", original, i+1)
		}
		if f.isEmpty() {
			f.withItem(itemPath(listBGPAdvertisements, in.names.nameOf(listBGPAdvertisements, name))).markMapped("ipAddressPools")
		}
		add(f, name, func(f field, a *v1beta1.BGPAdvertisementSpec) error { return in.readAttributes(f, k.attributes, a) })
	}
}
