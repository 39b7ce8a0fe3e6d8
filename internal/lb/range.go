package lb

import (
	"fmt"
	"math/big"
	"net/netip"
)

// Range is the addresses from First to Last, both included, of one family.
// NewRange and RangeOf make valid ranges.
type Range struct {
	First, Last netip.Addr
}

// NewRange returns the range from first to last. The two must be of one
// family, without zone, and in order.
func NewRange(first, last netip.Addr) (Range, error) {
	switch {
	case !first.IsValid() || !last.IsValid():
		return Range{}, fmt.Errorf("a range needs two addresses")
	case first.Zone() != "" || last.Zone() != "":
		return Range{}, fmt.Errorf("%s-%s: addresses with a zone cannot be given out", first, last)
	case FamilyOf(first) != FamilyOf(last):
		return Range{}, fmt.Errorf("%s-%s: the first address is %s and the last one is %s", first, last, FamilyOf(first), FamilyOf(last))
	case last.Less(first):
		return Range{}, fmt.Errorf("%s-%s: the first address is after the last one", first, last)
	}
	return Range{First: first, Last: last}, nil
}

// RangeOf returns all addresses of a prefix, the first and the last one
// included. It ignores the bits of the address after the prefix length.
func RangeOf(p netip.Prefix) Range {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return Range{First: p.Addr(), Last: end}
}

// Contains reports whether an address is in the range.
func (r Range) Contains(a netip.Addr) bool {
	return FamilyOf(a) == r.Family() && !a.Less(r.First) && !r.Last.Less(a)
}

// Overlaps reports whether the two ranges have an address in common.
func (r Range) Overlaps(other Range) bool {
	return r.Family() == other.Family() && !r.Last.Less(other.First) && !other.Last.Less(r.First)
}

// Family returns the family of the addresses.
func (r Range) Family() Family { return FamilyOf(r.First) }

// Size returns how many addresses the range has: up to 2^128.
func (r Range) Size() *big.Int {
	size := new(big.Int).SetBytes(r.Last.AsSlice())
	size.Sub(size, new(big.Int).SetBytes(r.First.AsSlice()))
	return size.Add(size, big.NewInt(1))
}

// String returns first-last, or the address if there is only one.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}
