package manifests

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// speakerArguments returns the flags of the speakers for ports and layer 2. There are no flags for
// spec.drain, spec.nodes and spec.layer2.conflictDetection: speakers read these fields from the stack, so
// that a change takes effect without a restart. All flags are always set, so that a new default of a flag
// does not change running clusters.
func speakerArguments(spec v1beta1.LoadBalancerStackSpec) []string {
	detection := cmp.Or(spec.Layer2.FailureDetection, v1beta1.FailureDetectionDefault)
	failback := cmp.Or(spec.Layer2.Failback, v1beta1.FailbackNever)
	ports := speakerPorts(spec)
	return []string{
		fmt.Sprintf("--mesh-port=%d", ports.Mesh),
		fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", ports.Health),
		fmt.Sprintf("--metrics-bind-address=:%d", ports.Metrics),
		"--failure-detection=" + strings.ToLower(string(detection)),
		"--failback=" + strings.ToLower(string(failback)),
	}
}

// speakerPorts returns the ports in the spec, with the defaults for ports that are not set.
func speakerPorts(spec v1beta1.LoadBalancerStackSpec) v1beta1.SpeakerPorts {
	ports := spec.Speaker.Ports
	return v1beta1.SpeakerPorts{
		Mesh:    cmp.Or(ports.Mesh, v1beta1.DefaultMeshPort),
		Health:  cmp.Or(ports.Health, v1beta1.DefaultHealthPort),
		Metrics: cmp.Or(ports.Metrics, v1beta1.DefaultMetricsPort),
	}
}

// declaredPorts returns the ports of the container. The scheduler needs them to avoid nodes on which another
// pod uses one of these ports. The probe needs them to refer to a port by its name.
func declaredPorts(spec v1beta1.LoadBalancerStackSpec) []any {
	ports := speakerPorts(spec)
	port := func(name, protocol string, number int32) map[string]any {
		return map[string]any{"name": name, "protocol": protocol, "containerPort": int64(number), "hostPort": int64(number)}
	}
	health, metrics := port("health", "TCP", ports.Health), port("metrics", "TCP", ports.Metrics)
	health["hostIP"] = "127.0.0.1"
	return []any{port("mesh", "UDP", ports.Mesh), health, metrics}
}

// speakerCapabilities returns the capabilities that the spec requires in addition to those in the manifests.
// A passive peer requires a listener on port 179, which is a privileged port.
func speakerCapabilities(spec v1beta1.LoadBalancerStackSpec) []string {
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return p.PassiveMode }) {
		return []string{"NET_BIND_SERVICE"}
	}
	return nil
}
