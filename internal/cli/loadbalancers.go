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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/migrate"
)

// staticPodNamespace is the namespace of static pods in clusters of kubeadm.
const staticPodNamespace = "kube-system"

// loadBalancers are load balancers that run in the cluster, each as a phrase with its workload, pods or pool.
type loadBalancers struct {
	// serving are the load balancers that give addresses to Services: MetalLB, the ServiceLB of K3s,
	// kube-vip, and Cilium with a pool.
	serving []string
	// clouds are cloud controllers. Their configuration is not read completely, so it is possible that they
	// create no load balancers.
	clouds []string
}

// otherLoadBalancers returns the load balancers other than lbstack that run in the cluster. It finds only the
// kinds of load balancers that the fields of loadBalancers list.
func (c *cluster) otherLoadBalancers(ctx context.Context) (*loadBalancers, error) {
	all := &loadBalancers{}
	for _, kind := range workloadKinds {
		found, err := c.list(ctx, kind)
		if err != nil {
			return nil, err
		}
		for i := range found {
			all.addWorkload(&found[i])
		}
	}
	if err := c.addBarePods(ctx, all); err != nil {
		return nil, err
	}
	pools, err := c.list(ctx, schema.GroupKind{Group: "cilium.io", Kind: "CiliumLoadBalancerIPPool"})
	for i := range pools {
		if disabled, _, _ := unstructured.NestedBool(pools[i].Object, "spec", "disabled"); !disabled {
			all.serving = append(all.serving, fmt.Sprintf("the LB IPAM of Cilium (CiliumLoadBalancerIPPool %s)", pools[i].GetName()))
			break
		}
	}
	return all, err
}

// addWorkload adds the load balancer to which a workload belongs, if the workload has pods.
func (l *loadBalancers) addWorkload(u *unstructured.Unstructured) {
	pods, _, _ := unstructured.NestedInt64(u.Object, "status", "replicas")
	scheduled, _, _ := unstructured.NestedInt64(u.Object, "status", "desiredNumberScheduled")
	if pods+scheduled == 0 {
		return
	}
	var spec corev1.PodSpec
	content, _, _ := unstructured.NestedMap(u.Object, "spec", "template", "spec")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &spec); err != nil {
		spec = corev1.PodSpec{} // a workload that cannot be parsed is recognised by its labels alone
	}
	where := fmt.Sprintf(" (%s %s/%s)", u.GetKind(), u.GetNamespace(), u.GetName())
	if name := loadBalancerName(u, spec.Containers); name != "" {
		l.serving = append(l.serving, name+where)
	} else if balancesInCloud(spec.Containers) {
		l.clouds = append(l.clouds, cloudController+where)
	}
}

// cloudController is the phrase for a cloud controller.
const cloudController = "a cloud controller with load balancers"

// addBarePods adds kube-vip and cloud controllers that run as static pods.
func (c *cluster) addBarePods(ctx context.Context, all *loadBalancers) error {
	var kubeVIP, clouds []string
	err := listPages(ctx, c, &corev1.PodList{}, func(l *corev1.PodList) {
		for i := range l.Items {
			switch pod := &l.Items[i]; {
			case !isBarePod(pod):
			case servesKubeVIP(pod.Spec.Containers):
				kubeVIP = append(kubeVIP, pod.Name)
			case balancesInCloud(pod.Spec.Containers):
				clouds = append(clouds, pod.Name)
			}
		}
	}, client.InNamespace(staticPodNamespace))
	where := func(pods []string) string {
		return fmt.Sprintf(" (Pods of %s: %s)", staticPodNamespace, strings.Join(pods, ", "))
	}
	if len(kubeVIP) > 0 {
		all.serving = append(all.serving, "kube-vip"+where(kubeVIP))
	}
	if len(clouds) > 0 {
		all.clouds = append(all.clouds, cloudController+where(clouds))
	}
	return err
}

// loadBalancerName returns the name of the load balancer that a workload belongs to; empty if it belongs to
// none of the known load balancers.
func loadBalancerName(u *unstructured.Unstructured, containers []corev1.Container) string {
	if len(migrate.MetalLBNamespaces([]migrate.Object{{Content: u.Object}})) > 0 {
		return "MetalLB"
	}
	if _, ok := u.GetLabels()["svccontroller.k3s.cattle.io/svcname"]; ok {
		return "the ServiceLB of K3s"
	}
	if servesKubeVIP(containers) {
		return "kube-vip"
	}
	return ""
}

// serviceControllers are the names that the flag --controllers of a cloud controller can have for the
// controller that makes load balancers.
var serviceControllers = []string{"service", "service-lb-controller"}

// balancesInCloud reports whether one of the containers is a cloud controller that makes load balancers. It
// returns false if a flag or an environment variable turns the load balancers off. It does not read
// configuration files: if only a file turns them off, it returns true.
func balancesInCloud(containers []corev1.Container) bool {
	return slices.ContainsFunc(containers, func(c corev1.Container) bool {
		if !strings.Contains(strings.Join(append([]string{c.Name, c.Image}, c.Command...), " "), "cloud-controller-manager") {
			return false
		}
		disabled := func(v corev1.EnvVar) bool {
			return strings.HasSuffix(v.Name, "LOAD_BALANCERS_ENABLED") && strings.EqualFold(v.Value, "false")
		}
		return !slices.ContainsFunc(c.Env, disabled) && startsServiceController(slices.Concat(c.Command, c.Args))
	})
}

// startsServiceController reports whether the flag --controllers of a cloud controller starts the controller that makes load balancers,
// as it does by default.
func startsServiceController(args []string) bool {
	for i, arg := range args {
		value, is := strings.CutPrefix(arg, "--controllers=")
		if arg == "--controllers" && i+1 < len(args) {
			value, is = args[i+1], true
		}
		if !is {
			continue
		}
		names := strings.Split(value, ",")
		for _, name := range serviceControllers {
			switch {
			case slices.Contains(names, "-"+name):
				return false
			case slices.Contains(names, name):
				return true
			}
		}
		return slices.Contains(names, "*")
	}
	return true
}

// isBarePod reports whether a pod has not ended and belongs to no workload. A static pod is owned by its Node.
func isBarePod(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	return (owner == nil || owner.Kind == "Node") && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// servesKubeVIP reports whether one of the containers is kube-vip-cloud-provider, or kube-vip with Services
// enabled. By default kube-vip announces only the address of the API server, and serves no Services.
// Environment variables from a ConfigMap or a Secret are not read: for a container with such variables,
// servesKubeVIP returns true.
func servesKubeVIP(containers []corev1.Container) bool {
	return slices.ContainsFunc(containers, func(c corev1.Container) bool {
		switch {
		case strings.Contains(c.Image, "kube-vip-cloud-provider"): // gives addresses to Services
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
