package ipam

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/lb"
)

// account lists the addresses that a Service holds. Most Services hold one address: for these,
// more stays nil.
type account struct {
	key   lb.ServiceKey
	first netip.Addr    // the lowest
	more  *[]netip.Addr // the other addresses, sorted; nil: none
	next  *account      // the next account with the same hash, see accountRegister
}

// addresses yields the held addresses, sorted. If the account is nil, it yields nothing.
func (c *account) addresses() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		if c == nil || !yield(c.first) || c.more == nil {
			return
		}
		for _, address := range *c.more {
			if !yield(address) {
				return
			}
		}
	}
}

func (c *account) add(address netip.Addr) {
	if !c.first.IsValid() {
		c.first = address
		return
	}
	if c.more == nil {
		c.more = new([]netip.Addr)
	}
	if address.Less(c.first) {
		c.first, address = address, c.first
	}
	i, _ := slices.BinarySearchFunc(*c.more, address, netip.Addr.Compare)
	*c.more = slices.Insert(*c.more, i, address)
}

// remove removes an address that is held, and reports whether the account is
// empty now. The caller drops an empty account.
func (c *account) remove(address netip.Addr) (empty bool) {
	if c.first != address {
		*c.more = slices.DeleteFunc(*c.more, func(x netip.Addr) bool { return x == address })
		return false
	}
	if c.more == nil || len(*c.more) == 0 {
		return true
	}
	c.first = (*c.more)[0]
	*c.more = slices.Delete(*c.more, 0, 1)
	return false
}
