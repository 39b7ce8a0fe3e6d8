// SPDX-License-Identifier: Apache-2.0

// Package cgroup makes and removes the control groups of a host, sets their weight and
// freezes them. A host has its own group in every hierarchy of the machine (one
// hierarchy with cgroup v2, several with v1). The groups of its pods are below it, so
// that one write freezes all processes of the host.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Hierarchy is a mounted cgroup hierarchy.
type Hierarchy struct {
	// Mount is where it is mounted, for example /sys/fs/cgroup/cpu.
	Mount string
	// Type is the file system: cgroup (v1) or cgroup2.
	Type string
	// Options are those of the v1 mount, for example "cpu,cpuacct".
	Options string
}

// Hierarchies returns the mounted hierarchies.
func Hierarchies() ([]Hierarchy, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	return parseMounts(string(data)), nil
}

// HasV1 reports whether one of the hierarchies is a v1 hierarchy.
func HasV1(hierarchies []Hierarchy) bool {
	for _, h := range hierarchies {
		if h.Type == "cgroup" {
			return true
		}
	}
	return false
}

// Make makes the group with that relative path in every hierarchy and returns the
// folders, in the order of the hierarchies. In a v1 hierarchy the group is below the
// group of this process, so that the limits of the caller apply to the cluster. In the
// v2 hierarchy it is below the root, because a v2 group that has processes cannot pass
// controllers to child groups.
func Make(hierarchies []Hierarchy, path string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("reading the own control groups: %w", err)
	}
	own := parseOwn(string(data))
	var dirs []string
	for _, h := range hierarchies {
		base := h.Mount
		if h.Type == "cgroup" {
			base = filepath.Join(h.Mount, own[h.ownKey()])
		}
		if err := makeBelow(base, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		// Another cluster that is being removed may have removed an empty parent, so
		// try once more.
		if err := makeBelow(base, path); err != nil {
			return nil, err
		}
		dirs = append(dirs, filepath.Join(base, path))
	}
	return dirs, nil
}

// EnterGroups moves this process into the groups.
func EnterGroups(dirs []string) error {
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("entering control group %s: %w", dir, err)
		}
	}
	return nil
}

// SetWeight multiplies the default processor share of the groups by times (1 to MaxWeight).
// The share matters only while the processors are fully used.
func SetWeight(dirs []string, times int) error {
	if times < 1 || times > MaxWeight {
		return fmt.Errorf("weight %d of control groups: want 1 to %d", times, MaxWeight)
	}
	for _, dir := range dirs {
		for file, usual := range defaultWeights {
			path := filepath.Join(dir, file)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			if err := os.WriteFile(path, []byte(strconv.Itoa(times*usual)), 0); err != nil {
				return fmt.Errorf("writing %s: %w", path, err)
			}
			return nil
		}
	}
	return fmt.Errorf("none of the control groups %s has cpu.shares or cpu.weight: let them have the cpu controller", strings.Join(dirs, ", "))
}

// MaxWeight is the limit of cgroup v2, where cpu.weight is at most 10000.
const MaxWeight = 100

// defaultWeights are the default weights of a group, by file: cpu.shares is a file of v1,
// cpu.weight of v2.
var defaultWeights = map[string]int{"cpu.shares": 1024, "cpu.weight": 100}

// Remove removes the groups with all groups below them, and then the parents up to
// Parent that are empty. The groups must not have processes.
func Remove(dirs []string) error {
	var problems []error
	for _, dir := range dirs {
		if err := removeTree(dir); err != nil {
			problems = append(problems, err)
			continue
		}
		for p := filepath.Dir(dir); strings.Contains(p, "/"+Parent); p = filepath.Dir(p) {
			if os.Remove(p) != nil {
				break
			}
		}
	}
	return errors.Join(problems...)
}

// Parent is the first element of every group's relative path.
const Parent = "lbstack"

// Freeze stops every process in the groups, or lets them run again, and returns once
// that has happened.
func Freeze(dirs []string, frozen bool) error {
	file, value, want, err := freezerFile(dirs, frozen)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	const attempts = 500
	for range attempts {
		if now, err := IsFrozen(dirs); err != nil || now == want {
			return err
		}
		time.Sleep(10 * time.Millisecond) // the kernel does not notify
	}
	return fmt.Errorf("control group %s did not become %s", filepath.Dir(file), value)
}

// IsFrozen reports whether the processes in the groups are stopped.
func IsFrozen(dirs []string) (bool, error) {
	for _, dir := range dirs {
		if v1, err := os.ReadFile(filepath.Join(dir, "freezer.state")); err == nil {
			return strings.TrimSpace(string(v1)) == "FROZEN", nil
		}
		if v2, err := os.ReadFile(filepath.Join(dir, "cgroup.events")); err == nil {
			if bytes.Contains(v2, []byte("frozen 1")) {
				return true, nil
			}
		}
	}
	return false, nil
}

func freezerFile(dirs []string, frozen bool) (file, value string, want bool, err error) {
	for _, dir := range dirs {
		file = filepath.Join(dir, "freezer.state")
		if _, err := os.Stat(file); err == nil {
			if frozen {
				return file, "FROZEN", true, nil
			}
			return file, "THAWED", false, nil
		}
	}
	for _, dir := range dirs {
		file = filepath.Join(dir, "cgroup.freeze")
		if _, err := os.Stat(file); err == nil {
			if frozen {
				return file, "1", true, nil
			}
			return file, "0", false, nil
		}
	}
	return "", "", false, errors.New("the kernel has no freezer for control groups")
}

// makeBelow makes the folders of path one by one. A new v1 cpuset is empty and accepts
// no process, so makeBelow copies the processors and memory nodes of its parent.
func makeBelow(base, path string) error {
	dir := base
	for element := range strings.SplitSeq(path, "/") {
		parent := dir
		dir = filepath.Join(dir, element)
		enableControllers(parent)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making control group %s: %w", dir, err)
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, file))
			if err != nil || len(bytes.TrimSpace(value)) == 0 {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
				return fmt.Errorf("copying %s to control group %s: %w", file, dir, err)
			}
		}
	}
	return nil
}

// enableControllers enables all controllers of a v2 group for its child groups. It ignores
// errors: only pods that need a missing controller fail.
func enableControllers(dir string) {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return // v1
	}
	for _, c := range strings.Fields(string(controllers)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0)
	}
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading control group %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	const attempts = 200
	for range attempts {
		err = os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(10 * time.Millisecond) // killed processes have not ended yet
	}
	return fmt.Errorf("removing control group: %w", err)
}
