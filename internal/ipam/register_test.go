package ipam

import (
	"fmt"
	"hash/maphash"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

// Hashes of 64 bits do not collide in a test, so the chain is built by hand: under
// the hash of one key, accounts of other keys.
func TestRegisterRemovesFromAChain(t *testing.T) {
	for length := 1; length <= 4; length++ {
		for gone := range length {
			t.Run(fmt.Sprintf("%d of %d", gone, length), func(t *testing.T) {
				r := newAccountRegister()
				chain := make([]*account, length)
				for i := range chain {
					chain[i] = &account{key: lb.ServiceKey{Name: fmt.Sprint(i)}}
				}
				for i, c := range chain[1:] {
					chain[i].next = c
				}
				hash := maphash.Comparable(r.seed, chain[gone].key)
				r.heads[hash] = chain[0]
				if got := r.get(chain[gone].key); got != chain[gone] {
					t.Errorf("get: got %v, want the one of the key", got)
				}
				r.remove(chain[gone])
				if got := r.get(chain[gone].key); got != nil {
					t.Errorf("get after remove: got %v, want none", got)
				}
				var want, got []string
				for i := range chain {
					if i != gone {
						want = append(want, fmt.Sprint(i))
					}
				}
				for c := range r.all() {
					got = append(got, c.key.Name)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("left (-want +got):\n%s", diff)
				}
				if _, ok := r.heads[hash]; ok != (length > 1) {
					t.Errorf("head: got %v, want %v", ok, length > 1)
				}
			})
		}
	}
}

func TestRegisterAddsToAChain(t *testing.T) {
	r := newAccountRegister()
	x, y := &account{key: service("x")}, &account{key: service("y")}
	r.heads[maphash.Comparable(r.seed, y.key)] = x
	r.add(y)
	var got []string
	for c := range r.all() {
		got = append(got, c.key.Name)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"x", "y"}, got); diff != "" || r.get(y.key) != y {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	for range r.all() { // may be left early
		break
	}
}
