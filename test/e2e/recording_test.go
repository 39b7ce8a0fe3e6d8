package e2e

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update writes into the pages what the plugin prints on this cluster.
var update = flag.Bool("update", false, "write what the pages are to show")

// recordedAddress is that of the sample Service in the pages.
const recordedAddress = "192.168.1.240"

// TestRecording_PagesShowTheOutputOfThePlugin runs the command lines in blocks of the kind "console" of these pages, in the
// order in which they are there: with the sample stack and Service, and those of README.md with what the demo leaves, which has a
// router and a Service with routes as well. What is printed has the same lines and words as the page, whatever the addresses,
// names, times and numbers of this cluster.
func TestRecording_PagesShowTheOutputOfThePlugin(t *testing.T) {
	installed(t)
	address := served(t)
	program := filepath.Join(bed.Repo, "bin", "test", "kubectl-lbstack")
	build := exec.Command("go", "build", "-ldflags", "-X github.com/lbstack/lbstack/internal/version.Version="+stackVersion(t), "-o", program, "./cmd/kubectl-lbstack")
	build.Dir = bed.Repo
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	const demo = "README.md"
	for _, page := range []string{"docs/kubectl.md", "docs/recording.md", demo} {
		t.Run(page, func(t *testing.T) {
			if page == demo {
				routed(t)
			}
			path := filepath.Join(bed.Repo, page)
			text, err := os.ReadFile(path)
			must(t, err)
			commands := 0
			shown := blocks.ReplaceAllStringFunc(string(text), func(block string) string {
				written := "```console\n"
				for _, part := range prompts.Split(strings.TrimSuffix(block, "```"), -1)[1:] {
					line, want, _ := strings.Cut(part, "\n")
					commands++
					got := prints(t, program, strings.ReplaceAll(line, recordedAddress, address))
					if diff := cmp.Diff(structure(want), structure(got)); diff != "" && !*update {
						t.Errorf("$ %s\nprints\n%s\nand not what the page shows (-page +printed):\n%s", line, got, diff)
					}
					written += "$ " + line + "\n" + got
				}
				return written + "```"
			})
			if commands == 0 {
				t.Error("the page shows no command")
			}
			if *update {
				must(t, os.WriteFile(path, []byte(shown), 0o644))
			}
		})
	}
}

var (
	blocks  = regexp.MustCompile("(?s)```console\n.*?```")
	prompts = regexp.MustCompile(`(?m)^\$ `)
)

// prints runs a line of a page, which begins with kubectl lbstack, and returns its output on a terminal.
func prints(t *testing.T, program, line string) string {
	t.Helper()
	args, is := strings.CutPrefix(line, "kubectl lbstack ")
	if !is {
		t.Fatalf("%q is no line of kubectl lbstack", line)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	// A shell takes the quotes away; no argument has spaces in them.
	cmd := exec.CommandContext(ctx, program, strings.Fields(strings.ReplaceAll(args, "'", ""))...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath())
	var terminal bytes.Buffer
	cmd.Stdout, cmd.Stderr = &terminal, &terminal
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("running %q: %v", line, err)
	}
	return terminal.String()
}

// stackVersion returns the version of lbstack in the cluster, which the plugin of a release has as well.
func stackVersion(t *testing.T) string {
	t.Helper()
	stack, _, err := theStack(background(t))
	must(t, err)
	return stack.Status.Version
}

// varying has the patterns that differ from one cluster to the next, with their replacements.
var varying = []struct {
	is   *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+Z`), "TIME"},
	{regexp.MustCompile(`(?:[0-9a-f]{2}:){5}[0-9a-f]{2}`), "MAC"},
	{regexp.MustCompile(`\d+\.\d+\.\d+\.\d+(?:/\d+)?`), "ADDRESS"},
	{regexp.MustCompile(`\bv\d[\w.+-]*`), "VERSION"},
	{regexp.MustCompile(`\b(lbstack-probe|web)-[0-9a-z]{5}\b`), "$1-X"},
	{regexp.MustCompile(`\bnode\d+\b`), "NODE"},
	{regexp.MustCompile(`NODE(?:, NODE)*(?: and NODE)`), "NODE"},
	{regexp.MustCompile(`NODE(?:, NODE)+`), "NODE"},
	{regexp.MustCompile(`\b\d+\b`), "N"},
	{regexp.MustCompile(`\[#*\.*\]`), "BAR"},
	{regexp.MustCompile(`(?m)^node/NODE: (its speaker has not reported yet|N addresses).*\n`), ""}, // as often as a wait has something to report
	{regexp.MustCompile(` {2,}`), "  "},
}

// structure returns the lines of a text without what varies. Lines about nodes that follow one another are in order, and each of
// them counts once: clusters have different numbers of nodes, and another node may announce the address.
func structure(text string) (lines []string) {
	for _, v := range varying {
		text = v.is.ReplaceAllString(text, v.word)
	}
	var nodes []string
	for line := range strings.SplitSeq(strings.TrimSpace(text)+"\n", "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "NODE  ") || strings.HasPrefix(line, "  NODE ") {
			nodes = append(nodes, line)
			continue
		}
		slices.Sort(nodes)
		lines = append(append(lines, slices.Compact(nodes)...), line)
		nodes = nil
	}
	return lines
}
