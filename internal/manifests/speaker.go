package manifests

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// defaultDrainKey drains a node when the spec does not say which keys do; the
// CRD has the same default.
const defaultDrainKey v1beta1.DrainKey = "lbstack.io/drain"

// speakerArguments says on the command line of the speakers what the spec says
// about announcing. All of it is always said, so that a default that changes
// some day changes no running cluster unseen.
func speakerArguments(spec v1beta1.LoadBalancerStackSpec) []string {
	detection := cmp.Or(spec.Layer2.FailureDetection, v1beta1.FailureDetectionDefault)
	failback := cmp.Or(spec.Layer2.Failback, v1beta1.FailbackNever)
	return []string{
		"--failure-detection=" + strings.ToLower(string(detection)),
		"--failback=" + strings.ToLower(string(failback)),
		"--drain-taints=" + drainKeys(spec.Drain.Taints),
		"--drain-labels=" + drainKeys(spec.Drain.Labels),
		"--drain-annotations=" + drainKeys(spec.Drain.Annotations),
	}
}

// drainKeys lists keys as the speaker reads them. A list that is empty and not
// missing drains nothing.
func drainKeys(keys []v1beta1.DrainKey) string {
	if keys == nil {
		keys = []v1beta1.DrainKey{defaultDrainKey}
	}
	words := make([]string, 0, len(keys))
	for _, key := range keys {
		words = append(words, string(key))
	}
	return strings.Join(words, ",")
}

// speakerCapabilities are those that the speakers need besides the ones that they
// always have. Who waits for routers listens on port 179, which not everybody may.
func speakerCapabilities(spec v1beta1.LoadBalancerStackSpec) []string {
	if slices.ContainsFunc(spec.BGPPeers, func(p v1beta1.StackBGPPeer) bool { return p.PassiveMode }) {
		return []string{"NET_BIND_SERVICE"}
	}
	return nil
}
