package inspect

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// plannedLists are the lists in the spec of a stack whose items a plan compares. Of the other fields, a plan
// shows that they change, but not how.
var plannedLists = []string{"ipAddressPools", "l2Advertisements", "bgpPeers", "bgpAdvertisements", "communities"}

// ItemChange is the change of an item of one of the plannedLists. The effect of some fields depends on the
// nodes, for example the effect of the field interfaces of an L2Advertisement. A plan does not show such an
// effect.
type ItemChange struct {
	// List is the name of the list in the spec.
	List string `json:"list"`
	// Name is the name of the item.
	Name string `json:"name"`
	// What is "is added", "is removed" or "changes".
	What string `json:"what"`
	// Fields are the fields of the item that change, sorted.
	Fields []string `json:"fields,omitempty"`
}

// String returns a line for people.
func (i ItemChange) String() string {
	text := "spec." + i.List + "[" + i.Name + "] " + i.What
	if len(i.Fields) > 0 {
		text += ": " + strings.Join(i.Fields, ", ")
	}
	return text
}

// addItems compares the planned lists of two specs, as decoded from JSON, and adds the items that differ to the changes.
func (c *Changes) addItems(before, after map[string]any) {
	for _, list := range plannedLists {
		old, now := itemsOf(before[list]), itemsOf(after[list])
		for _, name := range sortedKeys(old, now) {
			x, had := old[name]
			y, has := now[name]
			change := ItemChange{List: list, Name: name}
			switch {
			case !had:
				change.What = "is added"
			case !has:
				change.What = "is removed"
			default:
				if change.What, change.Fields = "changes", differingFields(x, y); len(change.Fields) == 0 {
					continue
				}
			}
			c.Items = append(c.Items, change)
		}
	}
}

// itemsOf returns the items of a list, by name.
func itemsOf(list any) map[string]map[string]any {
	all := map[string]map[string]any{}
	items, _ := list.([]any)
	for _, item := range items {
		if fields, ok := item.(map[string]any); ok {
			name, _ := fields["name"].(string)
			all[name] = fields
		}
	}
	return all
}

// differingFields returns the names of the fields in which two objects differ, sorted.
func differingFields(x, y map[string]any) []string {
	return slices.DeleteFunc(sortedKeys(x, y), func(name string) bool { return reflect.DeepEqual(x[name], y[name]) })
}

// sortedKeys returns the keys of both maps, sorted and each once.
func sortedKeys[V any](x, y map[string]V) []string {
	all := maps.Clone(x)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, y)
	return slices.Sorted(maps.Keys(all))
}
