package maintenance

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/internal/lanprobe"
)

var update = flag.Bool("update", false, "write what testdata is to have")

// TestProbePod_HasNoMoreRightsThanASpeaker compares it with a file: a change of it is a change of what the pod may do.
func TestProbePod_HasNoMoreRightsThanASpeaker(t *testing.T) {
	speakers := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "lbstack-system", Name: "lbstack-speaker"}}
	request := lanprobe.Request{Address: netip.MustParseAddr("192.0.2.1"), Interfaces: []string{"eth0", "eth1"}}
	if _, err := ProbePod(speakers, "worker-1", request); err == nil || !strings.Contains(err.Error(), "DaemonSet lbstack-system/lbstack-speaker has no container named speaker") {
		t.Errorf("without a container: got the error %v", err)
	}
	template := &speakers.Spec.Template.Spec
	template.ServiceAccountName = "lbstack-speaker"
	template.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "mirror"}}
	template.Volumes = []corev1.Volume{{Name: "mesh-keys"}}
	template.Containers = []corev1.Container{{Name: "sidecar", Image: "example.com/other"}, {Name: "speaker", Image: "example.com/lbstack@sha256:1", ImagePullPolicy: corev1.PullIfNotPresent, Env: []corev1.EnvVar{{Name: "X"}}}}
	pod, err := ProbePod(speakers, "worker-1", request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "probe-pod.yaml")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
