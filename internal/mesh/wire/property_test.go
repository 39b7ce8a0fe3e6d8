package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/ownership"
)

func drawAddress(t *rapid.T) netip.Addr {
	size := rapid.SampledFrom([]int{4, 16}).Draw(t, "bytes of an address")
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "address"))
	return a
}

func drawDuration(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(0, maxDuration.Milliseconds()).Draw(t, "ms")) * time.Millisecond
}

func drawLink(t *rapid.T) Link {
	l := Link{
		Name:     rapid.StringN(1, -1, maxLinkNameBytes).Draw(t, "link"),
		Internal: rapid.Bool().Draw(t, "internal"), IPv4: rapid.Bool().Draw(t, "IPv4"), IPv6: rapid.Bool().Draw(t, "IPv6"),
	}
	copy(l.Hardware[:], rapid.SliceOfN(rapid.Byte(), hardwareBytes, hardwareBytes).Draw(t, "hardware"))
	for range rapid.IntRange(0, 3).Draw(t, "prefixes") {
		a := drawAddress(t)
		l.Prefixes = append(l.Prefixes, netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")))
	}
	return l
}

// drawMessage returns a message within the bounds.
func drawMessage(t *rapid.T) Message {
	number := func(label string) uint64 { return rapid.Uint64().Draw(t, label) }
	m := Message{Kind: Kind(rapid.IntRange(1, 4).Draw(t, "kind")), Sequence: number("sequence"), Interval: drawDuration(t)}
	switch m.Kind {
	case KindHeartbeat:
		for range rapid.IntRange(0, MaxSuspects).Draw(t, "suspects") {
			m.Suspects = append(m.Suspects, NodeID(number("suspect")))
		}
		for range rapid.IntRange(0, MaxKnownStates).Draw(t, "known") {
			k := KnownState{ID: NodeID(number("known node")), Sequence: number("known sequence")}
			copy(k.Process[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "process"))
			m.Known = append(m.Known, k)
		}
	case KindPull:
		m.About = NodeID(number("about"))
		m.Nonce, m.MissingOf = number("nonce"), number("missing of")
		m.Missing = rapid.SliceOfN(rapid.Uint16(), 0, 8).Draw(t, "missing")
	case KindAck:
		m.Acked = number("acked")
	case KindState:
		m.Nonce = number("nonce")
		p := &m.Piece
		if rapid.Bool().Draw(t, "of another one") {
			p.About, p.Sequence = NodeID(rapid.Uint64Min(1).Draw(t, "about")), number("its sequence")
			copy(p.Instance[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "instance"))
		}
		p.Back = drawDuration(t)
		p.Count = rapid.IntRange(1, MaxPieces).Draw(t, "count")
		p.Index = rapid.IntRange(0, p.Count-1).Draw(t, "index")
		p.Data = rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "data")
	}
	return m
}

// drawState returns a state within the bounds.
func drawState(t *rapid.T) State {
	s := State{Phase: ownership.Phase(rapid.IntRange(0, int(ownership.Isolated)).Draw(t, "phase")), Claims: ownership.Claims{}}
	for range rapid.IntRange(0, 3).Draw(t, "links") {
		s.Links = append(s.Links, drawLink(t))
	}
	for range rapid.IntRange(0, 4).Draw(t, "claims") {
		s.Claims[drawAddress(t)] = ownership.Epoch(rapid.Uint64Range(0, uint64(maxEpoch)).Draw(t, "epoch"))
	}
	for i := range rapid.IntRange(0, 400).Draw(t, "more claims") { // so that there are several pieces
		s.Claims[netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})] = ownership.Epoch(i)
	}
	for range rapid.IntRange(0, 3).Draw(t, "held") {
		s.Held = append(s.Held, drawAddress(t))
	}
	return s
}

func TestMessages_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMessage(t)
		raw := AppendMessage(nil, &want)
		var got Message
		if err := Decode(raw, &got); err != nil {
			t.Fatalf("%x: %v", raw, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%x (-want +got):\n%s", raw, diff)
		}
		// The same memory is decoded into again, and a later version may append fields.
		other := drawMessage(t)
		raw = append(AppendMessage(raw[:0], &other), rapid.SliceOf(rapid.Byte()).Draw(t, "appended")...)
		if err := Decode(raw, &got); err != nil {
			t.Fatalf("with something appended: %x: %v", raw, err)
		}
		if diff := cmp.Diff(other, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("with something appended: %x (-want +got):\n%s", raw, diff)
		}
		raw = AppendMessage(nil, &want)
		if cut := rapid.IntRange(0, len(raw)-1).Draw(t, "cut"); Decode(raw[:cut], &got) == nil {
			t.Fatalf("%d of %d bytes of %x were decoded as %+v, want an error", cut, len(raw), raw, got)
		}
	})
}

func TestStates_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawState(t)
		pieces := SplitState(&want)
		for i, p := range pieces {
			if size := len(p); size > PieceSize || i < len(pieces)-1 && size != PieceSize {
				t.Fatalf("piece %d of %d has %d bytes, want %d", i, len(pieces), size, PieceSize)
			}
		}
		got, err := JoinState(pieces)
		if diff := cmp.Diff(want, got, byValue); diff != "" || err != nil {
			t.Fatalf("Join(Split()): error %v (-want +got):\n%s", err, diff)
		}
		last := len(pieces) - 1
		later := append(slices.Clone(pieces[:last]), append(slices.Clone(pieces[last]), 1, 2, 3))
		got, err = JoinState(later)
		if diff := cmp.Diff(want, got, byValue); diff != "" || err != nil {
			t.Fatalf("with something appended: error %v (-want +got):\n%s", err, diff)
		}
		whole := slices.Concat(pieces...)
		cut := rapid.IntRange(0, len(whole)-1).Draw(t, "cut")
		if got, err := JoinState([][]byte{whole[:cut]}); err == nil {
			t.Fatalf("%d of %d bytes were decoded as %+v, want an error", cut, len(whole), got)
		}
	})
}

func TestSplit_MapOrder(t *testing.T) {
	s := State{Claims: ownership.Claims{}, Links: []Link{{Name: "eth0", Internal: true, IPv4: true, IPv6: true}}}
	for i := range 200 {
		s.Claims[netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})] = ownership.Epoch(i)
	}
	first := SplitState(&s)
	for range 5 {
		if got := SplitState(&s); !cmp.Equal(first, got) {
			t.Fatalf("Split of the same state: got %x and %x", first, got)
		}
	}
}

// largest returns a state with one element more than the bound in each list.
func largest() State {
	s := State{Claims: ownership.Claims{}}
	six := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
	}
	for i := range maxLinks + 1 {
		s.Links = append(s.Links, Link{Name: fmt.Sprintf("a-long-name%04d", i)})
		for j := range maxPrefixes + 1 {
			s.Links[i].Prefixes = append(s.Links[i].Prefixes, netip.PrefixFrom(six(j), 128))
		}
	}
	for i := range maxClaims + 1 {
		s.Claims[six(i)] = maxEpoch
	}
	for i := range MaxHeldAddresses + 1 {
		s.Held = append(s.Held, six(i))
	}
	return s
}

func TestBounds_TheLargestFit(t *testing.T) {
	s := largest()
	pieces := SplitState(&s)
	if len(pieces) > MaxPieces {
		t.Errorf("the largest state has %d pieces, want at most %d", len(pieces), MaxPieces)
	}
	got, err := JoinState(pieces)
	if err != nil {
		t.Fatal(err)
	}
	type sizes struct{ Links, Prefixes, Claims, Held int }
	want := sizes{maxLinks, maxPrefixes, maxClaims, MaxHeldAddresses}
	if diff := cmp.Diff(want, sizes{len(got.Links), len(got.Links[0].Prefixes), len(got.Claims), len(got.Held)}); diff != "" {
		t.Errorf("what is decoded of a state beyond the bounds (-want +got):\n%s", diff)
	}
	// A datagram has 1200 bytes, and the session adds less than 80 to a message.
	const most = 1120
	most64 := uint64(1<<64 - 1)
	for name, m := range map[string]Message{
		"a heartbeat": {Kind: KindHeartbeat, Sequence: most64, Interval: maxDuration, Suspects: make([]NodeID, MaxSuspects+1), Known: slices.Repeat([]KnownState{{Sequence: most64}}, MaxKnownStates+1)},
		"a pull":      {Kind: KindPull, Sequence: most64, Interval: maxDuration, Nonce: most64, MissingOf: most64, Missing: make([]uint16, MaxMissingPieces+1)},
		"a piece": {Kind: KindState, Sequence: most64, Interval: maxDuration, Nonce: most64, Piece: Piece{
			About: 1, Sequence: most64, Back: maxDuration, Index: MaxPieces - 1, Count: MaxPieces, Data: make([]byte, PieceSize),
		}},
	} {
		raw := AppendMessage(nil, &m)
		if len(raw) > most {
			t.Errorf("%s has %d bytes, want at most %d", name, len(raw), most)
		}
		var got Message
		if err := Decode(raw, &got); err != nil || len(got.Suspects) > MaxSuspects || len(got.Known) > MaxKnownStates || len(got.Missing) > MaxMissingPieces {
			t.Errorf("%s: error %v, got %d suspects and %d missing pieces", name, err, len(got.Suspects), len(got.Missing))
		}
	}
}

func TestValuesOutOfBounds_LeaveTheRest(t *testing.T) {
	address, prefix, long := netip.MustParseAddr("10.0.0.1"), netip.MustParsePrefix("10.0.0.0/8"), strings.Repeat("x", maxLinkNameBytes)
	claims := ownership.Claims{}
	for _, tt := range []struct {
		name       string
		sent, want State
	}{
		{"names of links", State{Links: []Link{{}, {Name: long}, {Name: long + "x"}}}, State{Links: []Link{{Name: long}}, Claims: claims}},
		{"a prefix", State{Links: []Link{{Name: "eth0", Prefixes: []netip.Prefix{{}, prefix}}}}, State{Links: []Link{{Name: "eth0", Prefixes: []netip.Prefix{prefix}}}, Claims: claims}},
		{"a claim", State{Claims: ownership.Claims{{}: 1, address: 2}}, State{Claims: ownership.Claims{address: 2}}},
		{"an epoch", State{Claims: ownership.Claims{address: maxEpoch + 1}}, State{Claims: ownership.Claims{address: maxEpoch}}},
		{"a held address", State{Held: []netip.Addr{{}, address}}, State{Held: []netip.Addr{address}, Claims: claims}},
	} {
		got, err := JoinState(SplitState(&tt.sent))
		if diff := cmp.Diff(tt.want, got, byValue); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
	for sent, want := range map[time.Duration]time.Duration{-time.Second: 0, time.Hour: maxDuration, 1500 * time.Microsecond: time.Millisecond} {
		var got Message
		raw := AppendMessage(nil, &Message{Kind: KindState, Interval: sent, Piece: Piece{Back: sent, Count: 1}})
		if err := Decode(raw, &got); err != nil || got.Interval != want || got.Piece.Back != want {
			t.Errorf("%s: got an interval of %s, back in %s, error %v, want %s", sent, got.Interval, got.Piece.Back, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for digits := range messages() {
		f.Add(unhex(f, digits))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m, again Message
		if Decode(raw, &m) != nil {
			return
		}
		err := Decode(AppendMessage(nil, &m), &again)
		if diff := cmp.Diff(m, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("encoded and decoded again it differs, error %v:\n%s", err, diff)
		}
	})
}

func FuzzJoin(f *testing.F) {
	for digits := range states() {
		f.Add(unhex(f, digits))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := JoinState([][]byte{raw})
		if err != nil {
			return
		}
		again, err := JoinState(SplitState(&s))
		if diff := cmp.Diff(s, again, byValue, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("encoded and decoded again it differs, error %v:\n%s", err, diff)
		}
	})
}
