package membership

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/speaker"
)

var key = bytes.Repeat([]byte{7}, KeySize)

// port finds one that is free on the loopback addresses of the test.
func port(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func mesh(t *testing.T, name lb.NodeName, address netip.AddrPort, key []byte) *Mesh {
	t.Helper()
	m, err := Start(Config{Node: name, Address: address, Key: key, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	m.SetLinks([]speaker.Link{{Name: "eth-" + string(name)}})
	return m
}

// sees waits until a mesh has exactly these members.
func sees(t *testing.T, m *Mesh, within time.Duration, want ...lb.NodeName) {
	t.Helper()
	deadline := time.After(within)
	for {
		peers, joined := m.Live()
		var live []lb.NodeName
		for _, p := range peers {
			live = append(live, p.Node)
			if len(p.Links) != 1 || p.Links[0].Name != "eth-"+string(p.Node) {
				t.Errorf("links of %s: got %+v, want its own one", p.Node, p.Links)
			}
		}
		if joined && cmp.Equal(want, live) {
			return
		}
		select {
		case <-m.Changed():
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("members: got %v (joined %v) after %s, want %v", live, joined, within, want)
		}
	}
}

func TestMembersComeAndGo(t *testing.T) {
	p := port(t)
	at := func(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), p) }
	peers := []netip.Addr{at("127.0.0.1").Addr(), at("127.0.0.2").Addr(), at("127.0.0.3").Addr()}
	a := mesh(t, "a", at("127.0.0.1"), key)
	if live, joined := a.Live(); joined {
		t.Errorf("before anybody was called: got %v as the answer, want none yet", live)
	}
	if conn, err := net.Dial("tcp", at("127.0.0.1").String()); err == nil {
		conn.Close()
		t.Error("a speaker that is not ready can be reached: the others would take it for a member")
	}
	b, c := mesh(t, "b", at("127.0.0.2"), key), mesh(t, "c", at("127.0.0.3"), key)
	for _, m := range []*Mesh{a, b, c} {
		m.Join(peers)
	}
	for _, m := range []*Mesh{a, b, c} {
		sees(t, m, 10*time.Second, "a", "b", "c")
	}

	// One leaves by itself, one crashes.
	if err := b.Leave(time.Second); err != nil {
		t.Error(err)
	}
	sees(t, a, 10*time.Second, "a", "c")
	close(c.stop)
	if err := c.list.Shutdown(); err != nil {
		t.Error(err)
	}
	begin := time.Now()
	sees(t, a, 10*time.Second, "a")
	t.Logf("the crash was noticed after %s", time.Since(begin).Round(time.Millisecond))

	// One that comes back under its name is a member again.
	b = mesh(t, "b", at("127.0.0.2"), key)
	b.Join(peers)
	sees(t, a, 10*time.Second, "a", "b")
	for _, m := range []*Mesh{a, b} {
		if err := m.Leave(100 * time.Millisecond); err != nil {
			t.Error(err)
		}
	}
}

func TestLostLinkIsToldToTheOthers(t *testing.T) {
	p := port(t)
	one := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p)
	two := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), p)
	a, b := mesh(t, "a", one, key), mesh(t, "b", two, key)
	for _, m := range []*Mesh{a, b} {
		m.Join([]netip.Addr{one.Addr(), two.Addr()})
	}
	sees(t, a, 10*time.Second, "a", "b")
	b.SetLinks(nil)
	deadline := time.After(10 * time.Second)
	for {
		peers, _ := a.Live()
		if len(peers) == 2 && len(peers[1].Links) == 0 && !peers[1].More {
			break
		}
		select {
		case <-a.Changed():
		case <-deadline:
			t.Fatalf("got %+v, want b without a link", peers)
		}
	}
	for _, m := range []*Mesh{a, b} {
		if err := m.Leave(100 * time.Millisecond); err != nil {
			t.Error(err)
		}
	}
}

func TestAnotherKeyIsAnotherMesh(t *testing.T) {
	p := port(t)
	one := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p)
	two := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), p)
	a, b := mesh(t, "a", one, key), mesh(t, "b", two, bytes.Repeat([]byte{8}, KeySize))
	a.Join([]netip.Addr{two.Addr()})
	b.Join([]netip.Addr{one.Addr()})
	sees(t, b, 10*time.Second, "b")
	sees(t, a, 10*time.Second, "a")
	for _, m := range []*Mesh{a, b} {
		if err := m.Leave(100 * time.Millisecond); err != nil {
			t.Error(err)
		}
	}
}

func TestAKeyOfTheWrongSizeIsRefused(t *testing.T) {
	if _, err := Start(Config{Node: "a", Address: netip.MustParseAddrPort("127.0.0.1:0"), Key: key[:16]}); err == nil {
		t.Error("got no error, want one")
	}
}
