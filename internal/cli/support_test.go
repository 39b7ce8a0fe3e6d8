package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// TestSupport_WritesAnArchive: logs of what runs and of what ran before, and a line about each that cannot be read.
func TestSupport_WritesAnArchive(t *testing.T) {
	c := working(t)
	c.server = func() (*k8sversion.Info, error) { return &k8sversion.Info{Minor: "34", GitVersion: "v1.34.2"}, nil }
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "lbstack-system", Name: "lbstack-speaker-1", Labels: map[string]string{"app.kubernetes.io/name": "lbstack"}}}
	stranger := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "lbstack-system", Name: "stranger"}}
	for _, pod := range []*corev1.Pod{pod, stranger} {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "speaker", RestartCount: 1}}
		if err := c.api.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	c.logs = func(_ context.Context, _, pod string, options *corev1.PodLogOptions) ([]byte, error) {
		if options.Previous {
			return nil, errors.New("no log of before")
		}
		return []byte("line of " + pod + " " + options.Container), nil
	}
	o := &bundleRun{IOStreams: streams, cluster: c, output: file}
	err := o.run(t.Context(), time.Unix(1e9, 0))
	if !errors.Is(err, errCheckFailed) || out.String() != file+"\n" || !strings.Contains(errOut.String(), "logs/lbstack-speaker-1_speaker_before: no log of before") {
		t.Fatalf("got the error %v, %q and\n%s", err, out, errOut)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, text)
	for name, part := range map[string]string{
		"versions.txt": "Kubernetes: v1.34.2\n", "status.txt": "Ready, lbstack v0.1.0", "doctor.txt": "ok Kubernetes", "logs/lbstack-speaker-1_speaker.log": "line of lbstack-speaker-1 speaker",
		"missing.txt": "no log of before",
	} {
		if got := files["lbstack-support-20010909T014640Z/"+name]; !strings.Contains(got, part) {
			t.Errorf("%s: got %q, want %q", name, got, part)
		}
	}
	for name, text := range files {
		if strings.Contains(name+text, "stranger") {
			t.Errorf("%s: it has something of a pod of others: %s", name, text)
		}
	}
	if err := o.run(t.Context(), time.Unix(1e9, 0)); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("a file that is there: got the error %v", err)
	}
}

func unpacked(t *testing.T, text []byte) map[string]string {
	t.Helper()
	uncompressed, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(uncompressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}
