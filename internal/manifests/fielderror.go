package manifests

import (
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/internal/bounded"
)

// FieldError is an error of Render that a field of the stack is the cause of.
type FieldError struct {
	// Path of the field, such as spec.patches[2].
	Path string
	// Problem is what is wrong with it, and what to do.
	Problem string
}

// Error names the field first.
func (e *FieldError) Error() string { return e.Path + ": " + e.Problem }

// componentOf returns the field of the spec that a workload is adjusted with.
func componentOf(object *unstructured.Unstructured) string {
	if object.GetKind() == "Deployment" {
		return componentController
	}
	return componentSpeaker
}

// maxQuoted bounds how much of a text of the spec an error repeats.
const maxQuoted = 128

func quoted(text string) string {
	return strconv.Quote(bounded.Cut(text, maxQuoted))
}
