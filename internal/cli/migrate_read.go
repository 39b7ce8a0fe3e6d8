package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
	"github.com/lbstack/lbstack/internal/migrate"
)

// readAll reads everything that a switch and a rollback depend on. A switch also needs readOthers.
func (m *migrateRun) readAll(ctx context.Context) (*cutover.Cluster, error) {
	c, err := m.readState(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.findWorkloads(ctx, c); err != nil {
		return nil, err
	}
	if err := m.findFRRConfigurations(ctx, c); err != nil {
		return nil, err
	}
	if err := m.findUnmanaged(ctx, c); err != nil {
		return nil, err
	}
	if len(c.Speakers) == 1 {
		c.Pods, err = m.pods(ctx, &c.Speakers[0])
	}
	return c, err
}

// readOthers reads the load balancers that run beside MetalLB.
func (m *migrateRun) readOthers(ctx context.Context, c *cutover.Cluster) error {
	others, err := m.otherLoadBalancers(ctx)
	if err != nil {
		return err
	}
	for _, other := range others.serving {
		if !strings.HasPrefix(other, "MetalLB (") {
			c.Others = append(c.Others, other)
		}
	}
	return nil
}

// readState reads the objects of a Cluster that change during a switch: the stack, Services, Nodes, claims and SpeakerStates.
func (m *migrateRun) readState(ctx context.Context) (*cutover.Cluster, error) {
	if _, err := m.connect(); err != nil {
		return nil, err
	}
	c := &cutover.Cluster{}
	stack := &unstructured.Unstructured{}
	stack.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
	switch err := m.api.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); {
	case meta.IsNoMatchError(err):
		return nil, errors.New("the API server does not have the kinds of lbstack: install lbstack first")
	case client.IgnoreNotFound(err) != nil:
		return nil, missingRight(err)
	case err == nil:
		c.Stack = stack
	}
	return c, errors.Join(
		listPages(ctx, m.cluster, &corev1.ServiceList{}, func(l *corev1.ServiceList) { c.Services = append(c.Services, l.Items...) }),
		listPages(ctx, m.cluster, &corev1.NodeList{}, func(l *corev1.NodeList) { c.Nodes = append(c.Nodes, l.Items...) }),
		listPages(ctx, m.cluster, &v1beta1.IPAddressClaimList{}, func(l *v1beta1.IPAddressClaimList) { c.Claims = append(c.Claims, l.Items...) }),
		listPages(ctx, m.cluster, &v1beta1.SpeakerStateList{}, func(l *v1beta1.SpeakerStateList) { c.States = append(c.States, l.Items...) }),
	)
}

// findWorkloads finds MetalLB's workloads in the namespace of -n or, without -n, in all namespaces. With -n, workloads of MetalLB that
// run in another namespace count as another MetalLB (OtherMetalLBs). MetalLB's operator is found in any namespace.
func (m *migrateRun) findWorkloads(ctx context.Context, c *cutover.Cluster) error {
	for _, kind := range workloadKinds {
		found, err := m.list(ctx, kind)
		if err != nil {
			return err
		}
		for i := range found {
			if err := m.addWorkload(c, &found[i]); err != nil {
				return fmt.Errorf("reading %s %s/%s: %w", found[i].GetKind(), found[i].GetNamespace(), found[i].GetName(), err)
			}
		}
	}
	return nil
}

// addWorkload adds a Deployment or DaemonSet to the cluster if it belongs to MetalLB.
func (m *migrateRun) addWorkload(c *cutover.Cluster, u *unstructured.Unstructured) error {
	component := migrate.MetalLBComponent(migrate.Object{Content: u.Object})
	other := m.flags.Namespace != nil && *m.flags.Namespace != "" && *m.flags.Namespace != u.GetNamespace()
	switch {
	case strings.Contains(u.GetName(), "metallb-operator-controller") && replicasOf(u) > 0:
		c.Operators = append(c.Operators, u.GetNamespace()+"/"+u.GetName())
	case component == "controller" && u.GetKind() == "Deployment":
		d := appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &d); err != nil {
			return err
		}
		switch {
		case !other:
			c.Controllers = append(c.Controllers, d)
		case d.Status.Replicas > 0:
			c.AddOtherMetalLB(u.GetKind(), u, &d.Spec.Template.Spec)
		}
	case component == "speaker" && u.GetKind() == "DaemonSet":
		set := appsv1.DaemonSet{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &set); err != nil {
			return err
		}
		switch {
		case !other:
			c.Speakers = append(c.Speakers, set)
		case set.Status.DesiredNumberScheduled > 0:
			c.AddOtherMetalLB(u.GetKind(), u, &set.Spec.Template.Spec)
		}
	}
	return nil
}

// findFRRConfigurations finds the FRRConfigurations that MetalLB made, if MetalLB uses FRR-K8s: FRR-K8s runs MetalLB's sessions with
// routers according to these objects. They may be in the namespace of FRR-K8s instead of MetalLB's.
func (m *migrateRun) findFRRConfigurations(ctx context.Context, c *cutover.Cluster) error {
	if len(c.Speakers) != 1 || !cutover.UsesFRRK8s(&c.Speakers[0]) {
		return nil
	}
	found, err := m.list(ctx, schema.GroupKind{Group: "frrk8s.metallb.io", Kind: "FRRConfiguration"})
	for i := range found {
		c.AddFRRConfiguration(&found[i])
	}
	return err
}

// replicasOf returns the number of pods that a Deployment has.
func replicasOf(u *unstructured.Unstructured) int64 {
	n, _, _ := unstructured.NestedInt64(u.Object, "status", "replicas")
	return n
}

// readAnnouncers reads from which nodes MetalLB announces Services on the local network (ServiceL2Status).
func (m *migrateRun) readAnnouncers(ctx context.Context, c *cutover.Cluster) error {
	found, err := m.list(ctx, schema.GroupKind{Group: "metallb.io", Kind: "ServiceL2Status"})
	for i := range found {
		c.AddAnnouncer(&found[i])
	}
	return err
}

// readEndpoints reads the EndpointSlices of all Services.
func (m *migrateRun) readEndpoints(ctx context.Context) (slices []discoveryv1.EndpointSlice, err error) {
	err = listPages(ctx, m.cluster, &discoveryv1.EndpointSliceList{}, func(l *discoveryv1.EndpointSliceList) { slices = append(slices, l.Items...) })
	return slices, err
}

// podsOf returns the pods that a selector of a workload selects, including pods that are ending.
func (m *migrateRun) podsOf(ctx context.Context, namespace string, selector *metav1.LabelSelector) (pods []corev1.Pod, err error) {
	selects, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, err
	}
	err = listPages(ctx, m.cluster, &corev1.PodList{}, func(l *corev1.PodList) { pods = append(pods, l.Items...) }, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selects})
	return pods, err
}

// pods returns the pods of a DaemonSet, including pods that are ending. It leaves out pods that have the same labels and another owner.
func (m *migrateRun) pods(ctx context.Context, set *appsv1.DaemonSet) ([]corev1.Pod, error) {
	pods, err := m.podsOf(ctx, set.Namespace, set.Spec.Selector)
	return slices.DeleteFunc(pods, func(p corev1.Pod) bool { return !metav1.IsControlledBy(&p, set) }), err
}

// findUnmanaged finds advertisements and BGPPeers that do not belong to the stack.
func (m *migrateRun) findUnmanaged(ctx context.Context, c *cutover.Cluster) error {
	return errors.Join(
		listPages(ctx, m.cluster, &v1beta1.L2AdvertisementList{}, func(l *v1beta1.L2AdvertisementList) {
			for i := range l.Items {
				c.AddUnmanaged("L2Advertisement", &l.Items[i])
			}
		}),
		listPages(ctx, m.cluster, &v1beta1.BGPAdvertisementList{}, func(l *v1beta1.BGPAdvertisementList) {
			for i := range l.Items {
				c.AddUnmanaged("BGPAdvertisement", &l.Items[i])
			}
		}),
		listPages(ctx, m.cluster, &v1beta1.BGPPeerList{}, func(l *v1beta1.BGPPeerList) {
			for i := range l.Items {
				c.AddUnmanaged("BGPPeer", &l.Items[i])
			}
		}),
	)
}

// endSpeakers ends MetalLB's speakers on the given nodes, or on all nodes if nodes is nil. It deletes the
// pods of the speakers with GracePeriod, or with LastGracePeriod if nodes is nil, and then changes the
// DaemonSet. It does not leave the deletion to the DaemonSet controller, which would use the grace period in
// the spec of the pods. That controller may create new pods until the DaemonSet is changed. endSpeakers
// therefore first sets the grace period in the template to GracePeriod.
func (m *migrateRun) endSpeakers(ctx context.Context, c *cutover.Cluster, nodes []cutover.Node, change func(*appsv1.DaemonSet) (*appsv1.DaemonSet, error)) error {
	set, grace := &c.Speakers[0], cutover.GracePeriod
	if nodes == nil {
		grace = cutover.LastGracePeriod
	}
	if moved, stopped := cutover.SwitchProgress(set); !stopped {
		begun, err := cutover.LimitSpeakers(set, moved)
		if err == nil {
			err = m.writeWorkload(ctx, c, set, begun)
		}
		if err != nil {
			return err
		}
	}
	if err := m.wait(ctx, "deleting the pods of MetalLB's speakers", func(ctx context.Context) (string, error) {
		if _, err := m.checkUnchanged(ctx, set); err != nil {
			return "", err
		}
		pods, err := m.pods(ctx, set)
		if err != nil {
			return "", err
		}
		now := &cutover.Cluster{Pods: pods}
		return "", m.deletePods(ctx, now.UndeletedPods(nodes), grace)
	}); err != nil {
		return err
	}
	changed, err := change(set)
	if err != nil {
		return err
	}
	return m.writeWorkload(ctx, c, set, changed)
}

// deletePods deletes pods of MetalLB's speakers all at once, with a grace period in seconds. To delete them one by one would take longer,
// and until the DaemonSet is changed, pods that have ended are replaced.
func (m *migrateRun) deletePods(ctx context.Context, pods []corev1.Pod, grace int64) error {
	failed := make([]error, len(pods))
	var deleting sync.WaitGroup
	for i := range pods {
		deleting.Go(func() {
			failed[i] = missingRight(client.IgnoreNotFound(m.api.Delete(ctx, &pods[i], client.GracePeriodSeconds(grace), client.Preconditions{UID: &pods[i].UID})))
		})
	}
	deleting.Wait()
	return errors.Join(failed...)
}

// waitSpeakersEnd waits until no pod of MetalLB's speakers is left on the given nodes, or on any node if
// nodes is nil.
func (m *migrateRun) waitSpeakersEnd(ctx context.Context, c *cutover.Cluster, what string, nodes []cutover.Node) error {
	return m.runStep(ctx, what, func(ctx context.Context) (string, error) {
		pods, err := m.pods(ctx, &c.Speakers[0])
		if err != nil {
			return "", err
		}
		now := &cutover.Cluster{Pods: pods}
		if now.HasOverduePod(time.Now()) {
			if err := listPages(ctx, m.cluster, &corev1.NodeList{}, func(l *corev1.NodeList) { now.Nodes = append(now.Nodes, l.Items...) }); err != nil {
				return "", err
			}
		}
		return now.RunningPodMessage(nodes), nil
	})
}

// waitNodesReport waits until the kubelets of all nodes with a speaker of MetalLB report to the API server,
// so that the end of each speaker can be observed.
func (m *migrateRun) waitNodesReport(ctx context.Context, c *cutover.Cluster) error {
	if _, stopped := cutover.SwitchProgress(&c.Speakers[0]); stopped {
		return nil // the speakers have ended or are ending: there is nothing to wait for
	}
	return m.wait(ctx, "all nodes with a speaker of MetalLB report", func(ctx context.Context) (string, error) {
		now, err := m.readState(ctx)
		if err == nil {
			now.Pods, err = m.pods(ctx, &c.Speakers[0])
		}
		if err != nil {
			return "", err
		}
		return now.UnreachableNodeMessage(), nil
	})
}

// controllerPodMessage returns a pod of MetalLB's controller that still exists, as a phrase; empty if there is none.
func (m *migrateRun) controllerPodMessage(ctx context.Context, c *cutover.Cluster) (string, error) {
	pods, err := m.podsOf(ctx, c.Controllers[0].Namespace, c.Controllers[0].Spec.Selector)
	if err != nil || len(pods) == 0 {
		return "", err
	}
	return fmt.Sprintf("Pod %s of MetalLB's controller still runs", pods[0].Name), nil
}

// errAnotherRun ends a run if another run has changed the DaemonSet of MetalLB's speakers: each would undo steps of the other.
var errAnotherRun = errors.New("the DaemonSet of MetalLB's speakers has changed since this run last wrote it: somebody else runs kubectl lbstack migrate, or has changed the DaemonSet. Make sure that nobody else changes it, and run the command again to continue")

// checkUnchanged reads the DaemonSet of MetalLB's speakers. The parameter sets has the versions of the
// DaemonSet that this run may have written last. If the DaemonSet shows the progress of none of them,
// checkUnchanged returns errAnotherRun. It is called before each write, except before the patch in the method
// leave: this patch directly follows apply, which calls checkUnchanged.
func (m *migrateRun) checkUnchanged(ctx context.Context, sets ...*appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
	now := &appsv1.DaemonSet{}
	if err := m.api.Get(ctx, client.ObjectKeyFromObject(sets[0]), now); err != nil {
		return nil, missingRight(err)
	}
	if !slices.ContainsFunc(sets, func(set *appsv1.DaemonSet) bool { return cutover.SameProgress(now, set) }) {
		return nil, errAnotherRun
	}
	return now, nil
}

// writeWorkload patches the difference between two states of a workload of MetalLB, old and changed, and stores the result in
// old.
func (m *migrateRun) writeWorkload(ctx context.Context, c *cutover.Cluster, old, changed client.Object) error {
	patch := client.MergeFrom(old.DeepCopyObject().(client.Object))
	data, err := patch.Data(changed)
	if err != nil || string(data) == "{}" {
		return err
	}
	sets, kind := []*appsv1.DaemonSet{&c.Speakers[0]}, "Deployment"
	if set, is := changed.(*appsv1.DaemonSet); is {
		sets, kind = append(sets, set.DeepCopy()), "DaemonSet" // the API server may have made the patch although its answer was lost
	}
	if err := m.wait(ctx, fmt.Sprintf("changing the %s %s/%s", kind, old.GetNamespace(), old.GetName()), func(ctx context.Context) (string, error) {
		if _, err := m.checkUnchanged(ctx, sets...); err != nil {
			return "", err
		}
		return "", missingRight(m.api.Patch(ctx, changed, client.RawPatch(patch.Type(), data)))
	}); err != nil {
		return err
	}
	switch now := old.(type) {
	case *appsv1.DaemonSet:
		*now = *changed.(*appsv1.DaemonSet)
	case *appsv1.Deployment:
		*now = *changed.(*appsv1.Deployment)
	}
	return nil
}

// typedStack converts a stack to its Go type.
func typedStack(u *unstructured.Unstructured) (*v1beta1.LoadBalancerStack, error) {
	stack := &v1beta1.LoadBalancerStack{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, stack); err != nil {
		return nil, fmt.Errorf("reading the stack: %w", err)
	}
	return stack, nil
}

// notReadyReason returns why a stack is not Ready; empty if it is.
func notReadyReason(stack *v1beta1.LoadBalancerStack) string {
	ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
	switch {
	case ready == nil || ready.ObservedGeneration < stack.Generation:
		return "the operator has not processed the current spec of LoadBalancerStack default yet"
	case ready.Status != metav1.ConditionTrue:
		return fmt.Sprintf("LoadBalancerStack default is not Ready (%s): %s", ready.Reason, ready.Message)
	}
	return ""
}
