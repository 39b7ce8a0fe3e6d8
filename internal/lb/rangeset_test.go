package lb

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rangesOf reads "10.0.0.1-10.0.0.9 ::1".
func rangesOf(t testing.TB, s string) (list []Range) {
	t.Helper()
	for item := range strings.FieldsSeq(s) {
		first, last, two := strings.Cut(item, "-")
		if !two {
			last = first
		}
		r, err := NewRange(netip.MustParseAddr(first), netip.MustParseAddr(last))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func inWords(ranges []Range) string {
	words := make([]string, 0, len(ranges))
	for _, r := range ranges {
		words = append(words, r.String())
	}
	return strings.Join(words, " ")
}

const (
	allFour = "0.0.0.0-255.255.255.255"
	allSix  = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
)

func TestUnion(t *testing.T) {
	tests := []struct{ name, ranges, want string }{
		{"nothing", "", ""},
		{"sorted, IPv4 first", "::1 10.0.0.9 10.0.0.1", "10.0.0.1 10.0.0.9 ::1"},
		{"those that touch are joined", "10.0.0.3 10.0.0.1-10.0.0.2 10.0.0.4-10.0.0.5", "10.0.0.1-10.0.0.5"},
		{"those that overlap are joined", "10.0.0.1-10.0.0.5 10.0.0.3-10.0.0.9", "10.0.0.1-10.0.0.9"},
		{"one inside of another goes", "10.0.0.1-10.0.0.9 10.0.0.2 10.0.0.9", "10.0.0.1-10.0.0.9"},
		{"the same twice is one", "10.0.0.1 10.0.0.1", "10.0.0.1"},
		{"a gap of one stays", "10.0.0.1 10.0.0.3", "10.0.0.1 10.0.0.3"},
		{"families do not touch", "255.255.255.255 ::", "255.255.255.255 ::"},
		{"nothing comes after the last address", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 255.255.255.255 0.0.0.0", "0.0.0.0 255.255.255.255 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"all of both", allSix + " 10.0.0.1 " + allFour + " ::1", allFour + " " + allSix},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ranges := rangesOf(t, tt.ranges)
			before := slices.Clone(ranges)
			if got := inWords(Union(ranges...)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if diff := cmp.Diff(inWords(before), inWords(ranges)); diff != "" {
				t.Errorf("the arguments have changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIntersectAndSubtract(t *testing.T) {
	tests := []struct{ name, x, y, common, rest string }{
		{"nothing", "", "", "", ""},
		{"nothing to subtract", "10.0.0.1", "", "", "10.0.0.1"},
		{"nothing to subtract from", "", "10.0.0.1", "", ""},
		{"neighbours", "10.0.0.2", "10.0.0.1 10.0.0.3", "", "10.0.0.2"},
		{"the same", "10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9", ""},
		{"from the front", "10.0.0.1-10.0.0.9", "10.0.0.0-10.0.0.3", "10.0.0.1-10.0.0.3", "10.0.0.4-10.0.0.9"},
		{"from the back", "10.0.0.1-10.0.0.9", "10.0.0.7-10.0.0.12", "10.0.0.7-10.0.0.9", "10.0.0.1-10.0.0.6"},
		{"the first and the last", "10.0.0.1-10.0.0.9", "10.0.0.1 10.0.0.9", "10.0.0.1 10.0.0.9", "10.0.0.2-10.0.0.8"},
		{"out of the middle", "10.0.0.1-10.0.0.9", "10.0.0.3 10.0.0.5-10.0.0.6", "10.0.0.3 10.0.0.5-10.0.0.6", "10.0.0.1-10.0.0.2 10.0.0.4 10.0.0.7-10.0.0.9"},
		{"one over several", "10.0.0.1 10.0.0.3 10.0.0.5-10.0.0.9", "10.0.0.2-10.0.0.6", "10.0.0.3 10.0.0.5-10.0.0.6", "10.0.0.1 10.0.0.7-10.0.0.9"},
		{"families", allFour + " " + allSix, "255.255.255.255 ::", "255.255.255.255 ::", "0.0.0.0-255.255.255.254 ::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"all of them", allFour + " " + allSix, allFour + " " + allSix, allFour + " " + allSix, ""},
		{"the last address", allSix, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"},
		{"another family", "10.0.0.1", allSix, "", "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, y := rangesOf(t, tt.x), rangesOf(t, tt.y)
			if got := inWords(Intersect(x, y)); got != tt.common {
				t.Errorf("x and y: got %q, want %q", got, tt.common)
			}
			if got := inWords(Intersect(y, x)); got != tt.common {
				t.Errorf("y and x: got %q, want %q", got, tt.common)
			}
			if got := inWords(Subtract(x, y)); got != tt.rest {
				t.Errorf("x without y: got %q, want %q", got, tt.rest)
			}
			if inWords(x) != tt.x || inWords(y) != tt.y {
				t.Errorf("the arguments: got %q and %q, want them as they were", inWords(x), inWords(y))
			}
		})
	}
}

func TestFind(t *testing.T) {
	ranges := rangesOf(t, "10.0.0.2-10.0.0.4 10.0.0.8 2001:db8::1-2001:db8::9")
	for address, want := range map[string]int{
		"10.0.0.2": 0, "10.0.0.4": 0, "10.0.0.8": 1, "2001:db8::5": 2,
		"10.0.0.1": -1, "10.0.0.5": -1, "10.0.0.7": -1, "10.0.0.9": -1, "2001:db8::": -1, "2001:db8::a": -1, "::ffff:10.0.0.2": -1,
	} {
		got, ok := FindRange(ranges, netip.MustParseAddr(address))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("Find(%s): got %d, %v, want %d", address, got, ok, want)
		}
	}
	if _, ok := FindRange(nil, netip.MustParseAddr("10.0.0.1")); ok {
		t.Error("Find in nothing: got true, want false")
	}
}

// domain are few addresses, with both ends of both families: of each byte of two
// that make a range of the fuzz test.
var domain = func() (list []netip.Addr) {
	for _, from := range []string{"0.0.0.0", "10.0.0.254", "255.255.255.252", "::", "2001:db8::ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc"} {
		for a, n := netip.MustParseAddr(from), 0; n < 4; n++ {
			list = append(list, a)
			a = a.Next()
		}
	}
	return list
}()

// fuzzRanges makes a range of every two bytes, if they are of one family.
func fuzzRanges(data []byte) (list []Range) {
	for ; len(data) >= 2; data = data[2:] {
		x, y := domain[int(data[0])%len(domain)], domain[int(data[1])%len(domain)]
		if r, err := NewRange(x, y); err == nil {
			list = append(list, r)
		}
	}
	return list
}

func inAny(list []Range, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(r Range) bool { return r.Contains(a) })
}

// FuzzRangeSets compares the sets with what is true of each address of the domain,
// and of the ones next to them.
func FuzzRangeSets(f *testing.F) {
	f.Add([]byte{0, 1, 4, 7, 12, 23}, []byte{5, 5, 13, 14})
	f.Add([]byte{0, 11, 12, 23}, []byte{0, 0, 11, 11, 12, 12, 23, 23})
	f.Add([]byte{4, 4, 5, 5, 6, 6, 4, 6}, []byte{})
	f.Add([]byte{1, 2, 2, 3, 16, 19}, []byte{1, 1, 2, 9, 17, 18})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		xs, ys := fuzzRanges(x), fuzzRanges(y)
		ux, uy := Union(xs...), Union(ys...)
		both, rest := Intersect(ux, uy), Subtract(ux, uy)
		for name, set := range map[string][]Range{"union": ux, "intersection": both, "difference": rest} {
			for i, r := range set {
				if r.Last.Less(r.First) || r.First.BitLen() != r.Last.BitLen() || i > 0 && !set[i-1].Last.Less(r.First) {
					t.Errorf("%s: got %s, want it sorted and disjoint", name, inWords(set))
				}
			}
		}
		for i := range ux[min(1, len(ux)):] {
			if ux[i].Last.Next() == ux[i+1].First {
				t.Errorf("union: got %s, want those that touch joined", inWords(ux))
			}
		}
		for _, a := range domain {
			for _, a := range []netip.Addr{a, a.Next(), a.Prev()} {
				if !a.IsValid() {
					continue
				}
				inX, inY := inAny(xs, a), inAny(ys, a)
				if got := inAny(ux, a); got != inX {
					t.Errorf("union of %s has %s: got %v, want %v", inWords(xs), a, got, inX)
				}
				if got := inAny(both, a); got != (inX && inY) {
					t.Errorf("%s and %s have %s: got %v, want %v", inWords(ux), inWords(uy), a, got, inX && inY)
				}
				if got := inAny(rest, a); got != (inX && !inY) {
					t.Errorf("%s without %s has %s: got %v, want %v", inWords(ux), inWords(uy), a, got, inX && !inY)
				}
				at, got := FindRange(ux, a)
				if got != inX || got && !ux[at].Contains(a) {
					t.Errorf("Find(%s) in %s: got %d, %v, want %v", a, inWords(ux), at, got, inX)
				}
			}
		}
	})
}
