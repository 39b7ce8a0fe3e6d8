package migrate

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is a value of the input, with its path. The code that reads a field also marks it with an Outcome.
// markRest reports fields without a mark as not mapped.
type field struct {
	o    *sourceObject
	path string
	// item is the path of the item of the stack to which the field is mapped. Targets of the field are below this path.
	item  string
	value any
}

var plainKeyPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// child returns the field below a key. The returned field has no value if the map has no such key.
func (f field) child(key string) field {
	m, _ := f.value.(map[string]any)
	switch {
	case !plainKeyPattern.MatchString(key):
		f.path += "[" + key + "]"
	case f.path == "":
		f.path = key
	default:
		f.path += "." + key
	}
	f.value = m[key]
	return f
}

// hasValue reports whether there is a value.
func (f field) hasValue() bool { return f.value != nil }

// keys returns the keys of a map, sorted.
func (f field) keys() []string {
	m, _ := f.value.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

// items returns the items of a list. A value that is no list is reported as not mapped.
func (f field) items() []field {
	list, ok := f.value.([]any)
	if !ok && f.hasValue() {
		f.markUnmapped("is no list")
	}
	found := make([]field, 0, len(list))
	for i, value := range list {
		found = append(found, field{o: f.o, path: fmt.Sprintf("%s[%d]", f.path, i), item: f.item, value: value})
	}
	return found
}

// withItem returns the field with another item of the stack. Fields below it have the same item.
func (f field) withItem(item string) field { f.item = item; return f }

// text returns a scalar as text. Any other value is reported as not mapped.
func (f field) text() string {
	switch v := f.value.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	f.markUnmapped("is no text")
	return ""
}

// texts returns the items of a list as text.
func (f field) texts() (list []string) {
	for _, item := range f.items() {
		list = append(list, item.text())
	}
	return list
}

// flag reads a boolean. Any other value is reported as not mapped.
func (f field) flag() bool {
	v, ok := f.value.(bool)
	if !ok && f.hasValue() {
		f.markUnmapped("is neither true nor false")
	}
	return v
}

// number reads a whole number between least and most. The result ok is false if there is no value, or if the
// value is not such a number. In the second case the field is also marked as not mapped.
func (f field) number(least, most int64) (n int64, ok bool) {
	switch v := f.value.(type) {
	case nil:
		return 0, false
	case int64:
		n = v
	case float64:
		if n = int64(v); v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			f.markUnmapped("is no whole number")
			return 0, false
		}
	default:
		f.markUnmapped("is no number")
		return 0, false
	}
	if n < least || n > most {
		f.markUnmapped(fmt.Sprintf("lbstack accepts values from %d to %d: set another value", least, most))
		return 0, false
	}
	return n, true
}

// seconds reads a duration as Go prints it ("1m30s"), rounds it down to seconds as MetalLB does, and marks
// the field. The result ok has the same meaning as in number.
func (f field) seconds(target string, least, most int64) (n int64, ok bool) {
	if !f.hasValue() {
		return 0, false
	}
	d, err := time.ParseDuration(f.text())
	if err != nil {
		f.markUnmapped(`is no duration such as "90s"`)
		return 0, false
	}
	n = int64(d / time.Second)
	if n < least || n > most {
		f.markUnmapped(fmt.Sprintf("lbstack accepts values from %d to %d seconds: set another value", least, most))
		return 0, false
	}
	if d%time.Second != 0 {
		f.markChanged(target, fmt.Sprintf("lbstack accepts only whole seconds: %s becomes %d s", d, n))
	}
	f.markMapped(target)
	return n, true
}

// markMapped records that the stack has the field, with the same meaning.
func (f field) markMapped(target string) { f.markLeaves(Mapped, target, "") }

// markChanged records that the stack has the field with another meaning. The text why has the difference, or
// what to do.
func (f field) markChanged(target, why string) { f.markLeaves(Changed, target, why) }

// markUnmapped records that the stack does not have the field. The text note has the reason and what to do.
func (f field) markUnmapped(note string) { f.markLeaves(Unmapped, "", note) }

// markIgnored records that the field does not concern the stack. It does not replace an earlier mark.
func (f field) markIgnored(why string) { f.markLeaves(Ignored, "", why) }

// markLeaves sets the outcome of each leaf of the field (see visitLeaves). A worse outcome replaces a better
// one, except that an ignored leaf stays ignored.
func (f field) markLeaves(outcome Outcome, target, note string) {
	if target != "" && f.item != "" {
		target = f.item + "." + target
	}
	f.visitLeaves(func(leaf field) {
		if old := f.o.entries[leaf.path]; old == nil || (old.Outcome != Ignored && outcome > old.Outcome) {
			f.o.entries[leaf.path] = &Entry{Object: f.o.where, Path: leaf.path, Outcome: outcome, Target: target, Note: note, group: f.path, item: f.item}
		}
	})
}

// markRefused marks all leaves as not mapped, whatever marks they have. Ignored leaves stay ignored.
func (f field) markRefused(why string) {
	f.visitLeaves(func(leaf field) {
		if old := f.o.entries[leaf.path]; old == nil || old.Outcome != Ignored {
			f.o.entries[leaf.path] = &Entry{Object: f.o.where, Path: leaf.path, Outcome: Unmapped, Note: why, group: f.path}
		}
	})
}

// markRest marks the leaves that have no mark yet: empty leaves as ignored, others as not mapped. So the
// report has an entry for every leaf.
func (f field) markRest() {
	f.markUnread("the import does not know this field: look in the documentation of the other load balancer for what it does")
}

// markUnread is markRest with another reason, for leaves whose meaning is known.
func (f field) markUnread(note string) {
	f.visitLeaves(func(leaf field) {
		if leaf.isEmpty() {
			leaf.markIgnored(ignoredEmpty)
		}
		if f.o.entries[leaf.path] == nil {
			leaf.markUnmapped(note)
		}
	})
}

// visitLeaves visits the scalars, the empty lists, the empty maps and the nulls in a value. If the value itself is null, it visits
// nothing.
func (f field) visitLeaves(visit func(field)) {
	switch v := f.value.(type) {
	case map[string]any:
		for _, key := range f.keys() {
			below := f.child(key)
			if below.value == nil {
				visit(below)
				continue
			}
			below.visitLeaves(visit)
		}
		if len(v) == 0 {
			visit(f)
		}
	case []any:
		for _, item := range f.items() {
			if item.value == nil {
				visit(item)
				continue
			}
			item.visitLeaves(visit)
		}
		if len(v) == 0 {
			visit(f)
		}
	case nil:
	default:
		visit(f)
	}
}

func (f field) isEmpty() bool {
	switch v := f.value.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(v) == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}
