package links

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
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

func TestAListThatWasInterruptedIsReadAgain(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name  string
		reads []error
		want  []int
		err   error
	}{
		{"the first that is whole counts", []error{netlink.ErrDumpInterrupted, netlink.ErrDumpInterrupted, nil}, []int{3}, nil},
		{"another failure is one", []error{netlink.ErrDumpInterrupted, broken}, []int{2}, broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			got, err := whole(func() ([]int, error) { n++; return []int{n}, tt.reads[n-1] })
			if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
				t.Errorf("got %v, error %v, want %v and %v", got, err, tt.want, tt.err)
			}
		})
	}
}
