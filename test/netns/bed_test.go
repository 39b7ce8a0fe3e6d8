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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netns"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/test/eventually"
)

// bed is a local network of one test. Its hosts are network namespaces on one
// bridge. The bridge is in a namespace as well.
type bed struct {
	*testing.T
	prefix string
}

// beds counts the beds of this process: several tests may run in parallel.
var beds atomic.Int32

// newBed makes the network and the hosts; host i has the addresses
// 192.168.1.(i+1) and 2001:db8::(i+1).
func newBed(t *testing.T, hosts ...string) *bed {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests make network namespaces: run them as root")
	}
	b := &bed{T: t, prefix: fmt.Sprintf("lbstack-netns-%d-%d-", os.Getpid(), beds.Add(1))}
	b.namespace("lan")
	b.ip("lan", "link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
	b.ip("lan", "link", "set", "br0", "up")
	for i, host := range hosts {
		b.namespace(host)
		// Duplicate address detection would delay each test. The test of the detection turns it on.
		b.sysctl(host, "net.ipv6.conf.default.accept_dad", "0")
		b.sysctl(host, "net.ipv6.conf.default.autoconf", "0") // no address besides those that the test gives
		b.run("ip", "link", "add", "eth0", "netns", b.prefix+host, "type", "veth", "peer", "name", host, "netns", b.prefix+"lan")
		b.ip("lan", "link", "set", host, "master", "br0", "up")
		b.ip(host, "address", "add", fmt.Sprintf("192.168.1.%d/24", i+1), "dev", "eth0")
		b.ip(host, "address", "add", fmt.Sprintf("2001:db8::%x/64", i+1), "dev", "eth0")
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

// ip runs the ip command in the namespace of a host.
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
		// The thread stays locked, so that it ends with the goroutine, and no other
		// goroutine runs in the namespace of the host.
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

// node is a responder on a host. It runs until the test ends or the node is
// stopped.
type node struct {
	*responder.Responder
	// engine has the node's view of others. The engine does not run.
	engine *layer2.Engine
	bed    *bed
	host   string
	link   layer2.Link
	stop   context.CancelFunc

	mu        sync.Mutex
	conflicts []layer2.Conflict
}

// impatient is a short timing for tests that wait until a foreign host has left.
func impatient() *responder.Timing {
	timing := responder.DefaultTiming()
	timing.Check, timing.Forget, timing.Defend, timing.HandOver = 300*time.Millisecond, time.Second, 200*time.Millisecond, 300*time.Millisecond
	return &timing
}

func (b *bed) node(host string) *node {
	b.Helper()
	n := &node{bed: b, host: host, link: b.link(host)}
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	n.stop = stop
	n.engine = layer2.New(layer2.Config{Self: lb.NodeName(host)})
	n.engine.SetLinks([]layer2.Link{n.link})
	n.Responder = responder.New(ctx, logr.Discard(), responder.Options{
		ARP: n.inside(responder.ListenARP), NDP: n.inside(responder.ListenNDP),
		Metrics: responder.NewMetrics(prometheus.NewRegistry()), Conflicts: n.report, Timing: impatient(),
		AnswerSource: n.engine.AnswerSource, ProxyBinds: func() (binds bool) {
			b.in(host, func() error { binds = links.ProxyBinds(); return nil })
			return binds
		},
	})
	n.SetNodeHardware([]net.HardwareAddr{n.link.Hardware})
	n.SetLinks([]layer2.Link{n.link})
	return n
}

// link waits until the interface of a host is usable, and returns the interface.
func (b *bed) link(host string) (link layer2.Link) {
	b.Helper()
	eventually.Succeed(b.T, 10*time.Second, "the interface of "+host+" is usable", func(context.Context) error {
		var list []layer2.Link
		var err error
		b.in(host, func() error {
			list, err = links.List(netip.Addr{})
			return err
		})
		if len(list) != 1 || !list[0].IPv4 || !list[0].LinkLocal.IsValid() {
			return fmt.Errorf("the interfaces are %v", list)
		}
		link = list[0]
		return nil
	})
	return link
}

// inside opens connections on the host.
func (n *node) inside(listen responder.ListenFunc) responder.ListenFunc {
	return func(l layer2.Link) (conn responder.Conn, err error) {
		n.bed.in(n.host, func() error {
			conn, err = listen(l)
			return err
		})
		return conn, err
	}
}

// SetServed is called on the host: sockets that join groups are opened there.
func (n *node) SetServed(owned map[netip.Addr]layer2.Serving) {
	n.bed.in(n.host, func() error {
		n.Responder.SetServed(owned)
		return nil
	})
}

// SetLinks is called on the host for the same reason.
func (n *node) SetLinks(list []layer2.Link) {
	n.bed.in(n.host, func() error {
		n.Responder.SetLinks(list)
		return nil
	})
}

func (n *node) report(list []layer2.Conflict) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conflicts = list
}

func (n *node) reported() []layer2.Conflict {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conflicts
}

func own(addresses ...netip.Addr) map[netip.Addr]layer2.Serving {
	owned := map[netip.Addr]layer2.Serving{}
	for _, a := range addresses {
		owned[a] = layer2.Serving{Interfaces: []string{"eth0"}}
	}
	return owned
}

// sysctl sets a variable of a host's network.
func (b *bed) sysctl(host, name, value string) {
	b.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	if out, err := b.try(host, "sh", "-c", "echo "+value+" > "+path); err != nil {
		b.Fatalf("setting %s on %s: %v\n%s", name, host, err, out)
	}
}

// neighbour returns the neighbour entry of an address in the kernel of a host.
func (b *bed) neighbour(host string, address netip.Addr) string {
	b.Helper()
	return strings.TrimSpace(b.ip(host, "neighbour", "show", "to", address.String()))
}
