package ipam

import (
	"fmt"
	"slices"
	"sort"

	"github.com/lbstack/lbstack/internal/lb"
)

// Overlap is what a pool has in common with an older one, or with itself.
type Overlap struct {
	// Range of the pool that is also elsewhere.
	Range lb.Range
	// Other pool that has it, or the pool itself.
	Other lb.PoolName
	// OtherRange is the range there.
	OtherRange lb.Range
}

// String tells the overlap as part of a sentence.
func (o Overlap) String() string {
	return fmt.Sprintf("%s overlaps %s of the pool %q", o.Range, o.OtherRange, o.Other)
}

// Check finds for each pool the first overlap with a pool that stands before it
// in the list, or inside itself. Pass the pools oldest first: the older pool
// goes on as if the younger one did not exist.
//
// Inserting keeps the list sorted, so a look-up costs a logarithm and an edit
// a copy: pools have hundreds of ranges at most.
func Check(oldestFirst []Pool) map[lb.PoolName]Overlap {
	found := map[lb.PoolName]Overlap{}
	var accepted []owned
	for _, p := range oldestFirst {
		mine := slices.Clone(accepted)
		bad := false
		for _, r := range p.Ranges {
			if other, ok := overlapping(mine, r); ok {
				found[p.Name] = Overlap{Range: r, Other: other.pool, OtherRange: other.rng}
				bad = true
				break
			}
			mine = insert(mine, owned{rng: r, pool: p.Name})
		}
		if !bad {
			accepted = mine
		}
	}
	return found
}

// owned is a range and the pool that has it. Lists of them are sorted by the
// first address and free of overlaps.
type owned struct {
	rng  lb.Range
	pool lb.PoolName
}

func overlapping(list []owned, r lb.Range) (owned, bool) {
	// In a sorted list without overlaps, the last addresses are sorted as well.
	i := sort.Search(len(list), func(i int) bool { return !list[i].rng.Last.Less(r.First) })
	if i < len(list) && list[i].rng.Overlaps(r) {
		return list[i], true
	}
	return owned{}, false
}

func insert(list []owned, o owned) []owned {
	i := sort.Search(len(list), func(i int) bool { return o.rng.First.Less(list[i].rng.First) })
	return slices.Insert(list, i, o)
}
