package inspect

import (
	"fmt"
	"io"
	"strings"
)

// Story is why a Service is or is not announced, from what it asks for to its endpoints.
type Story struct {
	// Service in words: namespace/name.
	Service string `json:"service"`
	// Announced says that all addresses of the Service are announced.
	Announced bool `json:"announced"`
	// Reason is a word for it: that of the condition which decides.
	Reason string `json:"reason"`
	// Message says what is wrong and what to do, or by whom the Service is announced.
	Message string `json:"message"`
	// Steps are the links of the chain.
	Steps []Step `json:"steps"`
}

// Step is a link of the chain.
type Step struct {
	// Title says what it is about.
	Title string `json:"title"`
	// Lines are sentences.
	Lines []string `json:"lines"`
}

func (s *Story) add(title string, lines ...string) {
	if len(lines) == 0 {
		lines = []string{"none"}
	}
	s.Steps = append(s.Steps, Step{title, lines})
}

// Print writes the story for people: the answer first, then the chain.
func (s *Story) Print(w io.Writer) error {
	var text strings.Builder
	state := "is not announced"
	if s.Announced {
		state = "is announced"
	}
	fmt.Fprintf(&text, "%s %s (%s)\n", s.Service, state, s.Reason)
	if s.Message != "" {
		fmt.Fprintf(&text, "  %s\n", s.Message)
	}
	for _, step := range s.Steps {
		fmt.Fprintf(&text, "\n%s:\n", step.Title)
		for _, line := range step.Lines {
			fmt.Fprintf(&text, "  %s\n", line)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}
