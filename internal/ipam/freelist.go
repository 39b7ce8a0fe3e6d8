package ipam

import (
	"container/heap"
	"net/netip"

	"github.com/lbstack/lbstack/internal/lb"
)

// freeList finds the lowest free address of a range without knowing each of
// them: addresses from next on were never looked at, and below it those in
// holes are free again. It holds memory for released addresses only.
type freeList struct {
	rng   lb.Range
	next  netip.Addr // invalid once the range was walked to its end
	holes addressHeap
	known map[netip.Addr]struct{} // what is in holes
}

func newFreeList(r lb.Range) *freeList {
	return &freeList{rng: r, next: r.First, known: map[netip.Addr]struct{}{}}
}

// lowest returns the lowest address that is not held. It stays free: the
// caller holds it by recording it.
func (f *freeList) lowest(held func(netip.Addr) bool) (netip.Addr, bool) {
	for len(f.holes) > 0 {
		if !held(f.holes[0]) {
			return f.holes[0], true
		}
		delete(f.known, f.holes[0])
		heap.Pop(&f.holes)
	}
	for f.next.IsValid() {
		if !held(f.next) {
			return f.next, true
		}
		if f.next == f.rng.Last {
			f.next = netip.Addr{}
		} else {
			f.next = f.next.Next()
		}
	}
	return netip.Addr{}, false
}

// release notes that an address of the range is free again.
func (f *freeList) release(a netip.Addr) {
	if !f.rng.Contains(a) || (f.next.IsValid() && !a.Less(f.next)) {
		return
	}
	if _, ok := f.known[a]; ok {
		return
	}
	f.known[a] = struct{}{}
	heap.Push(&f.holes, a)
}

type addressHeap []netip.Addr

func (h addressHeap) Len() int           { return len(h) }
func (h addressHeap) Less(i, j int) bool { return h[i].Less(h[j]) }
func (h addressHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *addressHeap) Push(x any)        { *h = append(*h, x.(netip.Addr)) }
func (h *addressHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
