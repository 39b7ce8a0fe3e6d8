// Package releases reads the list of releases. The channels and upgrade edges in the OLM bundle and the OLM
// catalogue come from this list.
package releases

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

// List is the content of catalog/releases.yaml.
type List struct {
	// Package is the name of the package in the catalogue.
	Package string `json:"package"`
	// DefaultChannel is the channel of a Subscription that names none.
	DefaultChannel string `json:"defaultChannel"`
	// Releases are in the order of their versions.
	Releases []Release `json:"releases"`
}

// Release is one release of lbstack.
type Release struct {
	// Version is vMAJOR.MINOR.PATCH.
	Version string `json:"version"`
	// Date is YYYY-MM-DD.
	Date string `json:"date"`
	// Channels are the names of the channels that contain the release.
	Channels []string `json:"channels"`
	// Skips are earlier versions that an upgrade to this release can leave out.
	Skips []string `json:"skips,omitempty"`
}

// Read reads and checks a list.
func Read(file string) (List, error) {
	var list List
	text, err := os.ReadFile(file)
	if err != nil {
		return list, fmt.Errorf("reading the releases: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return list, fmt.Errorf("reading the releases of %s: %w", file, err)
	}
	if err := list.check(); err != nil {
		return list, fmt.Errorf("the releases of %s: %w", file, err)
	}
	return list, nil
}

// check returns all errors in the list.
func (l List) check() error {
	var wrong []error
	if l.Package == "" || len(l.Releases) == 0 {
		wrong = append(wrong, errors.New("package or releases are missing"))
	}
	var before *version.Version
	var known []string
	for _, release := range l.Releases {
		at, err := version.ParseSemantic(release.Version)
		if err != nil || !strings.HasPrefix(release.Version, "v") {
			wrong = append(wrong, fmt.Errorf("version %q is not vMAJOR.MINOR.PATCH", release.Version))
			continue
		}
		if before != nil && !before.LessThan(at) {
			wrong = append(wrong, fmt.Errorf("%s comes after v%s in the list, but is not newer", release.Version, before))
		}
		before = at
		if _, err := time.Parse(time.DateOnly, release.Date); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: date %q is not YYYY-MM-DD", release.Version, release.Date))
		}
		if len(release.Channels) == 0 {
			wrong = append(wrong, fmt.Errorf("%s is in no channel", release.Version))
		}
		for _, skipped := range release.Skips {
			if !slices.Contains(known, skipped) {
				wrong = append(wrong, fmt.Errorf("%s skips %s, which is not an earlier release", release.Version, skipped))
			}
		}
		known = append(known, release.Version)
	}
	if !slices.Contains(l.Channels(), l.DefaultChannel) {
		wrong = append(wrong, fmt.Errorf("no release is in the defaultChannel %q", l.DefaultChannel))
	}
	return errors.Join(wrong...)
}

// Channels returns the names of all channels, sorted.
func (l List) Channels() []string {
	var names []string
	for _, release := range l.Releases {
		names = append(names, release.Channels...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ReleaseOf returns the release of a version. For a version that is not in the list yet, it returns a release with
// the date and the channels of the newest release.
func (l List) ReleaseOf(version string) Release {
	for _, release := range l.Releases {
		if release.Version == version {
			return release
		}
	}
	newest := l.Releases[len(l.Releases)-1]
	return Release{Version: version, Date: newest.Date, Channels: newest.Channels}
}

// Entry is one version in a channel, with the versions that it replaces and skips.
type Entry struct {
	Name     string   `json:"name"`
	Replaces string   `json:"replaces,omitempty"`
	Skips    []string `json:"skips,omitempty"`
}

// Entries returns the versions in a channel, the oldest first. A version replaces the newest earlier version
// that no release of the channel skips. If a version skips another version, it also skips the versions that
// the other version skips, so that an upgrade stops at none of them.
func (l List) Entries(channel string) []Entry {
	var entries []Entry
	skipped := map[string]bool{}
	skips := map[string][]string{}
	for _, release := range l.Releases {
		if !slices.Contains(release.Channels, channel) {
			continue
		}
		entry := Entry{Name: l.BundleName(release.Version)}
		for _, version := range release.Skips {
			name := l.BundleName(version)
			skipped[name] = true
			for _, also := range append([]string{name}, skips[name]...) {
				if !slices.Contains(entry.Skips, also) {
					entry.Skips = append(entry.Skips, also)
				}
			}
		}
		skips[entry.Name] = entry.Skips
		entries = append(entries, entry)
	}
	stop := ""
	for i := range entries {
		entries[i].Replaces = stop
		if !skipped[entries[i].Name] {
			stop = entries[i].Name
		}
	}
	return entries
}

// BundleName returns the name of the ClusterServiceVersion, and thereby of the bundle, for a version.
func (l List) BundleName(version string) string { return l.Package + "." + version }
