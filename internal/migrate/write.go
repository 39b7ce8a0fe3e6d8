package migrate

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"sigs.k8s.io/yaml"
)

// orderedLists has the lists of a stack in the order in which they are written.
var orderedLists = []string{listPools, listL2Advertisements, listBGPPeers, listBGPAdvertisements, listBFDProfiles, listCommunities}

// YAML returns the stack as a manifest. A comment at each item names the object from which the item was made,
// and the fields of this object that have another meaning or are not mapped.
func (r *Result) YAML() ([]byte, error) {
	text, err := json.Marshal(r.Stack.Spec)
	if err != nil {
		return nil, fmt.Errorf("writing the stack: %w", err)
	}
	spec := map[string]any{}
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, fmt.Errorf("writing the stack: %w", err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# %d fields mapped, %d with another meaning, %d not mapped: see the report of the import.\n", r.Report.Count(Mapped), r.Report.Count(Changed), r.Report.Count(Unmapped))
	fmt.Fprintf(&out, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\nspec:", r.Stack.APIVersion, r.Stack.Kind, r.Stack.Name)
	empty, notes := true, r.itemNotes()
	for _, list := range orderedLists {
		items, _ := spec[list].([]any)
		delete(spec, list)
		if len(items) == 0 {
			continue
		}
		empty = false
		fmt.Fprintf(&out, "\n  %s:\n", list)
		for _, item := range items {
			if err := r.writeItem(&out, list, item.(map[string]any), notes); err != nil {
				return nil, err
			}
		}
		trimNewline(&out)
	}
	if rest := withoutEmptyMaps(spec); len(rest) > 0 {
		text, err := yaml.Marshal(rest)
		if err != nil {
			return nil, fmt.Errorf("writing the stack: %w", err)
		}
		out.WriteString("\n" + strings.TrimSuffix(indentLines(string(text), "  "), "\n"))
	} else if empty {
		out.WriteString(" {}")
	}
	out.WriteString("\n")
	return []byte(out.String()), nil
}

// writeItem writes an item, with its comments and its name first.
func (r *Result) writeItem(out *strings.Builder, list string, item map[string]any, notes map[string][]string) error {
	name, _ := item["name"].(string)
	delete(item, "name")
	for _, comment := range append([]string{"from " + r.origins[itemPath(list, name)]}, notes[itemPath(list, name)]...) {
		fmt.Fprintf(out, "  # %s\n", oneLine(comment))
	}
	fmt.Fprintf(out, "  - name: %s\n", quoteYAML(name))
	if len(item) == 0 {
		return nil
	}
	text, err := yaml.Marshal(item)
	if err != nil {
		return fmt.Errorf("writing %s: %w", itemPath(list, name), err)
	}
	out.WriteString(indentLines(string(text), "    "))
	return nil
}

// itemNotes returns the comments on each item, by the path of the item: first on fields with another meaning, then on fields that
// are not mapped. Comments on one item are in the order of the report, without repetitions.
func (r *Result) itemNotes() map[string][]string {
	notes, seen := map[string][]string{}, map[[2]string]bool{}
	for _, outcome := range []Outcome{Changed, Unmapped} {
		r.Report.visitGroups(outcome, func(e Entry) {
			text := fmt.Sprintf("%s (%s): %s", outcome, e.fieldPhrase(), e.Note)
			if key := [2]string{e.item, text}; e.item != "" && !seen[key] {
				seen[key] = true
				notes[e.item] = append(notes[e.item], text)
			}
		})
	}
	return notes
}

// oneLine returns text without line breaks: a line break would end a comment.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// quoteYAML returns a name as a YAML string, with quotes where YAML needs them, such as for 1 and true.
func quoteYAML(name string) string {
	text, err := yaml.Marshal(name)
	if err != nil {
		return name
	}
	return strings.TrimSpace(string(text))
}

func indentLines(text, by string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(by + line)
	}
	return out.String()
}

func trimNewline(out *strings.Builder) {
	text := strings.TrimSuffix(out.String(), "\n")
	out.Reset()
	out.WriteString(text)
}

// withoutEmptyMaps returns a copy of m without the maps that have no value at any depth.
func withoutEmptyMaps(m map[string]any) map[string]any {
	rest := map[string]any{}
	for key, value := range m {
		if below, ok := value.(map[string]any); ok {
			if below = withoutEmptyMaps(below); len(below) == 0 {
				continue
			}
			value = below
		}
		rest[key] = value
	}
	return rest
}

// JSON returns the stack as JSON, which has no comments.
func (r *Result) JSON() ([]byte, error) {
	text, err := r.YAML()
	if err != nil {
		return nil, err
	}
	text, err = yaml.YAMLToJSON(text)
	return append(text, '\n'), err
}
