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

// staticPods is the namespace in which kubeadm has static pods run.
const staticPods = "kube-system"

// otherLoadBalancers are those that run, in words with where.
func (c *cluster) otherLoadBalancers(ctx context.Context) (names []string, err error) {
	for _, kind := range workloads {
		found, err := c.list(ctx, kind)
		if err != nil {
			return nil, err
		}
		for i := range found {
			if name := loadBalancer(&found[i]); name != "" {
				names = append(names, fmt.Sprintf("%s (%s %s/%s)", name, found[i].GetKind(), found[i].GetNamespace(), found[i].GetName()))
			}
		}
	}
	var pods []string
	err = all(ctx, c, &corev1.PodList{}, func(l *corev1.PodList) {
		for i := range l.Items {
			if pod := &l.Items[i]; isAlone(pod) && servesKubeVIP(pod.Spec.Containers) {
				pods = append(pods, pod.Name)
			}
		}
	}, client.InNamespace(staticPods))
	if len(pods) > 0 {
		names = append(names, fmt.Sprintf("kube-vip (Pods of %s: %s)", staticPods, strings.Join(pods, ", ")))
	}
	return names, err
}

// loadBalancer is the name of the load balancer that a workload with pods belongs to; empty: none that is known.
func loadBalancer(u *unstructured.Unstructured) string {
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

// isAlone says whether a pod runs and is of no workload, as a static one, which its node owns.
func isAlone(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	return (owner == nil || owner.Kind == "Node") && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// servesKubeVIP says whether one of the containers is kube-vip and serves Services: it can also hold the address of the API
// server alone. Its default is not to serve them. Of variables from elsewhere nothing is known: then it may.
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
