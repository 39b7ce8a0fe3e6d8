package ipam

import (
	"encoding/binary"
	"testing"
)

func TestBitsetFindsTheLowest(t *testing.T) {
	var b bitset
	if i, ok := b.lowest(); ok {
		t.Errorf("empty: got %d, want nothing", i)
	}
	b.clear(7) // of nothing
	for _, i := range []uint64{1 << 20, 4096, 63, 64, 0} {
		b.set(i)
		b.set(i)
		if got, ok := b.lowest(); !ok || got > i {
			t.Errorf("after set(%d): got %d, %v", i, got, ok)
		}
	}
	for _, want := range []uint64{0, 63, 64, 4096, 1 << 20} {
		got, ok := b.lowest()
		if !ok || got != want {
			t.Errorf("lowest: got %d, %v, want %d", got, ok, want)
		}
		b.clear(got)
		b.clear(got)
	}
	if i, ok := b.lowest(); ok {
		t.Errorf("emptied: got %d, want nothing", i)
	}
}

// FuzzBitset compares it with a map: two bytes are a number, the first bit of the
// third whether it is set or cleared.
func FuzzBitset(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 64, 1, 16, 0, 1, 0, 0, 0})
	f.Add([]byte{255, 255, 1, 255, 254, 1, 255, 254, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bitset
		model := map[uint64]bool{}
		for ; len(data) >= 3; data = data[3:] {
			i := uint64(binary.BigEndian.Uint16(data)) * uint64(1+15*(data[2]>>1&1))
			if data[2]&1 == 1 {
				b.set(i)
				model[i] = true
			} else {
				b.clear(i)
				delete(model, i)
			}
			want, any := uint64(1<<63), false
			for j := range model {
				want, any = min(want, j), true
			}
			if got, ok := b.lowest(); ok != any || ok && got != want {
				t.Fatalf("lowest: got %d, %v, want %d, %v", got, ok, want, any)
			}
		}
	})
}
