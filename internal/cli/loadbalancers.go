package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/migrate"
)

// staticPodNamespace is the namespace of static pods in clusters of kubeadm.
const staticPodNamespace = "kube-system"

// otherLoadBalancers returns the load balancers that run in the cluster, of those that it knows: MetalLB, the ServiceLB of K3s and
// kube-vip. Each is a phrase with its workload or pods.
func (c *cluster) otherLoadBalancers(ctx context.Context) (names []string, err error) {
	for _, kind := range workloadKinds {
		found, err := c.list(ctx, kind)
		if err != nil {
			return nil, err
		}
		for i := range found {
			if name := loadBalancerName(&found[i]); name != "" {
				names = append(names, fmt.Sprintf("%s (%s %s/%s)", name, found[i].GetKind(), found[i].GetNamespace(), found[i].GetName()))
			}
		}
	}
	var pods []string
	err = listPages(ctx, c, &corev1.PodList{}, func(l *corev1.PodList) {
		for i := range l.Items {
			if pod := &l.Items[i]; isBarePod(pod) && servesKubeVIP(pod.Spec.Containers) {
				pods = append(pods, pod.Name)
			}
		}
	}, client.InNamespace(staticPodNamespace))
	if len(pods) > 0 {
		names = append(names, fmt.Sprintf("kube-vip (Pods of %s: %s)", staticPodNamespace, strings.Join(pods, ", ")))
	}
	return names, err
}

// loadBalancerName returns the name of the load balancer that a workload belongs to; empty if it is none that is known, or if the
// workload has no pods.
func loadBalancerName(u *unstructured.Unstructured) string {
	pods, _, _ := unstructured.NestedInt64(u.Object, "status", "replicas")
	scheduled, _, _ := unstructured.NestedInt64(u.Object, "status", "desiredNumberScheduled")
	if pods+scheduled == 0 {
		return ""
	}
	if len(migrate.MetalLBNamespaces([]migrate.Object{{Content: u.Object}})) > 0 {
		return "MetalLB"
	}
	if _, ok := u.GetLabels()["svccontroller.k3s.cattle.io/svcname"]; ok {
		return "the ServiceLB of K3s"
	}
	var spec corev1.PodSpec
	content, _, _ := unstructured.NestedMap(u.Object, "spec", "template", "spec")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &spec); err == nil && servesKubeVIP(spec.Containers) {
		return "kube-vip"
	}
	return ""
}

// isBarePod reports whether a pod has not ended and belongs to no workload. A static pod is owned by its Node.
func isBarePod(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	return (owner == nil || owner.Kind == "Node") && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// servesKubeVIP reports whether one of the containers is kube-vip-cloud-provider, or kube-vip with Services enabled. By default
// kube-vip has only the address of the API server, and no Services. Variables from a ConfigMap or a Secret are not read: such
// a container counts as enabled.
func servesKubeVIP(containers []corev1.Container) bool {
	return slices.ContainsFunc(containers, func(c corev1.Container) bool {
		switch {
		case strings.Contains(c.Image, "kube-vip-cloud-provider"): // gives the addresses
			return true
		case !strings.Contains(c.Image, "kube-vip"):
			return false
		}
		flag := func(arg string) bool { return arg == "--services" || arg == "--services=true" }
		enabled := func(v corev1.EnvVar) bool {
			return v.Name == "svc_enable" && (v.ValueFrom != nil || strings.EqualFold(v.Value, "true") || v.Value == "1")
		}
		return len(c.EnvFrom) > 0 || slices.ContainsFunc(c.Env, enabled) || slices.ContainsFunc(c.Args, flag) || slices.ContainsFunc(c.Command, flag)
	})
}
