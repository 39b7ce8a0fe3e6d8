package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// configMap maps MetalLB's configuration before 0.13, a YAML document in a ConfigMap.
func (in *importer) configMap(data field) {
	config := data.at("config")
	switch _, isText := config.value.(string); {
	case !isMetalLBConfig(config.o):
		data.ignore(isOther)
		return
	case in.survey.current:
		config.refuse("the input has objects of MetalLB 0.13 or later as well, and these versions do not read this ConfigMap: remove it from the input, or the objects if MetalLB is older")
		return
	case isText:
		config.unmapped("it is no YAML that can be read, or has a key twice: correct it and import again")
		return
	}
	in.aliases(config.at("bgp-communities"))
	for i, f := range config.at("bfd-profiles").items() {
		name := itemName(f, "profile", i)
		f.at("name").ignore(isName)
		in.renamed(f.at("name"), bfdProfiles, name)
		in.profile(f, f, configMapProfile, name)
	}
	for i, f := range config.at("peers").items() {
		in.peer(f, f, configMapPeer, fmt.Sprintf("peer-%d", i+1))
	}
	for i, f := range config.at("address-pools").items() {
		name := itemName(f, "pool", i)
		f.at("name").ignore(isName)
		in.renamed(f.at("name"), pools, name)
		in.oldPool(f, f, configMapPool, name)
	}
	config.at("peer-autodiscovery").unmapped("lbstack reads no peers from labels and annotations of nodes: list them in spec.bgpPeers, with nodeSelectors for the nodes that have each")
}

// configKeys are the top-level keys of MetalLB's configuration before 0.13.
var configKeys = []string{"address-pools", "peers", "bgp-communities", "bfd-profiles", "peer-autodiscovery"}

// isMetalLBConfig reports whether an object is a ConfigMap with the configuration of MetalLB before 0.13. This includes text that
// cannot be parsed, if it has a key of the configuration or is in the namespace metallb-system.
func isMetalLBConfig(o *source) bool {
	config := o.root().at("data").at("config")
	if o.group != "" || o.kind != "ConfigMap" || !config.has() {
		return false
	}
	if text, isText := config.value.(string); isText {
		return o.namespace == "metallb-system" || slices.ContainsFunc(configKeys, func(key string) bool { return strings.Contains(text, key+":") })
	}
	return slices.ContainsFunc(config.keys(), func(key string) bool { return slices.Contains(configKeys, key) })
}

// itemName returns the name of an item. An item without a name gets one from its position in the list.
func itemName(f field, what string, i int) string {
	if name := f.at("name").text(); name != "" {
		return name
	}
	return fmt.Sprintf("%s-%d", what, i+1)
}

// poolKeys are the keys of the fields of a pool that has a protocol, in one format.
type poolKeys struct {
	autoAssign, avoidBuggy, advertisements string
	attributes                             attributeKeys
}

var (
	objectPool    = poolKeys{"autoAssign", "avoidBuggyIPs", "bgpAdvertisements", objectAttributes}
	configMapPool = poolKeys{"auto-assign", "avoid-buggy-ips", "bgp-advertisements", configMapAttributes}
)

// oldPool maps a pool that has a protocol to a pool and its advertisements.
func (in *importer) oldPool(from, spec field, k poolKeys, original string) {
	name := in.names.of(pools, original)
	spec = spec.into(itemPath(pools, name))
	p := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
	p.Addresses = addresses(spec.at("addresses"))
	if auto := spec.at(k.autoAssign); auto.has() {
		v := auto.flag()
		auto.mapped("autoAssign")
		p.AutoAssign = &v
	}
	p.AvoidBuggyIPs = spec.at(k.avoidBuggy).flag()
	spec.at(k.avoidBuggy).mapped("avoidBuggyIPs")
	if !in.addPool(from, p) {
		return
	}
	switch protocol := spec.at("protocol"); protocol.text() {
	case "layer2", "arp":
		if len(in.survey.excluded) > 0 {
			protocol.unmapped("the addresses are not announced: the advertisement is left out: " + excludedHere)
			return
		}
		protocol.into(itemPath(l2Advertisements, in.names.of(l2Advertisements, original))).mapped("ipAddressPools")
		a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(in.names.of(l2Advertisements, original))}
		a.IPAddressPools = []v1beta1.ObjectName{p.Name}
		in.addL2(protocol, a)
		spec.at(k.advertisements).unmapped("a pool of layer 2 has no advertisements of BGP")
	case "bgp":
		in.oldAdvertisements(spec, k, original, p.Name)
	default:
		protocol.unmapped("it is neither layer2 nor bgp: the pool is not announced before an item of spec.l2Advertisements or spec.bgpAdvertisements does")
	}
}

// oldAdvertisements maps the BGP advertisements in a pool. If it has none, MetalLB announces each address as a route of its own.
func (in *importer) oldAdvertisements(spec field, k poolKeys, original string, pool v1beta1.ObjectName) {
	list, protocol := spec.at(k.advertisements).items(), spec.at("protocol")
	add := func(from field, name string, read func(field, *v1beta1.BGPAdvertisementSpec) error) {
		name = in.names.of(bgpAdvertisements, name)
		from = from.into(itemPath(bgpAdvertisements, name))
		protocol.into(from.item).mapped("ipAddressPools")
		a := v1beta1.StackBGPAdvertisement{Name: v1beta1.ObjectName(name)}
		a.IPAddressPools = []v1beta1.ObjectName{pool}
		if err := read(from, &a.BGPAdvertisementSpec); err != nil {
			from.refuse("the advertisement is left out: " + err.Error())
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
		if f.empty() {
			f.into(itemPath(bgpAdvertisements, in.names.of(bgpAdvertisements, name))).mapped("ipAddressPools")
		}
		add(f, name, func(f field, a *v1beta1.BGPAdvertisementSpec) error { return in.attributes(f, k.attributes, a) })
	}
}
