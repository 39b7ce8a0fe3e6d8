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

// addFieldProblem records the field of the stack that a sentence refers to. The sentence is about an object
// that is made from the stack.
func (f *findings) addFieldProblem(object *unstructured.Unstructured, sentence string) {
	_, path := manifests.FieldInSentence(f.spec, object.GetKind(), object.GetName(), sentence)
	f.addInvalidField(path)
}

// addInvalidField records the path of an invalid field of the stack. It ignores an empty path.
func (f *findings) addInvalidField(path string) {
	if path != "" && !slices.Contains(f.fields, path) {
		f.fields = append(f.fields, path)
	}
}

// addRefusal records that the API server refuses an object until a person changes something, see isFinal.
func (f *findings) addRefusal(object *unstructured.Unstructured, err error) {
	var paths []string
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			path := manifests.FieldOrigin(f.spec, object.GetKind(), object.GetName(), cause.Field)
			if path != "" && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	for _, path := range paths {
		f.addInvalidField(path)
	}
	f.failures = append(f.failures, fault{v1beta1.ReasonApplyFailed, fmt.Sprintf("%v: the object stays as it is: %s", err, refusalRemedy(err, paths)), endsByPerson})
}

// refusalRemedy returns what to do when the API server refuses an object.
func refusalRemedy(err error, paths []string) string {
	switch {
	case len(paths) > 0:
		return "correct " + listNames(paths)
	case apierrors.IsForbidden(err):
		return requestRemedy(err)
	}
	return "correct the spec of the stack"
}

// requestRemedy returns what to do when the API server refuses a request that does not depend on
// the spec.
func requestRemedy(err error) string {
	if apierrors.IsForbidden(err) {
		return "grant the operator the right, or change the policy that refuses the request"
	}
	return "correct what the API server reports here: the operator tries again every 10 s"
}

// configurationCondition returns the condition ConfigurationValid. Its message names the invalid
// fields, and Ready has the sentences about them.
func configurationCondition(f findings) (valid bool, reason, message string) {
	if len(f.fields) == 0 {
		return true, v1beta1.ReasonAsExpected, "no field of the spec is known to be wrong"
	}
	return false, v1beta1.ReasonSpecInvalid, listNames(f.fields) + ": " + seeReadyMessage
}
