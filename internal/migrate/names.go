package migrate

import (
	"fmt"
	"regexp"
	"strings"
)

// maxNameLength is the maximum length of the name of an item of a stack (v1beta1.ObjectName).
const maxNameLength = 63

var (
	labelPattern  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	notLabelChars = regexp.MustCompile(`[^a-z0-9]+`)
)

// isDNSLabel reports whether a name is a DNS label, as the names of items and of namespaces must be.
func isDNSLabel(name string) bool {
	return len(name) <= maxNameLength && labelPattern.MatchString(name)
}

// itemNames converts names of the input into names of items of a stack, which are DNS labels.
type itemNames struct {
	// given maps "list/original name" to the name in the stack. taken has "list/name" of all names in the stack.
	given map[string]string
	taken map[string]bool
}

func newItemNames() itemNames { return itemNames{given: map[string]string{}, taken: map[string]bool{}} }

// nameOf returns the name that an item with this original name gets in a list of the stack. Within a list,
// the same original name always gets the same name, and different original names get different names.
func (n itemNames) nameOf(list, original string) string {
	if name, ok := n.given[list+"/"+original]; ok {
		return name
	}
	name := original
	if !isDNSLabel(name) {
		if name = strings.Trim(notLabelChars.ReplaceAllString(strings.ToLower(name), "-"), "-"); name == "" {
			name = "unnamed"
		}
		name = strings.TrimRight(name[:min(len(name), maxNameLength)], "-")
	}
	for i, base := 2, name; n.taken[list+"/"+name]; i++ {
		suffix := fmt.Sprintf("-%d", i)
		name = strings.TrimRight(base[:min(len(base), maxNameLength-len(suffix))], "-") + suffix
	}
	n.given[list+"/"+original], n.taken[list+"/"+name] = name, true
	return name
}
