package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/lbstack/lbstack/internal/arp"
	"github.com/lbstack/lbstack/speaker"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// bed is a local network of the test's own: hosts are network namespaces on one
// bridge, which is in a namespace as well.
type bed struct {
	*testing.T
	prefix string
}

// newBed makes the network and the hosts; host i has the address
// 192.168.1.(i+1).
func newBed(t *testing.T, hosts ...string) *bed {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests make network namespaces: run them as root")
	}
	b := &bed{T: t, prefix: fmt.Sprintf("lbstack-netns-%d-", os.Getpid())}
	b.namespace("lan")
	b.ip("lan", "link", "add", "br0", "type", "bridge")
	b.ip("lan", "link", "set", "br0", "up")
	for i, host := range hosts {
		b.namespace(host)
		b.run("ip", "link", "add", "eth0", "netns", b.prefix+host, "type", "veth", "peer", "name", host, "netns", b.prefix+"lan")
		b.ip("lan", "link", "set", host, "master", "br0", "up")
		b.ip(host, "address", "add", fmt.Sprintf("192.168.1.%d/24", i+1), "dev", "eth0")
		b.ip(host, "link", "set", "eth0", "up")
	}
	return b
}

func (b *bed) namespace(name string) {
	b.Helper()
	b.run("ip", "netns", "add", b.prefix+name)
	b.Cleanup(func() { b.run("ip", "netns", "del", b.prefix+name) })
	b.ip(name, "link", "set", "lo", "up")
}

func (b *bed) run(args ...string) string {
	b.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ip runs the ip command about a host.
func (b *bed) ip(host string, args ...string) string {
	b.Helper()
	return b.run(append([]string{"ip", "-n", b.prefix + host}, args...)...)
}

// try runs a command on a host and returns what it printed and whether it
// succeeded.
func (b *bed) try(host string, args ...string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"--net=/var/run/netns/" + b.prefix + host}, args...)...).CombinedOutput()
	return string(out), err
}

// in runs a function on a host.
func (b *bed) in(host string, fn func() error) {
	b.Helper()
	result := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and nobody
		// else finds itself on the host.
		runtime.LockOSThread()
		handle, err := netns.GetFromName(b.prefix + host)
		if err == nil {
			defer handle.Close()
			if err = netns.Set(handle); err == nil {
				err = fn()
			}
		}
		result <- err
	}()
	if err := <-result; err != nil {
		b.Fatalf("on host %s: %v", host, err)
	}
}

// node is a responder that works on a host until the test ends, or it is
// stopped.
type node struct {
	*layer2.Responder
	link speaker.Link
	stop context.CancelFunc
}

func (b *bed) node(host string) *node {
	b.Helper()
	n := &node{}
	b.in(host, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		n.link = speaker.Link{Name: "eth0", Index: l.Attrs().Index, Hardware: l.Attrs().HardwareAddr}
		return nil
	})
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	n.stop = stop
	listen := func(l speaker.Link) (conn layer2.Conn, err error) {
		b.in(host, func() error {
			conn, err = arp.Listen(&net.Interface{Index: l.Index, Name: l.Name, HardwareAddr: l.Hardware})
			return err
		})
		return conn, err
	}
	n.Responder = layer2.New(ctx, logr.Discard(), listen, layer2.NewMetrics(prometheus.NewRegistry()))
	n.SetLinks([]speaker.Link{n.link})
	return n
}

func own(addresses ...netip.Addr) map[netip.Addr]speaker.Owned {
	owned := map[netip.Addr]speaker.Owned{}
	for _, a := range addresses {
		owned[a] = speaker.Owned{Interfaces: []string{"eth0"}}
	}
	return owned
}

// neighbour returns what the kernel of a host knows about an address.
func (b *bed) neighbour(host string, address netip.Addr) string {
	b.Helper()
	return strings.TrimSpace(b.ip(host, "neighbour", "show", "to", address.String()))
}
