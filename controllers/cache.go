package controllers

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/paged"
)

// CacheOptions returns the options of the controllers' cache: the cached objects, and transforms that drop
// the fields which no controller reads. If a controller begins to read another field, the transform here must
// keep that field. Secrets and Pods are cached only in the given namespace.
func CacheOptions(namespace string) cache.Options {
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		NewInformer:      paged.NewPersistent(paged.NewInformers(&corev1.Service{}, &discoveryv1.EndpointSlice{}, &v1beta1.SpeakerState{}, &v1beta1.SpeakerRouteSlice{})),
		ByObject: map[client.Object]cache.ByObject{
			// With this field selector, a Service counts as deleted when its type changes.
			&corev1.Service{}: {
				Field:     fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer)),
				Transform: typedTransform(apiconv.TrimService),
			},
			&corev1.Node{}:      {Transform: typedTransform(stripNode)},
			&corev1.Namespace{}: {Transform: typedTransform(stripNamespace)},
			&v1beta1.LoadBalancerStack{}: {
				Field:     fields.OneTermEqualSelector("metadata.name", v1beta1.LoadBalancerStackName),
				Transform: typedTransform(stripStack),
			},
			&discoveryv1.EndpointSlice{}: {Transform: typedTransform(apiconv.PackEndpoints)},
			&v1beta1.SpeakerState{}:      {Transform: typedTransform(stripSpeakerState)},
			&v1beta1.SpeakerRouteSlice{}: {Transform: typedTransform(stripRouteSlice)},
			&corev1.Pod{}: {
				Namespaces: map[string]cache.Config{namespace: {}},
				Label:      labels.SelectorFromSet(labels.Set{v1beta1.LabelComponent: "speaker"}),
				Transform:  typedTransform(stripPod),
			},
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{namespace: {}}, Transform: typedTransform(stripSecret)},
		},
	}
}

// stripStack keeps the fields in the spec of the stack that decide which nodes may announce.
func stripStack(stack *v1beta1.LoadBalancerStack) *v1beta1.LoadBalancerStack {
	kept := &v1beta1.LoadBalancerStack{
		ObjectMeta: apiconv.TrimMeta(stack.ObjectMeta),
		Spec:       v1beta1.LoadBalancerStackSpec{Drain: stack.Spec.Drain, Nodes: stack.Spec.Nodes},
	}
	kept.Generation = stack.Generation
	return kept
}

// stripNode keeps the addresses and the pod networks of the node, which pools must not give to Services. It
// also keeps the creation time, the port of the kubelet, and the fields that decide whether the node may
// announce. It drops the times of conditions, since the kubelet changes them every few minutes.
func stripNode(node *corev1.Node) *corev1.Node {
	kept := &corev1.Node{
		ObjectMeta: apiconv.TrimMeta(node.ObjectMeta),
		Spec:       corev1.NodeSpec{PodCIDRs: node.Spec.PodCIDRs, Taints: node.Spec.Taints},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses, DaemonEndpoints: node.Status.DaemonEndpoints},
	}
	kept.CreationTimestamp = node.CreationTimestamp
	kept.Labels = node.Labels // their size needs no limit: only the kubelet and administrators write labels of nodes
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady || c.Type == corev1.NodeNetworkUnavailable {
			kept.Status.Conditions = append(kept.Status.Conditions, corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
		}
	}
	return kept
}

// stripPod keeps the node of a speaker's pod, and the states of the containers.
func stripPod(pod *corev1.Pod) *corev1.Pod {
	kept := &corev1.Pod{ObjectMeta: apiconv.TrimMeta(pod.ObjectMeta), Spec: corev1.PodSpec{NodeName: pod.Spec.NodeName}}
	for _, c := range pod.Status.ContainerStatuses {
		kept.Status.ContainerStatuses = append(kept.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Ready: c.Ready, State: c.State, LastTerminationState: c.LastTerminationState})
	}
	return kept
}

// stripSpeakerState keeps the status. It trims the metadata, since a speaker can write metadata of any size in
// a cluster without the admission policy for speakers.
func stripSpeakerState(state *v1beta1.SpeakerState) *v1beta1.SpeakerState {
	return &v1beta1.SpeakerState{ObjectMeta: apiconv.TrimMeta(state.ObjectMeta), Status: state.Status}
}

// stripRouteSlice keeps the routes of a slice; see stripSpeakerState.
func stripRouteSlice(slice *v1beta1.SpeakerRouteSlice) *v1beta1.SpeakerRouteSlice {
	return &v1beta1.SpeakerRouteSlice{ObjectMeta: apiconv.TrimMeta(slice.ObjectMeta), Node: slice.Node, Routes: slice.Routes}
}

// stripNamespace keeps all labels of a Namespace. Its parameter is a PartialObjectMetadata, since controllers
// watch only the metadata of Namespaces.
func stripNamespace(namespace *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: namespace.TypeMeta, ObjectMeta: apiconv.NamespaceMeta(namespace.ObjectMeta)}
}

// stripSecret keeps the data of the Secret with the copied passwords, and the password in a Secret of the type
// for passwords. It drops the data of other Secrets. It always keeps the type, so that the condition of a
// BGPPeer can report that its Secret has the wrong type.
func stripSecret(secret *corev1.Secret) *corev1.Secret {
	kept := &corev1.Secret{ObjectMeta: apiconv.TrimMeta(secret.ObjectMeta), Type: secret.Type}
	switch {
	case secret.Name == apiconv.PasswordsSecretName:
		kept.Data = secret.Data
	case secret.Type == corev1.SecretTypeBasicAuth:
		kept.Data = map[string][]byte{corev1.BasicAuthPasswordKey: secret.Data[corev1.BasicAuthPasswordKey]}
	}
	return kept
}

// typedTransform returns a transform for objects of one type. The transform returns anything else, such as a
// tombstone, unchanged.
func typedTransform[T any](of func(*T) *T) func(any) (any, error) {
	return func(in any) (any, error) {
		if object, ok := in.(*T); ok {
			return of(object), nil
		}
		return in, nil
	}
}
