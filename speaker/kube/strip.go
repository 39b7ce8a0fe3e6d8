package kube

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/paged"
)

// cacheOptions defines which objects the cache stores, and which parts of them. It stores little to save
// memory, since a speaker runs on every node. The strip functions must leave every field that the speaker
// reads.
func cacheOptions(namespace string) cache.Options {
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		NewInformer:      paged.NewInformers(&corev1.Service{}, &discoveryv1.EndpointSlice{}, &corev1.Pod{}),
		ByObject: map[client.Object]cache.ByObject{
			// When a Service changes to another type, the watch of the API server sends a deletion.
			&corev1.Service{}: {
				Field:     fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer)),
				Transform: typedTransform(stripService),
			},
			&corev1.Node{}:            {Transform: typedTransform(stripNode)},
			&corev1.Namespace{}:       {Transform: typedTransform(stripNamespace)},
			&v1beta1.IPAddressClaim{}: {Transform: typedTransform(stripClaim)},
			// There is only one stack. The cache has those of its fields whose changes take effect without a restart
			// of the speaker.
			&v1beta1.LoadBalancerStack{}: {
				Field:     fields.OneTermEqualSelector("metadata.name", v1beta1.LoadBalancerStackName),
				Transform: typedTransform(stripStack),
			},
			&discoveryv1.EndpointSlice{}: {Transform: typedTransform(func(slice *discoveryv1.EndpointSlice) { *slice = *apiconv.PackEndpoints(slice) })},
			&corev1.Pod{}: {
				Namespaces: map[string]cache.Config{namespace: {}},
				Transform:  typedTransform(stripPod),
			},
			// This is the only Secret that a speaker may read.
			&corev1.Secret{}: {
				Namespaces: map[string]cache.Config{namespace: {}},
				Field:      fields.OneTermEqualSelector("metadata.name", apiconv.PasswordsSecretName),
				Transform:  typedTransform(stripSecret),
			},
		},
	}
}

// typedTransform returns a transform for one kind. Other values, such as cache.DeletedFinalStateUnknown, stay
// as they are.
func typedTransform[T any](of func(*T)) func(any) (any, error) {
	return func(in any) (any, error) {
		if object, ok := in.(*T); ok {
			of(object)
		}
		return in, nil
	}
}

func stripService(svc *corev1.Service) {
	*svc = corev1.Service{
		ObjectMeta: apiconv.TrimMeta(svc.ObjectMeta),
		Spec:       corev1.ServiceSpec{Type: svc.Spec.Type, ExternalTrafficPolicy: svc.Spec.ExternalTrafficPolicy},
		Status:     corev1.ServiceStatus{LoadBalancer: svc.Status.LoadBalancer},
	}
}

func stripStack(stack *v1beta1.LoadBalancerStack) {
	kept := v1beta1.LoadBalancerStack{ObjectMeta: apiconv.TrimMeta(stack.ObjectMeta), Spec: v1beta1.LoadBalancerStackSpec{
		Drain: stack.Spec.Drain, Nodes: stack.Spec.Nodes, Layer2: v1beta1.Layer2Spec{ConflictDetection: stack.Spec.Layer2.ConflictDetection},
	}}
	kept.Generation = stack.Generation
	*stack = kept
}

// stripNamespace leaves the name and all labels: advertisements select namespaces by labels. Only the
// metadata of namespaces is watched.
func stripNamespace(namespace *metav1.PartialObjectMetadata) {
	namespace.ObjectMeta = apiconv.NamespaceMeta(namespace.ObjectMeta)
}

// stripClaim leaves the Services that hold the address, and the node that an administrator requested for it.
// The fields about sharing the address, with up to 1024 ports for each Service, are used only by the
// controller.
func stripClaim(claim *v1beta1.IPAddressClaim) {
	kept := v1beta1.IPAddressClaim{ObjectMeta: apiconv.TrimMeta(claim.ObjectMeta), Spec: v1beta1.IPAddressClaimSpec{Address: claim.Spec.Address, Pool: claim.Spec.Pool}}
	if node := apiconv.AnnounceFromNode(claim); node != "" {
		kept.Annotations = map[string]string{v1beta1.AnnotationAnnounceFrom: string(node)}
	}
	for _, h := range claim.Spec.Holders {
		kept.Spec.Holders = append(kept.Spec.Holders, v1beta1.ClaimHolder{Namespace: h.Namespace, Name: h.Name, UID: h.UID})
	}
	*claim = kept
}

// stripNode leaves the labels, the annotations (which may drain the node), the taints, and parts of the
// status. All labels and annotations are left, whatever their size, since only the kubelet and administrators
// write them.
func stripNode(node *corev1.Node) {
	kept := corev1.Node{
		ObjectMeta: apiconv.TrimMeta(node.ObjectMeta),
		Spec:       corev1.NodeSpec{Taints: node.Spec.Taints},
	}
	kept.Labels, kept.Annotations = node.Labels, node.Annotations
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			kept.Status.Addresses = append(kept.Status.Addresses, a)
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady || c.Type == corev1.NodeNetworkUnavailable {
			// The time of the last heartbeat is left out, since it changes often.
			short := corev1.NodeCondition{Type: c.Type, Status: c.Status}
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionFalse {
				short.Reason, short.Message = c.Reason, c.Message // a node that shuts down reports it here
			}
			kept.Status.Conditions = append(kept.Status.Conditions, short)
		}
	}
	*node = kept
}

func stripSecret(secret *corev1.Secret) {
	*secret = corev1.Secret{ObjectMeta: apiconv.TrimMeta(secret.ObjectMeta), Data: secret.Data}
}

func stripPod(pod *corev1.Pod) {
	kept := corev1.Pod{
		ObjectMeta: apiconv.TrimMeta(pod.ObjectMeta),
		Spec:       corev1.PodSpec{NodeName: pod.Spec.NodeName},
		Status:     corev1.PodStatus{Phase: pod.Status.Phase, HostIP: pod.Status.HostIP, PodIP: pod.Status.PodIP},
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			kept.Status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	*pod = kept
}
