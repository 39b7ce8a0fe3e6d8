package main

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/speaker/app"
	"github.com/lbstack/lbstack/speaker/mesh"
)

func parsed(args ...string) (app.Options, error) {
	set := flag.NewFlagSet("speaker", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	return parseFlags(set, args)
}

func TestFlagsHaveDefaults(t *testing.T) {
	s, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if s.Detection != mesh.ProfileDefault || s.GradualFailback || s.StateDir != "/var/lib/lbstack" || s.MeshPort != 7575 || s.HealthAddress != "127.0.0.1:7573" || s.MetricsAddress != ":7574" {
		t.Errorf("got %+v, want the defaults", s)
	}
}

func TestFlagsAreFollowed(t *testing.T) {
	s, err := parsed("--failure-detection=fast", "--failback=gradual", "--node=n1")
	if err != nil {
		t.Fatal(err)
	}
	if s.Detection != mesh.ProfileFast || !s.GradualFailback || s.Node != "n1" {
		t.Errorf("got %+v, want the values of the flags", s)
	}
}

func TestAnUnknownValueIsRefusedWithTheNameOfItsFlag(t *testing.T) {
	for _, arg := range []string{"-failure-detection=Fast", "-failback=sometimes", "-mesh-port=x", "-mesh-port=0", "-mesh-port=65536", "-address=node1"} {
		name, _, _ := strings.Cut(arg, "=")
		if _, err := parsed(arg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got the error %v, want one that names the flag", arg, err)
		}
	}
	if _, err := parsed("fast"); err == nil || !strings.Contains(err.Error(), `"fast"`) {
		t.Errorf("an argument: got the error %v, want one that names it", err)
	}
}
