package manifests

import (
	"strconv"
	"strings"

	"github.com/lbstack/lbstack/internal/bounded"
)

// FieldError is an error of Render that a field of the stack causes.
type FieldError struct {
	// Path of the field, such as spec.patches[2].
	Path string
	// Problem is what is wrong with it, and Remedy what to do.
	Problem, Remedy string
}

// Error returns a sentence that begins with the path.
func (e *FieldError) Error() string {
	return e.Path + ": " + e.Problem + ": nothing in the cluster is changed: " + e.Remedy
}

// InvalidError is returned by Render together with the objects that the rest of the spec
// requests, which are not to be applied.
type InvalidError struct {
	// Fields has one error for each invalid field, at least one.
	Fields []*FieldError
}

// Error returns all sentences.
func (e *InvalidError) Error() string {
	var sentences []string
	for _, field := range e.Fields {
		sentences = append(sentences, field.Error())
	}
	return strings.Join(sentences, "; ")
}

const (
	// maxQuoted bounds a text of the spec that an error repeats.
	maxQuoted = 128
	// maxCause bounds the text of an error about a text of the spec.
	maxCause = 512
)

func quoteBounded(text string) string { return strconv.Quote(bounded.Cut(text, maxQuoted)) }

// errorText returns the text of an error, which can repeat what a user wrote, within bounds.
func errorText(err error) string {
	return bounded.Cut(strings.Join(strings.Fields(err.Error()), " "), maxCause)
}
