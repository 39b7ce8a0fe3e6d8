package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// listsOf maps the name of a kind of items, in lower case and singular, to the lists of the spec that have items of this kind.
var listsOf = map[string][]string{
	"pool": {"ipAddressPools"}, "ipaddresspool": {"ipAddressPools"},
	"peer": {"bgpPeers"}, "bgppeer": {"bgpPeers"},
	"advertisement": {"l2Advertisements", "bgpAdvertisements"}, "l2advertisement": {"l2Advertisements"}, "bgpadvertisement": {"bgpAdvertisements"},
}

// Edit is a change of one item of a stack.
type Edit struct {
	// Kind is the kind of the item: pool, peer, advertisement, l2advertisement, bgpadvertisement, or the name
	// of the kind, such as BGPPeer.
	Kind string
	// Name is the name of the item. An item that the stack does not have is added.
	Name string
	// Remove means that the item is removed.
	Remove bool
	// Patch is a merge patch (RFC 7396) of the item as JSON, if it is not removed.
	Patch []byte
}

// Apply returns a copy of the spec of a stack, as decoded from JSON, with the edit applied.
func (e Edit) Apply(spec map[string]any) (map[string]any, error) {
	list, at, err := e.findItem(spec)
	if err != nil {
		return nil, err
	}
	items, _ := spec[list].([]any)
	items = slices.Clone(items)
	if e.Remove {
		items = slices.Delete(items, at, at+1)
	} else {
		item := map[string]any{"name": e.Name}
		if at >= 0 {
			item, _ = items[at].(map[string]any)
		}
		if item, err = withPatch(item, e.Patch); err != nil {
			return nil, err
		}
		if item["name"] != e.Name {
			return nil, errors.New("the patch changes the name of the item: to plan the removal of an item and the addition of another, pass the changed stack with -f")
		}
		if at < 0 {
			items = append(items, item)
		} else {
			items[at] = item
		}
	}
	after := map[string]any{}
	for key, value := range spec {
		after[key] = value
	}
	after[list] = items
	return after, nil
}

// findItem returns the name of the list for the item, and the index of the item in it. The index is -1 if the
// list does not have the item, and the edit adds it.
func (e Edit) findItem(spec map[string]any) (list string, at int, err error) {
	lists := listsOf[strings.TrimSuffix(strings.ToLower(e.Kind), "s")]
	if lists == nil {
		return "", 0, fmt.Errorf("%q is not a type of item: use pool, peer, advertisement, l2advertisement or bgpadvertisement, or pass the changed stack with -f", e.Kind)
	}
	at = -1
	for _, name := range lists {
		items, _ := spec[name].([]any)
		i := slices.IndexFunc(items, func(item any) bool { fields, _ := item.(map[string]any); return fields["name"] == e.Name })
		if i >= 0 && at >= 0 {
			return "", 0, fmt.Errorf("the stack has an L2Advertisement and a BGPAdvertisement with the name %s: use the type l2advertisement or bgpadvertisement", e.Name)
		}
		if i >= 0 {
			list, at = name, i
		}
	}
	switch {
	case at >= 0:
		return list, at, nil
	case e.Remove:
		return "", 0, fmt.Errorf("the stack has no item %s in spec.%s", e.Name, strings.Join(lists, " and spec."))
	case len(lists) > 1:
		return "", 0, fmt.Errorf("the stack has no advertisement %s: to plan a new one, use the type l2advertisement or bgpadvertisement", e.Name)
	}
	return lists[0], -1, nil
}

// withPatch returns an item with a merge patch applied.
func withPatch(item map[string]any, patch []byte) (map[string]any, error) {
	before, err := json.Marshal(item)
	if err != nil {
		return nil, err
	}
	text, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return nil, fmt.Errorf("the patch is not a valid merge patch: %w", err)
	}
	after := map[string]any{}
	if err := json.Unmarshal(text, &after); err != nil {
		return nil, fmt.Errorf("the patched item is not an object: %w", err)
	}
	return after, nil
}
