// Package installed checks whether an installation works, for tools such as `helm test`. The operator runs only
// this check when it is started with --check.
package installed

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// operatorName is the name of the operator's Deployment.
const operatorName = "lbstack-operator"

// Check returns nil if all replicas of the operator's Deployment are updated and available, and the
// LoadBalancerStack, if there is one, is Ready for its present generation. Otherwise it returns an error.
func Check(ctx context.Context, c client.Reader, namespace string) error {
	var deployment appsv1.Deployment
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: operatorName}, &deployment); err != nil {
		return fmt.Errorf("reading the Deployment %s: %w", operatorName, err)
	}
	wanted := int32(1)
	if deployment.Spec.Replicas != nil {
		wanted = *deployment.Spec.Replicas
	}
	if s := deployment.Status; s.ObservedGeneration < deployment.Generation || s.UpdatedReplicas < wanted || s.AvailableReplicas < wanted {
		return fmt.Errorf("the Deployment %s has %d updated and %d available pods, but %d are wanted: see the pods of the Deployment", operatorName, s.UpdatedReplicas, s.AvailableReplicas, wanted)
	}
	var stack v1beta1.LoadBalancerStack
	if err := c.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, &stack); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading the LoadBalancerStack %s: %w", v1beta1.LoadBalancerStackName, err)
	}
	ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
	switch {
	case ready == nil || stack.Status.ObservedGeneration != stack.Generation:
		return fmt.Errorf("the operator has not yet reported the state of the LoadBalancerStack %s for its current spec", stack.Name)
	case ready.Status != metav1.ConditionTrue:
		return fmt.Errorf("the LoadBalancerStack %s is not Ready: %s: %s", stack.Name, ready.Reason, ready.Message)
	}
	return nil
}
