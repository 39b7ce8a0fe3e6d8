package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/bgp"
)

func TestNodeAddresses_LoopbackAddressOfTheKernel(t *testing.T) {
	list, err := readNodeAddresses()
	if err != nil {
		t.Fatal(err)
	}
	want := bgp.NodeAddress{Prefix: netip.MustParsePrefix("127.0.0.1/8"), Interface: "lo", Permanent: true}
	if !slices.Contains(list, want) {
		t.Errorf("got %+v, want %+v in it", list, want)
	}
}

func TestIsUnstable(t *testing.T) {
	for _, tt := range []struct {
		name, address string
		flags         int
		want          bool
	}{
		{"temporary IPv6 address is unstable", "2001:db8::1", unix.IFA_F_TEMPORARY, true},
		{"secondary IPv4 address is stable", "192.0.2.1", unix.IFA_F_SECONDARY | unix.IFA_F_PERMANENT, false},
		{"deprecated IPv4 address is unstable", "192.0.2.1", unix.IFA_F_DEPRECATED, true},
		{"tentative IPv6 address is unstable", "2001:db8::1", unix.IFA_F_TENTATIVE | unix.IFA_F_PERMANENT, true},
		{"IPv6 address after duplicate detection failed is unstable", "2001:db8::1", unix.IFA_F_DADFAILED, true},
		{"configured IPv6 address is stable", "2001:db8::1", unix.IFA_F_PERMANENT, false},
	} {
		if got := isUnstable(netip.MustParseAddr(tt.address), tt.flags); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestListenProblem(t *testing.T) {
	on := func(errno error) error {
		return &net.OpError{Op: "listen", Net: "tcp4", Err: os.NewSyscallError("bind", errno)}
	}
	for _, tt := range []struct {
		name string
		err  error
		want bgp.Problem
	}{
		{"an open port is no problem", nil, bgp.Problem{}},
		{"a speaker without the capability", on(syscall.EACCES), bgp.Problem{Reason: bgp.PortClosed, Message: "the router cannot connect to port 179, since the speaker lacks the capability NET_BIND_SERVICE: " +
			"move the peer into spec.bgpPeers of the LoadBalancerStack, where the operator grants the capability for passive peers, or remove spec.passiveMode"}},
		{"another program", on(syscall.EADDRINUSE), bgp.Problem{Reason: bgp.PortClosed, Message: "the router cannot connect to port 179, since another program listens on this port: stop that program, or remove spec.passiveMode"}},
		{"no such VRF", fmt.Errorf("entering the VRF red: %w", syscall.ENODEV), bgp.Problem{Reason: bgp.PortClosed, Message: "the router cannot connect to port 179, since the node has no device with the name in spec.vrf: correct spec.vrf, or select only nodes that have the device"}},
		{"any other error is cited", errors.New("out of sockets"), bgp.Problem{Reason: bgp.PortClosed, Message: "the router cannot connect to port 179, since listening failed (out of sockets): look at the log of the speaker"}},
	} {
		if diff := cmp.Diff(tt.want, listenProblem(179, tt.err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestOutgoing_RouterOnTheNodeItselfIsNotDirect(t *testing.T) {
	router := netip.MustParseAddr("127.0.0.2")
	device, direct := outgoingInterface(bgp.Peer{Address: router}, router, netip.MustParseAddr("127.0.0.1"), nil)
	if device != "lo" || direct {
		t.Errorf("got %s, direct %v, want lo and not direct", device, direct)
	}
}

func TestWatchAddresses_ReportsOnceAtFirst(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reported, ended := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(ended)
		WatchAddresses(logr.Discard())(ctx, func(list []bgp.NodeAddress) {
			select {
			case reported <- len(list):
			default:
			}
		})
	}()
	select {
	case n := <-reported:
		if n == 0 {
			t.Error("got no address, want at least that of lo")
		}
	case <-time.After(10 * time.Second):
		t.Error("got no report within 10 s")
	}
	cancel()
	<-ended
}
