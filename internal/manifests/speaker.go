package manifests

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// speakerArguments says on the command line of the speakers what the spec says
// about announcing, but for what speakers read of the stack themselves, so that it takes
// effect without a restart (spec.drain, spec.nodes, spec.layer2.conflictDetection). All of it is always said, so that a default that changes
// some day changes no running cluster unseen.
func speakerArguments(spec v1beta1.LoadBalancerStackSpec) []string {
	detection := cmp.Or(spec.Layer2.FailureDetection, v1beta1.FailureDetectionDefault)
	failback := cmp.Or(spec.Layer2.Failback, v1beta1.FailbackNever)
	return []string{
		"--failure-detection=" + strings.ToLower(string(detection)),
		"--failback=" + strings.ToLower(string(failback)),
	}
}

// speakerCapabilities are those that the speakers need besides the ones that they
// always have. Who waits for routers listens on port 179, which not everybody may.
func speakerCapabilities(spec v1beta1.LoadBalancerStackSpec) []string {
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return p.PassiveMode }) {
		return []string{"NET_BIND_SERVICE"}
	}
	return nil
}
