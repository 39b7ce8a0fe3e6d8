package migrate

import (
	"fmt"
	"io"
	"strings"
)

// Outcome is what Import did with a field of the input.
type Outcome int

// Outcomes, from the best to the worst.
const (
	// Ignored: a stack does not need the field, because the field is not configuration, is empty or off, or
	// has no effect.
	Ignored Outcome = iota
	// Mapped: the stack has the field, with the same meaning.
	Mapped
	// Changed: the stack has the field, with another meaning.
	Changed
	// Unmapped: the stack does not have the field.
	Unmapped
)

// String returns the outcome as a phrase for reports.
func (o Outcome) String() string {
	return [...]string{"no configuration", "mapped", "another meaning", "not mapped"}[o]
}

// MarshalText returns the same text as String. It is used for JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Entry is the outcome of one field.
type Entry struct {
	// Object is the object that has the field: kind, namespace and name.
	Object string `json:"object"`
	// Path is the path of the field in the object.
	Path string `json:"path"`
	// Outcome is whether and how the stack has the field.
	Outcome Outcome `json:"outcome"`
	// Target is the field of the stack that the field was mapped to; empty if there is none.
	Target string `json:"target,omitempty"`
	// Note is why the field has another meaning, is not mapped or is ignored, and what to do. It never contains a value that
	// could be a secret.
	Note string `json:"note,omitempty"`

	// group is the path of the field that was marked. The field may have several leaves, and each leaf has its own entry.
	group string
	// item is the path of the item of the stack to which the field is mapped.
	item string
}

// Report is the outcome of all fields.
type Report struct {
	// Entries has one entry for each leaf of the input. The objects are in the order in which they were
	// mapped, and the entries of an object are sorted by path.
	Entries []Entry `json:"entries"`
	// Notes are sentences about differences that no field of the input shows.
	Notes []string `json:"notes,omitempty"`
}

// Count returns how many fields have the given outcome.
func (r *Report) Count(o Outcome) (n int) {
	for i := range r.Entries {
		if r.Entries[i].Outcome == o {
			n++
		}
	}
	return n
}

// visitGroups visits the entries with the given outcome, in their order. If successive entries have the same
// object, group and note, it visits only the first of them.
func (r *Report) visitGroups(o Outcome, visit func(Entry)) {
	var last Entry
	for _, e := range r.Entries {
		if e.Outcome == o && (e.Object != last.Object || e.group != last.group || e.Note != last.Note) {
			last = e
			visit(e)
		}
	}
}

// Print writes the report for people. It has the number of fields with each outcome, and a line for each
// group of fields that have another meaning or are not mapped.
func (r *Report) Print(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%d fields mapped, %d with another meaning, %d not mapped; %d are not part of a configuration\n",
		r.Count(Mapped), r.Count(Changed), r.Count(Unmapped), r.Count(Ignored))
	for _, part := range []struct {
		outcome Outcome
		title   string
	}{{Unmapped, "Not mapped"}, {Changed, "Mapped with another meaning"}} {
		object := ""
		r.visitGroups(part.outcome, func(e Entry) {
			if object == "" {
				fmt.Fprintf(&text, "\n%s:\n", part.title)
			}
			if e.Object != object {
				object = e.Object
				fmt.Fprintf(&text, "  %s\n", object)
			}
			fmt.Fprintf(&text, "    %s: %s\n", e.fieldPhrase(), e.Note)
		})
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(&text, "\nOther differences:\n")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&text, "  %s\n", note)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// fieldPhrase returns the path of the field that was marked. For a whole object, which has no path, it returns a phrase.
func (e Entry) fieldPhrase() string {
	if e.group == "" {
		return "the whole object"
	}
	return e.group
}
