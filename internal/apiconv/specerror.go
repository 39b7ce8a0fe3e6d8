package apiconv

import "fmt"

// SpecError is an error in the spec of an object. The function that returns the error documents its
// consequence.
type SpecError struct {
	// Reason is the reason of the object's condition Ready.
	Reason string
	err    error
}

func specError(reason, field string, err error) *SpecError {
	return &SpecError{Reason: reason, err: fmt.Errorf("%s: %w", field, err)}
}

// Error returns a text with the field and the error in it.
func (e *SpecError) Error() string { return e.err.Error() }

// Unwrap returns the error with the same text.
func (e *SpecError) Unwrap() error { return e.err }
