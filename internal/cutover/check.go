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

// Cluster is what a switch depends on.
type Cluster struct {
	// Controllers and Speakers are MetalLB's workloads, Pods those of its speakers.
	Controllers []appsv1.Deployment
	Speakers    []appsv1.DaemonSet
	Pods        []corev1.Pod
	// Operators are Deployments of MetalLB's operator that run, as namespace/name.
	Operators []string
	// Others are further load balancers that run, each as a phrase for messages.
	Others []string
	// Besides are objects that announce and are not the stack's, by kind and name.
	Besides []string
	// Stack is that of the cluster; nil: it has none.
	Stack *unstructured.Unstructured
	// Services are those of type LoadBalancer.
	Services []corev1.Service
	Claims   []v1beta1.IPAddressClaim
	States   []v1beta1.SpeakerState
	Nodes    []corev1.Node
	// Announcers are the nodes that MetalLB reports to announce a Service on the local network, by the Service's name.
	Announcers map[string][]string
}

// Installed returns why the MetalLB of the cluster cannot be switched, each a sentence with what to do; none: it can.
func (c *Cluster) Installed() (problems []string) {
	if len(c.Controllers) != 1 || len(c.Speakers) != 1 {
		return []string{fmt.Sprintf("the cluster has %d Deployments of MetalLB's controller and %d DaemonSets of its speakers, and a switch needs one of each: pass the namespace of the one that serves with -n", len(c.Controllers), len(c.Speakers))}
	}
	for _, name := range c.Operators {
		problems = append(problems, fmt.Sprintf("MetalLB's operator runs (Deployment %s) and would start again what a switch stops: scale it to 0 first", name))
	}
	if HeldByFRRK8s(&c.Speakers[0]) {
		problems = append(problems, "MetalLB's sessions with routers are held by FRR-K8s, and stay when a speaker of MetalLB ends: this command does not stop it: switch by hand as docs/migrate.md says, and delete the FRRConfigurations that MetalLB made before the stack is applied")
	}
	for _, what := range c.Besides {
		problems = append(problems, fmt.Sprintf("%s is not the stack's, and lbstack follows it whatever the stack says: it and MetalLB would announce the same addresses: add what it says to the stack, and delete it first", what))
	}
	return problems
}

// Beside notes an object that announces if it is not the stack's.
func (c *Cluster) Beside(kind string, object metav1.Object) {
	if object.GetLabels()[v1beta1.LabelManagedBy] != v1beta1.ManagedByOperator {
		c.Besides = append(c.Besides, kind+" "+object.GetName())
	}
}

// Against returns what prevents a switch to a stack that the API server has accepted, each a sentence with what to do.
func (c *Cluster) Against(stack *v1beta1.LoadBalancerStack) (problems []string) {
	if problems = c.Installed(); len(problems) > 0 {
		return problems
	}
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, other := range c.Others {
		add("%s runs: it and lbstack would serve the same Services: turn it off first", other)
	}
	if class := c.class(); class != stack.Spec.LoadBalancerClass {
		add("MetalLB serves Services of the class %q and the stack those of %q: lbstack would not take over what MetalLB serves: set spec.loadBalancerClass to that of MetalLB", class, stack.Spec.LoadBalancerClass)
	}
	if len(stack.Spec.L2Advertisements) == 0 && (len(stack.Spec.BGPAdvertisements) == 0 || len(stack.Spec.BGPPeers) == 0) {
		add("the stack announces nothing: add to spec.l2Advertisements, or to spec.bgpAdvertisements and spec.bgpPeers")
	}
	if _, stopped := Left(&c.Speakers[0]); !stopped {
		if what := c.Unreachable(); what != "" {
			problems = append(problems, what)
		}
	}
	if what := c.together(); what != "" {
		add("LoadBalancerStack default has %s while speakers of MetalLB run: both would announce the same addresses, and clients would get now the one and now the other: remove it from the stack, or run kubectl lbstack migrate --rollback", what)
	}
	return problems
}

// class returns the load balancer class of the Services that MetalLB serves.
func (c *Cluster) class() string {
	for _, container := range c.Controllers[0].Spec.Template.Spec.Containers {
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

// together returns the field by which the stack of the cluster announces while speakers of MetalLB may announce the same;
// empty: none does. Announcing to routers is fine while nodes move one after the other: those that have moved have no
// speaker of MetalLB any more.
func (c *Cluster) together() string {
	moved, stopped := Left(&c.Speakers[0])
	switch {
	case c.Stack == nil || len(c.Pods) == 0 || stopped: // a switch that is there waits until they have ended
	case items(c.Stack, "l2Advertisements") > 0 && !Begun(&c.Speakers[0]): // else a switch that was interrupted: both from the same nodes
		return "spec.l2Advertisements"
	case HasRoutes(c.Stack) && len(moved) == 0:
		return "spec.bgpAdvertisements"
	}
	return ""
}

// Lost returns the Services that would not keep the addresses in their status, each as a sentence with the reason. planned
// are the addresses that each Service has with the stack, and why the reasons for losses, by the name of the Service.
func (c *Cluster) Lost(class string, planned map[string][]string, why map[string]string) (lost []string) {
	for _, svc := range c.shown(class) {
		has := planned[svc.name]
		if slices.ContainsFunc(svc.addresses, func(a string) bool { return !slices.Contains(has, a) }) {
			lost = append(lost, fmt.Sprintf("Service %s shows %s and would have %s: %s", svc.name, strings.Join(svc.addresses, ", "), cmp.Or(strings.Join(has, ", "), "none"),
				cmp.Or(why[svc.name], "see kubectl lbstack plan")))
		}
	}
	return lost
}

// shownService is a Service with the addresses in its status.
type shownService struct {
	name      string
	addresses []string
	local     bool
	announced *metav1.Condition
}

// Addresses returns how many Services of a class have addresses in their status, and how many different ones.
func (c *Cluster) Addresses(class string) (services, addresses int) {
	seen := map[string]bool{}
	list := c.shown(class)
	for _, svc := range list {
		for _, a := range svc.addresses {
			seen[a] = true
		}
	}
	return len(list), len(seen)
}

// shown returns the Services of a class that have addresses in their status, sorted by name.
func (c *Cluster) shown(class string) (list []shownService) {
	for i := range c.Services {
		svc := &c.Services[i]
		if !apiconv.ServedBy(svc, class) || !svc.DeletionTimestamp.IsZero() {
			continue
		}
		s := shownService{name: apiconv.KeyOf(svc).String(), local: isLocal(svc), announced: meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceAnnounced)}
		for _, in := range svc.Status.LoadBalancer.Ingress {
			if a, err := apiconv.ParseAddress(in.IP); err == nil {
				s.addresses = append(s.addresses, a.String())
			}
		}
		if len(s.addresses) > 0 {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y shownService) int { return cmp.Compare(x.name, y.name) })
	return list
}
