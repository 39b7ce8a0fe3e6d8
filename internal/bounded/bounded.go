// Package bounded limits the length of texts, so that the API server accepts a condition or an event even if
// it quotes long texts.
package bounded

import (
	"fmt"
	"strings"
)

const (
	// maxMessageBytes is the maximum length of a condition's message. The API server accepts 32 KiB.
	maxMessageBytes = 4096
	// maxNoteBytes is the maximum length of an event's note. The API server accepts 1024 bytes.
	maxNoteBytes = 1000
)

// Message shortens a text to the maximum length of a condition's message.
func Message(s string) string { return Cut(s, maxMessageBytes) }

// Note shortens a text to the maximum length of an event's note.
func Note(s string) string { return Cut(s, maxNoteBytes) }

// Cut shortens a text to a maximum length in bytes (most): a longer text is replaced by its beginning and
// three dots.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const dots = "..."
	return strings.ToValidUTF8(s[:most-len(dots)], "") + dots
}

// List joins words with a separator (by). If there are more words than a maximum (most), it counts the
// further ones: "a; b; 3 more".
func List(words []string, most int, by string) string {
	if more := len(words) - most; more > 0 {
		words = append(words[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, by)
}

// Names joins names as part of a sentence: "a, b and c". If there are more names than a maximum (most), it
// counts the further ones: "a, b, c and 3 more".
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
