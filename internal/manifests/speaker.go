package manifests

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// speakerArguments sets the flags of the speakers that the spec configures
// about announcing, but for what speakers read of the stack themselves, so that it takes
// effect without a restart (spec.drain, spec.nodes, spec.layer2.conflictDetection). All flags are always set, so that a default that changes
// some day changes no running cluster unseen.
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

// speakerPorts returns the ports of the spec, with their defaults.
func speakerPorts(spec v1beta1.LoadBalancerStackSpec) v1beta1.SpeakerPorts {
	ports := spec.Speaker.Ports
	return v1beta1.SpeakerPorts{
		Mesh:    cmp.Or(ports.Mesh, v1beta1.DefaultMeshPort),
		Health:  cmp.Or(ports.Health, v1beta1.DefaultHealthPort),
		Metrics: cmp.Or(ports.Metrics, v1beta1.DefaultMetricsPort),
	}
}

// declaredPorts are the ports of the container: the scheduler then finds out which nodes
// have a pod with one of them already, and the probe refers to one by its name.
func declaredPorts(spec v1beta1.LoadBalancerStackSpec) []any {
	ports := speakerPorts(spec)
	port := func(name, protocol string, number int32) map[string]any {
		return map[string]any{"name": name, "protocol": protocol, "containerPort": int64(number), "hostPort": int64(number)}
	}
	health, metrics := port("health", "TCP", ports.Health), port("metrics", "TCP", ports.Metrics)
	health["hostIP"] = "127.0.0.1"
	return []any{port("mesh", "UDP", ports.Mesh), health, metrics}
}

// speakerCapabilities are those that the speakers need besides the ones that they
// always have. Who waits for routers listens on port 179, which not everybody may.
func speakerCapabilities(spec v1beta1.LoadBalancerStackSpec) []string {
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return p.PassiveMode }) {
		return []string{"NET_BIND_SERVICE"}
	}
	return nil
}
