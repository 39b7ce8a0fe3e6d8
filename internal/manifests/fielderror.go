package manifests

import (
	"strconv"
	"strings"

	"github.com/lbstack/lbstack/internal/bounded"
)

// FieldError is an error in a field of the stack.
type FieldError struct {
	// Path is the path of the field, such as spec.patches[2].
	Path string
	// Problem is the error in the field, as a sentence without a full stop.
	Problem string
	// Remedy is what the user can do, as a sentence without a full stop.
	Remedy string
}

// Error returns the path, the problem, the consequence and the remedy.
func (e *FieldError) Error() string {
	return e.Path + ": " + e.Problem + "; nothing in the cluster is changed: " + e.Remedy
}

// InvalidError means that fields of the stack are invalid. Render returns it together with the objects that
// the valid fields request. These objects must not be applied.
type InvalidError struct {
	// Fields has one error for each invalid field. It is never empty.
	Fields []*FieldError
}

// Error returns the texts of all errors.
func (e *InvalidError) Error() string {
	var sentences []string
	for _, field := range e.Fields {
		sentences = append(sentences, field.Error())
	}
	return strings.Join(sentences, "; ")
}

const (
	// maxQuotedBytes is the maximum length, in bytes, of a text of the spec that an error quotes.
	maxQuotedBytes = 128
	// maxCauseBytes is the maximum length, in bytes, of a library's error about a text of the spec.
	maxCauseBytes = 512
)

func quoteBounded(text string) string { return strconv.Quote(bounded.Cut(text, maxQuotedBytes)) }

// errorText returns the text of a library's error on one line, shortened to maxCauseBytes. Such a text can repeat
// long texts of a user.
func errorText(err error) string {
	return bounded.Cut(strings.Join(strings.Fields(err.Error()), " "), maxCauseBytes)
}
