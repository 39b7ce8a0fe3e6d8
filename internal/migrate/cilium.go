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
		in.reportRename(root.child("metadata").child("name"), listPools, o.name)
		in.mapCiliumPool(root, o.name)
	case "CiliumL2AnnouncementPolicy":
		in.reportRename(root.child("metadata").child("name"), listL2Advertisements, o.name)
		in.mapCiliumPolicy(root, o.name)
	case "CiliumBGPPeerConfig":
		in.peerConfigs = append(in.peerConfigs, o)
	case "CiliumBGPNodeConfigOverride":
		in.nodeOverrides = append(in.nodeOverrides, o)
	case "CiliumBGPClusterConfig":
		in.mapCiliumCluster(o, root)
	case "CiliumBGPAdvertisement":
		in.mapCiliumAdvertisements(o, root)
	case "CiliumBGPPeeringPolicy":
		in.mapPeeringPolicy(o, root)
	case "CiliumBGPNodeConfig":
		root.markIgnored(ignoredState)
	default:
		if isLoadBalancerKind(o.kind) {
			root.markUnmapped(unknownKindReason)
		}
		root.markIgnored(ignoredOther)
	}
}

// isLoadBalancerKind reports whether the name of a kind in Cilium's API group is one for load balancers.
func isLoadBalancerKind(kind string) bool {
	return slices.ContainsFunc([]string{"CiliumLoadBalancer", "CiliumL2", "CiliumBGP"}, func(prefix string) bool { return strings.HasPrefix(kind, prefix) })
}

// mapCiliumPool maps a CiliumLoadBalancerIPPool.
func (in *importer) mapCiliumPool(root field, original string) {
	name := in.names.nameOf(listPools, original)
	spec := root.child("spec").withItem(itemPath(listPools, name))
	p := v1beta1.StackIPAddressPool{Name: v1beta1.ObjectName(name)}
	in.readCiliumBlocks(spec, &p)
	if spec.child("disabled").flag() {
		p.State = v1beta1.PoolDraining
	}
	spec.child("disabled").markMapped("state")
	if selector := spec.child("serviceSelector"); selector.hasValue() && !selector.isEmpty() {
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
			selector.markRefused(problem + ": the pool has autoAssign: false, and Services must name the pool in the annotation " + v1beta1.AnnotationAddressPool)
		}
	}
	in.addPool(root, p)
}

// readCiliumBlocks reads the addresses of a pool. It leaves out and reports a block that is invalid or that
// would exceed a limit of a pool in a stack.
func (in *importer) readCiliumBlocks(spec field, p *v1beta1.StackIPAddressPool) {
	withoutEnds := readAllowFirstLastIPs(spec)
	// Cilium up to 1.14 has the field cidrs, later versions have blocks, and 1.15 reads both.
	for _, b := range slices.Concat(spec.child("blocks").items(), spec.child("cidrs").items()) {
		text := strings.TrimSpace(b.child("cidr").text())
		if text == "" {
			if text = b.child("start").text(); b.child("stop").hasValue() {
				text += "-" + b.child("stop").text()
			}
		}
		parsed, err := apiconv.ParseRange(text)
		if err != nil {
			b.markUnmapped("left out of the stack until you correct it: " + err.Error())
			continue
		}
		var ends []v1beta1.AddressRange
		switch isCIDR := strings.Contains(text, "/"); {
		case !isCIDR:
			text = parsed.String()
		case parsed.Size().Cmp(big.NewInt(2)) <= 0: // Cilium allocates all addresses of a CIDR with one or two addresses
		case !withoutEnds:
			in.givesEnds = in.givesEnds || !spec.child("allowFirstLastIPs").hasValue()
		default:
			ends = []v1beta1.AddressRange{v1beta1.AddressRange(parsed.First.String()), v1beta1.AddressRange(parsed.Last.String())}
		}
		if !slices.Contains(p.Addresses, v1beta1.AddressRange(text)) {
			if len(p.Addresses) == maxAddresses {
				b.markUnmapped(fmt.Sprintf("it is left out: a pool can have at most %d blocks: split the pool into two", maxAddresses))
				continue
			}
			if len(p.ExcludeAddresses)+len(ends) > maxAddresses {
				b.markUnmapped(fmt.Sprintf("it is left out: a pool can exclude the first and the last address of at most %d CIDRs: split the pool into two", maxAddresses/2))
				continue
			}
			p.Addresses = append(p.Addresses, v1beta1.AddressRange(text))
			p.ExcludeAddresses = append(p.ExcludeAddresses, ends...)
		}
		for _, key := range []string{"cidr", "start", "stop"} {
			b.child(key).markMapped("addresses")
		}
	}
	slices.Sort(p.ExcludeAddresses)
	p.ExcludeAddresses = slices.Compact(p.ExcludeAddresses)
}

// readAllowFirstLastIPs reports whether Cilium leaves out the first and the last address of each CIDR of a pool. If the field is not
// set, Cilium up to 1.15 leaves them out, and later versions do not.
func readAllowFirstLastIPs(spec field) (withoutEnds bool) {
	f := spec.child("allowFirstLastIPs")
	switch f.text() {
	case "Yes", "No":
		f.markMapped("excludeAddresses")
		return f.text() == "No"
	case "":
		return spec.child("cidrs").hasValue() // Cilium has the field cidrs up to 1.15
	}
	f.markUnmapped("it is neither Yes nor No: the pool excludes the first and the last address of each CIDR")
	return true
}

// These keys in Cilium's selectors of Services are no labels: they stand for the namespace and the name of the Service.
const (
	ciliumNamespaceKey = "io.kubernetes.service.namespace"
	ciliumNameKey      = "io.kubernetes.service.name"
)

// ciliumSelector splits a selector of Services into two. The result services selects by the labels of
// Services, and the result namespaces by the labels of namespaces. Either is nil if the selector has no such
// part. The result problem is the reason why a stack cannot have the selector; it is empty if a stack can.
func ciliumSelector(f field, target string) (services, namespaces *metav1.LabelSelector, problem string) {
	s := objectSelectorKeys.readSelector(f, target)
	services, namespaces = &metav1.LabelSelector{}, &metav1.LabelSelector{}
	for key, value := range s.MatchLabels {
		to := services
		switch key {
		case ciliumNamespaceKey:
			key, to = namespaceNameLabel, namespaces
		case ciliumNameKey:
			return nil, nil, "a stack does not select Services by name"
		}
		to.MatchLabels = setLabel(to.MatchLabels, key, value)
	}
	for _, e := range s.MatchExpressions {
		to := services
		switch e.Key {
		case ciliumNamespaceKey:
			e.Key, to = namespaceNameLabel, namespaces
		case ciliumNameKey:
			return nil, nil, "a stack does not select Services by name"
		}
		to.MatchExpressions = append(to.MatchExpressions, e)
	}
	return nilIfEmpty(services), nilIfEmpty(namespaces), ""
}

// namespaceNameLabel is a label that each namespace has. Its value is the name of the namespace.
const namespaceNameLabel = "kubernetes.io/metadata.name"

func setLabel(m map[string]string, key, value string) map[string]string {
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

// literalInterfacePattern matches a regular expression that is the name of an interface followed by $, such
// as ^eth0$. It captures the name.
var literalInterfacePattern = regexp.MustCompile(`^\^?([A-Za-z0-9_@-]+)\$$`)

// mapCiliumPolicy maps a CiliumL2AnnouncementPolicy.
func (in *importer) mapCiliumPolicy(root field, original string) {
	name := in.names.nameOf(listL2Advertisements, original)
	spec := root.child("spec").withItem(itemPath(listL2Advertisements, name))
	if !spec.child("loadBalancerIPs").flag() {
		root.markRefused("the policy announces no addresses of load balancers (loadBalancerIPs is not true), and lbstack announces nothing else")
		return
	}
	spec.child("loadBalancerIPs").markMapped("name")
	if spec.child("externalIPs").flag() {
		spec.child("externalIPs").markUnmapped("lbstack announces addresses of load balancers only, and no externalIPs")
	}
	spec.child("externalIPs").markIgnored("is off")
	a := v1beta1.StackL2Advertisement{Name: v1beta1.ObjectName(name)}
	if f := spec.child("nodeSelector"); f.hasValue() && !f.isEmpty() {
		a.NodeSelectors = []metav1.LabelSelector{objectSelectorKeys.readSelector(f, "nodeSelectors")}
	}
	if f := spec.child("serviceSelector"); f.hasValue() && !f.isEmpty() {
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
	for _, f := range spec.child("interfaces").items() {
		match := literalInterfacePattern.FindStringSubmatch(f.text())
		if match == nil || !isInterface(match[1]) || len(a.Interfaces) == maxInterfaces {
			root.markRefused(fmt.Sprintf("the policy is left out: an L2Advertisement has at most %d names of interfaces, and no patterns: replace %s by ^name$ for each interface, and import again", maxInterfaces, f.path))
			return
		}
		f.markMapped("interfaces")
		if !slices.Contains(a.Interfaces, v1beta1.InterfaceName(match[1])) {
			a.Interfaces = append(a.Interfaces, v1beta1.InterfaceName(match[1]))
		}
	}
	in.addL2(root, a)
}
