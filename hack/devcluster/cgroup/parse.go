// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"
	"strings"
)

// parseMounts reads the cgroup mounts from /proc/PID/mountinfo (proc(5)). A hierarchy
// that has two mounts is in the result once.
func parseMounts(mountinfo string) []Hierarchy {
	var found []Hierarchy
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		const mountPoint, superOptions = 4, 2
		if !ok || len(left) <= mountPoint || len(right) <= superOptions {
			continue
		}
		h := Hierarchy{Mount: left[mountPoint], Type: right[0]}
		switch h.Type {
		case "cgroup":
			h.Options = v1Options(right[superOptions])
		case "cgroup2":
		default:
			continue
		}
		if !slices.ContainsFunc(found, func(f Hierarchy) bool { return f.Type == h.Type && f.Options == h.Options }) {
			found = append(found, h)
		}
	}
	return found
}

// v1Options returns the mount options that identify a hierarchy: the controllers or the
// name. super are all options of the mount.
func v1Options(super string) string {
	skip := []string{"rw", "ro", "xattr", "clone_children", "noprefix"}
	var keep []string
	for option := range strings.SplitSeq(super, ",") {
		if !slices.Contains(skip, option) && !strings.HasPrefix(option, "release_agent=") {
			keep = append(keep, option)
		}
	}
	return strings.Join(keep, ",")
}

// ownKey returns the name of the hierarchy in /proc/PID/cgroup; "" for v2.
func (h Hierarchy) ownKey() string { return h.Options }

// parseOwnGroups parses /proc/PID/cgroup. It returns the path of the process's group in each
// hierarchy, by the ownKey of the hierarchy.
func parseOwnGroups(cgroup string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 {
			own[parts[1]] = parts[2]
		}
	}
	return own
}
