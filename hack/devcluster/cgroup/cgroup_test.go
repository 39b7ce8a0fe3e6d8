// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	tests := []struct {
		name, mountinfo string
		want            []Hierarchy
	}{
		{
			"v1 with two controllers in one hierarchy, a named one, and v2 beside",
			"30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n" +
				"31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
				"32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n" +
				"33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n",
			[]Hierarchy{
				{Mount: "/sys/fs/cgroup/cpu,cpuacct", Type: "cgroup", Options: "cpu,cpuacct"},
				{Mount: "/sys/fs/cgroup/systemd", Type: "cgroup", Options: "name=systemd"},
				{Mount: "/sys/fs/cgroup/unified", Type: "cgroup2"},
			},
		},
		{
			"v2 alone, mounted twice",
			"30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 25 0:26 / /other rw - cgroup2 cgroup2 rw\n",
			[]Hierarchy{{Mount: "/sys/fs/cgroup", Type: "cgroup2"}},
		},
		{"none", "30 25 0:26 / /proc rw - proc proc rw\n", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, parseMounts(test.mountinfo)); diff != "" {
				t.Errorf("hierarchies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseOwn(t *testing.T) {
	got := parseOwnGroups("4:memory:/a/b\n1:cpu,cpuacct:/\n0::/user.slice\n")
	want := map[string]string{"memory": "/a/b", "cpu,cpuacct": "/", "": "/user.slice"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestWeigh(t *testing.T) {
	tests := []struct {
		name, file string
		times      int
		want       string
	}{
		{"v1, as all others", "cpu.shares", 1, "1024"},
		{"v1, at most", "cpu.shares", MaxWeight, "102400"},
		{"v2, as all others", "cpu.weight", 1, "100"},
		{"v2, at most", "cpu.weight", MaxWeight, "10000"},
		{"more than there can be", "cpu.weight", MaxWeight + 1, "refused"},
		{"nothing", "cpu.weight", 0, "refused"},
		{"a kernel without weights", "memory.max", 2, "refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dirs := []string{t.TempDir(), t.TempDir()}
			file := filepath.Join(dirs[1], test.file)
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			got := "refused"
			if err := SetWeight(dirs, test.times); err == nil {
				content, _ := os.ReadFile(file)
				got = string(content)
			}
			if got != test.want {
				t.Errorf("weight %d in %s: got %s, want %s", test.times, test.file, got, test.want)
			}
		})
	}
}

func TestRemoveTakesEmptyParentsOfTheTestBedAndNoOthers(t *testing.T) {
	base := t.TempDir()
	keep := filepath.Join(base, "lbstack", "two", "node1")
	gone := filepath.Join(base, "lbstack", "one", "node1")
	for _, dir := range []string{keep, filepath.Join(gone, "k8s.io", "container")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveGroups([]string{gone}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(base, "lbstack", "one")); !os.IsNotExist(err) {
		t.Errorf("the removed cluster's folder: got %v, want it gone", err)
	}
	if err := RemoveGroups([]string{keep}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(base)
	if err != nil || len(left) != 0 {
		t.Errorf("after the last cluster: got %v, %v, want nothing left", left, err)
	}
}
