package wire

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// examples are one message of each kind, and what it is on the wire: that is fixed.
func examples() map[string]Message {
	head := Message{From: "node1", Incarnation: 300, Sequence: 2, Interval: 65 * time.Millisecond}
	with := func(change func(*Message)) Message {
		m := head
		change(&m)
		return m
	}
	return map[string]Message{
		"0101056e6f646531ac02024101056e6f64653200": with(func(m *Message) { m.Kind, m.Suspects = KindBeat, []lb.NodeName{"node2"} }),
		"0103056e6f646531ac0202412a00":             with(func(m *Message) { m.Kind, m.Nonce = KindPull, 42 }),
		"0104056e6f646531ac020241070300":           with(func(m *Message) { m.Kind, m.AckedIncarnation, m.AckedSequence = KindAck, 7, 3 }),
		"0102056e6f646531ac02024100030a01046574683002000000000106010" + "4c0a8010018" + "0104c0a801f005" + "0104c0a801f0" + "00": with(func(m *Message) {
			m.Kind = KindState
			m.State = State{
				Phase: ownership.Restarting, Back: 10 * time.Millisecond,
				Links:  []Link{{Name: "eth0", Hardware: [6]byte{2, 0, 0, 0, 0, 1}, IPv4: true, IPv6: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}},
				Claims: ownership.Claims{netip.MustParseAddr("192.168.1.240"): 5}, Held: []netip.Addr{netip.MustParseAddr("192.168.1.240")},
			}
		}),
	}
}

func TestMessagesAreFixedOnTheWire(t *testing.T) {
	for want, m := range examples() {
		packet := Encode(&m)
		if got := hex.EncodeToString(packet); got != want {
			t.Errorf("kind %d: got %s, want %s", m.Kind, got, want)
		}
		back, err := Decode(packet)
		if diff := cmp.Diff(&m, back, byValue); diff != "" || err != nil {
			t.Errorf("kind %d came back different (-want +got), error %v:\n%s", m.Kind, err, diff)
		}
	}
}

func TestWhatIsWrongIsRefused(t *testing.T) {
	for name, packet := range map[string]string{
		"nothing":                "",
		"an unknown kind":        "0109056e6f646531ac020241",
		"a name without an end":  "010105",
		"no name":                "010100ac02024100",
		"more suspects than fit": "0101056e6f646531ac020241ff01",
		"an address of 5 bytes":  "0102056e6f646531ac0202410001000001050102030405",
		"a prefix of 33 bits":    "0102056e6f646531ac0202410001000104657468300200000000010601" + "04c0a80100" + "21" + "00",
		"an unknown phase":       "0102056e6f646531ac0202410009000000",
	} {
		raw, err := hex.DecodeString(packet)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := Decode(raw); err == nil {
			t.Errorf("%s: got %+v, want an error", name, m)
		}
	}
	if _, err := Decode([]byte{9, 1}); !errors.Is(err, ErrVersion) {
		t.Errorf("another version: got %v, want ErrVersion", err)
	}
}

func FuzzDecode(f *testing.F) {
	for packet := range examples() {
		raw, err := hex.DecodeString(packet)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := Decode(packet)
		if err != nil {
			return
		}
		again, err := Decode(Encode(m))
		if diff := cmp.Diff(m, again, byValue, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("encoded and decoded again it is different, error %v:\n%s", err, diff)
		}
	})
}
