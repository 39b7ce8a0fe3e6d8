package reports

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
)

// Link is an interface that a node can announce on.
type Link struct {
	// Name of the interface.
	Name string
	// Families of the addresses that can be announced there.
	Families []lb.Family
	// Subnets of the interface's own addresses.
	Subnets []netip.Prefix
}

// SameLinks reports whether two lists are the same.
func SameLinks(x, y []Link) bool {
	return slices.EqualFunc(x, y, func(x, y Link) bool {
		return x.Name == y.Name && slices.Equal(x.Families, y.Families) && slices.Equal(x.Subnets, y.Subnets)
	})
}

// Reaches reports whether the address is in a subnet of one of the links.
func (r Report) Reaches(address netip.Addr) bool {
	return slices.ContainsFunc(r.Links, func(l Link) bool { return l.reaches(address) })
}

func (l Link) reaches(address netip.Addr) bool {
	return slices.ContainsFunc(l.Subnets, func(p netip.Prefix) bool { return p.Contains(address) })
}

// HasNearLink reports whether the node has a link that can announce the address and that has a subnet
// with the address. It is false for a candidate with a list of interfaces.
func (r Report) HasNearLink(c *ownership.Candidate, address netip.Addr) bool {
	return len(c.Interfaces) == 0 && slices.ContainsFunc(r.Links, func(l Link) bool {
		return slices.Contains(l.Families, lb.FamilyOf(address)) && l.reaches(address)
	})
}

// WhyUnable returns why no link of the node can announce an address, as the part of a sentence that
// follows the node's name. The result is empty if a link can announce the address, or if not all links
// are known (LinksBounded). speaker/layer2 chooses links by the same rules. near means that HasNearLink
// is true for at least one candidate of the address.
func (r Report) WhyUnable(c *ownership.Candidate, address netip.Addr, near bool) string {
	if r.LinksBounded {
		return ""
	}
	named := r.Links
	if len(c.Interfaces) > 0 {
		named = slices.DeleteFunc(slices.Clone(r.Links), func(l Link) bool { return !slices.Contains(c.Interfaces, l.Name) })
	}
	if len(named) == 0 {
		if len(c.Interfaces) == 0 {
			return "has no interface to announce on"
		}
		return fmt.Sprintf("has no interface %s to announce on, only %s", strings.Join(c.Interfaces, " or "), describeLinks(r.Links))
	}
	family := lb.FamilyOf(address)
	able := slices.DeleteFunc(slices.Clone(named), func(l Link) bool { return !slices.Contains(l.Families, family) })
	if len(able) == 0 {
		kind := "IPv4"
		if family == lb.IPv6 {
			kind = "IPv6 link-local"
		}
		return fmt.Sprintf("has no %s address on %s", kind, describeLinks(named))
	}
	if (c.RequireSubnet || near && len(c.Interfaces) == 0) && !slices.ContainsFunc(able, func(l Link) bool { return l.reaches(address) }) {
		return fmt.Sprintf("has no interface in a subnet of %s, only %s", address, describeLinks(able))
	}
	return ""
}

// maxNamedLinks is how many links a sentence names at most, and how many subnets of each link. Further links
// are counted, and further subnets are left out.
const maxNamedLinks = 3

// describeLinks names links with their subnets.
func describeLinks(links []Link) string {
	if len(links) == 0 {
		return "none"
	}
	parts := make([]string, 0, maxNamedLinks+1)
	for _, l := range links[:min(len(links), maxNamedLinks)] {
		part := l.Name
		for i, p := range l.Subnets[:min(len(l.Subnets), maxNamedLinks)] {
			part += []string{" (", " "}[min(i, 1)] + p.String()
		}
		if len(l.Subnets) > 0 {
			part += ")"
		}
		parts = append(parts, part)
	}
	if more := len(links) - maxNamedLinks; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}
