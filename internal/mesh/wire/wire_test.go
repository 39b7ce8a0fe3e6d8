package wire

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/ownership"
)

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// unhex decodes hexadecimal digits; spaces separate fields.
func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// head is the beginning of every message of a kind: version, kind, sequence 2, 65 ms.
func head(kind string) string { return "02 " + kind + " 02 41 " }

// messages are the encoding of each kind of message, which is fixed within a version.
func messages() map[string]Message {
	with := func(m Message) Message {
		m.Sequence, m.Interval = 2, 65*time.Millisecond
		return m
	}
	about := Piece{About: 0x1122334455667788, Instance: Instance{0xaa, 15: 0xbb}, Sequence: 7, Back: 10 * time.Millisecond, Index: 1, Count: 300, Data: []byte("abc")}
	return map[string]Message{
		head("01") + "00 00": with(Message{Kind: KindHeartbeat}),
		head("01") + "02 0000000000000001 ffffffffffffffff 00":                                      with(Message{Kind: KindHeartbeat, Suspects: []NodeID{1, 1<<64 - 1}}),
		head("02") + "2a 0000000000000000 00 00 01 03 616263":                                       with(Message{Kind: KindState, Nonce: 42, Piece: Piece{Count: 1, Data: []byte("abc")}}),
		head("02") + "00 1122334455667788 aa0000000000000000000000000000bb 07 0a 01 ac02 03 616263": with(Message{Kind: KindState, Piece: about}),
		head("01") + "00 01 1122334455667788 aabbccdd ac02":                                         with(Message{Kind: KindHeartbeat, Known: []KnownState{{ID: 0x1122334455667788, Process: [4]byte{0xaa, 0xbb, 0xcc, 0xdd}, Sequence: 300}}}),
		head("03") + "1122334455667788 2a 05 02 0001 01ff":                                          with(Message{Kind: KindPull, About: 0x1122334455667788, Nonce: 42, MissingOf: 5, Missing: []uint16{1, 511}}),
		head("04") + "03": with(Message{Kind: KindAck, Acked: 3}),
	}
}

// states are the encoding of a state.
func states() map[string]State {
	return map[string]State{
		"01 00 00 00": {Phase: ownership.Active, Claims: ownership.Claims{}},
		"03 01 04 65746830 020000000001 06 01 04 c0a80100 18  02 04 c0a801f0 05 10 20010db8000000000000000000000001 80 02  01 04 c0a801f0": {
			Phase:  ownership.Restarting,
			Links:  []Link{{Name: "eth0", Hardware: [6]byte{2, 0, 0, 0, 0, 1}, IPv4: true, IPv6: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}},
			Claims: ownership.Claims{netip.MustParseAddr("192.168.1.240"): 5, netip.MustParseAddr("2001:db8::1"): 256},
			Held:   []netip.Addr{netip.MustParseAddr("192.168.1.240")},
		},
	}
}

func TestEncodingIsFixed(t *testing.T) {
	for digits, m := range messages() {
		want := unhex(t, digits)
		if got := AppendMessage(nil, &m); !cmp.Equal(got, want) {
			t.Errorf("Append(kind %d): got %x, want %x", m.Kind, got, want)
		}
		var got Message
		if err := Decode(want, &got); err != nil {
			t.Errorf("Decode(%x): %v", want, err)
		}
		if diff := cmp.Diff(m, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Decode(%x) (-want +got):\n%s", want, diff)
		}
	}
	for digits, s := range states() {
		want := unhex(t, digits)
		if got := SplitState(&s); !cmp.Equal(got, [][]byte{want}) {
			t.Errorf("Split: got %x, want %x", got, want)
		}
		got, err := JoinState([][]byte{want})
		if diff := cmp.Diff(s, got, byValue); diff != "" || err != nil {
			t.Errorf("Join(%x): error %v (-want +got):\n%s", want, err, diff)
		}
	}
}

func TestDecode_Refuses(t *testing.T) {
	state := head("02") + "00 "
	own := state + "0000000000000000 00 "
	for name, digits := range map[string]string{
		"nothing":                          "",
		"only a version":                   "02",
		"an unknown kind":                  head("09") + strings.Repeat("00", 40),
		"kind 0":                           head("00") + strings.Repeat("00", 40),
		"an interval beyond the bound":     "02 01 02 c1cf24 00",
		"a number without an end":          "02 01 " + strings.Repeat("ff", 11),
		"suspects beyond the bound":        head("01") + "41" + strings.Repeat("00", 65*8),
		"more suspects than bytes":         head("01") + "02" + strings.Repeat("00", 15),
		"states beyond the bound":          head("01") + "00 09" + strings.Repeat("00", 9*13),
		"more states than bytes":           head("01") + "00 02" + strings.Repeat("00", 25),
		"missing pieces beyond the bound":  head("03") + "0000000000000000 00 00 8104" + strings.Repeat("00", 513*2),
		"more missing pieces than bytes":   head("03") + "0000000000000000 00 00 02 000100",
		"a piece of none":                  own + "00 00 00",
		"an index that is the count":       own + "02 02 00",
		"a count beyond the bound":         own + "00 8120 00",
		"an index beyond int":              own + "ffffffffffffffffff01 ffffffffffffffffff01 00",
		"data beyond the bound":            own + "00 01 8108" + strings.Repeat("00", 1025),
		"more data than bytes":             own + "00 01 05 00000000",
		"an instance that ends too early":  state + "0000000000000001 00112233",
		"a time to be back beyond a bound": state + "0000000000000000 c1cf24 00 01 00",
	} {
		refused(t, name, unhex(t, digits), func(raw []byte) error { return Decode(raw, &Message{}) })
	}
}

func TestJoin_Refuses(t *testing.T) {
	for name, digits := range map[string]string{
		"nothing":                         "",
		"an unknown phase":                "09 00 00 00",
		"more links than bytes":           "00 7f 00",
		"links beyond the bound":          "00 8102" + strings.Repeat("00", 1<<13),
		"a link without a name":           "00 01 00" + strings.Repeat("00", 40),
		"a name of a link of 16 letters":  "00 01 10" + strings.Repeat("61", 16) + strings.Repeat("00", 40),
		"prefixes beyond the bound":       "00 01 0161 000000000000 00 41" + strings.Repeat("0400000000 00", 65) + "00 00",
		"an IPv4 prefix of 33 bits":       "00 01 0161 000000000000 00 01 04c0a80100 21 00 00",
		"an IPv6 prefix of 129 bits":      "00 01 0161 000000000000 00 01 10" + strings.Repeat("00", 16) + "81 00 00",
		"an address of 5 bytes":           "00 00 01 05 0102030405 01 00",
		"an address of no bytes":          "00 00 01 00 000000000000 00",
		"more claims than bytes":          "00 00 ffff03 04",
		"claims beyond the bound":         "00 00 818008" + strings.Repeat("00", 1<<16),
		"an epoch beyond the bound":       "00 00 01 0401020304 818080808080808040 00",
		"held addresses beyond the bound": "00 00 00 8108" + strings.Repeat("0400000000", 1025),
		"it ends before the held ones":    "00 00 00",
	} {
		refused(t, name, unhex(t, digits), func(raw []byte) error { _, err := JoinState([][]byte{raw}); return err })
	}
}

// refused fails unless decoding fails, and takes little more memory than the input has.
func refused(t *testing.T, name string, raw []byte, decode func([]byte) error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := decode(raw)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Errorf("%s: %x: got no error, want one", name, raw[:min(len(raw), 64)])
	}
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(16*len(raw)+16<<10); got > most {
		t.Errorf("%s: decoding %d bytes took %d bytes of memory, want at most %d", name, len(raw), got, most)
	}
}

func TestDecode_OtherVersions(t *testing.T) {
	raw := AppendMessage(nil, &Message{Kind: KindAck})
	for v := range 256 {
		raw[0] = byte(v)
		err := Decode(raw, &Message{})
		if is := errors.Is(err, ErrVersion); is == (v == protocolVersion) || (err == nil) != (v == protocolVersion) {
			t.Errorf("version %d: got error %v", v, err)
		}
	}
}

func TestIDOf(t *testing.T) {
	// The first 8 bytes of `printf node1 | sha256sum`.
	if got, want := IDOf("node1"), NodeID(0xca12f31b8cbf5f29); got != want {
		t.Errorf("IDOf(node1): got %x, want %x", got, want)
	}
}
