// Package bounded limits the length of texts, so that the API server accepts a condition or
// an event about any object, however long the texts in that object are.
package bounded

import (
	"fmt"
	"strings"
)

const (
	// messageBytes is less than the 32 KiB that a condition's message can have.
	messageBytes = 4096
	// noteBytes is less than the kilobyte that the note of an event can have.
	noteBytes = 1000
)

// Message returns a text, cut to the length that the message of a condition can have.
func Message(s string) string { return Cut(s, messageBytes) }

// Note returns a text, cut to the length that the note of an event can have.
func Note(s string) string { return Cut(s, noteBytes) }

// Cut returns the text if it has at most the given number of bytes, otherwise its beginning
// and three dots.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const dots = "..."
	return strings.ToValidUTF8(s[:most-len(dots)], "") + dots
}

// List joins the first words of a list, at most the given number, and counts the others: "a; b; 3
// more".
func List(words []string, most int, by string) string {
	if more := len(words) - most; more > 0 {
		words = append(words[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, by)
}

// Names joins the first names of a list, at most the given number, and counts the others: "a,
// b and c", or "a, b, c and 3 more".
func Names[T ~string](names []T, most int) string {
	words := make([]string, 0, most+1)
	for _, name := range names[:min(most, len(names))] {
		words = append(words, string(name))
	}
	if more := len(names) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	if last := len(words) - 1; last > 0 {
		words = append(words[:last-1], words[last-1]+" and "+words[last])
	}
	return strings.Join(words, ", ")
}
