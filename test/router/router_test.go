package router

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func namespace(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("this makes a network namespace: run it as root")
	}
	name := fmt.Sprintf("lbstack-router-%d", os.Getpid())
	for _, args := range [][]string{{"netns", "add", name}, {"-n", name, "link", "set", "lo", "up"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return name
}

func TestRoutersRunSideBySideAndLeaveNothing(t *testing.T) {
	ns := namespace(t)
	var folders []string
	t.Run("running", func(t *testing.T) {
		frr := FRR(t, ns, "hostname first\nrouter bgp 64512\n bgp router-id 10.0.0.1\n", "bgpd", "bfdd")
		bird := BIRD(t, ns, "router id 10.0.0.2;\nprotocol device {}\n")
		folders = []string{frr.folder, bird.folder}
		if got := frr.MustAsk("show running-config"); !strings.Contains(got, "router bgp 64512") {
			t.Errorf("FRR has the configuration %s", got)
		}
		frr.MustAsk("configure terminal\nrouter bgp 64512\nbgp router-id 10.0.0.9")
		if got := frr.MustAsk("show running-config"); !strings.Contains(got, "10.0.0.9") {
			t.Errorf("FRR has the configuration %s after a change", got)
		}
		if got := bird.MustAsk("show status"); !strings.Contains(got, "Router ID is 10.0.0.2") {
			t.Errorf("BIRD answers %s", got)
		}
		bird.Configure("router id 10.0.0.3;\nprotocol device {}\n")
		bird.Kill()
		bird.Stop()
	})
	for _, folder := range folders {
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", folder, err)
		}
	}
}
