package bounded

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCut(t *testing.T) {
	tests := []struct {
		name, text string
		limit      int
		want       string
	}{
		{name: "a short text stays", text: "short", limit: 10, want: "short"},
		{name: "a text of the very length stays", text: "0123456789", limit: 10, want: "0123456789"},
		{name: "one byte more is cut, and shows it", text: "0123456789a", limit: 10, want: "0123456..."},
		{name: "a character is not cut in two", text: "ääääää", limit: 8, want: "ää..."},
		{name: "a character that fits stays", text: "ääääää", limit: 9, want: "äää..."},
		{name: "nothing stays nothing", limit: 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Cut(tt.text, tt.limit)
			if got != tt.want {
				t.Errorf("Cut(%q, %d): got %q, want %q", tt.text, tt.limit, got, tt.want)
			}
		})
	}
	for limit := 3; limit < 20; limit++ {
		if got := Cut(strings.Repeat("世", 9), limit); len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("limit %d: got %q of %d bytes, want valid text that is not longer", limit, got, len(got))
		}
	}
}

func TestLimitsOfTheAPIServer(t *testing.T) {
	long := strings.Repeat("ü", 1<<16)
	if n := len(Message(long)); n > 32<<10 {
		t.Errorf("a message of %d bytes: a condition takes 32 KiB", n)
	}
	if n := len(Note(long)); n > 1024 {
		t.Errorf("a note of %d bytes: an event takes 1 KiB", n)
	}
	if !utf8.ValidString(Note(long)) {
		t.Error("the note is no valid text")
	}
}

func TestLists(t *testing.T) {
	type words = []string
	for _, tt := range []struct {
		words       words
		list, names string
	}{
		{nil, "", ""},
		{words{"a"}, "a", "a"},
		{words{"a", "b"}, "a; b", "a and b"},
		{words{"a", "b", "c"}, "a; b; c", "a, b and c"},
		{words{"a", "b", "c", "d", "e"}, "a; b; c; 2 more", "a, b, c and 2 more"},
	} {
		if got := List(tt.words, 3, "; "); got != tt.list {
			t.Errorf("List(%q): got %q, want %q", tt.words, got, tt.list)
		}
		if got := Names(tt.words, 3); got != tt.names {
			t.Errorf("Names(%q): got %q, want %q", tt.words, got, tt.names)
		}
		if len(tt.words) > 3 && tt.words[3] != "d" {
			t.Errorf("the list was changed: %q", tt.words)
		}
	}
}
