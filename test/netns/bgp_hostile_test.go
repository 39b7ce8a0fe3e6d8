package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	watched "github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
)

const (
	// hostile is how many connections or senders attack a port.
	hostile = 200
	// maxGrowth is how much memory an attack may cost the speaker.
	maxGrowth = 8 << 20
)

// measured is a process whose resources a test measures.
type measured struct {
	t   *testing.T
	cmd *exec.Cmd
}

// resources returns the resident memory of the process, in octets, and its descriptors.
func (s measured) resources() (memory, descriptors int) {
	s.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	statm, err := os.ReadFile(proc + "statm")
	if err != nil {
		s.t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := os.ReadDir(proc + "fd")
	if err != nil {
		s.t.Fatal(err)
	}
	return pages * os.Getpagesize(), len(list)
}

// processor returns the processor time that the process has used.
func (s measured) processor() time.Duration {
	s.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var ticks int
	for _, field := range strings.Fields(rest)[11:13] { // utime and stime of proc(5), of 100 a second
		n, err := strconv.Atoi(field)
		if err != nil {
			s.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// holdsUp fails the test if the speaker uses much more memory or descriptors than before.
func (s measured) holdsUp(memory, descriptors int) {
	s.t.Helper()
	m, d := s.resources()
	s.t.Logf("memory %d KiB before and %d KiB now, descriptors %d and %d", memory>>10, m>>10, descriptors, d)
	if m > memory+maxGrowth || d > descriptors+4 {
		s.t.Errorf("the speaker holds %d KiB and %d descriptors, and held %d and %d before the attack", m>>10, d, memory>>10, descriptors)
	}
}

// attack tries to connect from a host, many times at once, and returns how many connections there
// were within two seconds.
func (b *bed) attack(host string, to netip.AddrPort) (connected int) {
	b.Helper()
	b.in(host, func() error {
		family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port())})
		if to.Addr().Is4() {
			address.(*unix.SockaddrInet4).Addr = to.Addr().As4()
		} else {
			six := &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
			if zone := to.Addr().Zone(); zone != "" {
				link, err := net.InterfaceByName(zone)
				if err != nil {
					return err
				}
				six.ZoneId = uint32(link.Index)
			}
			family, address = unix.AF_INET6, six
		}
		var sockets []unix.PollFd
		defer func() {
			for _, s := range sockets {
				unix.Close(int(s.Fd))
			}
		}()
		for range hostile {
			fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			sockets = append(sockets, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT})
			if err := unix.Connect(fd, address); err != nil && !errors.Is(err, unix.EINPROGRESS) {
				return err
			}
		}
		time.Sleep(2 * time.Second)
		if _, err := unix.Poll(sockets, 0); err != nil {
			return err
		}
		for _, s := range sockets {
			if s.Revents != 0 { // connected, or reset since
				connected++
			}
		}
		return nil
	})
	return connected
}

func TestBGPListenerUnderAttack(t *testing.T) {
	b := newBed(t, "node", "router", "evil")
	s, other := b.speaker("node"), b.speaker("router")
	s.set(toAll(plain(first4), peer("v4", "192.168.1.2", passive), peer("v6", "2001:db8::2", passive)))
	from := func(p *bgp.Peer) { p.ASN, p.Remote.ASN = 64513, 64512 }
	other.set(toAll(nil, peer("v4", "192.168.1.1", from), peer("v6", "2001:db8::1", from)))
	since4, since6 := s.establishes("v4").Since, s.establishes("v6").Since
	memory, descriptors := s.resources()
	for _, to := range []string{"192.168.1.1:179", "[2001:db8::1]:179"} {
		if n := b.attack("evil", netip.MustParseAddrPort(to)); n > 0 {
			t.Errorf("%s: %d of %d connections of a stranger came to be", to, n, hostile)
		}
	}
	s.holdsUp(memory, descriptors)
	s.stays("v4", since4, 10*time.Second) // longer than the hold time
	s.stays("v6", since6, 0)
}

// Unknown hosts open connections to port 179 as fast as possible. The router connects in time, and the
// flood costs the speaker no processor time.
func TestBGPListenerUnderFlood(t *testing.T) {
	const within, flooding = 5 * time.Second, 3 * time.Second
	path := filepath.Join(t.TempDir(), "flood")
	if out, err := exec.Command("go", "build", "-o", path, "../flood").CombinedOutput(); err != nil {
		t.Fatalf("building flood: %v: %s", err, out)
	}
	b := newBed(t, "node", "router", "evil")
	s, other := b.speaker("node"), b.speaker("router")
	s.set(toAll(plain(first4), peer("v4", "192.168.1.2", passive)))
	var sources []string
	for i := range hostile {
		a := fmt.Sprintf("192.168.1.%d", 10+i)
		b.ip("evil", "address", "add", a+"/24", "dev", "eth0")
		sources = append(sources, a)
	}
	flood := exec.Command("nsenter", "--net=/var/run/netns/"+b.prefix+"evil", "nice", "-n", "19", path, "-from", strings.Join(sources, ","), "192.168.1.1:179")
	var out strings.Builder
	flood.Stdout = &out
	if err := flood.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = flood.Process.Signal(syscall.SIGTERM)
		_ = flood.Wait()
		t.Log("flood: " + strings.TrimSpace(out.String()))
	})
	t.Cleanup(end)
	before := s.processor()
	time.Sleep(flooding)
	took := s.processor() - before
	if t.Logf("the speaker took %v of the processor in %v", took, flooding); took > flooding/20 {
		t.Errorf("the flood costs the speaker %v in %v, want at most a twentieth", took, flooding)
	}
	from := func(p *bgp.Peer) { p.ASN, p.Remote.ASN = 64513, 64512 }
	other.set(toAll(nil, peer("v4", "192.168.1.1", from)))
	s.becomes("v4", within, "is established", established)
	end()
	if !strings.HasPrefix(out.String(), "opened 0 connections") {
		t.Errorf("got %q, want that no connection came to be", out.String())
	}
}

func TestBFDPortsUnderAttack(t *testing.T) {
	b := newBed(t, "node", "router", "evil", "between")
	b.throughRouter("node", "between", "router")
	one, other := b.speaker("node"), b.speaker("router")
	profile := watched.Profile{Receive: 50 * time.Millisecond, Transmit: 50 * time.Millisecond, Multiplier: 3}
	watchedBy := func(p *bgp.Peer) { p.BFD, p.StrictBFD = &profile, true }
	far := func(source string) func(*bgp.Peer) {
		return func(p *bgp.Peer) { p.Source, p.Multihop = netip.MustParseAddr(source), true }
	}
	from := func(p *bgp.Peer) { p.ASN, p.Remote.ASN = 64513, 64512 }
	one.set(toAll(plain(first4), peer("v4", "192.168.1.2", passive, watchedBy), peer("v6", "2001:db8::2", passive, watchedBy), peer("far", "10.0.0.2", passive, watchedBy, far("10.0.0.1"))))
	other.set(toAll(nil, peer("v4", "192.168.1.1", from, watchedBy), peer("v6", "2001:db8::1", from, watchedBy), peer("far", "10.0.0.1", from, watchedBy, far("10.0.0.2"))))
	since := map[bgp.PeerName]time.Time{}
	for _, name := range []bgp.PeerName{"v4", "v6", "far"} {
		since[name] = one.establishes(name).Since
	}
	memory, descriptors := one.resources()
	down := wire.Encode(wire.Packet{State: watched.Down, Multiplier: 3, Mine: 1, DesiredMinTx: interval, RequiredMinRx: interval})
	sent := 0
	for i := range hostile {
		b.ip("evil", "address", "add", fmt.Sprintf("192.168.1.%d/24", 10+i), "dev", "eth0")
		b.ip("evil", "address", "add", fmt.Sprintf("2001:db8::1:%x/64", i), "dev", "eth0", "nodad")
	}
	b.in("evil", func() error {
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			for i := range hostile {
				for _, flow := range [][2]string{
					{fmt.Sprintf("192.168.1.%d", 10+i), "192.168.1.1"}, {fmt.Sprintf("2001:db8::1:%x", i), "2001:db8::1"},
				} {
					n, err := spray(netip.MustParseAddr(flow[0]), netip.MustParseAddr(flow[1]), down, make([]byte, 400))
					sent += n
					if err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	t.Logf("%d packets from %d sources", sent, 2*hostile)
	one.holdsUp(memory, descriptors)
	for name, at := range since {
		one.stays(name, at, 0)
		if _, path := one.status(name); path.State != watched.Up || path.Flaps != 0 {
			t.Errorf("the path to %s is %s and has gone down %d times", name, path.State, path.Flaps)
		}
	}
}

// spray sends packets from an address with TTL 255 to the ports of BFD and of its echo packets, of
// which the port of echo packets is not open.
func spray(from, to netip.Addr, packets ...[]byte) (sent int, err error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if from.Is4() {
		err = ipv4.NewConn(conn).SetTTL(255)
	} else {
		err = ipv6.NewConn(conn).SetHopLimit(255)
	}
	for _, port := range []uint16{3784, 4784, 3785} {
		for _, packet := range packets {
			if err == nil {
				_, err = conn.WriteToUDPAddrPort(packet, netip.AddrPortFrom(to, port))
				sent++
			}
		}
	}
	return sent, err
}

func TestBGPPassiveUnnumberedPeerWithPassword(t *testing.T) {
	b := newBed(t, "node", "router", "evil")
	for _, host := range []string{"node", "router", "evil"} {
		b.ip(host, "-4", "address", "flush", "dev", "eth0")
		b.ip(host, "-6", "address", "flush", "dev", "eth0", "scope", "global")
	}
	unnumbered := func(p *bgp.Peer) { p.Interface, p.Remote = "eth0", bgp.RemoteASN{Kind: bgp.ExternalPeer} }
	from := func(p *bgp.Peer) { p.ASN = 64513 }
	signed := func(name bgp.PeerName, edits ...func(*bgp.Peer)) protocol.Config {
		c := toAll(plain(first6), peer(name, "", append(edits, unnumbered, gracefully)...))
		c.Passwords = map[bgp.PeerName]string{name: "secret"}
		return c
	}
	s, other := b.speaker("node"), b.speaker("router")
	s.set(signed("router", passive))
	other.set(signed("node", from))
	since := s.establishes("router").Since
	memory, descriptors := s.resources()
	node := netip.AddrPortFrom(b.linkLocal("node").WithZone("eth0"), bgp.Port)
	if n := b.attack("evil", node); n > 0 {
		t.Errorf("%d of %d connections of another host came to be", n, hostile)
	}
	// This host sends router advertisements as well, and has no password.
	evil := b.speaker("evil")
	evil.set(toAll(nil, peer("node", "", from, unnumbered, gracefully)))
	s.stays("router", since, 12*time.Second) // longer than the hold time
	if got, _ := evil.status("node"); established(got) {
		t.Errorf("a host without the password has a session: %+v", got)
	}
	s.holdsUp(memory, descriptors)
}
