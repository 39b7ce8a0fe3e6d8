// Package cutover decides how announcements move from MetalLB to lbstack and back. It decides what prevents
// the move, in which order nodes move, and which content MetalLB's workloads and the stack have at each step.
// It is pure: objects in, objects or sentences out; the kubectl plugin reads and writes the objects. The
// progress of a switch is in these objects alone, so that an interrupted switch can be continued.
package cutover

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// AnnotationBefore is set on MetalLB's workloads. Its value is the JSON of fieldsBefore: the fields that a switch has
	// changed, with their earlier values.
	AnnotationBefore = "lbstack.io/before-migration"
	// noNodeLabel is a label that no node has: a DaemonSet that selects it has no pods.
	noNodeLabel = "lbstack.io/none"
)

// GracePeriod is how long a speaker of MetalLB has to leave the memberlist and end, in seconds. If a speaker is killed, nobody
// answers for its addresses until the other speakers detect that it has failed, which takes seconds. MetalLB's manifest sets 2 s,
// which is too short on a busy node. MetalLB's chart sets 0: the API server then removes a pod before its process has ended.
const GracePeriod int64 = 30

// LastGracePeriod is how long the last speakers of MetalLB have to end, in seconds: the shortest time that the kubelet gives. These
// speakers end at the same time, so that no speaker is left that would take over the addresses of a killed one. A speaker that blocks
// while it ends takes over the addresses of speakers that have left before it, and answers for these addresses as long as it runs.
const LastGracePeriod int64 = 2

// fieldsBefore has the fields of a workload that a switch changes, with their earlier values.
type fieldsBefore struct {
	Replicas       *int32                          `json:"replicas,omitempty"`
	NodeSelector   map[string]string               `json:"nodeSelector,omitempty"`
	Affinity       *corev1.Affinity                `json:"affinity,omitempty"`
	UpdateStrategy *appsv1.DaemonSetUpdateStrategy `json:"updateStrategy,omitempty"`
	// GracePeriod is nil if the annotation was written by a version of lbstack that did not change this field.
	GracePeriod *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// StopController returns MetalLB's controller, changed to have no pods.
func StopController(controller *appsv1.Deployment) (*appsv1.Deployment, error) {
	if replicasOf(controller) == 0 {
		return controller, nil
	}
	down := controller.DeepCopy()
	if err := writeBefore(&down.Annotations, fieldsBefore{Replicas: down.Spec.Replicas}); err != nil {
		return nil, err
	}
	down.Spec.Replicas = new(int32(0))
	return down, nil
}

// StartController returns MetalLB's controller as it was before the switch. If something else has scaled it to 0, it gets one
// replica.
func StartController(controller *appsv1.Deployment) (*appsv1.Deployment, error) {
	was, noted, err := readBefore(controller.Annotations)
	if err != nil {
		return nil, fmt.Errorf("the Deployment %s/%s: %w", controller.Namespace, controller.Name, err)
	}
	up := controller.DeepCopy()
	delete(up.Annotations, AnnotationBefore)
	switch {
	case noted:
		up.Spec.Replicas = was.Replicas
	case replicasOf(controller) == 0:
		up.Spec.Replicas = new(int32(1))
	}
	return up, nil
}

func replicasOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// LimitSpeakers returns the DaemonSet of MetalLB's speakers, changed to leave out the nodes with these hostnames. Pods on other
// nodes stay as they are, since the update strategy becomes OnDelete. Pods that are created from now on have GracePeriod.
func LimitSpeakers(speakers *appsv1.DaemonSet, hostnames []string) (*appsv1.DaemonSet, error) {
	limited, err := ReturnSpeakers(speakers, hostnames)
	if err == nil {
		limited.Spec.Template.Spec.TerminationGracePeriodSeconds = new(GracePeriod)
	}
	return limited, err
}

// ReturnSpeakers is LimitSpeakers for a rollback. It keeps the original grace period: at the end of the rollback the DaemonSet
// restarts all pods whose template is not the original one.
func ReturnSpeakers(speakers *appsv1.DaemonSet, hostnames []string) (*appsv1.DaemonSet, error) {
	limited, err := prepareSpeakers(speakers)
	if err != nil || len(hostnames) == 0 {
		return limited, err
	}
	pod := &limited.Spec.Template.Spec
	if pod.Affinity == nil {
		pod.Affinity = &corev1.Affinity{}
	}
	if pod.Affinity.NodeAffinity == nil {
		pod.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	required := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
		pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = required
	}
	for i := range required.NodeSelectorTerms { // a node needs to match only one term, so that each must leave the nodes out
		term := &required.NodeSelectorTerms[i]
		term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{
			Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpNotIn, Values: slices.Sorted(slices.Values(hostnames)),
		})
	}
	return limited, nil
}

// StopSpeakers returns the DaemonSet of MetalLB's speakers, changed to run on no node, not even on one that joins later.
func StopSpeakers(speakers *appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
	stopped, err := prepareSpeakers(speakers)
	if err != nil {
		return nil, err
	}
	pod := &stopped.Spec.Template.Spec
	if pod.NodeSelector == nil {
		pod.NodeSelector = map[string]string{}
	}
	pod.NodeSelector[noNodeLabel] = "true"
	pod.TerminationGracePeriodSeconds = new(GracePeriod)
	return stopped, nil
}

// prepareSpeakers returns the DaemonSet as it was before the switch, except that it has AnnotationBefore and the update strategy
// OnDelete.
func prepareSpeakers(speakers *appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
	set, err := RestoreSpeakers(speakers)
	if err != nil {
		return nil, err
	}
	pod := &set.Spec.Template.Spec
	if err := writeBefore(&set.Annotations, fieldsBefore{NodeSelector: pod.NodeSelector, Affinity: pod.Affinity.DeepCopy(), UpdateStrategy: set.Spec.UpdateStrategy.DeepCopy(), GracePeriod: pod.TerminationGracePeriodSeconds}); err != nil {
		return nil, err
	}
	set.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	return set, nil
}

// RestoreSpeakers returns the DaemonSet of MetalLB's speakers as it was before the switch. This includes a switch made by hand as
// docs/migrate.md describes.
func RestoreSpeakers(speakers *appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
	was, noted, err := readBefore(speakers.Annotations)
	if err != nil {
		return nil, fmt.Errorf("the DaemonSet %s/%s: %w", speakers.Namespace, speakers.Name, err)
	}
	set := speakers.DeepCopy()
	pod := &set.Spec.Template.Spec
	if noted {
		delete(set.Annotations, AnnotationBefore)
		pod.NodeSelector, pod.Affinity = was.NodeSelector, was.Affinity
		if was.UpdateStrategy != nil {
			set.Spec.UpdateStrategy = *was.UpdateStrategy
		}
		if was.GracePeriod != nil {
			pod.TerminationGracePeriodSeconds = was.GracePeriod
		}
	}
	delete(pod.NodeSelector, noNodeLabel)
	if len(pod.NodeSelector) == 0 {
		pod.NodeSelector = nil
	}
	return set, nil
}

// frrConfigurationPrefix begins the name of each FRRConfiguration that a speaker of MetalLB makes, followed by the hostname of the node
// that the object selects.
const frrConfigurationPrefix = "metallb-"

// AddFRRConfiguration adds an FRRConfiguration to FRRConfigurations if MetalLB made it and it has a router. MetalLB makes one for each
// node, even if the node has no session with a router.
func (c *Cluster) AddFRRConfiguration(object *unstructured.Unstructured) {
	routers, _, _ := unstructured.NestedSlice(object.Object, "spec", "bgp", "routers")
	hostname, _, _ := unstructured.NestedString(object.Object, "spec", "nodeSelector", "matchLabels", corev1.LabelHostname)
	if object.GetName() == frrConfigurationPrefix+hostname && len(routers) > 0 {
		c.FRRConfigurations = append(c.FRRConfigurations, object.GetNamespace()+"/"+object.GetName())
	}
}

// UsesFRRK8s reports whether MetalLB's speakers leave sessions with routers to FRR-K8s. Such a session stays up when the speaker ends.
func UsesFRRK8s(speakers *appsv1.DaemonSet) bool {
	return slices.ContainsFunc(speakers.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == "METALLB_BGP_TYPE" && v.Value == "frr-k8s" })
	})
}

// SameProgress reports whether two versions of the DaemonSet of MetalLB's speakers show the same progress of a switch.
func SameProgress(one, other *appsv1.DaemonSet) bool {
	left, stopped := SwitchProgress(one)
	also, too := SwitchProgress(other)
	return slices.Equal(left, also) && stopped == too && one.Annotations[AnnotationBefore] == other.Annotations[AnnotationBefore]
}

// HasBegun reports whether a switch has changed the DaemonSet of MetalLB's speakers.
func HasBegun(speakers *appsv1.DaemonSet) bool {
	_, begun := speakers.Annotations[AnnotationBefore]
	return begun
}

// SwitchProgress returns the progress of a switch: the hostnames that the DaemonSet leaves out, sorted, and whether the
// DaemonSet is stopped on all nodes.
func SwitchProgress(speakers *appsv1.DaemonSet) (hostnames []string, stopped bool) {
	_, stopped = speakers.Spec.Template.Spec.NodeSelector[noNodeLabel]
	was, changed, err := readBefore(speakers.Annotations)
	now, then := requiredTerms(speakers.Spec.Template.Spec.Affinity), requiredTerms(was.Affinity)
	if err != nil || !changed || len(now) == 0 {
		return nil, stopped
	}
	mine := len(now[0].MatchExpressions) - 1 // ReturnSpeakers appends one expression to each term
	if len(then) > 0 {
		mine = len(then[0].MatchExpressions)
	}
	if mine != len(now[0].MatchExpressions)-1 {
		return nil, stopped
	}
	if e := now[0].MatchExpressions[mine]; e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpNotIn {
		return e.Values, stopped
	}
	return nil, stopped
}

// requiredTerms returns the terms of the required node affinity.
func requiredTerms(affinity *corev1.Affinity) []corev1.NodeSelectorTerm {
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// writeBefore writes AnnotationBefore.
func writeBefore(annotations *map[string]string, was fieldsBefore) error {
	text, err := json.Marshal(was)
	if err != nil {
		return err
	}
	if *annotations == nil {
		*annotations = map[string]string{}
	}
	(*annotations)[AnnotationBefore] = string(text)
	return nil
}

// readBefore reads AnnotationBefore.
func readBefore(annotations map[string]string) (was fieldsBefore, found bool, err error) {
	text, found := annotations[AnnotationBefore]
	if !found {
		return was, false, nil
	}
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return was, true, fmt.Errorf("cannot read the annotation %s, which has the fields of the workload from before the switch: restore these fields by hand, and remove the annotation: %w", AnnotationBefore, err)
	}
	return was, true, nil
}
