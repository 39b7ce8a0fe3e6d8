package controllers

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// CacheOptions say what the controllers need of the cluster in memory. What is read
// somewhere must be kept here. Secrets are read in one namespace.
func CacheOptions(namespace string) cache.Options {
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}: {Transform: stripNode},
			&v1beta1.LoadBalancerStack{}: {
				Field:     fields.OneTermEqualSelector("metadata.name", v1beta1.LoadBalancerStackName),
				Transform: stripStack,
			},
			&discoveryv1.EndpointSlice{}: {Transform: stripEndpoints},
			&corev1.Secret{}:             {Namespaces: map[string]cache.Config{namespace: {}}, Transform: stripSecret},
		},
	}
}

// stripMeta keeps what identifies an object, and its labels.
func stripMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, Labels: m.Labels, DeletionTimestamp: m.DeletionTimestamp,
	}
}

// stripStack keeps of the stack what it says of nodes.
func stripStack(object any) (any, error) {
	stack, ok := object.(*v1beta1.LoadBalancerStack)
	if !ok {
		return object, nil
	}
	kept := &v1beta1.LoadBalancerStack{
		ObjectMeta: stripMeta(stack.ObjectMeta),
		Spec:       v1beta1.LoadBalancerStackSpec{Drain: stack.Spec.Drain, Nodes: stack.Spec.Nodes},
	}
	kept.Generation = stack.Generation
	return kept, nil
}

// stripNode keeps of a node its addresses, which no Service can have, and what
// decides whether it may announce. When a condition was last looked at is dropped:
// the kubelet writes that every few minutes.
func stripNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	kept := &corev1.Node{
		ObjectMeta: stripMeta(node.ObjectMeta),
		Spec:       corev1.NodeSpec{PodCIDRs: node.Spec.PodCIDRs, Taints: node.Spec.Taints},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses},
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady || c.Type == corev1.NodeNetworkUnavailable {
			kept.Status.Conditions = append(kept.Status.Conditions, corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
		}
	}
	return kept, nil
}

// stripSecret keeps the passwords of BGP sessions, and the copy of them. Of other Secrets it
// keeps the type, which says why they hold no password.
func stripSecret(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	kept := &corev1.Secret{ObjectMeta: stripMeta(secret.ObjectMeta), Type: secret.Type}
	switch {
	case secret.Name == apiconv.PasswordsSecretName:
		kept.Data = secret.Data
	case secret.Type == corev1.SecretTypeBasicAuth:
		kept.Data = map[string][]byte{corev1.BasicAuthPasswordKey: secret.Data[corev1.BasicAuthPasswordKey]}
	}
	return kept, nil
}

// stripEndpoints keeps of the endpoints of Services whether they serve, and where.
func stripEndpoints(object any) (any, error) {
	slice, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return object, nil
	}
	kept := &discoveryv1.EndpointSlice{ObjectMeta: stripMeta(slice.ObjectMeta), AddressType: slice.AddressType}
	service := slice.Labels[discoveryv1.LabelServiceName]
	kept.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	if service == "" {
		return kept, nil
	}
	kept.Endpoints = make([]discoveryv1.Endpoint, 0, len(slice.Endpoints))
	for _, e := range slice.Endpoints {
		kept.Endpoints = append(kept.Endpoints, discoveryv1.Endpoint{Conditions: e.Conditions, NodeName: e.NodeName})
	}
	return kept, nil
}
