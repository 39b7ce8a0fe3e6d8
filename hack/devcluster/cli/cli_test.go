// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
	"github.com/lbstack/lbstack/hack/devcluster/hostinit"
	"github.com/lbstack/lbstack/hack/devcluster/ociimage"
)

func TestStatusTable(t *testing.T) {
	yes, no := true, false
	address := netip.MustParseAddr
	var out bytes.Buffer
	err := writeStatus(&out, []cluster.HostStatus{
		{Name: "router", V4: address("192.168.1.1"), V6: address("fd00::1"), Power: cluster.PowerNamespace, Link: true},
		{
			Name: "node1", V4: address("192.168.1.11"), V6: address("fd00::11"), Power: cluster.PowerOn, Link: true, Ready: &yes,
			Programs: []hostinit.ProgramStatus{{Name: "kubelet", PID: 7}},
		},
		{
			Name: "node2", V4: address("192.168.1.12"), V6: address("fd00::12"), Power: cluster.PowerOn, Ready: &no,
			Programs: []hostinit.ProgramStatus{{Name: "kubelet", Stopped: true}, {Name: "containerd"}, {Name: "kube-proxy", PID: 8, Restarts: 2}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `HOST    IPV4          IPV6      STATE      LINK  READY  PROGRAMS
router  192.168.1.1   fd00::1   namespace  up    -      -
node1   192.168.1.11  fd00::11  running    up    yes    all running
node2   192.168.1.12  fd00::12  running    down  no     kubelet stopped, containerd not running, kube-proxy restarted 2x
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestImageRecipe(t *testing.T) {
	one := []string{"operator=/a"}
	tests := []struct {
		name   string
		recipe imageRecipe
		want   ociimage.Image
		fails  bool
	}{
		{"the first program is the entrypoint", imageRecipe{binaries: []string{"operator=/a", "speaker=/b"}},
			ociimage.Image{Entrypoint: []string{"/operator"}, Files: []ociimage.File{{Path: "/operator", Source: "/a"}, {Path: "/speaker", Source: "/b"}}}, false},
		{"files are for reading, labels keep their equals signs", imageRecipe{binaries: one, files: []string{"/licenses/LICENSE=LICENSE"}, labels: []string{"a.b=c=d"}},
			ociimage.Image{Entrypoint: []string{"/operator"}, Labels: map[string]string{"a.b": "c=d"},
				Files: []ociimage.File{{Path: "/operator", Source: "/a"}, {Path: "/licenses/LICENSE", Source: "LICENSE", Mode: 0o644}}}, false},
		{"a program needs a path", imageRecipe{binaries: []string{"operator"}}, ociimage.Image{}, true},
		{"a label needs a value", imageRecipe{binaries: one, labels: []string{"a.b"}}, ociimage.Image{}, true},
		{"files alone start nothing", imageRecipe{files: []string{"/a=b"}}, ociimage.Image{Files: []ociimage.File{{Path: "/a", Source: "b", Mode: 0o644}}}, false},
		{"an image without programs and files is none", imageRecipe{}, ociimage.Image{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.recipe.name, test.recipe.architecture, test.recipe.user = "a:1", "arm64", "1:2"
			got, err := test.recipe.buildImage()
			if (err != nil) != test.fails {
				t.Fatalf("got %v, want failing %t", err, test.fails)
			}
			if test.fails {
				return
			}
			test.want.Name, test.want.User, test.want.Architecture = "a:1", "1:2", "arm64"
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("image (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLastLines(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"fewer than wanted", "a\n", "a"},
		{"more than wanted", "a\nb\nc\n", "b\nc"},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(lastLines([]byte(test.in), 2)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEveryListedCommandHasADescription(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.Hidden && c.Short == "" {
			t.Errorf("command %s: got no description, want one", c.Name())
		}
		if !c.Hidden && c.HasParent() && !strings.Contains(c.Parent().UsageString(), c.Name()) {
			t.Errorf("command %s: got nothing in the help, want it there", c.Name())
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(rootCommand(io.Discard, io.Discard))
}
