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

// cilium maps an object of Cilium's group.
func (in *importer) cilium(o *source, root field) {
	switch o.kind {
	case "CiliumLoadBalancerIPPool":
		in.renamed(root.at("metadata").at("name"), pools, o.name)
		in.ciliumPool(root, o.name)
	case "CiliumL2AnnouncementPolicy":
		in.renamed(root.at("metadata").at("name"), l2Advertisements, o.name)
		in.ciliumPolicy(root, o.name)
	case "CiliumBGPPeerConfig":
		in.peerConfigs = append(in.peerConfigs, o)
	case "CiliumBGPClusterConfig":
		in.ciliumCluster(o, root)
	case "CiliumBGPAdvertisement":
		in.ciliumAdvertisements(o, root)
	case "CiliumBGPPeeringPolicy":
		root.unmapped("this kind has been replaced in Cilium by CiliumBGPClusterConfig: convert it first, or set spec.bgpPeers and spec.bgpAdvertisements")
	case "CiliumBGPNodeConfigOverride":
		root.unmapped("a stack has no overrides for single nodes: make an item of spec.bgpPeers with nodeSelectors for the node, with its routerID, localASN or sourceAddress")
	default:
		root.ignore(isOther)
	}
}

func (in *importer) ciliumPool(root field, original string) {
	name := in.names.of(pools, original)
	spec := root.at("spec").into(itemPath(pools, name))
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
			b.unmapped("it is left out: correct it: " + err.Error())
			continue
		}
		if len(p.Addresses) == maxAddresses {
			b.unmapped(fmt.Sprintf("it is left out: a pool can have %d blocks: make it two pools", maxAddresses))
			continue
		}
		if !strings.Contains(text, "/") {
			text = parsed.String()
		} else if ends.text() == "No" && parsed.Size().Cmp(big.NewInt(2)) > 0 && len(p.ExcludeAddresses) < maxAddresses-1 {
			p.ExcludeAddresses = append(p.ExcludeAddresses, v1beta1.AddressRange(parsed.First.String()), v1beta1.AddressRange(parsed.Last.String()))
		}
		for _, key := range []string{"cidr", "start", "stop"} {
			b.at(key).mapped("addresses")
		}
		if !slices.Contains(p.Addresses, v1beta1.AddressRange(text)) {
			p.Addresses = append(p.Addresses, v1beta1.AddressRange(text))
		}
	}
	slices.Sort(p.ExcludeAddresses)
	p.ExcludeAddresses = slices.Compact(p.ExcludeAddresses)
	ends.mapped("excludeAddresses")
	if spec.at("disabled").flag() {
		p.State = v1beta1.PoolDraining
	}
	spec.at("disabled").mapped("state")
	if selector := spec.at("serviceSelector"); selector.has() && !selector.empty() {
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
			selector.refuse(problem + ": the pool has autoAssign: false, and Services must name it in the annotation " + v1beta1.AnnotationAddressPool)
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
	s := objectKeys.selector(f, target)
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
	return orNil(services), orNil(namespaces), ""
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

func orNil(s *metav1.LabelSelector) *metav1.LabelSelector {
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return nil
	}
	return s
}

// literalInterface matches the patterns that match only one name, and captures the name.
var literalInterface = regexp.MustCompile(`^\^?([A-Za-z0-9_@-]+)\$$`)

func (in *importer) ciliumPolicy(root field, original string) {
	name := in.names.of(l2Advertisements, original)
	spec := root.at("spec").into(itemPath(l2Advertisements, name))
	if !spec.at("loadBalancerIPs").flag() {
		root.refuse("the policy announces no addresses of load balancers (loadBalancerIPs is not true), and a stack announces nothing else")
		return
	}
	spec.at("loadBalancerIPs").mapped("name")
	if spec.at("externalIPs").flag() {
		spec.at("externalIPs").unmapped("lbstack announces addresses that it has given, and no externalIPs")
	}
	spec.at("externalIPs").ignore("is off")
	a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(name)}
	if f := spec.at("nodeSelector"); f.has() && !f.empty() {
		a.NodeSelectors = []metav1.LabelSelector{objectKeys.selector(f, "nodeSelectors")}
	}
	if f := spec.at("serviceSelector"); f.has() && !f.empty() {
		services, namespaces, problem := ciliumSelector(f, "serviceSelectors")
		if problem != "" {
			root.refuse("the policy is left out: " + problem)
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
			root.refuse(fmt.Sprintf("the policy is left out: a stack has names of interfaces, and no patterns: replace %s by ^name$ for each interface, and import again", f.path))
			return
		}
		f.mapped("interfaces")
		if !slices.Contains(a.Interfaces, v1beta1.InterfaceName(match[1])) {
			a.Interfaces = append(a.Interfaces, v1beta1.InterfaceName(match[1]))
		}
	}
	in.addL2(root, a)
}
