package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// metalLBContainer returns the container of MetalLB in a workload, and its component: "controller" or "speaker", or empty if the
// workload has no such container. An image in a private registry can have any name, so the labels and environment variables of
// MetalLB's manifests and charts identify a container as well.
func metalLBContainer(o *sourceObject) (container field, component string) {
	if o.group != "apps" {
		return container, ""
	}
	template := o.rootField().child("spec").child("template")
	labels := template.child("metadata").child("labels")
	labelled := labels.child("app").value == "metallb" || labels.child("app.kubernetes.io/name").value == "metallb"
	containers, _ := template.child("spec").child("containers").value.([]any)
	for i, value := range containers {
		c := field{o: o, path: fmt.Sprintf("spec.template.spec.containers[%d]", i), value: value}
		name, _ := c.child("name").value.(string)
		image, _ := c.child("image").value.(string)
		if strings.Contains(image, "frr-k8s") || isWebhookServer(c) { // FRR-K8s has a container named controller, and the webhook server has the image of the controller
			continue
		}
		if !labelled && !strings.Contains(image, "metallb") && !hasVariables(c) {
			continue
		}
		for _, component := range []string{"controller", "speaker"} {
			if name == component || name == "metallb-"+component || strings.Contains(image, component) {
				return c, component
			}
		}
	}
	return container, ""
}

// isWebhookServer reports whether a container is the webhook server that metallb-operator runs from the controller's image.
func isWebhookServer(container field) bool {
	list, _ := container.child("args").value.([]any)
	return slices.Contains(list, any("--webhook-mode=onlywebhook"))
}

// hasVariables reports whether a container has environment variables of MetalLB.
func hasVariables(container field) bool {
	list, _ := container.child("env").value.([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		name, _ := (field{value: item}).child("name").value.(string)
		return strings.HasPrefix(name, "METALLB_")
	})
}

// mapWorkload maps the replicas, the flags, the environment variables and the pod template of MetalLB's Deployment and DaemonSet.
func (in *importer) mapWorkload(o *sourceObject, root field) {
	container, component := metalLBContainer(o)
	if component == "" {
		root.markIgnored(ignoredOther)
		return
	}
	pod := root.child("spec").child("template").child("spec")
	to := &in.stack.Spec.Controller.ComponentSpec
	if component == "speaker" {
		to = &in.stack.Spec.Speaker.ComponentSpec
		in.avoidsControlPlanes = in.avoidsControlPlanes || !toleratesControlPlanes(pod.child("tolerations"))
	}
	if component == "controller" {
		in.mapReplicas(root.child("spec").child("replicas"))
	}
	in.mapFlags(container.child("args"), component)
	mapVariables(container.child("env"))
	in.mapNodeSelector(pod.child("nodeSelector"), "spec."+component, to)
	in.mapTolerations(pod.child("tolerations"), "spec."+component, to)
	in.mapComponent(pod, "spec."+component, to)
	mapSpread(pod.child("topologySpreadConstraints"), "spec."+component, to)
	if resources := container.child("resources"); !resources.isEmpty() {
		resources.markUnmapped("these are for MetalLB's programs: set spec." + component + ".resources if the default resources of lbstack do not fit")
	}
	root.markIgnored(ignoredRuntime)
}

// toleratesControlPlanes reports whether pods with these tolerations can run on control planes.
func toleratesControlPlanes(tolerations field) bool {
	list, _ := tolerations.value.([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		key, _ := (field{value: item}).child("key").value.(string)
		effect, _ := (field{value: item}).child("effect").value.(string)
		return (key == "" || key == "node-role.kubernetes.io/control-plane") && (effect == "" || effect == "NoSchedule")
	})
}

// mapFlags maps the flags of a component. Flags without a counterpart in lbstack stay unmarked: mapWorkload marks them as ignored.
func (in *importer) mapFlags(args field, component string) {
	items := args.items()
	for i := 0; i < len(items); i++ {
		item := items[i]
		name, value, inOne := strings.Cut(strings.TrimLeft(item.text(), "-"), "=")
		if !inOne && i+1 < len(items) && !strings.HasPrefix(items[i+1].text(), "-") {
			i++
			value = items[i].text()
			defer args.copyMark(item, items[i])
		}
		flag := item
		flag.value = value
		switch name {
		case "lb-class":
			in.mapClass(flag)
		case "log-level":
			in.mapLogLevel(flag, component)
		case "ignore-exclude-lb":
			if value == "" || value == "true" {
				in.stack.Spec.Nodes.IgnoreExcludeLabel = true
				item.markMapped("spec.nodes.ignoreExcludeLabel")
			}
		default:
			markSetting(item, name, value)
		}
	}
}

// settingNotes has a note for some flags of MetalLB's speaker, by flag. A stack has no field for these flags: the note is what lbstack
// does instead, or which field to set.
var settingNotes = map[string]string{
	"bgp-debounce-timeout": "lbstack sends changes of routes at once and has no such timer",
	"ml-wan-config":        "lbstack detects failures in another way: set spec.layer2.failureDetection to Relaxed if the network between nodes loses packets",
	"ml-bindport":          "the speakers of lbstack use the UDP port 7575: set spec.speaker.ports.mesh to use another",
}

// settingVariables maps environment variables of MetalLB's speaker to the flags that they stand for.
var settingVariables = map[string]string{"METALLB_BGP_DEBOUNCE_TIMEOUT": "bgp-debounce-timeout", "METALLB_ML_BIND_PORT": "ml-bindport"}

// markSetting reports a flag or an environment variable that settingNotes has. MetalLB's chart always sets the port, so the default
// port is not a setting of the user.
func markSetting(f field, flag, value string) {
	switch note := settingNotes[flag]; {
	case note == "":
	case flag == "ml-bindport" && value == "7946":
		f.markIgnored("is MetalLB's default port; lbstack has its own")
	case flag == "ml-wan-config" && value == "false":
		f.markIgnored("is off")
	default:
		f.markUnmapped(note)
	}
}

// mapVariables reports the environment variables that MetalLB reads in place of flags.
func mapVariables(env field) {
	for _, item := range env.items() {
		markSetting(item, settingVariables[item.child("name").text()], item.child("value").text())
	}
}

// maxReplicas bounds the number of controllers (v1beta1.ControllerSpec.Replicas).
const maxReplicas = 5

// mapReplicas maps how many controllers run. It ignores 1, which is MetalLB's default, and 0, which kubectl lbstack migrate sets. Neither
// number means that the user wants fewer controllers than a stack has by default.
func (in *importer) mapReplicas(f field) {
	n, ok := f.number(0, maxReplicas)
	if ok && n < 2 {
		f.markIgnored("MetalLB runs one controller, and a stack two by default")
	} else if ok {
		in.stack.Spec.Controller.Replicas = new(int32(n))
		f.markMapped("spec.controller.replicas")
	}
}

// maxSpreadConstraints bounds the number of constraints (v1beta1.ComponentSpec.TopologySpreadConstraints).
const maxSpreadConstraints = 8

// mapSpread maps how the pods of a component are spread over nodes. It leaves out the selectors of pods.
// Without a selector, a constraint in a stack counts the pods of its own component.
func mapSpread(list field, target string, c *v1beta1.ComponentSpec) {
	for _, item := range list.withItem(target).items() {
		item.child("labelSelector").markIgnored("selects pods of MetalLB; without a labelSelector, a stack counts the pods of its own component")
		if len(c.TopologySpreadConstraints) == maxSpreadConstraints {
			item.markUnmapped(fmt.Sprintf("topologySpreadConstraints can have at most %d items", maxSpreadConstraints))
			continue
		}
		if constraint, ok := item.value.(map[string]any); ok {
			constraint = maps.Clone(constraint)
			delete(constraint, "labelSelector")
			item.value = constraint
		}
		var constraint corev1.TopologySpreadConstraint
		if copyValue(item, "topologySpreadConstraints", &constraint) {
			c.TopologySpreadConstraints = append(c.TopologySpreadConstraints, constraint)
		}
	}
}

// copyMark copies the mark of a flag to the value of the flag. It is used if the value is a separate
// argument.
func (f field) copyMark(flag, value field) {
	if e := f.o.entries[flag.path]; e != nil {
		value.markLeaves(e.Outcome, e.Target, e.Note)
	}
}
