// Package cutover decides how announcing moves from MetalLB to lbstack and back: what prevents it, in which order nodes
// change, and how MetalLB's workloads and the stack look at each step. It is pure: objects in, objects or sentences out; the
// kubectl plugin reads and writes the objects. They alone hold the progress of a switch, so that one that was interrupted
// can be continued.
package cutover

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	// AnnotationBefore is the annotation of MetalLB's workloads with the fields that a switch has changed, as they were
	// before (JSON of before).
	AnnotationBefore = "lbstack.io/before-migration"
	// nowhere is a label that no node has: a DaemonSet that selects it has no pods.
	nowhere = "lbstack.io/none"
)

// GracePeriod is how long a speaker of MetalLB has to end, in seconds, and to leave its cluster: one that is killed is missed by the
// others for seconds, in which nobody answers for its addresses. Its manifest has 2 s, too little for a busy node, and its chart
// 0, with which the API server removes a pod before its process has ended.
const GracePeriod int64 = 30

// before has the fields of a workload that a switch changes, with their earlier values.
type before struct {
	Replicas       *int32                          `json:"replicas,omitempty"`
	NodeSelector   map[string]string               `json:"nodeSelector,omitempty"`
	Affinity       *corev1.Affinity                `json:"affinity,omitempty"`
	UpdateStrategy *appsv1.DaemonSetUpdateStrategy `json:"updateStrategy,omitempty"`
	// GracePeriod is nil where a version noted it that did not change it.
	GracePeriod *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// Scaled returns MetalLB's controller, changed to have no pods.
func Scaled(controller *appsv1.Deployment) (*appsv1.Deployment, error) {
	if replicas(controller) == 0 {
		return controller, nil
	}
	down := controller.DeepCopy()
	if err := note(&down.Annotations, before{Replicas: down.Spec.Replicas}); err != nil {
		return nil, err
	}
	down.Spec.Replicas = new(int32(0))
	return down, nil
}

// Started returns MetalLB's controller as it was before the switch. One that was stopped otherwise gets one pod.
func Started(controller *appsv1.Deployment) (*appsv1.Deployment, error) {
	was, noted, err := noted(controller.Annotations)
	if err != nil {
		return nil, fmt.Errorf("the Deployment %s/%s: %w", controller.Namespace, controller.Name, err)
	}
	up := controller.DeepCopy()
	delete(up.Annotations, AnnotationBefore)
	switch {
	case noted:
		up.Spec.Replicas = was.Replicas
	case replicas(controller) == 0:
		up.Spec.Replicas = new(int32(1))
	}
	return up, nil
}

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// Limited returns the DaemonSet of MetalLB's speakers, changed to leave out the nodes with these hostnames. Pods on other
// nodes stay as they are: the update strategy is OnDelete. Pods that are made again have GracePeriod.
func Limited(speakers *appsv1.DaemonSet, hostnames []string) (*appsv1.DaemonSet, error) {
	limited, err := Returned(speakers, hostnames)
	if err == nil {
		limited.Spec.Template.Spec.TerminationGracePeriodSeconds = new(GracePeriod)
	}
	return limited, err
}

// Returned is Limited for the way back. Its pods are those of before but for the nodes: others would be restarted at the end.
func Returned(speakers *appsv1.DaemonSet, hostnames []string) (*appsv1.DaemonSet, error) {
	limited, err := changeable(speakers)
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

// Stopped returns the DaemonSet of MetalLB's speakers, changed to run on no node, not even on one that joins later.
func Stopped(speakers *appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
	stopped, err := changeable(speakers)
	if err != nil {
		return nil, err
	}
	pod := &stopped.Spec.Template.Spec
	if pod.NodeSelector == nil {
		pod.NodeSelector = map[string]string{}
	}
	pod.NodeSelector[nowhere] = "true"
	pod.TerminationGracePeriodSeconds = new(GracePeriod)
	return stopped, nil
}

// changeable returns the DaemonSet as it was before the switch, with AnnotationBefore and the update strategy OnDelete.
func changeable(speakers *appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
	set, err := Restored(speakers)
	if err != nil {
		return nil, err
	}
	pod := &set.Spec.Template.Spec
	if err := note(&set.Annotations, before{NodeSelector: pod.NodeSelector, Affinity: pod.Affinity.DeepCopy(), UpdateStrategy: set.Spec.UpdateStrategy.DeepCopy(), GracePeriod: pod.TerminationGracePeriodSeconds}); err != nil {
		return nil, err
	}
	set.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	return set, nil
}

// Restored returns the DaemonSet of MetalLB's speakers as it was before the switch, even if the switch was made by hand as
// docs/migrate.md describes.
func Restored(speakers *appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
	was, noted, err := noted(speakers.Annotations)
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
	delete(pod.NodeSelector, nowhere)
	if len(pod.NodeSelector) == 0 {
		pod.NodeSelector = nil
	}
	return set, nil
}

// HeldByFRRK8s reports whether the sessions with routers belong to FRR-K8s, where they stay up when MetalLB's speaker ends.
func HeldByFRRK8s(speakers *appsv1.DaemonSet) bool {
	return slices.ContainsFunc(speakers.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == "METALLB_BGP_TYPE" && v.Value == "frr-k8s" })
	})
}

// AsFar reports whether a switch is as far by the one DaemonSet of MetalLB's speakers as by the other.
func AsFar(one, other *appsv1.DaemonSet) bool {
	left, stopped := Left(one)
	also, too := Left(other)
	return slices.Equal(left, also) && stopped == too && one.Annotations[AnnotationBefore] == other.Annotations[AnnotationBefore]
}

// Begun reports whether a switch has changed the DaemonSet of MetalLB's speakers.
func Begun(speakers *appsv1.DaemonSet) bool {
	_, begun := speakers.Annotations[AnnotationBefore]
	return begun
}

// Left returns how far a switch is: the hostnames that the DaemonSet leaves out, sorted, and whether it runs on no node.
func Left(speakers *appsv1.DaemonSet) (hostnames []string, stopped bool) {
	_, stopped = speakers.Spec.Template.Spec.NodeSelector[nowhere]
	was, changed, err := noted(speakers.Annotations)
	now, then := terms(speakers.Spec.Template.Spec.Affinity), terms(was.Affinity)
	if err != nil || !changed || len(now) == 0 {
		return nil, stopped
	}
	mine := len(now[0].MatchExpressions) - 1 // see Limited
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

// terms returns those of the required node affinity.
func terms(affinity *corev1.Affinity) []corev1.NodeSelectorTerm {
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

func note(annotations *map[string]string, was before) error {
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

func noted(annotations map[string]string) (was before, found bool, err error) {
	text, found := annotations[AnnotationBefore]
	if !found {
		return was, false, nil
	}
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return was, true, fmt.Errorf("the annotation %s, which says how it was before the switch, cannot be read: restore the workload as it was, and remove the annotation: %w", AnnotationBefore, err)
	}
	return was, true, nil
}
