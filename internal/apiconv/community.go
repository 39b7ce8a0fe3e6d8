package apiconv

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/routes"
)

// largePrefix is the text before the first colon of a large community.
const largePrefix = "large"

// wellKnownCommunities has the well-known communities by name (IANA, "BGP Well-known Communities").
var wellKnownCommunities = map[string]routes.Community{
	"graceful-shutdown":   routes.GracefulShutdown,
	"accept-own":          0xFFFF0001,
	"llgr-stale":          0xFFFF0006,
	"no-llgr":             0xFFFF0007,
	"blackhole":           0xFFFF029A,
	"no-export":           0xFFFFFF01,
	"no-advertise":        0xFFFFFF02,
	"no-export-subconfed": 0xFFFFFF03,
	"no-peer":             0xFFFFFF04,
}

// AnyCommunity is a standard (RFC 1997) or a large community (RFC 8092).
type AnyCommunity struct {
	// IsLarge means that Large is set. Otherwise Standard is set.
	IsLarge  bool
	Standard routes.Community
	Large    routes.LargeCommunity
}

// String returns the community as numbers, in the form that ParseCommunity reads.
func (c AnyCommunity) String() string {
	if c.IsLarge {
		return fmt.Sprintf("%s:%d:%d:%d", largePrefix, c.Large.Global, c.Large.Local1, c.Large.Local2)
	}
	return fmt.Sprintf("%d:%d", c.Standard>>16, c.Standard&0xFFFF)
}

// ParseCommunity parses a community: numbers, as in "65000:100" or "large:65000:1:2", or a well-known name.
func ParseCommunity(s string) (AnyCommunity, error) {
	if c, ok := wellKnownCommunities[s]; ok {
		return AnyCommunity{Standard: c}, nil
	}
	parts := strings.Split(s, ":")
	switch {
	case len(parts) == 2:
		n, err := parseNumbers(s, parts, 16)
		if err != nil {
			return AnyCommunity{}, err
		}
		return AnyCommunity{Standard: routes.Community(n[0]<<16 | n[1])}, nil
	case len(parts) == 4 && parts[0] == largePrefix:
		n, err := parseNumbers(s, parts[1:], 32)
		if err != nil {
			return AnyCommunity{}, err
		}
		return AnyCommunity{IsLarge: true, Large: routes.LargeCommunity{Global: n[0], Local1: n[1], Local2: n[2]}}, nil
	}
	return AnyCommunity{}, fmt.Errorf("%q is not a community: it must be like 65000:100, large:65000:1:2 or no-export", s)
}

func parseNumbers(s string, parts []string, bits int) ([]uint32, error) {
	numbers := make([]uint32, 0, len(parts))
	for _, part := range parts {
		n, err := strconv.ParseUint(part, 10, bits)
		if err != nil {
			return nil, fmt.Errorf("%q is not a community: %q is not a number from 0 to %d", s, part, uint64(1)<<bits-1)
		}
		numbers = append(numbers, uint32(n))
	}
	return numbers, nil
}

// CommunityAliases are the communities that Community objects define, by name.
type CommunityAliases map[string]AnyCommunity

// ParseCommunities reads all Community objects together. If two objects define the same name, the
// definition in the older object is used. The keys of the errors are the names of the objects. If an
// object has an error, its valid definitions are used nevertheless.
func ParseCommunities(objects []v1beta1.Community) (CommunityAliases, map[string]*SpecError) {
	byAge := make([]*v1beta1.Community, 0, len(objects))
	for i := range objects {
		byAge = append(byAge, &objects[i])
	}
	slices.SortFunc(byAge, func(a, b *v1beta1.Community) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	aliases, owner, wrong := CommunityAliases{}, map[string]string{}, map[string]*SpecError{}
	for _, object := range byAge {
		for i, item := range object.Spec.Communities {
			refuse := func(reason, format string, args ...any) {
				if wrong[object.Name] == nil {
					wrong[object.Name] = specError(reason, fmt.Sprintf("spec.communities[%d]", i), fmt.Errorf(format, args...))
				}
			}
			value, err := parseAlias(item)
			older, taken := owner[item.Name]
			switch {
			case err != nil:
				refuse(v1beta1.ReasonInvalidCommunity, "%w", err)
			case taken && older == object.Name:
				refuse(v1beta1.ReasonDuplicateAlias, "the name %q is defined twice in the Community %s", item.Name, object.Name)
			case taken:
				refuse(v1beta1.ReasonDuplicateAlias, "the name %q of the Community %s is already defined in the Community %s, which is older", item.Name, object.Name, older)
			default:
				aliases[item.Name], owner[item.Name] = value, object.Name
			}
		}
	}
	return aliases, wrong
}

func parseAlias(item v1beta1.CommunityAlias) (AnyCommunity, error) {
	value, err := ParseCommunity(string(item.Value))
	if err != nil {
		return AnyCommunity{}, err
	}
	if strings.Contains(item.Name, ":") || item.Name == "" {
		return AnyCommunity{}, fmt.Errorf("%q cannot be the name of a community", item.Name)
	}
	if known, ok := wellKnownCommunities[item.Name]; ok && value != (AnyCommunity{Standard: known}) {
		return AnyCommunity{}, fmt.Errorf("%q is the name of a well-known community and cannot mean %s", item.Name, item.Value)
	}
	return value, nil
}

// resolve returns the community for an item of spec.communities of an advertisement.
func (a CommunityAliases) resolve(item v1beta1.CommunityReference) (AnyCommunity, *SpecError) {
	name := string(item)
	if value, ok := a[name]; ok {
		return value, nil
	}
	value, err := ParseCommunity(name)
	switch {
	case err == nil:
		return value, nil
	case strings.Contains(name, ":"):
		return value, &SpecError{Reason: v1beta1.ReasonInvalidCommunity, err: err}
	}
	return value, &SpecError{Reason: v1beta1.ReasonUnknownCommunity, err: fmt.Errorf("%q is neither a name in a Community nor a well-known community", name)}
}
