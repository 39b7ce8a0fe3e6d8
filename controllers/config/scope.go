package config

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/eligibility"
)

// ReadDrainPolicy reads the drain policy from the LoadBalancerStack.
func ReadDrainPolicy(ctx context.Context, reader client.Reader) (apiconv.DrainPolicy, error) {
	stack := &v1beta1.LoadBalancerStack{}
	err := reader.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack)
	if apierrors.IsNotFound(err) {
		return apiconv.ParseDrainPolicy(nil), nil
	}
	if err != nil {
		return apiconv.DrainPolicy{}, fmt.Errorf("reading the LoadBalancerStack: %w", err)
	}
	return apiconv.ParseDrainPolicy(stack), nil
}

// ReadNodes reads the nodes of the cluster, in any order.
func ReadNodes(ctx context.Context, reader client.Reader) ([]eligibility.Node, error) {
	policy, err := ReadDrainPolicy(ctx, reader)
	if err != nil {
		return nil, err
	}
	var list corev1.NodeList
	if err := reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	nodes := make([]eligibility.Node, 0, len(list.Items))
	for i := range list.Items {
		nodes = append(nodes, apiconv.ParseNode(&list.Items[i], policy))
	}
	return nodes, nil
}

// NodeChanged is a predicate for changes of the fields that decide whether a node announces, which are the
// fields that ParseNode returns. It compares with reflect, since equality.Semantic panics on types with
// unexported fields, such as netip.Addr.
var NodeChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Node)
	now, also := e.ObjectNew.(*corev1.Node)
	return !ok || !also || !reflect.DeepEqual(apiconv.ParseNode(before, apiconv.DrainPolicy{}), apiconv.ParseNode(now, apiconv.DrainPolicy{}))
}}
