package olm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// All tests of scorecard that the bundle asks for run as pods.
func TestScorecard(t *testing.T) {
	mustKubectl(t, "", "create", "namespace", "scorecard")
	t.Cleanup(func() { mustKubectl(t, "", "delete", "namespace", "scorecard", "--wait=false") })
	cmd := exec.CommandContext(background(t), filepath.Join(bed.Repo, "bin", "operator-sdk"), "scorecard", filepath.Join(bed.Repo, "bundle"),
		"--namespace=scorecard", "--untar-image=localhost/lbstack/olm:1", "--wait-time=100s", "--pod-security=restricted", "--output=json")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath())
	text, failed := cmd.Output() // an error as well if a test fails: the output says which
	var output struct {
		Items []struct {
			Status struct {
				Results []struct {
					Name, State string
					Errors      []string
				}
			}
		}
	}
	if err := json.Unmarshal(text, &output); err != nil {
		t.Fatalf("scorecard: %v, and its output is no JSON: %v: %s", failed, err, text)
	}
	got := map[string]string{}
	for _, item := range output.Items {
		for _, result := range item.Status.Results {
			got[result.Name] = result.State
			for _, e := range result.Errors {
				t.Errorf("%s: %s", result.Name, e)
			}
		}
	}
	want := map[string]string{
		"basic-check-spec": "pass", "olm-bundle-validation": "pass", "olm-crds-have-resources": "pass",
		"olm-crds-have-validation": "pass", "olm-spec-descriptors": "pass", "olm-status-descriptors": "pass",
	}
	if diff := cmp.Diff(want, got); diff != "" || failed != nil {
		t.Errorf("scorecard: %v (-want +got):\n%s", failed, diff)
	}
}
