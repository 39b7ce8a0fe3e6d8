package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// plugin runs a command line of kubectl lbstack as a user, or as the administrator.
func (b *bed) plugin(user, line string) (out, errOut string, code int) {
	b.Helper()
	args := append(strings.Fields(line), "--kubeconfig="+server.KubeconfigPath(), "--namespace="+b.namespace, "--cache-dir="+b.TempDir())
	if user != "" {
		args = append(args, "--as="+user)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(b.Context(), program(b.T, "kubectl-lbstack"), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		b.Fatalf("running %s: %v", line, err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// allow gives a user these rights and no others. Each is "verb,verb resource.group".
func (b *bed) allow(user string, rights []string) {
	b.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}}
	for _, text := range rights {
		verbs, what, _ := strings.Cut(text, " ")
		resource, group, _ := strings.Cut(what, ".")
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: strings.Split(verbs, ",")})
	}
	create(b.T, b.Client, role)
	create(b.T, b.Client, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
	for _, rule := range role.Rules {
		for _, verb := range rule.Verbs {
			b.may(user, authorizationv1.ResourceAttributes{Verb: verb, Group: rule.APIGroups[0], Resource: rule.Resources[0]})
		}
	}
}

// may waits until the API server, which reads roles from a cache, gives a user a right.
func (b *bed) may(user string, right authorizationv1.ResourceAttributes) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("%s may %s %s", user, right.Verb, right.Resource), func(ctx context.Context) error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &right}}
		if err := b.Client.Create(ctx, review); err != nil {
			return err
		}
		if !review.Status.Allowed {
			return fmt.Errorf("not allowed: %s%s", review.Status.Reason, review.Status.EvaluationError)
		}
		return nil
	})
}

// TestPlugin_CommandsNeedExactlyTheirRights runs each command with the rights that docs/kubectl.md names, and again without
// each one of them: it is refused then, with a word about the right.
func TestPlugin_CommandsNeedExactlyTheirRights(t *testing.T) {
	b := newBed(t)
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	create(t, b.Client, stack)
	b.machine("plugin-1", nil)
	b.machine("plugin-2", map[string]string{})
	b.pool("pool", "10.9.4.1-10.9.4.9")
	b.advertise("plugin")
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.4.1")
	b.endpoints("web", "plugin-2")
	b.speaker("plugin-1").owns(1, "10.9.4.1")
	b.announced("web", v1beta1.ReasonAnnounced)

	installation := []string{
		"get loadbalancerstacks.lbstack.io", "list ipaddresspools.lbstack.io", "list ipaddressclaims.lbstack.io", "list bgppeers.lbstack.io", "list speakerstates.lbstack.io",
	}
	announcing := []string{
		"list l2advertisements.lbstack.io", "list bgpadvertisements.lbstack.io", "list communities.lbstack.io", "list speakerrouteslices.lbstack.io", "list nodes",
		"get services", "get namespaces", "list endpointslices.discovery.k8s.io",
	}
	planning := []string{
		"list l2advertisements.lbstack.io", "list bgpadvertisements.lbstack.io", "list communities.lbstack.io", "list bfdprofiles.lbstack.io", "list speakerrouteslices.lbstack.io",
		"list nodes", "list services", "list namespaces", "list endpointslices.discovery.k8s.io", "list servicecidrs.networking.k8s.io",
	}
	const withoutStack, wayBack = "plan without a stack", "the steps of the way back"
	changed := filepath.Join(t.TempDir(), "stack.yaml")
	if err := os.WriteFile(changed, []byte("apiVersion: lbstack.io/v1beta1\nkind: LoadBalancerStack\nmetadata: {name: default}\nspec: {layer2: {failback: Gradual}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	metallb(b)
	asked(b)
	checking := slices.Concat(installation, []string{"list nodes", "list deployments.apps", "list daemonsets.apps", "list pods"})
	roles := []string{"list clusterroles.rbac.authorization.k8s.io", "list clusterrolebindings.rbac.authorization.k8s.io", "list roles.rbac.authorization.k8s.io", "list rolebindings.rbac.authorization.k8s.io"}
	loadBalancers := []string{"list deployments.apps", "list daemonsets.apps", "list pods"}
	tests := []struct {
		name, line string
		rights     []string
		code       int
		out        string // a part
	}{
		{"status", "status", append(slices.Clone(installation), "list services"), 1, "Services: 1, of which 0 are not announced"},
		{"why, of all Services", "why -A", append(slices.Clone(installation), "list services"), 0, "All 1 Services are announced"},
		{"why", "why web", slices.Concat(installation, announcing), 0, "web is announced"},
		{"who", "who web", append(slices.Clone(installation), "list speakerrouteslices.lbstack.io"), 0, "10.9.4.1   pool   InUse"},
		{"who, asking the network", "who 10.9.4.1 --probe --from plugin-1", append(slices.Clone(installation), "list speakerrouteslices.lbstack.io", "get daemonsets.apps", "create,get,delete pods"), 0, "No other host answers"},
		{"doctor", "doctor", slices.Concat(checking, roles, []string{"get configmaps"}), 1, "ok Kubernetes"},
		// The answer of doctor, with the rights to configmaps and roles that it lacks, is in the archive.
		{"support-bundle", "support-bundle -o -", slices.Concat(checking, []string{
			"list loadbalancerstacks.lbstack.io", "list services", "list l2advertisements.lbstack.io", "list bgpadvertisements.lbstack.io", "list bfdprofiles.lbstack.io", "list communities.lbstack.io", "list speakerrouteslices.lbstack.io",
			"list endpointslices.discovery.k8s.io", "list events.events.k8s.io", "get pods/log",
		}), 1, ""}, // the log of a pod that does not run is missing in it
		{"reserve", "reserve 10.9.4.5", append(slices.Clone(installation), "create,get ipaddressclaims.lbstack.io"), 0, "ipaddressclaim.lbstack.io/10.9.4.5 reserves the address"},
		{"release", "release 10.9.4.5", []string{"delete,get ipaddressclaims.lbstack.io"}, 0, "released"},
		{"drain", "drain plugin-1", []string{"get loadbalancerstacks.lbstack.io", "get,patch nodes"}, 0, "node/plugin-1 drains"},
		{"undrain", "undrain plugin-1", []string{"get loadbalancerstacks.lbstack.io", "get,patch nodes"}, 0, "node/plugin-1 is no longer drained"},
		{"wait for a node without a speaker", "drain plugin-2 --wait", []string{"get loadbalancerstacks.lbstack.io", "get,patch nodes", "get speakerstates.lbstack.io"}, 0, "no speaker runs on the node"},
		{"plan", "plan -f " + changed, slices.Concat(installation, planning, []string{"update loadbalancerstacks.lbstack.io"}), 0, "spec.layer2 changes"},
		{"plan of one item", "plan pool next --addresses 10.9.4.20-10.9.4.11", slices.Concat(installation, planning, []string{"update loadbalancerstacks.lbstack.io"}), 0, "IPAddressPool next becomes InvalidAddresses, and the stack PoolNotReady"},
		{"move", "move 10.9.4.1 plugin-1", slices.Concat(installation, announcing, []string{"get,patch ipaddressclaims.lbstack.io"}), 0, "ipaddressclaim.lbstack.io/10.9.4.1 asks for node plugin-1"},
		{"move and wait", "move 10.9.4.1 plugin-1 --wait", slices.Concat(installation, announcing, []string{"get ipaddressclaims.lbstack.io", "get speakerstates.lbstack.io"}), 0, "node/plugin-1 announces 10.9.4.1"},
		{"reset of a move", "move 10.9.4.1 --reset", []string{"get,patch ipaddressclaims.lbstack.io"}, 0, "asks for no node"},
		{"migrate, of a stack that is refused", "migrate -f " + changed, slices.Concat(installation, planning, loadBalancers, []string{"update loadbalancerstacks.lbstack.io"}), 1, ""},
		{wayBack, "migrate --rollback --dry-run", slices.Concat(loadBalancers, []string{
			"get loadbalancerstacks.lbstack.io", "list ipaddressclaims.lbstack.io", "list speakerstates.lbstack.io", "list nodes", "list services", "list endpointslices.discovery.k8s.io",
			"list l2advertisements.lbstack.io", "list bgpadvertisements.lbstack.io", "list bgppeers.lbstack.io",
			"patch deployments.apps", "patch daemonsets.apps", "patch,delete loadbalancerstacks.lbstack.io", "patch ipaddressclaims.lbstack.io",
		}), 0, "start MetalLB's speakers on all nodes"},
		{"version", "version", []string{"get loadbalancerstacks.lbstack.io"}, 0, "Stack Version:"},
		{withoutStack, "plan -f " + changed, slices.Concat(installation, planning, []string{"create loadbalancerstacks.lbstack.io"}), 0, "spec.layer2 changes"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &bed{T: t, Client: b.Client, namespace: b.namespace}
			switch tt.name {
			case wayBack: // is refused where something besides the stack announces
				remove(t, b.Client, &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "plugin"}})
			case withoutStack:
				remove(t, b.Client, stack)
			}
			single := singleVerbs(tt.rights)
			for j, without := range single {
				user := fmt.Sprintf("plugin-%d-%d", i, j)
				b.allow(user, slices.Delete(slices.Clone(single), j, j+1))
				if out, errOut, code := b.plugin(user, tt.line); code == 0 || !strings.Contains(out+errOut, "you lack a right") {
					t.Errorf("without the right to %s: exit code %d, and printed\n%s%s", without, code, out, errOut)
				}
			}
			user := fmt.Sprintf("plugin-%d", i)
			b.allow(user, tt.rights)
			out, errOut, code := b.plugin(user, tt.line)
			if code != tt.code || !strings.Contains(out, tt.out) || strings.Contains(out+errOut, "you lack a right") {
				t.Errorf("with its rights: exit code %d, want %d, and printed\n%s%s\nwant %q", code, tt.code, out, errOut, tt.out)
			}
		})
	}
	crash(controller)
}

// asked makes the DaemonSet of the speakers and a pod of lbstack whose log cannot be read, and ends each pod that asks the network
// as its kubelet would: no host has answered.
func asked(b *bed) {
	b.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "lbstack"}
	speakers := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "lbstack-speaker"}}
	speakers.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	speakers.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "speaker", Image: "example.com/lbstack"}}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "lbstack-speaker-1", Labels: labels}, Spec: speakers.Spec.Template.Spec}
	create(b.T, b.Client, speakers)
	create(b.T, b.Client, pod)
	stack := &v1beta1.LoadBalancerStack{}
	if err := b.Get(b.Context(), client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
		b.Fatal(err)
	}
	stack.Status.Inventory = []v1beta1.ObjectReference{{Group: "apps", Version: "v1", Kind: "DaemonSet", Namespace: b.namespace, Name: speakers.Name}}
	if err := b.Status().Update(b.Context(), stack); err != nil {
		b.Fatal(err)
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "speaker", Image: "example.com/lbstack", ImageID: "x"}}
	if err := b.Status().Update(b.Context(), pod); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	b.Cleanup(func() { stop(); running.Wait() })
	ended := corev1.ContainerStatus{Name: "probe", Image: "example.com/lbstack", ImageID: "x", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: `{"answers":[]}`}}}
	running.Go(func() {
		for ctx.Err() == nil {
			pods := &corev1.PodList{}
			err := b.List(ctx, pods, client.InNamespace(b.namespace), client.MatchingLabels{"app.kubernetes.io/component": "probe"})
			for i := range pods.Items {
				pod := &pods.Items[i]
				if err == nil && len(pod.Status.ContainerStatuses) == 0 {
					pod.Status.Phase, pod.Status.ContainerStatuses = corev1.PodSucceeded, []corev1.ContainerStatus{ended}
					err = client.IgnoreNotFound(b.Status().Update(ctx, pod))
				}
			}
			if err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil { // after a conflict the next pass ends the pod
				b.Errorf("ending the pods that ask: %v", err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
}

// metallb makes MetalLB's workloads, which have no pods here. A switch by hand has begun: its controller is scaled to 0.
func metallb(b *bed) {
	b.Helper()
	meta := func(component string) (metav1.ObjectMeta, *metav1.LabelSelector, corev1.PodTemplateSpec) {
		labels := map[string]string{"app": "metallb", "component": component}
		return metav1.ObjectMeta{Namespace: b.namespace, Name: component}, &metav1.LabelSelector{MatchLabels: labels}, corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: component, Image: "quay.io/metallb/" + component}}},
		}
	}
	controller, speaker := &appsv1.Deployment{}, &appsv1.DaemonSet{}
	controller.ObjectMeta, controller.Spec.Selector, controller.Spec.Template = meta("controller")
	controller.Spec.Replicas = new(int32)
	speaker.ObjectMeta, speaker.Spec.Selector, speaker.Spec.Template = meta("speaker")
	create(b.T, b.Client, controller)
	create(b.T, b.Client, speaker)
}

// singleVerbs takes rights to several verbs apart.
func singleVerbs(rights []string) (single []string) {
	for _, text := range rights {
		verbs, what, _ := strings.Cut(text, " ")
		for verb := range strings.SplitSeq(verbs, ",") {
			single = append(single, verb+" "+what)
		}
	}
	return single
}

// TestPlugin_ReleaseSparesAnAddressThatIsTakenUp: a Service takes up what was reserved for it.
func TestPlugin_ReleaseSparesAnAddressThatIsTakenUp(t *testing.T) {
	b := newBed(t)
	b.pool("pool", "10.9.5.1-10.9.5.9")
	controller := b.controller()
	if out, errOut, code := b.plugin("", "reserve 10.9.5.7 --for next"); code != 0 {
		t.Fatalf("exit code %d, and printed\n%s%s", code, out, errOut)
	}
	if _, errOut, code := b.plugin("", "reserve 10.9.5.7 --for other"); code != 1 || !strings.Contains(errOut, "10.9.5.7 is already reserved for the Service "+b.namespace+"/next") {
		t.Errorf("reserved for another one: exit code %d, and printed %s", code, errOut)
	}
	b.service("next")
	b.has("next", "10.9.5.7")
	if _, errOut, code := b.plugin("", "release 10.9.5.7"); code != 1 || !strings.Contains(errOut, "in use by the Service "+b.namespace+"/next") {
		t.Errorf("release of an address in use: exit code %d, and printed %s", code, errOut)
	}
	b.has("next", "10.9.5.7")
	crash(controller)
}

// TestPlugin_DrainSetsTheLabelOfTheStack has the stack name a label, and none of the others.
func TestPlugin_DrainSetsTheLabelOfTheStack(t *testing.T) {
	b := newBed(t)
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	create(t, b.Client, stack)
	// Go leaves out lists that are empty, and they would have their defaults.
	drain := []byte(`{"spec":{"drain":{"annotations":[],"labels":["example.com/maintenance"],"taints":[]}}}`)
	if err := b.Patch(t.Context(), stack, client.RawPatch(types.MergePatchType, drain)); err != nil {
		t.Fatal(err)
	}
	b.machine("plugin-3", nil)
	for _, step := range []struct {
		line string
		want bool
	}{{"drain plugin-3", true}, {"drain plugin-3", true}, {"undrain plugin-3", false}} {
		if out, errOut, code := b.plugin("", step.line); code != 0 {
			t.Fatalf("%s: exit code %d, and printed\n%s%s", step.line, code, out, errOut)
		}
		node := &corev1.Node{}
		if err := b.Get(t.Context(), client.ObjectKey{Name: "plugin-3"}, node); err != nil {
			t.Fatal(err)
		}
		if _, got := node.Labels["example.com/maintenance"]; got != step.want {
			t.Errorf("after %s the node has the labels %v", step.line, node.Labels)
		}
	}
}
