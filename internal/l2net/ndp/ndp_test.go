package ndp

import (
	"bytes"
	"encoding/binary"
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
	vip    = netip.MustParseAddr("2001:db8::240")
	asker  = netip.MustParseAddr("2001:db8::9")
	local  = netip.MustParseAddr("fe80::1")
	none   = netip.IPv6Unspecified()

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

func conn(frames ...[]byte) (*Conn, *tape) {
	s := &tape{frames: frames}
	return newConn(frameBuilder{hardware: here, linkLocal: local}, s, nil), s
}

// sum is the checksum of RFC 1071, written once more.
func sum(parts ...[]byte) uint16 {
	all := bytes.Join(parts, nil)
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	var total uint32
	for ; len(all) > 0; all = all[2:] {
		total += uint32(binary.BigEndian.Uint16(all))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}

// layout is a frame as RFC 2464, 8200 and 4861 draw it.
func layout(frameTo, frameFrom packet.MAC, from, to netip.Addr, kind, flags byte, target netip.Addr, options ...[]byte) []byte {
	icmp := bytes.Join([][]byte{{kind, 0, 0, 0, flags, 0, 0, 0}, target.AsSlice(), bytes.Join(options, nil)}, nil)
	pseudo := bytes.Join([][]byte{from.AsSlice(), to.AsSlice(), {0, 0, 0, byte(len(icmp)), 0, 0, 0, 58}}, nil)
	binary.BigEndian.PutUint16(icmp[2:], sum(pseudo, icmp))
	return bytes.Join([][]byte{
		frameTo[:], frameFrom[:], {0x86, 0xdd}, {0x60, 0, 0, 0, 0, byte(len(icmp)), 58, 255}, from.AsSlice(), to.AsSlice(), icmp,
	}, nil)
}

func sourceOption(m packet.MAC) []byte { return append([]byte{1, 1}, m[:]...) }
func targetOption(m packet.MAC) []byte { return append([]byte{2, 1}, m[:]...) }

var (
	groupOfVIP = netip.MustParseAddr("ff02::1:ff00:240")
	groupFrame = packet.MAC{0x33, 0x33, 0xff, 0, 0x02, 0x40}
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
	nodesFrame = packet.MAC{0x33, 0x33, 0, 0, 0, 1}
)

const solicited, override = 0x40, 0x20

func question(options ...[]byte) []byte {
	return layout(groupFrame, client, asker, groupOfVIP, 135, 0, vip, options...)
}

func TestEncode(t *testing.T) {
	asked := packet.Message{Asks: vip, From: asker, Sender: client}
	probed := packet.Message{Asks: vip, Probe: true, From: none, Sender: client}
	tests := []struct {
		name string
		send func(*Conn) error
		want [][]byte
	}{
		{
			name: "an announcement goes to all nodes and to all routers", send: func(c *Conn) error { return c.Announce(vip) },
			want: [][]byte{
				layout(nodesFrame, here, local, allNodes, 136, override, vip, targetOption(here)),
				layout(packet.MAC{0x33, 0x33, 0, 0, 0, 2}, here, local, allRouters, 136, override, vip, targetOption(here)),
			},
		},
		{
			name: "an answer goes to who asked", send: func(c *Conn) error { return c.Answer(asked, here) },
			want: [][]byte{layout(client, here, vip, asker, 136, solicited|override, vip, targetOption(here))},
		},
		{
			name: "an answer for another node comes from this interface", send: func(c *Conn) error { return c.Answer(asked, other) },
			want: [][]byte{layout(client, here, vip, asker, 136, solicited|override, vip, targetOption(other))},
		},
		{
			name: "who probes is answered before all", send: func(c *Conn) error { return c.Answer(probed, here) },
			want: [][]byte{layout(nodesFrame, here, local, allNodes, 136, override, vip, targetOption(here))},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := conn()
			if err := tt.send(c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, s.sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
	c, _ := conn()
	if err := c.Announce(netip.MustParseAddr("192.0.2.1")); err == nil {
		t.Error("announcing an IPv4 address: got no error, want one")
	}
}

func TestOwnProbeThatComesBackIsIgnored(t *testing.T) {
	c, s := conn()
	for range 2 {
		if err := c.Probe(vip); err != nil {
			t.Fatal(err)
		}
	}
	first, second := s.sent[0], s.sent[1]
	nonce := first[offsetICMP+fixedMessageLength:]
	if want := layout(groupFrame, here, none, groupOfVIP, 135, 0, vip, nonce); !bytes.Equal(first, want) || nonce[0] != 14 || nonce[1] != 1 {
		t.Errorf("the probe: got %x, want %x with a nonce", first, want)
	}
	if bytes.Equal(first, second) {
		t.Error("two probes have the same nonce")
	}
	foreign := layout(groupFrame, client, none, groupOfVIP, 135, 0, vip, []byte{14, 1, 1, 2, 3, 4, 5, 6})
	s.frames = [][]byte{first, second, foreign}
	probed := packet.Message{Asks: vip, Probe: true, From: none, Sender: client}
	for i, want := range []packet.Message{{}, {}, probed} {
		got, ok, err := c.Read()
		if diff := cmp.Diff(want, got, byValue); !ok || err != nil || diff != "" {
			t.Errorf("frame %d: ok %v, error %v; message (-want +got):\n%s", i, ok, err, diff)
		}
	}
}

func TestOldNoncesAreForgotten(t *testing.T) {
	var n probeNonces
	first := n.newNonce()
	for range maxNonces {
		if !n.isOwn(n.newNonce()) {
			t.Fatal("a fresh nonce is not known")
		}
	}
	if n.isOwn(first) || len(n.known) != maxNonces {
		t.Errorf("%d nonces are known, the first one: %v", len(n.known), n.isOwn(first))
	}
}

func TestDecode(t *testing.T) {
	asked := packet.Message{Asks: vip, From: asker, Sender: client}
	probed := packet.Message{Asks: vip, Probe: true, From: none, Sender: client}
	claimed := packet.Message{Claims: vip, From: local, Sender: client}
	proxied := packet.Message{Claims: vip, From: local, Sender: client, Via: other}
	nobody := layout(groupFrame, client, none, groupOfVIP, 135, 0, vip)
	changed := func(at int, value byte) []byte {
		b := question()
		b[at] = value
		return b
	}
	wrongSum := question()
	wrongSum[offsetICMP+2]++
	many := bytes.Repeat([]byte{200, 1, 0, 0, 0, 0, 0, 0}, maxOptions+1)
	group := netip.MustParseAddr("ff02::1234")
	tests := []struct {
		name  string
		frame []byte
		want  packet.Message // the zero one: malformed
	}{
		{name: "a question is answered to where the frame comes from, whatever its source option", frame: layout(groupFrame, client, asker, groupOfVIP, 135, 0, vip, sourceOption(other)), want: asked},
		{name: "a question without one to where the frame comes from", frame: question(), want: asked},
		{name: "a question to us alone", frame: layout(here, client, asker, vip, 135, 0, vip), want: asked},
		{name: "a probe", frame: nobody, want: probed},
		{name: "an advertisement claims for its target option", frame: layout(nodesFrame, other, local, allNodes, 136, override, vip, targetOption(client)), want: proxied},
		{name: "an advertisement without one for where it comes from", frame: layout(here, client, local, asker, 136, solicited, vip), want: claimed},
		{name: "unknown options are ignored, whatever is in them", frame: question([]byte{31, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), want: asked},
		{name: "padding does not matter", frame: append(question(), 0, 0, 0), want: asked},
		{name: "nothing"},
		{name: "cut short", frame: question()[:offsetICMP+fixedMessageLength-1]},
		{name: "forwarded by a router", frame: changed(ethernetLength+7, 254)},
		{name: "not ICMPv6", frame: changed(ethernetLength+6, 17)},
		{name: "not IPv6", frame: changed(ethernetLength, 0x45)},
		{name: "a length beyond the end", frame: changed(ethernetLength+5, 200)},
		{name: "a length that is too short", frame: changed(ethernetLength+5, 8)},
		{name: "a wrong checksum", frame: wrongSum},
		{name: "a router's message", frame: layout(nodesFrame, client, local, allNodes, 134, 0, vip)},
		{name: "a solicitation for a group", frame: layout(groupFrame, client, asker, groupOfVIP, 135, 0, group)},
		{name: "an advertisement of a group", frame: layout(nodesFrame, client, local, allNodes, 136, 0, group)},
		{name: "a probe that is not sent to the group", frame: layout(here, client, none, vip, 135, 0, vip)},
		{name: "a probe with a source option", frame: layout(groupFrame, client, none, groupOfVIP, 135, 0, vip, sourceOption(client))},
		{name: "an advertisement to all nodes", frame: layout(nodesFrame, client, local, allNodes, 136, solicited, vip)},
		{name: "an option without a length", frame: question([]byte{1, 0, 0, 0, 0, 0, 0, 0})},
		{name: "an option beyond the end", frame: question([]byte{1, 2, 0, 0, 0, 0, 0, 0})},
		{name: "half an option", frame: question([]byte{1})},
		{name: "a source option of another size", frame: question(append([]byte{1, 2}, make([]byte, 14)...))},
		{name: "more options than anybody needs", frame: question(many)},
		{name: "a message from a group", frame: layout(groupFrame, client, group, groupOfVIP, 135, 0, vip)},
		{name: "the hardware address of a group", frame: question(sourceOption(packet.BroadcastMAC()))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := conn(tt.frame)
			got, ok, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, byValue); diff != "" || ok != (tt.want != packet.Message{}) {
				t.Errorf("ok %v; message (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(question(sourceOption(client)))
	f.Add(layout(groupFrame, client, none, groupOfVIP, 135, 0, vip, []byte{14, 1, 1, 2, 3, 4, 5, 6}))
	f.Add(layout(nodesFrame, other, local, allNodes, 136, override, vip, targetOption(client)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > offsetICMP+fixedMessageLength { // or the fuzzer would never get past the checksum
			data = slices.Clone(data)
			data[offsetICMP+2], data[offsetICMP+3] = 0, 0
			length := min(int(binary.BigEndian.Uint16(data[ethernetLength+4:])), len(data)-offsetICMP)
			binary.BigEndian.PutUint16(data[offsetICMP+2:], checksum(data[ethernetLength+8:offsetICMP], data[offsetICMP:offsetICMP+length]))
		}
		c, s := conn(data)
		m, ok, err := c.Read()
		if err != nil {
			t.Fatalf("error %v, want only the socket's", err)
		}
		if !ok && m != (packet.Message{}) {
			t.Fatalf("malformed, and yet %+v", m)
		}
		if !m.Asks.IsValid() || m.Asks.Is4In6() {
			return
		}
		if err := c.Answer(m, here); err != nil || len(s.sent) != 1 {
			t.Fatalf("answering %+v: %v, %d frames", m, err, len(s.sent))
		}
		if _, err := parseFrame(s.sent[0]); err != nil {
			t.Fatalf("the answer to %+v is malformed: %v", m, err)
		}
	})
}

func TestFilterPassesPacketsAboutOwnedAddresses(t *testing.T) {
	vm, err := bpf.NewVM(filterProgram([]netip.Addr{vip}, 64))
	if err != nil {
		t.Fatal(err)
	}
	udp := question()
	udp[ethernetLength+6] = 17
	next := vip.Next()
	tests := []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"a solicitation", question(), true},
		{"an advertisement", layout(nodesFrame, other, local, allNodes, 136, override, vip, targetOption(client)), true},
		{"a solicitation for another", layout(groupFrame, client, asker, groupOfVIP, 135, 0, next), false},
		{"a router's message", layout(nodesFrame, client, local, allNodes, 134, 0, vip), false},
		{"another protocol", udp, false},
		{"a frame cut short", question()[:60], false},
	}
	for _, tt := range tests {
		n, err := vm.Run(tt.frame)
		if err != nil || (n > 0) != tt.want {
			t.Errorf("%s: got %d bytes, %v, want passed %v", tt.name, n, err, tt.want)
		}
	}
}
