package stack

import (
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/manifests"
)

// blame notes the field of the stack that an object is made from, and of which a sentence says
// that it is wrong.
func (f *findings) blame(object *unstructured.Unstructured, sentence string) {
	_, path := manifests.Blamed(f.spec, object.GetKind(), object.GetName(), sentence)
	f.wrong(path)
}

// wrong notes the path of a field of the stack that is wrong, empty: none is.
func (f *findings) wrong(path string) {
	if path != "" && !slices.Contains(f.fields, path) {
		f.fields = append(f.fields, path)
	}
}

// refuse notes that the API server refuses an object as it is.
func (f *findings) refuse(object *unstructured.Unstructured, err error) {
	var paths []string
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			path := manifests.Origin(f.spec, object.GetKind(), object.GetName(), cause.Field)
			if path != "" && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	for _, path := range paths {
		f.wrong(path)
	}
	f.refused = append(f.refused, fmt.Sprintf("%v: the object stays as it is: %s", err, remedy(err, paths)))
}

// remedy is what to do when the API server refuses an object.
func remedy(err error, paths []string) string {
	switch {
	case len(paths) > 0:
		return "correct " + listed(paths)
	case apierrors.IsForbidden(err):
		return "give the operator the right, or change the policy that refuses the object"
	}
	return "correct the spec of the stack"
}

// configuration is the state of the condition ConfigurationValid: it names the fields, and Ready
// has the sentences.
func configuration(f findings) (valid bool, reason, message string) {
	if len(f.fields) == 0 {
		return true, v1beta1.ReasonAsExpected, "no field of the spec is known to be wrong"
	}
	return false, v1beta1.ReasonSpecInvalid, listed(f.fields) + ": " + seeReady
}
