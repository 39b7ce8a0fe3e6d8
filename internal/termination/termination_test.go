package termination

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestExplain(t *testing.T) {
	path := &fs.PathError{Op: "open", Path: "/var/lib/lbstack/x.new", Err: syscall.EROFS}
	full := &fs.PathError{Op: "write", Path: "/var/lib/lbstack/x.new", Err: syscall.ENOSPC}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"plain error stays as it is", errors.New("no key"), "no key"},
		{"read-only file system names the file", fmt.Errorf("a: %w", path),
			"/var/lib/lbstack/x.new is on a read-only file system: mount it so that it can be written (a: open /var/lib/lbstack/x.new: read-only file system)"},
		{"full file system names the file", full,
			"the file system of /var/lib/lbstack/x.new is full: free some space (write /var/lib/lbstack/x.new: no space left on device)"},
		{"missing capability", fmt.Errorf("raw socket: %w", os.NewSyscallError("socket", syscall.EPERM)),
			"the kernel does not permit the operation: check the capabilities of the container, and SELinux or AppArmor on the node (raw socket: socket: operation not permitted)"},
		{"port without a known number", os.NewSyscallError("bind", syscall.EADDRINUSE),
			"a port is in use by another program: end that program, which `ss -Hlnp` shows on the node (bind: address already in use)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ExplainError(tt.err); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestExplain_PortInUse(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	_, second := net.Listen("tcp", tcp.Addr().String())
	_, third := net.ListenPacket("udp", udp.LocalAddr().String())
	for _, in := range []struct {
		network string
		taken   net.Addr
		err     error
	}{{"tcp", tcp.Addr(), second}, {"udp", udp.LocalAddr(), third}} {
		want := fmt.Sprintf("port %s (%s) is in use by another program", portOf(in.taken.String()), in.network)
		if got := ExplainError(fmt.Errorf("starting: %w", in.err)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want it to start with %q", in.network, got, want)
		}
	}
}

func TestExplain_PortOfAnotherProduct(t *testing.T) {
	err := &net.OpError{Op: "listen", Net: "udp", Addr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7946}, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	want := "port 7946 (udp) is in use by another program (MetalLB and Docker Swarm use it by default): end that program, or choose another port in spec.speaker.ports of the LoadBalancerStack; " +
		"`ss -Hlnp 'sport = :7946'` on the node shows the program (listen udp 192.0.2.1:7946: bind: address already in use)"
	if got := ExplainError(err); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLeave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termination-log")
	if err := writeMessage(path, "x"); err == nil {
		t.Error("a file that does not exist was made: only the kubelet makes it")
	}
	if err := os.WriteFile(path, []byte("what the container before this one wrote"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeMessage(path, strings.Repeat("x", 2*maxMessageBytes)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != maxMessageBytes || strings.Contains(string(got), "before") {
		t.Errorf("got %d bytes, %.40q, want the %d first of the new message", len(got), got, maxMessageBytes)
	}
}
