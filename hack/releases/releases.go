// Package releases reads the list of releases. The OLM bundle and the OLM catalogue get their
// channels and upgrade edges from it.
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

// List is the file catalog/releases.yaml.
type List struct {
	// Package is the name of the package in the catalogue.
	Package string `json:"package"`
	// DefaultChannel is the channel of a Subscription that names none.
	DefaultChannel string `json:"defaultChannel"`
	// Releases are in the order of their versions.
	Releases []Release `json:"releases"`
}

// Release of lbstack.
type Release struct {
	// Version is vMAJOR.MINOR.PATCH.
	Version string `json:"version"`
	// Date is YYYY-MM-DD.
	Date string `json:"date"`
	// Channels are the channels with the release. In each of them it replaces the newest release
	// before it that none skips.
	Channels []string `json:"channels"`
	// Skips are earlier versions that an upgrade to this release may skip.
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
		wrong = append(wrong, errors.New("package and releases are needed"))
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
			wrong = append(wrong, fmt.Errorf("%s is after v%s, and is not newer", release.Version, before))
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
				wrong = append(wrong, fmt.Errorf("%s skips %s, which is no earlier release", release.Version, skipped))
			}
		}
		known = append(known, release.Version)
	}
	if !slices.Contains(l.Channels(), l.DefaultChannel) {
		wrong = append(wrong, fmt.Errorf("defaultChannel %q has no release", l.DefaultChannel))
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

// Of returns the release of a version. For a version that is not in the list yet, it has the
// date and the channels of the newest release.
func (l List) Of(version string) Release {
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

// Entries returns the versions of a channel, the oldest first. A version replaces the newest one before it
// that no release of the channel skips. It also skips what those that it skips do: no installation stops at
// one of them.
func (l List) Entries(channel string) []Entry {
	var entries []Entry
	skipped := map[string]bool{}
	skips := map[string][]string{}
	for _, release := range l.Releases {
		if !slices.Contains(release.Channels, channel) {
			continue
		}
		entry := Entry{Name: l.Bundle(release.Version)}
		for _, version := range release.Skips {
			name := l.Bundle(version)
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

// Bundle returns the name of the ClusterServiceVersion of a version.
func (l List) Bundle(version string) string { return l.Package + "." + version }
