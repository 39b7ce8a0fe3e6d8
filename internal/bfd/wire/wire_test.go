package wire

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bfd"
)

// examples are packets, and what they are on the wire: RFC 5880 fixes that.
func examples() map[string]Packet {
	return map[string]Packet{
		// The first of a session, as bfdd sends it.
		"204003180000000100000000000f4240000493e000000000": {
			State: bfd.Down, Multiplier: 3, Mine: 1, DesiredMinTx: time.Second, RequiredMinRx: 300 * time.Millisecond,
		},
		"20e803180000000100000002000186a0000186a00000c350": {
			State: bfd.Up, Poll: true, Independent: true, Multiplier: 3, Mine: 1, Yours: 2,
			DesiredMinTx: 100 * time.Millisecond, RequiredMinRx: 100 * time.Millisecond, RequiredMinEchoRx: 50 * time.Millisecond,
		},
		"21d2ff18fffffffffffffffeffffffff0000000000000000": {
			Diagnostic: bfd.DetectionTimeExpired, State: bfd.Up, Final: true, Demand: true, Multiplier: 255, Mine: 1<<32 - 1, Yours: 1<<32 - 2,
			DesiredMinTx: MaxInterval,
		},
		"270001180000000100000002000000010000000100000000": {
			Diagnostic: bfd.AdministrativelyDown, State: bfd.AdminDown, Multiplier: 1, Mine: 1, Yours: 2,
			DesiredMinTx: time.Microsecond, RequiredMinRx: time.Microsecond,
		},
	}
}

func TestPacketsAreFixedOnTheWire(t *testing.T) {
	for want, p := range examples() {
		raw := Encode(p)
		if got := hex.EncodeToString(raw); got != want {
			t.Errorf("%+v:\ngot  %s\nwant %s", p, got, want)
		}
		back, err := Decode(raw)
		if diff := cmp.Diff(p, back); diff != "" || err != nil {
			t.Errorf("%s came back different (-want +got), error %v:\n%s", want, err, diff)
		}
	}
}

func TestTheRulesOfReception(t *testing.T) {
	good := "20c003180000000100000002000f4240000493e000000000"
	for _, tt := range []struct {
		name, packet string
		want         error
	}{
		{"a packet that is right", good, nil},
		{"what follows the packet is ignored", good + "ffff", nil},
		{"nothing", "", ErrLength},
		{"23 bytes", good[:46], ErrLength},
		{"version 0", "00" + good[2:], ErrVersion},
		{"version 2", "40" + good[2:], ErrVersion},
		{"a length below 24", "20c00317" + good[8:], ErrLength},
		{"a length beyond the payload", "20c00319" + good[8:], ErrLength},
		{"multiplier 0", "20c00018" + good[8:], ErrMultiplier},
		{"multipoint", "20c10318" + good[8:], ErrMultipoint},
		{"no discriminator of the sender", "20c0031800000000" + good[16:], ErrDiscriminator},
		{"no discriminator of the receiver in Up", "20c003180000000100000000" + good[24:], ErrNoSession},
		{"no discriminator of the receiver in Init", "208003180000000100000000" + good[24:], ErrNoSession},
		{"no discriminator of the receiver in Down", "204003180000000100000000" + good[24:], nil},
		{"no discriminator of the receiver in AdminDown", "200003180000000100000000" + good[24:], nil},
		{"authentication", "20c4031a" + good[8:] + "0000", ErrAuthentication},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := hex.DecodeString(tt.packet)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decode(raw); !errors.Is(err, tt.want) {
				t.Errorf("got the error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestIntervalsThatDoNotFitAreCut(t *testing.T) {
	p, err := Decode(Encode(Packet{State: bfd.Down, Multiplier: 1, Mine: 1, DesiredMinTx: 2 * MaxInterval, RequiredMinRx: -time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	if p.DesiredMinTx != MaxInterval || p.RequiredMinRx != 0 {
		t.Errorf("got %s and %s, want %s and 0s", p.DesiredMinTx, p.RequiredMinRx, MaxInterval)
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
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Decode(raw)
		if err != nil {
			return
		}
		again, err := Decode(Encode(p))
		if diff := cmp.Diff(p, again); diff != "" || err != nil {
			t.Errorf("encoded and decoded again it is different, error %v:\n%s", err, diff)
		}
	})
}
