package migrate

import (
	"fmt"
	"io"
	"strings"
)

// Outcome is what became of a field of the input.
type Outcome int

// Outcomes, from the best to the worst.
const (
	// Ignored: the field is no configuration, or has its default.
	Ignored Outcome = iota
	// Mapped: it is in the stack and means the same.
	Mapped
	// Changed: it is in the stack and means something else.
	Changed
	// Unmapped: it is not in the stack.
	Unmapped
)

// String returns the outcome in words.
func (o Outcome) String() string {
	return [...]string{"no configuration", "mapped", "another meaning", "not mapped"}[o]
}

// MarshalText returns String, for JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Entry is what became of one field.
type Entry struct {
	// Object has the field: kind, namespace and name.
	Object string `json:"object"`
	// Path is that of the field in the object.
	Path string `json:"path"`
	// Outcome says what became of it.
	Outcome Outcome `json:"outcome"`
	// Target is the field of the stack that it was mapped to. Empty: none.
	Target string `json:"target,omitempty"`
	// Note says why the field has another meaning or is not mapped or ignored, and what to do. It never has the value of
	// a field that could be a secret.
	Note string `json:"note,omitempty"`

	// group is the path of the field that was marked, which may have several leaves.
	group string
	// item is the path of the item of the stack that the field is for.
	item string
}

// Report is what became of all fields.
type Report struct {
	// Entries have each leaf of the input once: objects in the order in which they were mapped, and by path in each.
	Entries []Entry `json:"entries"`
	// Notes are about differences that no field of the input shows.
	Notes []string `json:"notes,omitempty"`
}

// Count returns how many fields have an outcome.
func (r *Report) Count(o Outcome) (n int) {
	for i := range r.Entries {
		if r.Entries[i].Outcome == o {
			n++
		}
	}
	return n
}

// groups visits, in order, the first of successive entries of an outcome that have the same object, group and note.
func (r *Report) groups(o Outcome, visit func(Entry)) {
	var last Entry
	for _, e := range r.Entries {
		if e.Outcome == o && (e.Object != last.Object || e.group != last.group || e.Note != last.Note) {
			last = e
			visit(e)
		}
	}
}

// Print writes the report for people: fields with another meaning or not mapped one by one, the others as numbers.
func (r *Report) Print(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%d fields mapped, %d with another meaning, %d not mapped; %d are no configuration\n",
		r.Count(Mapped), r.Count(Changed), r.Count(Unmapped), r.Count(Ignored))
	for _, part := range []struct {
		outcome Outcome
		title   string
	}{{Unmapped, "Not mapped"}, {Changed, "Mapped with another meaning"}} {
		object := ""
		r.groups(part.outcome, func(e Entry) {
			if object == "" {
				fmt.Fprintf(&text, "\n%s:\n", part.title)
			}
			if e.Object != object {
				object = e.Object
				fmt.Fprintf(&text, "  %s\n", object)
			}
			fmt.Fprintf(&text, "    %s: %s\n", e.field(), e.Note)
		})
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(&text, "\nDifferent without a field that says so:\n")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&text, "  %s\n", note)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// field names what the note is about; an object as a whole has no path.
func (e Entry) field() string {
	if e.group == "" {
		return "all of it"
	}
	return e.group
}
