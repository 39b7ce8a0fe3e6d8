package archtest

import (
	"path/filepath"
	"testing"
)

// root is the repository's, seen from this folder.
var root = filepath.Join("..", "..")

func report(t *testing.T, broken []string, reason string) {
	t.Helper()
	for _, b := range broken {
		t.Error(b)
	}
	if len(broken) > 0 && reason != "" {
		t.Log("the rule is there because:", reason)
	}
}

func TestImportsGoTheWayOfTheDesign(t *testing.T) {
	packages, err := LoadPackages(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) == 0 {
		t.Fatal("go list found no package: the rules would pass without looking at anything")
	}
	for _, rule := range ImportRules {
		t.Run(rule.Name, func(t *testing.T) { report(t, rule.Check(packages), "") })
	}
}

func TestEveryFileFollowsTheRules(t *testing.T) {
	files := load(t)
	for _, rule := range FileRules {
		t.Run(rule.Name, func(t *testing.T) {
			for _, f := range files {
				report(t, rule.Check(f), rule.Reason)
			}
		})
	}
}

func TestEveryPackageHasAPackageComment(t *testing.T) {
	report(t, PackageComments(load(t)), "a newcomer reads package comments first; two of them contradict each other sooner or later")
}

func TestEveryRuleHasAReason(t *testing.T) {
	for _, r := range ImportRules {
		if r.Name == "" || r.Reason == "" {
			t.Errorf("import rule %q has the reason %q, want both", r.Name, r.Reason)
		}
	}
	for _, r := range FileRules {
		if r.Name == "" || r.Reason == "" {
			t.Errorf("file rule %q has the reason %q, want both", r.Name, r.Reason)
		}
	}
	for folder, reason := range mayParse {
		if reason == "" {
			t.Errorf("%s may parse addresses without a reason", folder)
		}
	}
}

func load(t *testing.T) []File {
	t.Helper()
	files, err := LoadFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go file found: the rules would pass without looking at anything")
	}
	return files
}

func TestNoPackageLeavesGoroutinesBehind(t *testing.T) {
	report(t, GoroutineLeaks(load(t)), "a goroutine that nobody ends holds its socket and its memory until the process is killed")
}

func TestEveryReasonIsDocumented(t *testing.T) {
	pages, err := Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	broken, found := UndocumentedReasons(load(t), pages)
	if found == 0 {
		t.Fatal("no reason found: the rule would pass without looking at anything")
	}
	report(t, broken, "a user who sees a reason searches for it")
}
