package archtest

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var (
	targetLine = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):(?:[^=]|$)`)
	stagesLine = regexp.MustCompile(`(?m)^\t@hack/stages\.sh (.*)$`)
	targetName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	makeCalls  = regexp.MustCompile(`\bmake( [^\n;&|]*)`)
)

// targets are those that a Makefile defines.
func targets(makefile string) []string {
	var names []string
	for _, found := range targetLine.FindAllStringSubmatch(makefile, -1) {
		names = append(names, found[1])
	}
	return names
}

// stages are the targets that `make test` runs.
func stages(makefile string) []string {
	return strings.FieldsFunc(first(stagesLine, makefile), func(r rune) bool { return r == ' ' || r == '+' || r == ',' })
}

// called are the targets that a workflow calls, in its steps and by the stages of its matrix.
func called(t *testing.T, workflow string) []string {
	t.Helper()
	var parsed struct {
		Jobs map[string]struct {
			Strategy struct {
				Matrix struct{ Stage []string }
			}
			Steps []struct{ Run string }
		}
	}
	if err := yaml.Unmarshal([]byte(workflow), &parsed); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, job := range parsed.Jobs {
		for _, stage := range job.Strategy.Matrix.Stage {
			names = append(names, strings.Fields(stage)...)
		}
		for _, step := range job.Steps {
			for _, call := range makeCalls.FindAllStringSubmatch(step.Run, -1) {
				names = append(names, slices.DeleteFunc(strings.Fields(call[1]), func(word string) bool { return !targetName.MatchString(word) })...)
			}
		}
	}
	return names
}

func TestCalledTargets(t *testing.T) {
	const workflow = `
jobs:
  one:
    strategy:
      matrix: {stage: [test-a test-b, test-c]}
    steps:
    - run: make lint VERSION="$VERSION" && make test-unit
    - run: |
        sudo make prerequisites "${stages[@]}"
        gh release create
`
	got := called(t, workflow)
	if diff := cmp.Diff([]string{"test-a", "test-b", "test-c", "lint", "test-unit", "prerequisites"}, got); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	const makefile = "VERSION := 1\nbin/x: y\n\nlint: a ## b\n\t@true\ntest-x: export A := 1\ntest:\n\t@hack/stages.sh a b-c+d,e\n"
	if diff := cmp.Diff([]string{"lint", "test-x", "test"}, targets(makefile)); diff != "" {
		t.Errorf("defined targets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b-c", "d", "e"}, stages(makefile)); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

func TestWorkflowsCallTargetsThatExist(t *testing.T) {
	defined := targets(read(t, "Makefile"))
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows: %q, %v", files, err)
	}
	calls := 0
	for _, file := range files {
		for _, target := range called(t, read(t, filepath.Join(".github/workflows", filepath.Base(file)))) {
			calls++
			if !slices.Contains(defined, target) {
				t.Errorf("%s calls make %s, which the Makefile does not have", filepath.Base(file), target)
			}
		}
	}
	if calls == 0 {
		t.Error("no workflow calls make")
	}
}

// byHand are tests that no workflow runs, with the reason.
var byHand = map[string]string{
	"test-upgrade": "it builds a version of the history, which is chosen before a release",
}

// TestEveryTestRunsInAWorkflow: a target that nobody calls is a test that nobody runs.
func TestEveryTestRunsInAWorkflow(t *testing.T) {
	calls := called(t, read(t, ".github/workflows/test.yml"))
	for _, target := range targets(read(t, "Makefile")) {
		if _, isByHand := byHand[target]; strings.HasPrefix(target, "test-") && isByHand == slices.Contains(calls, target) {
			t.Errorf("make %s: by hand: %t; called by .github/workflows/test.yml: %t; want one of them", target, isByHand, !isByHand)
		}
	}
}

// TestEveryStageRuns: the workflow `test` runs what `make test` does, and CONTRIBUTING.md has a row for each stage.
func TestEveryStageRuns(t *testing.T) {
	all := stages(read(t, "Makefile"))
	if len(all) == 0 {
		t.Fatal("the Makefile has no stages of `make test`")
	}
	calls, text := called(t, read(t, ".github/workflows/test.yml")), read(t, "CONTRIBUTING.md")
	for _, stage := range all {
		if !slices.Contains(calls, stage) {
			t.Errorf(".github/workflows/test.yml does not run %s", stage)
		}
		if !strings.Contains(text, "| `make "+stage+"` |") {
			t.Errorf("CONTRIBUTING.md has no row for `make %s`", stage)
		}
	}
}

// TestSomeTargetRunsEachTest: each package of the module test that has tests is named by a command that runs them.
func TestSomeTargetRunsEachTest(t *testing.T) {
	commands := read(t, "Makefile") + read(t, "hack/integration.sh") + read(t, "hack/upgrade.sh")
	var runs []string
	for line := range strings.Lines(commands) {
		if _, arguments, is := strings.Cut(line, "go -C test test "); is {
			runs = append(runs, strings.Fields(arguments)...)
		}
	}
	files, err := filepath.Glob("../../test/*/*_test.go")
	deeper, err2 := filepath.Glob("../../test/*/*/*_test.go")
	if err := errors.Join(err, err2); err != nil || len(files) == 0 {
		t.Fatalf("tests: %d files, %v", len(files), err)
	}
	for _, file := range append(files, deeper...) {
		dir := "./" + strings.TrimPrefix(filepath.ToSlash(filepath.Dir(file)), "../../test/")
		if !slices.Contains(runs, dir) && !slices.Contains(runs, dir+"/...") {
			t.Errorf("no target runs the tests of test/%s", strings.TrimPrefix(dir, "./"))
		}
	}
}
