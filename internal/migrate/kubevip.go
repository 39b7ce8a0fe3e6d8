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

// isKubeVIP reports whether a ConfigMap is the one of kube-vip-cloud-provider.
func isKubeVIP(name string, data field) bool {
	return name == "kubevip" || slices.ContainsFunc(data.keys(), func(key string) bool {
		return strings.HasPrefix(key, vipCIDR) || strings.HasPrefix(key, vipRange)
	})
}

// kubeVIP maps the pools of kube-vip. The ConfigMap does not say how addresses are announced.
func (in *importer) kubeVIP(data field) {
	skipEnds := data.at("skip-end-ips-in-cidr")
	for _, key := range data.keys() {
		f := data.at(key)
		switch {
		case strings.HasPrefix(key, vipCIDR):
			in.vipPool(data, f, strings.TrimPrefix(key, vipCIDR))
		case strings.HasPrefix(key, vipRange):
			place := strings.TrimPrefix(key, vipRange)
			if data.at(vipCIDR+place).has() || data.at(vipCIDR+vipGlobal).has() {
				f.ignore("kube-vip does not use it, since a cidr- goes before it")
				continue
			}
			in.vipPool(data, f, place)
		case strings.HasPrefix(key, vipShare) && f.text() == "true":
			f.unmapped("Services share an address if they ask for it: give them the annotation " + v1beta1.AnnotationAllowSharedIP + " with the same value")
		case strings.HasPrefix(key, vipShare):
			f.ignore("Services share no address unless they ask for it")
		case key == "search-order" && f.text() == "desc":
			f.unmapped("lbstack gives the lowest free address first: Services that have an address must name it, in the annotation " + v1beta1.AnnotationLoadBalancerIPs + ", to keep it")
		case key == "search-order":
			f.ignore("lbstack gives the lowest free address first")
		case key == "kubevip-services":
			f.ignore(isState)
		}
	}
	if skipEnds.text() != "true" {
		skipEnds.ignore("is off")
	}
}

// vipPool maps the addresses for one namespace (place), or for all namespaces if place is "global".
func (in *importer) vipPool(data, f field, place string) {
	if !isLabel(place) {
		f.unmapped("no namespace can have this name")
		return
	}
	name := in.names.of(pools, place)
	f = f.into(itemPath(pools, name))
	p := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
	skip := data.at("skip-end-ips-in-cidr")
	for _, text := range strings.Split(f.text(), ",") {
		text = strings.TrimSpace(text)
		parsed, err := apiconv.ParseRange(text)
		switch {
		case text == "0.0.0.0/32" || text == "0.0.0.0":
			f.refuse("kube-vip gets the addresses by DHCP, and lbstack does not: keep addresses out of the range of the DHCP server, and set them in spec.ipAddressPools")
			return
		case err != nil:
			f.refuse("correct it and import again: " + err.Error())
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
			skip.into(f.item).mapped("excludeAddresses")
		}
		if !slices.Contains(p.Addresses, v1beta1.AddressRange(text)) {
			p.Addresses = append(p.Addresses, v1beta1.AddressRange(text))
		}
	}
	if len(p.Addresses) > maxAddresses || len(p.ExcludeAddresses) > maxAddresses {
		f.refuse(fmt.Sprintf("a pool can have %d addresses and ranges: make it two", maxAddresses))
		return
	}
	f.mapped("addresses")
	if place != vipGlobal {
		p.ServiceAllocation = &v1beta1.ServiceAllocation{Namespaces: []v1beta1.ObjectName{v1beta1.ObjectName(place)}}
		if data.at(vipCIDR+vipGlobal).has() || data.at(vipRange+vipGlobal).has() {
			f.changed("addresses", "when the pool is full, a Service of the namespace gets an address of the pool for all; kube-vip had it wait")
		}
	}
	if in.addPool(f, p) {
		in.vipAdvertisement(data, f, place, p.Name)
	}
}

// vipAdvertisement adds an advertisement for a pool, on the interface that the ConfigMap names or, without one, on all interfaces.
func (in *importer) vipAdvertisement(data, from field, place string, pool v1beta1.ObjectName) {
	name := in.names.of(l2Advertisements, place)
	a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(name)}
	a.IPAddressPools = []v1beta1.ObjectName{pool}
	at := data.at(vipInterface + place)
	if !at.has() {
		at = data.at(vipInterface + vipGlobal)
	}
	if at.has() {
		if !isInterface(at.text()) {
			at.unmapped("this is no name of an interface: nothing announces the addresses of " + place)
			return
		}
		a.Interfaces = []v1beta1.InterfaceName{v1beta1.InterfaceName(at.text())}
		at.into(itemPath(l2Advertisements, name)).mapped("interfaces")
	}
	in.addL2(from, a)
	in.vip = true
}
