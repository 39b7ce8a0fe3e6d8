package arp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

var (
	here   = packet.MAC{2, 0, 0, 0, 0, 1}
	other  = packet.MAC{2, 0, 0, 0, 0, 2}
	client = packet.MAC{2, 0, 0, 0, 0, 9}
	vip    = netip.MustParseAddr("192.168.1.240")
	asker  = netip.MustParseAddr("192.168.1.9")
	none   = netip.IPv4Unspecified()

	byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

// tape is a socket that returns the recorded frames, then fails, and records the frames
// written to it.
type tape struct {
	frames, sent [][]byte
}

func (s *tape) Read() ([]byte, error) {
	if len(s.frames) == 0 {
		return nil, net.ErrClosed
	}
	b := s.frames[0]
	s.frames = s.frames[1:]
	return b, nil
}

func (s *tape) Write(b []byte) error                   { s.sent = append(s.sent, slices.Clone(b)); return nil }
func (*tape) Filter(func(int) []bpf.Instruction) error { return nil }
func (*tape) Dropped() uint64                          { return 0 }
func (*tape) Close() error                             { return nil }

func conn(t testing.TB, frames ...[]byte) (*Conn, *tape) {
	t.Helper()
	s := &tape{frames: frames}
	c, err := newConn(here, s)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// layout is a frame as RFC 826 draws it.
func layout(to, from packet.MAC, operation byte, sender packet.MAC, senderIP netip.Addr, target packet.MAC, targetIP netip.Addr) []byte {
	return bytes.Join([][]byte{
		to[:], from[:], {8, 6}, {0, 1, 8, 0, 6, 4, 0, operation}, sender[:], senderIP.AsSlice(), target[:], targetIP.AsSlice(),
	}, nil)
}

func request(senderIP, targetIP netip.Addr) []byte {
	return layout(packet.BroadcastMAC(), client, 1, client, senderIP, packet.MAC{}, targetIP)
}

func reply(senderIP, targetIP netip.Addr) []byte {
	return layout(here, client, 2, client, senderIP, here, targetIP)
}

func TestEncode(t *testing.T) {
	everybody, nobody := packet.BroadcastMAC(), packet.MAC{}
	asked := packet.Message{Asks: vip, Claims: asker, From: asker, Sender: client}
	probed := packet.Message{Asks: vip, Probe: true, From: none, Sender: client}
	tests := []struct {
		name string
		send func(*Conn) error
		want [][]byte
	}{
		{
			name: "an announcement is a gratuitous request and a gratuitous reply", send: func(c *Conn) error { return c.Announce(vip) },
			want: [][]byte{layout(everybody, here, 1, here, vip, nobody, vip), layout(everybody, here, 2, here, vip, here, vip)},
		},
		{
			name: "a probe has no sender address", send: func(c *Conn) error { return c.Probe(vip) },
			want: [][]byte{layout(everybody, here, 1, here, none, nobody, vip)},
		},
		{
			name: "an answer goes to who asked", send: func(c *Conn) error { return c.Answer(asked, here) },
			want: [][]byte{layout(client, here, 2, here, vip, client, asker)},
		},
		{
			name: "an answer for another node comes from this interface", send: func(c *Conn) error { return c.Answer(asked, other) },
			want: [][]byte{layout(client, here, 2, other, vip, client, asker)},
		},
		{
			name: "a probe is answered, since the address is in use", send: func(c *Conn) error { return c.Answer(probed, here) },
			want: [][]byte{layout(client, here, 2, here, vip, client, none)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := conn(t)
			if err := tt.send(c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, s.sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIPv6IsNotAnnouncedByARP(t *testing.T) {
	c, _ := conn(t)
	if err := c.Announce(netip.MustParseAddr("2001:db8::1")); err == nil {
		t.Error("got no error, want one")
	}
}

func TestDecode(t *testing.T) {
	good := request(asker, vip)
	changed := func(at int, value byte) []byte {
		b := slices.Clone(good)
		b[at] = value
		return b
	}
	tests := []struct {
		name  string
		frame []byte
		want  packet.Message // the zero one: malformed
	}{
		{name: "a request has the address of its sender", frame: good, want: packet.Message{Asks: vip, Claims: asker, From: asker, Sender: client}},
		{name: "a request with the hardware address of another host is its sender's", frame: changed(headerLength+13, client[5]+1), want: packet.Message{Asks: vip, Claims: asker, From: asker, Sender: client}},
		{name: "padding does not matter", frame: append(slices.Clone(good), make([]byte, 18)...), want: packet.Message{Asks: vip, Claims: asker, From: asker, Sender: client}},
		{name: "a probe claims nothing", frame: request(none, vip), want: packet.Message{Asks: vip, Probe: true, From: none, Sender: client}},
		{name: "a reply claims", frame: reply(vip, asker), want: packet.Message{Claims: vip, From: vip, Sender: client}},
		{name: "reply on behalf of another host claims, and has the source of the frame", frame: layout(here, other, 2, client, vip, here, asker), want: packet.Message{Claims: vip, From: vip, Sender: client, Via: other}},
		{name: "a gratuitous request does both", frame: request(vip, vip), want: packet.Message{Asks: vip, Claims: vip, From: vip, Sender: client}},
		{name: "nothing"},
		{name: "no packet behind the header", frame: good[:headerLength]},
		{name: "cut short", frame: good[:len(good)-1]},
		{name: "another hardware type", frame: changed(headerLength+1, 6)},
		{name: "another protocol", frame: changed(headerLength+2, 0x86)},
		{name: "a longer hardware address", frame: changed(headerLength+4, 8)},
		{name: "no hardware address", frame: changed(headerLength+4, 0)},
		{name: "an address of IPv6", frame: changed(headerLength+5, 16)},
		{name: "another operation", frame: changed(headerLength+7, 3)},
		{name: "the hardware address of a group", frame: changed(headerLength+8, 0xff)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := conn(t, tt.frame)
			got, ok, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, byValue); diff != "" || ok != (tt.want != packet.Message{}) {
				t.Errorf("ok %v; message (-want +got):\n%s", ok, diff)
			}
			if _, _, err := c.Read(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after the last frame: got %v, want %v", err, net.ErrClosed)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(request(asker, vip))
	f.Add(request(none, vip))
	f.Add(reply(vip, asker))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 60))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, s := conn(t, data)
		m, ok, err := c.Read()
		if err != nil {
			t.Fatalf("error %v, want only the socket's", err)
		}
		if !ok && m != (packet.Message{}) {
			t.Fatalf("malformed, and yet %+v", m)
		}
		if !m.Asks.IsValid() {
			return
		}
		if !m.Asks.Is4() || !m.From.Is4() {
			t.Fatalf("%+v, want IPv4 addresses", m)
		}
		if err := c.Answer(m, here); err != nil || len(s.sent) != 1 {
			t.Fatalf("answering %+v: %v, %d frames", m, err, len(s.sent))
		}
	})
}

func TestFilterPassesPacketsAboutOwnedAddresses(t *testing.T) {
	lastOf := netip.MustParseAddr("192.168.1.241")
	vm, err := bpf.NewVM(filterProgram([]netip.Addr{vip, lastOf}, 64))
	if err != nil {
		t.Fatal(err)
	}
	outside := netip.MustParseAddr("192.168.1.242")
	long := request(asker, vip)
	long[headerLength+4] = 8
	tests := []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"a request for the first", request(asker, vip), true},
		{"a request for the last", request(asker, lastOf), true},
		{"a probe", request(none, vip), true},
		{"a reply that claims one", reply(vip, asker), true},
		{"a request from a host that has one", request(vip, outside), true},
		{"a request for another", request(asker, outside), false},
		{"a reply about another", reply(outside, asker), false},
		{"hardware addresses that are not Ethernet's", long, false},
		{"a packet cut short", request(asker, vip)[:headerLength+20], false},
	}
	for _, tt := range tests {
		n, err := vm.Run(tt.frame)
		if err != nil || (n > 0) != tt.want {
			t.Errorf("%s: got %d bytes, %v, want passed %v", tt.name, n, err, tt.want)
		}
	}
	nothing, err := bpf.NewVM(filterProgram(nil, 64))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := nothing.Run(request(asker, vip)); n != 0 || err != nil {
		t.Errorf("with nothing owned: got %d bytes, %v, want none", n, err)
	}
}

func BenchmarkReadAndAnswer(b *testing.B) {
	c, s := conn(b)
	question := [][]byte{request(asker, vip)}
	for b.Loop() {
		s.frames, s.sent = question, s.sent[:0]
		m, ok, err := c.Read()
		if !ok || err != nil {
			b.Fatal(ok, err)
		}
		if err := c.Answer(m, here); err != nil {
			b.Fatal(err)
		}
	}
}
