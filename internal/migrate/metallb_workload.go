package migrate

import "strings"

// workload maps what the Deployment and the DaemonSet of MetalLB say in flags.
func (in *importer) workload(o *source, root field) {
	pod := root.at("spec").at("template").at("spec")
	for _, container := range pod.at("containers").items() {
		component := ""
		image := container.at("image").text()
		for _, c := range []string{"controller", "speaker"} {
			if strings.Contains(image, "metallb") && (container.at("name").text() == c || strings.Contains(image, c)) {
				component = c
			}
		}
		if component == "" {
			continue
		}
		in.flags(container.at("args"), component)
		if component == "speaker" {
			in.nodeSelector(pod.at("nodeSelector"), "spec.speaker", &in.stack.Spec.Speaker.ComponentSpec)
			in.tolerations(pod.at("tolerations"), "spec.speaker", &in.stack.Spec.Speaker.ComponentSpec)
		} else {
			in.nodeSelector(pod.at("nodeSelector"), "spec.controller", &in.stack.Spec.Controller.ComponentSpec)
			in.tolerations(pod.at("tolerations"), "spec.controller", &in.stack.Spec.Controller.ComponentSpec)
		}
		root.ignore(isRunning)
		return
	}
	root.ignore(isOther)
}

// flags maps those of a component. Most say where the program finds its own things.
func (in *importer) flags(args field, component string) {
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
			in.class(flag)
		case "log-level":
			in.logLevel(flag, component)
		case "ignore-exclude-lb":
			if value == "" || value == "true" {
				in.stack.Spec.Nodes.IgnoreExcludeLabel = true
				item.mapped("spec.nodes.ignoreExcludeLabel")
			}
		case "bgp-debounce-timeout":
			item.unmapped("lbstack sends changes of routes at once and has no such timer")
		case "ml-wan-config":
			item.unmapped("lbstack finds failures in another way: set spec.layer2.failureDetection to Relaxed if the network between nodes loses packets")
		case "ml-bindport":
			item.unmapped("the speakers of lbstack use the UDP port 7575: set spec.speaker.ports.mesh to use another")
		}
	}
}

// copyMark has the value of a flag, which is an argument of its own, share what became of the flag.
func (f field) copyMark(flag, value field) {
	if e := f.o.entries[flag.path]; e != nil {
		value.mark(e.Outcome, e.Target, e.Note)
	}
}
