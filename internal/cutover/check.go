package cutover

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// Cluster has the objects that a switch depends on.
type Cluster struct {
	// Controllers and Speakers are MetalLB's workloads. Pods are the pods of its speakers.
	Controllers []appsv1.Deployment
	Speakers    []appsv1.DaemonSet
	Pods        []corev1.Pod
	// Operators are Deployments of MetalLB's operator that run, as namespace/name.
	Operators []string
	// OtherMetalLBs are workloads of MetalLB that run outside the namespace of Controllers and Speakers.
	OtherMetalLBs []OtherMetalLB
	// FRRConfigurations are the objects that define the sessions with routers that FRR-K8s runs for MetalLB,
	// as namespace/name. They are read only if UsesFRRK8s returns true.
	FRRConfigurations []string
	// Others are load balancers that run beside MetalLB, each as a phrase for messages. They are not read for a rollback.
	Others []string
	// Unmanaged are the advertisements and BGPPeers that do not belong to the stack, by kind and name.
	Unmanaged []string
	// Stack is the LoadBalancerStack of the cluster; nil if there is none.
	Stack *unstructured.Unstructured
	// Services are all Services of the cluster.
	Services []corev1.Service
	Claims   []v1beta1.IPAddressClaim
	// Pools are the IPAddressPools. They are read only for UnpreparedReason.
	Pools  []v1beta1.IPAddressPool
	States []v1beta1.SpeakerState
	Nodes  []corev1.Node
	// Announcers are the nodes from which MetalLB announces each Service on the local network, as MetalLB reports. The key is
	// namespace/name of the Service.
	Announcers map[string][]string
}

// OtherMetalLB is a workload of MetalLB that a switch does not change.
type OtherMetalLB struct {
	// Name is the kind, namespace and name of the workload, as a phrase for messages.
	Name string
	// Class is the load balancer class of the Services that the workload serves; empty: Services without a class.
	Class string
}

// InstallationProblems returns why a switch cannot handle this installation of MetalLB, each reason as a
// sentence with what to do. The parameter routes means that the stack announces to routers.
func (c *Cluster) InstallationProblems(routes bool) (problems []string) {
	if len(c.Controllers) != 1 || len(c.Speakers) != 1 {
		return []string{fmt.Sprintf("the cluster has %d Deployments of MetalLB's controller and %d DaemonSets of its speakers, but a switch needs exactly one of each: pass the namespace of MetalLB with -n", len(c.Controllers), len(c.Speakers))}
	}
	for _, name := range c.Operators {
		problems = append(problems, fmt.Sprintf("MetalLB's operator runs (Deployment %s), and would restart the workloads that a switch stops: scale this Deployment to 0 first", name))
	}
	if problem := c.frrMessage(routes); problem != "" {
		problems = append(problems, problem)
	}
	for _, what := range c.Unmanaged {
		problems = append(problems, fmt.Sprintf("%s does not belong to the stack, and lbstack uses it in every step of a switch: lbstack and MetalLB would announce the same addresses: first move the settings of this object into the stack, and delete the object", what))
	}
	return problems
}

// frrMessage returns a sentence with the reason why a switch cannot handle the sessions that FRR-K8s runs for
// MetalLB. It is empty if MetalLB does not use FRR-K8s, or announces to no router. Since version 0.16,
// MetalLB's chart installs FRR-K8s whether or not there are routers.
func (c *Cluster) frrMessage(routes bool) string {
	var evidence string
	switch {
	case !UsesFRRK8s(&c.Speakers[0]):
		return ""
	case len(c.FRRConfigurations) > 0:
		evidence = "FRRConfiguration " + c.FRRConfigurations[0] + " has sessions of MetalLB"
	case routes:
		evidence = "the stack announces to routers"
	default:
		return ""
	}
	return fmt.Sprintf("MetalLB uses FRR-K8s for sessions with routers, and %s: such a session stays up when MetalLB's speaker ends, and this command cannot end it: switch by hand as docs/migrate.md describes, and before you apply the stack, delete the FRRConfigurations that MetalLB made", evidence)
}

// AddUnmanaged adds an advertisement or a BGPPeer to Unmanaged if it does not belong to the stack.
func (c *Cluster) AddUnmanaged(kind string, object metav1.Object) {
	if object.GetLabels()[v1beta1.LabelManagedBy] != v1beta1.ManagedByOperator {
		c.Unmanaged = append(c.Unmanaged, kind+" "+object.GetName())
	}
}

// SwitchProblems returns the problems that prevent a switch to a stack, each as a sentence with what to do.
// The API server must have accepted the stack in a dry run.
func (c *Cluster) SwitchProblems(stack *v1beta1.LoadBalancerStack) (problems []string) {
	if problems = c.InstallationProblems(len(stack.Spec.BGPAdvertisements) > 0 && len(stack.Spec.BGPPeers) > 0); len(problems) > 0 {
		return problems
	}
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, other := range c.Others {
		add("%s runs, and would serve the same Services as lbstack: turn it off first", other)
	}
	for _, other := range c.OtherMetalLBs {
		if other.Class == stack.Spec.LoadBalancerClass {
			add("MetalLB also runs in another namespace (%s), and would announce the same addresses as lbstack: turn it off first", other.Name)
		}
	}
	if class := c.servedClass(); class != stack.Spec.LoadBalancerClass {
		add("MetalLB serves Services %s, and the stack serves Services %s: lbstack would not take over the Services of MetalLB: make spec.loadBalancerClass of the stack equal to the flag --lb-class of MetalLB's controller", classPhrase(class), classPhrase(stack.Spec.LoadBalancerClass))
	}
	if len(stack.Spec.L2Advertisements) == 0 && (len(stack.Spec.BGPAdvertisements) == 0 || len(stack.Spec.BGPPeers) == 0) {
		add("the stack announces nothing: add items to spec.l2Advertisements, or to spec.bgpAdvertisements and spec.bgpPeers")
	}
	if _, stopped := SwitchProgress(&c.Speakers[0]); !stopped {
		if what := c.UnreachableNodeMessage(); what != "" {
			problems = append(problems, what)
		}
	}
	if what := c.jointField(); what != "" {
		remedy := "remove the field from the stack"
		if c.HasSwitchBegun() {
			remedy += ", or run kubectl lbstack migrate --rollback"
		}
		add("LoadBalancerStack default has %s while speakers of MetalLB run: MetalLB and lbstack would announce the same addresses, and clients would alternate between the two: %s", what, remedy)
	}
	return problems
}

// classPhrase returns a phrase for the Services of a load balancer class; empty: Services without a class.
func classPhrase(class string) string {
	if class == "" {
		return "without a load balancer class"
	}
	return fmt.Sprintf("of the class %q", class)
}

// servedClass returns the load balancer class of the Services that MetalLB serves; empty: Services without a class.
func (c *Cluster) servedClass() string { return classFlag(&c.Controllers[0].Spec.Template.Spec) }

// AddOtherMetalLB adds a workload of MetalLB to OtherMetalLBs.
func (c *Cluster) AddOtherMetalLB(kind string, workload metav1.Object, pod *corev1.PodSpec) {
	c.OtherMetalLBs = append(c.OtherMetalLBs, OtherMetalLB{Name: fmt.Sprintf("%s %s/%s", kind, workload.GetNamespace(), workload.GetName()), Class: classFlag(pod)})
}

// classFlag returns the load balancer class that the flags of MetalLB's controller or speaker have; empty: none.
func classFlag(pod *corev1.PodSpec) string {
	for _, container := range pod.Containers {
		for i, arg := range container.Args {
			name, value, inOne := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			if name == "lb-class" && !inOne && i+1 < len(container.Args) {
				value = container.Args[i+1]
			}
			if name == "lb-class" {
				return value
			}
		}
	}
	return ""
}

// jointField returns the field of the stack in the cluster by which lbstack announces addresses that MetalLB's speakers may
// announce too; empty if there is none. Routes are no conflict once a node has moved: lbstack has sessions only on nodes
// that have moved, and no speaker of MetalLB runs there.
func (c *Cluster) jointField() string {
	moved, stopped := SwitchProgress(&c.Speakers[0])
	switch {
	case c.Stack == nil || len(c.Pods) == 0 || stopped: // when stopped, the switch waits until the last pods have ended
	case fieldLength(c.Stack, "l2Advertisements") > 0 && !HasBegun(&c.Speakers[0]): // in an interrupted switch both may announce, from the same nodes
		return "spec.l2Advertisements"
	case HasRoutes(c.Stack) && len(moved) == 0:
		return "spec.bgpAdvertisements"
	}
	return ""
}

// LostAddresses returns a sentence with the reason for each Service that would not keep the addresses in its
// status. The map planned has the addresses of each Service under the new stack, and the map why has the
// reason why a Service loses addresses. The keys are namespace/name.
func (c *Cluster) LostAddresses(class string, planned map[string][]string, why map[string]string) (lost []string) {
	for _, svc := range c.shownServices(class) {
		has := planned[svc.name]
		if slices.ContainsFunc(svc.addresses, func(a string) bool { return !slices.Contains(has, a) }) {
			lost = append(lost, fmt.Sprintf("Service %s has %s in its status, and would have %s: %s", svc.name, strings.Join(svc.addresses, ", "), cmp.Or(strings.Join(has, ", "), "none"),
				cmp.Or(why[svc.name], "see kubectl lbstack plan")))
		}
	}
	return lost
}

// serviceAddresses is a Service with the addresses in its status.
type serviceAddresses struct {
	name      string // namespace/name
	addresses []string
	local     bool // externalTrafficPolicy: Local
	announced *metav1.Condition
}

// CountAddresses returns how many Services of a class have addresses in their status, and how many different
// addresses these are.
func (c *Cluster) CountAddresses(class string) (services, addresses int) {
	seen := map[string]bool{}
	list := c.shownServices(class)
	for _, svc := range list {
		for _, a := range svc.addresses {
			seen[a] = true
		}
	}
	return len(list), len(seen)
}

// shownServices returns the Services of a class that have addresses in their status, sorted by name.
func (c *Cluster) shownServices(class string) (list []serviceAddresses) {
	for i := range c.Services {
		svc := &c.Services[i]
		if !apiconv.IsServedBy(svc, class) || !svc.DeletionTimestamp.IsZero() {
			continue
		}
		s := serviceAddresses{name: apiconv.KeyOf(svc).String(), local: isLocal(svc), announced: meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)}
		for _, in := range svc.Status.LoadBalancer.Ingress {
			if a, err := apiconv.ParseAddress(in.IP); err == nil {
				s.addresses = append(s.addresses, a.String())
			}
		}
		if len(s.addresses) > 0 {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y serviceAddresses) int { return cmp.Compare(x.name, y.name) })
	return list
}
