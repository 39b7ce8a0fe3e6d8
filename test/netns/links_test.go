package netns

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/test/eventually"
)

// followed has the latest reported links of a host, one text for each link.
type followed struct {
	mu   sync.Mutex
	list []string
}

func (f *followed) set(list []layer2.Link) {
	var words []string
	for _, l := range list {
		word := l.Name
		if l.IPv4 {
			word += " 4"
		}
		if l.LinkLocal.IsValid() {
			word += " 6"
		}
		for _, p := range l.Prefixes {
			word += " " + p.String()
		}
		words = append(words, word)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = words
}

func (f *followed) are(t *testing.T, why string, want ...string) {
	t.Helper()
	eventually.Succeed(t, soon, why, func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.Equal(f.list, want) {
			return fmt.Errorf("the links are %q, want %q", f.list, want)
		}
		return nil
	})
}

func TestInterfacesAreFollowed(t *testing.T) {
	b := newBed(t, "node", "other")
	b.link("node")
	ctx, cancel := context.WithCancel(t.Context())
	var f followed
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.in("node", func() error {
			links.Watch(ctx, logr.Discard(), netip.MustParseAddr("192.168.1.1"), f.set)
			return nil
		})
	}()
	defer func() { cancel(); <-ended }()
	do := func(command string) { t.Helper(); b.ip("node", strings.Fields(command)...) }

	const eth0 = "eth0 4 6 192.168.1.0/24 2001:db8::/64"
	f.are(t, "the link is reported at first", eth0)
	do("address add 10.9.0.1/16 dev eth0")
	f.are(t, "another address is reported", "eth0 4 6 10.9.0.0/16 192.168.1.0/24 2001:db8::/64")
	do("address del 10.9.0.1/16 dev eth0")
	f.are(t, "a removed address is reported", eth0)

	do("link add eth1 type veth peer name far1")
	do("address add 10.8.0.1/24 dev eth1")
	do("link set eth1 up")
	f.are(t, "a second link without a carrier is none", eth0)
	do("link set far1 addrgenmode none")
	do("link set far1 up")
	f.are(t, "it is one with a carrier", eth0, "eth1 4 6 10.8.0.0/24")
	do("link set far1 down")
	f.are(t, "a lost carrier is reported", eth0)
	do("link set far1 up")
	f.are(t, "a carrier that is back is reported", eth0, "eth1 4 6 10.8.0.0/24")

	do("link add br0 type bridge")
	do("link set br0 up")
	do("address flush dev eth1 scope global")
	do("link set eth1 master br0")
	do("address add 10.8.0.1/24 dev br0")
	f.are(t, "a bridge is a link, and its port is none", "br0 4 6 10.8.0.0/24", eth0)
	do("link del br0")
	do("link del eth1")
	f.are(t, "a deleted link is reported", eth0)
}

// The kernel interrupts the list of a host's addresses when one changes meanwhile, as when
// kube-proxy's IPVS mode adds thousands. A link must not be reported as lost then: its addresses
// would move to other nodes.
func TestLinkStaysWhileManyAddressesChange(t *testing.T) {
	b := newBed(t, "node", "other")
	b.link("node")
	b.ip("node", "link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "unused")
	ctx, cancel := context.WithCancel(t.Context())
	var (
		mu           sync.Mutex
		lists, wrong int
		first        = make(chan struct{})
		ended        = make(chan struct{})
	)
	go func() {
		defer close(ended)
		b.in("node", func() error {
			links.Watch(ctx, logr.Discard(), netip.MustParseAddr("192.168.1.1"), func(list []layer2.Link) {
				mu.Lock()
				defer mu.Unlock()
				if lists++; lists == 1 {
					close(first)
				}
				if !slices.ContainsFunc(list, func(l layer2.Link) bool { return l.Name == "eth0" && l.IPv4 && len(l.Prefixes) >= 2 }) {
					wrong++
				}
			})
			return nil
		})
	}()
	defer func() { cancel(); <-ended }()
	<-first
	for _, verb := range []string{"add", "del", "add", "del"} {
		var batch strings.Builder
		for i := range 4000 {
			fmt.Fprintf(&batch, "address %s 10.96.%d.%d/32 dev kube-ipvs0\n", verb, i/250, i%250+1)
		}
		fmt.Fprintf(&batch, "address %s 10.9.0.1/24 dev eth0\n", verb) // the address that is checked
		file := filepath.Join(t.TempDir(), verb)
		if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		b.ip("node", "-batch", file)
	}
	mu.Lock()
	defer mu.Unlock()
	if wrong > 0 || lists < 2 {
		t.Errorf("got %d of %d lists without eth0 and its addresses, want none, and more than one list", wrong, lists)
	}
}

// Real links of the kinds that the test's kernel can make: those that lead to pods or through a
// tunnel are used only if an advertisement names them, unless they have the node's own address.
func TestInterfacesToPodsAreLeftOut(t *testing.T) {
	b := newBed(t, "node", "other")
	b.link("node")
	do := func(command string) { t.Helper(); b.ip("node", strings.Fields(command)...) }
	do("link add vxlan.calico type vxlan id 4096 dstport 4789 dev eth0")
	do("address add 10.1.0.1/32 dev vxlan.calico")
	do("link add vx0 type vxlan id 4097 dstport 4790 dev eth0")
	do("address add 10.2.0.1/24 dev vx0")
	for _, bridge := range []string{"podman0", "br-lan"} {
		do("link add " + bridge + " type bridge")
		do("link set " + bridge + " up")
		do("link add p-" + bridge + " type veth peer name q-" + bridge)
		do("link set p-" + bridge + " up master " + bridge)
		do("link set q-" + bridge + " up")
	}
	do("address add 10.3.0.1/24 dev podman0")
	do("address add 10.4.0.1/24 dev br-lan")
	do("link add eni1 type veth peer name pod1")
	do("address add 10.5.0.1/32 dev eni1")
	do("link add shim link br-lan type macvlan mode bridge")
	do("address add 10.6.0.1/24 dev shim")
	var tap *netlink.Tuntap
	b.in("node", func() error {
		tap = &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "vnet0"}, Mode: netlink.TUNTAP_MODE_TAP, NonPersist: true, Queues: 1}
		return netlink.LinkAdd(tap)
	})
	defer tap.Fds[0].Close() // the interface has a carrier as long as a program has it open
	do("address add 10.7.0.1/24 dev vnet0")
	for _, link := range []string{"vxlan.calico", "vx0", "eni1", "pod1", "shim", "vnet0"} {
		do("link set " + link + " up")
	}

	list := func(node string) []string {
		var words []string
		b.in("node", func() error {
			all, err := links.List(netip.MustParseAddr(node))
			for _, l := range all {
				words = append(words, fmt.Sprintf("%s internal=%v", l.Name, l.Internal))
			}
			return err
		})
		return words
	}
	for _, c := range []struct {
		about, node string
		want        []string
	}{
		{"node with its address on eth0", "192.168.1.1", []string{
			"br-lan internal=false", "eni1 internal=true", "eth0 internal=false", "podman0 internal=true", "shim internal=false", "vnet0 internal=true",
			"vx0 internal=true", "vxlan.calico internal=true",
		}},
		{"node with its address on an overlay", "10.2.0.1", []string{
			"br-lan internal=false", "eni1 internal=true", "eth0 internal=false", "podman0 internal=true", "shim internal=false", "vnet0 internal=true",
			"vx0 internal=false", "vxlan.calico internal=true",
		}},
	} {
		eventually.Succeed(t, soon, c.about, func(context.Context) error {
			if diff := cmp.Diff(c.want, list(c.node)); diff != "" {
				return fmt.Errorf("links differ (-want +got):\n%s", diff)
			}
			return nil
		})
	}
}
