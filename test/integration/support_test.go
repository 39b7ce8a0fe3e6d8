package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestPlugin_TheSupportBundleHasNoSecret puts a word into a Secret, into variables and annotations of workloads and into a patch of
// the stack. It is nowhere in the archive, which has these objects.
func TestPlugin_TheSupportBundleHasNoSecret(t *testing.T) {
	const canary = "c4n4ry"
	b := newBed(t)
	labels := map[string]string{"app": "support", "app.kubernetes.io/name": "lbstack"} // what is of others is left out
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "controller", Image: "example.com/controller", Env: []corev1.EnvVar{{Name: "TOKEN", Value: canary}},
	}}}}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "support", Labels: labels, Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: canary}},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "support", Labels: labels}, Spec: template.Spec}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "support"}, StringData: map[string]string{"password": canary}}
	stack := &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}}
	stack.Spec.Patches = []v1beta1.Patch{{Target: v1beta1.PatchTarget{Kind: "Deployment"}, Patch: `{"metadata": {"annotations": {"a": "` + canary + `"}}}`}}
	create(t, b.Client, deployment)
	create(t, b.Client, pod)
	create(t, b.Client, secret)
	create(t, b.Client, stack)
	b.pool("support", "10.9.7.1-10.9.7.9")
	b.service("web")

	out, errOut, code := b.plugin("", "support-bundle -o -")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	if strings.Contains(errOut, canary) {
		t.Errorf("the secret is on the standard error")
	}
	all := ""
	uncompressed, err := gzip.NewReader(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(uncompressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := io.Copy(&text, archive); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text.String(), canary) {
			t.Errorf("the secret is in %s:\n%s", header.Name, text.String())
		}
		all += header.Name + "\n" + text.String()
	}
	for _, part := range []string{"/versions.txt", "/status.txt", "/doctor.txt", "objects/deployment.apps.yaml", "name: TOKEN", "kind: LoadBalancerStack", "kind: IPAddressPool", "name: web", "kind: Pod"} {
		if !strings.Contains(all, part) {
			t.Errorf("the archive is without %q", part)
		}
	}
}
