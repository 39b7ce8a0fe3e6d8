package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The subjects of commits are checked by hack/commit-msg, which CI runs over new commits.
func TestCommitMessage(t *testing.T) {
	check, err := filepath.Abs(filepath.Join(root, "hack", "commit-msg"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, message string
		want          string // part of what is printed; empty: the message is accepted
	}{
		{"area and imperative", "speaker: announce again when a link comes back\n\nWhy.\n", ""},
		{"areas with folders", "speaker/mesh, docs: bring back 4 figures\n", ""},
		{"comments of git come first", "# On branch main\n\nhack: embed the list\n", ""},
		{"72 characters", "a: " + strings.Repeat("b", 69) + "\n", ""},
		{"73 characters", "a: " + strings.Repeat("b", 70) + "\n", "has 73 characters"},
		{"no area", "announce again when a link comes back\n", "area: imperative"},
		{"a sentence", "speaker: Announce again\n", "area: imperative"},
		{"past", "speaker: announced again\n", "not in the imperative"},
		{"third person", "speaker: announces again\n", "not in the imperative"},
		{"participle", "speaker: announcing again\n", "not in the imperative"},
		{"a verb that ends like a third person", "speaker: pass the address on\n", ""},
		{"empty", "\n", "area: imperative"},
		{"merge", "Merge branch 'x'\n", ""},
		{"revert", "Revert \"x\"\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "COMMIT_EDITMSG")
			if err := os.WriteFile(file, []byte(tt.message), 0o600); err != nil {
				t.Fatal(err)
			}
			output, err := exec.Command(check, file).CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(output), tt.want) {
				t.Errorf("hack/commit-msg: %v: got %q, want %q", err, output, tt.want)
			}
		})
	}
}
