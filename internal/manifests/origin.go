package manifests

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// FieldOrigin returns the path of the stack's field from which a field of a rendered object comes. For example, it
// returns spec.bgpPeers[2].peerAddress for the field spec.peerAddress of a BGPPeer. It returns an empty path
// if the origin is not known. An empty field stands for the whole object.
func FieldOrigin(spec v1beta1.LoadBalancerStackSpec, kind, name, field string) string {
	if component, ok := componentOf(spec, kind, name); ok {
		return component.fieldOrigin(spec, kind, name, field)
	}
	if kind == "PodDisruptionBudget" {
		return patchPaths(spec, kind, name)
	}
	item := itemPath(spec, kind, v1beta1.ObjectName(name))
	if below, ok := strings.CutPrefix(field, "spec."); ok && item != "" {
		return item + "." + below
	}
	return item
}

// fieldPathPattern finds a field path in a sentence. The path must begin with spec.
var fieldPathPattern = regexp.MustCompile(`\bspec\.[a-z][A-Za-z0-9]*(\[[0-9]+\])?(\.[a-z][A-Za-z0-9]*(\[[0-9]+\])?)*`)

// FieldInSentence returns the field that a sentence about a rendered object names; empty: it names none. It
// also returns the origin of that field in the stack, see FieldOrigin.
func FieldInSentence(spec v1beta1.LoadBalancerStackSpec, kind, name, sentence string) (field, path string) {
	field = fieldPathPattern.FindString(sentence)
	return field, FieldOrigin(spec, kind, name, field)
}

// itemPath returns the path of the stack's item from which an object is made; empty: there is none.
func itemPath(spec v1beta1.LoadBalancerStackSpec, kind string, name v1beta1.ObjectName) string {
	list, at := "", -1
	switch kind {
	case "IPAddressPool":
		list, at = "ipAddressPools", slices.IndexFunc(spec.IPAddressPools, func(i v1beta1.StackIPAddressPool) bool { return i.Name == name })
	case "L2Advertisement":
		list, at = "l2Advertisements", slices.IndexFunc(spec.L2Advertisements, func(i v1beta1.StackL2Advertisement) bool { return i.Name == name })
	case "BFDProfile":
		list, at = "bfdProfiles", slices.IndexFunc(spec.BFDProfiles, func(i v1beta1.StackBFDProfile) bool { return i.Name == name })
	case "Community":
		list, at = "communities", slices.IndexFunc(spec.Communities, func(i v1beta1.StackCommunity) bool { return i.Name == name })
	case "BGPPeer":
		list, at = "bgpPeers", slices.IndexFunc(spec.BGPPeers, func(i v1beta1.StackBGPPeer) bool { return i.Name == name })
	case "BGPAdvertisement":
		list, at = "bgpAdvertisements", slices.IndexFunc(spec.BGPAdvertisements, func(i v1beta1.StackBGPAdvertisement) bool { return i.Name == name })
	}
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("spec.%s[%d]", list, at)
}

// componentFields has the fields of the stack that configure the workload of a component.
type componentFields struct {
	name string
	spec v1beta1.ComponentSpec
}

func componentOf(spec v1beta1.LoadBalancerStackSpec, kind, name string) (componentFields, bool) {
	switch {
	case kind == "Deployment" && name == "lbstack-"+componentController:
		return componentFields{componentController, spec.Controller.ComponentSpec}, true
	case kind == "DaemonSet" && name == "lbstack-"+componentSpeaker:
		return componentFields{componentSpeaker, spec.Speaker.ComponentSpec}, true
	}
	return componentFields{}, false
}

// fieldOrigin returns the origin of a field in the workload: the field of the component that sets it, or else
// the patches of the workload. The path of a list to which lbstack adds items of its own has no index.
func (c componentFields) fieldOrigin(spec v1beta1.LoadBalancerStackSpec, kind, name, field string) string {
	const pod = "spec.template."
	for _, f := range []struct {
		set      bool
		in, path string
		exact    bool // the fields below have the same path in the stack and in the workload
	}{
		{c.spec.Resources != nil, pod + "spec.containers[0].resources", ".resources", true},
		{len(c.spec.Env) > 0, pod + "spec.containers[0].env", ".env", false},
		{len(c.spec.Tolerations) > 0, pod + "spec.tolerations", ".tolerations", false},
		{len(c.spec.NodeSelector) > 0, pod + "spec.nodeSelector", ".nodeSelector", true},
		{c.spec.Affinity != nil, pod + "spec.affinity", ".affinity", true},
		{len(c.spec.TopologySpreadConstraints) > 0, pod + "spec.topologySpreadConstraints", ".topologySpreadConstraints", true},
		{c.spec.PriorityClassName != "", pod + "spec.priorityClassName", ".priorityClassName", true},
		{len(c.spec.PodLabels) > 0, pod + "metadata.labels", ".podLabels", true},
		{len(c.spec.PodLabels) > 0, pod + "labels", ".podLabels", true},
		{len(c.spec.PodAnnotations) > 0, pod + "metadata.annotations", ".podAnnotations", true},
		{len(c.spec.PodAnnotations) > 0, pod + "annotations", ".podAnnotations", true},
	} {
		below, ok := strings.CutPrefix(field, f.in)
		if !ok || !f.set {
			continue
		}
		if !f.exact {
			below = ""
		}
		return "spec." + c.name + f.path + below
	}
	switch {
	case strings.HasPrefix(field, pod+"spec.imagePullSecrets") && len(spec.Images.PullSecrets) > 0:
		return "spec.images.pullSecrets"
	case field == pod+"spec.containers[0].image" && spec.Images.Registry != "":
		return "spec.images.registry"
	}
	return patchPaths(spec, kind, name)
}

// patchPaths returns the paths of the patches whose target is an object.
func patchPaths(spec v1beta1.LoadBalancerStackSpec, kind, name string) string {
	var paths []string
	for i, patch := range spec.Patches {
		if patch.Target.Kind == kind && (patch.Target.Name == "" || patch.Target.Name == name) {
			paths = append(paths, fmt.Sprintf("spec.patches[%d]", i))
		}
	}
	return strings.Join(paths, ", ")
}
