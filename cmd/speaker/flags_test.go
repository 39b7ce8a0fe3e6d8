package main

import (
	"flag"
	"io"
	"net/netip"
	"strings"
	"testing"
)

func parsed(args ...string) (settings, error) {
	set := flag.NewFlagSet("speaker", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	return parse(set, args)
}

func TestFlagsHaveDefaults(t *testing.T) {
	s, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if s.detection.is != "default" || s.failback.is != "never" || s.stateDir != "/var/lib/lbstack" || s.port != 7575 || s.HealthAddress != "127.0.0.1:7573" || s.MetricsAddress != ":7574" {
		t.Errorf("got %+v, want the defaults", s)
	}
}

func TestFlagsAreFollowed(t *testing.T) {
	s, err := parsed("--failure-detection=fast", "--failback=gradual", "--node=n1")
	if err != nil {
		t.Fatal(err)
	}
	if s.detection.is != "fast" || s.failback.is != "gradual" || s.Node != "n1" {
		t.Errorf("got %+v, want what was said", s)
	}
}

func TestAnUnknownValueIsRefusedWithTheNameOfItsFlag(t *testing.T) {
	for _, arg := range []string{"-failure-detection=Fast", "-failback=sometimes", "-member-port=x", "-member-port=0", "-member-port=65536"} {
		name, _, _ := strings.Cut(arg, "=")
		if _, err := parsed(arg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got the error %v, want one that names the flag", arg, err)
		}
	}
	if _, err := parsed("fast"); err == nil || !strings.Contains(err.Error(), `"fast"`) {
		t.Errorf("an argument: got the error %v, want one that names it", err)
	}
}

func TestOnNode(t *testing.T) {
	for _, tt := range []struct{ listen, node, want string }{
		{":7574", "192.0.2.1", "192.0.2.1:7574"},
		{":7574", "2001:db8::1", "[2001:db8::1]:7574"},
		{"127.0.0.1:7574", "192.0.2.1", "127.0.0.1:7574"},
		{"0", "192.0.2.1", "0"},
	} {
		if got := onNode(tt.listen, netip.MustParseAddr(tt.node)); got != tt.want {
			t.Errorf("%s on %s: got %s, want %s", tt.listen, tt.node, got, tt.want)
		}
	}
}
