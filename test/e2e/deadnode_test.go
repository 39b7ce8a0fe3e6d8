package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

func TestDeadNodeStopsNoRollout(t *testing.T) {
	installed(t)
	served(t)
	dead := withoutAllControllers(t)
	t.Cleanup(func() {
		must(t, bed.Cluster.Start(background(t), dead))
		patchStack(t, `{"spec":{"speaker":{"logLevel":"Info"}}}`)
		must(t, bed.StackReady(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
	})
	must(t, bed.Cluster.Kill(dead))
	killed := time.Now()
	names := func(reason string) {
		t.Helper()
		eventually.Succeed(t, within, "the stack names "+dead+", "+reason, func(ctx context.Context) error {
			stack, ready, err := theStack(ctx)
			if err != nil {
				return err
			}
			is := slices.ContainsFunc(stack.Status.UnavailableNodes, func(n v1beta1.UnavailableNode) bool { return string(n.Name) == dead && n.Reason == reason })
			if !is || ready.Status != metav1.ConditionTrue || ready.Reason != v1beta1.ReasonNodesUnavailable || !strings.Contains(ready.Message, dead) {
				return fmt.Errorf("%+v, %+v", stack.Status.UnavailableNodes, ready)
			}
			return nil
		})
	}
	names(v1beta1.ReasonSpeakerUnreachable)
	t.Logf("the stack named %s %.1f s after it died", dead, time.Since(killed).Seconds())
	// The rollout begins before Kubernetes notices that the node is dead, and may take its pod
	// first. The rollout must still reach the other nodes.
	patchStack(t, `{"spec":{"speaker":{"logLevel":"Debug"}}}`)
	eventually.Succeed(t, within, "the speakers of all other nodes are updated", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
			return err
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			if p.Spec.NodeName != dead && !slices.Contains(p.Spec.Containers[0].Args, "--log-level=debug") {
				return fmt.Errorf("the speaker on %s is the old one", p.Spec.NodeName)
			}
		}
		return nil
	})
	names(v1beta1.ReasonNodeNotReady)
	t.Logf("all other nodes were updated, and the stack was Ready, %.1f s after the node died", time.Since(killed).Seconds())
}

// withoutAllControllers returns a node that does not have all pods of the controller: with such a
// node a controller is lost, and the stack is not Ready until another one runs.
func withoutAllControllers(t *testing.T) string {
	t.Helper()
	var pods corev1.PodList
	must(t, bed.Client.List(background(t), &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: "controller"}))
	nodes := bed.Cluster.Nodes()
	for _, node := range slices.Backward(nodes) {
		if slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.Spec.NodeName != node }) {
			return node
		}
	}
	t.Fatalf("no node is without one of %d controllers", len(pods.Items))
	return ""
}

// All nodes but one lose power at once. One speaker is left, without a peer to compare with; the
// kubelets of the dead nodes do not answer. Kubernetes notices some 40 s later.
func TestAllNodesButOneDieAtOnce(t *testing.T) {
	installed(t)
	address := served(t)
	last := leader(t)
	must(t, bed.Drain(background(t), last, true)) // another node has the address
	var owner scenario.Owner
	eventually.Succeed(t, within, "another node than "+last+" has the address", func(ctx context.Context) (err error) {
		if owner, err = bed.Settled(ctx, address); err == nil && owner.Node == last {
			err = fmt.Errorf("%s has it", last)
		}
		return err
	})
	must(t, bed.Drain(background(t), last, false))
	w := watching(t, address)
	var dead []string
	for _, node := range bed.Cluster.Nodes() {
		if node != last {
			dead = append(dead, node)
		}
	}
	t.Cleanup(func() {
		for _, node := range dead {
			must(t, bed.Cluster.Start(background(t), node))
		}
		must(t, bed.StackReady(background(t)))
		must(t, bed.EveryoneSeesEveryone(background(t)))
	})
	killed := time.Now()
	must(t, bed.Cluster.Kill(dead...))
	takenOver(t, w, address, killed, owner.MAC, failover)
	eventually.Succeed(t, soon, "the states of the dead are not current, and the Service is announced by the node that is left", func(ctx context.Context) error {
		for _, node := range dead {
			state := &v1beta1.SpeakerState{}
			if err := bed.Client.Get(ctx, client.ObjectKey{Name: node}, state); err != nil {
				return err
			}
			if c := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionCurrent); c == nil || c.Reason != v1beta1.ReasonSpeakerMissing {
				return fmt.Errorf("%s: %+v", node, c)
			}
		}
		svc := &corev1.Service{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: scenario.SampleService}, svc); err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)
		if c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "is announced by "+last) {
			state := &v1beta1.SpeakerState{}
			err := bed.Client.Get(ctx, client.ObjectKey{Name: last}, state)
			return fmt.Errorf("the Service: %+v; the speaker on %s, which is left: %+v, %v", c, last, state.Status, err)
		}
		return nil
	})
	t.Logf("the states of %s were not current %.1f s after these died", strings.Join(dead, " and "), time.Since(killed).Seconds())
}

// leader returns the node of the controller that leads.
func leader(t *testing.T) string {
	t.Helper()
	ctx := background(t)
	lease := &coordinationv1.Lease{}
	must(t, bed.Client.Get(ctx, client.ObjectKey{Namespace: componentNamespace, Name: "lbstack-controller"}, lease))
	if lease.Spec.HolderIdentity == nil {
		t.Fatal("no controller leads")
	}
	name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	pod := &corev1.Pod{}
	must(t, bed.Client.Get(ctx, client.ObjectKey{Namespace: componentNamespace, Name: name}, pod))
	return pod.Spec.NodeName
}

func patchStack(t *testing.T, patch string) {
	t.Helper()
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	must(t, bed.Client.Patch(background(t), stack, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// theStack returns the stack and its condition Ready, for the present spec.
func theStack(ctx context.Context) (*v1beta1.LoadBalancerStack, *metav1.Condition, error) {
	stack := &v1beta1.LoadBalancerStack{}
	if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
		return nil, nil, err
	}
	ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
	if ready == nil || ready.ObservedGeneration != stack.Generation {
		return nil, nil, errors.New("the stack was not looked at since the change")
	}
	return stack, ready, nil
}
