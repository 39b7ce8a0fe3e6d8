package netstate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// node is the kernel of a node with the interfaces 1 and 2.
type node struct {
	changes chan receivedEvents

	mu        sync.Mutex
	addresses []string // as the kernel lists them
	links     []int
	fails     error
	lists     int
	looks     []map[int][]string
}

// follow runs a watcher in the time of a bubble, while the test does something.
func follow(t *testing.T, do func(*node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &node{changes: make(chan receivedEvents), links: []int{1, 2}, addresses: []string{"1 192.0.2.1/24"}}
		ctx, cancel := context.WithCancel(t.Context())
		w := Watcher{Log: logr.Discard(), Settle: 5 * time.Millisecond, Look: n.look, List: n.list, links: n.listLinks}
		ended := make(chan error, 1)
		go func() { ended <- w.followEvents(ctx, n.changes, nil) }()
		synctest.Wait()
		do(n)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with the error %v", err)
		}
	})
}

// set changes what the kernel has.
func (n *node) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *node) look(s State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	look := map[int][]string{}
	for index, list := range s.Addresses {
		for _, a := range list {
			look[index] = append(look[index], a.Prefix.String())
		}
	}
	n.looks = append(n.looks, look)
}

func (n *node) list() (list []netlink.Addr, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lists++
	for _, text := range n.addresses {
		e := parse(text)
		list = append(list, netlink.Addr{IPNet: &net.IPNet{IP: e.prefix.Addr().AsSlice(), Mask: net.CIDRMask(e.prefix.Bits(), e.prefix.Addr().BitLen())}, LinkIndex: e.index, Flags: e.flags})
	}
	return list, n.fails
}

func (n *node) listLinks() (list []netlink.Link, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, index := range n.links {
		list = append(list, &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index, Name: fmt.Sprint("eth", index)}})
	}
	return list, nil
}

// sends has the kernel report addresses, "1 192.0.2.1/24", "1 192.0.2.1/24 gone" or
// "1 192.0.2.1/24 deprecated", and returns after a time.
func (n *node) sends(after time.Duration, texts ...string) {
	for _, text := range texts {
		n.changes <- receivedEvents{events: []addressEvent{parse(text)}}
	}
	time.Sleep(after)
	synctest.Wait()
}

func parse(text string) (e addressEvent) {
	var prefix, word string
	_, _ = fmt.Sscan(text, &e.index, &prefix, &word)
	e.prefix, e.gone = netip.MustParsePrefix(prefix), word == "gone"
	if word == "deprecated" {
		e.flags = unix.IFA_F_DEPRECATED
	}
	return e
}

func (n *node) last() map[int][]string { return n.looks[len(n.looks)-1] }

func expect(t *testing.T, n *node, what string, looks, lists int, want map[int][]string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if diff := cmp.Diff(want, n.last()); diff != "" || len(n.looks) != looks || n.lists != lists {
		t.Errorf("%s: got %d looks and %d lists, want %d and %d; the last look (-want +got):\n%s", what, len(n.looks), n.lists, looks, lists, diff)
	}
}

func TestWatcher_FollowsEventsWithoutLists(t *testing.T) {
	follow(t, func(n *node) {
		one := map[int][]string{1: {"192.0.2.1/24"}}
		expect(t, n, "at first", 1, 1, one)
		n.sends(time.Second, "1 192.0.2.1/24")
		expect(t, n, "an address whose lifetime is prolonged", 1, 1, one)
		n.sends(time.Second, "2 192.0.2.2/24", "2 192.0.2.3/24", "2 192.0.2.2/16")
		expect(t, n, "addresses that come in a moment", 2, 1, map[int][]string{1: {"192.0.2.1/24"}, 2: {"192.0.2.2/16", "192.0.2.2/24", "192.0.2.3/24"}})
		n.sends(time.Second, "2 192.0.2.2/24 gone", "2 192.0.2.3/24 gone", "2 192.0.2.2/16 gone", "2 192.0.2.9/24 gone")
		expect(t, n, "addresses that go", 3, 1, one)
		n.sends(time.Second, "1 192.0.2.1/24 deprecated")
		expect(t, n, "an address that is deprecated", 4, 1, one)
	})
}

func TestWatcher_ManyAddresses(t *testing.T) {
	follow(t, func(n *node) {
		for i := range 5000 {
			n.sends(100*time.Microsecond, fmt.Sprintf("2 10.96.%d.%d/32", i/250, i%250+1))
		}
		n.sends(time.Second)
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.last()[2]) != 5000 || n.lists != 1 || len(n.looks) > 200 {
			t.Errorf("got %d addresses with %d looks and %d lists, want 5000, at most 200 and one", len(n.last()[2]), len(n.looks), n.lists)
		}
	})
}

func TestWatcher_ListsAgainAtAPaceWhenEventsAreLost(t *testing.T) {
	follow(t, func(n *node) {
		n.sends(time.Minute)
		n.set(func() { n.addresses = append(n.addresses, "2 192.0.2.2/24") })
		n.changes <- receivedEvents{lost: true}
		n.sends(10 * time.Millisecond)
		expect(t, n, "at once", 2, 2, map[int][]string{1: {"192.0.2.1/24"}, 2: {"192.0.2.2/24"}})
		n.set(func() { n.addresses = n.addresses[:1] })
		for range 20 {
			n.changes <- receivedEvents{lost: true}
			n.sends(10 * time.Millisecond)
		}
		n.set(func() {
			if n.lists != 2 {
				t.Errorf("got %d lists within a second, want 2", n.lists)
			}
		})
		n.sends(10*time.Millisecond, "1 192.0.2.7/24")
		expect(t, n, "an event does not wait for the list", 3, 2, map[int][]string{1: {"192.0.2.1/24", "192.0.2.7/24"}, 2: {"192.0.2.2/24"}})
		n.set(func() { n.addresses = append(n.addresses, "1 192.0.2.7/24") })
		n.sends(time.Second)
		expect(t, n, "a second later", 4, 3, map[int][]string{1: {"192.0.2.1/24", "192.0.2.7/24"}})
	})
}

func TestWatcher_InterruptedList(t *testing.T) {
	follow(t, func(n *node) {
		n.sends(time.Minute)
		n.set(func() { n.fails, n.addresses = netlink.ErrDumpInterrupted, nil })
		n.changes <- receivedEvents{lost: true}
		n.sends(10 * time.Millisecond)
		expect(t, n, "it stays as it was", 1, 1+maxListAttempts, map[int][]string{1: {"192.0.2.1/24"}})
		n.set(func() { n.fails = nil })
		n.sends(listInterval)
		expect(t, n, "and is read again", 2, 2+maxListAttempts, map[int][]string{})
	})
}

func TestWatcher_DeletedInterface(t *testing.T) {
	follow(t, func(n *node) {
		n.sends(time.Second, "2 192.0.2.2/24")
		n.set(func() { n.links = []int{1} })
		n.changes <- receivedEvents{links: true}
		n.sends(time.Second)
		expect(t, n, "its addresses are as well", 3, 1, map[int][]string{1: {"192.0.2.1/24"}})
	})
}

func TestWhole(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		reads []error
		want  []int
		err   error
	}{
		{"the first list that is whole counts", []error{netlink.ErrDumpInterrupted, netlink.ErrDumpInterrupted, nil}, []int{3}, nil},
		{"another failure is one", []error{netlink.ErrDumpInterrupted, broken}, []int{2}, broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			got, err := readUninterrupted(func() ([]int, error) { n++; return []int{n}, tt.reads[n-1] })
			if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
				t.Errorf("got %v, error %v, want %v and %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestRead_LoopbackAddressOfTheKernel(t *testing.T) {
	s, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.Links {
		if l.Attrs().Name == "lo" && slices.ContainsFunc(s.Addresses[l.Attrs().Index], func(a Address) bool { return a.Prefix.String() == "127.0.0.1/8" }) {
			return
		}
	}
	t.Errorf("got %+v, want 127.0.0.1/8 on lo", s)
}
