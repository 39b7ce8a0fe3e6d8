package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the path of the main module.
const Module = "github.com/lbstack/lbstack"

// Package is what the import rules know of a package; paths as `go list` prints
// them.
type Package struct {
	ImportPath string
	// Imports are the direct imports, Deps also all that those import.
	Imports, Deps []string
	// TestImports and XTestImports are the direct imports of its tests, those
	// inside and those outside of the package.
	TestImports, XTestImports []string
	// DepsErrors is what keeps the package or its imports from being loaded.
	DepsErrors []struct{ Err string }
}

// scope is how far an import rule looks.
type scope int

const (
	// transitive: whatever ends up in the program, and direct imports of tests.
	transitive scope = iota
	// everywhere: direct imports, those of tests included.
	everywhere
	// direct: direct imports, tests left out.
	direct
)

// ImportRule lists what some packages must not import. Patterns are import paths;
// one that begins with "./" is below the main module, one that ends in "/..."
// takes in what is below it.
type ImportRule struct {
	Name string
	// Of are the packages that the rule is about, but for those in Except.
	Of, Except []string
	Scope      scope
	// Forbid are the packages that must not be imported.
	Forbid []string
	// AllowOnly, if any, are the only packages outside of the standard library
	// that may be imported.
	AllowOnly []string
	Reason    string
}

// Check returns one sentence for each import that breaks the rule.
func (r ImportRule) Check(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		if !matchAny(r.Of, p.ImportPath) || matchAny(r.Except, p.ImportPath) {
			continue
		}
		for _, imported := range r.imports(p) {
			if r.forbids(imported) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imported, r.Reason))
			}
		}
	}
	return broken
}

func (r ImportRule) imports(p Package) []string {
	all := slices.Clone(p.Imports)
	if r.Scope == transitive {
		all = append(all, p.Deps...)
	}
	if r.Scope != direct {
		all = append(all, p.TestImports...)
		all = append(all, p.XTestImports...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (r ImportRule) forbids(path string) bool {
	if matchAny(r.Forbid, path) {
		return true
	}
	return len(r.AllowOnly) > 0 && !standard(path) && !matchAny(r.AllowOnly, path)
}

// standard reports whether a path is one of the standard library: those have no
// dot in their first element.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, path) })
}

func match(pattern, path string) bool {
	if below, ok := strings.CutPrefix(pattern, "./"); ok {
		pattern = Module + "/" + below
	}
	root, tree := strings.CutSuffix(pattern, "/...")
	return path == root || tree && strings.HasPrefix(path, root+"/")
}
