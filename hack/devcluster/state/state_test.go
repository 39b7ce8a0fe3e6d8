// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/hack/devcluster/process"
)

func TestWhatIsSavedIsLoaded(t *testing.T) {
	dir := t.TempDir()
	want := &Cluster{
		Name: "one", Nodes: 3, Port: 4711, Forward: process.Identity{PID: 5, Start: 6}, Kubernetes: "/k", Etcd: "/e",
		Hosts: map[string]Host{"node1": {Init: process.Identity{PID: 7, Start: 8}, Cgroups: []string{"/a"}, Images: []string{"b"}}},
	}
	if err := Save(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
}

func TestNoCluster(t *testing.T) {
	if _, err := Load(t.TempDir()); !errors.Is(err, ErrNoCluster) {
		t.Errorf("loading from an empty folder: got %v, want %v", err, ErrNoCluster)
	}
}

func TestABrokenFileIsNotTakenForNoCluster(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || errors.Is(err, ErrNoCluster) {
		t.Errorf("loading a broken file: got %v, want an error that is not %v", err, ErrNoCluster)
	}
}

func TestDir(t *testing.T) {
	tests := []struct {
		name, cluster string
		environment   map[string]string
		want          string
	}{
		{"the own variable wins", "a", map[string]string{"LBSTACK_STATE": "/s", "XDG_STATE_HOME": "/x"}, "/s/devcluster/a"},
		{"then the desktop's", "a", map[string]string{"XDG_STATE_HOME": "/x"}, "/x/lbstack/devcluster/a"},
		{"then the home folder", "a", nil, "/h/.local/state/lbstack/devcluster/a"},
		{"a name must not leave the folder", "../a", nil, ""},
		{"a name must not be empty", "", nil, ""},
		{"a name must be lower case", "A", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("HOME", "/h")
			for _, variable := range []string{"LBSTACK_STATE", "XDG_STATE_HOME"} {
				t.Setenv(variable, test.environment[variable])
			}
			got, err := Dir(test.cluster)
			if got != test.want || (err != nil) != (test.want == "") {
				t.Errorf("Dir(%q): got %q, %v, want %q", test.cluster, got, err, test.want)
			}
		})
	}
}

func TestALockIsTakenAgainAfterTheFolderWasRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan error)
	go func() {
		release, err := Lock(dir)
		if err == nil {
			release()
		}
		taken <- err
	}()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-taken; err != nil {
		t.Errorf("the second lock: got %v, want no error", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the folder after the second lock: got %v, want it to be there", err)
	}
}
