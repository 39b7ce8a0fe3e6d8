// SPDX-License-Identifier: Apache-2.0

package prereq

import (
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	tests := []struct {
		name    string
		present func(string) bool
		want    []string
	}{
		{"a machine with everything misses nothing", func(string) bool { return true }, nil},
		{
			"what is missing is named with its package", func(what string) bool { return what != "nft" },
			[]string{"missing on this machine: nft\n", "apt-get install --no-install-recommends nftables"},
		},
		{
			"a package is named once", func(what string) bool { return !strings.HasPrefix(what, "/usr/lib/cni/") },
			[]string{"/usr/lib/cni/bridge, /usr/lib/cni/host-local", "--no-install-recommends containernetworking-plugins"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := missingError(neededFiles, test.present)
			if (err == nil) != (test.want == nil) {
				t.Fatalf("got %v, want failing %t", err, test.want != nil)
			}
			for _, want := range test.want {
				if got := err.Error(); !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			if err != nil && strings.Count(err.Error(), "containernetworking-plugins") > 1 {
				t.Errorf("got %q, want each package once", err)
			}
		})
	}
}
