package eligibility

import (
	"iter"
	"strconv"

	"github.com/lbstack/lbstack/internal/lb"
)

// sharedList returns the same slice for all equal lists of candidates, so that lists can be compared
// by their address in memory.
func (r *resolver) sharedList(list []Candidate) []Candidate {
	if len(list) == 0 {
		return nil
	}
	key := keyOf(list)
	if known, has := r.lists[key]; has {
		return known
	}
	r.lists[key] = list
	return list
}

// dropUnused empties the caches, except for the lists that are in use.
func (r *resolver) dropUnused(inUse iter.Seq[[]Candidate]) {
	r.ofPool, r.outcomes, r.lists = map[lb.PoolName][]int{}, map[outcomeKey][]Candidate{}, map[string][]Candidate{}
	kept := map[*Candidate]bool{}
	for list := range inUse {
		if len(list) > 0 && !kept[&list[0]] {
			kept[&list[0]] = true
			r.lists[keyOf(list)] = list
		}
	}
}

// keyOf returns a key that contains all properties of the candidates.
func keyOf(list []Candidate) string {
	var key []byte
	for i := range list {
		c := &list[i]
		key = strconv.AppendQuote(key, string(c.Node))
		key = strconv.AppendBool(key, c.RequireSubnet)
		key = strconv.AppendInt(key, int64(c.Preference), 10)
		key = strconv.AppendBool(key, c.Requested)
		for _, name := range c.Interfaces {
			key = strconv.AppendQuote(key, name)
		}
		key = append(key, ';')
	}
	return string(key)
}
