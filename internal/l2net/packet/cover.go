package packet

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// MaxRanges is how many ranges a filter compares an address with at most. The program for 64 ranges has
// far fewer than the 4096 instructions that the kernel accepts.
const MaxRanges = 64

// CoveringRanges returns ranges, in order, that contain all the addresses. The addresses must be of one
// family. There are at most limit ranges. If the addresses form more runs of consecutive addresses than
// that, the ranges also contain the smallest gaps between the runs, so that they contain as few other
// addresses as possible.
func CoveringRanges(addresses []netip.Addr, limit int) []lb.Range {
	singles := make([]lb.Range, 0, len(addresses))
	for _, a := range addresses {
		singles = append(singles, lb.Range{First: a, Last: a})
	}
	runs := lb.Union(singles...)
	if len(runs) <= limit {
		return runs
	}
	keep := widestGaps(runs, limit-1)
	cover := []lb.Range{runs[0]}
	for i, run := range runs[1:] {
		if keep[i] {
			cover = append(cover, run)
		} else {
			cover[len(cover)-1].Last = run.Last
		}
	}
	return cover
}

// widestGaps returns the n widest gaps between runs, by the index of the run before each gap.
func widestGaps(runs []lb.Range, n int) map[int]bool {
	gaps := make([]int, len(runs)-1)
	for i := range gaps {
		gaps[i] = i
	}
	slices.SortStableFunc(gaps, func(x, y int) int {
		return distance(runs[y].Last, runs[y+1].First).compare(distance(runs[x].Last, runs[x+1].First))
	})
	keep := make(map[int]bool, n)
	for _, i := range gaps[:n] {
		keep[i] = true
	}
	return keep
}

// uint128 is a number of 128 bits: the distance between two addresses.
type uint128 struct{ high, low uint64 }

func (x uint128) compare(y uint128) int {
	return cmp.Or(cmp.Compare(x.high, y.high), cmp.Compare(x.low, y.low))
}

func distance(from, to netip.Addr) uint128 {
	x, y := from.As16(), to.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(y[8:]), binary.BigEndian.Uint64(x[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(y[:8]), binary.BigEndian.Uint64(x[:8]), borrow)
	return uint128{high: high, low: low}
}
