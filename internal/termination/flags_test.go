package termination

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestParseFlags runs itself as the program that has flags.
func TestParseFlags(t *testing.T) {
	const child = "TEST_PARSE_FLAGS"
	if args, is := os.LookupEnv(child); is {
		set := flag.NewFlagSet("speaker", flag.ExitOnError)
		set.Int("port", 1, "where it listens")
		if err := ParseFlags(set, strings.Fields(args)); err != nil {
			Exit("speaker", err)
		}
		os.Exit(0)
	}
	for _, tt := range []struct{ name, args, want string }{
		{"right", "-port=2", ""},
		{"unknown", "-nonsense", "speaker: flag provided but not defined: -nonsense\n"},
		{"help", "-help", "  -port int\n    \twhere it listens (default 1)\n"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestParseFlags$")
		cmd.Env = append(os.Environ(), child+"="+tt.args)
		got, err := cmd.CombinedOutput()
		if string(got) != tt.want || (err != nil) != (tt.name == "unknown") {
			t.Errorf("%s: got %q and %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
