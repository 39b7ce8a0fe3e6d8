package mesh

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/sourcefilter"
)

// listening opens a socket that accepts datagrams from these addresses, and passes them to take.
func listening(t *testing.T, number byte, take func(netip.Addr, []byte), from ...netip.Addr) *socket {
	t.Helper()
	s, err := openSocket(netip.AddrPortFrom(loopback(number), port), take)
	if err != nil {
		t.Fatal(err)
	}
	peers := map[netip.Addr]lb.NodeName{}
	for _, a := range from {
		peers[a] = lb.NodeName(a.String())
	}
	if err := s.setPeers(peers); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); s.read() }()
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
		<-over
	})
	return s
}

func TestSocket_DatagramsOfStrangersAreNotRead(t *testing.T) {
	type arrival struct {
		from netip.Addr
		data []byte
	}
	arrived := make(chan arrival, 10)
	nothing := func(netip.Addr, []byte) {}
	peer, stranger := listening(t, 108, nothing), listening(t, 109, nothing)
	to := netip.AddrPortFrom(loopback(110), port)
	listening(t, 110, func(from netip.Addr, data []byte) { arrived <- arrival{from, slices.Clone(data)} }, loopback(108))
	long := bytes.Repeat([]byte{3}, 5000)
	for _, s := range []*socket{stranger, peer} {
		for _, data := range [][]byte{{}, {1}, long, {2}} {
			if err := s.send(data, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A datagram over the largest size is cut one byte above that size, so that opening it fails.
	for i, want := range []int{0, 1, 1201, 1} {
		select {
		case got := <-arrived:
			if got.from != loopback(108) || len(got.data) != want {
				t.Errorf("datagram %d: got %d bytes from %s, want %d from the peer", i, len(got.data), got.from, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("datagram %d did not arrive", i)
		}
	}
	select {
	case got := <-arrived:
		t.Errorf("got one from %s as well", got.from)
	default:
	}
}

func TestSocket_Hold(t *testing.T) {
	arrived := make(chan byte, 1000)
	sender, to := listening(t, 112, func(netip.Addr, []byte) {}), netip.AddrPortFrom(loopback(113), port)
	receiver := listening(t, 113, func(_ netip.Addr, data []byte) { arrived <- data[0] }, loopback(112))
	const burst = 50 // on loopback a datagram is in the receiver's buffer when send returns
	send := func(first int) {
		t.Helper()
		for i := range burst {
			if err := sender.send([]byte{byte(first + i)}, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(first, count int) {
		t.Helper()
		for i := range count {
			select {
			case got := <-arrived:
				if got != byte(first+i) {
					t.Fatalf("got datagram %d, want %d", got, first+i)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("datagram %d did not arrive", first+i)
			}
		}
	}
	for range 100 {
		send(0)
		expect(0, burst)
		receiver.setHeld(true)
		send(100)
		if len(arrived) > 0 {
			t.Fatalf("%d datagrams are taken while they are held back", len(arrived))
		}
		receiver.setHeld(false)
		expect(100, burst)
	}
}

func TestKernelTimer(t *testing.T) {
	timer, err := newKernelTimer()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond} {
		begun := time.Now()
		if !timer.wait(d) || time.Since(begun) < d {
			t.Errorf("it waited for %s, want %s", time.Since(begun), d)
		}
	}
	ended := make(chan bool)
	go func() { ended <- timer.wait(time.Hour) }()
	if err := timer.close(); err != nil {
		t.Error(err)
	}
	select {
	case got := <-ended:
		if got {
			t.Error("a timer that was closed reports that the time is up")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on waiting after it was closed")
	}
	if timer.wait(0) {
		t.Error("a timer that is closed can be set")
	}
}

func TestSocket_Filter(t *testing.T) {
	many := func(count int, from string) map[netip.Addr]lb.NodeName {
		peers := map[netip.Addr]lb.NodeName{}
		for a := netip.MustParseAddr(from); len(peers) < count; a = a.Next() {
			peers[a] = "node"
		}
		return peers
	}
	for name, tt := range map[string]struct {
		on    netip.Addr
		peers map[netip.Addr]lb.NodeName
	}{
		"no peers":                        {loopback(111), map[netip.Addr]lb.NodeName{}},
		"a thousand peers":                {loopback(111), many(1000, "10.0.0.1")},
		"more than fit into a filter":     {loopback(111), many(sourcefilter.MaxAddresses+1, "10.0.0.1")},
		"as many as fit into one of IPv6": {netip.IPv6Loopback(), many(sourcefilter.MaxAddresses, "2001:db8::1")},
	} {
		s, err := openSocket(netip.AddrPortFrom(tt.on, port), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.setPeers(tt.peers); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNewPolled_OfABlockingDescriptor(t *testing.T) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC) // a blocking descriptor, which Go's poller does not accept
	if err != nil {
		t.Fatal(err)
	}
	if d, err := newPolledDescriptor(fd, "epoll"); err == nil {
		_ = d.close()
		t.Error("got no error")
	}
}
