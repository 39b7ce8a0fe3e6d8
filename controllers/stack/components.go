package stack

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// componentState is the state of a workload.
type componentState struct {
	v1beta1.ComponentStatus
	// available is how many of its pods are available.
	available int32
	// settled reports whether all pods that should exist are up to date and
	// ready.
	settled bool
	// unknown means that the workload was not written or does not exist, so that its state is not known.
	unknown bool
	// failing are the problems of its pods.
	failing []podProblem
	// nowhere means that no node can run its pods.
	nowhere bool
	// missing is how many of the desired pods have not been created.
	missing int32
	// refusal is the error of the last attempt to create a pod.
	refusal string
}

// workloadState reads the state of a workload from the object that the API server returned; ok is false for
// an object of another kind. A workload can be settled although its pods on nodes that are down are not
// ready.
func workloadState(object *unstructured.Unstructured, around *clusterState) (c componentState, ok bool, err error) {
	switch object.GetKind() {
	case "Deployment":
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			return c, true, fmt.Errorf("reading the Deployment %s: %w", object.GetName(), err)
		}
		return deploymentState(&d, around.countDownDeploymentPods(around.podsOf(d.Labels[v1beta1.LabelComponent]))), true, nil
	case "DaemonSet":
		var d appsv1.DaemonSet
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			return c, true, fmt.Errorf("reading the DaemonSet %s: %w", object.GetName(), err)
		}
		return daemonSetState(&d, around.countDownDaemonPods(&d, around.podsOf(d.Labels[v1beta1.LabelComponent]))), true, nil
	}
	return c, false, nil
}

func deploymentState(d *appsv1.Deployment, down downPods) componentState {
	desired := int32(1)
	if d.Spec.Replicas != nil {
		desired = *d.Spec.Replicas
	}
	c := componentState{
		ComponentStatus: v1beta1.ComponentStatus{
			Name: d.Labels[v1beta1.LabelComponent], Kind: "Deployment",
			Desired: desired, Updated: d.Status.UpdatedReplicas, Ready: d.Status.ReadyReplicas,
		},
		available: max(0, d.Status.AvailableReplicas-down.ready),
		missing:   max(0, desired-d.Status.Replicas),
	}
	down.desired = min(down.desired, desired-1) // at least one pod has to run
	c.setSettled(d.Status.ObservedGeneration >= d.Generation, down)
	if c.settled && d.Status.Replicas > desired {
		c.settled, c.Message = false, "pods of the old template still run"
	}
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			c.refusal = condition.Message
		}
	}
	return c
}

func daemonSetState(d *appsv1.DaemonSet, down downPods) componentState {
	c := componentState{
		ComponentStatus: v1beta1.ComponentStatus{
			Name: d.Labels[v1beta1.LabelComponent], Kind: "DaemonSet",
			Desired: d.Status.DesiredNumberScheduled, Updated: d.Status.UpdatedNumberScheduled, Ready: d.Status.NumberReady,
		},
		available: max(0, d.Status.NumberAvailable-down.ready),
		missing:   max(0, d.Status.DesiredNumberScheduled-d.Status.CurrentNumberScheduled),
	}
	c.setSettled(d.Status.ObservedGeneration >= d.Generation, down)
	return c
}

// setSettled sets settled, or the message about what the workload waits for. Pods on nodes that are down do
// not count.
func (c *componentState) setSettled(observed bool, down downPods) {
	desired, ready := c.Desired-down.desired, c.Ready-down.ready
	switch {
	case !observed:
		c.Message = "Kubernetes has not observed the change yet"
	case c.Desired == 0:
		c.nowhere, c.Message = true, "no node can run its pods"
	case desired <= 0:
		c.Message = "all nodes that can run its pods are down"
	case c.Updated-down.updated < desired:
		c.Message = fmt.Sprintf("%d of %d pods are up to date", c.Updated, c.Desired) + downPhrase(down.updated)
	case ready < desired:
		c.Message = fmt.Sprintf("%d of %d pods are ready", c.Ready, c.Desired) + downPhrase(down.ready)
	default:
		c.settled = true
	}
}

// downPhrase returns a phrase with the number of pods on nodes that are down; empty: there is none.
func downPhrase(down int32) string {
	if down == 0 {
		return ""
	}
	return fmt.Sprintf(", including %d on nodes that are down", down)
}

// unknownState returns the state of a workload that was not written, or does not exist.
func unknownState(object *unstructured.Unstructured, why string) componentState {
	return componentState{
		ComponentStatus: v1beta1.ComponentStatus{Name: object.GetLabels()[v1beta1.LabelComponent], Kind: object.GetKind(), Message: why},
		unknown:         true,
	}
}
