package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// nodeDies freezes a node, with its network, until the rollout is complete without it, and waits
// until its speaker is replaced as well. The node has no endpoint, no route and no address, so that
// no connection depends on it. How long connections of other nodes fail is a question of
// failover (docs/benchmarks.md) and not of the rollout.
func (b *rolloutBed) nodeDies(ctx context.Context) (err error) {
	fault := bed.Faults()[1]
	healed := false
	heal := func() error {
		if healed {
			return nil
		}
		healed = true
		return fault.Heal(context.WithoutCancel(ctx), b.dies)
	}
	defer func() { err = errors.Join(err, heal()) }()
	if err := fault.Hurt(ctx, b.dies); err != nil {
		return err
	}
	stack, err := rolledOut(ctx, v1beta1.RolloutComplete)
	if err != nil {
		return err
	}
	skipped := func(n v1beta1.SkippedNode) bool { return string(n.Name) == b.dies }
	if !slices.ContainsFunc(stack.Status.Rollout.Skipped, skipped) {
		return fmt.Errorf("the rollout is complete and did not skip %s: %+v", b.dies, stack.Status.Rollout)
	}
	if err := heal(); err != nil {
		return err
	}
	return eventually.Poll(ctx, func(ctx context.Context) error {
		stack, err := rolledOut(ctx, v1beta1.RolloutComplete)
		if err == nil && (stack.Status.Rollout.Updated != stack.Status.Rollout.Total || len(stack.Status.Rollout.Skipped) > 0) {
			err = fmt.Errorf("%s is back, and the rollout is %+v", b.dies, stack.Status.Rollout)
		}
		return err
	})
}

// rolledOut waits until a rollout of the present spec is in a phase.
func rolledOut(ctx context.Context, phase v1beta1.RolloutPhase) (*v1beta1.LoadBalancerStack, error) {
	stack := &v1beta1.LoadBalancerStack{}
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		if stack.Status.Rollout == nil || stack.Status.ObservedGeneration != stack.Generation || stack.Status.Rollout.Phase != phase {
			return fmt.Errorf("the rollout is %+v", stack.Status.Rollout)
		}
		return nil
	})
	return stack, err
}

// changed waits until the rollout has another revision than before.
func changed(ctx context.Context, before *v1beta1.LoadBalancerStack) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		if s := stack.Status.Rollout; s == nil || s.Revision == before.Status.Rollout.Revision {
			return fmt.Errorf("the rollout is %+v", s)
		}
		return nil
	})
}

// inPhase waits until a rollout that was begun is in a phase.
func inPhase(ctx context.Context, phase v1beta1.RolloutPhase) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		if s := stack.Status.Rollout; s == nil || s.Phase != phase {
			return fmt.Errorf("the rollout is %+v", s)
		}
		return nil
	})
}

// wants has the operator give the components another image, and waits until no other operator runs.
func wants(image string) func(context.Context) error {
	return func(ctx context.Context) error {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: componentNamespace, Name: "lbstack-operator"}}
		patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"operator","env":[{"name":"RELATED_IMAGE_LBSTACK","value":%q}]}]}}}}`, image)
		if err := bed.Client.Patch(ctx, d, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
			return err
		}
		return eventually.Poll(ctx, func(ctx context.Context) error {
			if err := bed.Client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
				return err
			}
			if s := d.Status; s.ObservedGeneration < d.Generation || s.UpdatedReplicas != s.Replicas || s.AvailableReplicas < s.Replicas {
				return fmt.Errorf("the operator: %+v", s)
			}
			return nil
		})
	}
}

// killOperators ends the operators of all nodes without a grace period.
func killOperators(ctx context.Context) error {
	var pods corev1.PodList
	if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.MatchingLabels{v1beta1.LabelComponent: "operator"}); err != nil {
		return err
	}
	for i := range pods.Items {
		if err := client.IgnoreNotFound(bed.Client.Delete(ctx, &pods.Items[i], client.GracePeriodSeconds(0))); err != nil {
			return err
		}
	}
	return nil
}

// image returns the image that the operator gives to the components.
func image(t *testing.T) string {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: componentNamespace, Name: "lbstack-operator"}}
	must(t, bed.Client.Get(background(t), client.ObjectKeyFromObject(d), d))
	for _, env := range d.Spec.Template.Spec.Containers[0].Env {
		if env.Name == "RELATED_IMAGE_LBSTACK" {
			return env.Value
		}
	}
	t.Fatal("the operator has no image for the components")
	return ""
}

func level(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
		return patch(ctx, stack, `{"spec":{"speaker":{"logLevel":"`+name+`"}}}`)
	}
}
