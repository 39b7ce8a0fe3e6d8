package krew

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestManifest(t *testing.T) {
	got, err := Manifest("v1.2.3", []Archive{
		{OS: "linux", Architecture: "amd64", Location: "https://example.com/linux.tar.gz", SHA256: strings.Repeat("1", 64)},
		{OS: "darwin", Architecture: "arm64", Location: "https://example.com/darwin.tar.gz", SHA256: strings.Repeat("e", 64)},
	})
	if err != nil {
		t.Fatal(err)
	}
	// A checksum of nothing but digits is a string as well.
	const want = `  platforms:
  - bin: kubectl-lbstack
    selector:
      matchLabels:
        arch: amd64
        os: linux
    sha256: "1111111111111111111111111111111111111111111111111111111111111111"
    uri: https://example.com/linux.tar.gz
  - bin: kubectl-lbstack
    selector:
      matchLabels:
        arch: arm64
        os: darwin
    sha256: eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee
    uri: https://example.com/darwin.tar.gz
`
	_, platforms, _ := strings.Cut(string(got), "https://github.com/lbstack/lbstack\n")
	if diff := cmp.Diff(want, platforms[strings.Index(platforms, "  platforms:"):strings.Index(platforms, "  shortDescription:")]); diff != "" {
		t.Errorf("platforms of the manifest (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(got), "\n  version: v1.2.3\n") {
		t.Errorf("the manifest has not its version:\n%s", got)
	}
}

// TestShortDescription: lists of krew have one line of 50 characters for it.
func TestShortDescription(t *testing.T) {
	if len(shortDescription) > 50 || strings.Contains(shortDescription, "\n") {
		t.Errorf("%q has %d characters, want 50 at most, on one line", shortDescription, len(shortDescription))
	}
}
