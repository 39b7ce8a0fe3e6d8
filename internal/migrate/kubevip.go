package migrate

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// The key prefixes of kube-vip-cloud-provider's ConfigMap. A namespace or "global" follows the prefix.
const (
	vipCIDR, vipRange, vipShare, vipInterface = "cidr-", "range-", "allow-share-", "interface-"
	vipGlobal                                 = "global"
)

// isKubeVIPConfig reports whether a ConfigMap is the one of kube-vip-cloud-provider.
func isKubeVIPConfig(name string, data field) bool {
	return name == "kubevip" || slices.ContainsFunc(data.keys(), func(key string) bool {
		return strings.HasPrefix(key, vipCIDR) || strings.HasPrefix(key, vipRange)
	})
}

// mapKubeVIP maps the pools of kube-vip. The ConfigMap does not say how addresses are announced.
func (in *importer) mapKubeVIP(data field) {
	skipEnds := data.child("skip-end-ips-in-cidr")
	for _, key := range data.keys() {
		f := data.child(key)
		switch {
		case strings.HasPrefix(key, vipCIDR):
			in.mapVIPPool(data, f, strings.TrimPrefix(key, vipCIDR))
		case strings.HasPrefix(key, vipRange):
			place := strings.TrimPrefix(key, vipRange)
			if data.child(vipCIDR+place).hasValue() || data.child(vipCIDR+vipGlobal).hasValue() {
				f.markIgnored("kube-vip does not use this range, since a key cidr- has precedence")
				continue
			}
			in.mapVIPPool(data, f, place)
		case strings.HasPrefix(key, vipShare) && f.text() == "true":
			f.markUnmapped("Services share an address only on request: give each of them the annotation " + v1beta1.AnnotationAllowSharedIP + " with the same value")
		case strings.HasPrefix(key, vipShare):
			f.markIgnored("Services share an address only on request")
		case key == "search-order" && f.text() == "desc":
			f.markUnmapped("lbstack gives the lowest free address first: for Services that are to keep their address, set it in the annotation " + v1beta1.AnnotationLoadBalancerIPs)
		case key == "search-order":
			f.markIgnored("lbstack gives the lowest free address first")
		case key == "kubevip-services":
			f.markIgnored(ignoredState)
		}
	}
	if skipEnds.text() != "true" {
		skipEnds.markIgnored("is off")
	}
}

// mapVIPPool maps the addresses for one namespace (place), or for all namespaces if place is "global".
func (in *importer) mapVIPPool(data, f field, place string) {
	if !isDNSLabel(place) {
		f.markUnmapped("no namespace can have this name")
		return
	}
	name := in.names.nameOf(listPools, place)
	f = f.withItem(itemPath(listPools, name))
	p := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
	skip := data.child("skip-end-ips-in-cidr")
	for _, text := range strings.Split(f.text(), ",") {
		text = strings.TrimSpace(text)
		parsed, err := apiconv.ParseRange(text)
		switch {
		case text == "0.0.0.0/32" || text == "0.0.0.0":
			f.markRefused("kube-vip gets these addresses by DHCP, and lbstack does not: reserve addresses at the DHCP server, and set them in spec.ipAddressPools")
			return
		case err != nil:
			f.markRefused("correct it and import again: " + err.Error())
			return
		}
		if !strings.Contains(text, "/") {
			text = parsed.String()
		} else if skip.text() == "true" && parsed.Size().Cmp(big.NewInt(2)) > 0 {
			for _, end := range []string{parsed.First.String(), parsed.Last.String()} {
				if !slices.Contains(p.ExcludeAddresses, v1beta1.AddressRange(end)) {
					p.ExcludeAddresses = append(p.ExcludeAddresses, v1beta1.AddressRange(end))
				}
			}
			skip.withItem(f.item).markMapped("excludeAddresses")
		}
		if !slices.Contains(p.Addresses, v1beta1.AddressRange(text)) {
			p.Addresses = append(p.Addresses, v1beta1.AddressRange(text))
		}
	}
	if len(p.Addresses) > maxAddresses || len(p.ExcludeAddresses) > maxAddresses {
		f.markRefused(fmt.Sprintf("a pool can have at most %d addresses and ranges: split the pool into two", maxAddresses))
		return
	}
	f.markMapped("addresses")
	if place != vipGlobal {
		p.ServiceAllocation = &v1beta1.ServiceAllocation{Namespaces: []v1beta1.ObjectName{v1beta1.ObjectName(place)}}
		if data.child(vipCIDR+vipGlobal).hasValue() || data.child(vipRange+vipGlobal).hasValue() {
			f.markChanged("addresses", "when the pool is full, a Service of the namespace gets an address of the pool for all namespaces; in kube-vip the Service waits")
		}
	}
	if in.addPool(f, p) {
		in.addVIPAdvertisement(data, f, place, p.Name)
	}
}

// addVIPAdvertisement adds an L2Advertisement for a pool. If the ConfigMap names an interface, the
// advertisement is for this interface, otherwise for all interfaces.
func (in *importer) addVIPAdvertisement(data, from field, place string, pool v1beta1.ObjectName) {
	name := in.names.nameOf(listL2Advertisements, place)
	a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(name)}
	a.IPAddressPools = []v1beta1.ObjectName{pool}
	at := data.child(vipInterface + place)
	if !at.hasValue() {
		at = data.child(vipInterface + vipGlobal)
	}
	if at.hasValue() {
		if !isInterface(at.text()) {
			at.markUnmapped("no interface can have this name, so that nothing announces the addresses of " + place)
			return
		}
		a.Interfaces = []v1beta1.InterfaceName{v1beta1.InterfaceName(at.text())}
		at.withItem(itemPath(listL2Advertisements, name)).markMapped("interfaces")
	}
	in.addL2(from, a)
	in.vip = true
}
