package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func TestDeadNodeStopsNoRollout(t *testing.T) {
	installed(t)
	served(t)
	nodes := bed.Cluster.Nodes()
	dead := nodes[len(nodes)-1]
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
	names(v1beta1.SpeakerUnreachable)
	t.Logf("the stack named %s %.1f s after it died", dead, time.Since(killed).Seconds())
	// The rollout begins before Kubernetes notices that the node is dead, and may take its pod
	// first: the others have to follow.
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
	names(v1beta1.NodeNotReady)
	t.Logf("all other nodes were updated, and the stack was Ready, %.1f s after the node died", time.Since(killed).Seconds())
}

func patchStack(t *testing.T, patch string) {
	t.Helper()
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	must(t, bed.Client.Patch(background(t), stack, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// theStack returns the stack and its condition Ready, for the spec as it is now.
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
