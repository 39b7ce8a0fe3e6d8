package termination

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestExitHung runs itself as the program that ends.
func TestExitHung(t *testing.T) {
	const child = "TEST_EXIT_HUNG"
	if os.Getenv(child) != "" {
		ExitHung("speaker", errors.New("the engine hangs"))
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestExitHung$")
	cmd.Env = append(os.Environ(), child+"=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got the error %v, want exit status 1", err)
	}
	got := stderr.String()
	if !strings.HasPrefix(got, "speaker: the engine hangs\ngoroutine ") || strings.Count(got, "\ngoroutine ") < 2 {
		t.Errorf("got %q, want the sentence and the stacks of all goroutines", got)
	}
}
