package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

func addresses(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func TestCover(t *testing.T) {
	tests := []struct {
		name  string
		of    []netip.Addr
		limit int
		want  []string
	}{
		{name: "nothing is covered by nothing", limit: 4},
		{name: "neighbours are one range, in whatever order", of: addresses("10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.2"), limit: 4, want: []string{"10.0.0.1-10.0.0.3"}},
		{name: "gaps stay while there is room", of: addresses("10.0.0.1", "10.0.0.3"), limit: 2, want: []string{"10.0.0.1", "10.0.0.3"}},
		{
			name: "the smallest gap is closed first", of: addresses("10.0.0.1", "10.0.0.9", "10.0.0.12", "10.0.1.1"), limit: 3,
			want: []string{"10.0.0.1", "10.0.0.9-10.0.0.12", "10.0.1.1"},
		},
		{
			name: "gaps of IPv6 are wider than 64 bits", of: addresses("2001:db8::1", "2001:db8:0:1::", "2001:db8:0:1::ffff", "2001:db9::1"), limit: 2,
			want: []string{"2001:db8::1-2001:db8:0:1::ffff", "2001:db9::1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range CoveringRanges(tt.of, tt.limit) {
				got = append(got, r.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("cover (-want +got):\n%s", diff)
			}
		})
	}
}

// anyAddress draws addresses that are close to each other often enough, and of
// both families.
func anyAddress(v6 bool) *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		part := rapid.SampledFrom([]byte{0, 1, 2, 3, 127, 128, 254, 255})
		if v6 {
			var b [16]byte
			for _, i := range []int{0, 3, 4, 7, 8, 11, 12, 14, 15} {
				b[i] = part.Draw(t, "byte")
			}
			return netip.AddrFrom16(b)
		}
		return netip.AddrFrom4([4]byte{10, part.Draw(t, "byte"), part.Draw(t, "byte"), part.Draw(t, "byte")})
	})
}

func TestFilterPassesExactlyItsRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "IPv6")
		owned := rapid.SliceOfN(anyAddress(v6), 0, 100).Draw(t, "owned")
		if v6 {
			owned = slices.DeleteFunc(owned, netip.Addr.Is4In6)
		}
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		cover := CoveringRanges(owned, limit)
		if len(cover) > limit {
			t.Fatalf("%d ranges, want at most %d", len(cover), limit)
		}
		const offset = 6
		vm, err := bpf.NewVM(append(PassWithin(offset, cover), DropInstruction()))
		if err != nil {
			t.Fatal(err)
		}
		passes := func(a netip.Addr) bool {
			n, err := vm.Run(append(make([]byte, offset), a.AsSlice()...))
			if err != nil {
				t.Fatal(err)
			}
			return n > 0
		}
		for _, a := range owned {
			if !passes(a) {
				t.Fatalf("%s is owned and dropped", a)
			}
		}
		for _, a := range rapid.SliceOfN(anyAddress(v6), 0, 50).Draw(t, "others") {
			if _, want := lb.FindRange(cover, a); passes(a) != want {
				t.Fatalf("%s passes: got %v, want %v; ranges %v", a, !want, want, cover)
			}
		}
	})
}

func TestTheLargestProgramsAreSmall(t *testing.T) {
	var v4, v6, scattered []netip.Addr
	for i := range 200 {
		v4 = append(v4, netip.AddrFrom4([4]byte{192, 168, byte(i), byte(i)}))
		v6 = append(v6, netip.AddrFrom16([16]byte{0x20, 1, 13: byte(i), 15: byte(i)}))
		scattered = append(scattered, netip.AddrFrom16([16]byte{0x20, byte(i), 15: byte(i)}))
	}
	for name, tt := range map[string]struct {
		owned []netip.Addr
		limit int
	}{
		// 20 KiB for two programs, eight bytes for each instruction of the kernel's,
		// which makes up to two of one: below 640 they fit twice, whatever the kernel.
		"IPv4": {v4, 640}, "IPv6 of one network": {v6, 680},
		// These may have to do with fewer ranges.
		"IPv6 of many": {scattered, 1800},
	} {
		program := append(dropOtherHosts(), PassWithin(62, CoveringRanges(tt.owned, MaxRanges))...)
		if _, err := bpf.Assemble(program); err != nil {
			t.Fatal(err)
		}
		if len(program) > tt.limit {
			t.Errorf("%s: %d instructions, want at most %d", name, len(program), tt.limit)
		}
	}
}

func TestAFilterThatHasNoRoomIsMadeSmaller(t *testing.T) {
	var tried []int
	room := 16
	attach := func(ranges int) error {
		if tried = append(tried, ranges); ranges > room {
			return fmt.Errorf("attaching: %w", unix.ENOMEM)
		}
		return nil
	}
	if err := attachLargest(attach); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]int{64, 32, 16}, tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
	room = 0
	if err := attachLargest(attach); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("without any room: got %v, want %v", err, unix.ENOMEM)
	}
}
