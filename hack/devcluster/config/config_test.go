// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestRendering(t *testing.T) {
	tests := []struct {
		name     string
		host     string
		cgroupV1 bool
	}{
		{"a node on a machine with cgroup v1 tolerates it", "node2", true},
		{"a node on a machine with cgroup v2 has no setting of v1", "node1", false},
		{"the control plane has its programs and no node's files", plan.ControlPlane, true},
		{"the router runs FRR and nothing of Kubernetes", plan.Router, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host, ok := plan.FindHost(3, test.host)
			if !ok {
				t.Fatalf("no host %s", test.host)
			}
			compareGolden(t, fmt.Sprintf("%s-v1-%t.golden", test.host, test.cgroupV1), render(host, test.cgroupV1))
		})
	}
}

func TestFilesOfKubernetesAreYAML(t *testing.T) {
	host, _ := plan.FindHost(3, "node1")
	for name, content := range Files(host, true) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		var parsed struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(content), &parsed); err != nil || parsed.Kind == "" || parsed.APIVersion == "" {
			t.Errorf("%s: got %+v, %v, want a kind and a version", name, parsed, err)
		}
	}
}

func TestTheClientRunsNoPrograms(t *testing.T) {
	host, _ := plan.FindHost(3, plan.Client)
	if got := Programs(host); len(got) != 0 {
		t.Errorf("programs of the client: got %v, want none", got)
	}
}

func render(host plan.Host, cgroupV1 bool) string {
	var b strings.Builder
	for _, p := range Programs(host) {
		fmt.Fprintf(&b, "== program %s, needs %q\n%s\n", p.Name, p.Needs, strings.Join(p.Args, "\n  "))
	}
	files := Files(host, cgroupV1)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "== file %s\n%s", name, files[name])
	}
	return b.String()
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
