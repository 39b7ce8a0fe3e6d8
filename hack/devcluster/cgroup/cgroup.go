// SPDX-License-Identifier: Apache-2.0

// Package cgroup makes, removes and freezes the control groups of a host, and sets their
// weight. A host is a simulated computer of the test bed; all hosts run on one machine.
// Each host has its own group in every cgroup hierarchy of the machine: cgroup v2 has one
// hierarchy, v1 has several. The groups of the host's pods are below its own group, so
// one write freezes all processes of the host.
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
	// Mount is the mount point, for example /sys/fs/cgroup/cpu.
	Mount string
	// Type is the type of the file system: cgroup for v1, cgroup2 for v2.
	Type string
	// Options are the mount options that identify a v1 hierarchy, for example
	// "cpu,cpuacct"; "" for v2.
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

// MakeGroups makes a group in every hierarchy and returns the folders of the groups, in the
// order of the hierarchies. In a v1 hierarchy path is relative to the group of this
// process, so that the limits of this process apply to the cluster. In the v2 hierarchy
// path is relative to the root, because a v2 group that has processes cannot pass
// controllers to child groups.
func MakeGroups(hierarchies []Hierarchy, path string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("reading the control groups of this process: %w", err)
	}
	own := parseOwnGroups(string(data))
	var dirs []string
	for _, h := range hierarchies {
		base := h.Mount
		if h.Type == "cgroup" {
			base = filepath.Join(h.Mount, own[h.ownKey()])
		}
		if err := makeGroup(base, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		// The removal of another cluster may have removed an empty parent meanwhile, so
		// try a second time.
		if err := makeGroup(base, path); err != nil {
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

// SetWeight sets the processor share of the groups to a multiple of the default share.
// The multiple is weight, from 1 to MaxWeight. The share matters only while the
// processors are fully used.
func SetWeight(dirs []string, weight int) error {
	if weight < 1 || weight > MaxWeight {
		return fmt.Errorf("weight %d of control groups: want 1 to %d", weight, MaxWeight)
	}
	for _, dir := range dirs {
		for file, usual := range defaultWeights {
			path := filepath.Join(dir, file)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			if err := os.WriteFile(path, []byte(strconv.Itoa(weight*usual)), 0); err != nil {
				return fmt.Errorf("writing %s: %w", path, err)
			}
			return nil
		}
	}
	return fmt.Errorf("none of the control groups %s has a file cpu.shares or cpu.weight: enable the cpu controller in their parent group", strings.Join(dirs, ", "))
}

// MaxWeight is the maximum of SetWeight. In cgroup v2 cpu.weight is at most 10000, which
// is 100 times the default.
const MaxWeight = 100

// defaultWeights maps the file with the weight of a group to the default weight. The file
// is cpu.shares in v1 and cpu.weight in v2.
var defaultWeights = map[string]int{"cpu.shares": 1024, "cpu.weight": 100}

// RemoveGroups removes the groups and all groups below them. It also removes the parents that
// are empty then, up to the group lbstack. All processes in the groups must have ended or
// been killed.
func RemoveGroups(dirs []string) error {
	var problems []error
	for _, dir := range dirs {
		if err := removeTree(dir); err != nil {
			problems = append(problems, err)
			continue
		}
		for p := filepath.Dir(dir); strings.Contains(p, "/"+ParentDir); p = filepath.Dir(p) {
			if os.Remove(p) != nil {
				break
			}
		}
	}
	return errors.Join(problems...)
}

// ParentDir is the first element of every group's relative path.
const ParentDir = "lbstack"

// SetFrozen stops every process in the groups if frozen is true. Otherwise it lets the
// processes run again. It returns when the kernel has stopped or resumed them.
func SetFrozen(dirs []string, frozen bool) error {
	file, value, want, err := freezerSetting(dirs, frozen)
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
		time.Sleep(10 * time.Millisecond) // cgroup v1 sends no notification
	}
	return fmt.Errorf("control group %s: the kernel did not act on the value %s of %s in time", filepath.Dir(file), value, filepath.Base(file))
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

// freezerSetting returns what to write to freeze or thaw the groups: the file, the value, and
// the result of IsFrozen after that.
func freezerSetting(dirs []string, frozen bool) (file, value string, want bool, err error) {
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

// makeGroup makes each folder of path, below base. A new v1 cpuset has no processors and
// accepts no process, so the processors and memory nodes of the parent are copied.
func makeGroup(base, path string) error {
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
// errors, since a missing controller affects only the pods that need it.
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
		time.Sleep(10 * time.Millisecond) // killed processes may not have ended yet
	}
	return fmt.Errorf("removing control group: %w", err)
}
