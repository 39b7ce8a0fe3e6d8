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

// blame records the field of the stack that causes the problem in a sentence about an object that is
// made from the stack.
func (f *findings) blame(object *unstructured.Unstructured, sentence string) {
	_, path := manifests.Blamed(f.spec, object.GetKind(), object.GetName(), sentence)
	f.wrong(path)
}

// wrong records the path of an invalid field of the stack; empty: none is.
func (f *findings) wrong(path string) {
	if path != "" && !slices.Contains(f.fields, path) {
		f.fields = append(f.fields, path)
	}
}

// refuse records that the API server refuses an object as such.
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
	f.failures = append(f.failures, fault{v1beta1.ReasonApplyFailed, fmt.Sprintf("%v: the object stays as it is: %s", err, remedy(err, paths)), person})
}

// remedy returns what to do when the API server refuses an object.
func remedy(err error, paths []string) string {
	switch {
	case len(paths) > 0:
		return "correct " + listed(paths)
	case apierrors.IsForbidden(err):
		return permit(err)
	}
	return "correct the spec of the stack"
}

// permit returns what to do when the API server refuses a request that does not depend on the spec.
func permit(err error) string {
	if apierrors.IsForbidden(err) {
		return "give the operator the right, or change the policy that refuses this"
	}
	return "the operator tries again every 10 s: correct what the API server names"
}

// configuration returns the condition ConfigurationValid. Its message names the invalid fields, and
// Ready has the sentences about them.
func configuration(f findings) (valid bool, reason, message string) {
	if len(f.fields) == 0 {
		return true, v1beta1.ReasonAsExpected, "no field of the spec is known to be wrong"
	}
	return false, v1beta1.ReasonSpecInvalid, listed(f.fields) + ": " + seeReady
}
