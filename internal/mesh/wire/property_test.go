package wire

import (
	"encoding/hex"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

func drawnAddress(t *rapid.T) netip.Addr {
	size := rapid.SampledFrom([]int{4, 16}).Draw(t, "bytes of an address")
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "address"))
	return a
}

func drawnName(t *rapid.T) lb.NodeName {
	return lb.NodeName(rapid.StringN(1, -1, maxName).Draw(t, "name"))
}

func drawnDuration(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(0, maxDuration.Milliseconds()).Draw(t, "ms")) * time.Millisecond
}

func drawnLink(t *rapid.T) Link {
	l := Link{
		Name:     rapid.StringN(1, -1, maxLinkName).Draw(t, "link"),
		Internal: rapid.Bool().Draw(t, "internal"), IPv4: rapid.Bool().Draw(t, "IPv4"), IPv6: rapid.Bool().Draw(t, "IPv6"),
	}
	copy(l.Hardware[:], rapid.SliceOfN(rapid.Byte(), hardwareBytes, hardwareBytes).Draw(t, "hardware"))
	for range rapid.IntRange(0, 3).Draw(t, "prefixes") {
		a := drawnAddress(t)
		l.Prefixes = append(l.Prefixes, netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")))
	}
	return l
}

// drawn is a message within the bounds.
func drawn(t *rapid.T) *Message {
	number := func(label string) uint64 { return rapid.Uint64().Draw(t, label) }
	m := &Message{
		Kind: Kind(rapid.IntRange(1, 4).Draw(t, "kind")), From: drawnName(t),
		Incarnation: number("incarnation"), Sequence: number("sequence"), Interval: drawnDuration(t),
	}
	m.Stream = rapid.Bool().Draw(t, "stream")
	m.Deaf = m.Stream && rapid.Bool().Draw(t, "deaf")
	switch m.Kind {
	case KindBeat:
		for range rapid.IntRange(0, 3).Draw(t, "suspects") {
			m.Suspects = append(m.Suspects, drawnName(t))
		}
	case KindPull:
		m.Nonce = number("nonce")
	case KindAck:
		m.AckedIncarnation, m.AckedSequence = number("acked incarnation"), number("acked sequence")
	case KindState:
		m.Nonce = number("nonce")
		m.State = State{Phase: ownership.Phase(rapid.IntRange(0, int(ownership.Isolated)).Draw(t, "phase")), Back: drawnDuration(t), Claims: ownership.Claims{}}
		for range rapid.IntRange(0, 3).Draw(t, "links") {
			m.State.Links = append(m.State.Links, drawnLink(t))
		}
		for range rapid.IntRange(0, 4).Draw(t, "claims") {
			m.State.Claims[drawnAddress(t)] = ownership.Epoch(rapid.Uint64Range(0, maxEpoch).Draw(t, "epoch"))
		}
		for range rapid.IntRange(0, 3).Draw(t, "held") {
			m.State.Held = append(m.State.Held, drawnAddress(t))
		}
	}
	return m
}

// known are the lengths at which what came later begins, the latest first: all that ends
// there is a message as well.
func known(m *Message) []int {
	way := len(Encode(m)) - 1
	if m.Kind != KindState {
		return []int{way}
	}
	held := way - len(number(nil, uint64(len(m.State.Held))))
	for _, a := range m.State.Held {
		held -= len(address(nil, a))
	}
	return []int{way, held}
}

func TestAMessageWithoutWhatCameLaterIsHeard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawn(t)
		for i, length := range known(want) {
			packet := Encode(want)[:length]
			got, err := Decode(packet)
			shorter := *want
			if shorter.Stream, shorter.Deaf = false, false; i > 0 {
				shorter.State.Held = nil
			}
			if diff := cmp.Diff(&shorter, got, byValue); err != nil || diff != "" {
				t.Fatalf("%x: error %v (-told +heard):\n%s", packet, err, diff)
			}
		}
	})
}

func TestWhatIsToldIsHeard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawn(t)
		packet := Encode(want)
		got, err := Decode(packet)
		if err != nil {
			t.Fatalf("%x: %v", packet, err)
		}
		if diff := cmp.Diff(want, got, byValue); diff != "" {
			t.Fatalf("%x (-told +heard):\n%s", packet, diff)
		}
		// What a later version appends is ignored.
		later, err := Decode(append(packet, rapid.SliceOf(rapid.Byte()).Draw(t, "appended")...))
		if err != nil {
			t.Fatalf("with something appended: %v", err)
		}
		if diff := cmp.Diff(want, later, byValue); diff != "" {
			t.Fatalf("with something appended (-told +heard):\n%s", diff)
		}
		if cut := rapid.IntRange(0, len(packet)-1).Draw(t, "cut"); !slices.Contains(known(want), cut) {
			if m, err := Decode(packet[:cut]); err == nil {
				t.Fatalf("%d of %d bytes were read as %+v", cut, len(packet), m)
			}
		}
	})
}

func TestTheOrderOfAMapDoesNotReachTheWire(t *testing.T) {
	m := &Message{Kind: KindState, From: "a", State: State{Claims: ownership.Claims{}}}
	m.State.Links = []Link{{Name: "eth0", Internal: true, IPv4: true, IPv6: true}}
	for i := range 50 {
		m.State.Claims[netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})] = ownership.Epoch(i)
	}
	first := hex.EncodeToString(Encode(m))
	for range 5 {
		if got := hex.EncodeToString(Encode(m)); got != first {
			t.Fatalf("the same state is told as %s and as %s", first, got)
		}
	}
}

func TestBounds(t *testing.T) {
	name := func(n int) lb.NodeName { return lb.NodeName(strings.Repeat("x", n)) }
	state := func(s State) *Message { return &Message{Kind: KindState, From: "a", State: s} }
	addresses := func(n int) ownership.Claims {
		claims := ownership.Claims{}
		for i := range n {
			claims[netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})] = 1
		}
		return claims
	}
	tests := []struct {
		name string
		m    *Message
		ok   bool
	}{
		{"the longest name", &Message{Kind: KindPull, From: name(253)}, true},
		{"a longer name", &Message{Kind: KindPull, From: name(254)}, false},
		{"the longest interval", &Message{Kind: KindPull, From: "a", Interval: 10 * time.Minute}, true},
		{"the longest name of a link", state(State{Links: []Link{{Name: string(name(15))}}}), true},
		{"the highest epoch", state(State{Claims: ownership.Claims{netip.IPv6Loopback(): maxEpoch}}), true},
		{"the last phase", state(State{Phase: ownership.Isolated}), true},
		{"all the claims there may be", state(State{Claims: addresses(maxClaims)}), true},
		{"the time is up already", state(State{Back: -time.Second}), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Decode(Encode(tt.m)); (err == nil) != tt.ok {
				t.Errorf("got error %v, want it read: %v", err, tt.ok)
			}
		})
	}
}

func TestWhatIsTooMuchIsLeftOut(t *testing.T) {
	m := &Message{Kind: KindBeat, From: "a"}
	for range maxSuspects + 1 {
		m.Suspects = append(m.Suspects, "b")
	}
	if got, err := Decode(Encode(m)); err != nil || len(got.Suspects) != maxSuspects {
		t.Errorf("got %v, error %v, want %d suspects", got, err, maxSuspects)
	}
	m = &Message{Kind: KindState, From: "a", State: State{Links: make([]Link, maxLinks+1), Claims: ownership.Claims{}}}
	for i := range m.State.Links {
		m.State.Links[i].Name = "eth0"
	}
	for range maxPrefixes + 1 {
		m.State.Links[0].Prefixes = append(m.State.Links[0].Prefixes, netip.MustParsePrefix("10.0.0.0/8"))
	}
	for i := range maxClaims + 1 {
		m.State.Claims[netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})] = 1
	}
	got, err := Decode(Encode(m))
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string][2]int{
		"links": {len(got.State.Links), maxLinks}, "prefixes": {len(got.State.Links[0].Prefixes), maxPrefixes}, "claims": {len(got.State.Claims), maxClaims},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: got %d, want %d", what, n[0], n[1])
		}
	}
}

func TestWhatIsOutOfBoundsDoesNotSpoilTheRest(t *testing.T) {
	address, long := netip.MustParseAddr("10.0.0.1"), strings.Repeat("x", maxName+1)
	tests := []struct {
		name       string
		told, want Message
	}{
		{"a suspect's name", Message{Suspects: []lb.NodeName{"", "b", lb.NodeName(long)}}, Message{Suspects: []lb.NodeName{"b"}}},
		{"the interval", Message{Interval: time.Hour, Suspects: []lb.NodeName{"b"}}, Message{Interval: maxDuration, Suspects: []lb.NodeName{"b"}}},
		{"when it is back", Message{State: State{Back: time.Hour}}, Message{State: State{Back: maxDuration}}},
		{"a link's name", Message{State: State{Links: []Link{{}, {Name: "eth0"}, {Name: "sixteen-letters-"}}}}, Message{State: State{Links: []Link{{Name: "eth0"}}}}},
		{
			"a prefix", Message{State: State{Links: []Link{{Name: "eth0", Prefixes: []netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/8")}}}}},
			Message{State: State{Links: []Link{{Name: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}}},
		},
		{"an address", Message{State: State{Claims: ownership.Claims{{}: 1, address: 2}}}, Message{State: State{Claims: ownership.Claims{address: 2}}}},
		{"an epoch", Message{State: State{Claims: ownership.Claims{address: maxEpoch + 1}}}, Message{State: State{Claims: ownership.Claims{address: maxEpoch}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, m := range []*Message{&tt.told, &tt.want} {
				m.Kind, m.From = KindState, "a"
				if m.Suspects != nil {
					m.Kind = KindBeat
				} else if m.State.Claims == nil {
					m.State.Claims = ownership.Claims{}
				}
			}
			got, err := Decode(Encode(&tt.told))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, byValue); diff != "" {
				t.Errorf("-want +heard:\n%s", diff)
			}
		})
	}
}

func TestNumbersThatPromiseMoreThanThereIsAreRefused(t *testing.T) {
	head := "0102056e6f646531ac02024100" // a state of node1, nonce 0
	for name, packet := range map[string]string{
		"more links than bytes":           head + "0000" + "7f" + "00",
		"more claims than bytes":          head + "0000" + "00" + "ffff03" + "04",
		"more claims than there may be":   head + "0000" + "00" + "ffffffff0f" + strings.Repeat("00", 100),
		"claims of less than six bytes":   head + "0000" + "00" + "808004" + strings.Repeat("00", 1<<16),
		"a link without a name":           head + "0000" + "01" + "00" + strings.Repeat("00", 40),
		"a longer name of a link":         head + "0000" + "01" + "10" + strings.Repeat("61", 16) + strings.Repeat("00", 40),
		"an address of 5 bytes":           head + "0000" + "00" + "01" + "050102030405" + "01",
		"more suspects than there may be": "0101056e6f646531ac0202418102" + strings.Repeat("0161", 257),
		"a number without an end":         head + "0000" + "00" + strings.Repeat("ff", 11),
		"an epoch beyond the bound":       head + "0000" + "00" + "01" + "0401020304" + "ffffffffffffffffff01",
	} {
		raw, err := hex.DecodeString(packet)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Decode(raw)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: got %+v, want an error", name, m)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%s: %d bytes took %d bytes of memory", name, len(raw), got)
		}
	}
}

func TestOnlyThisVersionIsRead(t *testing.T) {
	packet := Encode(&Message{Kind: KindPull, From: "a"})
	for v := range 256 {
		packet[0] = byte(v)
		if _, err := Decode(packet); (err == nil) != (v == version) || (cmp.Equal(err, ErrVersion, cmpopts.EquateErrors())) == (v == version) {
			t.Errorf("version %d: got %v", v, err)
		}
	}
}
