package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	k8sversion "k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/cutover"
)

var update = flag.Bool("update", false, "write what testdata is to have")

// switching is a cluster of three nodes in which MetalLB serves the Service shop/web with 192.0.2.1, and lbstack is
// installed without a stack. Its controllers, the kubelets and both load balancers are actors.
type switching struct {
	*cluster
	t *testing.T
	// stuck is a node whose sessions lbstack does not get.
	stuck string
	// bare is a node without a speaker of lbstack.
	bare string
	// patched and applied are called after the command has changed MetalLB's DaemonSet, and before it applies a stack.
	patched func(*appsv1.DaemonSet)
	applied func(l2 bool)
	// away is until when the API server does not answer the command.
	away time.Time
	// pods guards grace, and MetalLB's DaemonSet while its pods are made as it says.
	pods sync.Mutex
	// grace is the period that the command gives pods to end, in seconds, by name.
	grace map[string]int64
	// at is the node from which MetalLB reports to announce the Service on the local network; empty: it does not report it.
	at string
	// alone is set while MetalLB has one pod, which reports that its node announces the Service.
	alone bool
	// hosts are the nodes from which both have announced on the local network, in order.
	hosts []string
	// fixed: lbstack announces from node-1, whatever it is asked for.
	fixed bool
	// forbidden is a verb and a kind, for which the command has no right.
	forbidden string
	// hasty: the DaemonSet of MetalLB's speakers makes a pod that the command deletes again at once.
	hasty bool
	// together is when both announced, and not from one node.
	together []string
	// made counts the pods of MetalLB's speakers. text is their logs, by UID; empty: the pod does not have one yet.
	made int
	text map[types.UID]string
	// late is how many pods of MetalLB's speakers, by node, announce before they have an NDP responder, beginning with the next one.
	late map[string]int
	// held: the stack is not Ready before it announces, since its pools remember MetalLB's speakers as hosts that use their addresses.
	held bool
	// silent: the logs of MetalLB's speakers do not show responders.
	silent bool
	// ended has the pods of MetalLB's speakers that the command has deleted, and the node from which lbstack announced at that time.
	ended []string
}

// Logs of speakers of MetalLB.
const (
	createsResponder = `{"event":"createNDPResponder","interface":"eth0","level":"info"}` + "\n"
	announces        = `{"event":"serviceAnnounced","ips":["192.0.2.1"],"level":"info"}` + "\n"
)

const switchedStack = `apiVersion: lbstack.io/v1beta1
kind: LoadBalancerStack
metadata: {name: default}
spec:
  ipAddressPools: [{name: lan, addresses: [192.0.2.1-192.0.2.9]}]
  l2Advertisements: [{name: lan}]
`

const routedStack = switchedStack + `  bgpAdvertisements: [{name: routed}]
  bgpPeers: [{name: tor-1, myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.254}]
`

func switchingBed(t *testing.T) *switching {
	t.Helper()
	c := serving(t, metav1.ConditionTrue, nil)
	c.server = func() (*k8sversion.Info, error) { return &k8sversion.Info{Minor: "34"}, nil }
	s := &switching{cluster: c, t: t, patched: func(*appsv1.DaemonSet) {}, applied: func(bool) {}, grace: map[string]int64{}, text: map[types.UID]string{}, late: map[string]int{}}
	c.logs = s.log
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	s.must(c.api.Delete(t.Context(), stack))
	s.must(c.api.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}))
	svc := &corev1.Service{}
	s.must(c.api.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, svc))
	svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
	shown := svc.DeepCopy()
	s.must(c.api.Update(t.Context(), svc))
	svc.Status = shown.Status
	s.must(c.api.Status().Update(t.Context(), svc))
	labels := func(component string) map[string]string {
		return map[string]string{"app": "metallb", "component": component}
	}
	template := func(component string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels(component)}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: component, Image: "quay.io/metallb/" + component}}}}
	}
	objects := []client.Object{
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: "controller"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels("controller")}, Template: template("controller")}, Status: appsv1.DeploymentStatus{AvailableReplicas: 1, Replicas: 1}},
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: "speaker", UID: speakersUID}, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels("speaker")}, Template: template("speaker"), UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType}}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, NumberReady: 3, UpdatedNumberScheduled: 3}},
	}
	for _, node := range []string{"node-1", "node-2", "node-3"} {
		objects = append(objects, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelHostname: node}}}, s.pod(node))
	}
	objects[1].(*appsv1.DaemonSet).Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(2))
	for _, object := range objects {
		s.must(c.api.Create(t.Context(), object))
	}
	s.watch()
	return s
}

// actor is in the context of requests that are not the command's.
type actor struct{}

// watch has the API server answer the command as away says, and looks at what the command writes.
func (s *switching) watch() {
	answers := func(ctx context.Context) error {
		switch {
		case ctx.Value(actor{}) != nil:
			return nil
		case time.Now().Before(s.away):
			return errors.New("connection refused")
		}
		return ctx.Err()
	}
	refused := func(verb string, object client.Object) error {
		if asks := fmt.Sprintf("%s %T", verb, object); s.forbidden != "" && strings.HasPrefix(asks, s.forbidden) {
			return apierrors.NewForbidden(schema.GroupResource{Resource: asks}, object.GetName(), nil)
		}
		return nil
	}
	s.api = interceptor.NewClient(s.api.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if err := answers(ctx); err != nil {
				return err
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if err := answers(ctx); err != nil {
				return err
			}
			return c.List(ctx, list, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if err := errors.Join(answers(ctx), refused("patch", object)); err != nil {
				return err
			}
			s.pods.Lock()
			err := c.Patch(ctx, object, patch, options...)
			dry := len((&client.PatchOptions{}).ApplyOptions(options).DryRun) > 0
			set, is := object.(*appsv1.DaemonSet)
			changed := is && err == nil && !dry
			if changed {
				set.Generation++
				s.must(c.Update(ctx, set))
			}
			s.pods.Unlock()
			if changed {
				s.patched(set)
			}
			return err
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			if ctx.Value(actor{}) != nil {
				return c.Delete(ctx, object, options...)
			}
			all := (&client.DeleteOptions{}).ApplyOptions(options)
			if err := errors.Join(answers(ctx), refused("delete", object)); err != nil || len(all.DryRun) > 0 {
				return err
			}
			s.pods.Lock()
			defer s.pods.Unlock()
			if all.GracePeriodSeconds != nil {
				s.grace[object.GetName()] = *all.GracePeriodSeconds
				s.ended = append(s.ended, fmt.Sprintf("%s while lbstack announces from %q", object.GetName(), s.owner()))
			}
			err := c.Delete(ctx, object, options...)
			if s.hasty && err == nil {
				s.metallb(context.WithValue(ctx, actor{}, true))
			}
			return err
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			if err := answers(ctx); err != nil {
				return err
			}
			data, err := json.Marshal(object)
			s.must(err)
			s.applied(strings.Contains(string(data), "l2Advertisements"))
			return c.Apply(ctx, object, options...)
		},
	})
}

func (s *switching) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// pod of MetalLB's speaker.
func (s *switching) pod(node string) *corev1.Pod {
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "speaker", UID: speakersUID, Controller: new(true)}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: "speaker-" + node, OwnerReferences: []metav1.OwnerReference{owner}, Labels: map[string]string{"app": "metallb", "component": "speaker"}}, Spec: corev1.PodSpec{NodeName: node}}
}

// speakersUID is the UID of the DaemonSet of MetalLB's speakers.
const speakersUID = "speakers"

// report has MetalLB report from which node it announces the Service.
func (s *switching) report(node string) {
	if s.at = node; node != "" {
		s.must(s.api.Create(s.t.Context(), l2Status(node)))
	}
}

// l2Status is a report of MetalLB.
func l2Status(node string) *unstructured.Unstructured {
	status := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"node": node, "serviceNamespace": "shop", "serviceName": "web"}}}
	status.SetGroupVersionKind(schema.GroupVersionKind{Group: "metallb.io", Version: "v1beta1", Kind: "ServiceL2Status"})
	status.SetNamespace("metallb-system")
	status.SetName("l2-abcde")
	return status
}

// reports writes the report of MetalLB's pods on these nodes: a single pod announces from its node, several announce from s.at.
// Without pods there is no report.
func (s *switching) reports(ctx context.Context, nodes []string) {
	switch {
	case s.at == "":
	case len(nodes) == 0:
		s.must(client.IgnoreNotFound(s.api.Delete(ctx, l2Status(""))))
	case len(nodes) == 1 && !s.alone, len(nodes) > 1 && s.alone:
		s.alone = len(nodes) == 1
		s.must(client.IgnoreNotFound(s.api.Delete(ctx, l2Status(""))))
		s.must(s.api.Create(ctx, l2Status(s.announcer(nodes))))
	default:
		s.must(client.IgnoreAlreadyExists(s.api.Create(ctx, l2Status(s.announcer(nodes)))))
	}
}

// announcer returns the node from which MetalLB announces the Service while its pods run on these nodes.
func (s *switching) announcer(nodes []string) string {
	if len(nodes) == 1 {
		return nodes[0]
	}
	return s.at
}

// begin starts all actors. They run until the test ends.
func (s *switching) begin() {
	ctx, stop := context.WithCancel(s.t.Context())
	s.t.Cleanup(func() {
		stop()
		synctest.Wait()
	})
	go s.act(ctx)
}

// act has all actors do what follows from the objects, each second.
func (s *switching) act(ctx context.Context) {
	for ctx := context.WithValue(ctx, actor{}, true); ctx.Err() == nil; {
		s.pods.Lock()
		s.metallb(ctx)
		s.pods.Unlock()
		s.lbstack(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// metallb has its pods be where its DaemonSet wants them.
func (s *switching) metallb(ctx context.Context) {
	set := &appsv1.DaemonSet{}
	s.must(s.api.Get(ctx, client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, set))
	left, stopped := cutover.SwitchProgress(set)
	var nodes, reporting []string
	for _, node := range []string{"node-1", "node-2", "node-3"} {
		if stopped || slices.Contains(left, node) {
			s.must(client.IgnoreNotFound(s.api.Delete(ctx, s.pod(node))))
			continue
		}
		nodes = append(nodes, node)
		pod := s.pod(node)
		pod.Spec.TerminationGracePeriodSeconds = set.Spec.Template.Spec.TerminationGracePeriodSeconds
		s.made++
		pod.UID = types.UID(fmt.Sprintf("%s-%d", pod.Name, s.made))
		err := s.api.Create(ctx, pod)
		s.must(client.IgnoreAlreadyExists(err))
		if err == nil {
			s.text[pod.UID] = s.logOf(node)
		}
		if apierrors.IsAlreadyExists(err) { // a pod reports a second after its start, so that lbstack has noted both before the command ends one
			reporting = append(reporting, node)
		}
	}
	s.reports(ctx, reporting)
	n := int32(len(nodes))
	set.Status = appsv1.DaemonSetStatus{ObservedGeneration: set.Generation, DesiredNumberScheduled: n, NumberReady: n, UpdatedNumberScheduled: n}
	if err := s.api.Status().Update(ctx, set); !apierrors.IsConflict(err) {
		s.must(err)
	}
}

// logOf returns the log of a new pod of MetalLB's speakers.
func (s *switching) logOf(node string) string {
	switch {
	case s.silent:
		return "{}\n"
	case s.late[node] > 0:
		s.late[node]--
		return announces + createsResponder
	}
	return createsResponder + announces
}

// log returns the log of a pod.
func (s *switching) log(ctx context.Context, namespace, name string, options *corev1.PodLogOptions) ([]byte, error) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if s.forbidden == "get log" {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: s.forbidden}, name, nil)
	}
	if options.LimitBytes == nil {
		s.t.Error("the command reads a log of any length")
	}
	s.pods.Lock()
	defer s.pods.Unlock()
	if err := s.api.Get(context.WithValue(ctx, actor{}, true), client.ObjectKeyFromObject(pod), pod); err != nil {
		return nil, err
	}
	return []byte(s.text[pod.UID]), nil
}

// change changes how MetalLB's speakers act.
func (s *switching) change(how func()) {
	s.pods.Lock()
	defer s.pods.Unlock()
	how()
}

// showIPv6 has the Service show an IPv6 address as well.
func (s *switching) showIPv6() {
	svc, ctx := &corev1.Service{}, context.WithValue(s.t.Context(), actor{}, true)
	s.must(s.api.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "web"}, svc))
	svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: "2001:db8::1"})
	s.must(s.api.Status().Update(ctx, svc))
}

// lbstack claims, announces and reports as its stack says, and notes when MetalLB announces the same.
func (s *switching) lbstack(ctx context.Context) {
	stack := &v1beta1.LoadBalancerStack{}
	err := s.api.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack)
	if apierrors.IsNotFound(err) {
		return
	}
	s.must(err)
	claim := &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: "192.0.2.1"}, Spec: v1beta1.IPAddressClaimSpec{Address: "192.0.2.1", Pool: "lan", State: v1beta1.ClaimInUse, Holders: []v1beta1.ClaimHolder{{Namespace: "shop", Name: "web"}}}}
	s.must(client.IgnoreAlreadyExists(s.api.Create(ctx, claim)))
	s.must(s.api.Get(ctx, client.ObjectKeyFromObject(claim), claim))
	announced, from := len(stack.Spec.L2Advertisements) > 0, "node-1"
	if asked := claim.Annotations[v1beta1.AnnotationAnnounceFrom]; asked != "" && !s.fixed {
		from = asked
	}
	for _, node := range []string{"node-1", "node-2", "node-3"} {
		if node == s.bare {
			continue
		}
		state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: node}}
		s.must(client.IgnoreAlreadyExists(s.api.Create(ctx, state)))
		s.must(s.api.Get(ctx, client.ObjectKey{Name: node}, state))
		state.Status = v1beta1.SpeakerStateStatus{Phase: v1beta1.SpeakerActive}
		routed := len(stack.Spec.BGPPeers) > 0 && s.selected(stack.Spec.BGPPeers[0].NodeSelectors, node)
		if routed {
			state.Status.BGPPeers = []v1beta1.SpeakerBGPPeer{{Name: "tor-1", State: v1beta1.BGPEstablished}}
		}
		if routed && node == s.stuck {
			state.Status.BGPPeers[0] = v1beta1.SpeakerBGPPeer{Name: "tor-1", State: v1beta1.BGPActive, LastError: "refused"}
		}
		if announced && node == from {
			state.Status.AddressCount, state.Status.Addresses = 1, []v1beta1.SpeakerAddress{{Address: "192.0.2.1"}}
		}
		s.must(s.api.Update(ctx, state))
		pods := &corev1.PodList{}
		s.must(s.api.List(ctx, pods, client.InNamespace("metallb-system")))
		var with []string
		for _, pod := range pods.Items {
			with = append(with, pod.Spec.NodeName)
		}
		at := s.announcer(with)
		if announced && len(with) > 0 && from == at && !slices.Contains(s.hosts, at) {
			s.hosts = append(s.hosts, at)
		}
		for _, pod := range pods.Items {
			if announced && from != at || routed && pod.Spec.NodeName == node {
				s.together = append(s.together, fmt.Sprintf("%s, on the local network %v, to routers %v", pod.Name, announced, routed))
			}
		}
	}
	ready := metav1.Condition{Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonServicesNotAnnounced, ObservedGeneration: stack.Generation}
	if s.held {
		ready.Reason = v1beta1.ReasonPoolNotReady
	}
	if announced {
		ready.Status, ready.Reason = metav1.ConditionTrue, "Ready"
	}
	stack.Status.Conditions = []metav1.Condition{ready}
	if err := s.api.Update(ctx, stack); !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		s.must(err)
	}
}

func (s *switching) selected(selectors []metav1.LabelSelector, node string) bool {
	return len(selectors) == 0 || slices.ContainsFunc(selectors, func(selector metav1.LabelSelector) bool {
		selects, err := metav1.LabelSelectorAsSelector(&selector)
		s.must(err)
		return selects.Matches(hostnameOf(node))
	})
}

// hostnameOf a node, as labels.
type hostnameOf string

func (h hostnameOf) Has(label string) bool { return label == corev1.LabelHostname }

func (h hostnameOf) Get(label string) string {
	if h.Has(label) {
		return string(h)
	}
	return ""
}

func (h hostnameOf) Lookup(label string) (string, bool) { return h.Get(label), h.Has(label) }

// owner is the node that reports to announce the address; empty: none does.
func (s *switching) owner() string {
	states := &v1beta1.SpeakerStateList{}
	s.must(s.api.List(context.WithValue(s.t.Context(), actor{}, true), states))
	for _, state := range states.Items {
		if len(state.Status.Addresses) > 0 {
			return state.Name
		}
	}
	return ""
}

// moveReport has MetalLB report another node after a while.
func (s *switching) moveReport(ctx context.Context, after time.Duration, node string) {
	<-time.After(after)
	status := &unstructured.Unstructured{}
	status.SetGroupVersionKind(schema.GroupVersionKind{Group: "metallb.io", Version: "v1beta1", Kind: "ServiceL2Status"})
	s.must(s.api.Get(ctx, client.ObjectKey{Namespace: "metallb-system", Name: "l2-abcde"}, status))
	s.must(unstructured.SetNestedField(status.Object, node, "status", "node"))
	s.must(s.api.Update(ctx, status))
}

func stackFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stack.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// runs has a command line succeed and print parts.
func (s *switching) runs(line string, parts ...string) {
	s.t.Helper()
	out, errOut, err := execute(s.t.Context(), s.cluster, line)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s%s", line, err, out, errOut)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			s.t.Errorf("%s: printed\n%s\nwithout\n%s", line, out, part)
		}
	}
}

// golden compares what a command line prints with a file of testdata.
func (s *switching) golden(line, name string) {
	s.t.Helper()
	out, errOut, err := execute(s.t.Context(), s.cluster, line)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s%s", line, err, out, errOut)
	}
	path := filepath.Join("testdata", name)
	if *update {
		s.must(os.WriteFile(path, []byte(out), 0o644))
	}
	want, err := os.ReadFile(path)
	s.must(err)
	if diff := cmp.Diff(string(want), out); diff != "" {
		s.t.Errorf("%s differs (-want +got; go test -update writes it):\n%s", path, diff)
	}
}

// workloads of MetalLB, as text.
func (s *switching) workloads() string {
	s.t.Helper()
	controller, set := &appsv1.Deployment{}, &appsv1.DaemonSet{}
	s.must(errors.Join(
		s.api.Get(s.t.Context(), client.ObjectKey{Namespace: "metallb-system", Name: "controller"}, controller),
		s.api.Get(s.t.Context(), client.ObjectKey{Namespace: "metallb-system", Name: "speaker"}, set),
	))
	replicas := int32(1)
	if controller.Spec.Replicas != nil {
		replicas = *controller.Spec.Replicas
	}
	pods, err := json.Marshal(set.Spec.Template.Spec)
	s.must(err)
	return fmt.Sprintf("%v, %d replicas\n%v, %s, %s", controller.Annotations, replicas, set.Annotations, set.Spec.UpdateStrategy.Type, pods)
}

// unchanged wants MetalLB's workloads as they were before.
func (s *switching) unchanged(before string) {
	s.t.Helper()
	if after := s.workloads(); after != before {
		s.t.Errorf("MetalLB was\n%s\nand is\n%s", before, after)
	}
}

// apart wants that at no time both load balancers announced, except on the local network from one node.
func (s *switching) apart() {
	s.t.Helper()
	if len(s.together) > 0 {
		s.t.Errorf("both announced: %q", s.together)
	}
}
