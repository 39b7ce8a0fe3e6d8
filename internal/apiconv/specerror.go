package apiconv

import "fmt"

// SpecError is what is wrong with the spec of an object. The documentation of the
// function that returns it describes the consequence.
type SpecError struct {
	// Reason of the object's Ready condition.
	Reason string
	err    error
}

func specError(reason, field string, err error) *SpecError {
	return &SpecError{Reason: reason, err: fmt.Errorf("%s: %w", field, err)}
}

// Error returns which field is wrong, and how.
func (e *SpecError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong with the field.
func (e *SpecError) Unwrap() error { return e.err }
