package generated

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceAndCheck(t *testing.T) {
	tests := []struct {
		name            string
		generated, tree map[string]string
		want            []string // parts of the error of the check before the replacement
	}{
		{"the same files", map[string]string{"a/x": "1\n", "f": "2"}, map[string]string{"a/x": "1\n", "f": "2"}, nil},
		{"a changed line", map[string]string{"a/x": "1\n2\n", "f": ""}, map[string]string{"a/x": "1\n3\n", "f": ""}, []string{`a/x: line 2 is "3", and the generated line is "2"`}},
		{"a line at the end of the file", map[string]string{"a/x": "1", "f": ""}, map[string]string{"a/x": "1\n2", "f": ""}, []string{"a/x: the file has 2 lines, and the generated one has 1"}},
		{"a file of an earlier generation", map[string]string{"a/x": "1", "f": ""}, map[string]string{"a/x": "1", "a/old": "1", "f": ""}, []string{"a/old is not generated any more"}},
		{"nothing was generated before", map[string]string{"a/x": "1", "f": ""}, nil, []string{"a/x does not exist", "f does not exist"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from, to := t.TempDir(), t.TempDir()
			write(t, from, tt.generated)
			write(t, to, tt.tree)
			write(t, to, map[string]string{"other": "stays"})
			err := Check(from, to, "a", "f")
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("check of the tree: %v, want an error: %t", err, tt.want != nil)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("check of the tree: %v, want %q in it", err, part)
				}
			}
			if err := Replace(from, to, "a", "f"); err != nil {
				t.Fatal(err)
			}
			if err := Check(from, to, "a", "f"); err != nil {
				t.Errorf("check after the replacement: %v", err)
			}
			if got, err := os.ReadFile(filepath.Join(to, "other")); err != nil || string(got) != "stays" {
				t.Errorf("a file that is not generated: %q, %v; want it unchanged", got, err)
			}
		})
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
