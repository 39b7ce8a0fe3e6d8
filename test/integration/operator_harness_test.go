package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// The namespaces of the operator and of the components, and the image of the components.
const (
	systemNamespace = "lbstack-system"
	operatorImage   = "registry.example/lbstack:test"
)

// controllerManager starts the program that removes deleted namespaces, once for all tests.
var controllerManager sync.Once

// operatorBed is the cluster for one stack. Tests with an operatorBed run one after another.
type operatorBed struct {
	*testing.T
	client.Client
	kubeconfig string
}

func newOperatorBed(t *testing.T) *operatorBed {
	t.Helper()
	controllerManager.Do(func() {
		if err := server.StartControllerManager(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
	b := &operatorBed{T: t, Client: administrator(t)}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := b.Create(context.Background(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	b.install("operator", "controller", "speaker")
	b.kubeconfig = b.impersonating("system:serviceaccount:"+systemNamespace+":lbstack-operator",
		"system:serviceaccounts", "system:serviceaccounts:"+systemNamespace, "system:authenticated")
	return b
}

// newReadyBed returns a bed with a running operator and a stack that is Ready.
func newReadyBed(t *testing.T) *operatorBed {
	t.Helper()
	b := newOperatorBed(t)
	b.operator()
	b.stack(aSpec())
	b.run()
	b.hasCondition(v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonReady)
	return b
}

// install applies manifests from config/rbac.
func (b *operatorBed) install(files ...string) {
	b.Helper()
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(server.Repo, "config", "rbac", file+".yaml"))
		if err != nil {
			b.Fatal(err)
		}
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
				b.Fatalf("parsing %s: %v", file, err)
			}
			if err := b.Apply(context.Background(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("test"), client.ForceOwnership); err != nil {
				b.Fatalf("installing %s: %v", file, err)
			}
		}
	}
}

// impersonating writes a kubeconfig of an account with the rights of the RBAC
// manifests alone: a right that the operator lacks fails here.
func (b *operatorBed) impersonating(user string, groups ...string) string {
	b.Helper()
	config, err := clientcmd.LoadFromFile(server.KubeconfigPath())
	if err != nil {
		b.Fatal(err)
	}
	// Paths in the file are relative to the file.
	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		b.Fatal(err)
	}
	for _, account := range config.AuthInfos {
		account.Impersonate, account.ImpersonateGroups = user, groups
	}
	path := filepath.Join(b.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		b.Fatal(err)
	}
	return path
}

func (b *operatorBed) operator(env ...string) *process {
	b.Helper()
	return b.operatorServing("0", env...)
}

// operatorServing starts an operator that serves metrics at an address.
func (b *operatorBed) operatorServing(metrics string, env ...string) *process {
	b.Helper()
	return b.program("operator", metrics, env...)
}

// program starts an operator of a version, see program.
func (b *operatorBed) program(name, metrics string, env ...string) *process {
	b.Helper()
	return start(b.T, name,
		append(env, "KUBECONFIG="+b.kubeconfig, "POD_NAMESPACE="+systemNamespace, "RELATED_IMAGE_LBSTACK="+operatorImage),
		"--metrics-bind-address="+metrics, "--health-probe-bind-address=0")
}

// stack creates the stack. When the test ends, an operator removes the stack.
func (b *operatorBed) stack(spec v1beta1.LoadBalancerStackSpec) *v1beta1.LoadBalancerStack {
	b.Helper()
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}, Spec: spec}
	if err := b.Create(context.Background(), stack); err != nil {
		b.Fatalf("creating the stack: %v", err)
	}
	b.Cleanup(func() {
		if stack := (&v1beta1.LoadBalancerStack{}); apierrors.IsNotFound(b.Get(context.Background(), nameOnly(v1beta1.LoadBalancerStackName), stack)) {
			return
		}
		b.operator()
		b.removeStack()
	})
	return stack
}

// removeStack deletes the stack and waits until it is gone.
func (b *operatorBed) removeStack() {
	b.Helper()
	remove(b.T, b.Client, &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}})
	eventually.Succeed(b.T, time.Minute, "the stack is gone", func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there, %s: %w", conditions(stack), err)
	})
}

// editStack changes the spec of the stack.
func (b *operatorBed) editStack(edit func(*v1beta1.LoadBalancerStackSpec)) {
	b.Helper()
	eventually.Succeed(b.T, within, "the stack is changed", func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		edit(&stack.Spec)
		return b.Update(ctx, stack)
	})
}

// hasCondition waits until a condition of the stack has a status and a reason, for the
// present generation of the spec.
func (b *operatorBed) hasCondition(kind string, status metav1.ConditionStatus, reason string) *v1beta1.LoadBalancerStack {
	b.Helper()
	stack := &v1beta1.LoadBalancerStack{}
	eventually.Succeed(b.T, within, fmt.Sprintf("the stack has %s=%s, %s", kind, status, reason), func(ctx context.Context) error {
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		c := meta.FindStatusCondition(stack.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != stack.Generation || stack.Status.ObservedGeneration != stack.Generation {
			return fmt.Errorf("generation %d, %s", stack.Generation, conditions(stack))
		}
		return nil
	})
	return stack
}

// installed waits until all objects of a stack exist.
func (b *operatorBed) installed() {
	b.Helper()
	for _, object := range components() {
		b.exists(object)
	}
}

func (b *operatorBed) exists(object client.Object) {
	b.Helper()
	eventually.Succeed(b.T, within, name(object)+" exists", func(ctx context.Context) error {
		if err := b.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		if got := object.GetLabels()[v1beta1.LabelManagedBy]; got != v1beta1.ManagedByOperator {
			return fmt.Errorf("label %s: %q", v1beta1.LabelManagedBy, got)
		}
		return nil
	})
}

func (b *operatorBed) isGone(object client.Object) {
	b.Helper()
	eventually.Succeed(b.T, within, name(object)+" is gone", func(ctx context.Context) error {
		err := b.Get(ctx, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there (deleted at %v): %w", object.GetDeletionTimestamp(), err)
	})
}

// run takes the part of kube-controller-manager, which runs no workloads in these tests: it reports
// both components as available.
func (b *operatorBed) run() {
	b.Helper()
	eventually.Succeed(b.T, within, "the components run", func(ctx context.Context) error {
		deployment, daemonSet := controllerDeployment(), speakerDaemonSet()
		if err := b.Get(ctx, client.ObjectKeyFromObject(deployment), deployment); err != nil {
			return err
		}
		n := *deployment.Spec.Replicas
		deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
		if err := b.Status().Update(ctx, deployment); err != nil {
			return err
		}
		if err := b.Get(ctx, client.ObjectKeyFromObject(daemonSet), daemonSet); err != nil {
			return err
		}
		daemonSet.Status = appsv1.DaemonSetStatus{ObservedGeneration: daemonSet.Generation, DesiredNumberScheduled: 3, CurrentNumberScheduled: 3,
			UpdatedNumberScheduled: 3, NumberReady: 3, NumberAvailable: 3}
		return b.Status().Update(ctx, daemonSet)
	})
}

// components are the objects that every stack has.
func components() []client.Object {
	objects := []client.Object{meshKeySecret(), passwordsSecret(), controllerDeployment(), speakerDaemonSet(),
		&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-controller"}}}
	for _, name := range []string{"lbstack-removal", "lbstack-speaker-states", "lbstack-speaker-routes"} {
		global := metav1.ObjectMeta{Name: name}
		objects = append(objects, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: global}, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: global})
	}
	return objects
}

// permissions are objects that are installed with the operator. The operator has no right to change them.
func permissions() (objects []client.Object) {
	for _, name := range []string{"lbstack-operator", "lbstack-controller", "lbstack-speaker"} {
		global, local := metav1.ObjectMeta{Name: name}, metav1.ObjectMeta{Namespace: systemNamespace, Name: name}
		objects = append(objects, &corev1.ServiceAccount{ObjectMeta: local}, &rbacv1.ClusterRole{ObjectMeta: global},
			&rbacv1.ClusterRoleBinding{ObjectMeta: global}, &rbacv1.Role{ObjectMeta: local}, &rbacv1.RoleBinding{ObjectMeta: local})
	}
	return objects
}

func passwordsSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-bgp-passwords"}}
}

func controllerDeployment() *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-controller"}}
}

func speakerDaemonSet() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-speaker"}}
}

func meshKeySecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "lbstack-mesh-keys"}}
}

func pool(name string) *v1beta1.IPAddressPool {
	return &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func advertisement(name string) *v1beta1.L2Advertisement {
	return &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// aSpec is a spec with two pools and an advertisement.
func aSpec() v1beta1.LoadBalancerStackSpec {
	return v1beta1.LoadBalancerStackSpec{
		IPAddressPools: []v1beta1.StackIPAddressPool{
			{Name: "first-pool", IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.168.1.240-192.168.1.250"}}},
			{Name: "second-pool", IPAddressPoolSpec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.9.0.0/28"}}},
		},
		L2Advertisements: []v1beta1.StackL2Advertisement{{Name: "example"}},
	}
}

func nameOnly(name string) client.ObjectKey { return client.ObjectKey{Name: name} }

func name(object client.Object) string {
	return fmt.Sprintf("%T %s", object, client.ObjectKeyFromObject(object))
}

func conditions(stack *v1beta1.LoadBalancerStack) string {
	text := "summary " + stack.Status.Summary
	for _, c := range stack.Status.Conditions {
		text += fmt.Sprintf("; %s=%s %s (%d): %s", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message)
	}
	return text
}

// crash ends the operator without a shutdown.
func crash(p *process) { p.stop(syscall.SIGKILL) }
