package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// defaultExclusions are the patterns that the ConfigMap metallb-excludel2 has in MetalLB's manifests. They
// exclude interfaces that lead to pods, containers and virtual machines of the node. lbstack recognises such
// interfaces by their kind, and announces nothing on them.
var defaultExclusions = []string{
	"^docker.*", "^cbr.*", "^dummy.*", "^virbr.*", "^lxcbr.*", "^veth.*", "^lo$", "^cali.*", "^tunl.*", "^flannel.*",
	"^kube-ipvs.*", "^cni.*", "^nodelocaldns.*", "^lxc.*",
}

// mapExcludedInterfaces maps the ConfigMap metallb-excludel2.
func (in *importer) mapExcludedInterfaces(f field) {
	for _, pattern := range f.child("announcedInterfacesToExclude").items() {
		if slices.Contains(defaultExclusions, pattern.text()) {
			pattern.markIgnored("lbstack announces by itself on no interface that leads to pods, containers or virtual machines of the node, and advertisements do not name the interfaces that the pattern matches")
			continue
		}
		pattern.markUnmapped("a stack cannot exclude interfaces by pattern, so L2Advertisements without interfaces are left out: in the field interfaces of these advertisements, name the interfaces on which to announce")
	}
}

// mapOperatorObject maps an object of the kind MetalLB, which metallb-operator reads.
func (in *importer) mapOperatorObject(spec field) {
	in.mapClass(spec.child("loadBalancerClass"))
	in.mapLogLevel(spec.child("logLevel"), "controller", "speaker")
	controller, speaker := &in.stack.Spec.Controller.ComponentSpec, &in.stack.Spec.Speaker.ComponentSpec
	in.mapNodeSelector(spec.child("nodeSelector"), "spec.speaker", speaker)
	in.mapNodeSelector(spec.child("controllerNodeSelector"), "spec.controller", controller)
	in.mapTolerations(spec.child("speakerTolerations"), "spec.speaker", speaker)
	in.mapTolerations(spec.child("controllerTolerations"), "spec.controller", controller)
	in.mapComponent(spec.child("controllerConfig"), "spec.controller", controller)
	in.mapComponent(spec.child("speakerConfig"), "spec.speaker", speaker)
	spec.child("bgpBackend").markIgnored("lbstack has one implementation of BGP, in the speaker")
	spec.child("image").markIgnored(ignoredRuntime)
	spec.child("frrk8sConfig").markUnmapped("lbstack speaks BGP itself and runs no FRR")
	spec.child("speakerGratuitousARPInterval").markUnmapped("lbstack decides itself when it sends gratuitous ARP and neighbour advertisements")
}

// mapClass maps the load balancer class of the Services that MetalLB serves.
func (in *importer) mapClass(f field) {
	switch class := f.text(); {
	case class == "":
	case !classPattern.MatchString(class) || len(class) > 316:
		f.markUnmapped("this is not a load balancer class: a class has the form example.com/name")
	case in.stack.Spec.LoadBalancerClass != "" && in.stack.Spec.LoadBalancerClass != class:
		f.markUnmapped(fmt.Sprintf("the stack already has the class %s, and can have only one", in.stack.Spec.LoadBalancerClass))
	default:
		in.stack.Spec.LoadBalancerClass = class
		f.markMapped("spec.loadBalancerClass")
	}
}

// classPattern is the pattern of v1beta1.LoadBalancerStackSpec.LoadBalancerClass.
var classPattern = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)

// mapLogLevel maps the log level of the components.
func (in *importer) mapLogLevel(f field, components ...string) {
	level := map[string]v1beta1.LogLevel{
		"all": v1beta1.LogLevelDebug, "debug": v1beta1.LogLevelDebug, "info": v1beta1.LogLevelInfo,
		"warn": v1beta1.LogLevelError, "error": v1beta1.LogLevelError, "none": v1beta1.LogLevelError,
	}[f.text()]
	if level == "" {
		return
	}
	for _, component := range components {
		if component == "controller" {
			in.stack.Spec.Controller.LogLevel = level
		} else {
			in.stack.Spec.Speaker.LogLevel = level
		}
	}
	target := "spec." + strings.Join(components, ".logLevel, spec.") + ".logLevel"
	if strings.EqualFold(string(level), f.text()) {
		f.markMapped(target)
		return
	}
	f.markChanged(target, fmt.Sprintf("the levels are Error, Info and Debug: %s becomes %s", f.text(), level))
}

// subdomainPattern matches DNS subdomains: the names of most objects must be DNS subdomains.
var subdomainPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// mapComponent maps the priority class, annotations, affinity and resources of the pods of a component.
func (in *importer) mapComponent(f field, target string, c *v1beta1.ComponentSpec) {
	f = f.withItem(target)
	if name := f.child("priorityClassName"); subdomainPattern.MatchString(name.text()) && len(name.text()) <= maxObjectNameLength {
		c.PriorityClassName = name.text()
		name.markMapped("priorityClassName")
	} else {
		name.markUnmapped("no PriorityClass can have this name")
	}
	f.child("runtimeClassName").markUnmapped("a stack has no such field: use spec.patches")
	for _, key := range f.child("annotations").keys() {
		annotation := f.child("annotations").child(key)
		if strings.HasPrefix(key, "lbstack.io/") || len(c.PodAnnotations) == maxLabels || len(annotation.text()) > 4096 {
			annotation.markUnmapped("podAnnotations have at most 32 items of 4096 characters, and none of lbstack.io")
			continue
		}
		if c.PodAnnotations == nil {
			c.PodAnnotations = map[string]v1beta1.AnnotationValue{}
		}
		c.PodAnnotations[key] = v1beta1.AnnotationValue(annotation.text())
		annotation.markMapped("podAnnotations")
	}
	copyValue(f.child("affinity"), "affinity", &c.Affinity)
	if a := c.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil && len(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms) == 0 {
		a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
		f.child("affinity").child("nodeAffinity").child("requiredDuringSchedulingIgnoredDuringExecution").markUnmapped("it has no nodeSelectorTerms, which Kubernetes requires")
	}
	for _, pods := range []string{"podAffinity", "podAntiAffinity"} {
		f.child("affinity").child(pods).markChanged("affinity", "it selects pods by labels of MetalLB: change the selectors to labels of the pods of lbstack, app.kubernetes.io/name: lbstack and app.kubernetes.io/component")
	}
	copyValue(f.child("resources"), "resources", &c.Resources)
}

// mapNodeSelector maps the labels of the nodes that a component runs on.
func (in *importer) mapNodeSelector(f field, target string, c *v1beta1.ComponentSpec) {
	f = f.withItem(target)
	for _, key := range f.keys() {
		label := f.child(key)
		switch {
		case key == "kubernetes.io/os" || key == "beta.kubernetes.io/os":
			label.markIgnored("lbstack runs on Linux")
		case len(c.NodeSelector) == maxLabels:
			label.markUnmapped(fmt.Sprintf("nodeSelector can have at most %d items", maxLabels))
		default:
			if c.NodeSelector == nil {
				c.NodeSelector = map[string]string{}
			}
			c.NodeSelector[key] = label.text()
			label.markMapped("nodeSelector")
		}
	}
}

// mapTolerations maps the tolerations that the pods of lbstack do not have by default.
func (in *importer) mapTolerations(f field, target string, c *v1beta1.ComponentSpec) {
	f = f.withItem(target)
	for _, item := range f.items() {
		if key := item.child("key").text(); key == "node-role.kubernetes.io/control-plane" || key == "node-role.kubernetes.io/master" {
			item.markIgnored("lbstack tolerates the taint of control planes")
			continue
		}
		if len(c.Tolerations) == maxLabels {
			item.markUnmapped(fmt.Sprintf("tolerations can have at most %d items", maxLabels))
			continue
		}
		if containsItem(c.Tolerations, item) {
			item.markMapped("tolerations")
			continue
		}
		n := len(c.Tolerations)
		c.Tolerations = append(c.Tolerations, zeroOf(c.Tolerations))
		if !copyValue(item, "tolerations", &c.Tolerations[n]) {
			c.Tolerations = c.Tolerations[:n]
		}
	}
}

// containsItem reports whether a list has an item already. The input can have an item twice: in the MetalLB object, and in a
// workload that MetalLB's operator made from this object.
func containsItem[T any](list []T, item field) bool {
	var one T
	text, err := json.Marshal(item.value)
	return err == nil && json.Unmarshal(text, &one) == nil && slices.ContainsFunc(list, func(other T) bool { return reflect.DeepEqual(one, other) })
}

func zeroOf[T any]([]T) (t T) { return t }

// copyValue decodes a field as a type of Kubernetes, copies the value to the stack (to), and returns whether
// it did. A value with a field that the type does not have is marked as not mapped.
func copyValue[T any](f field, target string, to *T) bool {
	if !f.hasValue() || f.isEmpty() {
		return false
	}
	var value T // not decoded directly into the stack, since a failed decoding can leave a part of the value there
	text, err := json.Marshal(f.value)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&value)
	}
	if err != nil {
		f.markUnmapped("Kubernetes would not accept this value: " + err.Error())
		return false
	}
	*to = value
	f.markMapped(target)
	return true
}
