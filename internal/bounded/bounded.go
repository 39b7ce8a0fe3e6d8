// Package bounded keeps texts within what the API server takes: whatever people
// write into objects, telling them what is wrong with it must not fail.
package bounded

import "strings"

const (
	// messageBytes is less than the 32 KiB that a condition's message can have.
	messageBytes = 4096
	// noteBytes is less than the kilobyte that the note of an event can have.
	noteBytes = 1000
)

// Message returns a text that a condition can carry.
func Message(s string) string { return Cut(s, messageBytes) }

// Note returns a text that an event can carry.
func Note(s string) string { return Cut(s, noteBytes) }

// Cut returns the text if it has at most that many bytes, or else its beginning
// and three dots.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const dots = "..."
	return strings.ToValidUTF8(s[:most-len(dots)], "") + dots
}
