package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/internal/manifests"
)

// TestPods_PodSecurity creates the pods of all three programs in namespaces that enforce a
// profile of Pod Security.
func TestPods_PodSecurity(t *testing.T) {
	c := administrator(t)
	pods := programPods(t)
	for _, tt := range []struct {
		program, profile string
		allowed          bool
	}{
		{"operator", "restricted", true}, {"controller", "restricted", true},
		{"speaker", "baseline", false}, {"speaker", "privileged", true},
	} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "profile-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": tt.profile}}}
		create(t, c, namespace)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: tt.program}, Spec: pods[tt.program]}
		err := c.Create(t.Context(), pod, client.DryRunAll)
		if (err == nil) != tt.allowed || err != nil && !apierrors.IsForbidden(err) {
			t.Errorf("the pod of the %s in a namespace that enforces %s: got %v, want it allowed: %v", tt.program, tt.profile, err, tt.allowed)
		}
	}
}

// programPods are those of all three programs, by their names.
func programPods(t *testing.T) map[string]corev1.PodSpec {
	t.Helper()
	pods := map[string]corev1.PodSpec{"operator": operatorPod(t)}
	objects, err := manifests.Render(manifests.Options{Image: operatorImage, Namespace: systemNamespace, Spec: aSpec()})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		var workload appsv1.Deployment // a DaemonSet has its template in the same place
		switch object.GetKind() {
		case "Deployment", "DaemonSet":
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &workload); err != nil {
				t.Fatal(err)
			}
			pods[workload.Spec.Template.Spec.Containers[0].Name] = workload.Spec.Template.Spec
		}
	}
	return pods
}

// operatorPod is that of the operator's Deployment.
func operatorPod(t *testing.T) corev1.PodSpec {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(server.Repo, "config", "manager", "manager.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for document := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		var deployment appsv1.Deployment
		if err := yaml.Unmarshal(document, &deployment); err != nil {
			t.Fatal(err)
		}
		if deployment.Kind == "Deployment" {
			return deployment.Spec.Template.Spec
		}
	}
	t.Fatal("config/manager has no Deployment")
	return corev1.PodSpec{}
}
