package inspect

import (
	"fmt"
	"io"
	"strings"
)

// Story explains why a Service is or is not announced.
type Story struct {
	// Service is namespace/name.
	Service string `json:"service"`
	// Announced means that all addresses of the Service are announced.
	Announced bool `json:"announced"`
	// Reason is the reason of the condition of the Service from which Announced is taken, or a reason of this
	// package, such as NotObserved.
	Reason string `json:"reason"`
	// Message is what is wrong and what to do, or which nodes announce the Service.
	Message string `json:"message"`
	// Steps lead from the request of the Service to its endpoints.
	Steps []Step `json:"steps"`
}

// Step is one step of a Story.
type Step struct {
	// Title is the subject of the step.
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

// Print writes the story for people: the answer first, then the steps.
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
