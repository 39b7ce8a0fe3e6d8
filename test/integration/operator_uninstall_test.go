package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// TestRemoval_InstallationIsProtected deletes, without effect, each object of the installation and
// others before, with, during the removal of, and after a stack.
func TestRemoval_InstallationIsProtected(t *testing.T) {
	b := newOperatorBed(t)
	installation := b.installation()
	b.operator()
	b.allDeletable("without a stack", installation)
	b.stack(aSpec())
	b.installed()

	const use, removal = "LoadBalancerStack default: it is installed", "LoadBalancerStack default: its removal has not ended"
	b.noneDeletable(use, "kubectl delete loadbalancerstack default", installation)
	own := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "not-installed"}}
	elsewhere := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "elsewhere", Labels: map[string]string{"app.kubernetes.io/part-of": "lbstack"}}}
	for _, object := range []client.Object{own, elsewhere} {
		create(t, b.Client, object)
	}
	for _, object := range append(components(), own, elsewhere) {
		if err := b.tryDelete(b.Client, object); err != nil {
			t.Errorf("deleting the %s, which is not of the installation: %v", name(object), err)
		}
	}
	for _, tt := range []struct {
		user string
		may  bool
	}{
		{"system:kube-controller-manager", true}, // without --use-service-account-credentials
		{"system:serviceaccount:kube-system:generic-garbage-collector", true},
		{"system:serviceaccount:kube-system:namespace-controller", true},
		{"system:serviceaccount:kube-system:helm-lbstack", false}, // a tool that installs charts
		{"system:serviceaccount:kube-system:deployment-controller", false},
		{"system:serviceaccount:other:namespace-controller", false},
	} {
		if err := b.tryDelete(b.as(tt.user), installation[len(installation)-1]); tt.may && err != nil || !tt.may && !apierrors.IsForbidden(err) {
			t.Errorf("%s deletes an object of the installation: got %v, want it permitted: %v", tt.user, err, tt.may)
		}
	}

	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "slow", Finalizers: []string{"lbstack.io/test"},
			Labels: map[string]string{"app.kubernetes.io/name": "lbstack", v1beta1.LabelComponent: "speaker"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "speaker", Image: operatorImage}}},
	}
	create(t, b.Client, pod)
	remove(t, b.Client, &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}})
	b.noneDeletable(removal, "kubectl get loadbalancerstack", installation)
	b.patch(pod, `{"metadata":{"finalizers":null}}`)
	remove(t, b.Client, pod)
	b.removeStack()
	b.allDeletable("when the stack is gone", installation)
}

// installation applies what `make build-installer` writes. What other tests have no use for goes
// with the test.
func (b *operatorBed) installation() (list []*unstructured.Unstructured) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "go", "run", "./hack/installer")
	cmd.Dir = server.Repo
	text, err := cmd.Output()
	if err != nil {
		b.Fatalf("rendering the installation: %v", err)
	}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		list = append(list, object)
	}
	for _, object := range list {
		if err := b.Apply(b.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()), client.FieldOwner("test"), client.ForceOwnership); err != nil {
			b.Fatalf("installing the %s %s: %v", object.GetKind(), object.GetName(), err)
		}
		if kind := object.GetKind(); kind == "Deployment" || kind == "PodDisruptionBudget" || kind == "NetworkPolicy" || kind == "Service" {
			b.Cleanup(func() { remove(b.T, b.Client, object) })
		}
	}
	return list
}

// tryDelete returns the answer of the API server to a dry run of a deletion.
func (b *operatorBed) tryDelete(c client.Client, object client.Object) error {
	return c.Delete(context.Background(), object.DeepCopyObject().(client.Object), client.DryRunAll)
}

// as returns a client of another user who may do everything.
func (b *operatorBed) as(user string) client.Client {
	b.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", b.impersonating(user, "system:masters"))
	if err != nil {
		b.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: b.Scheme()})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// noneDeletable waits until the API server refuses to delete any object of the installation. A
// policy takes effect a moment after it was written.
func (b *operatorBed) noneDeletable(why, how string, installation []*unstructured.Unstructured) {
	b.Helper()
	for _, object := range installation {
		eventually.Succeed(b.T, within, fmt.Sprintf("deleting the %s %s is refused", object.GetKind(), object.GetName()), func(context.Context) error {
			err := b.tryDelete(b.Client, object)
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), how) {
				return fmt.Errorf("got %w, want it forbidden with %q and %q", err, why, how)
			}
			return nil
		})
	}
}

// allDeletable waits until the API server permits to delete each object of the installation: its
// policies read the stack from a watch.
func (b *operatorBed) allDeletable(when string, installation []*unstructured.Unstructured) {
	b.Helper()
	for _, object := range installation {
		eventually.Succeed(b.T, within, fmt.Sprintf("%s, deleting the %s %s is permitted", when, object.GetKind(), object.GetName()), func(context.Context) error {
			return b.tryDelete(b.Client, object)
		})
	}
}
