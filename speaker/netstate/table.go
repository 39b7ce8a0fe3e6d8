package netstate

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Address is an address of an interface.
type Address struct {
	// Prefix is the address with the prefix length of its subnet.
	Prefix netip.Prefix
	// Flags are the flags that the kernel reports (IFA_F_...).
	Flags int
}

// State is the interfaces of the node and their addresses.
type State struct {
	// Links are the interfaces, in the order of the kernel. They must not be changed.
	Links []netlink.Link
	// Addresses are the addresses of each interface, sorted, by the index of the interface.
	Addresses map[int][]Address
}

// addressKey identifies an address of an interface. The interface may have the same IP address several times,
// with different prefix lengths.
type addressKey struct {
	index  int
	prefix netip.Prefix
}

// addressTable maps each address of each interface to its flags.
type addressTable map[addressKey]int

// addressEvent is an address that was added, changed or removed.
type addressEvent struct {
	addressKey
	flags int
	gone  bool
}

// apply applies an event, and returns whether the table changed. Some events change nothing: the kernel also
// reports an address when a router has only prolonged its lifetime.
func (t addressTable) apply(e addressEvent) bool {
	flags, had := t[e.addressKey]
	if e.gone {
		delete(t, e.addressKey)
		return had
	}
	t[e.addressKey] = e.flags
	return !had || flags != e.flags
}

// replaceAll makes the table equal to a list of the kernel, and returns whether the table changed.
func (t addressTable) replaceAll(list []netlink.Addr) (changed bool) {
	there := make(addressTable, len(list))
	for _, a := range list {
		if address, ok := netip.AddrFromSlice(a.IP); ok {
			ones, _ := a.Mask.Size()
			there[addressKey{a.LinkIndex, netip.PrefixFrom(address.Unmap(), ones)}] = a.Flags
		}
	}
	for k := range t {
		if _, is := there[k]; !is {
			changed = t.apply(addressEvent{addressKey: k, gone: true}) || changed
		}
	}
	for k, flags := range there {
		changed = t.apply(addressEvent{addressKey: k, flags: flags}) || changed
	}
	return changed
}

// retainLinks keeps the addresses of the given interfaces, and drops all others.
func (t addressTable) retainLinks(links []netlink.Link) {
	is := make(map[int]bool, len(links))
	for _, l := range links {
		is[l.Attrs().Index] = true
	}
	for k := range t {
		if !is[k.index] {
			delete(t, k)
		}
	}
}

// addresses returns the addresses of each interface.
func (t addressTable) addresses() map[int][]Address {
	all := map[int][]Address{}
	for k, flags := range t {
		all[k.index] = append(all[k.index], Address{k.prefix, flags})
	}
	for _, list := range all {
		slices.SortFunc(list, func(x, y Address) int { return x.Prefix.Compare(y.Prefix) })
	}
	return all
}

// decodeEvent decodes a message of the type RTM_NEWADDR or RTM_DELADDR (rtnetlink(7)); ok is false if the
// message is malformed. The local address of a point-to-point link gets the prefix length of a single address, as in
// ip-address(8).
func decodeEvent(kind uint16, data []byte) (e addressEvent, ok bool) {
	if len(data) < unix.SizeofIfAddrmsg {
		return addressEvent{}, false
	}
	header := nl.DeserializeIfAddrmsg(data)
	attributes, err := nl.ParseRouteAttr(data[header.Len():])
	if err != nil {
		return addressEvent{}, false
	}
	e = addressEvent{addressKey: addressKey{index: int(header.Index)}, flags: int(header.Flags), gone: kind == unix.RTM_DELADDR}
	var local, address netip.Addr
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_FLAGS:
			if len(a.Value) >= 4 {
				e.flags = int(nl.NativeEndian().Uint32(a.Value))
			}
		}
	}
	length := int(header.Prefixlen)
	if local.IsValid() && (local.Is6() || local != address) {
		address, length = local, local.BitLen()
	}
	e.prefix = netip.PrefixFrom(address, length)
	return e, e.prefix.IsValid()
}
