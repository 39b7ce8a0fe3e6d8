package ipam

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

// fillAll asks until nothing is left, and returns what was given in this order.
func fillAll(t *testing.T, a *Allocator, families []lb.Family, atMost int) string {
	t.Helper()
	var words []string
	for i := range atMost {
		d := a.Assign(ask(fmt.Sprint("fill-", i), using(families)))
		if d.Refusal != nil {
			break
		}
		words = append(words, d.Keep[0].Address.String())
	}
	checkInside(t, a)
	return strings.Join(words, " ")
}

func TestAddressesAreGivenInOrder(t *testing.T) {
	tests := []struct {
		name string
		pool Pool
		held []string
		n    int // at most
		want string
	}{
		{name: "all of a range", pool: newPool("p", "10.0.0.0/30"), n: 9, want: "10.0.0.0 10.0.0.1 10.0.0.2 10.0.0.3"},
		{name: "ranges of one address", pool: newPool("p", "10.0.0.9 10.0.0.3 10.0.0.7"), n: 9, want: "10.0.0.3 10.0.0.7 10.0.0.9"},
		{name: "several ranges", pool: newPool("p", "10.9.0.1-10.9.0.2 10.0.255.255-10.1.0.1"), n: 9, want: "10.0.255.255 10.1.0.0 10.1.0.1 10.9.0.1 10.9.0.2"},
		{name: "without .0 and .255", pool: newPool("p", "10.0.0.254-10.0.1.1 10.0.3.255 10.0.4.0 10.0.4.2", avoiding), n: 9, want: "10.0.0.254 10.0.1.1 10.0.4.2"},
		{name: "all of IPv4", pool: newPool("p", "0.0.0.0/0"), n: 3, want: "0.0.0.0 0.0.0.1 0.0.0.2"},
		{name: "all of IPv4 without .0 and .255", pool: newPool("p", "0.0.0.0/0", avoiding), n: 2, want: "0.0.0.1 0.0.0.2"},
		{name: "the end of IPv4", pool: newPool("p", "255.255.255.254/31"), n: 9, want: "255.255.255.254 255.255.255.255"},
		{name: "a /64", pool: newPool("p", "2001:db8::/64"), n: 3, want: "2001:db8:: 2001:db8::1 2001:db8::2"},
		{name: "all of IPv6", pool: newPool("p", "::/0"), n: 3, want: ":: ::1 ::2"},
		{name: "the end of IPv6", pool: newPool("p", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"), n: 9, want: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{name: "across the lower 64 bits", pool: newPool("p", "2001:db8::ffff:ffff:ffff:fffe-2001:db8:0:1::1"), n: 9, want: "2001:db8::ffff:ffff:ffff:fffe 2001:db8::ffff:ffff:ffff:ffff 2001:db8:0:1:: 2001:db8:0:1::1"},
		{name: "one address before a /64", pool: newPool("p", "2001:db8::1 2001:db8:1::/64"), n: 3, want: "2001:db8::1 2001:db8:1:: 2001:db8:1::1"},
		{name: "IPv6 that looks like IPv4", pool: newPool("p", "::ffff:10.0.0.1-::ffff:10.0.0.2"), n: 9, want: "::ffff:10.0.0.1 ::ffff:10.0.0.2"},
		{name: "what is held is passed over, near", pool: newPool("p", "10.0.0.0/29"), held: []string{"10.0.0.0", "10.0.0.2", "10.0.0.7"}, n: 9, want: "10.0.0.1 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6"},
		{name: "what is held is passed over, far", pool: newPool("p", "10.0.0.0-10.0.0.2 10.1.0.255-10.1.2.0", without("10.1.1.2-10.1.1.254")), held: []string{"10.1.2.0", "10.1.1.255", "10.1.1.0"}, n: 9, want: "10.0.0.0 10.0.0.1 10.0.0.2 10.1.0.255 10.1.1.1"},
		{name: "the last of a large range is held", pool: newPool("p", "::/0"), held: []string{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1:0:0:0:0", "::1", "8000::"}, n: 2, want: ":: ::2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(tt.pool)
			for i, h := range tt.held {
				take(t, a, fmt.Sprint("held-", i), h+"@p")
			}
			families := []lb.Family{tt.pool.Listed[0].Family()}
			if got := fillAll(t, a, families, tt.n); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			for i, h := range tt.held {
				if got := holdersOf(a, h); got != fmt.Sprint("held-", i) {
					t.Errorf("holders of %s: got %q, want who held it", h, got)
				}
			}
		})
	}
}

// An address far from the start of a large range is stored outside of the slots until
// the slots have grown as far, and is given again if it is free by then.
func TestFarAddressesComeNear(t *testing.T) {
	for _, prefix := range []string{"10.0.0.0/8", "2001:db8::/32"} {
		t.Run(prefix, func(t *testing.T) {
			a := allocator(newPool("p", prefix))
			family := lb.FamilyOf(netip.MustParsePrefix(prefix).Addr())
			first := netip.MustParsePrefix(prefix).Addr()
			at := func(n int) netip.Addr {
				x := first
				for range n {
					x = x.Next()
				}
				return x
			}
			take(t, a, "kept", at(300).String()+"@p")
			take(t, a, "gone", at(301).String()+"@p")
			take(t, a, "edge", at(66).String()+"@p") // two are held: it can be reached or not
			take(t, a, "over", at(500).String()+"@p")
			if len(a.far) == 0 {
				t.Fatal("far: got nothing, want some of those: the test tests nothing else")
			}
			a.Release(at(301), service("gone"))
			a.Reserve(at(302), "p")
			got := strings.Fields(fillAll(t, a, []lb.Family{family}, 400))
			want := 0
			for _, address := range got {
				for want == 66 || want == 300 || want == 302 || want == 500 {
					want++
				}
				if address != at(want).String() {
					t.Fatalf("got %s, want %s", address, at(want))
				}
				want++
			}
			if len(a.far) != 1 { // at(500)
				t.Errorf("far: got %d, want one", len(a.far))
			}
			a.Release(at(300), service("kept"))
			a.Unreserve(at(302))
			for _, n := range []int{300, 302} {
				if got := fillAll(t, a, []lb.Family{family}, 401); !strings.Contains(got+" ", " "+at(n).String()+" ") {
					t.Errorf("%s was freed: got it not given", at(n))
				}
				a.Release(at(n), service("fill-400"))
				a.Reserve(at(n), "p")
			}
		})
	}
}

// The slots have only the needed part of a pool.
func TestLargePoolsAreNotInMemory(t *testing.T) {
	for _, prefix := range []string{"10.0.0.0/8", "::/0"} {
		a := allocator(newPool("p", prefix))
		for i := range 100 {
			d := a.Assign(ask(fmt.Sprint(i), using(v46)))
			a.Release(d.Keep[0].Address, d.Keep[0].Service)
		}
		last := rangesIn(prefix)[0].Last
		a.Hold(Holding{Address: last, Pool: "p", Service: service("last")}, lb.Sharing{})
		a.Release(last, service("last"))
		for _, s := range a.pools["p"].slots {
			if s != nil && (len(s.holders) > 70 || len(a.far) != 0) {
				t.Errorf("%s: got %d slots in memory and %d far, want few and none", prefix, len(s.holders), len(a.far))
			}
		}
	}
}

func TestNumbers(t *testing.T) {
	all := rangesIn("::/0")[0]
	tests := []struct {
		r       lb.Range
		start   uint64
		address string
		want    uint64
	}{
		{rangesIn("10.0.0.0/8")[0], 0, "10.0.0.0", 0},
		{rangesIn("10.0.0.0/8")[0], 5, "10.0.1.1", 262},
		{all, 0, "::1:0:0:0", 1 << 48},
		{all, 0, "::ffff:ffff:ffff:fffe", math.MaxUint64 - 1},
		{all, 0, "0:0:0:1::", math.MaxUint64},
		{all, 1, "::ffff:ffff:ffff:ffff", math.MaxUint64},
		{all, 0, "ffff::", math.MaxUint64},
		{rangesIn("2001:db8::ffff:ffff:ffff:ffff-2001:db8:1::")[0], 7, "2001:db8:0:1::2", 10},
	}
	for _, tt := range tests {
		if got := numberIn(tt.r, tt.start, addr(tt.address)); got != tt.want {
			t.Errorf("number of %s in %s from %d: got %d, want %d", tt.address, tt.r, tt.start, got, tt.want)
		}
	}
	if got := numberAfter(0, rangesIn("::/64")[0]); got != math.MaxUint64 {
		t.Errorf("after a /64: got %d, want the largest number", got)
	}
	if got := numberAfter(3, rangesIn("10.0.0.0/30")[0]); got != 7 {
		t.Errorf("after four from 3: got %d, want 7", got)
	}
}

func TestBuggyIn(t *testing.T) {
	for ranges, want := range map[string]int64{
		"10.0.0.0/24": 2, "10.0.0.1-10.0.0.254": 0, "10.0.0.0": 1, "10.0.0.255": 1, "10.0.0.255-10.0.1.0": 2, "10.0.0.1": 0,
		"10.0.0.0/8": 131072, "0.0.0.0/0": 1 << 25, "255.255.255.255": 1, "0.0.0.0": 1, "::/0": 0, "10.0.0.200-10.0.3.0": 6,
	} {
		r := rangesIn(ranges)[0]
		if got := countMistakable(r); got != want {
			t.Errorf("buggy addresses in %s: got %d, want %d", r, got, want)
		}
	}
}

// An address that got a slot when many were held is found there when few are
// left.
func TestAddressIsFreedWhenFewAreLeft(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.0/24"))
	first := fillAll(t, a, v4, 100)
	for i, address := range strings.Fields(first) { // the highest one last
		a.Release(addr(address), service(fmt.Sprint("fill-", i)))
	}
	checkEmpty(t, a)
	if got := fillAll(t, a, v4, 100); got != first {
		t.Errorf("filled again: got %s\nwant %s", got, first)
	}
}

// Each held address allows one more slot. The rest is in maps, which cost more.
func TestSlots_HaveNearbyAddresses(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.0/16"))
	fillAll(t, a, v4, 100)
	take(t, a, "near", "10.0.1.8@p") // number 264: the last one that 2*100+64 reaches
	if len(a.far) != 0 {
		t.Errorf("far: got %d, want none", len(a.far))
	}
	take(t, a, "far", "10.0.1.13@p")
	if len(a.far) != 1 {
		t.Errorf("far: got %d, want one", len(a.far))
	}
}
