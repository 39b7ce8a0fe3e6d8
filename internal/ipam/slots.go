package ipam

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"net/netip"
	"sort"

	"github.com/lbstack/lbstack/internal/lb"
)

// familySlots are the addresses of one family that a pool gives, numbered in ascending order, each with
// its first holder. Only the first addresses are in memory: at most about twice as many as were ever
// held at the same time. So the memory does not depend on the size of the pool.
type familySlots struct {
	ranges []lb.Range // sorted and disjoint
	starts []uint64   // number of the first address of each range; MaxUint64: the number does not fit into 64 bits
	avoid  bool       // addresses for which isMistakable is true have a number, but are not given
	total  *big.Int

	holders []*account // first holders by number; nil: free, or not given
	free    bitset     // numbers of the free addresses among those in memory
	held    int        // how many addresses are held or reserved, including addresses that are not in memory
	at      int        // index of the range that contains next
	next    netip.Addr // the first address that is not in memory; invalid: all addresses are in memory
}

func newFamilySlots(avoid bool) *familySlots { return &familySlots{avoid: avoid, total: new(big.Int)} }

// add appends a range, and returns the number of its first address.
func (s *familySlots) add(r lb.Range) (start uint64) {
	if n := len(s.ranges); n > 0 {
		start = numberAfter(s.starts[n-1], s.ranges[n-1])
	} else {
		s.next = r.First
	}
	s.ranges, s.starts = append(s.ranges, r), append(s.starts, start)
	s.total.Add(s.total, r.Size())
	if s.avoid {
		s.total.Sub(s.total, big.NewInt(countMistakable(r)))
	}
	return start
}

// numberAfter returns the number that follows the number of a range's last address.
func numberAfter(start uint64, r lb.Range) uint64 {
	number := numberIn(r, start, r.Last)
	if number == math.MaxUint64 {
		return number
	}
	return number + 1
}

// numberIn returns the number of an address in a range whose first address has the number start;
// MaxUint64 if the number does not fit into 64 bits.
func numberIn(r lb.Range, start uint64, a netip.Addr) uint64 {
	x, y := a.As16(), r.First.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(x[8:]), binary.BigEndian.Uint64(y[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(x[:8]), binary.BigEndian.Uint64(y[:8]), borrow)
	sum, carry := bits.Add64(start, low, 0)
	if high != 0 || carry != 0 {
		return math.MaxUint64
	}
	return sum
}

// address returns the address with a number. The address must be in memory.
func (s *familySlots) address(i uint64) netip.Addr {
	at := sort.Search(len(s.starts), func(k int) bool { return s.starts[k] > i }) - 1
	first := s.ranges[at].First
	b := first.As16()
	low, carry := bits.Add64(binary.BigEndian.Uint64(b[8:]), i-s.starts[at], 0)
	high, _ := bits.Add64(binary.BigEndian.Uint64(b[:8]), 0, carry)
	binary.BigEndian.PutUint64(b[8:], low)
	binary.BigEndian.PutUint64(b[:8], high)
	if first.Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// load brings the addresses up to a number into memory, unless the number is greater than about twice
// the number of held addresses. It returns whether the address with the number is in memory now. far has
// the holders of addresses that are not in memory. load moves holders from far into slots.
func (s *familySlots) load(i uint64, far map[netip.Addr]*account) bool {
	if i < uint64(len(s.holders)) {
		return true
	}
	if i > uint64(2*s.held+64) {
		return false
	}
	for uint64(len(s.holders)) <= i && s.next.IsValid() {
		s.grow(far)
	}
	return i < uint64(len(s.holders))
}

// grow brings one more address into memory.
func (s *familySlots) grow(far map[netip.Addr]*account) {
	c, held := far[s.next]
	if held {
		delete(far, s.next)
	}
	if !held && !(s.avoid && isMistakable(s.next)) {
		s.free.set(uint64(len(s.holders)))
	}
	s.holders = append(s.holders, c)
	if s.next != s.ranges[s.at].Last {
		s.next = s.next.Next()
		return
	}
	s.at++
	if s.next = (netip.Addr{}); s.at < len(s.ranges) {
		s.next = s.ranges[s.at].First
	}
}

// lowest returns the lowest free address. The address stays free until put records a holder.
func (s *familySlots) lowest(far map[netip.Addr]*account) (netip.Addr, bool) {
	for {
		if i, ok := s.free.lowest(); ok {
			return s.address(i), true
		}
		if !s.next.IsValid() {
			return netip.Addr{}, false
		}
		s.grow(far)
	}
}

// put records the first holder of the address with a number; nil: the address is free. The address must
// be in memory.
func (s *familySlots) put(i uint64, a netip.Addr, c *account) {
	s.holders[i] = c
	switch {
	case c != nil:
		s.free.clear(i)
	case !(s.avoid && isMistakable(a)):
		s.free.set(i)
	}
}
