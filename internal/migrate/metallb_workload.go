package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// metalLBContainer returns the container of MetalLB's controller or speaker in a workload, and which of the two it is; empty if
// the workload has neither. An image in a private registry can have any name, so the labels and environment variables of
// MetalLB's manifests and charts identify a container as well.
func metalLBContainer(o *sourceObject) (container field, component string) {
	if o.group != "apps" {
		return container, ""
	}
	template := o.rootField().at("spec").at("template")
	labels := template.at("metadata").at("labels")
	labelled := labels.at("app").value == "metallb" || labels.at("app.kubernetes.io/name").value == "metallb"
	containers, _ := template.at("spec").at("containers").value.([]any)
	for i, value := range containers {
		c := field{o: o, path: fmt.Sprintf("spec.template.spec.containers[%d]", i), value: value}
		name, _ := c.at("name").value.(string)
		image, _ := c.at("image").value.(string)
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
	list, _ := container.at("args").value.([]any)
	return slices.Contains(list, any("--webhook-mode=onlywebhook"))
}

// hasVariables reports whether a container has environment variables of MetalLB.
func hasVariables(container field) bool {
	list, _ := container.at("env").value.([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		name, _ := (field{value: item}).at("name").value.(string)
		return strings.HasPrefix(name, "METALLB_")
	})
}

// mapWorkload maps the flags and the pod template of MetalLB's Deployment and DaemonSet.
func (in *importer) mapWorkload(o *sourceObject, root field) {
	container, component := metalLBContainer(o)
	if component == "" {
		root.markIgnored(ignoredOther)
		return
	}
	pod := root.at("spec").at("template").at("spec")
	to := &in.stack.Spec.Controller.ComponentSpec
	if component == "speaker" {
		to = &in.stack.Spec.Speaker.ComponentSpec
		in.avoidsControlPlanes = in.avoidsControlPlanes || !toleratesControlPlanes(pod.at("tolerations"))
	}
	in.mapFlags(container.at("args"), component)
	in.mapNodeSelector(pod.at("nodeSelector"), "spec."+component, to)
	in.mapTolerations(pod.at("tolerations"), "spec."+component, to)
	in.mapComponent(pod, "spec."+component, to)
	if resources := container.at("resources"); !resources.isEmpty() {
		resources.markUnmapped("they are what MetalLB's programs need: set spec." + component + ".resources if those of lbstack are to differ from their defaults")
	}
	root.markIgnored(ignoredRuntime)
}

// toleratesControlPlanes reports whether pods with these tolerations can run on control planes.
func toleratesControlPlanes(tolerations field) bool {
	list, _ := tolerations.value.([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		key, _ := (field{value: item}).at("key").value.(string)
		effect, _ := (field{value: item}).at("effect").value.(string)
		return (key == "" || key == "node-role.kubernetes.io/control-plane") && (effect == "" || effect == "NoSchedule")
	})
}

// mapFlags maps the flags of a component. Other flags concern MetalLB's own pods; workload ignores them.
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
		case "bgp-debounce-timeout":
			item.markUnmapped("lbstack sends changes of routes at once and has no such timer")
		case "ml-wan-config":
			item.markUnmapped("lbstack finds failures in another way: set spec.layer2.failureDetection to Relaxed if the network between nodes loses packets")
		case "ml-bindport":
			item.markUnmapped("the speakers of lbstack use the UDP port 7575: set spec.speaker.ports.mesh to use another")
		}
	}
}

// copyMark copies the mark of a flag to its value, for a value that is an argument of its own.
func (f field) copyMark(flag, value field) {
	if e := f.o.entries[flag.path]; e != nil {
		value.markLeaves(e.Outcome, e.Target, e.Note)
	}
}
