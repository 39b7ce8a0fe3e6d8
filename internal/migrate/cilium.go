package migrate

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// mapCilium maps an object of Cilium's group.
func (in *importer) mapCilium(o *sourceObject, root field) {
	switch o.kind {
	case "CiliumLoadBalancerIPPool":
		in.reportRename(root.at("metadata").at("name"), listPools, o.name)
		in.mapCiliumPool(root, o.name)
	case "CiliumL2AnnouncementPolicy":
		in.reportRename(root.at("metadata").at("name"), listL2Advertisements, o.name)
		in.mapCiliumPolicy(root, o.name)
	case "CiliumBGPPeerConfig":
		in.peerConfigs = append(in.peerConfigs, o)
	case "CiliumBGPClusterConfig":
		in.mapCiliumCluster(o, root)
	case "CiliumBGPAdvertisement":
		in.mapCiliumAdvertisements(o, root)
	case "CiliumBGPPeeringPolicy":
		root.markUnmapped("this kind has been replaced in Cilium by CiliumBGPClusterConfig: convert it first, or set spec.bgpPeers and spec.bgpAdvertisements")
	case "CiliumBGPNodeConfigOverride":
		root.markUnmapped("a stack has no overrides for single nodes: make an item of spec.bgpPeers with nodeSelectors for the node, with its routerID, localASN or sourceAddress")
	default:
		root.markIgnored(ignoredOther)
	}
}

func (in *importer) mapCiliumPool(root field, original string) {
	name := in.names.nameOf(listPools, original)
	spec := root.at("spec").setItem(itemPath(listPools, name))
	p := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
	blocks := spec.at("blocks")
	if !blocks.has() {
		blocks = spec.at("cidrs") // before Cilium 1.15
	}
	ends := spec.at("allowFirstLastIPs")
	for _, b := range blocks.items() {
		text := strings.TrimSpace(b.at("cidr").text())
		if text == "" {
			if text = b.at("start").text(); b.at("stop").has() {
				text += "-" + b.at("stop").text()
			}
		}
		parsed, err := apiconv.ParseRange(text)
		if err != nil {
			b.markUnmapped("it is left out: correct it: " + err.Error())
			continue
		}
		if len(p.Addresses) == maxAddresses {
			b.markUnmapped(fmt.Sprintf("it is left out: a pool can have %d blocks: make it two pools", maxAddresses))
			continue
		}
		if !strings.Contains(text, "/") {
			text = parsed.String()
		} else if ends.text() == "No" && parsed.Size().Cmp(big.NewInt(2)) > 0 && len(p.ExcludeAddresses) < maxAddresses-1 {
			p.ExcludeAddresses = append(p.ExcludeAddresses, v1beta1.AddressRange(parsed.First.String()), v1beta1.AddressRange(parsed.Last.String()))
		}
		for _, key := range []string{"cidr", "start", "stop"} {
			b.at(key).markMapped("addresses")
		}
		if !slices.Contains(p.Addresses, v1beta1.AddressRange(text)) {
			p.Addresses = append(p.Addresses, v1beta1.AddressRange(text))
		}
	}
	slices.Sort(p.ExcludeAddresses)
	p.ExcludeAddresses = slices.Compact(p.ExcludeAddresses)
	ends.markMapped("excludeAddresses")
	if spec.at("disabled").flag() {
		p.State = v1beta1.PoolDraining
	}
	spec.at("disabled").markMapped("state")
	if selector := spec.at("serviceSelector"); selector.has() && !selector.isEmpty() {
		services, namespaces, problem := ciliumSelector(selector, "serviceAllocation")
		p.ServiceAllocation = &v1beta1.ServiceAllocation{}
		if namespaces != nil {
			p.ServiceAllocation.NamespaceSelectors = []metav1.LabelSelector{*namespaces}
		}
		if services != nil {
			p.ServiceAllocation.ServiceSelectors = []metav1.LabelSelector{*services}
		}
		if problem != "" {
			no := false
			p.AutoAssign, p.ServiceAllocation = &no, nil
			selector.markRefused(problem + ": the pool has autoAssign: false, and Services must name it in the annotation " + v1beta1.AnnotationAddressPool)
		}
	}
	in.addPool(root, p)
}

// The keys by which Cilium's selectors of Services select by namespace and name, which are no labels.
const (
	ciliumNamespace = "io.kubernetes.service.namespace"
	ciliumName      = "io.kubernetes.service.name"
)

// ciliumSelector splits a selector of Services into a selector of the labels of Services and one of the labels of namespaces,
// each nil if the selector has no such part. problem is why a stack cannot have the selector; empty if it can.
func ciliumSelector(f field, target string) (services, namespaces *metav1.LabelSelector, problem string) {
	s := objectSelectorKeys.readSelector(f, target)
	services, namespaces = &metav1.LabelSelector{}, &metav1.LabelSelector{}
	for key, value := range s.MatchLabels {
		to := services
		switch key {
		case ciliumNamespace:
			key, to = metav1NameLabel, namespaces
		case ciliumName:
			return nil, nil, "a stack does not select Services by name"
		}
		to.MatchLabels = withLabel(to.MatchLabels, key, value)
	}
	for _, e := range s.MatchExpressions {
		to := services
		switch e.Key {
		case ciliumNamespace:
			e.Key, to = metav1NameLabel, namespaces
		case ciliumName:
			return nil, nil, "a stack does not select Services by name"
		}
		to.MatchExpressions = append(to.MatchExpressions, e)
	}
	return nilIfEmpty(services), nilIfEmpty(namespaces), ""
}

// metav1NameLabel is the label of each namespace that has its name as the value.
const metav1NameLabel = "kubernetes.io/metadata.name"

func withLabel(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

func nilIfEmpty(s *metav1.LabelSelector) *metav1.LabelSelector {
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return nil
	}
	return s
}

// literalInterface matches the patterns that match only one name, and captures the name.
var literalInterface = regexp.MustCompile(`^\^?([A-Za-z0-9_@-]+)\$$`)

func (in *importer) mapCiliumPolicy(root field, original string) {
	name := in.names.nameOf(listL2Advertisements, original)
	spec := root.at("spec").setItem(itemPath(listL2Advertisements, name))
	if !spec.at("loadBalancerIPs").flag() {
		root.markRefused("the policy announces no addresses of load balancers (loadBalancerIPs is not true), and a stack announces nothing else")
		return
	}
	spec.at("loadBalancerIPs").markMapped("name")
	if spec.at("externalIPs").flag() {
		spec.at("externalIPs").markUnmapped("lbstack announces addresses that it has given, and no externalIPs")
	}
	spec.at("externalIPs").markIgnored("is off")
	a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(name)}
	if f := spec.at("nodeSelector"); f.has() && !f.isEmpty() {
		a.NodeSelectors = []metav1.LabelSelector{objectSelectorKeys.readSelector(f, "nodeSelectors")}
	}
	if f := spec.at("serviceSelector"); f.has() && !f.isEmpty() {
		services, namespaces, problem := ciliumSelector(f, "serviceSelectors")
		if problem != "" {
			root.markRefused("the policy is left out: " + problem)
			return
		}
		if services != nil {
			a.ServiceSelectors = []metav1.LabelSelector{*services}
		}
		if namespaces != nil {
			a.NamespaceSelectors = []metav1.LabelSelector{*namespaces}
		}
	}
	for _, f := range spec.at("interfaces").items() {
		match := literalInterface.FindStringSubmatch(f.text())
		if match == nil || !isInterface(match[1]) || len(a.Interfaces) == maxInterfaces {
			root.markRefused(fmt.Sprintf("the policy is left out: a stack has names of interfaces, and no patterns: replace %s by ^name$ for each interface, and import again", f.path))
			return
		}
		f.markMapped("interfaces")
		if !slices.Contains(a.Interfaces, v1beta1.InterfaceName(match[1])) {
			a.Interfaces = append(a.Interfaces, v1beta1.InterfaceName(match[1]))
		}
	}
	in.addL2(root, a)
}
