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
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"

	"github.com/lbstack/lbstack/speaker/netstate"
	"github.com/lbstack/lbstack/test/eventually"
)

// kube-proxy's IPVS mode adds thousands of addresses, one after the other.
func TestAddressesAreFollowedWithoutListingThem(t *testing.T) {
	const many = 5000
	b := newBed(t, "node", "other")
	b.link("node")
	b.ip("node", "link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "unused")
	ctx, cancel := context.WithCancel(t.Context())
	var (
		mu                  sync.Mutex
		lists, looks, wrong int
		last                = map[string][]netstate.Address{}
		ended               = make(chan struct{})
	)
	go func() {
		defer close(ended)
		b.in("node", func() error {
			netstate.Watcher{
				Log: logr.Discard(), Settle: 20 * time.Millisecond,
				List: func() ([]netlink.Addr, error) {
					mu.Lock()
					lists++
					mu.Unlock()
					return netlink.AddrList(nil, netlink.FAMILY_ALL)
				},
				Look: func(s netstate.State) {
					mu.Lock()
					defer mu.Unlock()
					looks++
					clear(last)
					for _, l := range s.Links {
						last[l.Attrs().Name] = s.Addresses[l.Attrs().Index]
					}
					if !slices.ContainsFunc(last["eth0"], func(a netstate.Address) bool { return a.Prefix == netip.MustParsePrefix("192.168.1.1/24") }) {
						wrong++
					}
				},
			}.Run(ctx)
			return nil
		})
	}()
	defer func() { cancel(); <-ended }()
	has := func(what string, want int) {
		t.Helper()
		eventually.Succeed(t, soon, what, func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if got := len(last["kube-ipvs0"]); looks == 0 || got != want {
				return fmt.Errorf("kube-ipvs0 has %d addresses after %d looks, want %d", got, looks, want)
			}
			return nil
		})
	}
	has("the watch has begun", 0)
	began := time.Now()
	var batch strings.Builder
	for i := range many {
		fmt.Fprintf(&batch, "address add 10.96.%d.%d/32 dev kube-ipvs0\n", i/250, i%250+1)
	}
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	b.ip("node", "-batch", file)
	has("all addresses are known", many)
	took := time.Since(began)
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d addresses in %s: %d lists, %d looks", many, took, lists, looks)
	// There is one list at first. More follow, one a second, only after the kernel has dropped events.
	if most := 2 + int(took/time.Second); lists > most || wrong > 0 {
		t.Errorf("got %d lists of all addresses in %s, and %d looks without that of eth0; want at most %d and none", lists, took, wrong, most)
	}
}
