package releases

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const three = `
package: lbstack
defaultChannel: stable-v0
releases:
- {version: v0.1.0, date: "2026-11-29", channels: [candidate-v0, stable-v0]}
- {version: v0.2.0, date: "2026-12-06", channels: [candidate-v0]}
- {version: v0.2.1, date: "2026-12-13", channels: [candidate-v0, stable-v0], skips: [v0.2.0]}
`

// entry is an entry of the versions of lbstack: its own, the one that it replaces, and those that it skips.
func entry(version, replaces string, skips ...string) Entry {
	e := Entry{Name: "lbstack." + version}
	if replaces != "" {
		e.Replaces = "lbstack." + replaces
	}
	for _, skipped := range skips {
		e.Skips = append(e.Skips, "lbstack."+skipped)
	}
	return e
}

func TestEntries(t *testing.T) {
	tests := []struct {
		name     string
		releases []Release
		want     []Entry
	}{
		{"each release replaces the one before it", []Release{{Version: "v1"}, {Version: "v2"}, {Version: "v3"}}, []Entry{entry("v1", ""), entry("v2", "v1"), entry("v3", "v2")}},
		{"a release that skips the one before replaces the one before that", []Release{{Version: "v1"}, {Version: "v2"}, {Version: "v3", Skips: []string{"v2"}}, {Version: "v4"}},
			[]Entry{entry("v1", ""), entry("v2", "v1"), entry("v3", "v1", "v2"), entry("v4", "v3")}},
		{"a release that skips all before it replaces none", []Release{{Version: "v1"}, {Version: "v2", Skips: []string{"v1"}}}, []Entry{entry("v1", ""), entry("v2", "", "v1")}},
		{"a release that skips a corrected one also skips what that one did", []Release{{Version: "v1"}, {Version: "v2"}, {Version: "v3", Skips: []string{"v2"}}, {Version: "v4", Skips: []string{"v3"}}},
			[]Entry{entry("v1", ""), entry("v2", "v1"), entry("v3", "v1", "v2"), entry("v4", "v1", "v3", "v2")}},
		{"a release that skips one which another has replaced", []Release{{Version: "v1"}, {Version: "v2"}, {Version: "v3"}, {Version: "v4", Skips: []string{"v2"}}},
			[]Entry{entry("v1", ""), entry("v2", "v1"), entry("v3", "v1"), entry("v4", "v3", "v2")}},
		{"a skipped release that the channel does not have", []Release{{Version: "v1"}, {Version: "v2", Channels: []string{"other"}}, {Version: "v3", Skips: []string{"v2"}}},
			[]Entry{entry("v1", ""), entry("v3", "v1", "v2")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := List{Package: "lbstack", Releases: slices.Clone(tt.releases)}
			for i := range list.Releases {
				if list.Releases[i].Channels == nil {
					list.Releases[i].Channels = []string{"stable-v0"}
				}
			}
			if diff := cmp.Diff(tt.want, list.Entries("stable-v0")); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOf(t *testing.T) {
	list := parse(t, three)
	tests := []struct {
		name, version string
		want          Release
	}{
		{"a release of the list", "v0.2.0", Release{Version: "v0.2.0", Date: "2026-12-06", Channels: []string{"candidate-v0"}}},
		{"a version that is not released has the channels of the newest release", "v0.3.0", Release{Version: "v0.3.0", Date: "2026-12-13", Channels: []string{"candidate-v0", "stable-v0"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, list.ReleaseOf(tt.version)); diff != "" {
				t.Errorf("release (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRead_RefusesInvalidLists(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"a version without v", "version: v0.2.0", "version: 0.2.0", `version "0.2.0" is not vMAJOR.MINOR.PATCH`},
		{"versions out of order", "version: v0.2.1", "version: v0.1.5", "v0.1.5 comes after v0.2.0 in the list, but is not newer"},
		{"a version twice", "version: v0.2.0", "version: v0.1.0", "v0.1.0 comes after v0.1.0 in the list, but is not newer"},
		{"a date that does not exist", "2026-12-06", "2026-13-06", `v0.2.0: date "2026-13-06" is not YYYY-MM-DD`},
		{"a release in no channel", "channels: [candidate-v0]", "channels: []", "v0.2.0 is in no channel"},
		{"a skip of what was not released", "skips: [v0.2.0]", "skips: [v0.1.9]", "v0.2.1 skips v0.1.9, which is not an earlier release"},
		{"a default channel without releases", "defaultChannel: stable-v0", "defaultChannel: stable-v1", `no release is in the defaultChannel "stable-v1"`},
		{"a field that does not exist", "package:", "packages:", "unknown field"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(three, tt.old, tt.new, 1)
			if text == three {
				t.Fatalf("%q is not in the list", tt.old)
			}
			if _, err := Read(write(t, text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestRead_ListOfTheRepository(t *testing.T) {
	if _, err := Read(filepath.Join("..", "..", "catalog", "releases.yaml")); err != nil {
		t.Error(err)
	}
}

func parse(t *testing.T, text string) List {
	t.Helper()
	list, err := Read(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "releases.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
