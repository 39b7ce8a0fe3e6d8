package ipam

import (
	"hash/maphash"
	"iter"

	"github.com/lbstack/lbstack/internal/lb"
)

// accountRegister finds the account of a Service. It is a map from the hash of the key to the account,
// which contains the key itself. It needs half the memory of a map from the key to the account. It is
// also faster, since access to memory takes most of the time.
type accountRegister struct {
	seed  maphash.Seed
	heads map[uint64]*account // accounts with the same hash are chained by next
}

func newAccountRegister() accountRegister {
	return accountRegister{seed: maphash.MakeSeed(), heads: map[uint64]*account{}}
}

func (r accountRegister) get(key lb.ServiceKey) *account {
	for c := r.heads[maphash.Comparable(r.seed, key)]; c != nil; c = c.next {
		if c.key == key {
			return c
		}
	}
	return nil
}

func (r accountRegister) add(c *account) {
	hash := maphash.Comparable(r.seed, c.key)
	c.next = r.heads[hash]
	r.heads[hash] = c
}

func (r accountRegister) remove(gone *account) {
	hash := maphash.Comparable(r.seed, gone.key)
	head := r.heads[hash]
	switch {
	case head == gone && gone.next == nil:
		delete(r.heads, hash)
	case head == gone:
		r.heads[hash] = gone.next
	default:
		for c := head; c != nil; c = c.next {
			if c.next == gone {
				c.next = gone.next
				return
			}
		}
	}
}

func (r accountRegister) all() iter.Seq[*account] {
	return func(yield func(*account) bool) {
		for _, head := range r.heads {
			for c := head; c != nil; c = c.next {
				if !yield(c) {
					return
				}
			}
		}
	}
}
