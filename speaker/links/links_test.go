package links

import (
	"net/netip"
	"testing"
)

func TestInternal(t *testing.T) {
	for name, want := range map[string]bool{"eth0": false, "enp3s0": false, "bond0": false, "br0": false, "cni0": true, "veth1a2b": true, "docker0": true, "br-0123456789ab": true, "br-ex": false, "br-lan": false, "cali123": true} {
		if got := internalNames.MatchString(name); got != want {
			t.Errorf("%s leads to the node's own pods: got %v, want %v", name, got, want)
		}
	}
}

func TestListLeavesLoopbackOut(t *testing.T) {
	list, err := List(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if l.Name == "lo" || len(l.Hardware) != 6 || l.Index == 0 {
			t.Errorf("link %+v, want Ethernet interfaces only", l)
		}
	}
}
